#include "codec/keys.h"
#include "verbs.h"

bool verb_keygen(const struct options *options, struct error *err)
{
	const char *path = options->arguments.items[1];
	struct key_fingerprints fingerprints;

	TRY(keys_generate(path, options->host_key_of, &fingerprints, err));
	log_info("wrote the secret key \"%s\" and the host key \"%s.host\", fingerprint %s, of host key %s", path, path,
		 fingerprints.recipient, fingerprints.host_key);
	log_info("hint: keep a copy of \"%s\" where neither the database nor the repository is: without it nobody can "
		 "restore",
		 path);
	if (options->host_key_of != NULL)
		log_info("hint: it opens nothing before \"pitr-catalog key add %s\" was run with a key that does",
			 path);
	return true;
}

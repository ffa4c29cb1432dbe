#include "codec/keys.h"
#include "verbs.h"

bool verb_keygen(const struct options *options, struct error *err)
{
	const char *path = options->arguments.items[1];
	char fingerprint[2 * HOST_KEY_ID_SIZE + 1];

	TRY(keys_generate(path, fingerprint, err));
	log_info("wrote the secret key \"%s\" and the host key \"%s.host\", fingerprint %s", path, path, fingerprint);
	log_info("hint: keep a copy of \"%s\" where neither the database nor the repository is: without it nobody can "
		 "restore",
		 path);
	return true;
}

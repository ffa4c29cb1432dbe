#include <stdlib.h>

#include "pg/control_file.h"
#include "repo/repo.h"
#include "verbs.h"

bool verb_init(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct control_file control;
	struct key_fingerprints fingerprints;

	if (options->pgdata == NULL)
		return fail(err, ERROR_USAGE, "the data directory of the server is not known") ||
		       fail_hint(err,
				 "Set pgdata, in pitr.conf or with --pgdata: the repository is made for the system "
				 "identifier in its pg_control.");
	if (!control_file_read(options->pgdata, &control, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_in(err, "could not read the system identifier of the server in \"%s\"", options->pgdata) ||
		       fail_hint(err, "Run it as the user of the server, with pgdata or --pgdata as \"SHOW "
				      "data_directory\" says.");
	}
	if (!repo_create(options, control.system_identifier, &repo, err))
		return fail_in(err, "could not initialise the repository");
	log_info("initialised \"%s\" for the cluster \"%s\", system identifier %llu", storage_url(repo->storage),
		 repo->layout.cluster, (unsigned long long) control.system_identifier);
	if (options->new_system)
		log_info("take a base backup now: those of the earlier system are of no use to this one");
	if (!repo->secrets->encrypted) {
		log_info("it is not encrypted: no key-file is set, and that cannot be changed later");
		return true;
	}
	secrets_fingerprints(repo->secrets, &fingerprints);
	log_info("it is encrypted, and the key %s can read it, of host key %s", fingerprints.recipient,
		 fingerprints.host_key);
	return true;
}

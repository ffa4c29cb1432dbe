#include "server_mirror.h"

#include <stdio.h>

#include "base/log.h"
#include "pg/control_file.h"
#include "repo/mirror_upkeep.h"

/* The same path may be another server's here, or nobody's. */
static bool is_here(const struct repo *repo, const char *pgdata)
{
	struct control_file control;
	struct error ignored = {0};

	return control_file_read(pgdata, &control, &ignored) &&
	       control.system_identifier == repo->layout.system_identifier;
}

void server_mirror_find(struct server *server, const struct repo *repo, const struct options *options,
			char pgdata[PATH_MAX])
{
	struct error ignored = {0};

	if (options->pgdata != NULL && is_here(repo, options->pgdata))
		(void) snprintf(pgdata, PATH_MAX, "%s", options->pgdata);
	else if (!server_read_setting(server, "data_directory", pgdata, PATH_MAX, &ignored) || !is_here(repo, pgdata))
		pgdata[0] = '\0';
}

void server_mirror_refresh(struct repo *repo, const struct options *options, const char *pgdata)
{
	if (pgdata[0] != '\0')
		mirror_upkeep_try(repo, options, pgdata, MIRROR_WHOLE);
	else
		log_info("SQL on the server shows the backup within a minute of the next WAL segment that it archives, "
			 "or after \"pitr-catalog mirror\" on its host");
}

#include <string.h>

#include "check.h"

static void settings_add(struct checking *checking, const struct server_settings *settings)
{
	if (settings->in_recovery) {
		finding_add(checking, CHECK_OK, "the server is a standby");
		return;
	}
	if (strcmp(settings->wal_level, "minimal") == 0)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "wal_level is minimal: the server's WAL is of no use to a restore"),
			     "Set wal_level = replica, restart the server, and take a base backup.");
	if (!settings->is_archiving)
		finding_hint(finding_add(checking, CHECK_CRITICAL, "archive_mode is off: no WAL is archived"),
			     "Set archive_mode = on and restart the server; then take a base backup.");
	else if (!settings->has_archive_command)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "archive_mode is on, but there is neither an archive_command nor an "
					 "archive_library: WAL piles up in pg_wal"),
			     "Set archive_command = 'pitr-archive %%p' and reload the server.");
	else
		finding_add(checking, CHECK_OK, "wal_level is %s, and archiving is on", settings->wal_level);
}

static bool settings_read(struct checking *checking, struct check_way *way, struct server_settings *settings,
			  struct error *err)
{
	struct server *server SERVER_CLEANUP = NULL;

	TRY(check_connect(checking->options, way, &server, err));
	TRY(server_read_settings(server, settings, err));
	TRY(check_archive_timeout(server, &checking->archive_timeout_s, err));
	checking->in_recovery = settings->in_recovery;
	checking->has_settings = true;
	return true;
}

bool check_settings(struct checking *checking, struct error *err)
{
	struct server_settings settings;
	struct check_way way CHECK_WAY_CLEANUP = {.password = ""};

	if (!checking->has_server)
		return true;
	TRY(check_way_find(checking->options, checking->options->pgdata, &way, err));
	if (way.postmaster.pid == 0) {
		finding_add(checking, CHECK_WARNING, "no server runs in \"%.500s\"", checking->options->pgdata);
		return true;
	}
	if (way.postmaster.state == POSTMASTER_STARTING || way.postmaster.state == POSTMASTER_STOPPING)
		return true;
	if (!settings_read(checking, &way, &settings, err)) {
		struct finding *finding = finding_add(
			checking, CHECK_UNKNOWN, "the server could not be asked for its settings: %.700s", err->text);
		finding_hint(finding, "Run it as the server's user, or name a role with -U.");
		return true;
	}
	settings_add(checking, &settings);
	return true;
}

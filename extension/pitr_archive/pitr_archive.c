/* archive_library = 'pitr_archive' (manual, chapter "Archive Modules"): what archive_command = 'pitr-archive %p' does,
 * without a process for every file. Settings and messages are here; the work is done by a child process (worker.h).
 */
#include "postgres.h"

#include <limits.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#if PG_VERSION_NUM >= 160000
#include "archive/archive_module.h"
#else
#include "postmaster/pgarch.h"
#endif
#include "utils/guc.h"

#include "worker.h"

PG_MODULE_MAGIC;

/* The settings, where the server keeps them. */
static char *setting_program;
static char *setting_config_file;
static int setting_timeout_s;
static int setting_shutdown_timeout_s;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void)
{
	DefineCustomStringVariable("pitr_archive.program", "The program that archives, pitr-archiver.", NULL,
				   &setting_program, PITR_LIBEXEC "/pitr-archiver", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pitr_archive.config_file", "The configuration file of pitr.",
				   "Empty: the one that pitr-archive would read.", &setting_config_file, "", PGC_SIGHUP,
				   0, NULL, NULL, NULL);
	DefineCustomIntVariable("pitr_archive.timeout", "How long to wait until a file is archived.",
				"To be longer than the setting \"retry-for\" of pitr.", &setting_timeout_s, 120, 1,
				86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("pitr_archive.shutdown_timeout",
				"How long a server that shuts down waits while nothing is archived.", NULL,
				&setting_shutdown_timeout_s, 10, 1, 3600, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	MarkGUCPrefixReserved("pitr_archive");
}

/* ------------------------------------------------------------------------------------------------- configured? */

/* From 17 on the server has a place for the reason, in the warning that it prints itself. */
static bool not_configured(const char *format, const char *path) __attribute__((format(printf, 1, 0)));

static bool not_configured(const char *format, const char *path)
{
	char reason[MAXPGPATH + 256];
	int saved_errno = errno;

	(void) snprintf(reason, sizeof(reason), format, path);
	errno = saved_errno;
#if PG_VERSION_NUM >= 170000
	arch_module_check_errdetail("%s: %m.", reason);
#else
	ereport(WARNING, (errmsg("pitr_archive cannot archive"), errdetail("%s: %m.", reason)));
#endif
	return false;
}

static bool is_configured(void)
{
	if (access(setting_program, X_OK) != 0)
		return not_configured("The program \"%s\" (pitr_archive.program) cannot be executed", setting_program);
	if (setting_config_file[0] != '\0' && access(setting_config_file, R_OK) != 0)
		return not_configured("The file \"%s\" (pitr_archive.config_file) cannot be read", setting_config_file);
	return true;
}

/* ----------------------------------------------------------------------------------------------------- archive */

static bool archive(const char *file, const char *path)
{
	const struct worker_settings settings = {.program = setting_program,
						 .config_file = setting_config_file,
						 .timeout_s = setting_timeout_s,
						 .shutdown_timeout_s = setting_shutdown_timeout_s};
	struct worker_failure failure = {.text = ""};

	if (worker_archive(&settings, path, &failure))
		return true;
	ereport(WARNING, (failure.is_answer ? errmsg("pitr_archive: %s", failure.text)
					    : errmsg("pitr_archive: could not archive \"%s\": %s", file, failure.text),
			  failure.hint[0] != '\0' ? errhint("%s", failure.hint) : 0));
	return false;
}

/* ------------------------------------------------------------------------------- what the server calls, by version */

#if PG_VERSION_NUM >= 160000
static bool check_configured(ArchiveModuleState *state)
{
	(void) state;
	return is_configured();
}

static bool archive_file(ArchiveModuleState *state, const char *file, const char *path)
{
	(void) state;
	return archive(file, path);
}

static void shut_down(ArchiveModuleState *state)
{
	(void) state;
	worker_stop();
}

const ArchiveModuleCallbacks *_PG_archive_module_init(void)
{
	static const ArchiveModuleCallbacks callbacks = {
		.check_configured_cb = check_configured, .archive_file_cb = archive_file, .shutdown_cb = shut_down};

	return &callbacks;
}
#else
PGDLLEXPORT void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks);

void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks)
{
	*callbacks = (ArchiveModuleCallbacks){
		.check_configured_cb = is_configured, .archive_file_cb = archive, .shutdown_cb = worker_stop};
}
#endif

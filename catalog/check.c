#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/exit.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"

/* The worst answer of each question is known whether its finding is kept or not. */
static void question_note(struct checking *checking, enum check_status status)
{
	int place = 0;

	while (place < checking->question_count && strcmp(checking->questions[place].check, checking->check) != 0)
		place++;
	if (place == QUESTIONS_MAX)
		return; /* the table below is shorter */
	struct question *question = &checking->questions[place];
	if (place == checking->question_count) {
		checking->question_count++;
		*question = (struct question){.check = checking->check, .worst = status};
	}
	if (check_is_worse(status, question->worst))
		question->worst = status;
}

/* When there is no room left: in place of the last of the least bad, where this one is worse. */
static struct finding *finding_place(struct checking *checking, enum check_status status)
{
	struct finding *least = &checking->findings[FINDINGS_MAX - 1];

	if (checking->finding_count < FINDINGS_MAX)
		return &checking->findings[checking->finding_count++];
	for (int i = FINDINGS_MAX - 2; i >= 0; i--)
		if (check_is_worse(least->status, checking->findings[i].status))
			least = &checking->findings[i];
	return check_is_worse(status, least->status) ? least : &checking->unkept;
}

struct finding *finding_add(struct checking *checking, enum check_status status, const char *format, ...)
{
	struct finding *finding = finding_place(checking, status);
	va_list arguments;

	question_note(checking, status);
	checking->finding_total++;
	json_decref(finding->detail);
	*finding = (struct finding){.check = checking->check, .status = status};
	va_start(arguments, format);
	(void) vsnprintf(finding->text, sizeof(finding->text), format, arguments);
	va_end(arguments);
	return finding;
}

void finding_hint(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(finding->hint, sizeof(finding->hint), format, arguments);
	va_end(arguments);
}

void metric_set(struct checking *checking, enum check_metric metric, int64_t value)
{
	checking->metrics[metric].is_set = true;
	checking->metrics[metric].value = value;
}

void metric_limits(struct checking *checking, enum check_metric metric, int64_t warning, int64_t critical)
{
	struct measured *measured = &checking->metrics[metric];

	measured->has_limits = true;
	measured->warning = warning;
	measured->critical = critical;
}

/* Whose repository is meant: that of the server here, where there is one. */
static bool system_find(struct checking *checking, uint64_t *system_identifier, struct error *err)
{
	const char *pgdata = checking->options->pgdata;
	struct control_file control;

	*system_identifier = 0;
	if (pgdata == NULL || checking->options->system != NULL)
		return true;
	if (!control_file_read(pgdata, &control, err)) {
		bool is_denied = err->kind == ERROR_SYSTEM && (err->saved_errno == EACCES || err->saved_errno == EPERM);

		if (err->kind != ERROR_NOT_FOUND && !is_denied)
			return false;
		if (is_denied)
			finding_hint(
				finding_add(checking, CHECK_UNKNOWN, "the server was not looked at: %.700s", err->text),
				"Run it as the server's user, or without --pgdata.");
		else
			finding_add(checking, CHECK_UNKNOWN, "\"%.500s\" is not a data directory", pgdata);
		*err = (struct error){0};
		return true;
	}
	*system_identifier = control.system_identifier;
	checking->has_server = true;
	return true;
}

static bool check_repository(struct checking *checking, struct error *err)
{
	uint64_t system_identifier;

	checking->is_lost = true; /* until the end of this */
	TRY(system_find(checking, &system_identifier, err));
	TRY(repo_open(checking->options, system_identifier, &checking->repo, err));
	if (checking->has_server)
		TRY(branch_mark_apply(checking->repo, checking->options->pgdata, NULL, err));
	checking->is_lost = false;
	finding_add(checking, CHECK_OK, "the repository \"%.500s\" answers", storage_url(checking->repo->storage));
	return true;
}

static bool check_history(struct checking *checking, struct error *err)
{
	const struct lineage *lineage = &checking->lineage; /* check_backup() has read it */

	(void) err;
	if (!lineage->has_unknown)
		return true;
	struct finding *finding = finding_add(checking, CHECK_CRITICAL,
					      "what timeline %" PRIu32
					      " descends from is not known, so nothing on it can be restored: %.600s",
					      lineage->unknown_timeline, lineage->unknown_why.text);
	finding_hint(finding,
		     "Archive %08" PRIX32 ".history again from the pg_wal of the server that made it: pitr-archive "
		     "pg_wal/%08" PRIX32 ".history",
		     lineage->unknown_timeline, lineage->unknown_timeline);
	return true;
}

struct check {
	const char *name;
	bool needs_repository;
	bool (*run)(struct checking *checking, struct error *err);
};

static const struct check checks[] = {
	{"repository", false, check_repository},
	{"keys", true, check_keys},
	{"canary", true, check_canary},
	{"backup", true, check_backup},
	{"size", true, check_size},
	{"clock", true, check_clock},
	{"backup", true, check_content},
	{"history", true, check_history},
	{"server", true, check_server},
	{"wal", true, check_wal},
	{"restore", true, check_restore},
	{"runs", true, check_runs},
	{"retention", true, check_retention},
	{"archive", true, check_archived},
	{"archive", false, check_archive},
	{"settings", false, check_settings},
	{"rpo", true, check_rpo},
	{"space", false, check_space},
	{NULL, false, NULL},
};

static const struct check checks_before_promote[] = {
	{"promote", false, check_promote},
	{NULL, false, NULL},
};

/* Wrong settings are for a person to look at; everything else means that the backups are out of reach now. */
static void failure_add(struct checking *checking, const struct error *err)
{
	bool is_setting = err->kind == ERROR_USAGE && checking->options->repo == NULL;
	struct finding *finding = finding_add(checking, is_setting ? CHECK_UNKNOWN : CHECK_CRITICAL, "%s", err->text);

	finding_hint(finding, "%s", err->hint);
}

/* What can be asked of this host is asked also when the repository does not answer: then it matters most. */
static void checks_run(struct checking *checking, const struct check *list)
{
	for (; list->name != NULL; list++) {
		struct error err = {0};

		if (list->needs_repository && checking->is_lost)
			continue;
		checking->check = list->name;
		if (list->run(checking, &err))
			continue;
		checking->is_lost = checking->is_lost || list->needs_repository;
		failure_add(checking, &err);
	}
}

static void checking_release(struct checking *checking)
{
	for (int i = 0; i < checking->finding_count; i++)
		json_decref(checking->findings[i].detail);
	json_decref(checking->unkept.detail);
	wal_needed_release(&checking->retired);
	lineage_release(&checking->lineage);
	catalog_release(&checking->catalog);
	repo_close(checking->repo);
	free(checking);
}

static enum check_format format_of(const struct options *options)
{
	if (options->json || strcmp(options->format, "json") == 0)
		return FORMAT_JSON;
	if (strcmp(options->format, "text") == 0)
		return FORMAT_TEXT;
	return strcmp(options->format, "prometheus") == 0 ? FORMAT_PROMETHEUS : FORMAT_NAGIOS;
}

int check_run(const struct options *options)
{
	if (options->setup)
		return check_setup(options);

	struct checking *checking = calloc(1, sizeof(*checking));
	struct error err = {0};

	if (checking == NULL) {
		(void) fail(&err, ERROR_SYSTEM, "out of memory");
		return exit_with(&err, FOR_CHECK);
	}
	checking->options = options;
	checking->now_us = clock_now_us();
	checks_run(checking, options->before_promote ? checks_before_promote : checks);
	if (!options->before_promote)
		check_document_write(checking);
	int status = (int) check_worst(checking, NULL);
	if (!check_print(checking, format_of(options), &err))
		status = exit_with(&err, FOR_CHECK);
	checking_release(checking);
	return status;
}

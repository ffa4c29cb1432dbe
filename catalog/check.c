#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/exit.h"
#include "base/fs.h"
#include "config/answer.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"

static const char *const status_names[] = {
	[CHECK_OK] = "OK", [CHECK_WARNING] = "WARNING", [CHECK_CRITICAL] = "CRITICAL", [CHECK_UNKNOWN] = "UNKNOWN"};

/* The worst comes first. */
static const enum check_status by_weight[] = {CHECK_CRITICAL, CHECK_UNKNOWN, CHECK_WARNING, CHECK_OK};

struct finding *finding_add(struct checking *checking, enum check_status status, const char *format, ...)
{
	int place = checking->finding_count < FINDINGS_MAX ? checking->finding_count++ : FINDINGS_MAX - 1;
	struct finding *finding = &checking->findings[place];
	va_list arguments;

	json_decref(finding->detail);
	*finding = (struct finding){.check = checking->check, .status = status};
	va_start(arguments, format);
	(void) vsnprintf(finding->text, sizeof(finding->text), format, arguments);
	va_end(arguments);
	return finding;
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
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		finding_add(checking, CHECK_UNKNOWN, "\"%.500s\" is not a data directory", pgdata);
		return true;
	}
	*system_identifier = control.system_identifier;
	checking->has_server = true;
	return true;
}

static bool check_repository(struct checking *checking, struct error *err)
{
	uint64_t system_identifier;

	TRY(system_find(checking, &system_identifier, err));
	TRY(repo_open(checking->options, system_identifier, &checking->repo, err));
	if (checking->has_server)
		TRY(branch_mark_apply(checking->repo, checking->options->pgdata, NULL, err));
	finding_add(checking, CHECK_OK, "the repository \"%.500s\" answers", storage_url(checking->repo->storage));
	return true;
}

static bool check_backup(struct checking *checking, struct error *err)
{
	const struct backup *newest = NULL;
	char time[CLOCK_TEXT_SIZE];

	TRY(catalog_read(checking->repo, &checking->catalog, err));
	for (int i = 0; i < checking->catalog.count; i++)
		if (newest == NULL || checking->catalog.backups[i].finished_us > newest->finished_us)
			newest = &checking->catalog.backups[i];
	if (newest == NULL) {
		struct finding *finding = finding_add(checking, CHECK_CRITICAL, "no base backup: PITR is impossible");

		(void) snprintf(finding->hint, sizeof(finding->hint), "Take one with pitr-basebackup.");
		return true;
	}
	time_format_local(newest->finished_us, time);
	finding_add(checking, CHECK_OK, "%d base backup%s, the last of %s", checking->catalog.count,
		    checking->catalog.count == 1 ? "" : "s", time);
	return true;
}

static bool check_history(struct checking *checking, struct error *err)
{
	const struct lineage *lineage = &checking->lineage;

	if (checking->catalog.count == 0)
		return true;
	TRY(lineage_read(checking->repo, checking->catalog.backups[0].segment_size, &checking->lineage, err));
	if (!lineage->has_unknown)
		return true;
	struct finding *finding = finding_add(checking, CHECK_CRITICAL,
					      "what timeline %" PRIu32
					      " descends from is not known, so nothing on it can be restored: %.600s",
					      lineage->unknown_timeline, lineage->unknown_why.text);
	(void) snprintf(finding->hint, sizeof(finding->hint),
			"Archive %08" PRIX32 ".history again from the pg_wal of the server that made it: pitr-archive "
			"pg_wal/%08" PRIX32 ".history",
			lineage->unknown_timeline, lineage->unknown_timeline);
	return true;
}

struct check {
	const char *name;
	bool (*run)(struct checking *checking, struct error *err);
};

static const struct check checks[] = {
	{"repository", check_repository}, {"backup", check_backup}, {"history", check_history},
	{"server", check_server},	  {"wal", check_wal},	    {NULL, NULL},
};

static const struct check checks_before_promote[] = {
	{"promote", check_promote},
	{NULL, NULL},
};

/* Wrong settings are for a person to look at; everything else means that the backups are out of reach now. */
static void failure_add(struct checking *checking, const struct error *err)
{
	bool is_setting = err->kind == ERROR_USAGE && checking->options->repo == NULL;
	struct finding *finding = finding_add(checking, is_setting ? CHECK_UNKNOWN : CHECK_CRITICAL, "%s", err->text);

	(void) snprintf(finding->hint, sizeof(finding->hint), "%s", err->hint);
}

static void checks_run(struct checking *checking, const struct check *list)
{
	struct error err = {0};

	for (; list->name != NULL; list++) {
		checking->check = list->name;
		if (list->run(checking, &err))
			continue;
		failure_add(checking, &err);
		return;
	}
}

static enum check_status worst_status(const struct checking *checking)
{
	for (size_t i = 0; i < sizeof(by_weight) / sizeof(by_weight[0]); i++)
		for (int k = 0; k < checking->finding_count; k++)
			if (checking->findings[k].status == by_weight[i])
				return by_weight[i];
	return CHECK_UNKNOWN;
}

/* One line, which is what monitoring shows: what is wrong, the worst first; or else that all is well. */
static void print_text(const struct checking *checking, enum check_status worst)
{
	const char *separator = " - ";

	(void) printf("PITR %s", status_names[worst]);
	for (size_t i = 0; i < sizeof(by_weight) / sizeof(by_weight[0]); i++) {
		for (int k = 0; k < checking->finding_count; k++) {
			const struct finding *finding = &checking->findings[k];

			if (finding->status != by_weight[i] || (finding->status == CHECK_OK && worst != CHECK_OK))
				continue;
			(void) printf("%s%s", separator, finding->text);
			separator = "; ";
			if (finding->hint[0] != '\0')
				log_hint("%s", finding->hint);
		}
	}
	(void) printf("\n");
}

static bool print_json(struct checking *checking, enum check_status worst, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *array = json_array();

	TRY(json_put(json, "status", json_string(status_names[worst]), err));
	TRY(json_put(json, "checks", array, err));
	for (int i = 0; i < checking->finding_count; i++) {
		struct finding *finding = &checking->findings[i];
		json_t *member = finding->detail != NULL ? json_incref(finding->detail) : json_object();

		TRY(json_add(array, member, err));
		TRY(json_put(member, "check", json_string(finding->check), err));
		TRY(json_put(member, "status", json_string(status_names[finding->status]), err));
		TRY(json_put(member, "message", json_string(finding->text), err));
		if (finding->hint[0] != '\0')
			TRY(json_put(member, "hint", json_string(finding->hint), err));
	}
	return answer_print(json, err);
}

static void checking_release(struct checking *checking)
{
	for (int i = 0; i < checking->finding_count; i++)
		json_decref(checking->findings[i].detail);
	lineage_release(&checking->lineage);
	catalog_release(&checking->catalog);
	repo_close(checking->repo);
	free(checking);
}

int check_run(const struct options *options)
{
	struct checking *checking = calloc(1, sizeof(*checking));
	struct error err = {0};

	if (checking == NULL) {
		(void) fail(&err, ERROR_SYSTEM, "out of memory");
		return exit_with(&err, FOR_CHECK);
	}
	checking->options = options;
	checks_run(checking, options->before_promote ? checks_before_promote : checks);
	enum check_status worst = worst_status(checking);
	int status = (int) worst;
	if (!options->json)
		print_text(checking, worst);
	else if (!print_json(checking, worst, &err))
		status = exit_with(&err, FOR_CHECK);
	checking_release(checking);
	return status;
}

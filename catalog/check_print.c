#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "config/answer.h"

static const char *const status_names[] = {
	[CHECK_OK] = "OK", [CHECK_WARNING] = "WARNING", [CHECK_CRITICAL] = "CRITICAL", [CHECK_UNKNOWN] = "UNKNOWN"};

/* The worst comes first. */
static const enum check_status by_weight[] = {CHECK_CRITICAL, CHECK_UNKNOWN, CHECK_WARNING, CHECK_OK};

#define WEIGHT_COUNT (sizeof(by_weight) / sizeof(by_weight[0]))

/* Each number as Nagios and Prometheus call it. An age grows between two runs, so Prometheus gets the time instead;
 * names and units are those that "promtool check metrics" asks for. NULL: not there. */
static const struct {
	const char *nagios, *unit, *prometheus, *help;
} metrics[METRIC_COUNT] = {
	[METRIC_BACKUPS] = {"backups", "", "pitr_backups", "Base backups in the repository."},
	[METRIC_BACKUP_AGE] = {"backup_age", "s", NULL, NULL},
	[METRIC_BACKUP_TIME] = {NULL, NULL, "pitr_last_backup_timestamp_seconds",
				"When the last base backup that is good was complete."},
	[METRIC_BACKUP_DATABASE] = {"backup_database", "B", "pitr_last_backup_database_bytes",
				    "Size of the database in the last base backup."},
	[METRIC_BACKUP_STORED] = {"backup_stored", "B", "pitr_last_backup_stored_bytes",
				  "What the last base backup takes in the repository."},
	[METRIC_LAG] = {"archive_lag", "s", "pitr_archive_lag_seconds",
			"How long the oldest WAL file has been waiting to be archived."},
	[METRIC_LAG_SEGMENTS] = {"archive_waiting", "", "pitr_archive_waiting_files",
				 "WAL files that wait to be archived."},
	[METRIC_GAPS] = {"wal_gaps", "", "pitr_wal_gaps", "Stretches of WAL that the archive lacks."},
	[METRIC_RESTORE] = {"restore", "s", "pitr_predicted_restore_seconds",
			    "How long a restore of the latest state is expected to take."},
	[METRIC_RUNS] = {"backup_runs", "", "pitr_recent_backup_runs", "Runs of pitr-basebackup in the last 30 days."},
	[METRIC_RUNS_FAILED] = {"backup_failures", "", "pitr_recent_backup_failures",
				"Runs of pitr-basebackup in the last 30 days that failed."},
	[METRIC_WINDOW] = {"window", "s", NULL, NULL},
	[METRIC_WINDOW_TIME] = {NULL, NULL, "pitr_window_start_timestamp_seconds",
				"From when on every moment can be restored."},
	[METRIC_UNARCHIVED] = {"unarchived", "s", "pitr_unarchived_commit_age_seconds",
			       "How old the oldest commit is that the archive lacks."},
	[METRIC_COMMIT_TIME] = {NULL, NULL, "pitr_last_archived_commit_timestamp_seconds",
				"When the last commit was made that the archive has."},
	[METRIC_REPOSITORY_FREE] = {"repository_free", "B", "pitr_repository_free_bytes",
				    "Free space where the repository is."},
	[METRIC_PG_WAL_FREE] = {"pg_wal_free", "B", "pitr_pg_wal_free_bytes", "Free space where pg_wal is."},
};

const char *check_status_name(enum check_status status)
{
	return status_names[status];
}

bool check_is_worse(enum check_status one, enum check_status other)
{
	for (size_t i = 0; i < WEIGHT_COUNT && by_weight[i] != other; i++)
		if (by_weight[i] == one)
			return true;
	return false;
}

enum check_status check_worst(const struct checking *checking, const char *check)
{
	enum check_status worst = CHECK_OK;
	bool is_answered = false;

	for (int i = 0; i < checking->question_count; i++) {
		const struct question *question = &checking->questions[i];

		if (check != NULL && strcmp(question->check, check) != 0)
			continue;
		is_answered = true;
		worst = check_is_worse(question->worst, worst) ? question->worst : worst;
	}
	return is_answered ? worst : CHECK_UNKNOWN;
}

/* ----------------------------------------------------------------------------------------------------- Nagios */

/* Behind a "|": 'name'=value[unit];warning;critical, of the Nagios plugin guidelines, "Performance data". */
static void print_performance(const struct checking *checking)
{
	const char *separator = " | ";

	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct measured *measured = &checking->metrics[i];

		if (!measured->is_set || metrics[i].nagios == NULL)
			continue;
		(void) printf("%s'%s'=%" PRId64 "%s", separator, metrics[i].nagios, measured->value, metrics[i].unit);
		if (measured->has_limits)
			(void) printf(";%" PRId64 ";%" PRId64, measured->warning, measured->critical);
		separator = " ";
	}
}

/* What would end the text for who reads it, the mark before the numbers, or be obeyed by a terminal: names of files and
 * hosts are what somebody made them. */
static void print_sentence(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char) *text;

		(void) putchar(byte == '|' ? '/' : byte < 0x20 || byte == 0x7f ? ' ' : byte);
	}
}

/* One line, which is what monitoring shows: what is wrong, the worst first; or else that all is well. */
static void print_nagios(const struct checking *checking)
{
	enum check_status worst = check_worst(checking, NULL);
	const char *separator = " - ";

	(void) printf("PITR %s", status_names[worst]);
	for (size_t i = 0; i < WEIGHT_COUNT; i++) {
		for (int k = 0; k < checking->finding_count; k++) {
			const struct finding *finding = &checking->findings[k];

			if (finding->status != by_weight[i] || (finding->status == CHECK_OK && worst != CHECK_OK))
				continue;
			(void) printf("%s", separator);
			print_sentence(finding->text);
			separator = "; ";
			if (finding->hint[0] != '\0')
				log_hint("%s", finding->hint);
		}
	}
	print_performance(checking);
	(void) printf("\n");
}

/* ------------------------------------------------------------------------------------------------- for people */

/* A line for each finding, the worst first, and below it what can be done. */
static void print_text(const struct checking *checking)
{
	char time[CLOCK_TEXT_SIZE];

	time_format_local(checking->now_us / 1000000 * 1000000, time);
	(void) printf("%s: cluster \"", status_names[check_worst(checking, NULL)]);
	print_sentence(checking->options->cluster);
	(void) printf("\", %s\n\n", time);
	for (size_t i = 0; i < WEIGHT_COUNT; i++) {
		for (int k = 0; k < checking->finding_count; k++) {
			const struct finding *finding = &checking->findings[k];

			if (finding->status != by_weight[i])
				continue;
			(void) printf("%-8s  %-10s  ", status_names[finding->status], finding->check);
			print_sentence(finding->text);
			if (finding->hint[0] != '\0') {
				(void) printf("\n%-22shint: ", "");
				print_sentence(finding->hint);
			}
			(void) printf("\n");
		}
	}
}

/* ------------------------------------------------------------------------------------------------- Prometheus */

/* With the three escapes that a label's value has. A cluster's name needs none; what was asked for may be no name. */
static void print_label(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			(void) printf("\\n");
		else
			(void) printf("%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	}
}

static void print_gauge(const struct checking *checking, const char *name, const char *help, const char *labels,
			int64_t value)
{
	if (help != NULL)
		(void) printf("# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
	(void) printf("%s{cluster=\"", name);
	print_label(checking->options->cluster);
	(void) printf("\"%s} %" PRId64 "\n", labels, value);
}

/* The text format 0.0.4, for the textfile collector of node_exporter. */
static void print_prometheus(const struct checking *checking)
{
	const char *help = "Exit status of the question: 0 OK, 1 warning, 2 critical, 3 unknown.";

	print_gauge(checking, "pitr_check_timestamp_seconds", "When pitr-check ran.", "", checking->now_us / 1000000);
	print_gauge(checking, "pitr_check_status", "Exit status of pitr-check: 0 OK, 1 warning, 2 critical, 3 unknown.",
		    "", check_worst(checking, NULL));
	for (int i = 0; i < checking->question_count; i++) {
		char labels[64];

		(void) snprintf(labels, sizeof(labels), ",check=\"%s\"", checking->questions[i].check);
		print_gauge(checking, "pitr_check_question_status", help, labels, checking->questions[i].worst);
		help = NULL;
	}
	for (int i = 0; i < METRIC_COUNT; i++)
		if (checking->metrics[i].is_set && metrics[i].prometheus != NULL)
			print_gauge(checking, metrics[i].prometheus, metrics[i].help, "", checking->metrics[i].value);
}

/* ------------------------------------------------------------------------------------------------------- JSON */

static bool finding_encode(const struct finding *finding, json_t *array, struct error *err)
{
	json_t *member = finding->detail != NULL ? json_incref(finding->detail) : json_object();

	TRY(json_add(array, member, err));
	TRY(json_put(member, "check", json_string(finding->check), err));
	TRY(json_put(member, "status", json_string(status_names[finding->status]), err));
	TRY(json_put(member, "message", json_message(finding->text), err));
	return finding->hint[0] == '\0' || json_put(member, "hint", json_message(finding->hint), err);
}

/* Under the names for Nagios, else those for Prometheus. */
static bool metrics_encode(const struct checking *checking, json_t *json, struct error *err)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metrics[i].nagios != NULL ? metrics[i].nagios : metrics[i].prometheus;

		if (checking->metrics[i].is_set)
			TRY(json_put(json, name, json_integer(checking->metrics[i].value), err));
	}
	return true;
}

static bool print_json(const struct checking *checking, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *array = json_array(), *numbers = json_object();

	TRY(json_put(json, "status", json_string(status_names[check_worst(checking, NULL)]), err));
	TRY(json_put(json, "checks", array, err));
	for (int i = 0; i < checking->finding_count; i++)
		TRY(finding_encode(&checking->findings[i], array, err));
	TRY(json_put(json, "metrics", numbers, err));
	TRY(metrics_encode(checking, numbers, err));
	return answer_print(json, err);
}

bool check_print(const struct checking *checking, enum check_format format, struct error *err)
{
	if (format == FORMAT_JSON)
		return print_json(checking, err);
	if (format == FORMAT_PROMETHEUS)
		print_prometheus(checking);
	else if (format == FORMAT_TEXT)
		print_text(checking);
	else
		print_nagios(checking);
	return true;
}

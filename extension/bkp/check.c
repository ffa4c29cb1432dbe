/* bkp_check(): what pitr-check found when it last ran here, and how long ago that was. */
#include "postgres.h"

#include "utils/timestamp.h"

#include "document.h"
#include "mirror.h"
#include "repo/local_document.h"
#include "rows.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(bkp_check);

#define FINDINGS_MAX 256

struct finding {
	char check[32];
	char status[16];
	char text[1024];
	char hint[512];
};

struct findings {
	TimestampTz time;
	char program[64];
	int count;
	struct finding *items;
};

static bool finding_decode(const json_t *json, struct finding *finding, struct error *err)
{
	TRY(json_copy_text(json, "check", finding->check, sizeof(finding->check), err));
	TRY(json_copy_text(json, "status", finding->status, sizeof(finding->status), err));
	TRY(json_copy_text(json, "text", finding->text, sizeof(finding->text), err));
	return json_copy_text(json, "hint", finding->hint, sizeof(finding->hint), err);
}

/* Nothing is raised in here: what Jansson has allocated is released. `items` has room for FINDINGS_MAX. */
static bool findings_decode(struct bytes text, struct findings *findings, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL, *array;

	TRY(local_document_decode(&LOCAL_CHECK, text, LOCAL_CHECK.name, &json, err));
	TRY(mirror_get_time(json, "time_us", &findings->time, err));
	TRY(json_copy_text(json, "program", findings->program, sizeof(findings->program), err));
	TRY(json_get_array(json, "findings", &array, err));
	for (size_t i = 0; i < json_array_size(array) && i < FINDINGS_MAX; i++)
		TRY(finding_decode(json_array_get(array, i), &findings->items[findings->count++], err));
	return true;
}

static void finding_put(FunctionCallInfo fcinfo, const char *name, const char *status, const char *text,
			const char *hint)
{
	struct row row = {.count = 0};
	char message[2048];

	(void) snprintf(message, sizeof(message), "%s%s%s", text, hint[0] != '\0' ? "\nhint: " : "", hint);
	row_text(&row, name);
	row_text(&row, status);
	row_text(&row, message);
	row_put(fcinfo, &row);
}

/* All the others are of that time. */
static void age_put(FunctionCallInfo fcinfo, const struct findings *findings)
{
	int64 age_s = (GetCurrentTimestamp() - findings->time) / USECS_PER_SEC;
	bool is_stale = setting_stale_after_s != 0 && age_s > setting_stale_after_s;
	char text[256];

	(void) snprintf(text, sizeof(text), "%s ran " INT64_FORMAT " s ago", findings->program, age_s > 0 ? age_s : 0);
	finding_put(fcinfo, "age", is_stale ? "WARNING" : "OK", text,
		    is_stale ? "See why it does not run any more: systemctl status pitr-check.timer, or cron." : "");
}

/* An answer too, and no ERROR: who watches this is to see it among the rest. */
static void unknown_put(FunctionCallInfo fcinfo, const struct error *why)
{
	if (why->kind == ERROR_NOT_FOUND)
		finding_put(fcinfo, "age", "UNKNOWN", "pitr-check has not run here",
			    "Run pitr-check every ten minutes, as the user of the server, with its data directory as "
			    "--pgdata.");
	else
		finding_put(fcinfo, "age", "UNKNOWN", why->text, why->hint);
}

Datum bkp_check(PG_FUNCTION_ARGS)
{
	struct findings findings = {.items = palloc(FINDINGS_MAX * sizeof(struct finding))};
	struct bytes text;
	struct error err = {0};

	rows_begin(fcinfo);
	if (!document_read_file(LOCAL_CHECK.name, LOCAL_DOCUMENT_SIZE_MAX, &text, &err) ||
	    !findings_decode(text, &findings, &err)) {
		unknown_put(fcinfo, &err);
		return (Datum) 0;
	}
	age_put(fcinfo, &findings);
	for (int i = 0; i < findings.count; i++)
		finding_put(fcinfo, findings.items[i].check, findings.items[i].status, findings.items[i].text,
			    findings.items[i].hint);
	return (Datum) 0;
}

#include "check.h"
#include "repo/local_document.h"

static bool finding_encode(const struct finding *finding, json_t *findings, struct error *err)
{
	json_t *member = json_object();

	TRY(json_add(findings, member, err));
	TRY(json_put(member, "check", json_string(finding->check), err));
	TRY(json_put(member, "status", json_string(check_status_name(finding->status)), err));
	TRY(json_put(member, "text", json_message(finding->text), err));
	return json_put(member, "hint", json_message(finding->hint), err);
}

static bool document_encode(const struct checking *checking, json_t *json, struct error *err)
{
	json_t *findings = json_array();

	TRY(json_put(json, "findings", findings, err));
	TRY(json_put(json, "time_us", json_integer(checking->now_us), err));
	TRY(json_put(json, "program", json_string("pitr-check " PITR_VERSION), err));
	for (int i = 0; i < checking->finding_count; i++)
		TRY(finding_encode(&checking->findings[i], findings, err));
	return true;
}

/* What a newer program wrote may say more than this one knows. */
static bool version_check(const char *pgdata, struct error *err)
{
	json_t *there JSON_CLEANUP = NULL;

	return local_document_read(&LOCAL_CHECK, pgdata, &there, err) || err->kind != ERROR_USAGE;
}

static bool document_write(const struct checking *checking, struct error *err)
{
	const char *pgdata = checking->options->pgdata;
	json_t *json JSON_CLEANUP = json_object();

	if (!version_check(pgdata, err))
		return false;
	*err = (struct error){0};
	TRY(document_encode(checking, json, err));
	return local_document_write(&LOCAL_CHECK, pgdata, json, err);
}

void check_document_write(const struct checking *checking)
{
	struct error err = {0};

	if (checking->has_server && !document_write(checking, &err))
		log_debug("what was found was not written down for bkp_check(): %s", err.text);
}

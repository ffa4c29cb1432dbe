/* What was found out, as facts of the catalog: so that listings, SQL and pitr-check know it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "repo/fact.h"
#include "repo/mirror_upkeep.h"
#include "verify.h"

/* Of a backup of which something could not be read nothing is said: it may be good. */
static bool has_unread(const struct verify *verify)
{
	for (size_t i = 0; i < verify->problems.count; i++)
		if (verify->problems.items[i]->state == VERIFY_UNREAD)
			return true;
	return false;
}

static bool is_to_be_told(const struct verified_backup *verified)
{
	return verified->is_looked_at && !verified->is_gone;
}

static const char *const scope_names[] = {[VERIFY_ALL] = "all", [VERIFY_WAL] = "wal", [VERIFY_BACKUP] = "backup"};

/* In which backups nothing is wrong, as far as this part went: what whoever ends the cycle goes by. */
static bool good_encode(const struct verify *verify, json_t *detail, struct error *err)
{
	json_t *labels = json_array();

	TRY(json_put(detail, "good", labels, err));
	for (int i = 0; i < verify->catalog.count; i++)
		if (is_to_be_told(&verify->backups[i]) && !verify->backups[i].is_damaged)
			TRY(json_add(labels, json_string(verify->catalog.backups[i].label), err));
	return true;
}

static bool detail_make(const struct verify *verify, json_t *detail, struct error *err)
{
	TRY(json_put(detail, "objects", json_integer((json_int_t) verify->objects_checked), err));
	TRY(json_put(detail, "bytes_read", json_integer((json_int_t) verify->bytes_read), err));
	TRY(json_put(detail, "problems", json_integer((json_int_t) verify->problems.count), err));
	TRY(json_put(detail, "scope", json_string(scope_names[verify->scope]), err));
	TRY(json_put(detail, "part", json_integer(verify->part), err));
	TRY(json_put(detail, "parts", json_integer(verify->parts), err));
	if (verify_is_of_cycle(verify) && !has_unread(verify))
		TRY(good_encode(verify, detail, err));
	return json_put(detail, "contents_read", json_boolean(verify->reads_contents), err);
}

/* Damage that was known before this run began, and has been mended since. */
static bool clears_put(const struct verify *verify, struct fact *fact, struct error *err)
{
	json_t *clears = json_array();

	if (fact->detail == NULL)
		fact->detail = json_object();
	TRY(json_put(fact->detail, "clears", clears, err));
	for (int i = 0; i < verify->verdicts.count; i++) {
		const struct fact *verdict = &verify->verdicts.items[i];

		if (!verdict->is_good && strcmp(verdict->label, fact->label) == 0 &&
		    strcmp(verdict->branch, fact->branch) == 0)
			TRY(json_add(clears, json_string(verdict->id), err));
	}
	return true;
}

/* Good only when all of it has been read, now or in the parts of a cycle that ends now; damaged is damaged. */
static bool backup_record(const struct verify *verify, int index, const struct facts *facts, struct error *err)
{
	const struct backup *backup = &verify->catalog.backups[index];
	const struct verified_backup *verified = &verify->backups[index];
	struct fact fact = {.kind = FACT_VERIFIED, .is_good = !verified->is_damaged};
	bool is_known = verified->is_damaged || verify_is_complete(verify), done = true;

	if (!is_known && verify_is_of_cycle(verify))
		done = verify_cycle_ends(verify, facts, backup->label, &is_known, &fact, err);
	(void) snprintf(fact.branch, sizeof(fact.branch), "%s", backup->branch);
	(void) snprintf(fact.label, sizeof(fact.label), "%s", backup->label);
	(void) snprintf(fact.text, sizeof(fact.text), "%s", verified->why);
	if (done && is_known && fact.is_good)
		done = clears_put(verify, &fact, err);
	done = done && (!is_known || fact_put(verify->repo, &fact, err));
	json_decref(fact.detail);
	return done;
}

static bool backups_record(const struct verify *verify, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	if (has_unread(verify))
		return true;
	if (verify_is_of_cycle(verify))
		TRY(verify_cycle_read(verify, &facts, err));
	for (int i = 0; i < verify->catalog.count; i++)
		if (is_to_be_told(&verify->backups[i]))
			TRY(backup_record(verify, i, &facts, err));
	return true;
}

static bool outcome_record(const struct verify *verify, struct error *err)
{
	json_t *detail JSON_CLEANUP = json_object();
	struct fact fact = {.kind = FACT_RUN, .is_good = verify_is_good(verify), .detail = detail};

	TRY(detail_make(verify, detail, err));
	(void) snprintf(fact.program, sizeof(fact.program), "pitr-verify");
	if (verify->problems.count > 0)
		(void) snprintf(fact.text, sizeof(fact.text), "%s: %s", verify->problems.items[0]->key,
				verify->problems.items[0]->why);
	return fact_put(verify->repo, &fact, err);
}

bool verify_record(struct verify *verify, struct error *err)
{
	if (backups_record(verify, err) && outcome_record(verify, err)) {
		mirror_upkeep_own(verify->repo, verify->options);
		return true;
	}
	if (err->kind == ERROR_NONE)
		return false;
	log_info("what was found out is not recorded in the repository: %s", err->text);
	return true;
}

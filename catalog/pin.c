/* What people say of a backup: keep it, keep it no longer, and what it is for. Each is a fact of its own; who may write
 * which, the policy of a bucket says by the names. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "repo/fact.h"
#include "repo/mirror_upkeep.h"
#include "verbs.h"

/* A fact about the backup that the first argument names. */
static bool fact_begin(const struct options *options, enum fact_kind kind, struct repo **repo, struct fact *fact,
		       struct error *err)
{
	struct catalog catalog CATALOG_CLEANUP = {0};
	const struct backup *backup;

	*fact = (struct fact){.kind = kind, .time_us = clock_now_us()};
	TRY(repo_open(options, 0, repo, err));
	TRY(catalog_read(*repo, &catalog, err));
	TRY(catalog_find(&catalog, options->arguments.items[1], &backup, err));
	memcpy(fact->branch, backup->branch, sizeof(fact->branch));
	memcpy(fact->label, backup->label, sizeof(fact->label));
	return true;
}

static bool pin_until(const struct options *options, struct fact *fact, struct error *err)
{
	if (options->until != NULL && options->pin_for != 0)
		return fail(err, ERROR_USAGE, "--until and --for exclude each other");
	fact->until_us = fact_pin_until(fact->time_us, options->pin_for == 0 ? INT64_MAX : options->pin_for);
	if (options->until == NULL)
		return true;
	TRY(time_parse(options->until, fact->time_us, &fact->until_us, err));
	if (fact->until_us > fact->time_us)
		return true;
	return fail(err, ERROR_USAGE, "\"%.100s\" is over already", options->until);
}

/* Whoever removes it says so first and then looks for pins. So either this pin was seen there, or that is seen here. */
static bool pin_check(struct repo *repo, const struct fact *pin, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	bool is_retired, have = false;

	layout_backup_complete(&repo->layout, pin->branch, pin->label, key);
	TRY(fact_is_retired(repo, pin->branch, pin->label, &is_retired, err));
	TRY(is_retired || repo_have(repo, key, OBJECT_FACT, &have, err));
	if (have)
		return true;
	(void) fail(err, ERROR_NOT_FOUND, "the backup \"%s\" is being removed, and the pin may have come too late",
		    pin->label);
	return fail_hint(err, "When pitr-expire has ended, see \"pitr-catalog list\": if the backup is still there, it "
			      "is pinned.");
}

bool verb_pin(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct fact fact;
	char until[CLOCK_TEXT_SIZE] = "for ever";

	TRY(fact_begin(options, FACT_PIN, &repo, &fact, err));
	TRY(pin_until(options, &fact, err));
	TRY(fact_put(repo, &fact, err));
	mirror_upkeep_own(repo, options);
	TRY(pin_check(repo, &fact, err));
	if (fact.until_us != FACT_UNTIL_FOREVER)
		time_format_local(fact.until_us, until);
	log_info("the backup \"%s\" is pinned %s%s", fact.label, fact.until_us == FACT_UNTIL_FOREVER ? "" : "until ",
		 until);
	return true;
}

/* The ids of the backup's pins that nobody has taken back yet. */
static bool pins_gather(struct repo *repo, const struct fact *unpin, json_t *pins, struct error *err)
{
	struct facts facts FACTS_CLEANUP = {0};

	TRY(facts_read(repo, 1u << FACT_PIN | 1u << FACT_UNPIN, &facts, err));
	for (int i = 0; i < facts.count; i++) {
		const struct fact *fact = &facts.items[i];

		if (fact->kind == FACT_PIN && strcmp(fact->label, unpin->label) == 0 && !facts_unpins(&facts, fact))
			TRY(json_add(pins, json_string(fact->id), err));
	}
	return true;
}

bool verb_unpin(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct fact fact;
	json_t *detail JSON_CLEANUP = json_object();
	json_t *pins = json_array();

	TRY(json_put(detail, "pins", pins, err));
	TRY(fact_begin(options, FACT_UNPIN, &repo, &fact, err));
	TRY(pins_gather(repo, &fact, pins, err));
	if (json_array_size(pins) == 0) {
		log_info("the backup \"%s\" is not pinned", fact.label);
		return true;
	}
	fact.detail = detail;
	if (!fact_put(repo, &fact, err)) {
		if (err->kind == ERROR_DENIED)
			(void) fail_hint(err, "Taking a pin back needs the credentials that may also delete.");
		return false;
	}
	mirror_upkeep_own(repo, options);
	log_info("the backup \"%s\" is no longer pinned", fact.label);
	return true;
}

/* Notes become part of a line. */
static bool note_take(const char *text, struct fact *fact, struct error *err)
{
	if (strlen(text) >= sizeof(fact->text))
		return fail(err, ERROR_USAGE, "the note is longer than %zu bytes", sizeof(fact->text) - 1);
	for (const char *at = text; *at != '\0'; at++) {
		if (iscntrl((unsigned char) *at))
			return fail(err, ERROR_USAGE, "the note has a control character in it");
	}
	(void) snprintf(fact->text, sizeof(fact->text), "%s", text);
	return true;
}

bool verb_note(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	struct fact fact;

	TRY(fact_begin(options, FACT_NOTE, &repo, &fact, err));
	TRY(note_take(options->arguments.items[2], &fact, err));
	TRY(fact_put(repo, &fact, err));
	mirror_upkeep_own(repo, options);
	log_info("the backup \"%s\" has the note \"%s\"", fact.label, fact.text);
	return true;
}

#include "repo/run.h"

#include <stdio.h>

#include "base/log.h"
#include "config/option_table.h"
#include "repo/fact.h"

/* It may be the repository that was out of reach, or else the server, or its WAL: not tried for long. */
#define RETRY_FOR_MS 1000

/* Wrong arguments are seen by who typed them. */
static bool is_worth_recording(const struct error *why)
{
	return why == NULL || why->kind != ERROR_USAGE;
}

static bool record_put(const struct options *options, const struct error *why, struct error *err)
{
	struct fact fact = {.kind = FACT_RUN, .is_good = why == NULL};
	struct options hasty = *options;
	struct repo *repo REPO_CLEANUP = NULL;

	hasty.retry_for = RETRY_FOR_MS;
	(void) snprintf(fact.program, sizeof(fact.program), "%s", program_row_of(options->program)->name);
	(void) snprintf(fact.text, sizeof(fact.text), "%s", why == NULL ? "" : why->text);
	TRY(repo_open(&hasty, 0, &repo, err));
	return fact_put(repo, &fact, err);
}

void run_record(const struct options *options, const struct error *why)
{
	struct error failure = {0};

	if (is_worth_recording(why) && !record_put(options, why, &failure))
		log_debug("how this run ended was not recorded: %s", failure.text);
}

#include "base/clock.h"
#include "check.h"
#include "repo/prediction.h"

/* How long the database would be away, from what restores of it have taken: the recovery time objective (RTO) is what
 * has been promised. */
bool check_restore(struct checking *checking, struct error *err)
{
	const struct backup *newest = check_backup_newest(checking, true);
	int64_t limit_s = checking->options->rto / 1000;
	struct prediction prediction;
	char duration[CLOCK_TEXT_SIZE], limit[CLOCK_TEXT_SIZE];

	(void) err;
	if (newest == NULL)
		return true;
	prediction_of(checking->repo, newest->stored_bytes, checking->replay_bytes, &prediction);
	int64_t duration_s = prediction.download_s + prediction.replay_s;
	metric_set(checking, METRIC_RESTORE, duration_s);
	if (limit_s == 0)
		return true;
	metric_limits(checking, METRIC_RESTORE, limit_s, limit_s);
	duration_format(duration_s, duration);
	duration_format(limit_s, limit);
	if (duration_s < limit_s) {
		finding_add(checking, CHECK_OK, "a restore of the latest state is expected to take %s (rto: %s)",
			    duration, limit);
		return true;
	}
	finding_hint(
		finding_add(checking, CHECK_WARNING,
			    "a restore of the latest state is expected to take %s, and is to take less than %s%s",
			    duration, limit,
			    prediction.download_count == 0 || prediction.replay_count == 0
				    ? " (a guess: no restore has been measured yet)"
				    : ""),
		"Take base backups more often, so that there is less WAL to replay; \"pitr-restore --dry-run\" says "
		"what takes how long.");
	return true;
}

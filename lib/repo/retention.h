/* Which backups, and which WAL, does nothing need that has been promised? A pure function of what there is, the policy
 * and the time: it reads nothing and knows nothing of objects. docs/retention.md says the same to people.
 *
 * A backup stays when
 *   - it is pinned;
 *   - it is among the newest `last` good ones of an end of history, in the order of WAL, whatever the clocks said;
 *   - it lies within the window: it finished in the last `within`, or is the newest good one from before that, from
 *     which the beginning of the window is restored;
 *   - it is the newest good one of one of the newest `daily` days (UTC) of an end of history that have one; likewise
 *     weeks (from Monday), months, years;
 *   - it is the newest good one of an end of history;
 *   - it is not good (its WAL is not whole, or damage was found) and there is nothing better in its place. It never
 *     counts: one that is not good never makes a good one go, nor does somebody's word that all are damaged make them
 *     go;
 *   - nobody knows when it was taken, and a calendar could want it. It does not count either.
 *
 * Each end counts all backups on its path, of whichever timelines and branches, and by itself: what was done on another
 * one takes nothing from it. The branches of copies, which have no ends, count each their own backups.
 *
 * Continuous WAL stays, on every path, from the oldest backup on that `within` keeps on it, or `last` for an end that
 * somebody may still write to; where history still goes on, from the newest good one at the least, and all of it as
 * long as there is no good one. For every other backup that stays, its own: from its start to its stop. As long as
 * there is no backup at all nothing goes.
 *
 * Clocks: the present is when the newest backup finished, never later than `now_us`. So a clock that runs ahead, and
 * backups that no longer come, make nothing go. When it came much later than the one before it (three usual intervals,
 * and a day), it may be a clock that is ahead here and there, and the present is when the one before it finished. On
 * one path WAL tells the order. For windows, a time in the future, before 2020 or before that of an earlier backup is
 * none, and the backup counts as no older than the next one with a better one. For calendars and for the present, where
 * times contradict the order, only those are believed that are in every largest set of them that does not.
 */
#pragma once

#include "repo/wal_needed.h"

#define RETENTION_GRACE_US (INT64_C(7) * 86400 * 1000000)
#define RETENTION_BEGIN_US INT64_C(1577836800000000) /* 2020-01-01: no backup is older */

struct retention_policy {
	int64_t within_us;			      /* 0: none */
	int64_t last, daily, weekly, monthly, yearly; /* how many; 0: none, INT64_MAX: all */
};

enum retention_reason {
	RETENTION_PINNED,
	RETENTION_LAST,
	RETENTION_WITHIN,
	RETENTION_DAILY,
	RETENTION_WEEKLY,
	RETENTION_MONTHLY,
	RETENTION_YEARLY,
	RETENTION_NEWEST,
	RETENTION_DOUBTFUL,
	RETENTION_REASON_COUNT
};

struct retention_backup {
	/* asked */
	const struct backup *backup; /* with what facts say of it */
	bool is_good;		     /* all its WAL is there, and nobody has found damage in it */
	/* answered */
	unsigned reasons; /* a set of bits; none: it goes */
	int64_t young_us; /* when it finished, at the latest */
	bool is_timed;	  /* its own time is believed */
	bool has_window;  /* all WAL from it on stays, on every path that it is on */
};

struct retention_path {
	/* asked */
	const struct wal_path *path;
	bool is_end;	  /* history goes no further, or goes on although another timeline has left it */
	int64_t ended_us; /* nothing was written on it after that; INT64_MAX: somebody may write */
	/* answered */
	bool has_window; /* all WAL of it from segment `window_first` on stays */
	uint64_t window_first;
};

/* A backup of which there are objects, but which is not complete: being taken, or broken off. */
struct retention_unfinished {
	/* asked */
	char branch[BRANCH_NAME_MAX + 1];
	uint32_t timeline;
	uint64_t start_lsn;
	/* answered: a backup that began after it has been complete for RETENTION_GRACE_US */
	bool is_abandoned;
};

struct retention {
	struct retention_policy policy;
	int64_t now_us;
	int64_t present_us; /* answered */
	int64_t doubted_us; /* answered: the time of the newest backup, which is not believed; 0: it is */
	int backup_count, path_count, unfinished_count;
	struct retention_backup *backups; /* these three borrowed */
	struct retention_path *paths;
	struct retention_unfinished *unfinished;
	struct wal_needed needed; /* answered; owned; its segment size is asked */
};

bool retention_plan(struct retention *retention, struct error *err) MUST_CHECK;
void retention_release(struct retention *retention);

/* "pinned", "last", "within", … as in the settings; "newest", "doubtful". */
const char *retention_reason_name(enum retention_reason reason);
/* Is any rule set? */
bool retention_policy_is_set(const struct retention_policy *policy);
/* A number that is the same for all moments of one day, week, month or year, and greater for later ones. */
int64_t retention_period(enum retention_reason reason, int64_t time_us);

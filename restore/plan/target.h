/* The point that a restore is asked to reach, as understood from the command line. Pure: reads no file and no
 * repository.
 */
#pragma once

#include "base/clock.h"
#include "config/options.h"
#include "repo/layout.h"

enum target_kind { TARGET_LATEST, TARGET_TIME, TARGET_LSN, TARGET_XID, TARGET_NAME, TARGET_IMMEDIATE, TARGET_STANDBY };
enum target_action { ACTION_PAUSE, ACTION_PROMOTE, ACTION_SHUTDOWN };
/* TIMELINE_CONTAINING: the one that contains the target; CURRENT: that of the backup; LATEST: its youngest descendant;
 * CHOSEN: by number, by branch, or both. */
enum target_timeline { TIMELINE_CONTAINING, TIMELINE_CURRENT, TIMELINE_LATEST, TIMELINE_CHOSEN };

#define TARGET_NAME_SIZE 64 /* MAXFNAMELEN, xlog_internal.h: a restore point's name with its zero */
#define TARGET_TEXT_SIZE 192

struct target {
	enum target_kind kind;
	enum target_action action;
	bool exclusive;
	int64_t time_us;
	uint64_t lsn;
	uint32_t xid;
	char name[TARGET_NAME_SIZE];
	enum target_timeline timeline;
	uint32_t timeline_number;		   /* 0: any */
	char timeline_branch[BRANCH_NAME_MAX + 1]; /* "": any */
};

/* USAGE for two targets, an unreadable one, one in the future, and combinations that mean nothing. */
bool target_parse(const struct options *options, int64_t now_us, struct target *target, struct error *err) MUST_CHECK;
/* A server that is restored in its place stays on its branch, unless another one was asked for. */
void target_stay(struct target *target, const struct layout *layout);
/* What was understood, for people: "time 2024-01-15 14:30:00+01 (2024-01-15 13:30:00.000000+00)". */
void target_format(const struct target *target, char text[TARGET_TEXT_SIZE]);
const char *target_action_name(enum target_action action);

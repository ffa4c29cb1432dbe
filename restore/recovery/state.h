/* What a restored directory says about the restore it came from: the file pitr.restore, from which --step goes on. It
 * is there until the server is seen to be promoted. */
#pragma once

#include "plan/plan.h"
#include "recovery/launch.h"

#define STATE_FILE "pitr.restore"

struct state {
	char label[BACKUP_LABEL_SIZE];
	char timeline[BRANCH_NAME_MAX + 16]; /* as --target-timeline takes it */
	char target[TARGET_TEXT_SIZE];	     /* for people */
	int64_t time_us; /* of the target; where it is none of time: of the last commit before it, or of the backup's
			    end */
	enum target_action action;
	int64_t server_version;
	bool has_group_access;
	/* How the server was started; empty: with the defaults. */
	char port[8], pg_bin[PATH_MAX], config_file[PATH_MAX];
};

void state_of_plan(const struct plan *plan, bool has_group_access, struct state *state);
bool state_write(const char *pgdata, const struct state *state, struct error *err) MUST_CHECK;
/* NOT_FOUND when there is none. */
bool state_read(const char *pgdata, struct state *state, struct error *err) MUST_CHECK;
/* None is fine. */
bool state_remove(const char *pgdata, struct error *err) MUST_CHECK;

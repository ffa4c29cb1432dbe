#include "recovery/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"

#define STATE_SIZE_MAX (64 * KiB)

void state_of_plan(const struct plan *plan, bool has_group_access, struct state *state)
{
	const struct reach *reach = &plan->reach;

	*state = (struct state){.action = plan->target.action,
				.server_version = reach->backup->server_version,
				.has_group_access = has_group_access};
	(void) snprintf(state->label, sizeof(state->label), "%s", reach->backup->label);
	(void) snprintf(state->timeline, sizeof(state->timeline), "%s/%" PRIu32, layout_branch(&reach->path->layout),
			wal_path_timeline(reach->path));
	target_format(&plan->target, state->target);
	if (plan->target.kind == TARGET_TIME)
		state->time_us = plan->target.time_us;
	else
		state->time_us = reach->last_commit.lsn != 0 ? reach->last_commit.time_us : reach->backup->finished_us;
}

static bool state_encode(const struct state *state, json_t *json, struct error *err)
{
	TRY(json_put(json, "label", json_string(state->label), err));
	TRY(json_put(json, "timeline", json_string(state->timeline), err));
	TRY(json_put(json, "target", json_string(state->target), err));
	TRY(json_put(json, "time_us", json_integer(state->time_us), err));
	TRY(json_put(json, "action", json_string(target_action_name(state->action)), err));
	TRY(json_put(json, "server_version", json_integer(state->server_version), err));
	TRY(json_put(json, "has_group_access", json_boolean(state->has_group_access), err));
	TRY(json_put(json, "port", json_string(state->port), err));
	TRY(json_put(json, "pg_bin", json_string(state->pg_bin), err));
	return json_put(json, "config_file", json_string(state->config_file), err);
}

static bool action_decode(const json_t *json, enum target_action *action, struct error *err)
{
	const char *name;

	TRY(json_get_text(json, "action", &name, err));
	for (*action = ACTION_PAUSE; *action <= ACTION_SHUTDOWN; (*action)++)
		if (strcmp(name, target_action_name(*action)) == 0)
			return true;
	return fail(err, ERROR_CORRUPT, "\"action\" is none of pause, promote, shutdown");
}

static bool state_decode(const json_t *json, struct state *state, struct error *err)
{
	TRY(json_copy_text(json, "label", state->label, sizeof(state->label), err));
	TRY(json_copy_text(json, "timeline", state->timeline, sizeof(state->timeline), err));
	TRY(json_copy_text(json, "target", state->target, sizeof(state->target), err));
	TRY(json_get_integer(json, "time_us", 0, INT64_MAX, &state->time_us, err));
	TRY(action_decode(json, &state->action, err));
	TRY(json_get_integer(json, "server_version", 0, INT32_MAX, &state->server_version, err));
	state->has_group_access = json_is_true(json_object_get(json, "has_group_access"));
	TRY(json_copy_text(json, "port", state->port, sizeof(state->port), err));
	TRY(json_copy_text(json, "pg_bin", state->pg_bin, sizeof(state->pg_bin), err));
	return json_copy_text(json, "config_file", state->config_file, sizeof(state->config_file), err);
}

bool state_write(const char *pgdata, const struct state *state, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char path[PATH_MAX];
	BUF(text, STATE_SIZE_MAX);

	TRY(state_encode(state, json, err));
	TRY(json_encode(json, &text, err));
	TRY(buf_append_text(&text, "\n", err));
	TRY(path_join(path, pgdata, STATE_FILE, err));
	return fs_replace_file(path, state->has_group_access ? 0640 : 0600, buf_bytes(&text), err);
}

bool state_read(const char *pgdata, struct state *state, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char path[PATH_MAX];
	BUF(text, STATE_SIZE_MAX);

	*state = (struct state){.time_us = 0};
	TRY(path_join(path, pgdata, STATE_FILE, err));
	TRY(fs_read_file(path, &text, err));
	TRY(json_decode(buf_bytes(&text), path, &json, err));
	return state_decode(json, state, err) ? true : fail_in(err, "\"%s\"", path);
}

bool state_remove(const char *pgdata, struct error *err)
{
	char path[PATH_MAX];

	TRY(path_join(path, pgdata, STATE_FILE, err));
	if (fs_remove(path, err))
		return true;
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	return true;
}

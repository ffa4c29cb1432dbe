#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/answer.h"
#include "repo/divergence.h"
#include "repo/mirror_upkeep.h"
#include "server_directory.h"
#include "verbs.h"

struct forking {
	const struct options *options;
	struct repo *repo;
	struct control_file control;
	struct branch_mark mark; /* of the directory: as found, then as made */
	struct divergence divergence;
	char parent[BRANCH_NAME_MAX + 1];
};

/* ------------------------------------------------------------------------------------------------ the branch */

static bool origin_make(struct forking *forking, struct branch_origin *origin, struct error *err)
{
	const struct divergence *divergence = &forking->divergence;

	*origin = (struct branch_origin){.reason = BRANCH_FORKED, .created_us = clock_now_us()};
	TRY(branch_name_new(BRANCH_FORKED, origin->branch.name, err));
	origin->branch.timeline = divergence->timeline;
	origin->branch.has_first = divergence->has_first;
	origin->branch.first_log = divergence->first_log;
	origin->branch.first_segment = divergence->first_segment;
	memcpy(origin->parent, forking->parent, sizeof(origin->parent));
	memcpy(origin->host, forking->repo->host, sizeof(origin->host));
	(void) snprintf(origin->note, sizeof(origin->note), "forked at %s", divergence->name.text);
	return true;
}

/* What the server thinks is archived, but is not where it will be looked for. */
static bool status_visit(void *context, const char *text, bool is_directory, struct error *err)
{
	const struct forking *forking = context;
	struct error ignored = {0};
	struct wal_name name;
	char directory[PATH_MAX], done[PATH_MAX], ready[PATH_MAX], base[WAL_NAME_MAX + 1];
	const char *dot = strstr(text, ".done");
	bool exists;

	if (is_directory || dot == NULL || strlen(dot) != strlen(".done") || dot - text > WAL_NAME_MAX)
		return true;
	(void) snprintf(base, sizeof(base), "%.*s", (int) (dot - text), text);
	if (!wal_name_parse(base, &name, &ignored) || (name.kind != WAL_SEGMENT && name.kind != WAL_HISTORY) ||
	    !layout_owns(&forking->mark.layout, &name))
		return true;
	TRY(path_join(directory, forking->options->pgdata, "pg_wal", err));
	TRY(path_join(done, directory, base, err));
	TRY(fs_exists(done, &exists, err));
	if (!exists)
		return true;
	TRY(path_join(directory, forking->options->pgdata, "pg_wal/archive_status", err));
	TRY(path_join(done, directory, text, err));
	(void) snprintf(base + strlen(base), sizeof(base) - strlen(base), ".ready");
	TRY(path_join(ready, directory, base, err));
	log_info("\"%s\" will be archived again", name.text);
	return fs_rename(done, ready, err);
}

static bool archive_again(struct forking *forking, struct error *err)
{
	char directory[PATH_MAX];

	TRY(path_join(directory, forking->options->pgdata, "pg_wal/archive_status", err));
	return fs_each(directory, status_visit, forking, err) || err->kind == ERROR_NOT_FOUND;
}

/* The origin first: a mark leads to a branch that is there. */
static bool fork_make(struct forking *forking, struct error *err)
{
	struct branch_origin origin;

	TRY(branch_mark_store(forking->repo, &forking->mark, err));
	TRY(origin_make(forking, &origin, err));
	forking->mark.is_set = true;
	forking->mark.has_origin = false;
	TRY(branch_chain_extend(&forking->mark.layout, &origin, err));
	TRY(branch_origin_put(forking->repo, &origin, err));
	TRY(server_directory_mark(forking->repo, forking->options->pgdata, &forking->mark, err));
	return archive_again(forking, err);
}

/* --------------------------------------------------------------------------------------------------- answers */

static bool fork_json(const struct forking *forking, bool is_new, struct error *err)
{
	const struct divergence *divergence = &forking->divergence;
	json_t *json JSON_CLEANUP = json_object();

	TRY(json_put(json, "branch", json_string(layout_branch(&forking->mark.layout)), err));
	TRY(json_put(json, "is_new", json_boolean(is_new), err));
	if (divergence->is_found)
		TRY(json_put(json, "diverges_at", json_string(divergence->name.text), err));
	return answer_print(json, err);
}

static void say_reload(const struct forking *forking)
{
	(void) printf("Run \"SELECT pg_reload_conf()\" on it before the next base backup.\n"
		      "Its standbys do not know the branch: run \"pitr-catalog fork %s -D PGDATA\" on each, or make "
		      "them anew.\n",
		      layout_branch(&forking->mark.layout));
}

static bool fork_say(const struct forking *forking, struct error *err)
{
	const struct divergence *divergence = &forking->divergence;
	const char *branch = layout_branch(&forking->mark.layout);
	char writer[WAL_WRITER_TEXT_SIZE];

	if (forking->options->json)
		return fork_json(forking, true, err);
	wal_writer_format(&divergence->writer, writer);
	if (divergence->is_missing)
		(void) printf("\"%s\" of this server is not in the branch \"%s\", which it has left before.\n",
			      divergence->name.text, forking->parent);
	else
		(void) printf("\"%s\" of this server is not what is stored in the branch \"%s\", by %s.\n",
			      divergence->name.text, forking->parent, writer);
	(void) printf("From there on this server has a branch of its own, \"%s\"; what is stored stays as it is.\n"
		      "Its archiver goes on by itself, within a minute.\n",
		      branch);
	say_reload(forking);
	(void) printf("When it is the production server, run \"pitr-catalog adopt %s\" too.\n", branch);
	return true;
}

/* ------------------------------------------------------------------------------------------------- the verbs */

static bool nothing_diverges(struct forking *forking, struct error *err)
{
	/* An earlier run may have been interrupted between mark and settings. */
	if (forking->mark.is_set)
		TRY(server_directory_mark(forking->repo, forking->options->pgdata, &forking->mark, err));
	if (forking->options->json)
		return fork_json(forking, false, err);
	(void) printf(
		"Nothing in pg_wal of this server differs from what is stored in its branch, \"%s\": no branch was "
		"made.\n",
		layout_branch(&forking->mark.layout));
	return true;
}

/* To a branch that is there: a standby of a server that has forked. */
static bool join(struct forking *forking, const char *branch, struct error *err)
{
	struct divergence *divergence = &forking->divergence;

	if (!layout_branch_is_valid(branch))
		return fail(err, ERROR_USAGE, "\"%.100s\" is no name of a branch", branch);
	if (!branch_chain_read(forking->repo, branch, &forking->repo->layout, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return fail_hint(err, "Without a name, \"pitr-catalog fork\" makes a new branch where one is needed.");
	}
	TRY(divergence_find(forking->repo, forking->options->pgdata, &forking->control, divergence, err));
	if (divergence->is_found)
		return fail(err, ERROR_USAGE, "the server is not of the branch \"%s\": \"%s\" of it differs there",
			    branch, divergence->name.text) ||
		       fail_hint(err, "Nothing was changed. Without a name, \"pitr-catalog fork\" makes a new branch.");
	forking->mark = (struct branch_mark){.is_set = true, .layout = forking->repo->layout};
	TRY(server_directory_mark(forking->repo, forking->options->pgdata, &forking->mark, err));
	if (forking->options->json)
		return fork_json(forking, false, err);
	(void) printf("This server belongs to the branch \"%s\" now. ", branch);
	(void) printf("Run \"SELECT pg_reload_conf()\" on it before the next base backup.\n");
	return true;
}

/* A damaged mark is no reason to refuse the verb that can replace it. */
static bool directory_open(struct forking *forking, bool is_named, struct error *err)
{
	if (server_directory_open(forking->options, &forking->repo, &forking->control, &forking->mark, err))
		return true;
	return is_named && err->kind == ERROR_CORRUPT && forking->repo != NULL;
}

static bool fork_run(struct forking *forking, struct error *err)
{
	bool is_named = forking->options->arguments.count > 1;

	TRY(directory_open(forking, is_named, err));
	if (is_named)
		return join(forking, forking->options->arguments.items[1], err);
	(void) snprintf(forking->parent, sizeof(forking->parent), "%s", layout_branch(&forking->repo->layout));
	TRY(divergence_find(forking->repo, forking->options->pgdata, &forking->control, &forking->divergence, err));
	if (!forking->divergence.is_found)
		return nothing_diverges(forking, err);
	TRY(fork_make(forking, err));
	return fork_say(forking, err);
}

bool verb_fork(const struct options *options, struct error *err)
{
	struct forking forking = {.options = options};
	bool done = fork_run(&forking, err);

	if (done)
		mirror_upkeep_try(forking.repo, options, options->pgdata, MIRROR_RECENT);
	repo_close(forking.repo);
	return done;
}

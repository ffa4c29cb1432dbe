#include "repo/branch_mark.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/log.h"

void branch_mark_repository(const struct repo *repo, char id[REPOSITORY_ID_TEXT_SIZE])
{
	_Static_assert(REPOSITORY_ID_TEXT_SIZE == 2 * sizeof(repo->id) + 1, "two digits for each byte");
	hex_format(bytes_of(repo->id, sizeof(repo->id)), id);
}

static void system_format(const struct repo *repo, char text[24])
{
	(void) snprintf(text, 24, "%" PRIu64, repo->layout.system_identifier);
}

/* ------------------------------------------------------------------------------------------------------- text */

static bool mark_encode(const struct repo *repo, const struct branch_mark *mark, json_t *json, struct error *err)
{
	char id[REPOSITORY_ID_TEXT_SIZE], system[24];
	json_t *chain = json_array();

	branch_mark_repository(repo, id);
	system_format(repo, system);
	TRY(json_put(json, "repository", json_string(id), err));
	TRY(json_put(json, "system_identifier", json_string(system), err));
	TRY(json_put(json, "chain", chain, err));
	for (int i = 0; i < mark->layout.branch_count; i++) {
		json_t *member = json_object();

		TRY(json_add(chain, member, err));
		TRY(branch_encode(&mark->layout.branches[i], member, err));
	}
	if (!mark->has_origin)
		return true;
	json_t *origin = json_object();
	TRY(json_put(json, "origin", origin, err));
	return branch_origin_encode(&mark->origin, origin, err);
}

static bool chain_decode(const json_t *json, struct layout *layout, struct error *err)
{
	json_t *chain;

	TRY(json_get_array(json, "chain", &chain, err));
	if (json_array_size(chain) == 0 || json_array_size(chain) > BRANCHES_MAX)
		return fail(err, ERROR_CORRUPT, "\"chain\" has %zu branches", json_array_size(chain));
	layout->branch_count = (int) json_array_size(chain);
	for (int i = 0; i < layout->branch_count; i++) {
		struct branch *branch = &layout->branches[i];
		bool is_root = i == layout->branch_count - 1;

		TRY(branch_decode(json_array_get(chain, (size_t) i), branch, err));
		if (is_root != (branch->timeline == 0) || is_root != (strcmp(branch->name, LAYOUT_BRANCH_DEFAULT) == 0))
			return fail(err, ERROR_CORRUPT, "\"chain\" does not lead to the branch \"%s\"",
				    LAYOUT_BRANCH_DEFAULT);
	}
	return true;
}

static bool origin_decode(const json_t *json, struct branch_mark *mark, struct error *err)
{
	const struct branch *first = &mark->layout.branches[0], *branch = &mark->origin.branch;
	json_t *origin;

	mark->has_origin = json_object_get(json, "origin") != NULL;
	if (!mark->has_origin)
		return true;
	TRY(json_get_object(json, "origin", &origin, err));
	TRY(branch_origin_decode(origin, &mark->origin, err));
	if (mark->layout.branch_count > 1 && strcmp(branch->name, first->name) == 0 &&
	    branch->timeline == first->timeline && branch->has_first == first->has_first &&
	    branch->first_log == first->first_log && branch->first_segment == first->first_segment &&
	    strcmp(mark->origin.parent, mark->layout.branches[1].name) == 0)
		return true;
	return fail(err, ERROR_CORRUPT, "\"origin\" is not that of its first branch");
}

static bool mark_decode(const struct repo *repo, const json_t *json, struct branch_mark *mark, struct error *err)
{
	char id[REPOSITORY_ID_TEXT_SIZE], system[24];
	const char *found_id, *found_system;

	TRY(json_get_text(json, "repository", &found_id, err));
	TRY(json_get_text(json, "system_identifier", &found_system, err));
	branch_mark_repository(repo, id);
	system_format(repo, system);
	if (strcmp(id, found_id) != 0 || strcmp(system, found_system) != 0) {
		log_debug("the mark is about the repository %.64s and the system %.64s", found_id, found_system);
		return true;
	}
	TRY(chain_decode(json, &mark->layout, err));
	TRY(origin_decode(json, mark, err));
	mark->is_set = true;
	return true;
}

bool branch_mark_parse(const struct repo *repo, struct bytes text, const char *what, struct branch_mark *mark,
		       struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	*mark = (struct branch_mark){.layout = repo->layout};
	if (json_decode(text, "it", &json, err) && mark_decode(repo, json, mark, err))
		return true;
	(void) fail_in(err, "the file \"%s\"", what);
	return fail_hint(err,
			 "It says to which branch of the repository this server belongs. Restore the file, or mark the "
			 "directory again with \"pitr-catalog fork BRANCH\".");
}

/* ------------------------------------------------------------------------------------------------------- file */

bool branch_mark_read(const struct repo *repo, const char *pgdata, struct branch_mark *mark, struct error *err)
{
	char path[PATH_MAX];
	BUF(text, BRANCH_MARK_SIZE_MAX);

	*mark = (struct branch_mark){.layout = repo->layout};
	TRY(path_join(path, pgdata, BRANCH_MARK_NAME, err));
	if (fs_read_file(path, &text, err))
		return branch_mark_parse(repo, buf_bytes(&text), path, mark, err);
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	return true;
}

static bool mark_remove(const char *path, struct error *err)
{
	if (fs_remove(path, err))
		return fs_sync_parent(path, err);
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	return true;
}

bool branch_mark_write(const struct repo *repo, const char *pgdata, mode_t mode, const struct branch_mark *mark,
		       struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char path[PATH_MAX];
	BUF(text, BRANCH_MARK_SIZE_MAX);

	TRY(path_join(path, pgdata, BRANCH_MARK_NAME, err));
	if (mark->layout.branch_count == 1)
		return mark_remove(path, err);
	TRY(mark_encode(repo, mark, json, err));
	TRY(json_encode(json, &text, err));
	TRY(buf_append_text(&text, "\n", err));
	return fs_replace_file(path, mode, buf_bytes(&text), err);
}

bool branch_mark_apply(struct repo *repo, const char *pgdata, struct branch_mark *mark, struct error *err)
{
	struct branch_mark read;
	char directory[PATH_MAX];

	if (mark == NULL)
		mark = &read;
	TRY(branch_mark_read(repo, pgdata, mark, err));
	repo->layout = mark->layout;
	if (realpath(pgdata, directory) != NULL)
		(void) snprintf(repo->directory, sizeof(repo->directory), "%.*s", (int) sizeof(repo->directory) - 1,
				directory);
	return true;
}

bool branch_mark_store(struct repo *repo, const struct branch_mark *mark, struct error *err)
{
	return mark->has_origin ? branch_origin_put(repo, &mark->origin, err) : true;
}

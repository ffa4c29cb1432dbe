#include "repo/mirror.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "config/option_table.h"
#include "repo/branch_mark.h"
#include "repo/fact.h"
#include "repo/local_document.h"
#include "repo/window_json.h"

#define DUE_AFTER_US INT64_C(60000000)
/* Summaries that are read by the way; what takes more is for the program that is called for it. */
#define RECENT_SEGMENTS_MAX 4096
/* How far the clocks of hosts may differ: so much older facts than the mirror are read again. */
#define CLOCKS_DIFFER_MAX_US   INT64_C(3600000000)
#define SETTINGS_SIZE_MAX      (64 * KiB)
#define SECRET_KEY_PLACEHOLDER "<the file of the secret key>"

struct refreshing {
	struct repo *repo;
	const struct options *options;
	int64_t now_us;
	bool has_known; /* a mirror is there and may be gone on with: */
	int64_t known_us;
	struct catalog known_catalog;
	struct windows known_windows;
	struct catalog catalog;
	struct windows windows;
};

/* ------------------------------------------------------------------------------------------------ what was there */

/* Is it of this repository and this system? It has all branches, whichever the server's is. */
static bool document_is_ours(const struct refreshing *refreshing, const json_t *json)
{
	const struct layout *layout = &refreshing->repo->layout;
	char repository[REPOSITORY_ID_TEXT_SIZE], system[24];
	const char *const wanted[][2] = {
		{"repository_id", repository}, {"cluster", layout->cluster}, {"system_identifier", system}};

	branch_mark_repository(refreshing->repo, repository);
	(void) snprintf(system, sizeof(system), "%" PRIu64, layout->system_identifier);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		const char *text = json_string_value(json_object_get(json, wanted[i][0]));

		if (text == NULL || strcmp(text, wanted[i][1]) != 0)
			return false;
	}
	return true;
}

static bool known_decode(struct refreshing *refreshing, const json_t *json, struct error *err)
{
	json_t *backups;

	TRY(json_get_integer(json, "written_us", 0, INT64_MAX, &refreshing->known_us, err));
	TRY(json_get_array(json, "backups", &backups, err));
	TRY(catalog_decode_listed(backups, &refreshing->known_catalog, err));
	return windows_decode(json, &refreshing->known_windows, err);
}

/* A mirror of a newer version stays: what it has that this program does not know would be lost. Others that cannot be
 * read are made anew. */
static bool known_read(struct refreshing *refreshing, const char *pgdata, enum mirror_depth depth, struct error *err)
{
	const struct local_document document = LOCAL_CATALOG;
	json_t *json JSON_CLEANUP = NULL;
	struct error failure = {0};

	if (!local_document_read(&document, pgdata, &json, &failure)) {
		if (failure.kind == ERROR_NOT_FOUND)
			return true;
		if (failure.kind == ERROR_CORRUPT) {
			log_info("%s: it is made anew", failure.text);
			return true;
		}
		*err = failure;
		return false;
	}
	if (depth == MIRROR_WHOLE || !document_is_ours(refreshing, json))
		return true;
	refreshing->has_known = known_decode(refreshing, json, &failure) && refreshing->known_us <= refreshing->now_us;
	if (failure.kind != ERROR_NONE)
		log_info("the mirror of the catalog in \"%s\" is made anew: %s", pgdata, failure.text);
	return true;
}

/* ----------------------------------------------------------------------------------------------- what there is */

/* The facts that are known stand for what they said; but pins and damage are taken back by name, whatever the time. */
static bool catalog_refresh(struct refreshing *refreshing, struct error *err)
{
	struct catalog *catalog = &refreshing->catalog;
	struct facts named FACTS_CLEANUP = {0};
	struct facts others FACTS_CLEANUP = {0};
	int64_t since_us = refreshing->known_us - CLOCKS_DIFFER_MAX_US;
	const unsigned named_kinds = 1u << FACT_PIN | 1u << FACT_UNPIN | 1u << FACT_VERIFIED;

	if (!refreshing->has_known)
		return facts_read_catalog(refreshing->repo, catalog, err);
	TRY(catalog_read_beyond(refreshing->repo, &refreshing->known_catalog, catalog, err));
	TRY(facts_read(refreshing->repo, named_kinds, &named, err));
	TRY(facts_read_since(refreshing->repo, FACTS_OF_BACKUPS & ~named_kinds, since_us > 0 ? since_us : 0, &others,
			     err));
	for (int i = 0; i < catalog->count; i++) {
		catalog->backups[i].pinned_until_us = 0;
		catalog->backups[i].is_damaged = false;
		catalog->backups[i].damaged_us = 0;
	}
	facts_apply(&named, catalog);
	facts_apply(&others, catalog);
	return true;
}

/* Lists at once what lies side by side in a branch, and is asked for by and by. */
static bool names_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	const char *history_prefix = context;

	(void) size;
	err->kind = ERROR_NONE;
	return strcmp(key, history_prefix) < 0 || strncmp(key, history_prefix, strlen(history_prefix)) == 0;
}

static bool names_read(struct repo *repo, struct error *err)
{
	struct branch_list list;
	char prefix[LAYOUT_KEY_SIZE], history_prefix[LAYOUT_KEY_SIZE];

	TRY(branch_list_read(repo, &list, err));
	for (int i = 0; i < list.count; i++) {
		layout_branch_prefix(&repo->layout, list.names[i], prefix);
		layout_history_prefix(&repo->layout, list.names[i], history_prefix);
		TRY(storage_list(repo->storage, prefix, "", names_visit, history_prefix, err));
	}
	return true;
}

static bool windows_refresh(struct refreshing *refreshing, enum mirror_depth depth, struct error *err)
{
	struct windows *windows = &refreshing->windows;

	windows->repo = refreshing->repo;
	windows->catalog = &refreshing->catalog;
	windows->jobs = (int) refreshing->options->jobs;
	windows->now_us = refreshing->now_us;
	windows->known = refreshing->has_known ? &refreshing->known_windows : NULL;
	windows->survey_max = depth == MIRROR_RECENT ? RECENT_SEGMENTS_MAX : 0;
	TRY(windows_find(windows, err));
	if (windows->is_partial)
		log_info("more than %d WAL segments are to be looked at for the mirror of the catalog, which stays "
			 "behind: run \"pitr-catalog mirror\"",
			 RECENT_SEGMENTS_MAX);
	return true;
}

/* ----------------------------------------------------------------------------------------------------- as JSON */

/* What a line that restores needs. The host key cannot restore: in its place stands what nobody runs by mistake. */
static bool settings_format(const struct refreshing *refreshing, struct buf *settings, struct error *err)
{
	const struct secrets *secrets = refreshing->repo->secrets;
	struct options options = *refreshing->options;
	unsigned char sources[OPTION_ID_COUNT];

	if (!secrets->encrypted || secrets->has_recipient_secret)
		return options_format_settings(&options, PITR_RESTORE, settings, err);
	memcpy(sources, options.sources, sizeof(sources));
	sources[OPTION_ID_key_file] = OPTION_DEFAULT;
	options.sources = sources;
	TRY(options_format_settings(&options, PITR_RESTORE, settings, err));
	return buf_append_text(settings, " --key-file='" SECRET_KEY_PLACEHOLDER "'", err);
}

static bool origin_encode(const struct refreshing *refreshing, json_t *json, struct error *err)
{
	const struct repo *repo = refreshing->repo;
	char id[REPOSITORY_ID_TEXT_SIZE], system[24];
	BUF(by, 128);
	BUF(settings, SETTINGS_SIZE_MAX);

	branch_mark_repository(repo, id);
	(void) snprintf(system, sizeof(system), "%" PRIu64, repo->layout.system_identifier);
	TRY(buf_format(&by, err, "%s %s", program_row_of(refreshing->options->program)->name, PITR_VERSION));
	TRY(settings_format(refreshing, &settings, err));
	TRY(json_put(json, "written_us", json_integer(refreshing->now_us), err));
	TRY(json_put(json, "written_by", json_stringn((const char *) by.data, by.size), err));
	TRY(json_put(json, "host", json_string(repo->host), err));
	TRY(json_put(json, "repository", json_message(storage_url(repo->storage)), err));
	TRY(json_put(json, "repository_id", json_string(id), err));
	TRY(json_put(json, "cluster", json_string(repo->layout.cluster), err));
	TRY(json_put(json, "system_identifier", json_string(system), err));
	TRY(json_put(json, "branch", json_string(layout_branch(&repo->layout)), err));
	json_t *text = json_stringn((const char *) settings.data, settings.size);
	/* A path need not be UTF-8. */
	return json_put(json, "settings", text != NULL ? text : json_string(""), err);
}

static bool document_encode(const struct refreshing *refreshing, json_t *json, struct error *err)
{
	json_t *backups = json_array();

	TRY(origin_encode(refreshing, json, err));
	TRY(json_put(json, "backups", backups, err));
	for (int i = 0; i < refreshing->catalog.count; i++) {
		json_t *member = json_object();

		TRY(json_add(backups, member, err));
		TRY(backup_encode_listed(&refreshing->catalog.backups[i], member, err));
	}
	return windows_encode(&refreshing->windows, true, json, err);
}

static bool refresh(struct refreshing *refreshing, const char *pgdata, enum mirror_depth depth, struct error *err)
{
	const struct local_document document = LOCAL_CATALOG;
	json_t *json JSON_CLEANUP = json_object();

	TRY(known_read(refreshing, pgdata, depth, err));
	TRY(names_read(refreshing->repo, err));
	TRY(catalog_refresh(refreshing, err));
	TRY(windows_refresh(refreshing, depth, err));
	TRY(document_encode(refreshing, json, err));
	return local_document_write(&document, pgdata, json, err);
}

bool mirror_refresh(struct repo *repo, const struct options *options, const char *pgdata, enum mirror_depth depth,
		    struct error *err)
{
	struct refreshing *refreshing = calloc(1, sizeof(*refreshing));

	if (refreshing == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	refreshing->repo = repo;
	refreshing->options = options;
	refreshing->now_us = clock_now_us();
	bool done = storage_remember(repo->storage, err) && refresh(refreshing, pgdata, depth, err);
	storage_forget(repo->storage);
	windows_release(&refreshing->windows);
	windows_release(&refreshing->known_windows);
	catalog_release(&refreshing->catalog);
	catalog_release(&refreshing->known_catalog);
	free(refreshing);
	return done || fail_in(err, "the mirror of the catalog");
}

/* The file is put in place whole, so its own time says when; asked after every segment, this does not read it. */
bool mirror_is_due(const char *pgdata)
{
	const struct local_document document = LOCAL_CATALOG;
	struct error ignored = {0};
	struct stat status;
	char path[PATH_MAX];

	if (!path_join(path, pgdata, document.name, &ignored) || stat(path, &status) != 0)
		return true;
	int64_t age_us = clock_now_us() - (int64_t) status.st_mtim.tv_sec * 1000000 - status.st_mtim.tv_nsec / 1000;
	return age_us < 0 || age_us > DUE_AFTER_US;
}

#include "repo/wal_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "pg/wal_summary_json.h"

#define HISTORY_SIZE_MAX (1 * MiB)

static enum object_kind wal_object_kind(const struct wal_name *name)
{
	return name->kind == WAL_HISTORY ? OBJECT_HISTORY : OBJECT_WAL;
}

/* Timelines are for every host to see: listing and planning need them, and they hold positions only. */
static enum object_class wal_object_class(const struct wal_name *name)
{
	return name->kind == WAL_HISTORY ? CLASS_HOST : CLASS_SECRET;
}

/* Who stores, when, and what the segment says about itself. */
static bool wal_meta_make(const struct repo *repo, struct bytes content, const struct wal_segment *segment,
			  struct buf *text, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char now[CLOCK_TEXT_SIZE];

	time_format_utc(clock_now_us(), now);
	TRY(json_put(json, "host", json_string(repo->host), err));
	TRY(json_put(json, "pid", json_integer(getpid()), err));
	TRY(json_put(json, "stored", json_string(now), err));
	if (segment != NULL) {
		struct wal_summary summary;
		json_t *member = json_object();

		TRY(json_put(json, "summary", member, err));
		TRY(wal_summary_make(content, segment, &summary, err));
		TRY(wal_summary_encode(&summary, member, err));
	}
	return json_encode(json, text, err);
}

/* The name is taken: by the same content, then all is well once that is durable, or by another. */
static bool wal_store_compare(struct repo *repo, const struct wal_name *name, const char *key, struct bytes content,
			      struct error *err)
{
	BUF(meta, OBJECT_META_MAX);
	json_t *json JSON_CLEANUP = NULL;
	const char *host = "an unknown host";
	const char *stored = "an unknown time";
	bool same;

	TRY(repo_same(repo, key, wal_object_kind(name), content, &same, &meta, err));
	if (same)
		return storage_sync(repo->storage, key, err);

	if (json_decode(buf_bytes(&meta), key, &json, err)) {
		struct error ignored = {0};
		(void) !json_get_text(json, "host", &host, &ignored);
		(void) !json_get_text(json, "stored", &stored, &ignored);
	}
	(void) fail(err, ERROR_EXISTS,
		    "\"%s\" is in the repository \"%s\" with other content, stored by host \"%s\" at %s; it was left "
		    "untouched",
		    name->text, storage_url(repo->storage), host, stored);
	return fail_hint(err,
			 "Two servers write WAL of the same name: probably a copy or an old primary is archiving to "
			 "the same place. Stop archiving on the one that is not the production server.");
}

bool wal_store_put(struct repo *repo, const struct wal_name *name, struct bytes content,
		   const struct wal_segment *segment, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	BUF(meta, OBJECT_META_MAX);

	layout_wal(&repo->layout, name, key);
	TRY(wal_meta_make(repo, content, segment, &meta, err));
	if (repo_put(repo, key, wal_object_kind(name), wal_object_class(name), buf_bytes(&meta), content, NULL, err))
		return true;
	return err->kind == ERROR_EXISTS ? wal_store_compare(repo, name, key, content, err) : false;
}

bool wal_store_get(struct repo *repo, const struct wal_name *name, struct buf *content, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	struct wal_segment segment;

	layout_wal(&repo->layout, name, key);
	TRY(repo_get(repo, key, wal_object_kind(name), content, err));
	if (name->kind != WAL_SEGMENT)
		return true;
	if (!wal_segment_check(buf_bytes(content), name, &segment, err))
		return fail_in(err, "the object \"%s\"", key);
	if (segment.system_identifier != repo->layout.system_identifier)
		return fail(err, ERROR_CORRUPT, "the object \"%s\" holds WAL of another cluster", key);
	return true;
}

bool wal_store_have(struct repo *repo, const struct wal_name *name, bool *have, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	layout_wal(&repo->layout, name, key);
	return repo_have(repo, key, wal_object_kind(name), have, err);
}

bool wal_store_summary(struct repo *repo, const struct wal_name *name, struct wal_summary *summary, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	BUF(meta, OBJECT_META_MAX);
	json_t *json JSON_CLEANUP = NULL;
	json_t *member;

	layout_wal(&repo->layout, name, key);
	TRY(repo_peek(repo, key, wal_object_kind(name), &header, &meta, err));
	TRY(json_decode(buf_bytes(&meta), key, &json, err));
	if (json_get_object(json, "summary", &member, err) && wal_summary_decode(member, summary, err))
		return true;
	return fail_in(err, "the summary of \"%s\"", key);
}

struct later {
	const struct layout *layout;
	bool found;
	struct wal_name *name;
};

/* Takes the first segment of a listing and ends it. */
static bool later_take(void *context, const char *key, uint64_t size, struct error *err)
{
	struct later *later = context;

	(void) size;
	if (!layout_parse_wal(later->layout, key, later->name) || later->name->kind != WAL_SEGMENT)
		return true;
	later->found = true;
	err->kind = ERROR_NONE;
	return false;
}

bool wal_store_later(struct repo *repo, const struct wal_name *name, bool *found, struct wal_name *later,
		     struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE];
	char key[LAYOUT_KEY_SIZE];
	struct later search = {.layout = &repo->layout, .found = false, .name = later};

	layout_wal_prefix(&repo->layout, name->timeline, prefix);
	layout_wal(&repo->layout, name, key);
	TRY(storage_list(repo->storage, prefix, key, later_take, &search, err));
	*found = search.found;
	return true;
}

bool wal_store_history(struct repo *repo, uint32_t timeline, struct timeline_history *history, struct error *err)
{
	struct wal_name name = {.kind = WAL_HISTORY, .timeline = timeline};
	char key[LAYOUT_KEY_SIZE];
	BUF(text, HISTORY_SIZE_MAX);

	if (timeline == 1) {
		timeline_history_root(1, history);
		return true;
	}
	(void) snprintf(name.text, sizeof(name.text), "%08" PRIX32 ".history", timeline);
	TRY(wal_store_get(repo, &name, &text, err));
	layout_wal(&repo->layout, &name, key);
	if (!timeline_history_parse(timeline, buf_bytes(&text), history, err))
		return fail_in(err, "the object \"%s\"", key);
	return true;
}

struct timelines {
	uint32_t *timelines;
	int max;
	int count;
	size_t prefix_size;
	uint32_t first; /* of the listing that was ended */
};

static bool timelines_add(struct timelines *list, uint32_t timeline, struct error *err)
{
	int place = 0;

	while (place < list->count && list->timelines[place] < timeline)
		place++;
	if (place < list->count && list->timelines[place] == timeline)
		return true;
	if (list->count == list->max)
		return fail(err, ERROR_CORRUPT, "the repository has more than %d timelines", list->max);
	memmove(&list->timelines[place + 1], &list->timelines[place],
		(size_t) (list->count - place) * sizeof(list->timelines[0]));
	list->timelines[place] = timeline;
	list->count++;
	return true;
}

static bool timelines_visit_history(void *context, const char *key, uint64_t size, struct error *err)
{
	struct timelines *list = context;
	uint32_t timeline;

	(void) size;
	if (sscanf(key + list->prefix_size, "%8" SCNx32 ".history", &timeline) != 1)
		return true;
	return timelines_add(list, timeline, err);
}

static bool timelines_visit_first(void *context, const char *key, uint64_t size, struct error *err)
{
	struct timelines *list = context;

	(void) size;
	if (sscanf(key + list->prefix_size, "%8" SCNx32 "/", &list->first) != 1)
		list->first = 0;
	err->kind = ERROR_NONE;
	return false;
}

bool wal_store_timelines(struct repo *repo, uint32_t *timelines, int max, int *count, struct error *err)
{
	struct timelines list = {.timelines = timelines, .max = max};
	char prefix[LAYOUT_KEY_SIZE];
	char after[LAYOUT_KEY_SIZE] = "";

	layout_history_prefix(&repo->layout, prefix);
	list.prefix_size = strlen(prefix);
	TRY(storage_list(repo->storage, prefix, "", timelines_visit_history, &list, err));

	/* A short listing for each timeline with segments, which jumps over the segments. */
	layout_wal_timelines_prefix(&repo->layout, prefix);
	list.prefix_size = strlen(prefix);
	for (;;) {
		list.first = 0;
		TRY(storage_list(repo->storage, prefix, after, timelines_visit_first, &list, err));
		if (list.first == 0)
			break;
		TRY(timelines_add(&list, list.first, err));
		layout_behind_timeline(&repo->layout, list.first, after);
	}
	*count = list.count;
	return true;
}

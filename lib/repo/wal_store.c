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
	json_t *directory = repo->directory[0] != '\0' ? json_string(repo->directory) : NULL;
	if (directory != NULL) /* a path need not be UTF-8 */
		TRY(json_put(json, "directory", directory, err));
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

/* What a meta section says about who stored the object; what it does not say is empty. */
static void writer_decode(struct bytes meta, const char *key, struct wal_writer *writer)
{
	json_t *json JSON_CLEANUP = NULL;
	struct error ignored = {0};

	*writer = (struct wal_writer){.pid = 0};
	if (!json_decode(meta, key, &json, &ignored))
		return;
	(void) !json_copy_text(json, "host", writer->host, sizeof(writer->host), &ignored);
	(void) !json_copy_text(json, "directory", writer->directory, sizeof(writer->directory), &ignored);
	(void) !json_copy_text(json, "stored", writer->stored, sizeof(writer->stored), &ignored);
	(void) !json_get_integer(json, "pid", 0, INT32_MAX, &writer->pid, &ignored);
}

static bool key_same(struct repo *repo, const char *key, enum object_kind kind, struct bytes content, bool *same,
		     struct wal_writer *writer, struct error *err)
{
	BUF(meta, OBJECT_META_MAX);

	TRY(repo_same(repo, key, kind, content, same, &meta, err));
	writer_decode(buf_bytes(&meta), key, writer);
	return true;
}

bool wal_store_same(struct repo *repo, const struct wal_name *name, struct bytes content, bool *same,
		    struct wal_writer *writer, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	/* Only what is read along the chain is looked for there. */
	if (name->kind == WAL_SEGMENT || name->kind == WAL_HISTORY)
		layout_wal(&repo->layout, name, key);
	else
		layout_wal_new(&repo->layout, name, key);
	return key_same(repo, key, wal_object_kind(name), content, same, writer, err);
}

void wal_writer_format(const struct wal_writer *writer, char text[WAL_WRITER_TEXT_SIZE])
{
	bool has_directory = writer->directory[0] != '\0';

	(void) snprintf(text, WAL_WRITER_TEXT_SIZE, "host \"%.100s\"%s%.150s%s (process %" PRId64 ") at %s",
			writer->host[0] != '\0' ? writer->host : "?", has_directory ? " from \"" : "",
			writer->directory, has_directory ? "\"" : "", writer->pid,
			writer->stored[0] != '\0' ? writer->stored : "an unknown time");
}

static bool fail_fork_hint(const struct repo *repo, struct error *err)
{
	return fail_hint(err,
			 "Two servers write WAL of the same name: a copy that carries no mark, an old primary, or a "
			 "second one that was promoted. Stop archiving on the one that is not to go on. If that is the "
			 "other one, run here: pitr-catalog fork -D '%.200s' (nothing in the repository is lost by it)",
			 repo->directory[0] != '\0' ? repo->directory : "PGDATA");
}

/* The name is taken: by the same content, then all is well once that is durable, or by another. */
static bool wal_store_compare(struct repo *repo, const struct wal_name *name, const char *key, struct bytes content,
			      struct error *err)
{
	struct wal_writer writer;
	char text[WAL_WRITER_TEXT_SIZE];
	bool same;

	TRY(key_same(repo, key, wal_object_kind(name), content, &same, &writer, err));
	if (same)
		return storage_sync(repo->storage, key, err);
	wal_writer_format(&writer, text);
	(void) fail(err, ERROR_EXISTS,
		    "\"%s\" is in the repository \"%.200s\" with other content, stored by %s; it was left untouched. "
		    "This is host \"%.100s\", data directory \"%.150s\"",
		    name->text, storage_url(repo->storage), text, repo->host,
		    repo->directory[0] != '\0' ? repo->directory : "unknown");
	return fail_fork_hint(repo, err);
}

bool wal_store_check(struct repo *repo, const struct layout *layout, const struct wal_name *name, struct bytes content,
		     struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	layout_wal(layout, name, key);
	return wal_store_compare(repo, name, key, content, err);
}

/* A file of the time before the server's branch began: a server in recovery may offer again what it has fetched
 * (archive_mode = always). What it has not fetched is not the parent's, and where it would be stored nobody looks. */
static bool wal_store_put_again(struct repo *repo, const struct wal_name *name, struct bytes content, struct error *err)
{
	const struct branch *owner = layout_owner(&repo->layout, name);
	char key[LAYOUT_KEY_SIZE];

	layout_wal(&repo->layout, name, key);
	if (wal_store_compare(repo, name, key, content, err))
		return true;
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	(void) fail(err, ERROR_EXISTS,
		    "\"%s\" would be of the branch \"%s\", which this server has left before, and is not there: it was "
		    "not stored",
		    name->text, owner->name);
	return fail_fork_hint(repo, err);
}

bool wal_store_put(struct repo *repo, const struct wal_name *name, struct bytes content,
		   const struct wal_segment *segment, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	BUF(meta, OBJECT_META_MAX);

	if ((name->kind == WAL_SEGMENT || name->kind == WAL_HISTORY) && !layout_owns(&repo->layout, name))
		return wal_store_put_again(repo, name, content, err);
	layout_wal_new(&repo->layout, name, key);
	TRY(wal_meta_make(repo, content, segment, &meta, err));
	if (repo_put(repo, key, wal_object_kind(name), wal_object_class(name), buf_bytes(&meta), content, NULL, err))
		return true;
	return err->kind == ERROR_EXISTS ? wal_store_compare(repo, name, key, content, err) : false;
}

bool wal_store_get(struct repo *repo, const struct layout *layout, const struct wal_name *name, struct buf *content,
		   struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	struct wal_segment segment;

	layout_wal(layout, name, key);
	TRY(repo_get(repo, key, wal_object_kind(name), content, err));
	if (name->kind != WAL_SEGMENT)
		return true;
	if (!wal_segment_check(buf_bytes(content), name, &segment, err))
		return fail_in(err, "the object \"%s\"", key);
	if (segment.system_identifier != repo->layout.system_identifier)
		return fail(err, ERROR_CORRUPT, "the object \"%s\" holds WAL of another cluster", key);
	return true;
}

bool wal_store_have(struct repo *repo, const struct layout *layout, const struct wal_name *name, bool *have,
		    struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	layout_wal(layout, name, key);
	return repo_have(repo, key, wal_object_kind(name), have, err);
}

bool wal_store_meta(struct repo *repo, const struct layout *layout, const struct wal_name *name, json_t **meta,
		    struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	BUF(text, OBJECT_META_MAX);

	layout_wal(layout, name, key);
	TRY(repo_peek(repo, key, wal_object_kind(name), &header, &text, err));
	return json_decode(buf_bytes(&text), key, meta, err);
}

/* Who stored it is for people: without, the segment is as good. */
static void entry_copy_text(const json_t *meta, const char *key, char *text, size_t size)
{
	const char *value = json_string_value(json_object_get(meta, key));

	(void) snprintf(text, size, "%s", value == NULL ? "" : value);
}

bool wal_entry_decode(const json_t *meta, const struct wal_name *name, struct wal_entry *entry, struct error *err)
{
	json_t *member;

	entry_copy_text(meta, "host", entry->host, sizeof(entry->host));
	entry_copy_text(meta, "stored", entry->stored, sizeof(entry->stored));
	if (!json_get_object(meta, "summary", &member, err) || !wal_summary_decode(member, &entry->summary, err))
		return fail_in(err, "the summary of \"%s\"", name->text);
	if (entry->summary.start != wal_segment_start(name, entry->summary.segment_size))
		return fail(err, ERROR_CORRUPT, "the summary of \"%s\" belongs to another segment", name->text);
	return true;
}

bool wal_store_entry(struct repo *repo, const struct layout *layout, const struct wal_name *name,
		     struct wal_entry *entry, struct error *err)
{
	json_t *meta JSON_CLEANUP = NULL;

	TRY(wal_store_meta(repo, layout, name, &meta, err));
	return wal_entry_decode(meta, name, entry, err);
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

/* A listing begins behind a key: in the branch that `name` is read from behind its own, in a younger one at the
 * beginning of the timeline. */
bool wal_store_later(struct repo *repo, const struct layout *layout, const struct wal_name *name, bool *found,
		     struct wal_name *later, struct error *err)
{
	const struct branch *owner = layout_owner(layout, name);
	struct later search = {.layout = layout, .found = false, .name = later};
	char prefix[LAYOUT_KEY_SIZE], after[LAYOUT_KEY_SIZE];

	layout_wal(layout, name, after);
	for (int i = (int) (owner - layout->branches); i >= 0 && !search.found; i--) {
		if (!layout_owns_timeline(layout, i, name->timeline))
			continue;
		layout_wal_prefix(layout, layout->branches[i].name, name->timeline, prefix);
		TRY(storage_list(repo->storage, prefix, &layout->branches[i] == owner ? after : "", later_take, &search,
				 err));
	}
	*found = search.found;
	return true;
}

bool wal_store_history(struct repo *repo, const struct layout *layout, uint32_t timeline,
		       struct timeline_history *history, struct error *err)
{
	struct wal_name name;
	char key[LAYOUT_KEY_SIZE];
	BUF(text, HISTORY_SIZE_MAX);

	if (timeline == 1) {
		timeline_history_root(1, history);
		return true;
	}
	wal_name_of_history(timeline, &name);
	TRY(wal_store_get(repo, layout, &name, &text, err));
	layout_wal(layout, &name, key);
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

bool wal_store_histories(struct repo *repo, const char *branch, uint32_t *timelines, int max, int *count,
			 struct error *err)
{
	struct timelines list = {.timelines = timelines, .max = max};
	char prefix[LAYOUT_KEY_SIZE];

	layout_history_prefix(&repo->layout, branch, prefix);
	list.prefix_size = strlen(prefix);
	TRY(storage_list(repo->storage, prefix, "", timelines_visit_history, &list, err));
	*count = list.count;
	return true;
}

bool wal_store_timelines(struct repo *repo, const char *branch, uint32_t *timelines, int max, int *count,
			 struct error *err)
{
	struct timelines list = {.timelines = timelines, .max = max};
	char prefix[LAYOUT_KEY_SIZE];
	char after[LAYOUT_KEY_SIZE] = "";

	TRY(wal_store_histories(repo, branch, timelines, max, &list.count, err));

	/* A short listing for each timeline with segments, which jumps over the segments. */
	layout_wal_timelines_prefix(&repo->layout, branch, prefix);
	list.prefix_size = strlen(prefix);
	for (;;) {
		list.first = 0;
		TRY(storage_list(repo->storage, prefix, after, timelines_visit_first, &list, err));
		if (list.first == 0)
			break;
		TRY(timelines_add(&list, list.first, err));
		layout_behind_timeline(&repo->layout, branch, list.first, after);
	}
	*count = list.count;
	return true;
}

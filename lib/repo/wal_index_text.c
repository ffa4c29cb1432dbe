#include "repo/wal_index_text.h"

#include <string.h>

/* How the line of a segment begins; behind it are the 24 characters of its name. */
static const char line_start[] = "{\"name\":\"";
#define LINE_NAME_AT   (sizeof(line_start) - 1)
#define LINE_NAME_SIZE 24

void wal_index_text_release(struct wal_index_text *index)
{
	buf_release(&index->text);
}

/* Lines of other segments, and what is none, are not looked at: it is a cache. */
static void line_note(struct wal_index_text *index, size_t offset, size_t size, uint32_t segment_size)
{
	const char *line = (const char *) index->text.data + offset;
	char text[LINE_NAME_SIZE + 1] = "";
	struct wal_name name;
	struct error ignored = {0};

	if (size > WAL_INDEX_LINE_MAX || size < LINE_NAME_AT + LINE_NAME_SIZE ||
	    memcmp(line, line_start, LINE_NAME_AT) != 0)
		return;
	memcpy(text, line + LINE_NAME_AT, LINE_NAME_SIZE);
	if (!wal_name_parse(text, &name, &ignored) || name.kind != WAL_SEGMENT)
		return;
	uint64_t number = wal_segment_number(&name, segment_size);
	if (number / WAL_INDEX_BLOCK == index->block)
		index->lines[number % WAL_INDEX_BLOCK] =
			(struct wal_index_line){.offset = (uint32_t) offset, .size = (uint32_t) size};
}

static bool first_line_read(struct wal_index_text *index, size_t size, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	TRY(size <= WAL_INDEX_LINE_MAX || fail(err, ERROR_CORRUPT, "its first line is too long"));
	TRY(json_decode(bytes_slice(buf_bytes(&index->text), 0, size), "its first line", &json, err));
	return json_get_integer(json, "made_us", 0, INT64_MAX, &index->made_us, err);
}

bool wal_index_text_open(struct wal_index_text *index, struct buf *text, uint64_t block, uint32_t segment_size,
			 struct error *err)
{
	bool is_first = true;

	memset(index, 0, sizeof(*index));
	index->block = block;
	buf_move(&index->text, text);
	for (size_t offset = 0; offset < index->text.size;) {
		const uint8_t *line = index->text.data + offset;
		const uint8_t *end = memchr(line, '\n', index->text.size - offset);

		if (end == NULL)
			return fail(err, ERROR_CORRUPT, "its last line has no end");
		if (is_first)
			TRY(first_line_read(index, (size_t) (end - line), err));
		else
			line_note(index, offset, (size_t) (end - line), segment_size);
		is_first = false;
		offset += (size_t) (end - line) + 1;
	}
	return !is_first || fail(err, ERROR_CORRUPT, "it is empty");
}

bool wal_index_text_find(const struct wal_index_text *index, uint64_t number, const struct wal_name *name,
			 uint32_t stored_size, json_t **meta, struct error *err)
{
	const struct wal_index_line *line = &index->lines[number % WAL_INDEX_BLOCK];
	json_t *json JSON_CLEANUP = NULL;
	json_t *member;
	const char *text;
	uint32_t size;

	*meta = NULL;
	if (line->size == 0 || number / WAL_INDEX_BLOCK != index->block)
		return true;
	TRY(json_decode(bytes_slice(buf_bytes(&index->text), line->offset, line->size), name->text, &json, err));
	TRY(json_get_text(json, "name", &text, err));
	TRY(json_get_u32(json, "size", &size, err));
	if (strcmp(text, name->text) != 0 || size != stored_size)
		return true;
	TRY(json_get_object(json, "meta", &member, err));
	*meta = json_incref(member);
	return true;
}

bool wal_index_text_begin(struct buf *text, const char *host, int64_t made_us, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(json_put(json, "made_us", json_integer(made_us), err));
	TRY(json_put(json, "host", json_string(host), err));
	TRY(json_encode(json, text, err));
	return buf_append_text(text, "\n", err);
}

bool wal_index_text_add(struct buf *text, const struct wal_name *name, uint32_t stored_size, json_t *meta,
			bool *is_added, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	size_t before = text->size;

	TRY(json_put(json, "name", json_string(name->text), err));
	TRY(json_put(json, "size", json_integer(stored_size), err));
	TRY(json_put(json, "meta", json_incref(meta), err));
	TRY(json_encode(json, text, err));
	*is_added = text->size - before <= WAL_INDEX_LINE_MAX;
	if (*is_added)
		return buf_append_text(text, "\n", err);
	text->size = before;
	return true;
}

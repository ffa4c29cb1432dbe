#include "pg/wal_name.h"

#include <stdio.h>
#include <string.h>

#define FIELD_DIGITS   8
#define SEGMENT_DIGITS (3 * FIELD_DIGITS)

static bool digit_value(char digit, uint32_t *value)
{
	if (digit >= '0' && digit <= '9')
		*value = (uint32_t) (digit - '0');
	else if (digit >= 'A' && digit <= 'F')
		*value = (uint32_t) (digit - 'A') + 10;
	else
		return false;
	return true;
}

/* Eight upper-case digits: PostgreSQL writes %08X and compares names as text, so "1a" would be another file. */
static bool field_parse(const char *text, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < FIELD_DIGITS; i++) {
		uint32_t digit;

		if (!digit_value(text[i], &digit))
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* The part behind the last digit decides the kind; what stands before it has been measured by then. */
static bool kind_parse(const char *text, size_t length, struct wal_name *name)
{
	if (length == FIELD_DIGITS + strlen(".history") && strcmp(text + FIELD_DIGITS, ".history") == 0) {
		name->kind = WAL_HISTORY;
		return field_parse(text, &name->timeline);
	}
	if (length < SEGMENT_DIGITS || !field_parse(text, &name->timeline) ||
	    !field_parse(text + FIELD_DIGITS, &name->log) || !field_parse(text + 2 * FIELD_DIGITS, &name->segment))
		return false;
	/* The smallest segment is 1 MB, so there are at most 4096 of them in the 4 GB of one log. */
	if (name->segment >= (UINT64_C(1) << 32) / WAL_SEGMENT_SIZE_MIN)
		return false;
	text += SEGMENT_DIGITS;
	length -= SEGMENT_DIGITS;
	if (length == 0) {
		name->kind = WAL_SEGMENT;
		return true;
	}
	if (strcmp(text, ".partial") == 0) {
		name->kind = WAL_PARTIAL;
		return true;
	}
	if (length < 1 + FIELD_DIGITS || text[0] != '.' || !field_parse(text + 1, &name->offset))
		return false;
	name->kind = WAL_BACKUP;
	if (strcmp(text + 1 + FIELD_DIGITS, ".backup") == 0)
		return true;
	name->kind = WAL_PARTIAL;
	return strcmp(text + 1 + FIELD_DIGITS, ".partial") == 0 && name->offset > 0;
}

bool wal_name_parse(const char *text, struct wal_name *name, struct error *err)
{
	size_t length = strnlen(text, WAL_NAME_MAX + 1);

	*name = (struct wal_name){.kind = WAL_SEGMENT};
	if (length > WAL_NAME_MAX || !kind_parse(text, length, name) || name->timeline == 0) {
		fail(err, ERROR_USAGE, "\"%.*s\" is not the name of a WAL file", WAL_NAME_MAX, text);
		return fail_hint(err, "WAL files are named like \"000000010000000000000001\", \"….partial\", "
				      "\"….00000028.backup\" or \"00000002.history\", in upper case.");
	}
	memcpy(name->text, text, length + 1);
	return true;
}

static uint64_t segments_per_log(uint32_t segment_size)
{
	return (UINT64_C(1) << 32) / segment_size;
}

void wal_name_of_segment(uint32_t timeline, uint64_t segment_number, uint32_t segment_size, struct wal_name *name)
{
	*name = (struct wal_name){
		.kind = WAL_SEGMENT,
		.timeline = timeline,
		.log = (uint32_t) (segment_number / segments_per_log(segment_size)),
		.segment = (uint32_t) (segment_number % segments_per_log(segment_size)),
	};
	snprintf(name->text, sizeof(name->text), "%08X%08X%08X", name->timeline, name->log, name->segment);
}

void wal_name_of_history(uint32_t timeline, struct wal_name *name)
{
	*name = (struct wal_name){.kind = WAL_HISTORY, .timeline = timeline};
	snprintf(name->text, sizeof(name->text), "%08X.history", timeline);
}

void wal_name_of_partial(const struct wal_name *segment, uint32_t offset, struct wal_name *name)
{
	*name = *segment;
	name->kind = WAL_PARTIAL;
	name->offset = offset;
	snprintf(name->text, sizeof(name->text), "%08X%08X%08X.%08X.partial", name->timeline, name->log, name->segment,
		 offset);
}

bool wal_segment_size_valid(uint64_t size)
{
	return size >= WAL_SEGMENT_SIZE_MIN && size <= WAL_SEGMENT_SIZE_MAX && (size & (size - 1)) == 0;
}

uint64_t wal_segment_number(const struct wal_name *name, uint32_t segment_size)
{
	return name->log * segments_per_log(segment_size) + name->segment;
}

uint64_t wal_segment_start(const struct wal_name *name, uint32_t segment_size)
{
	return wal_segment_number(name, segment_size) * segment_size;
}

uint64_t wal_segment_of(uint64_t lsn, uint32_t segment_size)
{
	return lsn / segment_size;
}

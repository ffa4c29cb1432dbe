#include "pg/backup_label.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "pg/wal_name.h"

/* Nobody's label is longer: MAXPGPATH for the label, and some ten short lines (build_backup_content() of xlogbackup.c).
 */
#define LABEL_FILE_SIZE_MAX (16 * KiB)

/* The value of the next line when it begins with `key`; the line is then taken off `text`. Without one, false. */
static bool line_take(struct bytes *text, const char *key, struct bytes *value)
{
	struct bytes prefix = bytes_of_text(key);
	const uint8_t *newline = text->size > 0 ? memchr(text->data, '\n', text->size) : NULL;
	size_t size = newline != NULL ? (size_t) (newline - text->data) : text->size;

	if (size < prefix.size || memcmp(text->data, prefix.data, prefix.size) != 0)
		return false;
	*value = bytes_slice(*text, prefix.size, size - prefix.size);
	size += newline != NULL;
	*text = bytes_slice(*text, size, text->size - size);
	return true;
}

/* The first word of `value` as text; words are blank-separated, longer ones than `size_max` - 1 are none. */
static bool word_take(struct bytes *value, char *word, size_t size_max)
{
	size_t size = 0;

	while (size < value->size && value->data[size] != ' ')
		size++;
	if (size == 0 || size >= size_max)
		return false;
	memcpy(word, value->data, size);
	word[size] = '\0';
	size += size < value->size;
	*value = bytes_slice(*value, size, value->size - size);
	return true;
}

static bool lsn_take(struct bytes *value, uint64_t *lsn)
{
	char word[LSN_TEXT_SIZE];

	return word_take(value, word, sizeof(word)) && lsn_parse(word, lsn);
}

/* "0/2000028 (file 000000010000000000000002)": the file's name carries the timeline, in every version. */
static bool start_parse(struct bytes value, struct backup_label *label)
{
	char word[WAL_NAME_MAX], *parenthesis;
	struct wal_name name;
	struct error ignored;

	if (!lsn_take(&value, &label->start) || !word_take(&value, word, sizeof(word)) || strcmp(word, "(file") != 0 ||
	    !word_take(&value, word, sizeof(word)))
		return false;
	parenthesis = strchr(word, ')');
	if (parenthesis == NULL || parenthesis[1] != '\0')
		return false;
	*parenthesis = '\0';
	if (!wal_name_parse(word, &name, &ignored) || name.kind != WAL_SEGMENT)
		return false;
	label->timeline = name.timeline;
	return true;
}

static bool number_parse(struct bytes value, uint32_t *number)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < value.size; i++) {
		if (!isdigit(value.data[i]))
			return false;
		sum = sum * 10 + (uint64_t) (value.data[i] - '0');
		if (sum > UINT32_MAX)
			return false;
	}
	*number = (uint32_t) sum;
	return value.size > 0;
}

/* The order is fixed, and every line is taken at its place only: a label that contains newlines cannot pose as one. */
static bool lines_parse(struct bytes text, struct backup_label *label, struct error *err)
{
	struct bytes value;
	uint32_t timeline;

	if (!line_take(&text, "START WAL LOCATION: ", &value) || !start_parse(value, label))
		return fail(err, ERROR_CORRUPT, "no start location");
	if (!line_take(&text, "CHECKPOINT LOCATION: ", &value) || !lsn_take(&value, &label->checkpoint) ||
	    value.size > 0)
		return fail(err, ERROR_CORRUPT, "no checkpoint location");
	if (!line_take(&text, "BACKUP METHOD: ", &value))
		return fail(err, ERROR_CORRUPT, "no backup method");
	if (!line_take(&text, "BACKUP FROM: ", &value))
		return fail(err, ERROR_CORRUPT, "not said whether from a primary or a standby");
	label->from_standby = bytes_equal(value, bytes_of_text("standby"));
	if (!line_take(&text, "START TIME: ", &value))
		return fail(err, ERROR_CORRUPT, "no start time");
	if (!line_take(&text, "LABEL: ", &value) || value.size >= sizeof(label->label))
		return fail(err, ERROR_CORRUPT, "no label, or too long a one");
	if (value.size > 0)
		memcpy(label->label, value.data, value.size);
	label->label[value.size] = '\0';
	if (line_take(&text, "START TIMELINE: ", &value) &&
	    (!number_parse(value, &timeline) || timeline != label->timeline))
		return fail(err, ERROR_CORRUPT, "the start timeline is not that of the WAL file, %" PRIu32,
			    label->timeline);
	return true;
}

bool backup_label_parse(struct bytes text, struct backup_label *label, struct error *err)
{
	*label = (struct backup_label){.start = 0};
	if (text.size > LABEL_FILE_SIZE_MAX)
		return fail(err, ERROR_CORRUPT, "a backup label of %zu bytes is none", text.size);
	if (!lines_parse(text, label, err))
		return fail_in(err, "backup label");
	if (label->start == 0 || label->checkpoint < label->start)
		return fail(err, ERROR_CORRUPT, "backup label: the checkpoint lies before the start location");
	return true;
}

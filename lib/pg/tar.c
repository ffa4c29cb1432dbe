#include "pg/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where the fields lie (POSIX.1-1988 ustar; enum tarHeaderField in PostgreSQL's pgtar.h). */
#define NAME_OFFSET	0
#define NAME_SIZE	100
#define MODE_OFFSET	100
#define MODE_SIZE	8
#define SIZE_OFFSET	124
#define SIZE_SIZE	12
#define TIME_OFFSET	136
#define TIME_SIZE	12
#define CHECKSUM_OFFSET 148
#define CHECKSUM_SIZE	8
#define TYPE_OFFSET	156
#define LINK_OFFSET	157
#define LINK_SIZE	100
#define MAGIC_OFFSET	257
#define PREFIX_OFFSET	345
#define PREFIX_SIZE	155

/* Larger than any file that a file system under PostgreSQL holds. */
#define SIZE_LIMIT (UINT64_C(1) << 50)

void tar_init(struct tar *tar, struct tar_visitor visitor)
{
	memset(tar, 0, sizeof(*tar));
	tar->visitor = visitor;
}

static bool tar_fail(const struct tar *tar, struct error *err, const char *why)
{
	return fail(err, ERROR_CORRUPT, "the tar stream of the server is damaged at byte %" PRIu64 ": %s",
		    tar->position, why);
}

/* Octal digits, or base 256 behind a byte 0x80 for what does not fit (print_tar_number(), src/port/tar.c). */
static bool number_parse(const uint8_t *field, size_t size, uint64_t *number)
{
	size_t i = 0;
	bool has_digits = false;

	*number = 0;
	if (field[0] == 0x80) {
		for (i = 1; i < size; i++) {
			if (*number >> 56 != 0)
				return false;
			*number = *number << 8 | field[i];
		}
		return true;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		*number = *number << 3 | (uint64_t) (field[i] - '0'); /* 12 digits at most: 36 bits */
		has_digits = true;
	}
	for (; i < size; i++) {
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	}
	return has_digits;
}

/* The unsigned sum of all bytes, those of the checksum itself taken as blanks. */
static uint64_t header_checksum(const uint8_t *header)
{
	uint64_t sum = CHECKSUM_SIZE * ' ';

	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		if (i < CHECKSUM_OFFSET || i >= CHECKSUM_OFFSET + CHECKSUM_SIZE)
			sum += header[i];
	}
	return sum;
}

static bool header_is_zero(const uint8_t *header)
{
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		if (header[i] != 0)
			return false;
	}
	return true;
}

/* A field that ends with a zero byte, or with the field. `text` holds size + 1 bytes. */
static void field_text(const uint8_t *field, size_t size, char *text)
{
	size_t length = strnlen((const char *) field, size);

	memcpy(text, field, length);
	text[length] = '\0';
}

/* Relative, and no part of it empty, "." or "..". */
static bool path_is_safe(const char *path)
{
	const char *part = path;

	for (;;) {
		size_t length = strcspn(part, "/");

		if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[length] == '\0')
			return true;
		part += length + 1;
	}
}

static bool link_is_tablespace(const struct tar_entry *entry)
{
	static const char directory[] = "pg_tblspc/";
	const char *oid = entry->path + strlen(directory);

	if (strncmp(entry->path, directory, strlen(directory)) != 0)
		return false;
	return *oid != '\0' && strspn(oid, "0123456789") == strlen(oid) && entry->link[0] == '/';
}

static bool entry_parse_path(const struct tar *tar, struct tar_entry *entry, struct error *err)
{
	char name[NAME_SIZE + 1];
	char prefix[PREFIX_SIZE + 1];

	field_text(tar->header + NAME_OFFSET, NAME_SIZE, name);
	field_text(tar->header + PREFIX_OFFSET, PREFIX_SIZE, prefix);
	(void) snprintf(entry->path, sizeof(entry->path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/", name);

	/* Servers send "./pg_wal/archive_status" (basebackup.c, sendDir(), 13 to 18). */
	size_t length = strlen(entry->path);
	if (strncmp(entry->path, "./", 2) == 0) {
		length -= 2;
		memmove(entry->path, entry->path + 2, length + 1);
	}
	if (entry->type == TAR_DIRECTORY && length > 1 && entry->path[length - 1] == '/')
		entry->path[length - 1] = '\0';
	if (!path_is_safe(entry->path))
		return fail(err, ERROR_CORRUPT, "the server sent the path \"%s\", which leads elsewhere", entry->path);
	return true;
}

static bool entry_parse_type(const struct tar *tar, struct tar_entry *entry, struct error *err)
{
	switch (tar->header[TYPE_OFFSET]) {
	case '0':
	case '\0':
		entry->type = TAR_FILE;
		return true;
	case '2':
		entry->type = TAR_LINK;
		field_text(tar->header + LINK_OFFSET, LINK_SIZE, entry->link);
		return true;
	case '5':
		entry->type = TAR_DIRECTORY;
		return true;
	default:
		return tar_fail(tar, err, "an entry is neither a file nor a directory nor a symbolic link");
	}
}

static bool entry_parse(const struct tar *tar, struct tar_entry *entry, struct error *err)
{
	uint64_t checksum;
	uint64_t mode;
	uint64_t modified_s;

	memset(entry, 0, sizeof(*entry));
	if (memcmp(tar->header + MAGIC_OFFSET, "ustar", 6) != 0)
		return tar_fail(tar, err, "there is no ustar header");
	if (!number_parse(tar->header + CHECKSUM_OFFSET, CHECKSUM_SIZE, &checksum) ||
	    checksum != header_checksum(tar->header))
		return tar_fail(tar, err, "the checksum of a header does not match");
	if (!number_parse(tar->header + MODE_OFFSET, MODE_SIZE, &mode) ||
	    !number_parse(tar->header + SIZE_OFFSET, SIZE_SIZE, &entry->size) ||
	    !number_parse(tar->header + TIME_OFFSET, TIME_SIZE, &modified_s))
		return tar_fail(tar, err, "a field that should be a number is none");
	if (entry->size > SIZE_LIMIT || modified_s > SIZE_LIMIT)
		return tar_fail(tar, err, "a number is impossibly large");
	entry->mode = (mode_t) (mode & 07777);
	entry->modified_s = (int64_t) modified_s;

	TRY(entry_parse_type(tar, entry, err));
	TRY(entry_parse_path(tar, entry, err));
	if (entry->type != TAR_FILE && entry->size != 0)
		return tar_fail(tar, err, "an entry that is no file has content");
	if (entry->type == TAR_LINK && !link_is_tablespace(entry))
		return fail(err, ERROR_CORRUPT,
			    "the server sent the symbolic link \"%s\" to \"%s\", which is no tablespace", entry->path,
			    entry->link);
	return true;
}

/* A whole header is there. */
static bool tar_begin_entry(struct tar *tar, struct error *err)
{
	struct tar_entry entry;

	if (header_is_zero(tar->header)) {
		tar->is_ended = true;
		return true;
	}
	if (tar->is_ended)
		return tar_fail(tar, err, "there is something behind the end of the archive");
	TRY(entry_parse(tar, &entry, err));
	tar->data_left = entry.size;
	tar->padding_left = (size_t) ((TAR_BLOCK_SIZE - entry.size % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE);
	TRY(tar->visitor.begin(tar->visitor.context, &entry, err));
	return entry.size > 0 ? true : tar->visitor.end(tar->visitor.context, err);
}

/* Takes what it can from the front of `content`: *taken bytes, at least one. */
static bool tar_take(struct tar *tar, struct bytes content, size_t *taken, struct error *err)
{
	if (tar->data_left > 0) {
		*taken = content.size < tar->data_left ? content.size : (size_t) tar->data_left;
		tar->data_left -= *taken;
		TRY(tar->visitor.data(tar->visitor.context, bytes_slice(content, 0, *taken), err));
		return tar->data_left > 0 ? true : tar->visitor.end(tar->visitor.context, err);
	}
	if (tar->padding_left > 0) {
		*taken = content.size < tar->padding_left ? content.size : tar->padding_left;
		tar->padding_left -= *taken;
		return true;
	}

	size_t room = TAR_BLOCK_SIZE - tar->header_size;
	*taken = content.size < room ? content.size : room;
	memcpy(tar->header + tar->header_size, content.data, *taken);
	tar->header_size += *taken;
	if (tar->header_size < TAR_BLOCK_SIZE)
		return true;
	tar->header_size = 0;
	return tar_begin_entry(tar, err);
}

bool tar_parse(struct tar *tar, struct bytes content, struct error *err)
{
	while (content.size > 0) {
		size_t taken;

		TRY(tar_take(tar, content, &taken, err));
		tar->position += taken;
		content = bytes_slice(content, taken, content.size - taken);
	}
	return true;
}

bool tar_finish(const struct tar *tar, struct error *err)
{
	if (tar->data_left > 0 || tar->padding_left > 0 || tar->header_size > 0)
		return tar_fail(tar, err, "it ends in the middle of an entry");
	return true;
}

#include "files/tablespace_map.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct place_tablespace *tablespace_find(const struct place *place, const char *oid)
{
	char *end;
	unsigned long value = isdigit((unsigned char) *oid) ? strtoul(oid, &end, 10) : 0;

	for (int i = 0; i < place->tablespace_count; i++)
		if (value != 0 && *end == '\0' && place->tablespaces[i].oid == value)
			return &place->tablespaces[i];
	return NULL;
}

/* Line breaks and backslashes in a path have a backslash before them (do_pg_backup_start of xlog.c). */
static bool path_append_escaped(struct buf *line, const char *path, struct error *err)
{
	for (; *path != '\0'; path++) {
		if (*path == '\n' || *path == '\r' || *path == '\\')
			TRY(buf_append_text(line, "\\", err));
		TRY(buf_append(line, bytes_of(path, 1), err));
	}
	return true;
}

/* The size of the first line with its end; a backslash hides the byte behind it. */
static size_t line_size(struct bytes map)
{
	for (size_t i = 0; i < map.size; i++) {
		if (map.data[i] == '\\')
			i++;
		else if (map.data[i] == '\n')
			return i + 1;
	}
	return map.size;
}

static bool line_rewrite(struct bytes line, const struct place *place, struct buf *rewritten, struct error *err)
{
	char oid[16];
	const uint8_t *space = memchr(line.data, ' ', line.size);
	size_t size = space == NULL ? sizeof(oid) : (size_t) (space - line.data);
	BUF(expected, 2 * PATH_MAX + 64);

	if (size >= sizeof(oid))
		return fail(err, ERROR_CORRUPT, "tablespace_map has a line that names no tablespace");
	memcpy(oid, line.data, size);
	oid[size] = '\0';
	const struct place_tablespace *tablespace = tablespace_find(place, oid);
	if (tablespace == NULL)
		return fail(err, ERROR_CORRUPT, "tablespace_map names tablespace %s, which the backup does not have",
			    oid);
	TRY(buf_format(&expected, err, "%s ", oid));
	TRY(path_append_escaped(&expected, tablespace->source, err));
	size_t end = line.size > 0 && line.data[line.size - 1] == '\n' ? line.size - 1 : line.size;
	if (!bytes_equal(buf_bytes(&expected), bytes_slice(line, 0, end)))
		return fail(err, ERROR_CORRUPT,
			    "tablespace_map has another directory for tablespace %s than the backup", oid);
	if (!tablespace->is_mapped)
		return buf_append(rewritten, line, err);
	TRY(buf_format(rewritten, err, "%s ", oid));
	TRY(path_append_escaped(rewritten, tablespace->target, err));
	return buf_append_text(rewritten, "\n", err);
}

bool tablespace_map_rewrite(struct bytes map, const struct place *place, struct buf *rewritten, struct error *err)
{
	while (map.size > 0) {
		size_t size = line_size(map);

		TRY(line_rewrite(bytes_slice(map, 0, size), place, rewritten, err));
		map = bytes_slice(map, size, map.size - size);
	}
	return true;
}

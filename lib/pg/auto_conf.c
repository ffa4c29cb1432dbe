#include "pg/auto_conf.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/fs.h"

bool auto_conf_append(struct buf *conf, const char *name, const char *value, struct error *err)
{
	/* In a configuration file quotes are doubled, and so are backslashes (guc-file.l). */
	TRY(buf_format(conf, err, "%s = '", name));
	for (; *value != '\0'; value++) {
		if (*value == '\n' || *value == '\r')
			return fail(err, ERROR_USAGE, "a line break cannot stand in the value of %s", name);
		if (*value == '\'' || *value == '\\')
			TRY(buf_append(conf, bytes_of(value, 1), err));
		TRY(buf_append(conf, bytes_of(value, 1), err));
	}
	return buf_append_text(conf, "'\n", err);
}

/* The next line of `rest`, with its line break, and the name of the setting in it (empty: none). */
static struct bytes line_take(struct bytes *rest, struct bytes *name)
{
	const uint8_t *newline = memchr(rest->data, '\n', rest->size);
	size_t size = newline != NULL ? (size_t) (newline - rest->data) + 1 : rest->size, begin = 0, length = 0;
	struct bytes line = bytes_slice(*rest, 0, size);

	while (begin < size && isspace(line.data[begin]))
		begin++;
	while (begin + length < size &&
	       (isalnum(line.data[begin + length]) || strchr("_.", line.data[begin + length]) != NULL) &&
	       line.data[begin + length] != '\0')
		length++;
	*name = bytes_slice(line, begin, length);
	*rest = bytes_slice(*rest, size, rest->size - size);
	return line;
}

bool auto_conf_without(struct bytes old, auto_conf_match match, const void *context, struct buf *rest,
		       struct error *err)
{
	while (old.size > 0) {
		struct bytes name, line = line_take(&old, &name);

		if (match(context, (const char *) name.data, name.size))
			continue;
		TRY(buf_append(rest, line, err));
		if (line.data[line.size - 1] != '\n')
			TRY(buf_append_text(rest, "\n", err));
	}
	return true;
}

bool auto_conf_has(struct bytes conf, auto_conf_match match, const void *context)
{
	while (conf.size > 0) {
		struct bytes name;

		(void) line_take(&conf, &name);
		if (match(context, (const char *) name.data, name.size))
			return true;
	}
	return false;
}

bool auto_conf_replace(const char *pgdata, mode_t mode, auto_conf_match match, const void *context, struct bytes lines,
		       struct error *err)
{
	char path[PATH_MAX];
	struct stat status;
	BUF(old, AUTO_CONF_SIZE_MAX);
	BUF(made, AUTO_CONF_SIZE_MAX + lines.size + 1);

	TRY(path_join(path, pgdata, AUTO_CONF_NAME, err));
	if (!fs_read_file(path, &old, err) && err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	if (mode == 0)
		mode = stat(path, &status) == 0 ? status.st_mode & 0777 : 0600;
	TRY(auto_conf_without(buf_bytes(&old), match, context, &made, err));
	TRY(buf_append(&made, lines, err));
	return fs_replace_file(path, mode, buf_bytes(&made), err);
}

#include "segment_file.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"

bool segment_file_read(struct segment_file *file, const char *path, const struct wal_name *name, struct error *err)
{
	struct error ignored = {0};

	file->name = *name;
	(void) snprintf(file->path, sizeof(file->path), "%s", path);
	file->content.size_max = WAL_SEGMENT_SIZE_MAX;
	buf_clear(&file->content);
	if (!spool_stamp_at_rest(path, file->stamp, &file->is_at_rest, &ignored))
		file->is_at_rest = false; /* whoever opens it says why */
	TRY(fs_read_file(path, &file->content, err));
	if (!wal_segment_check(buf_bytes(&file->content), name, &file->segment, err))
		return fail_in(err, "\"%s\" was not archived", path);
	return true;
}

bool segment_file_is_same(const struct segment_file *file)
{
	char stamp[SPOOL_STAMP_SIZE];
	struct error ignored = {0};

	return file->is_at_rest && spool_stamp(file->path, stamp, &ignored) && strcmp(stamp, file->stamp) == 0;
}

void segment_file_release(struct segment_file *file)
{
	buf_release(&file->content);
}

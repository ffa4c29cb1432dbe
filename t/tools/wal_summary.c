/* Makes the summary of a WAL segment as pitr-archive does, COUNT times (0: only reads the file), and prints it:
 *     wal_summary FILE COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "pg/wal_segment.h"
#include "pg/wal_summary_json.h"

static bool summary_text(struct bytes content, const struct wal_segment *segment, struct buf *text, struct error *err)
{
	struct wal_summary *summary = calloc(1, sizeof(*summary));
	json_t *json JSON_CLEANUP = json_object();

	buf_clear(text);
	bool done = summary != NULL && wal_summary_make(content, segment, summary, err) &&
		    wal_summary_encode(summary, json, err) && json_encode(json, text, err);
	free(summary);
	return done;
}

static bool run(const char *path, int count, struct error *err)
{
	BUF(content, WAL_SEGMENT_SIZE_MAX);
	BUF(text, 1 * MiB);
	struct wal_segment segment;

	TRY(fs_read_file(path, &content, err));
	TRY(wal_segment_parse(buf_bytes(&content), &segment, err));
	for (int i = 0; i < count; i++)
		TRY(summary_text(buf_bytes(&content), &segment, &text, err));
	(void) fwrite(text.data, 1, text.size, stdout);
	return true;
}

int main(int argc, char **argv)
{
	struct error err = {0};

	if (argc == 3 && run(argv[1], atoi(argv[2]), &err))
		return EXIT_SUCCESS;
	(void) fprintf(stderr, "wal_summary: %s\n", argc == 3 ? err.text : "wal_summary FILE COUNT");
	return EXIT_FAILURE;
}

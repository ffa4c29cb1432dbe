#include "fetch.h"

#include <stdio.h>

#include "announce.h"
#include "audience.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "end_of_wal.h"
#include "hand_over.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "repo/branch_mark.h"
#include "repo/wal_store.h"

#define GAP_PROBE_MS	 1000
#define READS_OF_DAMAGED 2 /* a damaged read is tried once more: the damage may have happened on the way */

/* A server that ends its recovery has removed its signal files when it asks a last time for the history of the timeline
 * it came along (StartupXLOG(), writeTimeLineHistory() of timeline.c; 13 to 18). If it were stopped by this question,
 * or while it waits for the answer, it would next be started without recovery and open with what its first checkpoint
 * leads to. It has fetched that history before, and takes the one in pg_wal when the archive does not have it. */
static bool ends_recovery(const char *directory, const struct wal_name *name, const struct control_file *control)
{
	char own[sizeof("pg_wal/") + WAL_NAME_MAX];

	if (name->kind != WAL_HISTORY || control->state != CONTROL_IN_ARCHIVE_RECOVERY ||
	    directory_has(directory, "recovery.signal") || directory_has(directory, "standby.signal"))
		return false;
	(void) snprintf(own, sizeof(own), "pg_wal/%s", name->text);
	return directory_has(directory, own);
}

/* The server that asks; system identifier 0 when there is no control file to read it from. */
static bool fetch_identify(const char *directory, struct control_file *control, struct error *err)
{
	if (control_file_read(directory, control, err))
		return true;
	*control = (struct control_file){.system_identifier = 0};
	return err->kind == ERROR_NOT_FOUND;
}

static bool fetch_fail_gap(const struct repo *repo, const struct wal_name *name, const struct wal_name *later,
			   struct error *err)
{
	(void) fail(err, ERROR_CORRUPT, "\"%s\" is missing from the repository \"%s\", although \"%s\" %s", name->text,
		    storage_url(repo->storage), later->text,
		    later->kind == WAL_HISTORY ? "says that it was written" : "is there");
	return fail_hint(err,
			 "The archive has a gap. If the server that wrote the segment still has it in pg_wal, archive "
			 "it by hand with pitr-archive and start again.");
}

/* Gets the file, or proves that it is absent. A gap may be a segment that is still on its way, so it is probed until
 * the deadline. */
static bool fetch_get(struct repo *repo, const struct wal_name *name, int64_t deadline_ms, struct buf *content,
		      bool *is_absent, struct error *err)
{
	enum end_of_wal verdict;
	struct wal_name later;
	int damaged = 0;

	for (;;) {
		if (wal_store_get(repo, &repo->layout, name, content, err))
			return true;
		buf_clear(content);
		if (err->kind == ERROR_CORRUPT && ++damaged < READS_OF_DAMAGED)
			continue;
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		TRY(end_of_wal_judge(repo, name, &verdict, &later, err));
		*is_absent = verdict == END_PROVEN;
		if (*is_absent)
			return true;
		if (deadline_left_ms(deadline_ms) <= 0)
			return fetch_fail_gap(repo, name, &later, err);
		clock_sleep_ms(GAP_PROBE_MS);
	}
}

bool fetch_file(const struct options *options, const char *text, const char *destination, bool *is_absent,
		struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	char directory[PATH_MAX];
	struct wal_name name;
	struct control_file control;
	struct announcement announcement;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	*is_absent = false;
	TRY(wal_name_parse(text, &name, err));
	TRY(data_directory_of(destination, directory, err));
	TRY(fetch_identify(directory, &control, err));
	if (ends_recovery(directory, &name, &control)) {
		log_info("the server has \"%s\" itself", name.text);
		*is_absent = true;
		return true;
	}
	if (hand_over(options, text, destination, 0)) /* it came while this program was loaded */
		return true;
	announce_segment(options, directory, &name, &announcement);
	int64_t deadline_ms = deadline_in(options->retry_for);
	if (!repo_open(options, control.system_identifier, &repo, err) ||
	    !branch_mark_apply(repo, directory, NULL, err) ||
	    !fetch_get(repo, &name, deadline_ms, &content, is_absent, err))
		return fail_in(err, "could not fetch \"%s\"", name.text);
	if (*is_absent) {
		log_info("\"%s\" is not in the repository \"%s\"", name.text, storage_url(repo->storage));
		return true;
	}
	TRY(fs_place_file(destination, 0600, buf_bytes(&content), err));
	log_info("fetched \"%s\"", name.text);
	announce_success(options, &announcement);
	return true;
}

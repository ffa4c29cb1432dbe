#include "fetch.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "end_of_wal.h"
#include "pg/control_file.h"
#include "pg/data_directory.h"
#include "repo/wal_store.h"

#define GAP_PROBE_MS	 1000
#define READS_OF_DAMAGED 2 /* a damaged read is tried once more: the damage may have happened on the way */

enum error_audience fetch_audience(const char *destination)
{
	struct error ignored = {0};
	char directory[PATH_MAX];
	char signal_file[PATH_MAX];
	bool exists;

	if (!data_directory_of(destination, directory, &ignored) ||
	    !path_join(signal_file, directory, "standby.signal", &ignored) ||
	    !fs_exists(signal_file, &exists, &ignored))
		return FOR_RECOVERY;
	return exists ? FOR_STANDBY : FOR_RECOVERY;
}

/* The system identifier of the server that asks; 0 when there is no control file to read it from. */
static bool fetch_identify(const char *destination, uint64_t *system_identifier, struct error *err)
{
	char directory[PATH_MAX];
	struct control_file control;

	*system_identifier = 0;
	TRY(data_directory_of(destination, directory, err));
	if (!control_file_read(directory, &control, err))
		return err->kind == ERROR_NOT_FOUND;
	*system_identifier = control.system_identifier;
	return true;
}

static bool fetch_fail_gap(const struct repo *repo, const struct wal_name *name, const struct wal_name *later,
			   struct error *err)
{
	(void) fail(err, ERROR_CORRUPT, "\"%s\" is missing from the repository \"%s\", although \"%s\" is there",
		    name->text, storage_url(repo->storage), later->text);
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
		if (wal_store_get(repo, name, content, err))
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
	int64_t deadline_ms = deadline_in(options->retry_for);
	struct repo *repo REPO_CLEANUP = NULL;
	struct wal_name name;
	uint64_t system_identifier;
	BUF(content, WAL_SEGMENT_SIZE_MAX);

	*is_absent = false;
	TRY(wal_name_parse(text, &name, err));
	TRY(fetch_identify(destination, &system_identifier, err));
	if (!repo_open(options, system_identifier, &repo, err) ||
	    !fetch_get(repo, &name, deadline_ms, &content, is_absent, err))
		return fail_in(err, "could not fetch \"%s\"", name.text);
	if (*is_absent) {
		log_info("\"%s\" is not in the repository \"%s\"", name.text, storage_url(repo->storage));
		return true;
	}
	TRY(fs_place_file(destination, 0600, buf_bytes(&content), err));
	log_info("fetched \"%s\"", name.text);
	return true;
}

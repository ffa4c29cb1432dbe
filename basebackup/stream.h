/* What BASE_BACKUP sends, taken in: tar archives become files in packs and manifest, page checksums are verified as
 * they pass, and the few files a backup cannot do without are looked at.
 */
#pragma once

#include "base/progress.h"
#include "codec/lz4.h"
#include "intake.h"
#include "pg/page_checksum.h"
#include "pg/replication.h"
#include "pg/tar.h"
#include "relations.h"
#include "repo/catalog.h"

#define BACKUP_MANIFEST_NAME "backup_manifest"
#define DAMAGED_PAGES_MAX    1000 /* that are kept to be looked at again; more are only counted */
#define DAMAGED_PATH_SIZE    320

struct damaged_page {
	char path[DAMAGED_PATH_SIZE]; /* relative to the data directory */
	uint32_t block;		      /* of the relation fork */
	uint64_t offset;	      /* in the file */
};

struct stream {
	struct repo *repo;
	struct backup *backup; /* label, start and tablespaces are filled in as they become known */
	struct server_settings settings;
	struct pack_sizing sizing;
	struct relations *relations; /* begun with the backup; borrowed */
	struct intake intake;

	bool is_compressed;    /* the archives, by the server */
	struct lz4_stream lz4; /* the current one */
	struct tar tar;
	bool is_archive_open;
	bool is_manifest_open;
	char prefix[32]; /* of the archive's paths: "" or "pg_tblspc/<oid>/" */
	struct page_checksum check;
	bool is_file;	  /* the current entry */
	bool is_checking; /* its page checksums */
	struct buf *kept; /* where a copy of the current file goes; NULL: nowhere */
	struct buf label; /* backup_label */
	struct buf control;
	struct buf mark; /* pitr.branch; empty: there is none */

	int64_t begun_us;	   /* when the server said where the backup begins; by our clock */
	int64_t label_us;	   /* when it made backup_label, by its own */
	int64_t label_received_us; /* when that came; 0: not yet */

	uint64_t damaged_count;
	struct damaged_page *damaged; /* the first of them; owned */

	bool shows_progress; /* asked for */
	bool has_progress;
	struct progress progress;
};

void stream_init(struct stream *stream, struct repo *repo, struct backup *backup,
		 const struct server_settings *settings, struct pack_sizing sizing, bool shows_progress);
void stream_release(struct stream *stream);
#define STREAM_CLEANUP __attribute__((cleanup(stream_release)))

struct base_backup_visitor stream_visitor(struct stream *stream);
/* After the last byte: everything is there and fits together. Fills in what the backup's own label says. */
bool stream_check(struct stream *stream, struct error *err) MUST_CHECK;
/* By how much the server's clock is certainly ahead of ours (less than 0: behind), 0 when by less than a second or not
 * certainly. Rounded up: what is moved by it is not too early. */
int64_t stream_clock_ahead_us(const struct stream *stream);

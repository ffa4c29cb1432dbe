/* Stores what a pg_wal directory holds and the archive lacks: after a promotion, of a stopped server, of what is left
 * of a lost one.
 *
 * Only whole segments of the given path are stored: those whose records go on to their end or to a switch. Nothing is
 * ever replaced, and nothing is put beside a segment that the archive has with other content: that is another history.
 * The directory is only read. Knows nothing of backups.
 */
#pragma once

#include "pg/wal_directory.h"
#include "repo/wal_path.h"

#define WAL_HOLES_MAX 64

/* Segments that neither the archive has nor the directory. */
struct wal_hole {
	struct wal_name first, last;
	uint64_t count;
	char writer[256]; /* the host that archived the segment before them; "": not known */
};

struct wal_drain {
	/* asked */
	struct repo *repo;
	const struct wal_path *path;
	const struct wal_directory *directory;
	uint64_t behind;    /* segments from this one on are not looked at; 0: all are */
	bool keeps_partial; /* the segment in which WAL ends is stored too, as far as it goes */
	bool looks_back;    /* holes before the oldest segment in the directory count, too */

	/* answered */
	uint64_t stored, present; /* segments: new in the archive; there already */
	uint64_t histories;	  /* that were new */
	uint64_t end;		  /* how far WAL goes in the directory; 0: not looked at */
	/* The segment in which it ends, when that is not whole; text "": there is none. */
	struct wal_name last;
	bool has_partial; /* … and was stored as, or had been: */
	struct wal_name partial;
	int hole_count; /* all there are; the first WAL_HOLES_MAX are kept */
	struct wal_hole holes[WAL_HOLES_MAX];
	uint64_t missing; /* segments in all holes */
	/* A segment that is not whole although the archive or the directory has later ones; its "hole" is among the
	 * above. */
	struct error damage; /* kind NONE: there is none */
};

/* EXISTS when the archive holds other content under a name of the directory: another history. What has been stored
 * until then stays. */
bool wal_drain_run(struct wal_drain *drain, struct error *err) MUST_CHECK;

/* "0001…05", "0001…05 to 0001…08 (4 segments)". */
#define WAL_HOLE_TEXT_SIZE 160
void wal_hole_format(const struct wal_hole *hole, char text[WAL_HOLE_TEXT_SIZE]);

/* The path of the newest timeline that has segments in the directory and leads through `timeline` at `lsn` (0, 0: any):
 * its history is read from the directory, else from the archive. NOT_FOUND when there is no segment at all. */
bool wal_drain_path(struct repo *repo, const struct wal_directory *directory, uint32_t timeline, uint64_t lsn,
		    struct wal_path *path, struct error *err) MUST_CHECK;

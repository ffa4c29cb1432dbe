/* The file "pitr.branch" in a data directory: to which branch of which repository its server belongs. Without one it is
 * the default branch. It travels with the directory, so that a standby, a copy by files and pg_rewind get it too. It
 * also holds the origin of a branch that nothing has been archived to yet. docs/format.md, "Branches".
 */
#pragma once

#include "repo/branch.h"

#define BRANCH_MARK_NAME     "pitr.branch"
#define BRANCH_MARK_SIZE_MAX (64 * KiB)

/* What says the same where files cannot be read: SHOW, over SQL or the replication protocol. */
#define BRANCH_SETTING		"pitr.branch"
#define REPOSITORY_SETTING	"pitr.repository"
#define REPOSITORY_ID_TEXT_SIZE 33 /* in hexadecimal, with its zero */

struct branch_mark {
	bool is_set;		     /* false: there is none, or it is about another repository or cluster */
	struct layout layout;	     /* the chain of branches; the repository's own without a mark */
	bool has_origin;	     /* the first one's origin may not be in the repository yet: */
	struct branch_origin origin; /* this is it */
};

void branch_mark_repository(const struct repo *repo, char id[REPOSITORY_ID_TEXT_SIZE]);

/* CORRUPT, naming `what`, unless the text is a mark. */
bool branch_mark_parse(const struct repo *repo, struct bytes text, const char *what, struct branch_mark *mark,
		       struct error *err) MUST_CHECK;
/* A missing file is fine, one that cannot be read or understood never is. */
bool branch_mark_read(const struct repo *repo, const char *pgdata, struct branch_mark *mark,
		      struct error *err) MUST_CHECK;
/* Durable. Of the default branch alone there is no mark: a file that is there is removed. */
bool branch_mark_write(const struct repo *repo, const char *pgdata, mode_t mode, const struct branch_mark *mark,
		       struct error *err) MUST_CHECK;

/* From now on the repository is written to and read from as the data directory's mark says. `mark` may be NULL. */
bool branch_mark_apply(struct repo *repo, const char *pgdata, struct branch_mark *mark, struct error *err) MUST_CHECK;
/* Makes sure that the branch's origin is in the repository. */
bool branch_mark_store(struct repo *repo, const struct branch_mark *mark, struct error *err) MUST_CHECK;

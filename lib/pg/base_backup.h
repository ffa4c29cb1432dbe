/* What is said around a base backup in the replication protocol (manual, "Streaming Replication Protocol",
 * BASE_BACKUP): the command in the words of each version, and the messages of the copy that answers it.
 *
 * Knows neither connections nor libpq, and not what is in an archive. Messages are believed only as far as they are
 * expected: an archive must have been announced, content must belong to something.
 */
#pragma once

#include "base/buf.h"

struct base_backup_request {
	const char *label;
	bool is_fast;	       /* checkpoint */
	bool wants_sizes;      /* of the tablespaces, for progress */
	int64_t rate_max;      /* bytes a second; 0: no limit */
	int64_t start_wait_ms; /* how long the checkpoint may take */
};

struct base_backup_tablespace {
	uint32_t oid; /* 0: the data directory itself */
	char path[1024];
	uint64_t size; /* estimated by the server when asked for */
};

/* What the server says before it sends files. */
struct base_backup_start {
	uint64_t lsn;
	uint32_t timeline;
	bool is_compressed; /* every archive is one frame of lz4; the manifest never is */
	int tablespace_count;
	struct base_backup_tablespace *tablespaces; /* owned by replication.c, for the time of the call */
};

/* begin once; then for each tablespace archive and any number of data (a tar archive); then manifest and data. */
struct base_backup_visitor {
	bool (*begin)(void *context, const struct base_backup_start *start, struct error *err);
	bool (*archive)(void *context, const struct base_backup_tablespace *tablespace, struct error *err);
	bool (*manifest)(void *context, struct error *err);
	bool (*data)(void *context, struct bytes content, struct error *err);
	void *context;
};

struct base_backup_end {
	uint64_t lsn;
	uint32_t timeline;
};

#define BASE_BACKUP_TABLESPACES_MAX 1024

/* From this version on (PQserverVersion()) the server compresses, and one copy holds everything. */
#define BASE_BACKUP_MESSAGES_SINCE 150000

/* The command; `is_compressed` from BASE_BACKUP_MESSAGES_SINCE on only. */
bool base_backup_command(int version, const struct base_backup_request *request, bool is_compressed,
			 struct buf *command, struct error *err) MUST_CHECK;

struct base_backup_copy {
	const struct base_backup_visitor *visitor;
	const struct base_backup_start *start;
	bool is_begun; /* an archive or the manifest: data may come */
};

/* One message of the copy, handed to the visitor. The contexts are struct base_backup_copy. */
bool base_backup_message(void *context, struct bytes message, struct error *err) MUST_CHECK;
/* The same for older servers: a copy holds nothing but an archive or the manifest. */
bool base_backup_content(void *context, struct bytes message, struct error *err) MUST_CHECK;

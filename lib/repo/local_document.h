/* A JSON document that programs leave on the server's own disk for others there to read, in one line of envelope:
 *
 *     <kind> <version> <bytes of the JSON text> <its CRC-32C, 8 hexadecimal digits>
 *
 * Put in place by rename, so a reader finds it whole, old or new; what is cut, damaged, or of a version that the reader
 * does not know is told apart, and never half believed. Not synced: what a crash took away is written again. Knows
 * nothing of what documents say. docs/format.md, "Local documents".
 */
#pragma once

#include <sys/types.h>

#include "base/json.h"

#define LOCAL_DOCUMENT_SIZE_MAX (64 * MiB)

struct local_document {
	const char *kind; /* one word */
	const char *name; /* the file, in a data directory */
	uint32_t version;
};

/* What pitr-archive last failed of. */
#define LOCAL_ARCHIVE_FAILURE \
	((struct local_document){.kind = "pitr-archive-failure", .name = "pitr.archive-failure", .version = 1})
/* What can be restored, as SQL shows it: repo/mirror.h. */
#define LOCAL_CATALOG ((struct local_document){.kind = "pitr-catalog", .name = "pitr.catalog", .version = 1})
/* What pitr-check last found. */
#define LOCAL_CHECK ((struct local_document){.kind = "pitr-check", .name = "pitr.check", .version = 1})

/* Replaces the file in the directory; it belongs to the directory's owner, and nobody else reads it. What killed
 * writers of it left there, long ago, is removed. */
bool local_document_write(const struct local_document *document, const char *pgdata, const json_t *json,
			  struct error *err) MUST_CHECK;
/* NOT_FOUND: there is none. CORRUPT: cut or damaged. USAGE: of a newer version than this program knows. */
bool local_document_read(const struct local_document *document, const char *pgdata, json_t **json,
			 struct error *err) MUST_CHECK;
/* The same of what has been read already; `path` is for messages. */
bool local_document_decode(const struct local_document *document, struct bytes text, const char *path, json_t **json,
			   struct error *err) MUST_CHECK;

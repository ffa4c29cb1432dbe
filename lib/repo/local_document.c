#include "repo/local_document.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "pg/crc32c.h"

#define FILE_MODE	  0600
#define ENVELOPE_SIZE_MAX 128
/* So long nobody writes one: it was killed. */
#define WRITER_MAX_US (INT64_C(10) * 60 * 1000000)

static uint32_t text_crc(struct bytes text)
{
	return crc32c_final(crc32c_add(CRC32C_INIT, text));
}

/* Root writes for the server's user. */
static bool owner_check(const char *pgdata, struct stat *directory, struct error *err)
{
	if (stat(pgdata, directory) != 0)
		return fail_errno(err, "could not look at \"%s\"", pgdata);
	if (geteuid() == 0 || geteuid() == directory->st_uid)
		return true;
	return fail(err, ERROR_DENIED, "\"%s\" belongs to another user", pgdata) ||
	       fail_hint(err, "Run this as the user that the server runs as.");
}

static bool document_encode(const struct local_document *document, const json_t *json, struct buf *text,
			    struct error *err)
{
	BUF(body, LOCAL_DOCUMENT_SIZE_MAX - ENVELOPE_SIZE_MAX);

	TRY(json_encode(json, &body, err));
	TRY(buf_format(text, err, "%s %" PRIu32 " %zu %08" PRIx32 "\n", document->kind, document->version, body.size,
		       text_crc(buf_bytes(&body))));
	return buf_append(text, buf_bytes(&body), err);
}

struct leftovers {
	const struct local_document *document;
	const char *pgdata;
};

static bool leftover_visit(void *context, const char *name, bool is_directory, struct error *err)
{
	const struct leftovers *leftovers = context;
	size_t length = strlen(leftovers->document->name);
	struct error ignored = {0};
	char path[PATH_MAX];
	struct stat file;

	if (is_directory || strncmp(name, leftovers->document->name, length) != 0 ||
	    !fs_name_is_temporary(name + length - 1) || name[length] != '.')
		return true;
	TRY(path_join(path, leftovers->pgdata, name, err));
	if (lstat(path, &file) == 0 && S_ISREG(file.st_mode) &&
	    clock_now_us() - file.st_mtim.tv_sec * INT64_C(1000000) > WRITER_MAX_US)
		(void) !fs_remove(path, &ignored);
	return true;
}

/* What writers of this document left that were killed: every backup would take them along. Without them or with them,
 * the document is written. */
static void leftovers_remove(const struct local_document *document, const char *pgdata)
{
	struct leftovers leftovers = {.document = document, .pgdata = pgdata};
	struct error ignored = {0};

	(void) !fs_each(pgdata, leftover_visit, &leftovers, &ignored);
}

bool local_document_write(const struct local_document *document, const char *pgdata, const json_t *json,
			  struct error *err)
{
	char path[PATH_MAX];
	struct stat directory;
	BUF(text, LOCAL_DOCUMENT_SIZE_MAX);

	TRY(path_join(path, pgdata, document->name, err));
	TRY(owner_check(pgdata, &directory, err));
	TRY(document_encode(document, json, &text, err));
	leftovers_remove(document, pgdata);
	return fs_place_file_of(path, FILE_MODE, directory.st_uid, directory.st_gid, buf_bytes(&text), err);
}

/* ------------------------------------------------------------------------------------------------- reading */

static bool fail_damaged(const char *path, struct error *err)
{
	return fail(err, ERROR_CORRUPT, "\"%s\" is cut or damaged", path) ||
	       fail_hint(err, "It is written again by \"pitr-catalog mirror\", and by pitr-archive.");
}

/* A decimal or hexadecimal number up to the character `end`; *at moves behind that. */
static bool number_take(const char **at, int base, char end, uint64_t *number)
{
	char *stop;

	if ((**at < '0' || **at > '9') && (base != 16 || **at < 'a' || **at > 'f'))
		return false;
	errno = 0;
	*number = strtoull(*at, &stop, base);
	if (errno != 0 || *stop != end)
		return false;
	*at = stop + 1;
	return true;
}

bool local_document_decode(const struct local_document *document, struct bytes text, const char *path, json_t **json,
			   struct error *err)
{
	const uint8_t *line_end = text.size == 0 ? NULL : memchr(text.data, '\n', text.size);
	size_t kind_length = strlen(document->kind), line_size = line_end == NULL ? 0 : (size_t) (line_end - text.data);
	char line[ENVELOPE_SIZE_MAX];
	uint64_t version, size, crc;
	struct error failure = {0};

	if (line_end == NULL || line_size >= sizeof(line) || line_size <= kind_length)
		return fail_damaged(path, err);
	memcpy(line, text.data, line_size);
	line[line_size] = '\0';
	const char *at = line + kind_length + 1;
	if (memcmp(line, document->kind, kind_length) != 0 || line[kind_length] != ' ' ||
	    !number_take(&at, 10, ' ', &version))
		return fail_damaged(path, err);
	if (version > document->version)
		return fail(err, ERROR_USAGE,
			    "\"%s\" is of version %" PRIu64 ", and this program knows version %" PRIu32, path, version,
			    document->version) ||
		       fail_hint(err, "The programs of pitr and its extension belong together: update the older ones.");
	struct bytes body = bytes_slice(text, line_size + 1, text.size - line_size - 1);
	if (version != document->version || !number_take(&at, 10, ' ', &size) || !number_take(&at, 16, '\0', &crc) ||
	    size != body.size || crc != text_crc(body) || !json_decode(body, path, json, &failure))
		return fail_damaged(path, err);
	return true;
}

bool local_document_read(const struct local_document *document, const char *pgdata, json_t **json, struct error *err)
{
	char path[PATH_MAX];
	BUF(text, LOCAL_DOCUMENT_SIZE_MAX);

	TRY(path_join(path, pgdata, document->name, err));
	TRY(fs_read_file(path, &text, err));
	return local_document_decode(document, buf_bytes(&text), path, json, err);
}

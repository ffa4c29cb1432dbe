#include "pg/base_backup.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The strings of the replication grammar know no escape but the doubled quote (repl_scanner.l). */
static bool command_append_text(struct buf *command, const char *text, struct error *err)
{
	TRY(buf_append_text(command, "'", err));
	for (; *text != '\0'; text++) {
		TRY(buf_append(command, bytes_of(text, 1), err));
		if (*text == '\'')
			TRY(buf_append_text(command, "'", err));
	}
	return buf_append_text(command, "'", err);
}

/* kB a second, within what the server takes (MAX_RATE_LOWER, MAX_RATE_UPPER of basebackup.h). */
static int64_t rate_in_kb(int64_t rate_max)
{
	int64_t rate = rate_max / 1024;

	return rate < 32 ? 32 : rate > 1024 * 1024 ? 1024 * 1024 : rate;
}

/* One option of each flavour: 15 and newer take "NAME value" in parentheses, 13 and 14 know words only. WAL is left out
 * (it comes through the archive), nothing is waited for (we prove that it came), page checksums are verified here (the
 * one process that feeds us has better things to do), and the manifest has CRCs only (SHA-256 halves the stream). */
static bool command_format_new(const struct base_backup_request *request, bool is_compressed, struct buf *command,
			       struct error *err)
{
	TRY(buf_append_text(command, "BASE_BACKUP (LABEL ", err));
	TRY(command_append_text(command, request->label, err));
	TRY(buf_format(command, err,
		       ", PROGRESS %s, CHECKPOINT '%s', WAL false, WAIT false, TABLESPACE_MAP true, "
		       "VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'",
		       request->wants_sizes ? "true" : "false", request->is_fast ? "fast" : "spread"));
	if (is_compressed)
		TRY(buf_append_text(command, ", COMPRESSION 'lz4', COMPRESSION_DETAIL 'level=1'", err));
	if (request->rate_max > 0)
		TRY(buf_format(command, err, ", MAX_RATE %" PRId64, rate_in_kb(request->rate_max)));
	return buf_append_text(command, ")", err);
}

static bool command_format_old(const struct base_backup_request *request, struct buf *command, struct error *err)
{
	TRY(buf_append_text(command, "BASE_BACKUP LABEL ", err));
	TRY(command_append_text(command, request->label, err));
	TRY(buf_format(command, err, "%s%s NOWAIT", request->wants_sizes ? " PROGRESS" : "",
		       request->is_fast ? " FAST" : ""));
	if (request->rate_max > 0)
		TRY(buf_format(command, err, " MAX_RATE %" PRId64, rate_in_kb(request->rate_max)));
	return buf_append_text(command, " TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
			       err);
}

bool base_backup_command(int version, const struct base_backup_request *request, bool is_compressed,
			 struct buf *command, struct error *err)
{
	if (version >= BASE_BACKUP_MESSAGES_SINCE)
		return command_format_new(request, is_compressed, command, err);
	assert(!is_compressed);
	return command_format_old(request, command, err);
}

static bool fail_protocol(struct error *err, const char *what)
{
	return fail(err, ERROR_CORRUPT, "could not take the base backup: the server sent %s", what);
}

static void archive_name(const struct base_backup_start *start, uint32_t oid, char *name, size_t size)
{
	const char *suffix = start->is_compressed ? ".lz4" : "";

	if (oid == 0)
		(void) snprintf(name, size, "base.tar%s", suffix);
	else
		(void) snprintf(name, size, "%" PRIu32 ".tar%s", oid, suffix);
}

/* "n": an archive begins, of a tablespace that was announced. */
static bool archive_begin(struct base_backup_copy *copy, struct bytes message, struct error *err)
{
	const char *name = (const char *) message.data;
	const struct base_backup_start *start = copy->start;

	if (message.size == 0 || memchr(message.data, '\0', message.size) == NULL)
		return fail_protocol(err, "an archive without a name");
	copy->is_begun = true;
	for (int i = 0; i < start->tablespace_count; i++) {
		char expected[32];

		archive_name(start, start->tablespaces[i].oid, expected, sizeof(expected));
		if (strcmp(name, expected) == 0)
			return copy->visitor->archive(copy->visitor->context, &start->tablespaces[i], err);
	}
	return fail(err, ERROR_CORRUPT,
		    "could not take the base backup: the server sent an archive \"%.100s\" that it had not announced",
		    name);
}

/* A message of servers from 15 on (protocol-replication, BASE_BACKUP). */
bool base_backup_message(void *context, struct bytes message, struct error *err)
{
	struct base_backup_copy *copy = context;
	const struct base_backup_visitor *visitor = copy->visitor;

	if (message.size == 0)
		return fail_protocol(err, "an empty message");
	struct bytes rest = bytes_slice(message, 1, message.size - 1);
	switch (message.data[0]) {
	case 'n':
		return archive_begin(copy, rest, err);
	case 'm':
		copy->is_begun = true;
		return visitor->manifest(visitor->context, err);
	case 'd':
		if (!copy->is_begun)
			return fail_protocol(err, "content before the name of an archive");
		return visitor->data(visitor->context, rest, err);
	case 'p':
		return true; /* how far the server is: we count ourselves */
	default:
		return fail_protocol(err, "a message of a kind that is not known");
	}
}

bool base_backup_content(void *context, struct bytes message, struct error *err)
{
	const struct base_backup_copy *copy = context;

	return copy->visitor->data(copy->visitor->context, message, err);
}

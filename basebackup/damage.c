#include "damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

#define REPORTED_MAX 20
#define TRIES_MAX    3
#define TRY_EACH_MS  100

/* Is the page fine when it is read now? A file that is gone or was cut is: replay will do the same to the backup's. */
static bool page_is_fine(struct server *server, const struct stream *stream, const struct damaged_page *page,
			 bool *is_fine, struct error *err)
{
	uint8_t content[PAGE_SIZE_CHECKED];
	char offset[24];
	const char *const parameters[] = {page->path, offset};
	const char *text;
	BUF(answer, 2 * PAGE_SIZE_CHECKED + 1);

	(void) snprintf(offset, sizeof(offset), "%" PRIu64, page->offset);
	TRY(server_query(server,
			 "SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file($1, $2::bigint, 8192, true), 'hex')",
			 2, parameters, &answer, err));
	TRY(buf_text(&answer, &text, err));
	*is_fine = answer.size < sizeof(content) * 2 ||
		   (hex_parse(text, content, sizeof(content)) &&
		    page_checksum_accepts(content, page->block, stream->backup->start_lsn));
	return true;
}

static bool page_read_again(struct server *server, const struct stream *stream, const struct damaged_page *page,
			    bool *is_fine, struct error *err)
{
	*is_fine = false;
	for (int i = 0; i < TRIES_MAX && !*is_fine; i++) {
		if (i > 0)
			clock_sleep_ms(TRY_EACH_MS);
		TRY(page_is_fine(server, stream, page, is_fine, err));
	}
	return true;
}

/* Keeps the pages that are still wrong. */
static bool damage_sift(struct stream *stream, struct server *server, struct error *err)
{
	uint64_t looked_at = stream->damaged_count < DAMAGED_PAGES_MAX ? stream->damaged_count : DAMAGED_PAGES_MAX;
	uint64_t kept = 0;

	for (uint64_t i = 0; i < looked_at; i++) {
		bool is_fine;

		TRY(page_read_again(server, stream, &stream->damaged[i], &is_fine, err));
		if (!is_fine)
			stream->damaged[kept++] = stream->damaged[i];
	}
	stream->damaged_count -= looked_at - kept;
	return true;
}

void damage_read_again(struct stream *stream, const struct server_address *address)
{
	struct server *server SERVER_CLEANUP = NULL;
	struct error err = {0};
	bool needs_password;

	if (stream->damaged_count == 0)
		return;
	if (server_open(address, SERVER_SQL, &server, &needs_password, &err) && damage_sift(stream, server, &err))
		return;
	log_warning("pages that failed their checksum could not be read again, so that some may only have been written "
		    "at that moment: %s",
		    err.text);
}

void damage_report(const struct stream *stream)
{
	for (uint64_t i = 0; i < stream->damaged_count && i < REPORTED_MAX; i++)
		log_warning("page checksum failure in file \"%s\", block %" PRIu32, stream->damaged[i].path,
			    stream->damaged[i].block);
	if (stream->damaged_count > REPORTED_MAX)
		log_warning("%" PRIu64 " more pages failed their checksum", stream->damaged_count - REPORTED_MAX);
}

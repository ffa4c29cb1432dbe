#include "recovery/server_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define BLOCK_SIZE (256 * KiB)

static void text_copy(char target[SENTENCE_SIZE], const char *source)
{
	(void) snprintf(target, SENTENCE_SIZE, "%s", source);
}

/* What follows `before` in the line; NULL when it is not in it. */
static const char *line_behind(const char *line, const char *before)
{
	const char *at = strstr(line, before);

	return at != NULL ? at + strlen(before) : NULL;
}

static uint32_t xid_take(const char *sentence)
{
	const char *number = line_behind(sentence, "of transaction ");

	return number != NULL ? (uint32_t) strtoul(number, NULL, 10) : 0;
}

/* "… (LSN) \"0/3000060\"" */
static void lsn_take(const char *sentence, uint64_t *lsn)
{
	const char *quoted = line_behind(sentence, "\"");
	char text[LSN_TEXT_SIZE];

	if (quoted == NULL ||
	    snprintf(text, sizeof(text), "%.*s", (int) strcspn(quoted, "\""), quoted) >= (int) sizeof(text) ||
	    !lsn_parse(text, lsn))
		*lsn = 0;
}

static void halt_take(struct halt *halt, const char *sentence)
{
	*halt = (struct halt){.is_before = strstr(sentence, " before ") != NULL};
	text_copy(halt->sentence, sentence);
	if (strstr(sentence, "WAL location") != NULL) {
		halt->kind = HALT_LSN;
		lsn_take(sentence, &halt->lsn);
	} else if (strstr(sentence, "restore point") != NULL) {
		halt->kind = HALT_NAME;
	} else if (strstr(sentence, "reaching consistency") != NULL) {
		halt->kind = HALT_CONSISTENT;
		halt->is_before = false;
	} else {
		halt->kind = strstr(sentence, "abort of transaction") != NULL ? HALT_ABORT : HALT_COMMIT;
		halt->xid = xid_take(sentence);
	}
}

/* A client that comes too early, or with a wrong password, is a FATAL too, but none of the server's. */
static bool is_of_server(const char *line)
{
	return strstr(line, "] startup FATAL:  ") != NULL || strstr(line, "] postmaster FATAL:  ") != NULL ||
	       strstr(line, "] not initialized FATAL:  ") != NULL || strstr(line, "PANIC:  ") != NULL;
}

static void failure_take(struct server_log *log, const char *line)
{
	const char *sentence = line_behind(line, "FATAL:  ");

	if (sentence == NULL)
		sentence = line_behind(line, "PANIC:  ");
	/* The first says why; the postmaster only adds that it ends. */
	if (sentence != NULL && log->failure[0] == '\0')
		text_copy(log->failure, sentence);
}

/* What the server adds to its failure, unless pitr-fetch has said more. */
static void addition_take(struct server_log *log, const char *line)
{
	const char *detail = line_behind(line, "] startup DETAIL:  ");
	const char *hint = line_behind(line, "] startup HINT:  ");

	if (log->failure[0] == '\0')
		return;
	if (detail != NULL && log->cause[0] == '\0')
		text_copy(log->cause, detail);
	if (hint != NULL && log->hint[0] == '\0')
		text_copy(log->hint, hint);
}

static void fetch_take(struct server_log *log, const char *line)
{
	const char *error = line_behind(line, "pitr-fetch: error: ");
	const char *hint = line_behind(line, "pitr-fetch: hint: ");

	if (error != NULL) {
		text_copy(log->cause, error);
		log->hint[0] = '\0';
	}
	if (hint != NULL)
		text_copy(log->hint, hint);
}

static void line_take(struct server_log *log, const char *line)
{
	const char *name = line_behind(line, "] startup LOG:  restored log file \"");
	const char *stop = line_behind(line, "] startup LOG:  recovery stopping ");
	const char *warning = line_behind(line, "] startup WARNING:  ");

	if (*line == '\0')
		return;
	log->is_logging = log->is_logging || strstr(line, "LOG:  ") != NULL;
	if (log->is_logging || log->last[0] == '\0')
		text_copy(log->last, line);
	if (warning != NULL)
		text_copy(log->warning, warning);
	fetch_take(log, line);
	addition_take(log, line);
	if (is_of_server(line))
		failure_take(log, line);
	if (stop != NULL)
		halt_take(&log->halt, stop - strlen("recovery stopping "));
	if (name != NULL && strcspn(name, "\"") <= WAL_NAME_MAX && strncmp(name + strcspn(name, "."), ".h", 2) != 0) {
		(void) snprintf(log->segment, sizeof(log->segment), "%.*s", (int) strcspn(name, "\""), name);
		log->cause[0] = log->hint[0] = '\0';
	}
}

bool server_log_open(struct server_log *log, const char *path, struct error *err)
{
	struct stat status;

	*log = (struct server_log){.offset = 0};
	(void) snprintf(log->path, sizeof(log->path), "%s", path);
	if (stat(path, &status) == 0)
		log->offset = (uint64_t) status.st_size;
	else if (errno != ENOENT)
		return fail_errno(err, "could not stat \"%s\"", path);
	return true;
}

/* Whole lines only, unless one is longer than a block: then its parts are taken for lines. */
static bool block_take(struct server_log *log, struct buf *block, struct error *err)
{
	const char *text, *end;
	size_t taken = 0;

	TRY(buf_text(block, &text, err));
	for (; (end = memchr(text + taken, '\n', block->size - taken)) != NULL; taken = (size_t) (end - text) + 1) {
		block->data[end - text] = '\0';
		line_take(log, text + taken);
	}
	if (taken == 0 && block->size == BLOCK_SIZE) {
		line_take(log, text);
		taken = BLOCK_SIZE;
	}
	log->offset += taken;
	return true;
}

bool server_log_read(struct server_log *log, bool *has_grown, struct error *err)
{
	if (has_grown != NULL)
		*has_grown = false;
	for (;;) {
		uint64_t before = log->offset;
		BUF(block, BLOCK_SIZE + 1);

		if (!fs_read_range(log->path, log->offset, BLOCK_SIZE, &block, NULL, err)) {
			if (err->kind != ERROR_NOT_FOUND)
				return false;
			*err = (struct error){0}; /* the server has not come to opening it */
			return true;
		}
		TRY(block_take(log, &block, err));
		if (log->offset == before)
			return true;
		if (has_grown != NULL)
			*has_grown = true;
	}
}

#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define FIRST_AFTER_MS	 2000
#define TERMINAL_EACH_MS 500
#define LINE_EACH_MS	 10000
#define REST_SIZE	 64
#define WHAT_SIZE	 64

void progress_init(struct progress *progress, const char *what, uint64_t total, bool wanted)
{
	*progress = (struct progress){.what = what, .total = total};
	(void) pthread_mutex_init(&progress->lock, NULL);
	progress->is_terminal = isatty(STDERR_FILENO) == 1;
	progress->is_shown = progress->is_terminal || wanted;
	progress->started_ms = clock_monotonic_ms();
	progress->next_ms = progress->started_ms + FIRST_AFTER_MS;
}

/* " of 9 MB (40%), 0:12 left", where the end is known. An estimate that was too low is no reason to go beyond it. */
static void progress_format_rest(const struct progress *progress, uint64_t rate, char rest[REST_SIZE])
{
	uint64_t total = progress->total;

	rest[0] = '\0';
	if (total == 0)
		return;
	uint64_t done = progress->done < total ? progress->done : total;
	uint64_t left_s = rate == 0 ? 0 : (total - done) / rate;
	(void) snprintf(rest, REST_SIZE, " of %" PRIu64 " MB (%" PRIu64 "%%), %" PRIu64 ":%02" PRIu64 " left",
			total / MiB, done * 100 / total, left_s / 60, left_s % 60);
}

static void progress_show(struct progress *progress, const char *text)
{
	bool is_terminal = progress->is_terminal;

	(void) fprintf(stderr, "%s%s%s", is_terminal ? "\r" : "", text, is_terminal ? "   " : "\n");
	(void) fflush(stderr);
	progress->has_line = is_terminal;
	progress->next_ms = clock_monotonic_ms() + (is_terminal ? TERMINAL_EACH_MS : LINE_EACH_MS);
}

static void progress_print(struct progress *progress, int64_t now_ms)
{
	uint64_t elapsed_ms = (uint64_t) (now_ms - progress->started_ms) + 1;
	uint64_t rate = progress->done * 1000 / elapsed_ms; /* bytes a second */
	char rest[REST_SIZE], text[2 * REST_SIZE + WHAT_SIZE];

	progress_format_rest(progress, rate, rest);
	(void) snprintf(text, sizeof(text), "%.*s: %" PRIu64 " MB%s, %" PRIu64 " MB/s", WHAT_SIZE, progress->what,
			progress->done / MiB, rest, rate / MiB);
	progress_show(progress, text);
}

void progress_add(struct progress *progress, uint64_t size)
{
	int64_t now_ms = clock_monotonic_ms();

	(void) pthread_mutex_lock(&progress->lock);
	progress->done += size;
	if (progress->is_shown && now_ms >= progress->next_ms)
		progress_print(progress, now_ms);
	(void) pthread_mutex_unlock(&progress->lock);
}

bool progress_is_due(const struct progress *progress)
{
	return progress->is_shown && clock_monotonic_ms() >= progress->next_ms;
}

void progress_say(struct progress *progress, const char *text)
{
	(void) pthread_mutex_lock(&progress->lock);
	progress_show(progress, text);
	(void) pthread_mutex_unlock(&progress->lock);
}

void progress_finish(struct progress *progress)
{
	if (progress->has_line)
		(void) fputc('\n', stderr);
	progress->has_line = false;
	(void) pthread_mutex_destroy(&progress->lock);
}

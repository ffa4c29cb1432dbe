#include "window.h"

#define DEPTH_MIN 2

void window_name(const struct window *window, uint64_t number, struct wal_name *name)
{
	wal_name_of_segment(window->timeline, number, window->segment_size, name);
}

bool window_contains(const struct window *window, const struct wal_name *name)
{
	uint64_t number = wal_segment_number(name, window->segment_size);

	return name->timeline == window->timeline && number >= window->head && number < window->next;
}

enum window_place *window_place(struct window *window, const struct wal_name *name)
{
	return &window->places[wal_segment_number(name, window->segment_size) % WINDOW_MAX];
}

void window_move(struct window *window, const struct wal_name *name, window_drop drop, void *context)
{
	uint64_t first = wal_segment_number(name, window->segment_size) + 1;
	bool goes_on = name->timeline == window->timeline && first >= window->head && first <= window->next;
	struct wal_name dropped;

	while (window->head < (goes_on ? first : window->next)) {
		window_name(window, window->head++, &dropped);
		drop(context, &dropped);
	}
	window->timeline = name->timeline;
	window->head = first;
	if (!goes_on)
		window->next = first;
	window->is_at_end = false;
}

static void average_add(int64_t *average, int64_t value)
{
	*average = *average == 0 ? value : (3 * *average + value) / 4;
}

void window_fetched(struct window *window, int64_t duration_ms)
{
	average_add(&window->fetch_ms, duration_ms + 1);
}

void window_taken(struct window *window, int64_t interval_ms)
{
	average_add(&window->take_ms, interval_ms + 1);
	window->head++;
}

int window_depth(const struct window *window, int workers, int room)
{
	int64_t ratio = window->take_ms == 0 ? 1 : window->fetch_ms / window->take_ms;
	int64_t depth = 2 * ratio + workers;

	if (depth < DEPTH_MIN)
		depth = DEPTH_MIN;
	if (depth > room)
		depth = room;
	return depth > WINDOW_MAX ? WINDOW_MAX : (int) depth;
}

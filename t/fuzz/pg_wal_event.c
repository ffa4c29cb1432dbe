/* One WAL record of whatever is given, of each version, whole and cut: what it lends must be there. */
#include <stdlib.h>
#include <string.h>

#include "pg/wal_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t event_use(const struct wal_event *event)
{
	uint64_t sum = strlen(event->name) + strlen(event->path);
	uint32_t relation;

	for (uint32_t i = 0; i < event->subtransactions.shown; i++)
		sum += wal_event_xid(event, i);
	for (uint32_t i = 0; i < event->files.shown; i++)
		sum += wal_event_file(event, i).number;
	for (uint32_t i = 0; i < event->statistics.shown; i++)
		sum += wal_event_dropped_relation(event, i, &relation) ? relation : 0;
	for (uint32_t i = 0; i < event->relations.shown; i++)
		sum += wal_event_relation(event, i);
	for (uint32_t i = 0; i < event->locks.shown; i++)
		sum += wal_event_lock(event, i).relation;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t magics[] = {0xD106, 0xD110, 0xD118};
	struct wal_event event;
	uint64_t sum = 0;

	if (size < WAL_RECORD_HEADER_SIZE)
		return 0;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		for (uint32_t more = 0; more <= 500; more += 250) {
			wal_event_read(magics[i], bytes_of(data, size), (uint32_t) size + more, &event);
			sum += event_use(&event);
			if (event.is_cut && more == 0)
				abort();
		}
	return sum == UINT64_MAX;
}

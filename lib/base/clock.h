/* The only place that asks what time it is, and that turns times into text and back.
 *
 * A moment is `int64_t` microseconds since 1970-01-01 00:00 UTC ("time_us"). PostgreSQL counts from 2000-01-01.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define POSTGRES_EPOCH_US INT64_C(946684800000000)
#define CLOCK_TEXT_SIZE	  48

int64_t clock_now_us(void);	  /* wall clock */
int64_t clock_monotonic_ms(void); /* for deadlines and durations */
void clock_sleep_ms(int64_t duration_ms);

/* A deadline is a value of clock_monotonic_ms(); 0 or less time left means it has passed. */
int64_t deadline_in(int64_t duration_ms);
int64_t deadline_left_ms(int64_t deadline_ms);

/* "2024-01-15 13:30:00.123456+00": what PostgreSQL reads back as the same moment whatever its time zone. */
void time_format_utc(int64_t time_us, char text[CLOCK_TEXT_SIZE]);
/* "2024-01-15 14:30:00+01": the same moment in the local zone, microseconds only when there are any. */
void time_format_local(int64_t time_us, char text[CLOCK_TEXT_SIZE]);
/* How long something takes, for people: "45 s", "12 min", "3 h 20 min". */
void duration_format(int64_t duration_s, char text[CLOCK_TEXT_SIZE]);
/* "20240115T133000Z", as Signature V4 wants it. */
void time_format_basic(int64_t time_us, char text[CLOCK_TEXT_SIZE]);
/* RFC 7231 date ("Mon, 15 Jan 2024 13:30:00 GMT"), as HTTP servers send it; false when it is none. */
bool time_parse_http(const char *text, int64_t *time_us);
/* ISO 8601 with Z ("2024-01-15T13:30:00Z", fraction allowed), as credentials and listings carry it. */
bool time_parse_iso(const char *text, int64_t *time_us);

/* What a person types: "2024-01-15 14:30", with or without seconds, fraction and zone ("…14:30+02", "…T14:30Z",
 * "2024-01-15"), "now", "today 14:30", "yesterday 14:30", "10 minutes ago". No zone means the local one. USAGE for
 * anything else, and for a local time that daylight saving makes ambiguous or skips. `now_us` is passed for tests. */
bool time_parse(const char *text, int64_t now_us, int64_t *time_us, struct error *err) MUST_CHECK;

/* Times as people and machines write them. Needs the time zone files (Debian package tzdata). */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#include "tap.h"

/* 2024-06-15 12:00:00 UTC: what "now" is in these tests. */
#define NOON_US INT64_C(1718452800000000)

/* Reads `text` in zone `tz`; `expected` is the moment in UTC, or a part of the message that must come. */
struct reading {
	const char *tz, *text, *expected;
};

static const struct reading READINGS[] = {
	{"UTC", "2024-01-15 14:30", "2024-01-15 14:30:00+00"},
	{"UTC", "2024-01-15 14:30:05", "2024-01-15 14:30:05+00"},
	{"UTC", "2024-01-15 14:30:05.25", "2024-01-15 14:30:05.250000+00"},
	{"UTC", "2024-01-15 14:30:05.123456", "2024-01-15 14:30:05.123456+00"},
	{"UTC", "2024-01-15", "2024-01-15 00:00:00+00"},
	{"UTC", "  2024-01-15 14:30\t", "2024-01-15 14:30:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30", "2024-01-15 13:30:00+00"},
	{"Europe/Berlin", "2024-07-15 14:30", "2024-07-15 12:30:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30+02", "2024-01-15 12:30:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30 +02", "2024-01-15 12:30:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30:00-03:30", "2024-01-15 18:00:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30:00-0330", "2024-01-15 18:00:00+00"},
	{"Europe/Berlin", "1920-01-15 14:30+01", "could not understand"},
	{"Europe/Berlin", "2024-01-15T14:30Z", "2024-01-15 14:30:00+00"},
	{"Europe/Berlin", "2024-01-15t14:30z", "2024-01-15 14:30:00+00"},
	{"Europe/Berlin", "2024-01-15 14:30 UTC", "2024-01-15 14:30:00+00"},
	{"Europe/Berlin", "2024-01-15T14:30:00.5+05:30", "2024-01-15 09:00:00.500000+00"},
	{"America/New_York", "2024-01-15 14:30", "2024-01-15 19:30:00+00"},
	{"Asia/Kolkata", "2024-01-15 14:30", "2024-01-15 09:00:00+00"},
	{"UTC", "2024-02-29 10:00", "2024-02-29 10:00:00+00"},

	{"UTC", "now", "2024-06-15 12:00:00+00"},
	{"UTC", "today 11:15", "2024-06-15 11:15:00+00"},
	{"UTC", "Yesterday 14:30", "2024-06-14 14:30:00+00"},
	{"UTC", "yesterday", "2024-06-14 00:00:00+00"},
	{"Europe/Berlin", "today 11:15", "2024-06-15 09:15:00+00"},
	{"Europe/Berlin", "yesterday 14:30:10", "2024-06-14 12:30:10+00"},
	{"Pacific/Auckland", "today 00:30", "2024-06-15 12:30:00+00"},
	{"UTC", "10 minutes ago", "2024-06-15 11:50:00+00"},
	{"UTC", "1 minute ago", "2024-06-15 11:59:00+00"},
	{"UTC", "10min ago", "2024-06-15 11:50:00+00"},
	{"UTC", "1 hour 30 minutes ago", "2024-06-15 10:30:00+00"},
	{"UTC", "2 days ago", "2024-06-13 12:00:00+00"},
	{"UTC", "1 week ago", "2024-06-08 12:00:00+00"},
	/* Twelve weeks before, Berlin was an hour nearer to UTC: the same time of day there. */
	{"Europe/Berlin", "12 weeks ago", "2024-03-23 13:00:00+00"},

	/* Set forward: 2024-03-31 02:00 to 03:00 in Berlin, 2024-03-10 02:00 to 03:00 in New York. */
	{"Europe/Berlin", "2024-03-31 01:59:59", "2024-03-31 00:59:59+00"},
	{"Europe/Berlin", "2024-03-31 02:00", "does not exist: the clocks were set forward over it"},
	{"Europe/Berlin", "2024-03-31 02:30", "does not exist: the clocks were set forward over it"},
	{"Europe/Berlin", "2024-03-31 03:00", "2024-03-31 01:00:00+00"},
	{"Europe/Berlin", "2024-03-31 02:30+01", "2024-03-31 01:30:00+00"},
	{"America/New_York", "2024-03-10 02:30", "does not exist: the clocks were set forward over it"},
	/* Set back: 2024-10-27 03:00 to 02:00 in Berlin, 2024-11-03 02:00 to 01:00 in New York. */
	{"Europe/Berlin", "2024-10-27 01:59:59", "2024-10-26 23:59:59+00"},
	{"Europe/Berlin", "2024-10-27 02:00", "is ambiguous: the clocks were set back and showed it twice"},
	{"Europe/Berlin", "2024-10-27 02:59:59", "is ambiguous: the clocks were set back and showed it twice"},
	{"Europe/Berlin", "2024-10-27 03:00", "2024-10-27 02:00:00+00"},
	{"Europe/Berlin", "2024-10-27 02:30+02", "2024-10-27 00:30:00+00"},
	{"Europe/Berlin", "2024-10-27 02:30+01", "2024-10-27 01:30:00+00"},
	{"America/New_York", "2024-11-03 01:30", "is ambiguous: the clocks were set back and showed it twice"},
	{"America/New_York", "2024-11-03 02:00", "2024-11-03 07:00:00+00"},
	{"UTC", "2024-10-27 02:30", "2024-10-27 02:30:00+00"},
	{"Asia/Kolkata", "2024-03-31 02:30", "2024-03-30 21:00:00+00"},
	/* Moscow moved from +04 to +03 for good, with no daylight saving on either side. */
	{"Europe/Moscow", "2014-10-26 01:30", "is ambiguous: the clocks were set back and showed it twice"},

	{"UTC", "", "could not understand the time \"\""},
	{"UTC", "tomorrow", "could not understand the time \"tomorrow\""},
	{"UTC", "2024-13-01 10:00", "could not understand"},
	{"UTC", "2023-02-29 10:00", "could not understand"},
	{"UTC", "2024-01-15 24:00", "could not understand"},
	{"UTC", "2024-01-15 10:60", "could not understand"},
	{"UTC", "2024-01-15 10", "could not understand"},
	{"UTC", "2024-01-15 10:00:00.1234567", "could not understand"},
	{"UTC", "2024-01-15 10:00:00.", "could not understand"},
	{"UTC", "2024-01-15 10:00 CET", "could not understand"},
	{"UTC", "2024-01-15 10:00+2", "could not understand"},
	{"UTC", "2024-01-15 10:00+02:", "could not understand"},
	{"UTC", "2024-01-15 10:00Zx", "could not understand"},
	{"UTC", "2024-1-15 10:00", "could not understand"},
	{"UTC", "15.01.2024 10:00", "could not understand"},
	{"UTC", "10 minutes", "could not understand"},
	{"UTC", "10 months ago", "could not understand"},
	{"UTC", "minutes ago", "could not understand"},
	{"UTC", "10000000 minutes ago", "could not understand"},
	{"UTC", "yesterdayT14:30", "could not understand"},
	{"UTC", "1718452800", "could not understand"},
};

static void zone_set(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

static void test_reading(const struct reading *reading)
{
	char name[256], got[CLOCK_TEXT_SIZE];
	struct error err = {0};
	int64_t time_us = 0;

	zone_set(reading->tz);
	snprintf(name, sizeof(name), "%s in %s: %s", reading->text, reading->tz, reading->expected);
	if (time_parse(reading->text, NOON_US, &time_us, &err)) {
		time_format_utc(time_us, got);
		is_text(got, reading->expected, name);
		return;
	}
	bool as_expected =
		strstr(err.text, reading->expected) != NULL && err.kind == ERROR_USAGE && err.hint[0] != '\0';
	if (!ok(as_expected, "%s", name))
		printf("# said: %s\n# hint: %s\n", err.text, err.hint);
}

static void test_hints(void)
{
	struct error err = {0};
	int64_t time_us;

	zone_set("Europe/Berlin");
	ok(!time_parse("2024-10-27 02:30", NOON_US, &time_us, &err), "an ambiguous time is refused");
	is_text(err.text,
		"the local time \"2024-10-27 02:30:00\" is ambiguous: the clocks were set back and showed it twice",
		"and says why");
	is_text(err.hint, "Say which one: \"2024-10-27 02:30:00+02\" or, later, \"2024-10-27 02:30:00+01\".",
		"and both ways to write it, earlier first");
	ok(!time_parse("2024-03-31 02:30", NOON_US, &time_us, &err), "a skipped time is refused");
	is_text(err.hint, "Give the offset from UTC as well: \"2024-03-31 02:30:00+01\" or \"2024-03-31 02:30:00+02\".",
		"and says how to write it");
}

static void test_printing(void)
{
	char text[CLOCK_TEXT_SIZE];

	zone_set("Europe/Berlin");
	time_format_local(NOON_US, text);
	is_text(text, "2024-06-15 14:00:00+02", "local time carries its offset");
	time_format_local(NOON_US + 5, text);
	is_text(text, "2024-06-15 14:00:00.000005+02", "microseconds where there are any");
	zone_set("Asia/Kolkata");
	time_format_local(NOON_US, text);
	is_text(text, "2024-06-15 17:30:00+05:30", "offsets of half an hour");
	zone_set("America/New_York");
	time_format_local(NOON_US, text);
	is_text(text, "2024-06-15 08:00:00-04", "offsets west of Greenwich");
	time_format_basic(NOON_US, text);
	is_text(text, "20240615T120000Z", "Signature V4's form is UTC");
	time_format_utc(POSTGRES_EPOCH_US, text);
	is_text(text, "2000-01-01 00:00:00+00", "PostgreSQL's epoch");
	time_format_utc(-1, text);
	is_text(text, "1969-12-31 23:59:59.999999+00", "a moment before 1970");
	time_format_utc(INT64_MAX, text);
	is_text(text, "294247-01-10 04:00:54.775807+00", "the last moment there is");
	time_format_utc(INT64_MIN, text);
	ok(strlen(text) < CLOCK_TEXT_SIZE, "the first moment there is fits: %s", text);
}

static void test_machines(void)
{
	int64_t time_us = 0;

	ok(time_parse_http("Sat, 15 Jun 2024 12:00:00 GMT", &time_us) && time_us == NOON_US, "an HTTP date");
	ok(!time_parse_http("Sat, 15 Jun 2024 12:00:00 CET", &time_us), "HTTP dates are GMT");
	ok(!time_parse_http("Sat, 31 Jun 2024 12:00:00 GMT", &time_us), "31 June is no date");
	ok(!time_parse_http("Sat, 15 Jux 2024 12:00:00 GMT", &time_us), "Jux is no month");
	ok(!time_parse_http("Sat, 15 Jun 2024 12:00:00 GMT ", &time_us), "nothing follows an HTTP date");
	ok(!time_parse_http("", &time_us) && !time_parse_http(",", &time_us), "an empty HTTP date is none");
	ok(time_parse_iso("2024-06-15T12:00:00Z", &time_us) && time_us == NOON_US, "an ISO date");
	ok(time_parse_iso("2024-06-15T12:00:00.000Z", &time_us) && time_us == NOON_US, "with a fraction");
	ok(time_parse_iso("2024-06-15T12:00:00.123456789Z", &time_us) && time_us == NOON_US + 123456,
	   "nanoseconds are cut to microseconds");
	ok(!time_parse_iso("2024-06-15T12:00:00", &time_us), "an ISO date without Z is refused");
	ok(!time_parse_iso("2024-06-15 12:00:00Z", &time_us), "and one without T");
	ok(!time_parse_iso("2024-06-15T12:00:00.Z", &time_us), "and an empty fraction");
}

static void test_deadlines(void)
{
	int64_t deadline_ms = deadline_in(20);

	ok(deadline_left_ms(deadline_ms) > 0, "a deadline ahead has time left");
	clock_sleep_ms(25);
	ok(deadline_left_ms(deadline_ms) <= 0, "one that has passed has none");
	ok(deadline_in(INT64_MAX) > deadline_in(0), "a deadline at the end of time does not wrap round");
}

int main(void)
{
	zone_set("Europe/Berlin");
	if (localtime(&(time_t){NOON_US / 1000000})->tm_gmtoff != 7200) {
		printf("1..0\nBail out! the time zone files are missing: install the Debian package tzdata\n");
		return 1;
	}
	for (size_t i = 0; i < sizeof(READINGS) / sizeof(READINGS[0]); i++)
		test_reading(&READINGS[i]);
	test_hints();
	test_printing();
	test_machines();
	test_deadlines();
	return done_testing();
}

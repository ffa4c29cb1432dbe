#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_US      INT64_C(1000000)
#define MINUTE_SECONDS 60
#define HOUR_SECONDS   3600
#define DAY_SECONDS    86400
#define YEAR_MIN       1970
#define YEAR_MAX       9999
#define TEXT_SIZE      128 /* no time that a person types is as long */

int64_t clock_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t duration_ms)
{
	if (duration_ms <= 0)
		return;
	struct timespec rest = {.tv_sec = duration_ms / 1000, .tv_nsec = (duration_ms % 1000) * 1000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
		continue;
}

int64_t deadline_in(int64_t duration_ms)
{
	int64_t deadline_ms;

	if (__builtin_add_overflow(clock_monotonic_ms(), duration_ms, &deadline_ms))
		return INT64_MAX;
	return deadline_ms;
}

int64_t deadline_left_ms(int64_t deadline_ms)
{
	return deadline_ms - clock_monotonic_ms();
}

/* Rounds towards the past, also before 1970, so that the microseconds left over are never negative. */
static time_t seconds_of(int64_t time_us, int *fraction_us)
{
	int64_t seconds = time_us / SECOND_US;
	int64_t fraction = time_us % SECOND_US;

	if (fraction < 0) {
		fraction += SECOND_US;
		seconds--;
	}
	*fraction_us = (int) fraction;
	return (time_t) seconds;
}

/* "+01", "-03:30", "+00:53:28": as short as it can be without losing anything. `text` holds 16 bytes. */
static void offset_format(long offset_seconds, char text[16])
{
	char sign = offset_seconds < 0 ? '-' : '+';
	unsigned total = (unsigned) (offset_seconds < 0 ? -offset_seconds : offset_seconds) % (100 * HOUR_SECONDS);
	unsigned hours = total / HOUR_SECONDS, minutes = total / MINUTE_SECONDS % 60, seconds = total % 60;

	if (seconds != 0)
		snprintf(text, 16, "%c%02u:%02u:%02u", sign, hours, minutes, seconds);
	else if (minutes != 0)
		snprintf(text, 16, "%c%02u:%02u", sign, hours, minutes);
	else
		snprintf(text, 16, "%c%02u", sign, hours);
}

static void broken_down_format(const struct tm *parts, int fraction_us, char text[CLOCK_TEXT_SIZE])
{
	char fraction[16] = "", offset[16];

	if (fraction_us != 0)
		snprintf(fraction, sizeof(fraction), ".%06d", fraction_us);
	offset_format(parts->tm_gmtoff, offset);
	size_t length = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", parts);
	snprintf(text + length, CLOCK_TEXT_SIZE - length, "%s%s", fraction, offset);
}

void time_format_utc(int64_t time_us, char text[CLOCK_TEXT_SIZE])
{
	int fraction_us;
	time_t seconds = seconds_of(time_us, &fraction_us);
	struct tm parts = {0};

	gmtime_r(&seconds, &parts);
	broken_down_format(&parts, fraction_us, text);
}

void time_format_local(int64_t time_us, char text[CLOCK_TEXT_SIZE])
{
	int fraction_us;
	time_t seconds = seconds_of(time_us, &fraction_us);
	struct tm parts = {0};

	localtime_r(&seconds, &parts);
	broken_down_format(&parts, fraction_us, text);
}

void duration_format(int64_t duration_s, char text[CLOCK_TEXT_SIZE])
{
	if (duration_s >= 90 * 60)
		(void) snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 " h %d min", duration_s / 3600,
				(int) (duration_s % 3600 / 60));
	else if (duration_s >= 90)
		(void) snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 " min", (duration_s + 30) / 60);
	else
		(void) snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 " s", duration_s);
}

void time_format_basic(int64_t time_us, char text[CLOCK_TEXT_SIZE])
{
	int fraction_us;
	time_t seconds = seconds_of(time_us, &fraction_us);
	struct tm parts = {0};

	gmtime_r(&seconds, &parts);
	strftime(text, CLOCK_TEXT_SIZE, "%Y%m%dT%H%M%SZ", &parts);
}

/* The scan_ functions take from *at what they understand and move it on; false when that is not there. */

static bool scan_char(const char **at, const char *allowed)
{
	if (**at == '\0' || strchr(allowed, **at) == NULL)
		return false;
	(*at)++;
	return true;
}

static void scan_spaces(const char **at)
{
	while (scan_char(at, " \t"))
		continue;
}

/* Exactly `digits` digits, no sign, no space. */
static bool scan_number(const char **at, int digits, int *number)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		char c = (*at)[i];
		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*at += digits;
	*number = value;
	return true;
}

/* A word of letters, in any case, that ends where the letters end. */
static bool scan_word(const char **at, const char *word)
{
	size_t length = strlen(word);
	char next;

	if (strncasecmp(*at, word, length) != 0)
		return false;
	next = (*at)[length];
	if ((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z'))
		return false;
	*at += length;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : DAYS[month - 1];
}

static bool date_is_valid(int year, int month, int day)
{
	return year >= YEAR_MIN && year <= YEAR_MAX && month >= 1 && month <= 12 && day >= 1 &&
	       day <= days_in_month(year, month);
}

static bool scan_date(const char **at, struct tm *wall)
{
	const char *start = *at;
	int year, month, day;

	if (!scan_number(at, 4, &year) || !scan_char(at, "-") || !scan_number(at, 2, &month) || !scan_char(at, "-") ||
	    !scan_number(at, 2, &day) || !date_is_valid(year, month, day)) {
		*at = start;
		return false;
	}
	wall->tm_year = year - 1900;
	wall->tm_mon = month - 1;
	wall->tm_mday = day;
	return true;
}

/* "123" behind the point: six digits are a microsecond. More are cut off when `cut` (machines send nanoseconds), and
 * refused otherwise: who types them means a moment that a microsecond cannot hold. */
static bool scan_fraction(const char **at, bool cut, int64_t *fraction_us)
{
	int64_t value = 0;
	int digits = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
		if (digits < 6)
			value = value * 10 + (**at - '0');
	}
	if (digits == 0 || (digits > 6 && !cut))
		return false;
	for (; digits < 6; digits++)
		value *= 10;
	*fraction_us = value;
	return true;
}

/* "14:30", "14:30:05", "14:30:05.25" */
static bool scan_time(const char **at, bool cut_fraction, struct tm *wall, int64_t *fraction_us)
{
	int hour, minute, second = 0;

	if (!scan_number(at, 2, &hour) || !scan_char(at, ":") || !scan_number(at, 2, &minute))
		return false;
	if (scan_char(at, ":")) {
		if (!scan_number(at, 2, &second))
			return false;
		if (scan_char(at, ".") && !scan_fraction(at, cut_fraction, fraction_us))
			return false;
	}
	if (hour > 23 || minute > 59 || second > 59)
		return false;
	wall->tm_hour = hour;
	wall->tm_min = minute;
	wall->tm_sec = second;
	return true;
}

/* "Z", "UTC", "GMT", "+02", "-0330", "+05:30", "+00:53:28". POSIX-style signs ("UTC+2") are not read: they mean the
 * opposite of what people expect. */
static bool scan_zone(const char **at, int64_t *offset_seconds)
{
	int hours, minutes = 0, seconds = 0;
	bool is_negative = **at == '-';

	*offset_seconds = 0;
	if (scan_word(at, "z") || scan_word(at, "utc") || scan_word(at, "gmt"))
		return true;
	if (!scan_char(at, "+-") || !scan_number(at, 2, &hours))
		return false;
	bool has_colon = scan_char(at, ":");
	bool has_minutes = scan_number(at, 2, &minutes);
	if (has_colon && !has_minutes)
		return false;
	if (has_colon && scan_char(at, ":") && !scan_number(at, 2, &seconds))
		return false;
	if (hours > 15 || minutes > 59 || seconds > 59)
		return false;
	*offset_seconds = hours * HOUR_SECONDS + minutes * MINUTE_SECONDS + seconds;
	if (is_negative)
		*offset_seconds = -*offset_seconds;
	return true;
}

bool time_parse_iso(const char *text, int64_t *time_us)
{
	struct tm wall = {0};
	int64_t fraction_us = 0;

	if (!scan_date(&text, &wall) || !scan_char(&text, "T") || !scan_time(&text, true, &wall, &fraction_us) ||
	    strcmp(text, "Z") != 0)
		return false;
	*time_us = (int64_t) timegm(&wall) * SECOND_US + fraction_us;
	return true;
}

static bool scan_month_name(const char **at, int *month)
{
	static const char NAMES[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	for (*month = 1; *month <= 12; (*month)++) {
		if (strncmp(*at, NAMES[*month - 1], 3) == 0) {
			*at += 3;
			return true;
		}
	}
	return false;
}

/* RFC 7231 section 7.1.1.1, the one form that senders may generate. The name of the day says nothing new: any. */
bool time_parse_http(const char *text, int64_t *time_us)
{
	const char *at = strchr(text, ',');
	struct tm wall = {0};
	int64_t fraction_us = 0;
	int year, month, day;

	if (at == NULL || at - text != 3)
		return false;
	at++;
	if (!scan_char(&at, " ") || !scan_number(&at, 2, &day) || !scan_char(&at, " ") ||
	    !scan_month_name(&at, &month) || !scan_char(&at, " ") || !scan_number(&at, 4, &year) ||
	    !scan_char(&at, " ") || !scan_time(&at, false, &wall, &fraction_us) || strcmp(at, " GMT") != 0 ||
	    !date_is_valid(year, month, day))
		return false;
	wall.tm_year = year - 1900;
	wall.tm_mon = month - 1;
	wall.tm_mday = day;
	*time_us = (int64_t) timegm(&wall) * SECOND_US + fraction_us;
	return true;
}

static bool wall_equals(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	       a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

/* Is there a moment at which clocks here, running at `offset_seconds`, show `wall`? */
static bool wall_at_offset(const struct tm *wall, long offset_seconds, time_t *seconds)
{
	struct tm copy = *wall, shown;

	*seconds = timegm(&copy) - offset_seconds;
	return localtime_r(seconds, &shown) != NULL && wall_equals(&shown, wall);
}

static long offset_at(time_t seconds)
{
	struct tm shown = {0};

	localtime_r(&seconds, &shown);
	return shown.tm_gmtoff;
}

static bool fail_ambiguous(const struct tm *wall, long before_seconds, long after_seconds, struct error *err)
{
	char text[CLOCK_TEXT_SIZE], before[16], after[16];

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", wall);
	offset_format(before_seconds, before);
	offset_format(after_seconds, after);
	(void) fail(err, ERROR_USAGE,
		    "the local time \"%s\" is ambiguous: the clocks were set back and showed it twice", text);
	return fail_hint(err, "Say which one: \"%s%s\" or, later, \"%s%s\".", text, before, text, after);
}

static bool fail_skipped(const struct tm *wall, long before_seconds, long after_seconds, struct error *err)
{
	char text[CLOCK_TEXT_SIZE], before[16], after[16];

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", wall);
	offset_format(before_seconds, before);
	offset_format(after_seconds, after);
	(void) fail(err, ERROR_USAGE, "the local time \"%s\" does not exist: the clocks were set forward over it",
		    text);
	return fail_hint(err, "Give the offset from UTC as well: \"%s%s\" or \"%s%s\".", text, before, text, after);
}

/* The offsets in force a day before and a day after are all that can apply: no zone has changed its offset twice
 * within two days. Comparing offsets, and not tm_isdst, also sees a change of the zone itself (Moscow 2014). */
static bool wall_resolve(const struct tm *wall, time_t *seconds, struct error *err)
{
	struct tm copy = *wall;
	time_t as_utc = timegm(&copy);
	long before = offset_at(as_utc - DAY_SECONDS), after = offset_at(as_utc + DAY_SECONDS);
	time_t by_before, by_after;
	bool fits_before = wall_at_offset(wall, before, &by_before);
	bool fits_after = wall_at_offset(wall, after, &by_after);

	if (fits_before && fits_after && by_before != by_after)
		return fail_ambiguous(wall, before, after, err);
	if (!fits_before && !fits_after)
		return fail_skipped(wall, before, after, err);
	*seconds = fits_before ? by_before : by_after;
	return true;
}

static bool fail_unread(const char *text, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "could not understand the time \"%.200s\"", text);
	return fail_hint(err, "Write it like \"2024-01-15 14:30\", \"2024-01-15 14:30:00+01\", \"2024-01-15T13:30Z\", "
			      "\"yesterday 14:30\" or \"10 minutes ago\".");
}

/* Sets the date of `wall` to that of `days` before now, where we are. */
static void wall_set_day(int64_t now_us, int days, struct tm *wall)
{
	int fraction_us;
	time_t seconds = seconds_of(now_us, &fraction_us);
	struct tm today = {0};

	localtime_r(&seconds, &today);
	/* Noon, so that neither mktime nor a change of the clocks can move the date. */
	struct tm day = {
		.tm_year = today.tm_year, .tm_mon = today.tm_mon, .tm_mday = today.tm_mday - days, .tm_hour = 12};
	(void) timegm(&day);
	wall->tm_year = day.tm_year;
	wall->tm_mon = day.tm_mon;
	wall->tm_mday = day.tm_mday;
}

struct ago {
	int64_t seconds;
	int days;
};

static bool scan_ago_unit(const char **at, int number, struct ago *ago)
{
	static const struct {
		const char *names[4];
		int seconds, days;
	} UNITS[] = {
		{{"second", "seconds", "sec", "s"}, 1, 0},
		{{"minute", "minutes", "min", "m"}, MINUTE_SECONDS, 0},
		{{"hour", "hours", "hr", "h"}, HOUR_SECONDS, 0},
		{{"day", "days", "d", NULL}, 0, 1},
		{{"week", "weeks", "w", NULL}, 0, 7},
	};

	for (size_t unit = 0; unit < sizeof(UNITS) / sizeof(UNITS[0]); unit++) {
		for (int i = 0; i < 4 && UNITS[unit].names[i] != NULL; i++) {
			if (scan_word(at, UNITS[unit].names[i])) {
				ago->seconds += (int64_t) number * UNITS[unit].seconds;
				ago->days += number * UNITS[unit].days;
				return true;
			}
		}
	}
	return false;
}

/* Up to six digits, so that sums stay far inside an int. */
static bool scan_count(const char **at, int *number)
{
	int digits = 0;

	while ((*at)[digits] >= '0' && (*at)[digits] <= '9')
		digits++;
	return digits >= 1 && digits <= 6 && scan_number(at, digits, number);
}

/* "10 minutes ago", "1 hour 30 minutes ago", "2 days ago". */
static bool scan_ago(const char *text, struct ago *ago)
{
	int number;

	*ago = (struct ago){0};
	for (int parts = 0; parts < 5; parts++) {
		if (!scan_count(&text, &number))
			return false;
		scan_spaces(&text);
		if (!scan_ago_unit(&text, number, ago))
			return false;
		scan_spaces(&text);
		if (scan_word(&text, "ago"))
			return *text == '\0';
	}
	return false;
}

/* Days are days of the calendar here, as `interval '1 day'` is for PostgreSQL; hours and less are exact. */
static bool ago_resolve(const struct ago *ago, int64_t now_us, int64_t *time_us, struct error *err)
{
	int64_t moment_us = now_us;

	if (ago->days != 0) {
		int fraction_us;
		time_t seconds = seconds_of(now_us, &fraction_us);
		struct tm wall = {0};

		localtime_r(&seconds, &wall);
		wall_set_day(now_us, ago->days, &wall);
		TRY(wall_resolve(&wall, &seconds, err));
		moment_us = (int64_t) seconds * SECOND_US + fraction_us;
	}
	*time_us = moment_us - ago->seconds * SECOND_US;
	return true;
}

/* The date part: one written out, or a day by its name. *is_named: nothing but a space may follow. */
static bool scan_day(const char **at, int64_t now_us, struct tm *wall, bool *is_named)
{
	*is_named = true;
	if (scan_word(at, "today")) {
		wall_set_day(now_us, 0, wall);
		return true;
	}
	if (scan_word(at, "yesterday")) {
		wall_set_day(now_us, 1, wall);
		return true;
	}
	*is_named = false;
	return scan_date(at, wall);
}

/* What follows the date: nothing, or a time, with a zone or without. */
static bool scan_rest(const char *at, bool is_named, struct tm *wall, int64_t *fraction_us, bool *has_zone,
		      int64_t *offset_seconds)
{
	*has_zone = false;
	if (*at == '\0')
		return true;
	if (!scan_char(&at, is_named ? " \t" : " \tTt"))
		return false;
	scan_spaces(&at);
	if (!scan_time(&at, false, wall, fraction_us))
		return false;
	scan_spaces(&at);
	if (*at == '\0')
		return true;
	*has_zone = true;
	return scan_zone(&at, offset_seconds) && *at == '\0';
}

static bool trimmed_parse(const char *text, int64_t now_us, int64_t *time_us, struct error *err)
{
	struct tm wall = {0};
	int64_t fraction_us = 0, offset_seconds = 0;
	bool is_named, has_zone;
	const char *at = text;
	time_t seconds;
	struct ago ago;

	if (strcasecmp(text, "now") == 0) {
		*time_us = now_us;
		return true;
	}
	if (scan_ago(text, &ago))
		return ago_resolve(&ago, now_us, time_us, err);
	if (!scan_day(&at, now_us, &wall, &is_named) ||
	    !scan_rest(at, is_named, &wall, &fraction_us, &has_zone, &offset_seconds))
		return fail_unread(text, err);
	if (has_zone)
		seconds = (time_t) (timegm(&wall) - offset_seconds);
	else
		TRY(wall_resolve(&wall, &seconds, err));
	*time_us = (int64_t) seconds * SECOND_US + fraction_us;
	return true;
}

bool time_parse(const char *text, int64_t now_us, int64_t *time_us, struct error *err)
{
	char trimmed[TEXT_SIZE];
	size_t length;

	scan_spaces(&text);
	length = strlen(text);
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	if (length >= sizeof(trimmed))
		return fail_unread(text, err);
	memcpy(trimmed, text, length);
	trimmed[length] = '\0';
	return trimmed_parse(trimmed, now_us, time_us, err);
}

#include "pg/lsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HALF_DIGITS_MAX 8

void lsn_format(uint64_t lsn, char text[LSN_TEXT_SIZE])
{
	(void) snprintf(text, LSN_TEXT_SIZE, "%X/%X", (uint32_t) (lsn >> 32), (uint32_t) lsn);
}

/* One to eight digits of either case, as pg_lsn_in() of pg_lsn.c takes them. */
static const char *lsn_half_parse(const char *text, uint32_t *value)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	if (digits == 0 || digits > HALF_DIGITS_MAX)
		return NULL;
	*value = (uint32_t) strtoul(text, NULL, 16);
	return text + digits;
}

bool lsn_parse(const char *text, uint64_t *lsn)
{
	uint32_t high;
	uint32_t low;
	const char *rest = lsn_half_parse(text, &high);

	if (rest == NULL || *rest != '/')
		return false;
	rest = lsn_half_parse(rest + 1, &low);
	if (rest == NULL || *rest != '\0')
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return true;
}

bool lsn_put(json_t *object, const char *key, uint64_t lsn, struct error *err)
{
	char text[LSN_TEXT_SIZE];

	lsn_format(lsn, text);
	return json_put(object, key, json_string(text), err);
}

bool lsn_get(const json_t *object, const char *key, uint64_t *lsn, struct error *err)
{
	const char *text;

	TRY(json_get_text(object, key, &text, err));
	return lsn_parse(text, lsn) ? true : fail(err, ERROR_CORRUPT, "\"%s\" is not an LSN", key);
}

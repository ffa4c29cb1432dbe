/* Positions in the WAL: 64 bits, as text the two halves in hexadecimal (pg_lsn.c of PostgreSQL), in JSON that text.
 */
#pragma once

#include "base/json.h"

#define LSN_TEXT_SIZE 20

void lsn_format(uint64_t lsn, char text[LSN_TEXT_SIZE]); /* "0/1A2B3C4D" */
bool lsn_parse(const char *text, uint64_t *lsn);

bool lsn_put(json_t *object, const char *key, uint64_t lsn, struct error *err) MUST_CHECK;
/* CORRUPT, naming the key, when it is missing or not an LSN. */
bool lsn_get(const json_t *object, const char *key, uint64_t *lsn, struct error *err) MUST_CHECK;

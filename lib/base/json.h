/* The door to Jansson: documents with a bound on their size, and getters that explain what is missing.
 *
 * Objects come from json_object()/json_array() of Jansson; release with the JSON_CLEANUP attribute.
 * 64-bit numbers beyond 2^53 (system identifiers) and LSNs travel as text.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"

#define JSON_CLEANUP __attribute__((cleanup(json_cleanup)))
void json_cleanup(json_t **json);

/* CORRUPT, naming `what`, when the text is no JSON object (duplicate keys and trailing bytes included). */
bool json_decode(struct bytes text, const char *what, json_t **json, struct error *err) MUST_CHECK;
/* Appends compact JSON; keys keep their order of insertion. */
bool json_encode(const json_t *json, struct buf *text, struct error *err) MUST_CHECK;

/* Each is CORRUPT, naming the key, when it is missing or of another type. Strings are borrowed from `object`. */
bool json_get_text(const json_t *object, const char *key, const char **text, struct error *err) MUST_CHECK;
bool json_get_integer(const json_t *object, const char *key, int64_t minimum, int64_t maximum, int64_t *value,
		      struct error *err) MUST_CHECK;
bool json_get_u32(const json_t *object, const char *key, uint32_t *value, struct error *err) MUST_CHECK;
/* Up to INT64_MAX: JSON's integers are signed here. */
bool json_get_u64(const json_t *object, const char *key, uint64_t *value, struct error *err) MUST_CHECK;
/* Copies the text with its zero; CORRUPT when it does not fit into `size` bytes. */
bool json_copy_text(const json_t *object, const char *key, char *text, size_t size, struct error *err) MUST_CHECK;
bool json_get_array(const json_t *object, const char *key, json_t **array, struct error *err) MUST_CHECK;
bool json_get_object(const json_t *object, const char *key, json_t **member, struct error *err) MUST_CHECK;

/* A message as a text. JSON holds UTF-8 alone; a message may have a path of any bytes in it, or be cut within a
 * character: then every byte that is not ASCII is a question mark. NULL: out of memory. */
json_t *json_message(const char *text);
/* Takes ownership of `value` (which may be NULL: out of memory); SYSTEM when it cannot be set. */
bool json_put(json_t *object, const char *key, json_t *value, struct error *err) MUST_CHECK;
bool json_add(json_t *array, json_t *value, struct error *err) MUST_CHECK;

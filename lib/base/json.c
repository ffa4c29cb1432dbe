#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void json_cleanup(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

bool json_decode(struct bytes text, const char *what, json_t **json, struct error *err)
{
	json_error_t reason;
	json_t *decoded = json_loadb((const char *) text.data, text.size, JSON_REJECT_DUPLICATES, &reason);

	if (decoded == NULL)
		return fail(err, ERROR_CORRUPT, "%s is not valid JSON: %s (line %d)", what, reason.text, reason.line);
	if (!json_is_object(decoded)) {
		json_decref(decoded);
		return fail(err, ERROR_CORRUPT, "%s is not a JSON object", what);
	}
	*json = decoded;
	return true;
}

struct sink {
	struct buf *text;
	struct error *err;
};

static int sink_write(const char *piece, size_t size, void *context)
{
	struct sink *sink = context;

	return buf_append(sink->text, bytes_of(piece, size), sink->err) ? 0 : -1;
}

bool json_encode(const json_t *json, struct buf *text, struct error *err)
{
	struct sink sink = {.text = text, .err = err};

	err->kind = ERROR_NONE;
	if (json_dump_callback(json, sink_write, &sink, JSON_COMPACT) == 0)
		return true;
	return err->kind == ERROR_NONE ? fail(err, ERROR_SYSTEM, "could not write JSON") : false;
}

static bool json_get(const json_t *object, const char *key, bool right_type, const char *type, struct error *err)
{
	if (json_object_get(object, key) == NULL)
		return fail(err, ERROR_CORRUPT, "\"%s\" is missing", key);
	if (!right_type)
		return fail(err, ERROR_CORRUPT, "\"%s\" is not %s", key, type);
	return true;
}

bool json_get_text(const json_t *object, const char *key, const char **text, struct error *err)
{
	const json_t *member = json_object_get(object, key);

	TRY(json_get(object, key, json_is_string(member), "a text", err));
	*text = json_string_value(member);
	return true;
}

bool json_get_integer(const json_t *object, const char *key, int64_t minimum, int64_t maximum, int64_t *value,
		      struct error *err)
{
	const json_t *member = json_object_get(object, key);

	TRY(json_get(object, key, json_is_integer(member), "an integer", err));
	*value = json_integer_value(member);
	if (*value < minimum || *value > maximum)
		return fail(err, ERROR_CORRUPT, "\"%s\" is %" PRId64 ", not between %" PRId64 " and %" PRId64, key,
			    *value, minimum, maximum);
	return true;
}

bool json_get_u32(const json_t *object, const char *key, uint32_t *value, struct error *err)
{
	int64_t wide;

	TRY(json_get_integer(object, key, 0, UINT32_MAX, &wide, err));
	*value = (uint32_t) wide;
	return true;
}

bool json_get_u64(const json_t *object, const char *key, uint64_t *value, struct error *err)
{
	int64_t wide;

	TRY(json_get_integer(object, key, 0, INT64_MAX, &wide, err));
	*value = (uint64_t) wide;
	return true;
}

bool json_copy_text(const json_t *object, const char *key, char *text, size_t size, struct error *err)
{
	const char *value;

	TRY(json_get_text(object, key, &value, err));
	if (strlen(value) >= size)
		return fail(err, ERROR_CORRUPT, "\"%s\" is too long", key);
	memcpy(text, value, strlen(value) + 1);
	return true;
}

bool json_get_array(const json_t *object, const char *key, json_t **array, struct error *err)
{
	*array = json_object_get(object, key);
	return json_get(object, key, json_is_array(*array), "an array", err);
}

bool json_get_object(const json_t *object, const char *key, json_t **member, struct error *err)
{
	*member = json_object_get(object, key);
	return json_get(object, key, json_is_object(*member), "an object", err);
}

bool json_put(json_t *object, const char *key, json_t *value, struct error *err)
{
	if (json_object_set_new(object, key, value) != 0)
		return fail(err, ERROR_SYSTEM, "could not make JSON: \"%s\" is no valid text, or out of memory", key);
	return true;
}

bool json_add(json_t *array, json_t *value, struct error *err)
{
	if (json_array_append_new(array, value) != 0)
		return fail(err, ERROR_SYSTEM, "could not make JSON: no valid text, or out of memory");
	return true;
}

json_t *json_message(const char *text)
{
	json_t *json = json_string(text);
	char plain[sizeof(((struct error *) NULL)->text)];

	if (json != NULL)
		return json;
	(void) snprintf(plain, sizeof(plain), "%s", text);
	for (char *at = plain; *at != '\0'; at++)
		if ((unsigned char) *at >= 0x80)
			*at = '?';
	return json_string(plain);
}

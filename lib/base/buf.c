#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes bytes_of_text(const char *text)
{
	return bytes_of(text, strlen(text));
}

struct bytes buf_bytes(const struct buf *buf)
{
	return bytes_of(buf->data, buf->size);
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	buf->data = NULL;
	buf->size = 0;
	buf->capacity = 0;
}

void buf_clear(struct buf *buf)
{
	buf->size = 0;
}

void buf_move(struct buf *target, struct buf *source)
{
	buf_release(target);
	*target = *source;
	source->data = NULL;
	source->size = 0;
	source->capacity = 0;
}

bool buf_allocate(struct buf *buf, size_t capacity, struct error *err)
{
	if (capacity > buf->size_max)
		return fail(err, ERROR_CORRUPT, "%zu bytes are more than the limit of %zu", capacity, buf->size_max);
	if (capacity <= buf->capacity)
		return true;

	uint8_t *data = realloc(buf->data, capacity);
	if (data == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory: could not allocate %zu bytes", capacity);
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

bool buf_reserve(struct buf *buf, size_t extra, struct error *err)
{
	if (extra <= buf->capacity - buf->size)
		return true;
	if (extra > buf->size_max - buf->size)
		return fail(err, ERROR_CORRUPT, "%zu bytes and %zu more are beyond the limit of %zu", buf->size, extra,
			    buf->size_max);

	size_t needed = buf->size + extra;
	size_t doubled = buf->capacity > buf->size_max / 2 ? buf->size_max : buf->capacity * 2;
	size_t smallest = buf->size_max < 256 ? buf->size_max : 256;
	size_t capacity = needed > doubled ? needed : doubled;
	return buf_allocate(buf, capacity > smallest ? capacity : smallest, err);
}

bool buf_append(struct buf *buf, struct bytes more, struct error *err)
{
	if (more.size == 0)
		return true;
	TRY(buf_reserve(buf, more.size, err));
	memcpy(buf->data + buf->size, more.data, more.size);
	buf->size += more.size;
	return true;
}

bool buf_append_text(struct buf *buf, const char *text, struct error *err)
{
	return buf_append(buf, bytes_of_text(text), err);
}

bool buf_format(struct buf *buf, struct error *err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		return fail(err, ERROR_SYSTEM, "could not format a text");

	TRY(buf_reserve(buf, (size_t) length + 1, err)); /* vsnprintf writes a zero, which is not counted */
	va_start(arguments, format);
	(void) vsnprintf((char *) buf->data + buf->size, (size_t) length + 1, format, arguments);
	va_end(arguments);
	buf->size += (size_t) length;
	return true;
}

bool buf_text(struct buf *buf, const char **text, struct error *err)
{
	TRY(buf_reserve(buf, 1, err));
	buf->data[buf->size] = '\0';
	*text = (const char *) buf->data;
	return true;
}

bool buf_put_u8(struct buf *buf, uint8_t value, struct error *err)
{
	return buf_append(buf, bytes_of(&value, 1), err);
}

void store_u16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t) value;
	to[1] = (uint8_t) (value >> 8);
}

void store_u32(uint8_t *to, uint32_t value)
{
	store_u16(to, (uint16_t) value);
	store_u16(to + 2, (uint16_t) (value >> 16));
}

void store_u64(uint8_t *to, uint64_t value)
{
	store_u32(to, (uint32_t) value);
	store_u32(to + 4, (uint32_t) (value >> 32));
}

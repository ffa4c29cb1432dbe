/* Borrowed bytes by value, owned bytes in a buffer that cannot be made without deciding its bound.
 *
 * struct bytes never owns. struct buf owns `data`; size <= capacity <= size_max always holds. Declare one as
 *     BUF(name, size_max);
 * and it is released when it goes out of scope. A buf may be moved with buf_move().
 * `struct reader` reads little-endian values out of bytes and goes bad, instead of past the end.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bytes {
	const uint8_t *data;
	size_t size;
};

struct buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	size_t size_max;
};

#define KiB ((size_t) 1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

#define BUF_CLEANUP	 __attribute__((cleanup(buf_release)))
#define BUF(name, limit) struct buf name BUF_CLEANUP = {.size_max = (limit)}

static inline struct bytes bytes_of(const void *data, size_t size)
{
	return (struct bytes){.data = data, .size = size};
}

/* The part [offset, offset + size) of `whole`, which must contain it (asserted). */
static inline struct bytes bytes_slice(struct bytes whole, size_t offset, size_t size)
{
	assert(offset <= whole.size && size <= whole.size - offset);
	return (struct bytes){.data = size == 0 ? NULL : whole.data + offset, .size = size};
}

struct bytes bytes_of_text(const char *text); /* without the terminating zero */
struct bytes buf_bytes(const struct buf *buf);
bool bytes_equal(struct bytes a, struct bytes b);

void buf_release(struct buf *buf); /* frees the memory, keeps size_max: the buf is empty and usable */
void buf_clear(struct buf *buf);   /* size = 0, keeps the memory */
void buf_move(struct buf *target, struct buf *source); /* target is released first; source is left empty */

/* Room for `extra` more bytes. SYSTEM when there is no memory, CORRUPT when size_max would be exceeded
 * (the limit is ours, so whoever sent more is wrong). Doubles, so appending is linear. */
bool buf_reserve(struct buf *buf, size_t extra, struct error *err) MUST_CHECK;
/* Room for exactly `capacity` bytes in all, where the size is known beforehand. */
bool buf_allocate(struct buf *buf, size_t capacity, struct error *err) MUST_CHECK;
bool buf_append(struct buf *buf, struct bytes more, struct error *err) MUST_CHECK;
bool buf_append_text(struct buf *buf, const char *text, struct error *err) MUST_CHECK;
bool buf_format(struct buf *buf, struct error *err, const char *format, ...) MUST_CHECK
	__attribute__((format(printf, 3, 4)));
/* The contents as a C string: a zero byte is kept behind the last one (not counted in size). */
bool buf_text(struct buf *buf, const char **text, struct error *err) MUST_CHECK;

bool buf_put_u8(struct buf *buf, uint8_t value, struct error *err) MUST_CHECK;

/* Little-endian values in place, where the caller has checked the room. Here and below everything is inline: WAL is
 * read with it, millions of records a second. */
static inline uint16_t load_u16(const uint8_t *from)
{
	return (uint16_t) (from[0] | from[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *from)
{
	return (uint32_t) from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *from)
{
	return load_u32(from) | (uint64_t) load_u32(from + 4) << 32;
}

void store_u16(uint8_t *to, uint16_t value);
void store_u32(uint8_t *to, uint32_t value);
void store_u64(uint8_t *to, uint64_t value);

struct reader {
	struct bytes rest;
	bool bad; /* something was asked for that is not there; every later value is zero */
};

static inline struct reader reader_init(struct bytes bytes)
{
	return (struct reader){.rest = bytes, .bad = false};
}

/* Empty when bad. */
static inline struct bytes reader_bytes(struct reader *reader, size_t size)
{
	if (reader->bad || size > reader->rest.size) {
		reader->bad = true;
		return (struct bytes){.data = NULL, .size = 0};
	}

	struct bytes taken = {.data = reader->rest.data, .size = size};
	if (size > 0)
		reader->rest.data += size;
	reader->rest.size -= size;
	return taken;
}

static inline uint8_t reader_u8(struct reader *reader)
{
	struct bytes taken = reader_bytes(reader, 1);
	return reader->bad ? 0 : taken.data[0];
}

static inline uint16_t reader_u16(struct reader *reader)
{
	struct bytes taken = reader_bytes(reader, 2);
	return reader->bad ? 0 : load_u16(taken.data);
}

static inline uint32_t reader_u32(struct reader *reader)
{
	struct bytes taken = reader_bytes(reader, 4);
	return reader->bad ? 0 : load_u32(taken.data);
}

static inline uint64_t reader_u64(struct reader *reader)
{
	struct bytes taken = reader_bytes(reader, 8);
	return reader->bad ? 0 : load_u64(taken.data);
}

/* The header of a sealed object: fields to bytes and back, authenticated. docs/format.md, "Header".
 *
 * Decoding answers nothing from a header whose tag does not match, except where it must say why no tag can be
 * computed (a newer version, another key). Knows the layout; everything about frames is in codec.c.
 */
#pragma once

#include "codec/codec.h"
#include "codec/schedule.h"

/* Frames that `plain_size` bytes are cut into: at least one. */
uint32_t header_frame_count(uint64_t plain_size, int frame_log2);
size_t header_size_of(size_t name_length, uint32_t frame_count);

/* Writes header->header_size bytes and sets header->digest. */
bool header_encode(const struct schedule *schedule, struct object_header *header, uint8_t *target,
		   struct error *err) MUST_CHECK;
/* As object_open_header() of codec.h, which adds what identity demands. */
bool header_decode(const struct secrets *secrets, struct bytes object, struct object_header *header,
		   size_t *header_need, struct error *err) MUST_CHECK;

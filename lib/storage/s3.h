/* Objects in an S3 bucket; what it promises stands in storage.h.
 *
 * Creating without replacing is the header If-None-Match: *, which the server must honour; a server that says it
 * cannot (501) is refused unless the setting s3-create-only is off. Every request carries the SHA-256 of its body in
 * its signature, which the server compares before it stores. Knows nothing of what the objects are.
 */
#pragma once

#include "storage/storage.h"

bool s3_open(const struct storage_settings *settings, struct storage **storage, struct error *err) MUST_CHECK;

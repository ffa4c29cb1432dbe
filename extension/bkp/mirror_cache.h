/* The mirror as this backend has read it: kept until the file is another one or has changed, so that only the first
 * call after a change decodes it. The programs replace the file by rename: what is read is the old one or the new one.
 */
#pragma once

#include "mirror.h"

/* Raises an ERROR with a hint where there is none to be believed: missing, cut, damaged, of a newer version, or of
 * another cluster. Says in a WARNING, once a statement, that it is older than bkp.stale_after. What is returned stays
 * as it is until the next call. */
const struct mirror *mirror_read(void);
/* The same, without that warning. */
const struct mirror *mirror_read_quietly(void);
/* The same as a question: false, with the reason, where mirror_read_quietly() would raise. */
bool mirror_try(const struct mirror **mirror, struct error *err) MUST_CHECK;
int64 mirror_age_us(const struct mirror *mirror); /* 0 at least */
bool mirror_is_stale(const struct mirror *mirror);

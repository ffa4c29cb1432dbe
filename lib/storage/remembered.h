/* Listings that are remembered for a while, for one thread: what was listed once is not asked for again, whichever
 * listing it was part of. For who asks for many small ones of what lies side by side, or the same again, and is content
 * with how it was then. Knows nothing of what names mean.
 */
#pragma once

#include "storage/backend.h"

struct remembered;

bool remembered_new(struct remembered **remembered, struct error *err) MUST_CHECK;
void remembered_free(struct remembered *remembered); /* NULL is fine */
/* As storage_list(), asking the backend for what is not remembered. */
bool remembered_list(struct remembered *remembered, struct storage *storage, const char *prefix, const char *after,
		     storage_visit visit, void *context, struct error *err) MUST_CHECK;

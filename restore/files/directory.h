/* Directories that a restore may write to: what their one name is, what is in them, making them and taking them back.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

#include "base/error.h"

/* Absolute, without slashes at the end; what is there of it is resolved, so that one directory has one name, were it
 * reached by a link or not. `*existing_length` is that part's. */
bool directory_resolve(const char *path, char resolved[PATH_MAX], size_t *existing_length,
		       struct error *err) MUST_CHECK;
/* Is `path` the directory itself, or below it? Of resolved names. */
bool directory_contains(const char *directory, const char *path);
/* Is there a directory, and is anything in it? USAGE when it is something else. */
bool directory_look(const char *path, bool *exists, bool *is_empty, struct error *err) MUST_CHECK;
/* mkdir -p with mode 0700, each durable in its parent. */
bool directory_make(const char *path, struct error *err) MUST_CHECK;
/* Takes back what directory_make() made: only what is empty. */
void directory_abandon(const char *directory, size_t existing_length);

/* The configuration file, as entries with their line numbers. Knows the grammar, not which settings there are.
 *
 *   # a comment
 *   name = value            # spaces around are not part of the value
 *   name = 'a value, with ''quotes'' or a # in it'
 *   [cluster NAME]          # what follows is for this cluster only
 */
#pragma once

#include "base/buf.h"

#define CONFIG_ENTRIES_MAX 512
#define CONFIG_SIZE_MAX	   (256 * KiB)

struct config_entry {
	const char *section; /* name of the cluster; NULL: for all */
	const char *name, *value;
	int line;
};

struct config_file {
	const char *path; /* borrowed */
	struct buf text;  /* owns what the entries point to */
	int count;
	struct config_entry entries[CONFIG_ENTRIES_MAX];
};

/* Reads and takes apart. *found is false when there is no file. Everything else that can be wrong is USAGE and says
 * in which line: a missing or refused configuration is never NOT_FOUND or SYSTEM to a recovering server. */
bool config_file_read(struct config_file *file, const char *path, bool *found, struct error *err) MUST_CHECK;
void config_file_release(struct config_file *file);

/* Puts `configuration file "…" line N` before the text of *err, makes it USAGE and returns false. */
bool config_file_fail_in(const struct config_file *file, int line, struct error *err);

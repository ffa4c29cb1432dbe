/* postgresql.auto.conf: the settings that a server reads last (guc-file.l of 13 to 18). Lines are added and taken out;
 * all others stay as they are, byte by byte.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

#define AUTO_CONF_NAME	   "postgresql.auto.conf"
#define AUTO_CONF_SIZE_MAX (16 * MiB)

/* Appends "name = 'value'" and a line break. USAGE when the value has a line break in it. */
bool auto_conf_append(struct buf *conf, const char *name, const char *value, struct error *err) MUST_CHECK;

/* Is the setting called so, as PostgreSQL compares names? `name` has `size` bytes. */
typedef bool (*auto_conf_match)(const void *context, const char *name, size_t size);

/* What is left of a file without the lines whose settings match. */
bool auto_conf_without(struct bytes old, auto_conf_match match, const void *context, struct buf *rest,
		       struct error *err) MUST_CHECK;
/* Are there lines whose settings match? */
bool auto_conf_has(struct bytes conf, auto_conf_match match, const void *context);
/* Takes the lines that match out of a data directory's file, and adds `lines` at its end; durable. `mode` 0: as it is.
 */
bool auto_conf_replace(const char *pgdata, mode_t mode, auto_conf_match match, const void *context, struct bytes lines,
		       struct error *err) MUST_CHECK;

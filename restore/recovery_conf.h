/* The settings PostgreSQL obeys while it recovers: made from a plan, written behind what the backup brought along in
 * postgresql.auto.conf. Making them is pure.
 */
#pragma once

#include "plan.h"

#define RECOVERY_CONF_SIZE_MAX (1 * MiB)
#define RECOVERY_COMMAND_MAX   (64 * KiB)

/* Appends restore_command as a shell runs it, with PostgreSQL's %f and %p and every other % doubled. */
bool recovery_command_make(const struct options *options, struct buf *command, struct error *err) MUST_CHECK;
/* Appends the lines of settings. */
bool recovery_conf_make(const struct plan *plan, const char *command, struct buf *conf, struct error *err) MUST_CHECK;
/* What is left of a postgresql.auto.conf without the lines that belong to another recovery or another standby. */
bool recovery_conf_clean(struct bytes old, struct buf *cleaned, struct error *err) MUST_CHECK;

/* postgresql.auto.conf and recovery.signal or standby.signal. */
bool recovery_conf_write(const char *pgdata, mode_t mode, struct bytes conf, bool is_standby,
			 struct error *err) MUST_CHECK;

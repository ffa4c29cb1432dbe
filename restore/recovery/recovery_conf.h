/* The settings PostgreSQL obeys while it recovers: made from a plan, written behind what the backup brought along in
 * postgresql.auto.conf. Making them is pure.
 */
#pragma once

#include "plan/plan.h"

#define RECOVERY_CONF_SIZE_MAX (1 * MiB)
#define RECOVERY_COMMAND_MAX   (64 * KiB)

/* What the plan does not say. */
struct recovery_settings {
	const char *restore_command;
	const char *archive_command; /* of a copy, which archives to a branch of its own; NULL: it stays as it is */
	const char *branch;	     /* NULL: the default one */
	const char *repository;	     /* its id, where a branch is given */
};

/* Append restore_command and archive_command as a shell runs them, with PostgreSQL's %f and %p and every other %
 * doubled. */
bool recovery_command_make(const struct options *options, struct buf *command, struct error *err) MUST_CHECK;
bool recovery_archive_command_make(const struct options *options, struct buf *command, struct error *err) MUST_CHECK;
/* Appends the lines of settings. */
bool recovery_conf_make(const struct plan *plan, const struct recovery_settings *settings, struct buf *conf,
			struct error *err) MUST_CHECK;
/* What is left of a postgresql.auto.conf without the lines that belong to another recovery, another standby or another
 * branch, and without those that `conf` says anew. */
bool recovery_conf_clean(struct bytes old, struct bytes conf, struct buf *cleaned, struct error *err) MUST_CHECK;

/* postgresql.auto.conf and recovery.signal or standby.signal. */
bool recovery_conf_write(const char *pgdata, mode_t mode, struct bytes conf, bool is_standby,
			 struct error *err) MUST_CHECK;

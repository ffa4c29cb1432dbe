/* The data directory that a verb is about, and writing the two things in it that say which branch its server belongs
 * to: the mark, and the settings for who can only ask. */
#pragma once

#include "config/options.h"
#include "pg/control_file.h"
#include "repo/branch_mark.h"

/* Opens the repository of the cluster in --pgdata and applies the directory's mark. USAGE when no directory is given,
 * or it is not one, or not that of the user who runs the program. */
bool server_directory_open(const struct options *options, struct repo **repo, struct control_file *control,
			   struct branch_mark *mark, struct error *err) MUST_CHECK;
/* Mark and settings; durable. The server reads the settings when it is reloaded. */
bool server_directory_mark(const struct repo *repo, const char *pgdata, const struct branch_mark *mark,
			   struct error *err) MUST_CHECK;

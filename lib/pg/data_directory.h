/* Where a server's data directory is, told from the path of a WAL file in it: the working directory for "pg_wal/…" as
 * PostgreSQL gives %p, another one for the absolute path of pg_rewind.
 */
#pragma once

#include <limits.h>

#include "base/error.h"

/* Does the file lie in a directory of the name "pg_wal", as a server's WAL does? Otherwise somebody has put it
 * elsewhere, and what data_directory_of() says is no data directory. */
bool data_directory_is_told(const char *wal_path);
/* `directory` holds PATH_MAX bytes. */
bool data_directory_of(const char *wal_path, char *directory, struct error *err) MUST_CHECK;

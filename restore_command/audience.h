/* Who is asking for WAL: what an exit status means depends on it. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* Does the data directory hold a file of that name? No when it cannot be told. */
bool directory_has(const char *directory, const char *name);

/* A standby (it asks again by itself), or a server in archive recovery (it would take a failure for the end of the
 * archive). Told by the signal files in the data directory of `destination`. A server that has just been promoted, and
 * has the history that it asks for, counts as a standby. */
enum error_audience fetch_audience(const char *destination);

/* The server that recovers in the data directory, by its postmaster; 0: none does. */
pid_t recovering_server(const char *directory);

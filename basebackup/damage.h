/* Pages that failed their checksum: read again, since the server may have been writing them, and named. */
#pragma once

#include "stream.h"

/* Asks the server at `address`, over an ordinary connection, for each page that looked damaged, and forgets those that
 * are right now or have changed since the backup began (WAL replay will write them anew). When the server does not let
 * us, the pages stay what they were and a warning says so. */
void damage_read_again(struct stream *stream, const struct server_address *address);
/* One warning for each page, the first twenty of them. */
void damage_report(const struct stream *stream);

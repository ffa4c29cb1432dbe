/* tablespace_map, from which PostgreSQL makes the links of pg_tblspc anew when it starts from a base backup (manual,
 * section 26.3.3; read_tablespace_map() of xlogrecovery.c). It has to agree with where the tablespaces are now. Pure.
 */
#pragma once

#include "files/place.h"

/* Appends the map with the lines of moved tablespaces rewritten, everything else byte for byte. CORRUPT when it speaks
 * of a tablespace that the backup does not know, or that was elsewhere. */
bool tablespace_map_rewrite(struct bytes map, const struct place *place, struct buf *rewritten,
			    struct error *err) MUST_CHECK;

/* The map from numbers of relations to their names that is stored with a backup, asked of the server over ordinary
 * connections, one to each database.
 *
 * It is made on a thread of its own from the moment the backup has begun: then all WAL that changes it further is WAL
 * that the backup needs anyway, and the stream waits for nothing. That a server does not let us ask is no failure of a
 * backup: what is then missing is said, here and in the map.
 */
#pragma once

#include "pg/replication.h"
#include "repo/catalog.h"

struct relations;

/* `address` is of the server that is backed up; borrowed, as `repo` is, until relations_close(). */
bool relations_open(struct repo *repo, const struct server_address *address, struct relations **relations,
		    struct error *err) MUST_CHECK;
/* Begins; `label` is the backup's. */
void relations_begin(struct relations *relations, const char *label);
/* Waits for the end, which has a deadline, and reports. `summary` stays empty when there is no map. */
void relations_finish(struct relations *relations, struct relation_map_summary *summary);
/* In every case; NULL is fine. When it is not finished it is broken off, behind what is being waited for just now. */
void relations_close(struct relations *relations);

/* Removes what the plan says, so that whoever is interrupted, by whatever, leaves a repository in which everything that
 * is listed can be restored, and from which the next run removes the rest: first, for each backup, a fact that it is
 * retired, then its entry in the catalog; then manifests, packs, WAL, and the index over WAL.
 */
#pragma once

#include "expire.h"

/* Says of what goes that it does, and then looks once more: at pins that were made meanwhile, whose backups are spared
 * (then the plan has to be made again), and for backups that were finished meanwhile, with which the run ends. */
bool expire_retire(struct expire *expire, bool *has_spared, struct error *err) MUST_CHECK;
/* Takes the backups that go out of the catalog. Those that the store does not let go are pinned from then on, for this
 * run: then the plan has to be made again. */
bool expire_remove_backups(struct expire *expire, bool *has_refused, struct error *err) MUST_CHECK;
/* What goes besides them. What the store refuses stays, and is noted. */
bool expire_remove_objects(struct expire *expire, struct error *err) MUST_CHECK;

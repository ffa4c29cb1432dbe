/* What an object is by its name: the reverse of most of layout.h, for who goes through everything that there is. A name
 * promises nothing: the header of the object has to say the same. Names that are not of the format are nobody's
 * business. docs/format.md, "Tree of names". */
#pragma once

#include "codec/codec.h"
#include "repo/layout.h"

struct object_name {
	enum object_kind kind;
	char branch[BRANCH_NAME_MAX + 1]; /* "" of keys and identities */
	char label[BACKUP_LABEL_SIZE];	  /* of packs, manifests, relation maps and backup facts; else "" */
	uint32_t number;		  /* of packs and parts of manifests and relation maps; the epoch of keys */
	struct wal_name wal;		  /* of WAL and histories; of an index the first segment of its block */
};

/* False: no object of this cluster and system. */
bool object_name_parse(const struct layout *layout, const char *key, struct object_name *name);

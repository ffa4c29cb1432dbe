#include "repo/object_name.h"

#include <string.h>

#define PATTERN_LABEL  "%47[A-Za-z0-9-]"
#define PATTERN_NUMBER "%8" SCNx32 "%n"

/* "<folder>/<LABEL>/<number>" */
static bool part_parse(const char *rest, const char *folder, struct object_name *name)
{
	size_t length = strlen(folder);
	int end = 0;

	return strncmp(rest, folder, length) == 0 &&
	       sscanf(rest + length, PATTERN_LABEL "/" PATTERN_NUMBER, name->label, &name->number, &end) == 2 &&
	       rest[length + (size_t) end] == '\0' && end == (int) strlen(name->label) + 9;
}

static bool backup_parse(const char *rest, struct object_name *name)
{
	int end = 0;

	return sscanf(rest, "backup/" PATTERN_LABEL "/complete%n", name->label, &end) == 1 && end > 0 &&
	       rest[end] == '\0';
}

/* As the branch alone would have it: which branch of a chain it is read from is another question. */
static bool wal_parse(const struct layout *layout, const char *key, struct object_name *name)
{
	struct layout alone = {.branch_count = 1, .system_identifier = layout->system_identifier};

	memcpy(alone.cluster, layout->cluster, sizeof(alone.cluster));
	memcpy(alone.branches[0].name, name->branch, sizeof(alone.branches[0].name));
	return layout_parse_wal(&alone, key, &name->wal);
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool branch_object_parse(const struct layout *layout, const char *key, const char *rest,
				struct object_name *name)
{
	if (part_parse(rest, "pack/", name))
		name->kind = OBJECT_PACK;
	else if (part_parse(rest, "manifest/", name))
		name->kind = OBJECT_MANIFEST;
	else if (part_parse(rest, "relation/", name))
		name->kind = OBJECT_RELATION_MAP;
	else if (wal_parse(layout, key, name))
		name->kind = name->wal.kind == WAL_HISTORY ? OBJECT_HISTORY : OBJECT_WAL;
	else if (layout_parse_wal_index(layout, name->branch, key, &name->wal))
		name->kind = OBJECT_WAL_INDEX;
	else if (backup_parse(rest, name) || strcmp(rest, "origin") == 0 || starts(rest, "adopted/") ||
		 starts(rest, "restore/") || starts(rest, "fact/"))
		name->kind = OBJECT_FACT;
	else
		return false;
	if (name->kind != OBJECT_PACK && name->kind != OBJECT_MANIFEST && name->kind != OBJECT_RELATION_MAP &&
	    !starts(rest, "backup/"))
		name->label[0] = '\0';
	return true;
}

static bool key_object_parse(const char *rest, struct object_name *name)
{
	int end = 0;

	if (sscanf(rest, "key/%8" SCNx32 "/public%n", &name->number, &end) == 1 && end > 0 && rest[end] == '\0') {
		name->kind = OBJECT_EPOCH;
		return true;
	}
	name->kind = OBJECT_RECIPIENT;
	return sscanf(rest, "key/%8" SCNx32 "/recipient/%*16[0-9a-f]/%*16[0-9a-f]%n", &name->number, &end) == 1 &&
	       end > 0 && rest[end] == '\0';
}

bool object_name_parse(const struct layout *layout, const char *key, struct object_name *name)
{
	char prefix[LAYOUT_KEY_SIZE];

	*name = (struct object_name){.kind = OBJECT_IDENTITY};
	layout_identity(layout, prefix);
	if (strcmp(key, prefix) == 0)
		return true;
	if (layout_parse_branch(layout, key, name->branch)) {
		layout_system_prefix(layout, prefix);
		return branch_object_parse(layout, key, key + strlen(prefix) + strlen(name->branch) + 1, name);
	}
	layout_cluster_prefix(layout, prefix);
	return starts(key, prefix) && key_object_parse(key + strlen(prefix), name);
}

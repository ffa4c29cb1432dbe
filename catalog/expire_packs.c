#include "expire_packs.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "expire_there.h"
#include "repo/manifest.h"

/* Of one backup. */
struct reading {
	struct expire *expire;
	const struct backup *backup;
	char pack[sizeof(((struct extent *) NULL)->pack)]; /* the last one that was looked for */
	bool is_whole;
};

bool expire_packs_refer(const struct expire *expire, const char *key)
{
	for (size_t i = 0; i < expire->references.count; i++) {
		if (strcmp(expire->references.items[i], key) == 0)
			return true;
	}
	return false;
}

static bool reference_add(struct expire *expire, const char *key, struct error *err)
{
	struct expire_references *references = &expire->references;

	if (expire_packs_refer(expire, key))
		return true;
	TRY(ARRAY_RESERVE(&references->items, references->count, &references->capacity, err));
	(void) snprintf(references->items[references->count++], LAYOUT_KEY_SIZE, "%s", key);
	return true;
}

/* What no listing has shown is asked for: then it is there, and the run ends, or it is gone for certain. */
static bool object_look_for(struct reading *reading, const char *key, enum object_kind kind, bool *is_there,
			    struct error *err)
{
	bool is_absent;

	*is_there = expire_is_listed(reading->expire, key);
	if (*is_there)
		return true;
	TRY(expire_demand_absent(reading->expire, key, kind, &is_absent, err));
	if (reading->is_whole)
		log_warning("the backup \"%s\" does not count, since it cannot be restored: \"%s\" is not there",
			    reading->backup->label, key);
	reading->is_whole = false;
	return true;
}

static bool is_own(const struct reading *reading, const char *reference)
{
	const char *pack = strstr(reference, "/pack/");
	const char *label = reading->backup->label;

	return pack != NULL && strncmp(pack + strlen("/pack/"), label, strlen(label)) == 0 &&
	       pack[strlen("/pack/") + strlen(label)] == '/';
}

static bool entry_visit(void *context, const struct manifest_entry *entry, struct error *err)
{
	struct reading *reading = context;

	for (int i = 0; i < entry->extent_count; i++) {
		const char *reference = entry->extents[i].pack;
		char key[LAYOUT_KEY_SIZE];
		bool is_there;

		if (strcmp(reference, reading->pack) == 0)
			continue;
		(void) snprintf(reading->pack, sizeof(reading->pack), "%s", reference);
		TRY(layout_pack_of_reference(&reading->expire->repo->layout, reference, key, err));
		if (!is_own(reading, reference))
			TRY(reference_add(reading->expire, key, err));
		if (reading->is_whole)
			TRY(object_look_for(reading, key, OBJECT_PACK, &is_there, err));
	}
	return true;
}

static bool manifest_read(struct reading *reading, struct error *err)
{
	const struct backup *backup = reading->backup;

	for (uint32_t number = 0; number < backup->manifest_parts; number++) {
		char key[LAYOUT_KEY_SIZE];
		bool is_there;

		layout_manifest(&reading->expire->repo->layout, backup->branch, backup->label, number, key);
		TRY(object_look_for(reading, key, OBJECT_MANIFEST, &is_there, err));
		if (is_there)
			TRY(manifest_each_of_part(reading->expire->repo, backup, number, entry_visit, reading, err));
	}
	return true;
}

bool expire_packs_read(struct expire *expire, bool *has_read, struct error *err)
{
	struct retention *retention = &expire->retention;

	*has_read = false;
	for (int i = 0; i < retention->backup_count; i++) {
		struct retention_backup *item = &retention->backups[i];
		struct reading reading = {
			.expire = expire, .backup = item->backup, .is_whole = item->backup->manifest_parts > 0};

		if (item->reasons == 0 || expire->backups[i].is_read)
			continue;
		*has_read = expire->backups[i].is_read = true;
		if (!manifest_read(&reading, err)) {
			(void) fail_in(err, "it cannot be said what the backup \"%s\" needs", item->backup->label);
			if (err->hint[0] == '\0')
				(void) fail_hint(err, "Nothing was removed. \"pitr-verify\" says what is damaged.");
			return false;
		}
		item->is_good = item->is_good && reading.is_whole;
	}
	return true;
}

#include "repo/layout.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/random.h"

static bool name_is_valid(const char *name, size_t size_max)
{
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return length > 0 && length <= size_max && name[length] == '\0' && isalnum((unsigned char) name[0]);
}

bool layout_init(struct layout *layout, const char *cluster, struct error *err)
{
	memset(layout, 0, sizeof(*layout));
	if (!name_is_valid(cluster, CLUSTER_NAME_MAX))
		return fail(err, ERROR_USAGE, "\"%s\" is not a valid cluster name", cluster) ||
		       fail_hint(err,
				 "A name has letters, digits, \"_\" and \"-\", begins with a letter or a digit, and "
				 "is at most 63 characters long.");
	(void) snprintf(layout->cluster, sizeof(layout->cluster), "%s", cluster);
	layout->branch_count = 1;
	(void) snprintf(layout->branches[0].name, sizeof(layout->branches[0].name), "%s", LAYOUT_BRANCH_DEFAULT);
	return true;
}

bool layout_branch_is_valid(const char *name)
{
	return name_is_valid(name, BRANCH_NAME_MAX);
}

const char *layout_branch(const struct layout *layout)
{
	return layout->branches[0].name;
}

static bool branch_owns(const struct branch *branch, const struct wal_name *name)
{
	if (name->timeline != branch->timeline || name->kind == WAL_HISTORY || !branch->has_first)
		return name->timeline > branch->timeline;
	return name->log != branch->first_log ? name->log > branch->first_log : name->segment >= branch->first_segment;
}

const struct branch *layout_owner(const struct layout *layout, const struct wal_name *name)
{
	int index = 0;

	while (index < layout->branch_count - 1 && !branch_owns(&layout->branches[index], name))
		index++;
	return &layout->branches[index];
}

bool layout_owns(const struct layout *layout, const struct wal_name *name)
{
	return layout_owner(layout, name) == &layout->branches[0];
}

bool layout_owns_timeline(const struct layout *layout, int index, uint32_t timeline)
{
	const struct branch *branch = &layout->branches[index];

	for (int younger = 0; younger < index; younger++)
		if (timeline > layout->branches[younger].timeline)
			return false;
	return index == layout->branch_count - 1 || timeline > branch->timeline ||
	       (timeline == branch->timeline && branch->has_first);
}

static void layout_format(char key[LAYOUT_KEY_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

static void layout_format(char key[LAYOUT_KEY_SIZE], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(key, LAYOUT_KEY_SIZE, format, arguments);
	va_end(arguments);
	assert(length > 0 && length < LAYOUT_KEY_SIZE);
}

/* "<cluster>/<system identifier>/<branch>/" and what follows. */
static void layout_format_branch(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE],
				 const char *rest)
{
	layout_format(key, "%s/%" PRIu64 "/%s/%s", layout->cluster, layout->system_identifier, branch, rest);
}

void layout_cluster_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/", layout->cluster);
}

void layout_identity(const struct layout *layout, char key[LAYOUT_KEY_SIZE])
{
	layout_identity_of(layout->cluster, layout->system_identifier, key);
}

void layout_keys_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/key/", layout->cluster);
}

void layout_epoch(const struct layout *layout, uint32_t epoch, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/key/%08" PRIx32 "/public", layout->cluster, epoch);
}

void layout_recipient_prefix(const struct layout *layout, uint32_t epoch, const uint8_t public_id[8],
			     char key[LAYOUT_KEY_SIZE])
{
	char text[17];

	hex_format(bytes_of(public_id, 8), text);
	layout_format(key, "%s/key/%08" PRIx32 "/recipient/%s/", layout->cluster, epoch, text);
}

void layout_recipient(const struct layout *layout, uint32_t epoch, const uint8_t public_id[8], const uint8_t id[8],
		      char key[LAYOUT_KEY_SIZE])
{
	char prefix[LAYOUT_KEY_SIZE], text[17];

	layout_recipient_prefix(layout, epoch, public_id, prefix);
	hex_format(bytes_of(id, 8), text);
	layout_format(key, "%.200s%s", prefix, text);
}

void layout_canary(const struct layout *layout, const uint8_t id[8], char key[LAYOUT_KEY_SIZE])
{
	char text[17];

	hex_format(bytes_of(id, 8), text);
	layout_format(key, "%s/canary/%s", layout->cluster, text);
}

static void layout_wal_on(const struct layout *layout, const char *branch, const struct wal_name *name,
			  char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	if (name->kind == WAL_HISTORY)
		(void) snprintf(rest, sizeof(rest), "history/%s", name->text);
	else
		(void) snprintf(rest, sizeof(rest), "wal/%08" PRIX32 "/%08" PRIX32 "/%s", name->timeline, name->log,
				name->text);
	layout_format_branch(layout, branch, key, rest);
}

void layout_wal(const struct layout *layout, const struct wal_name *name, char key[LAYOUT_KEY_SIZE])
{
	layout_wal_on(layout, layout_owner(layout, name)->name, name, key);
}

void layout_wal_new(const struct layout *layout, const struct wal_name *name, char key[LAYOUT_KEY_SIZE])
{
	layout_wal_on(layout, layout_branch(layout), name, key);
}

void layout_wal_prefix(const struct layout *layout, const char *branch, uint32_t timeline, char key[LAYOUT_KEY_SIZE])
{
	char rest[32];

	(void) snprintf(rest, sizeof(rest), "wal/%08" PRIX32 "/", timeline);
	layout_format_branch(layout, branch, key, rest);
}

void layout_wal_timelines_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "wal/");
}

void layout_behind_system(const struct layout *layout, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/%" PRIu64 "0", layout->cluster, layout->system_identifier);
}

void layout_system_prefix(const struct layout *layout, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/%" PRIu64 "/", layout->cluster, layout->system_identifier);
}

void layout_branch_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "");
}

void layout_behind_branch(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/%" PRIu64 "/%s0", layout->cluster, layout->system_identifier, branch);
}

void layout_behind_timeline(const struct layout *layout, const char *branch, uint32_t timeline,
			    char key[LAYOUT_KEY_SIZE])
{
	char rest[32];

	(void) snprintf(rest, sizeof(rest), "wal/%08" PRIX32 "0", timeline);
	layout_format_branch(layout, branch, key, rest);
}

void layout_history_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "history/");
}

void layout_origin(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "origin");
}

void layout_adopted(const struct layout *layout, const char *branch, uint32_t number, char key[LAYOUT_KEY_SIZE])
{
	char rest[32];

	(void) snprintf(rest, sizeof(rest), "adopted/%08" PRIx32, number);
	layout_format_branch(layout, branch, key, rest);
}

void layout_adopted_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "adopted/");
}

void layout_wal_index(const struct layout *layout, const char *branch, const struct wal_name *first,
		      const uint8_t random[4], char key[LAYOUT_KEY_SIZE])
{
	char rest[128];
	char text[9];

	hex_format(bytes_of(random, 4), text);
	(void) snprintf(rest, sizeof(rest), "index/%08" PRIX32 "/%s-%s", first->timeline, first->text, text);
	layout_format_branch(layout, branch, key, rest);
}

void layout_wal_index_from(const struct layout *layout, const char *branch, const struct wal_name *first,
			   char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	(void) snprintf(rest, sizeof(rest), "index/%08" PRIX32 "/%s", first->timeline, first->text);
	layout_format_branch(layout, branch, key, rest);
}

void layout_wal_index_prefix(const struct layout *layout, const char *branch, uint32_t timeline,
			     char key[LAYOUT_KEY_SIZE])
{
	char rest[32];

	(void) snprintf(rest, sizeof(rest), "index/%08" PRIX32 "/", timeline);
	layout_format_branch(layout, branch, key, rest);
}

void layout_measurement(const struct layout *layout, const char *branch, int64_t time_us, const uint8_t random[4],
			char key[LAYOUT_KEY_SIZE])
{
	char rest[64];
	char text[9];

	hex_format(bytes_of(random, 4), text);
	(void) snprintf(rest, sizeof(rest), "restore/%016" PRIx64 "-%s", (uint64_t) time_us, text);
	layout_format_branch(layout, branch, key, rest);
}

void layout_measurement_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "restore/");
}

void layout_fact_id(int64_t time_us, const uint8_t random[4], char id[LAYOUT_FACT_ID_SIZE])
{
	char text[9];

	hex_format(bytes_of(random, 4), text);
	(void) snprintf(id, LAYOUT_FACT_ID_SIZE, "%016" PRIx64 "-%s", (uint64_t) time_us, text);
}

void layout_fact(const struct layout *layout, const char *branch, const char *kind, const char *id,
		 char key[LAYOUT_KEY_SIZE])
{
	char rest[64];

	(void) snprintf(rest, sizeof(rest), "fact/%.20s/%.25s", kind, id);
	layout_format_branch(layout, branch, key, rest);
}

void layout_fact_from(const struct layout *layout, const char *branch, const char *kind, int64_t time_us,
		      char key[LAYOUT_KEY_SIZE])
{
	char id[LAYOUT_FACT_ID_SIZE];

	(void) snprintf(id, sizeof(id), "%016" PRIx64, (uint64_t) time_us);
	layout_fact(layout, branch, kind, id, key);
}

void layout_fact_prefix(const struct layout *layout, const char *branch, const char *kind, char key[LAYOUT_KEY_SIZE])
{
	layout_fact(layout, branch, kind, "", key);
}

void layout_pack_reference(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE])
{
	layout_format(key, "%s/pack/%s/%08" PRIx32, layout_branch(layout), label, number);
}

void layout_pack(const struct layout *layout, const char *label, uint32_t number, char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	(void) snprintf(rest, sizeof(rest), "pack/%s/%08" PRIx32, label, number);
	layout_format_branch(layout, layout_branch(layout), key, rest);
}

bool layout_pack_of_reference(const struct layout *layout, const char *reference, char key[LAYOUT_KEY_SIZE],
			      struct error *err)
{
	char branch[BRANCH_NAME_MAX + 1];
	char label[BACKUP_LABEL_SIZE];
	char number[9];
	int end = 0;

	int fields =
		sscanf(reference, "%63[A-Za-z0-9_-]/pack/%47[A-Za-z0-9-]/%8[0-9a-f]%n", branch, label, number, &end);
	if (fields != 3 || reference[end] != '\0' || strlen(number) != 8 || !name_is_valid(branch, BRANCH_NAME_MAX))
		return fail(err, ERROR_CORRUPT, "\"%.100s\" does not name a pack", reference);
	layout_format(key, "%s/%" PRIu64 "/%s", layout->cluster, layout->system_identifier, reference);
	return true;
}

void layout_manifest(const struct layout *layout, const char *branch, const char *label, uint32_t part,
		     char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	(void) snprintf(rest, sizeof(rest), "manifest/%s/%08" PRIx32, label, part);
	layout_format_branch(layout, branch, key, rest);
}

void layout_relation_map(const struct layout *layout, const char *branch, const char *label, uint32_t part,
			 char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	(void) snprintf(rest, sizeof(rest), "relation/%s/%08" PRIx32, label, part);
	layout_format_branch(layout, branch, key, rest);
}

void layout_backup_complete(const struct layout *layout, const char *branch, const char *label,
			    char key[LAYOUT_KEY_SIZE])
{
	char rest[128];

	(void) snprintf(rest, sizeof(rest), "backup/%s/complete", label);
	layout_format_branch(layout, branch, key, rest);
}

void layout_backup_prefix(const struct layout *layout, const char *branch, char key[LAYOUT_KEY_SIZE])
{
	layout_format_branch(layout, branch, key, "backup/");
}

/* What follows `prefix` in `key`; NULL when it does not begin so. */
static const char *key_behind(const char *key, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(key, prefix, length) == 0 ? key + length : NULL;
}

bool layout_parse_system(const struct layout *layout, const char *key, uint64_t *system_identifier)
{
	char prefix[LAYOUT_KEY_SIZE];
	char *end;

	layout_cluster_prefix(layout, prefix);
	const char *rest = key_behind(key, prefix);
	if (rest == NULL || *rest < '1' || *rest > '9')
		return false;
	*system_identifier = strtoull(rest, &end, 10);
	return *end == '/';
}

bool layout_parse_recipient(const char *prefix, const char *key, uint8_t id[8])
{
	size_t length = strlen(prefix);

	return strncmp(key, prefix, length) == 0 && hex_parse(key + length, id, 8);
}

bool layout_parse_branch(const struct layout *layout, const char *key, char branch[BRANCH_NAME_MAX + 1])
{
	char prefix[LAYOUT_KEY_SIZE];

	layout_system_prefix(layout, prefix);
	const char *rest = key_behind(key, prefix);
	const char *slash = rest == NULL ? NULL : strchr(rest, '/');
	if (slash == NULL || slash - rest > BRANCH_NAME_MAX)
		return false;
	memcpy(branch, rest, (size_t) (slash - rest));
	branch[slash - rest] = '\0';
	return layout_branch_is_valid(branch);
}

bool layout_parse_adopted(const struct layout *layout, const char *branch, const char *key, uint32_t *number)
{
	char prefix[LAYOUT_KEY_SIZE], expected[LAYOUT_KEY_SIZE];

	layout_adopted_prefix(layout, branch, prefix);
	const char *rest = key_behind(key, prefix);
	if (rest == NULL || sscanf(rest, "%8" SCNx32, number) != 1)
		return false;
	layout_adopted(layout, branch, *number, expected);
	return strcmp(key, expected) == 0;
}

bool layout_parse_wal_index(const struct layout *layout, const char *branch, const char *key, struct wal_name *first)
{
	struct error ignored = {0};
	const char *base = strrchr(key, '/');
	char text[25], prefix[LAYOUT_KEY_SIZE];

	/* 24 digits of the segment, "-", 8 random ones */
	if (base == NULL || strlen(base + 1) != 33 || base[25] != '-' || strspn(base + 26, "0123456789abcdef") != 8)
		return false;
	(void) snprintf(text, sizeof(text), "%.24s", base + 1);
	if (!wal_name_parse(text, first, &ignored) || first->kind != WAL_SEGMENT)
		return false;
	layout_wal_index_prefix(layout, branch, first->timeline, prefix);
	return key_behind(key, prefix) == base + 1;
}

bool layout_parse_wal(const struct layout *layout, const char *key, struct wal_name *name)
{
	struct error ignored = {0};
	char expected[LAYOUT_KEY_SIZE];
	const char *base = strrchr(key, '/');

	if (base == NULL || !wal_name_parse(base + 1, name, &ignored))
		return false;
	layout_wal(layout, name, expected);
	return strcmp(key, expected) == 0;
}

/* A moment and a draw: 16 digits, "-", 8 digits. */
static bool id_is_valid(const char *id)
{
	static const char digits[] = "0123456789abcdef";

	return strspn(id, digits) == 16 && id[16] == '-' && strspn(id + 17, digits) == 8 && id[25] == '\0';
}

bool layout_parse_measurement(const struct layout *layout, const char *branch, const char *key)
{
	char prefix[LAYOUT_KEY_SIZE];

	layout_measurement_prefix(layout, branch, prefix);
	const char *rest = key_behind(key, prefix);
	return rest != NULL && id_is_valid(rest);
}

bool layout_parse_fact(const struct layout *layout, const char *branch, const char *kind, const char *key,
		       char id[LAYOUT_FACT_ID_SIZE])
{
	char prefix[LAYOUT_KEY_SIZE];

	layout_fact_prefix(layout, branch, kind, prefix);
	const char *rest = key_behind(key, prefix);
	if (rest == NULL || !id_is_valid(rest))
		return false;
	memcpy(id, rest, LAYOUT_FACT_ID_SIZE);
	return true;
}

bool layout_parse_backup_complete(const struct layout *layout, const char *branch, const char *key,
				  char label[BACKUP_LABEL_SIZE])
{
	char prefix[LAYOUT_KEY_SIZE];

	layout_backup_prefix(layout, branch, prefix);
	const char *rest = key_behind(key, prefix);
	if (rest == NULL)
		return false;
	size_t length = strspn(rest, "0123456789ABCDEFabcdef-");
	if (length == 0 || length >= BACKUP_LABEL_SIZE || strcmp(rest + length, "/complete") != 0)
		return false;
	memcpy(label, rest, length);
	label[length] = '\0';
	return true;
}

bool layout_new_label(uint32_t timeline, uint64_t start_lsn, char label[BACKUP_LABEL_SIZE], struct error *err)
{
	uint8_t random[4];
	char text[9];

	TRY(random_bytes(random, sizeof(random), err));
	hex_format(bytes_of(random, sizeof(random)), text);
	(void) snprintf(label, BACKUP_LABEL_SIZE, "%08" PRIX32 "-%016" PRIX64 "-%s", timeline, start_lsn, text);
	return true;
}

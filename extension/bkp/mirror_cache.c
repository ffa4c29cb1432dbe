#include "mirror_cache.h"

#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "document.h"
#include "raise.h"
#include "repo/local_document.h"
#include "settings.h"

#define HINT_MIRROR                                                                                    \
	"Run \"pitr-catalog mirror\" as the user of the server, with its data directory as --pgdata; " \
	"pitr-archive and pitr-basebackup write it as well."

/* A file that changed so lately may change once more without looking different: times of files are as coarse as the
 * kernel's clock tick. Such a one is read again. */
#define SETTLED_AFTER_US (100 * INT64CONST(1000))

/* One for each backend, as its caches are. */
static struct {
	MemoryContext context; /* NULL: there is nothing in it */
	struct document_stamp stamp;
	struct mirror mirror;
	bool is_settled;
	TimestampTz warned_in; /* the beginning of the statement that has been told of its age */
} cache;

static void cache_clear(void)
{
	if (cache.context != NULL)
		MemoryContextDelete(cache.context);
	cache.context = NULL;
}

static int64 elapsed_us(TimestampTz from)
{
	TimestampTz now = GetCurrentTimestamp();

	return now > from ? now - from : 0;
}

static bool stamp_is_settled(const struct document_stamp *stamp)
{
	return elapsed_us(time_t_to_timestamptz(stamp->changed.tv_sec) + stamp->changed.tv_nsec / 1000) >
	       SETTLED_AFTER_US;
}

/* Jansson's memory is not PostgreSQL's: it is released whatever is raised. */
static bool json_to_mirror(json_t *json, struct mirror *mirror, struct error *err)
{
	volatile bool done = false;

	PG_TRY();
	{
		done = mirror_decode(json, mirror, err);
	}
	PG_FINALLY();
	{
		json_decref(json);
	}
	PG_END_TRY();
	return done;
}

/* Of another cluster: a data directory that was copied with the file in it. */
static bool identity_check(const struct mirror *mirror, struct error *err)
{
	char own[32];

	(void) snprintf(own, sizeof(own), UINT64_FORMAT, GetSystemIdentifier());
	if (strcmp(mirror->system_identifier, own) == 0)
		return true;
	return fail(err, ERROR_USAGE,
		    "the local mirror of the catalog is of another cluster: of system identifier %.40s, and this one "
		    "has %s",
		    mirror->system_identifier, own) ||
	       fail_hint(err, HINT_MIRROR);
}

static bool text_to_cache(struct bytes text, struct error *err)
{
	struct mirror mirror = {.written = 0};
	json_t *json;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "bkp mirror", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);

	cache.context = context;
	bool done = local_document_decode(&LOCAL_CATALOG, text, LOCAL_CATALOG.name, &json, err);
	if (done && !json_to_mirror(json, &mirror, err)) {
		(void) fail_in(err, "the local mirror of the catalog is not as it should be");
		done = fail_hint(err, HINT_MIRROR);
	}
	(void) MemoryContextSwitchTo(before);
	cache.mirror = mirror;
	return done && identity_check(&cache.mirror, err);
}

static bool cache_fill(int fd, const struct document_stamp *stamp, struct error *err)
{
	struct bytes text;

	TRY(document_read(fd, LOCAL_CATALOG.name, stamp, &text, err));
	bool done = text_to_cache(text, err);
	pfree((void *) (uintptr_t) text.data);
	return done;
}

bool mirror_try(const struct mirror **mirror, struct error *err)
{
	struct document_stamp stamp;
	int fd = document_open(LOCAL_CATALOG.name, LOCAL_DOCUMENT_SIZE_MAX, &stamp, err);

	if (fd < 0 && err->kind == ERROR_NOT_FOUND)
		return fail(err, ERROR_NOT_FOUND,
			    "there is no local mirror of the catalog, the file \"%s\" in the data directory",
			    LOCAL_CATALOG.name) ||
		       fail_hint(err, HINT_MIRROR);
	if (fd < 0)
		return false;
	*mirror = &cache.mirror;
	if (cache.context != NULL && cache.is_settled && document_stamps_equal(&stamp, &cache.stamp)) {
		(void) CloseTransientFile(fd);
		return true;
	}
	cache_clear();
	cache.stamp = stamp;
	cache.is_settled = false; /* until all has gone well: an ERROR may be raised in between */
	bool done = cache_fill(fd, &stamp, err);
	(void) CloseTransientFile(fd);
	cache.is_settled = done && stamp_is_settled(&stamp);
	if (!done)
		cache_clear();
	return done;
}

const struct mirror *mirror_read_quietly(void)
{
	const struct mirror *mirror;
	struct error err = {0};

	if (!mirror_try(&mirror, &err))
		raise_error(&err);
	return mirror;
}

int64 mirror_age_us(const struct mirror *mirror)
{
	return elapsed_us(mirror->written);
}

bool mirror_is_stale(const struct mirror *mirror)
{
	return setting_stale_after_s > 0 && mirror_age_us(mirror) / USECS_PER_SEC >= setting_stale_after_s;
}

/* "3 hours": the largest unit of which there is one. */
static void age_format(int64 age_us, char *text, size_t size)
{
	static const struct {
		int64 seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	int64 seconds = age_us / USECS_PER_SEC;
	size_t unit = 0;

	while (unit + 1 < lengthof(units) && seconds < units[unit].seconds)
		unit++;
	int64 count = seconds / units[unit].seconds;
	(void) snprintf(text, size, INT64_FORMAT " %s%s", count, units[unit].name, count == 1 ? "" : "s");
}

static void staleness_warn(const struct mirror *mirror)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	char age[48];

	if (!mirror_is_stale(mirror) || cache.warned_in == statement)
		return;
	cache.warned_in = statement;
	age_format(mirror_age_us(mirror), age, sizeof(age));
	ereport(WARNING, errcode(ERRCODE_WARNING), errmsg("the local mirror of the catalog is %s old", age),
		errhint("What has happened since is not in it. " HINT_MIRROR));
}

const struct mirror *mirror_read(void)
{
	const struct mirror *mirror = mirror_read_quietly();

	staleness_warn(mirror);
	return mirror;
}

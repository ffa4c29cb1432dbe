#include "repo/archive_failure.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"

#define PROGRAM "pitr-archive " PITR_VERSION

static bool failure_encode(const char *file, const struct error *why, json_t *json, struct error *err)
{
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;
	char name[ARCHIVE_FAILURE_NAME_SIZE];

	(void) snprintf(name, sizeof(name), "%s", slash != NULL ? slash + 1 : file != NULL ? file : "");
	TRY(json_put(json, "time_us", json_integer(clock_now_us()), err));
	TRY(json_put(json, "file", json_message(name), err));
	TRY(json_put(json, "text", json_message(why->text), err));
	TRY(json_put(json, "hint", json_message(why->hint), err));
	return json_put(json, "program", json_string(PROGRAM), err);
}

/* A file that is archived by hand may lie anywhere, and so may what is taken for its data directory. */
static bool directory_check(const char *pgdata, struct error *err)
{
	char path[PATH_MAX];
	bool exists;

	TRY(path_join(path, pgdata, "PG_VERSION", err));
	TRY(fs_exists(path, &exists, err));
	return exists || fail(err, ERROR_USAGE, "\"%s\" is no data directory: there is no PG_VERSION in it", pgdata);
}

/* What a newer program wrote may say more than this one knows. */
static bool version_check(const char *pgdata, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	if (local_document_read(&LOCAL_ARCHIVE_FAILURE, pgdata, &json, err) || err->kind != ERROR_USAGE)
		*err = (struct error){0};
	return err->kind == ERROR_NONE;
}

bool archive_failure_write(const char *pgdata, const char *file, const struct error *why, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(directory_check(pgdata, err));
	TRY(version_check(pgdata, err));
	TRY(failure_encode(file, why, json, err));
	return local_document_write(&LOCAL_ARCHIVE_FAILURE, pgdata, json, err);
}

bool archive_failure_decode(const json_t *json, struct archive_failure *failure, struct error *err)
{
	TRY(json_get_integer(json, "time_us", 0, INT64_MAX, &failure->time_us, err));
	TRY(json_copy_text(json, "file", failure->file, sizeof(failure->file), err));
	TRY(json_copy_text(json, "text", failure->text, sizeof(failure->text), err));
	TRY(json_copy_text(json, "hint", failure->hint, sizeof(failure->hint), err));
	return json_copy_text(json, "program", failure->program, sizeof(failure->program), err);
}

bool archive_failure_read(const char *pgdata, struct archive_failure *failure, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;

	TRY(local_document_read(&LOCAL_ARCHIVE_FAILURE, pgdata, &json, err));
	return archive_failure_decode(json, failure, err) || fail_in(err, "\"%s\"", LOCAL_ARCHIVE_FAILURE.name);
}

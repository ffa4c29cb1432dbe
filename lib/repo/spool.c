#include "repo/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "pg/control_file.h"
#include "pg/crc32c.h"
#include "repo/branch_mark.h"
#include "repo/layout.h"

#define LINE_SIZE_MAX (SPOOL_BINDING_SIZE + 512)

/* What a client of S3 takes from its environment and what decides which server it talks to, and as whom: there are
 * servers on which everybody has buckets of his own (Ceph's tenants). Access keys have names, which are no secrets. */
static const char *const variables[] = {"AWS_ENDPOINT_URL_S3",
					"AWS_ENDPOINT_URL",
					"AWS_PROFILE",
					"AWS_CONFIG_FILE",
					"AWS_SHARED_CREDENTIALS_FILE",
					"AWS_ACCESS_KEY_ID",
					"AWS_REGION",
					"AWS_DEFAULT_REGION",
					"AWS_ROLE_ARN",
					"AWS_WEB_IDENTITY_TOKEN_FILE"};

/* Time stamps of files are as fine as the ticks of the clock that makes them: what was written to within one tick
 * twice looks the same after the first and the second time. Where they count whole seconds, they count two of them at
 * worst (FAT). */
#define TICK_US	       (INT64_C(100) * 1000)
#define TICK_COARSE_US (INT64_C(3) * 1000000)

static uint32_t crc_of(struct bytes bytes)
{
	return crc32c_final(crc32c_add(CRC32C_INIT, bytes));
}

static void stamp_format(const struct stat *file, char stamp[SPOOL_STAMP_SIZE])
{
	(void) snprintf(stamp, SPOOL_STAMP_SIZE, "%jx:%jx:%jd:%jd.%09ld:%jd.%09ld", (uintmax_t) file->st_dev,
			(uintmax_t) file->st_ino, (intmax_t) file->st_size, (intmax_t) file->st_mtim.tv_sec,
			file->st_mtim.tv_nsec, (intmax_t) file->st_ctim.tv_sec, file->st_ctim.tv_nsec);
}

static bool file_look(const char *path, struct stat *file, struct error *err)
{
	if (stat(path, file) == 0)
		return true;
	(void) fail_errno(err, "could not look at \"%s\"", path);
	if (err->saved_errno == ENOENT || err->saved_errno == ENOTDIR)
		err->kind = ERROR_NOT_FOUND;
	return false;
}

bool spool_stamp(const char *path, char stamp[SPOOL_STAMP_SIZE], struct error *err)
{
	struct stat file;

	TRY(file_look(path, &file, err));
	stamp_format(&file, stamp);
	return true;
}

bool spool_stamp_at_rest(const char *path, char stamp[SPOOL_STAMP_SIZE], bool *is_at_rest, struct error *err)
{
	struct stat file;

	TRY(file_look(path, &file, err));
	stamp_format(&file, stamp);
	int64_t changed_us = file.st_ctim.tv_sec * INT64_C(1000000) + file.st_ctim.tv_nsec / 1000;
	int64_t tick_us = file.st_ctim.tv_nsec == 0 ? TICK_COARSE_US : TICK_US;
	*is_at_rest = clock_now_us() - changed_us > tick_us;
	return true;
}

/* "none" where there is no such file. */
static bool stamp_or_none(const char *path, char stamp[SPOOL_STAMP_SIZE], struct error *err)
{
	if (spool_stamp(path, stamp, err))
		return true;
	if (err->kind != ERROR_NOT_FOUND)
		return false;
	*err = (struct error){0};
	(void) snprintf(stamp, SPOOL_STAMP_SIZE, "none");
	return true;
}

/* Which directory that is, but not what happens in it. */
static void directory_format(const char *path, char stamp[SPOOL_STAMP_SIZE])
{
	struct stat file;

	if (stat(path, &file) == 0)
		(void) snprintf(stamp, SPOOL_STAMP_SIZE, "%jx:%jx", (uintmax_t) file.st_dev, (uintmax_t) file.st_ino);
	else
		(void) snprintf(stamp, SPOOL_STAMP_SIZE, "none");
}

static bool binding_add(struct buf *binding, const char *name, const char *value, struct error *err)
{
	return buf_format(binding, err, " %s=%s", name, value != NULL ? value : "");
}

static bool binding_add_file(struct buf *binding, const char *name, const char *path, struct error *err)
{
	char stamp[SPOOL_STAMP_SIZE];

	TRY(stamp_or_none(path, stamp, err));
	return binding_add(binding, name, stamp, err);
}

/* A repository that is a directory is the one whose identity object lies there: that is written once, so that one which
 * was made anew, also at the same path and with the same inode, has another. */
static bool binding_add_repository(const char *repo, const char *cluster, uint64_t system_identifier,
				   struct buf *binding, struct error *err)
{
	char key[LAYOUT_KEY_SIZE], path[PATH_MAX];

	TRY(binding_add(binding, "repo", repo, err));
	if (strncmp(repo, "s3://", 5) == 0)
		return true;
	layout_identity_of(cluster, system_identifier, key);
	TRY(path_join(path, strncmp(repo, "file://", 7) == 0 ? repo + 7 : repo, key, err));
	return binding_add_file(binding, "identity", path, err);
}

/* The files in which clients of S3 keep the same: storage/s3_profile.h. */
static bool binding_add_profile(struct buf *binding, const char *variable, const char *name, struct error *err)
{
	const char *named = getenv(variable), *home = getenv("HOME");
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%s%s%s",
			named != NULL  ? named
			: home != NULL ? home
				       : "",
			named != NULL ? "" : "/.aws/", named != NULL ? "" : name);
	return binding_add_file(binding, name, path, err);
}

static bool binding_add_settings(const struct options *options, uint64_t system_identifier, struct buf *binding,
				 struct error *err)
{
	TRY(binding_add_repository(options->repo != NULL ? options->repo : "", options->cluster, system_identifier,
				   binding, err));
	TRY(binding_add(binding, "cluster", options->cluster, err));
	TRY(binding_add(binding, "key-file", options->key_file, err));
	if (options->key_file != NULL)
		TRY(binding_add_file(binding, "key", options->key_file, err));
	TRY(binding_add(binding, "s3-endpoint", options->s3_endpoint, err));
	TRY(binding_add(binding, "s3-region", options->s3_region, err));
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		TRY(binding_add(binding, variables[i], getenv(variables[i]), err));
	if (options->repo == NULL || strncmp(options->repo, "s3://", 5) != 0)
		return true;
	return binding_add_profile(binding, "AWS_CONFIG_FILE", "config", err) &&
	       binding_add_profile(binding, "AWS_SHARED_CREDENTIALS_FILE", "credentials", err);
}

static bool binding_make(const struct options *options, const char *pgdata, struct spool *spool, struct error *err)
{
	char stamp[SPOOL_STAMP_SIZE], mark[PATH_MAX];
	BUF(binding, SPOOL_BINDING_SIZE - 1);

	TRY(buf_format(&binding, err, "pitr=%s system=%" PRIu64, PITR_VERSION, spool->system_identifier));
	directory_format(pgdata, stamp);
	TRY(binding_add(&binding, "data", stamp, err));
	TRY(path_join(mark, pgdata, BRANCH_MARK_NAME, err));
	TRY(binding_add_file(&binding, "branch", mark, err));
	TRY(binding_add_settings(options, spool->system_identifier, &binding, err));
	if (memchr(binding.data, '\n', binding.size) != NULL || memchr(binding.data, '\0', binding.size) != NULL)
		return fail(err, ERROR_USAGE, "a setting contains a line break");
	memcpy(spool->binding, binding.data, binding.size);
	spool->binding[binding.size] = '\0';
	return true;
}

bool spool_locate(const struct options *options, const char *pgdata, struct spool *spool, struct error *err)
{
	char resolved[PATH_MAX], name[PATH_MAX];
	struct control_file control;

	TRY(control_file_read(pgdata, &control, err));
	if (realpath(pgdata, resolved) == NULL)
		return fail_errno(err, "could not resolve the path \"%s\"", pgdata);
	spool->system_identifier = control.system_identifier;
	(void) snprintf(name, sizeof(name), "%.255s/%" PRIu64 "-%08" PRIx32, options->cluster,
			control.system_identifier, crc_of(bytes_of_text(resolved)));
	TRY(path_join(spool->root, options->spool, "", err));
	TRY(path_join(spool->directory, options->spool, name, err));
	return binding_make(options, pgdata, spool, err);
}

bool spool_check(const struct spool *spool, struct error *err)
{
	struct stat directory;

	if (lstat(spool->directory, &directory) != 0) {
		(void) fail_errno(err, "could not look at \"%s\"", spool->directory);
		if (err->saved_errno == ENOENT)
			err->kind = ERROR_NOT_FOUND;
		return false;
	}
	if (S_ISDIR(directory.st_mode) && directory.st_uid == geteuid() && (directory.st_mode & 0022) == 0)
		return true;
	return fail(err, ERROR_DENIED, "\"%s\" is not a directory of this user alone", spool->directory);
}

bool spool_make(const struct spool *spool, struct error *err)
{
	const char *relative = spool->directory + strlen(spool->root);
	bool exists;

	TRY(fs_exists(spool->root, &exists, err));
	if (!exists && mkdir(spool->root, 0700) != 0 && errno != EEXIST)
		return fail_errno(err, "could not create the directory \"%s\"", spool->root) ||
		       fail_hint(err, "Create it for the server's user, or set \"spool\" to another directory.");
	TRY(fs_make_directories(spool->root, relative, err));
	return spool_check(spool, err);
}

bool spool_path(const struct spool *spool, const char *name, char path[PATH_MAX], struct error *err)
{
	return path_join(path, spool->directory, name, err);
}

/* The part of a line that its CRC is of: "<time> <value> <name> <stamp> <binding>". */
static bool line_format(const struct spool *spool, const struct spool_line *line, int64_t now_us, struct buf *text,
			struct error *err)
{
	return buf_format(text, err, "%" PRId64 " %s %s %s %s", now_us, line->value[0] != '\0' ? line->value : "-",
			  line->name, line->stamp, spool->binding);
}

bool spool_remember(const struct spool *spool, const char *record, const struct spool_line *line, struct error *err)
{
	char path[PATH_MAX];
	int fd FD_CLEANUP = -1;
	BUF(text, LINE_SIZE_MAX);
	BUF(whole, LINE_SIZE_MAX + 16);

	TRY(spool_path(spool, record, path, err));
	TRY(line_format(spool, line, clock_now_us(), &text, err));
	TRY(buf_format(&whole, err, "%08" PRIx32 " %.*s\n", crc_of(buf_bytes(&text)), (int) text.size,
		       (const char *) text.data));
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(err, "could not open \"%s\"", path);
	return fd_write_all(fd, buf_bytes(&whole), path, err);
}

/* Fills in the value of a line as spool_remember() writes it; false unless it is the one that is looked for, and true.
 */
static bool line_matches(const struct spool *spool, const char *text, struct spool_line *line)
{
	struct spool_line found = *line;
	int64_t stored_us, now_us = clock_now_us();
	uint32_t crc;
	int begin = 0;
	struct error ignored;
	BUF(expected, LINE_SIZE_MAX);

	if (sscanf(text, "%8" SCNx32 " %n%" SCNd64 " %31s", &crc, &begin, &stored_us, found.value) != 3 ||
	    stored_us > now_us || now_us - stored_us > SPOOL_RECORD_AGE_MAX_US ||
	    !line_format(spool, &found, stored_us, &expected, &ignored))
		return false;
	if (!bytes_equal(buf_bytes(&expected), bytes_of_text(text + begin)) || crc_of(buf_bytes(&expected)) != crc)
		return false;
	*line = found;
	return true;
}

/* Only what we have written ourselves is believed, whoever can write to the directories above. */
bool spool_read(const struct spool *spool, const char *record, struct buf *lines, struct error *err)
{
	char path[PATH_MAX];
	struct stat file;
	int fd FD_CLEANUP = -1;

	TRY(spool_path(spool, record, path, err));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &file) != 0) {
		(void) fail_errno(err, "could not open \"%s\"", path);
		if (err->saved_errno == ENOENT)
			err->kind = ERROR_NOT_FOUND;
		return false;
	}
	if (!S_ISREG(file.st_mode) || file.st_uid != geteuid() || (file.st_mode & 0022) != 0)
		return fail(err, ERROR_DENIED, "\"%s\" is not a file of this user alone", path);
	if (file.st_size > (off_t) SPOOL_RECORD_SIZE_MAX)
		return fail(err, ERROR_CORRUPT, "\"%s\" is too large", path);
	TRY(buf_allocate(lines, (size_t) file.st_size, err));
	TRY(fd_read_all_at(fd, lines->data, (size_t) file.st_size, 0, path, err));
	lines->size = (size_t) file.st_size;
	return true;
}

bool spool_find(const struct spool *spool, struct bytes lines, struct spool_line *line)
{
	size_t name_size = strlen(line->name);
	const uint8_t *at = lines.data, *behind = lines.data + lines.size, *end;
	char text[LINE_SIZE_MAX + 16];

	/* What is not ended with a line break has not been written whole. */
	for (; at < behind && (end = memchr(at, '\n', (size_t) (behind - at))) != NULL; at = end + 1) {
		size_t size = (size_t) (end - at);

		if (size >= sizeof(text) || memmem(at, size, line->name, name_size) == NULL)
			continue;
		memcpy(text, at, size);
		text[size] = '\0';
		if (line_matches(spool, text, line))
			return true;
	}
	return false;
}

bool spool_recall(const struct spool *spool, const char *record, struct spool_line *line)
{
	struct error ignored = {0};
	BUF(lines, SPOOL_RECORD_SIZE_MAX);

	return spool_read(spool, record, &lines, &ignored) && spool_find(spool, buf_bytes(&lines), line);
}

bool spool_forget(const struct spool *spool, const char *record, struct error *err)
{
	char path[PATH_MAX];

	TRY(spool_path(spool, record, path, err));
	if (truncate(path, 0) != 0 && errno != ENOENT)
		return fail_errno(err, "could not empty \"%s\"", path);
	return true;
}

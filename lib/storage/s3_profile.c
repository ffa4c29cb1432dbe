#include "storage/s3_profile.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define PROFILE_FILE_SIZE_MAX MiB

static bool is_blank(char character)
{
	return character == ' ' || character == '\t' || character == '\r';
}

static struct bytes bytes_trim(struct bytes text)
{
	while (text.size > 0 && is_blank((char) text.data[0]))
		text = bytes_slice(text, 1, text.size - 1);
	while (text.size > 0 && is_blank((char) text.data[text.size - 1]))
		text = bytes_slice(text, 0, text.size - 1);
	return text;
}

/* Takes the next line, without its end, off `rest`. */
static struct bytes line_take(struct bytes *rest)
{
	const uint8_t *end = memchr(rest->data, '\n', rest->size);
	size_t size = end != NULL ? (size_t) (end - rest->data) : rest->size;
	struct bytes line = bytes_slice(*rest, 0, size);

	*rest = bytes_slice(*rest, size + (end != NULL), rest->size - size - (end != NULL));
	return line;
}

/* Is `line` the head of the profile's section? "[name]", in the config file "[profile name]" but for "[default]". */
static bool line_is_head(struct bytes line, const char *name, bool is_config)
{
	struct bytes profile = bytes_of_text("profile");

	line = bytes_trim(line);
	if (line.size < 2 || line.data[0] != '[' || line.data[line.size - 1] != ']')
		return false;
	line = bytes_trim(bytes_slice(line, 1, line.size - 2));
	if (is_config && line.size > profile.size && bytes_equal(bytes_slice(line, 0, profile.size), profile) &&
	    is_blank((char) line.data[profile.size]))
		line = bytes_trim(bytes_slice(line, profile.size, line.size - profile.size));
	else if (is_config && strcmp(name, "default") != 0)
		return false;
	return bytes_equal(line, bytes_of_text(name));
}

/* Splits "key = value"; false for comments, heads and the indented lines of nested settings. */
static bool line_split(struct bytes line, struct bytes *key, struct bytes *value)
{
	if (line.size == 0 || is_blank((char) line.data[0]) || strchr("#;[", line.data[0]) != NULL)
		return false;
	const uint8_t *equals = memchr(line.data, '=', line.size);
	if (equals == NULL)
		return false;
	size_t key_size = (size_t) (equals - line.data);
	*key = bytes_trim(bytes_slice(line, 0, key_size));
	*value = bytes_trim(bytes_slice(line, key_size + 1, line.size - key_size - 1));
	return true;
}

/* Looks for the section, and in it for `key` unless that is NULL. */
static bool section_find(struct bytes file, const struct s3_profile *profile, bool is_config, const char *key,
			 struct bytes *value)
{
	bool is_inside = false;
	struct bytes found;

	while (file.size > 0) {
		struct bytes line = line_take(&file);

		if (line.size > 0 && line.data[0] == '[') {
			is_inside = line_is_head(line, profile->name, is_config);
			if (is_inside && key == NULL)
				return true;
		} else if (is_inside && key != NULL && line_split(line, &found, value) &&
			   bytes_equal(found, bytes_of_text(key))) {
			return true;
		}
	}
	return false;
}

bool s3_profile_exists(const struct s3_profile *profile)
{
	struct bytes ignored;

	return section_find(buf_bytes(&profile->credentials), profile, false, NULL, &ignored) ||
	       section_find(buf_bytes(&profile->config), profile, true, NULL, &ignored);
}

bool s3_profile_get(const struct s3_profile *profile, const char *key, char *value, size_t size, struct error *err)
{
	struct bytes found;

	value[0] = '\0';
	if (!section_find(buf_bytes(&profile->credentials), profile, false, key, &found) &&
	    !section_find(buf_bytes(&profile->config), profile, true, key, &found))
		return true;
	if (found.size >= size)
		return fail(err, ERROR_USAGE, "\"%s\" of the AWS profile \"%s\" is too long", key, profile->name);
	for (size_t i = 0; i < found.size; i++) {
		if (found.data[i] < ' ' || found.data[i] == 127)
			return fail(err, ERROR_USAGE, "\"%s\" of the AWS profile \"%s\" has a control character", key,
				    profile->name);
	}
	memcpy(value, found.data, found.size);
	value[found.size] = '\0';
	return true;
}

/* Debian starts PostgreSQL, and so its archiver, without HOME. */
static const char *home_directory(void)
{
	const char *home = getenv("HOME");

	if (home != NULL && home[0] != '\0')
		return home;
	const struct passwd *user = getpwuid(geteuid());
	return user == NULL ? NULL : user->pw_dir;
}

/* The file that `variable` names, else ~/.aws/<name>; nothing when there is none. */
static bool file_read(const char *variable, const char *name, struct buf *content, struct error *err)
{
	const char *named = getenv(variable);
	const char *home = home_directory();
	char path[PATH_MAX];
	int length = 0;

	if (named != NULL && named[0] != '\0')
		length = snprintf(path, sizeof(path), "%s", named);
	else if (home != NULL && home[0] != '\0')
		length = snprintf(path, sizeof(path), "%s/.aws/%s", home, name);
	if (length < 0 || (size_t) length >= sizeof(path))
		return fail(err, ERROR_USAGE, "the path in %s is too long", variable);
	if (length == 0 || strcmp(path, "/dev/null") == 0) /* a common way to say "none" */
		return true;
	if (fs_read_file(path, content, err) || err->kind == ERROR_NOT_FOUND)
		return true;
	/* "postgres" often has no right to look into the home directory it inherited: that is as good as no file. */
	return named == NULL && err->kind == ERROR_SYSTEM;
}

bool s3_profile_open(struct s3_profile *profile, struct error *err)
{
	const char *name = getenv("AWS_PROFILE");

	*profile = (struct s3_profile){
		.name = name != NULL && name[0] != '\0' ? name : "default",
		.is_chosen = name != NULL && name[0] != '\0',
		.credentials = {.size_max = PROFILE_FILE_SIZE_MAX},
		.config = {.size_max = PROFILE_FILE_SIZE_MAX},
	};
	return file_read("AWS_SHARED_CREDENTIALS_FILE", "credentials", &profile->credentials, err) &&
	       file_read("AWS_CONFIG_FILE", "config", &profile->config, err);
}

void s3_profile_close(struct s3_profile *profile)
{
	if (profile->credentials.data != NULL)
		explicit_bzero(profile->credentials.data, profile->credentials.size);
	if (profile->config.data != NULL)
		explicit_bzero(profile->config.data, profile->config.size);
	buf_release(&profile->credentials);
	buf_release(&profile->config);
}

/* A file system whose listings do not show everything: to be preloaded. Of a directory every name is missing whose
 * whole path matches the extended regular expression $HIDE_NAMES; each can be opened all the same. */
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*scan_filter)(const struct dirent *);
typedef int (*scan_order)(const struct dirent **, const struct dirent **);
typedef int (*scan)(const char *, struct dirent ***, scan_filter, scan_order);

static int is_hidden(const char *directory, const char *name)
{
	const char *pattern = getenv("HIDE_NAMES");
	size_t length = strlen(directory);
	char path[2 * PATH_MAX];
	regex_t regex;

	while (length > 0 && directory[length - 1] == '/')
		length--;
	snprintf(path, sizeof(path), "%.*s/%s", (int) length, directory, name);
	if (pattern == NULL || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return 0;
	int matches = regexec(&regex, path, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

int scandir(const char *directory, struct dirent ***names, scan_filter filter, scan_order order)
{
	scan real = (scan) dlsym(RTLD_NEXT, "scandir");
	int count = real(directory, names, filter, order), kept = 0;

	for (int i = 0; i < count; i++) {
		if (is_hidden(directory, (*names)[i]->d_name))
			free((*names)[i]);
		else
			(*names)[kept++] = (*names)[i];
	}
	return count < 0 ? count : kept;
}

/* Something happens in the middle of a program: to be preloaded. Before the first time that it links, renames or
 * removes a file whose path, the new one, matches the extended regular expression $RUN_AT, the shell runs $RUN. */
#include <dlfcn.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void run_at(const char *path)
{
	const char *pattern = getenv("RUN_AT"), *command = getenv("RUN");
	static int has_run;
	regex_t regex;

	if (pattern == NULL || command == NULL || has_run || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return;
	int matches = regexec(&regex, path, 0, NULL, 0) == 0;
	regfree(&regex);
	if (!matches)
		return;
	has_run = 1;
	unsetenv("LD_PRELOAD");
	if (system(command) != 0)
		fprintf(stderr, "\"%s\" failed\n", command);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

int link(const char *source, const char *target)
{
	REAL(link);
	run_at(target);
	return real(source, target);
}

int renameat2(int source_directory, const char *source, int directory, const char *target, unsigned flags)
{
	REAL(renameat2);
	run_at(target);
	return real(source_directory, source, directory, target, flags);
}

int rename(const char *source, const char *target)
{
	REAL(rename);
	run_at(target);
	return real(source, target);
}

int unlink(const char *path)
{
	REAL(unlink);
	run_at(path);
	return real(path);
}

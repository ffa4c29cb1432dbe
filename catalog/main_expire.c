/* pitr-expire: what nothing needs any more, said, and with --apply removed. */

#include "base/exit.h"
#include "config/program.h"
#include "expire.h"

static int run(const struct options *options)
{
	struct error err = {0};

	return expire_run(options, &err) ? EXIT_SUCCESS : exit_with(&err, FOR_PROGRAM);
}

int main(int argc, char **argv)
{
	return program_main(PITR_EXPIRE, FOR_PROGRAM, argc, argv, run);
}

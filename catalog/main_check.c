/* pitr-check: could the server be restored? For monitoring, and for a person before a promotion. */

#include "check.h"
#include "config/program.h"

int main(int argc, char **argv)
{
	return program_main(PITR_CHECK, FOR_CHECK, argc, argv, check_run);
}

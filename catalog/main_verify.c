/* pitr-verify: can what is stored still be read, and what could no longer be restored? */

#include "config/program.h"
#include "verify.h"

int main(int argc, char **argv)
{
	return program_main(PITR_VERIFY, FOR_PROGRAM, argc, argv, verify_run);
}

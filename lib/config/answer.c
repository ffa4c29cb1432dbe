#include "config/answer.h"

#include <stdio.h>

#define ANSWER_SIZE_MAX (64 * MiB)

bool answer_print(const json_t *json, struct error *err)
{
	BUF(text, ANSWER_SIZE_MAX);
	const char *line;

	TRY(json_encode(json, &text, err));
	TRY(buf_text(&text, &line, err));
	if (puts(line) < 0)
		return fail_errno(err, "could not write to standard output");
	return true;
}

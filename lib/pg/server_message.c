#include "pg/server_message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void server_message_join(const char *text, char *line, size_t size)
{
	size_t used = 0;

	line[0] = '\0';
	while (*text != '\0') {
		size_t length = strcspn(text, "\n");
		const char *begin = text;
		size_t kept = length;

		text += length + (text[length] == '\n' ? 1 : 0);
		while (kept > 0 && isspace((unsigned char) *begin)) {
			begin++;
			kept--;
		}
		if (kept == 0 || strncmp(begin, "LOCATION:", 9) == 0)
			continue;
		int written = snprintf(line + used, size - used, "%s%.*s", used > 0 ? "; " : "", (int) kept, begin);
		if (written < 0 || (size_t) written >= size - used)
			return;
		used += (size_t) written;
	}
}

void server_message_take_sqlstate(char *line, char sqlstate[SQLSTATE_SIZE])
{
	sqlstate[0] = '\0';
	for (char *at = strstr(line, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
		char *code = at + 3;

		if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") < 5 || code[5] != ':' || code[6] != ' ')
			continue;
		memcpy(sqlstate, code, SQLSTATE_SIZE - 1);
		sqlstate[SQLSTATE_SIZE - 1] = '\0';
		memmove(code, code + 7, strlen(code + 7) + 1);
	}
}

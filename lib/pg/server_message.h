/* The text of messages as libpq hands it out when a connection fails: several lines, in the server's language. */
#pragma once

#include <stddef.h>

#define SQLSTATE_SIZE 6

/* Copies the text as one line: lines joined by "; ", blanks at either end dropped, LOCATION lines (which verbose
 * messages have) left out. What does not fit is cut off. */
void server_message_join(const char *text, char *line, size_t size);

/* Takes the SQLSTATE, which verbose messages carry behind the severity ("FATAL:  28000: no pg_hba.conf entry …"),
 * whatever the language, out of the line: the last one where several addresses were tried. Empty when there is none:
 * then libpq itself failed. */
void server_message_take_sqlstate(char *line, char sqlstate[SQLSTATE_SIZE]);

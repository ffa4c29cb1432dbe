/* The server's archive module asks, pitr-archiver answers: one line each way, over the socket that is standard input.
 *
 *     <path>\n                          PostgreSQL's %p of the file to archive
 *     stored\t<name>\n                  it is stored durably; the last component of that path
 *     failed\t<name>\t<text>\t<hint>\n  it is not; in all of them a backslash, a tab and a line break stand as in C
 *
 * Every file goes the way of pitr-archive, with the same checks each time; only the repository stays open between them.
 * Segments behind the asked one are stored while the server does its own work between two requests.
 */
#pragma once

#include "base/error.h"
#include "config/options.h"

#define SERVE_LINE_SIZE_MAX 4096

/* Until nobody asks any more, which is true. When the configuration file or the program has changed, or a file could
 * not be archived, it begins anew as a new process would, with the next request. */
bool serve(const struct options *options, struct error *err) MUST_CHECK;
/* For a process that cannot begin: answers the first request with the reason. */
void serve_refusal(const struct error *why);

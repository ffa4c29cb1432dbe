/* Windows as `pitr-catalog window --json` shows them and the local mirror of the catalog keeps them; and back, for who
 * goes on from there. docs/format.md, "Local documents".
 */
#pragma once

#include "repo/window.h"

/* {windows, gaps, unknown_timelines, production, restore_points, restore_points_omitted}; for the mirror with what it
 * takes to go on. */
bool windows_encode(const struct windows *windows, bool for_mirror, json_t *json, struct error *err) MUST_CHECK;
/* Of a mirror, as `known`. */
bool windows_decode(const json_t *json, struct windows *windows, struct error *err) MUST_CHECK;
/* "end of archive" */
const char *window_end_text(enum window_end end);

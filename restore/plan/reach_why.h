/* Why a target cannot be reached: fills search->reach->why with the reason, and with the nearest point that can be as
 * an option to give. Pure: what was found out stands in the search.
 */
#pragma once

#include "plan/search.h"

/* The target lies before `next`, the first backup. `what`: "the target time". */
void why_too_early(const struct search *search, const struct backup *next, const char *what);
void why_no_backup(const struct search *search);
void why_unknown_wal(const struct search *search);
/* The hole behind what is available: segments that are not there, or WAL that breaks off inside one. */
void why_hole(const struct search *search, const char *what);
void why_nothing_whole(const struct search *search);
void why_beyond(const struct search *search);
void why_two_points(const struct search *search);
/* No such transaction or restore point; the survey has gathered the points that there are. */
void why_not_found(const struct search *search);

/* The verbs of pitr-catalog, one file each. Data goes to stdout, with --json as one document. */
#pragma once

#include "config/options.h"

typedef bool (*verb_run)(const struct options *options, struct error *err);

bool verb_keygen(const struct options *options, struct error *err) MUST_CHECK;
bool verb_key(const struct options *options, struct error *err) MUST_CHECK;
bool verb_init(const struct options *options, struct error *err) MUST_CHECK;
bool verb_adopt(const struct options *options, struct error *err) MUST_CHECK;
bool verb_fork(const struct options *options, struct error *err) MUST_CHECK;
bool verb_list(const struct options *options, struct error *err) MUST_CHECK;
bool verb_show(const struct options *options, struct error *err) MUST_CHECK;
bool verb_window(const struct options *options, struct error *err) MUST_CHECK;
bool verb_mirror(const struct options *options, struct error *err) MUST_CHECK;
bool verb_rebuild(const struct options *options, struct error *err) MUST_CHECK;
bool verb_pin(const struct options *options, struct error *err) MUST_CHECK;
bool verb_unpin(const struct options *options, struct error *err) MUST_CHECK;
bool verb_note(const struct options *options, struct error *err) MUST_CHECK;

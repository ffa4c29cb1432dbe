/* The RECOVERY object: how to get data out of a repository by hand, in plain words, for whoever finds only that. */
#pragma once

#include "base/buf.h"

struct bytes recovery_text(void);

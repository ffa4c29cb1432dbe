/* A part of a file and where it is in a pack. */
#pragma once

#include "repo/manifest.h"

struct slice {
	struct extent extent;
	uint64_t offset; /* where it goes in the file */
	size_t file;	 /* which one, to whoever lays it */
};

/* A backend around another one that fails as it is told, for tests of everything that uses a storage.
 *
 * It counts calls, so a test can run an operation once, learn how many storage calls it makes, and then run it again
 * that many times with another one failing each time. Without orders it passes everything through.
 */
#pragma once

#include "storage/storage.h"

enum faulty_call { FAULTY_CREATE, FAULTY_PUT, FAULTY_SYNC, FAULTY_GET, FAULTY_LIST, FAULTY_REMOVE, FAULTY_ANY };

/* What happens instead of (BEFORE), or after (AFTER: a lost answer), the real call; or to what was read. */
enum faulty_harm {
	FAULTY_BEFORE, /* nothing is done; the call fails */
	FAULTY_AFTER,  /* it is done all the same; the call fails */
	FAULTY_CUT,    /* get and get_range succeed with the last byte missing; others as BEFORE */
	FAULTY_FLIP,   /* get and get_range succeed with one bit in the middle wrong; others as BEFORE */
	FAULTY_HIDE,   /* list: every other key is left out; others as BEFORE */
};

struct faulty_order {
	enum faulty_call call;
	unsigned skip;	/* matching calls that pass first */
	unsigned times; /* how many fail then */
	enum faulty_harm harm;
	enum error_kind kind; /* of the failure; the text says "as ordered" */
	const char *key_part; /* only calls whose key or prefix contains it; NULL for all; borrowed */
};

/* `inner` stays the caller's, and must outlive the storage. */
bool storage_open_faulty(struct storage *inner, struct storage **storage, struct error *err) MUST_CHECK;
/* Replaces the order and sets the counters to zero; NULL for none. */
void faulty_order(struct storage *faulty, const struct faulty_order *order);
/* Calls since the last order; get_range counts as FAULTY_GET. */
unsigned faulty_count(struct storage *faulty, enum faulty_call call);

/* Facts of the catalog: small objects, each written once, that say what became of a backup after it was complete (it
 * was pinned, its pin was taken back, it got a note, it was verified, it was retired), and how a run of a program
 * ended. docs/format.md, "Facts of the catalog".
 *
 * A kind is a part of the name, so that the policy of a bucket can tell who may write it: FACT_UNPIN and FACT_RETIRED
 * belong to whoever may delete. Nothing is taken back but by another fact; by the name of what it takes back, never by
 * the time.
 */
#pragma once

#include "base/json.h"
#include "repo/catalog.h"

#define FACTS_MAX	   100000
#define FACT_UNTIL_FOREVER INT64_MAX

enum fact_kind { FACT_PIN, FACT_UNPIN, FACT_NOTE, FACT_VERIFIED, FACT_RUN, FACT_RETIRED };
#define FACT_KIND_COUNT 6

struct fact {
	enum fact_kind kind;
	char branch[BRANCH_NAME_MAX + 1]; /* where it is; of a backup: the backup's. "": the one that is written to */
	int64_t time_us;		  /* when it was written; 0: now */
	char id[LAYOUT_FACT_ID_SIZE];	  /* of its name; as read, fact_put() draws its own */
	char host[256];			  /* where; as read, fact_put() puts this one */
	char label[BACKUP_LABEL_SIZE];	  /* of the backup; "" where it is about none */
	int64_t until_us;		  /* pin: FACT_UNTIL_FOREVER for ever */
	char program[32];		  /* run */
	bool is_good;			  /* run, verified */
	char text[1024];		  /* note: what it says; run: what it failed of */
	json_t *detail;			  /* whatever else is to be known; borrowed by fact_put(); may be NULL */
};

struct facts {
	int count;
	struct fact *items; /* by time */
	int damaged;	    /* that are there and could not be read: warned about and left out */
};

/* "pin", as it stands in names. */
const char *fact_kind_name(enum fact_kind kind);

/* Writes it. EXISTS never happens: part of its name is drawn. */
bool fact_put(struct repo *repo, const struct fact *fact, struct error *err) MUST_CHECK;
/* Of every branch; `kinds` is a set of bits, 1 << FACT_PIN. */
bool facts_read(struct repo *repo, unsigned kinds, struct facts *facts, struct error *err) MUST_CHECK;
/* The same, as far as they were written at that time or later. */
bool facts_read_since(struct repo *repo, unsigned kinds, int64_t since_us, struct facts *facts,
		      struct error *err) MUST_CHECK;
void facts_release(struct facts *facts);
#define FACTS_CLEANUP __attribute__((cleanup(facts_release)))

/* Does a fact of `facts` (with FACT_UNPIN among the kinds) take the pin back? */
bool facts_unpins(const struct facts *facts, const struct fact *pin);
/* Does a fact of `facts` say that what the verdict found damaged was found whole later? */
bool facts_clear(const struct facts *facts, const struct fact *verdict);
/* Is the backup going to be removed, or what there is of one that is not complete? */
bool facts_retire(const struct facts *facts, const char *branch, const char *label);
bool fact_is_retired(struct repo *repo, const char *branch, const char *label, bool *is_retired,
		     struct error *err) MUST_CHECK;
/* Fills in what facts say of backups: pinned_until_us, verified_us, is_damaged, and the note. */
#define FACTS_OF_BACKUPS (1u << FACT_PIN | 1u << FACT_UNPIN | 1u << FACT_NOTE | 1u << FACT_VERIFIED)
void facts_apply(const struct facts *facts, struct catalog *catalog);
/* The backups of every branch, with what facts say of them: what listings show. */
bool facts_read_catalog(struct repo *repo, struct catalog *catalog, struct error *err) MUST_CHECK;

/* The end of a pin that is made now and lasts that long; INT64_MAX: for ever. */
int64_t fact_pin_until(int64_t now_us, int64_t duration_ms);

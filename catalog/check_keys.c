#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "repo/key_epoch.h"

static void encryption_off(struct checking *checking)
{
	if (!checking->options->expect_encryption) {
		finding_add(checking, CHECK_OK, "the repository is not encrypted");
		return;
	}
	finding_hint(finding_add(checking, CHECK_CRITICAL, "the repository is not encrypted, and should be"),
		     "That is decided at pitr-catalog init, by key-file: begin a new repository.");
}

/* What of the epochs was stored by somebody who had the host key only. Of several things of one sort the first is
 * named: who can store one can store thousands. */
static void check_proofs(struct checking *checking, const struct key_epochs *epochs)
{
	const struct key_epoch *current = &epochs->items[epochs->count - 1];
	const char *hint = "See docs/keys.md, \"A host key has leaked\".";
	size_t wrong = key_epoch_count(current, KEY_PROOF_WRONG);

	for (int i = 0; i < epochs->count; i++) {
		if (epochs->items[i].proof != KEY_PROOF_WRONG)
			continue;
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "key epoch %u was begun by somebody who had no secret key, on host \"%.100s\"",
					 epochs->items[i].number, epochs->items[i].host),
			     "%s", hint);
		break;
	}
	if (epochs->false_system != 0)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "the identity of the system %" PRIu64
					 " names another public key for a key epoch than that has",
					 epochs->false_system),
			     "Somebody who had a host key stored it. %s", hint);
	if (wrong > 0)
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "%zu recipient%s stored by somebody who had no secret key", wrong,
					 wrong == 1 ? " was" : "s were"),
			     "See pitr-catalog key list, and docs/keys.md, \"A host key has leaked\".");
}

/* Whether what is stored in an epoch can be read, by whomever. */
static void check_readers(struct checking *checking, const struct key_epoch *epoch, bool is_current)
{
	size_t damaged = key_epoch_count(epoch, KEY_PROOF_DAMAGED);
	bool is_read = key_epoch_has_reader(epoch);

	if (!is_read)
		finding_hint(finding_add(checking, CHECK_CRITICAL,
					 "there is no key that can read what is stored in key epoch %u%s%s",
					 epoch->number, is_current ? ", the current one" : "",
					 damaged > 0 ? ": the objects of its recipients are damaged" : ""),
			     "See pitr-catalog key list and docs/keys.md, \"A key object is lost\".");
	else if (damaged > 0)
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "the object%s of %zu recipient%s of key epoch %u %s damaged",
					 damaged == 1 ? "" : "s", damaged, damaged == 1 ? "" : "s", epoch->number,
					 damaged == 1 ? "is" : "are"),
			     "Those keys do not restore what is stored in it. See pitr-catalog key list and "
			     "docs/keys.md, \"A key object is lost\".");
}

/* Whether the key at hand reads it. */
static void check_own(struct checking *checking, const struct key_epochs *epochs)
{
	const struct key_epoch *current = &epochs->items[epochs->count - 1];
	const char *key_file = checking->repo->secrets->key_file;

	if (!checking->repo->secrets->has_recipient_secret)
		return;
	if (!current->is_open && key_epoch_recipient(current, checking->repo->secrets->recipient_id) == NULL)
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "the key in \"%.300s\" has been retired: it cannot restore what is stored now",
					 key_file),
			     "See pitr-catalog key list.");
	for (int i = 0; i < epochs->count - 1; i++) {
		if (epochs->items[i].is_open)
			continue;
		finding_hint(finding_add(checking, CHECK_WARNING,
					 "the key in \"%.300s\" cannot restore what was stored in key epoch %u",
					 key_file, epochs->items[i].number),
			     "Whoever has a key that can adds it: pitr-catalog key add.");
		break;
	}
}

static void check_epochs(struct checking *checking, const struct key_epochs *epochs)
{
	const struct key_epoch *current = &epochs->items[epochs->count - 1];
	size_t readers = key_epoch_count(current, KEY_PROOF_GOOD) + key_epoch_count(current, KEY_PROOF_UNKNOWN);
	int findings = checking->finding_count;

	if (epochs->is_cut_short)
		finding_hint(
			finding_add(checking, CHECK_CRITICAL,
				    "key epoch %u is not whole: there are objects of it, or of a later one, but not "
				    "its public half",
				    current->number + 1),
			"If a \"key remove\" was interrupted, run it again. Otherwise the object has been lost, and "
			"what "
			"is stored now is open to a retired key: see docs/keys.md, \"A key object is lost\".");
	for (int i = epochs->count - 1; i >= 0; i--)
		check_readers(checking, &epochs->items[i], i == epochs->count - 1);
	check_proofs(checking, epochs);
	check_own(checking, epochs);
	if (checking->finding_count == findings)
		finding_add(checking, CHECK_OK, "%zu key%s can read what is stored", readers, readers == 1 ? "" : "s");
}

/* That the key file is there and belongs to the repository has been seen when that was opened. */
bool check_keys(struct checking *checking, struct error *err)
{
	struct key_epochs epochs KEY_EPOCHS_CLEANUP = {.count = 0};

	if (!checking->repo->secrets->encrypted) {
		encryption_off(checking);
		return true;
	}
	if (key_epochs_read(checking->repo, &epochs, err)) {
		check_epochs(checking, &epochs);
		return true;
	}
	if (err->kind != ERROR_CORRUPT)
		return false;
	/* The repository answers, and the other questions can be asked. */
	finding_hint(finding_add(checking, CHECK_CRITICAL, "%s", err->text), "%s",
		     err->hint[0] != '\0' ? err->hint : "See docs/keys.md, \"A key object is lost\".");
	return true;
}

bool check_canary(struct checking *checking, struct error *err)
{
	if (!checking->options->canary)
		return true;
	TRY(repo_prove(checking->repo, err));
	finding_add(checking, CHECK_OK, "objects can be stored, and none is replaced");
	return true;
}

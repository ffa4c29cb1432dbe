#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "config/answer.h"
#include "repo/recipient.h"
#include "verbs.h"

/* ------------------------------------------------------------------------------------------------------- list */

/* As members of JSON say it; NULL: not known. */
static json_t *proof_encode(enum key_proof proof)
{
	return proof == KEY_PROOF_UNKNOWN ? json_null() : json_boolean(proof == KEY_PROOF_GOOD);
}

/* What makes a line one to look at: before all that somebody else may have written. */
static const char *proof_mark(enum key_proof proof)
{
	return proof == KEY_PROOF_WRONG	    ? "NOT BY A HOLDER OF A SECRET KEY, "
	       : proof == KEY_PROOF_DAMAGED ? "DAMAGED, "
					    : "";
}

static bool is_this_key(const struct repo *repo, const uint8_t id[HOST_KEY_ID_SIZE])
{
	return memcmp(id, repo->secrets->recipient_id, HOST_KEY_ID_SIZE) == 0;
}

static bool recipient_encode(const struct repo *repo, const struct recipient *recipient, json_t *json,
			     struct error *err)
{
	char fingerprint[FINGERPRINT_SIZE];

	hex_format(bytes_of(recipient->id, HOST_KEY_ID_SIZE), fingerprint);
	TRY(json_put(json, "fingerprint", json_string(fingerprint), err));
	TRY(json_put(json, "is_this_key", json_boolean(is_this_key(repo, recipient->id)), err));
	TRY(json_put(json, "added_us", recipient->added_us == 0 ? json_null() : json_integer(recipient->added_us),
		     err));
	TRY(json_put(json, "host", json_string(recipient->host), err));
	TRY(json_put(json, "is_damaged", json_boolean(recipient->proof == KEY_PROOF_DAMAGED), err));
	return json_put(json, "is_proven", proof_encode(recipient->proof), err);
}

static bool epoch_encode(const struct repo *repo, const struct key_epoch *epoch, json_t *json, struct error *err)
{
	json_t *recipients = json_array();

	TRY(json_put(json, "epoch", json_integer(epoch->number), err));
	TRY(json_put(json, "is_current", json_boolean(epoch->number == repo->secrets->epoch), err));
	TRY(json_put(json, "created", json_string(epoch->created), err));
	TRY(json_put(json, "host", json_string(epoch->host), err));
	TRY(json_put(json, "retired", epoch->retired[0] == '\0' ? json_null() : json_string(epoch->retired), err));
	TRY(json_put(json, "is_proven", proof_encode(epoch->proof), err));
	TRY(json_put(json, "recipients", recipients, err));
	for (size_t i = 0; i < epoch->recipient_count; i++) {
		json_t *recipient = json_object();

		TRY(json_add(recipients, recipient, err));
		TRY(recipient_encode(repo, &epoch->recipients[i], recipient, err));
	}
	return true;
}

static bool list_json(const struct repo *repo, const struct key_epochs *epochs, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *array = json_array();
	struct key_fingerprints fingerprints;

	secrets_fingerprints(repo->secrets, &fingerprints);
	TRY(json_put(json, "host_key", json_string(fingerprints.host_key), err));
	TRY(json_put(json, "this_key", json_string(fingerprints.recipient), err));
	TRY(json_put(json, "is_secret", json_boolean(repo->secrets->has_recipient_secret), err));
	TRY(json_put(json, "epochs", array, err));
	for (int i = 0; i < epochs->count; i++) {
		json_t *epoch = json_object();

		TRY(json_add(array, epoch, err));
		TRY(epoch_encode(repo, &epochs->items[i], epoch, err));
	}
	return answer_print(json, err);
}

static void recipient_print(const struct repo *repo, const struct recipient *recipient)
{
	char fingerprint[FINGERPRINT_SIZE], added[CLOCK_TEXT_SIZE];

	hex_format(bytes_of(recipient->id, HOST_KEY_ID_SIZE), fingerprint);
	time_format_local(recipient->added_us / 1000000 * 1000000, added);
	(void) printf("  %s  %sadded %s on host \"%s\"%s\n", fingerprint, proof_mark(recipient->proof),
		      recipient->added_us == 0 ? "?" : added, recipient->host,
		      is_this_key(repo, recipient->id) ? ", this key file" : "");
}

static void epoch_print(const struct repo *repo, const struct key_epoch *epoch)
{
	(void) printf("epoch %" PRIu32 "%s, %sbegun %s on host \"%s\"%s%s\n", epoch->number,
		      epoch->number == repo->secrets->epoch ? " (current)" : "", proof_mark(epoch->proof),
		      epoch->created, epoch->host, epoch->retired[0] != '\0' ? ", without " : "", epoch->retired);
	for (size_t i = 0; i < epoch->recipient_count; i++)
		recipient_print(repo, &epoch->recipients[i]);
}

static void epochs_warn(const struct repo *repo, const struct key_epochs *epochs)
{
	if (epochs->is_cut_short)
		log_warning("there are objects of a later key epoch, but epoch %" PRIu32
			    " has no public half: it has been "
			    "lost, or a \"key remove\" was interrupted",
			    repo->secrets->epoch + 1);
	if (epochs->false_system != 0)
		log_warning("the identity of the system %" PRIu64 " names another public key for a key epoch than that "
			    "has: somebody who had a host key stored it",
			    epochs->false_system);
}

static bool key_list(struct repo *repo, const struct options *options, struct error *err)
{
	struct key_epochs epochs KEY_EPOCHS_CLEANUP = {.count = 0};
	struct key_fingerprints fingerprints;

	TRY(key_epochs_read(repo, &epochs, err));
	epochs_warn(repo, &epochs);
	if (options->json)
		return list_json(repo, &epochs, err);
	secrets_fingerprints(repo->secrets, &fingerprints);
	(void) printf("host key %s\n", fingerprints.host_key);
	for (int i = 0; i < epochs.count; i++)
		epoch_print(repo, &epochs.items[i]);
	return true;
}

/* -------------------------------------------------------------------------------------------------------- add */

static bool addition_say(const struct recipient_addition *addition, const char *fingerprint,
			 const struct options *options, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();

	TRY(json_put(json, "fingerprint", json_string(fingerprint), err));
	TRY(json_put(json, "epochs", json_integer(addition->epochs), err));
	TRY(json_put(json, "epochs_before", json_integer(addition->epochs_before), err));
	TRY(json_put(json, "epochs_closed", json_integer(addition->epochs_closed), err));
	TRY(json_put(json, "epochs_full", json_integer(addition->epochs_full), err));
	if (options->json)
		return answer_print(json, err);
	if (addition->epochs == 0)
		(void) printf("The key %s is a recipient already; nothing was stored.\n", fingerprint);
	else
		(void) printf("The key %s can read what is and will be stored: %d object%s stored.\n", fingerprint,
			      addition->epochs, addition->epochs == 1 ? " was" : "s were");
	if (addition->epochs_closed > 0)
		log_warning("%d earlier epoch%s closed to your own key, and so to this one: whoever can open %s may "
			    "add it there",
			    addition->epochs_closed, addition->epochs_closed == 1 ? " is" : "s are",
			    addition->epochs_closed == 1 ? "it" : "them");
	if (addition->epochs_full > 0)
		log_warning("%d earlier epoch%s as many recipients as there may be, and closed to this one",
			    addition->epochs_full, addition->epochs_full == 1 ? " has" : "s have");
	return true;
}

static bool host_key_check(const struct repo *repo, const struct secrets *other, const char *path, struct error *err)
{
	struct key_fingerprints ours, theirs;

	secrets_fingerprints(repo->secrets, &ours);
	secrets_fingerprints(other, &theirs);
	if (strcmp(ours.host_key, theirs.host_key) == 0)
		return true;
	return fail(err, ERROR_USAGE, "\"%s\" has the host key %s, but that of the repository is %s", path,
		    theirs.host_key, ours.host_key) ||
	       fail_hint(err,
			 "A further key of a repository is made with: pitr-catalog keygen FILE --host-key-of=%.200s",
			 repo->secrets->key_file);
}

static bool key_add_opened(struct repo *repo, const struct secrets *other, const struct options *options,
			   struct error *err)
{
	struct recipient_addition addition;
	struct key_fingerprints fingerprints;

	TRY(host_key_check(repo, other, options->arguments.items[2], err));
	TRY(recipient_add(repo, other->recipient_public, &addition, err));
	secrets_fingerprints(other, &fingerprints);
	return addition_say(&addition, fingerprints.recipient, options, err);
}

static bool key_add(struct repo *repo, const struct options *options, struct error *err)
{
	struct secrets *other = NULL;

	TRY(secrets_open(options->arguments.items[2], &other, err));
	bool done = other->encrypted ? key_add_opened(repo, other, options, err)
				     : fail(err, ERROR_USAGE, "no key file is named");
	secrets_close(other);
	return done;
}

/* ----------------------------------------------------------------------------------------------------- remove */

static bool removal_say(const struct repo *repo, const struct recipient_removal *removal, const char *fingerprint,
			const struct options *options, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	json_t *kept = json_array();

	TRY(json_put(json, "fingerprint", json_string(fingerprint), err));
	TRY(json_put(json, "epoch", json_integer(removal->epoch), err));
	TRY(json_put(json, "recipients", json_integer((json_int_t) removal->kept), err));
	TRY(json_put(json, "kept", kept, err));
	for (size_t i = 0; i < removal->kept; i++) {
		json_t *recipient = json_object();

		TRY(json_add(kept, recipient, err));
		TRY(recipient_encode(repo, &removal->recipients[i], recipient, err));
	}
	TRY(json_put(json, "left_out", json_integer(removal->left_out), err));
	if (options->json)
		return answer_print(json, err);
	(void) printf("Key epoch %" PRIu32 " has begun without %s, for %zu other%s. What is stored by programs that "
		      "start from now on is closed to that key.\n"
		      "What was stored before stays readable with it: see docs/keys.md, \"A secret key has leaked\".\n"
		      "Who reads on; retire every key here that you do not know, and then look again:\n",
		      removal->epoch, fingerprint, removal->kept, removal->kept == 1 ? "" : "s");
	for (size_t i = 0; i < removal->kept; i++)
		recipient_print(repo, &removal->recipients[i]);
	if (removal->was_own)
		log_warning("that was the key of \"%s\": it cannot restore what is stored from now on",
			    options->key_file);
	return true;
}

static bool key_remove(struct repo *repo, const struct options *options, struct error *err)
{
	const char *fingerprint = options->arguments.items[2];
	struct recipient_removal removal REMOVAL_CLEANUP = {.epoch = 0};
	uint8_t id[HOST_KEY_ID_SIZE];

	if (!hex_parse(fingerprint, id, sizeof(id)))
		return fail(err, ERROR_USAGE, "\"%.100s\" is not a key's fingerprint, which has 16 hexadecimal digits",
			    fingerprint) ||
		       fail_hint(err, "\"pitr-catalog key list\" says which there are.");
	TRY(recipient_remove(repo, id, &removal, err));
	return removal_say(repo, &removal, fingerprint, options, err);
}

/* -------------------------------------------------------------------------------------------------- the verb */

static const struct action {
	const char *name;
	int argument_count;
	bool (*run)(struct repo *repo, const struct options *options, struct error *err);
} actions[] = {
	{"list", 0, key_list},
	{"add", 1, key_add},
	{"remove", 1, key_remove},
};

bool verb_key(const struct options *options, struct error *err)
{
	struct repo *repo REPO_CLEANUP = NULL;
	const char *name = options->arguments.items[1];
	int argument_count = options->arguments.count - 2;

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, name) != 0 || actions[i].argument_count != argument_count)
			continue;
		TRY(repo_open(options, 0, &repo, err));
		return actions[i].run(repo, options, err);
	}
	return fail(err, ERROR_USAGE, "\"key %.100s\" with %d argument%s is not something pitr-catalog can do", name,
		    argument_count, argument_count == 1 ? "" : "s") ||
	       fail_hint(err, "It can: key list, key add FILE, key remove FINGERPRINT.");
}

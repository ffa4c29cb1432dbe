#include "repo/recipient.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "repo/identity.h"

static bool current_closed(struct repo *repo, const struct key_epoch *current, struct error *err)
{
	if (!repo->secrets->has_recipient_secret)
		return fail(err, ERROR_DENIED, "the key file \"%s\" is a host key: it cannot say who may read",
			    repo->secrets->key_file) ||
		       fail_hint(err, "Use --key-file with the secret key file, without .host at its end.");
	if (key_epoch_recipient(current, repo->secrets->recipient_id) != NULL)
		return fail(err, ERROR_DENIED,
			    "the object that would open key epoch %u to the key in \"%s\" is damaged", current->number,
			    repo->secrets->key_file) ||
		       fail_hint(err, "Use another key that is a recipient: \"pitr-catalog key list\" says which are.");
	return fail(err, ERROR_DENIED, "the key in \"%s\" is not a recipient of key epoch %u, the current one",
		    repo->secrets->key_file, current->number) ||
	       fail_hint(err, "\"pitr-catalog key list\" says which keys are: use one of them.");
}

/* ----------------------------------------------------------------------------------------------------- adding */

/* What who has only the host key has stored takes nobody's place. */
static bool is_full_for(const struct key_epoch *epoch, const uint8_t id[HOST_KEY_ID_SIZE])
{
	return key_epoch_recipient(epoch, id) == NULL && key_epoch_count(epoch, KEY_PROOF_GOOD) >= RECIPIENTS_MAX;
}

static bool current_full(const struct key_epoch *current, struct error *err)
{
	return fail(err, ERROR_USAGE,
		    "key epoch %u, the current one, has %d recipients, which is as many as there may be",
		    current->number, RECIPIENTS_MAX) ||
	       fail_hint(err, "Retire those that are not needed any more: pitr-catalog key remove FINGERPRINT.");
}

static bool add_to_epochs(struct repo *repo, const struct key_epochs *epochs, const uint8_t public[SECRET_SIZE],
			  struct recipient_addition *addition, struct error *err)
{
	const struct key_epoch *current = &epochs->items[epochs->count - 1];
	uint8_t id[HOST_KEY_ID_SIZE];

	*addition = (struct recipient_addition){.epochs = 0};
	TRY(public_key_id(public, id, err));
	if (!current->is_open)
		return current_closed(repo, current, err);
	if (is_full_for(current, id))
		return current_full(current, err);
	for (int i = 0; i < epochs->count; i++) {
		const struct key_epoch *epoch = &epochs->items[i];
		bool is_new;

		if (!epoch->is_open) {
			addition->epochs_closed++;
			continue;
		}
		if (is_full_for(epoch, id)) {
			addition->epochs_full++;
			continue;
		}
		TRY(key_epoch_wrap(repo, epoch, secrets_epoch(repo->secrets, epoch->number), public, &is_new, err));
		*(is_new ? &addition->epochs : &addition->epochs_before) += 1;
	}
	return true;
}

bool recipient_add(struct repo *repo, const uint8_t public[SECRET_SIZE], struct recipient_addition *addition,
		   struct error *err)
{
	int added = 0;

	/* Somebody may begin an epoch meanwhile. Either it is seen here, or what was added is seen there: see
	 * recipients_catch_up(). */
	for (int tries = 0; tries < EPOCHS_MAX; tries++) {
		struct key_epochs epochs KEY_EPOCHS_CLEANUP = {.count = 0};

		TRY(key_epochs_read(repo, &epochs, err));
		TRY(add_to_epochs(repo, &epochs, public, addition, err));
		added += addition->epochs;
		TRY(identity_follow_epochs(repo, err));
		if (repo->secrets->epoch != epochs.items[epochs.count - 1].number)
			continue;
		addition->epochs_before -= added - addition->epochs;
		addition->epochs = added;
		return true;
	}
	return fail(err, ERROR_CORRUPT, "the repository has more than %d key epochs", EPOCHS_MAX);
}

/* --------------------------------------------------------------------------------------------------- retiring */

/* A false epoch may have been begun with a repository key that whoever did it has kept; so may all behind it. */
static bool epochs_check(const struct key_epochs *epochs, struct error *err)
{
	for (int i = 0; i < epochs->count; i++) {
		const struct key_epoch *epoch = &epochs->items[i];

		if (epoch->proof != KEY_PROOF_WRONG)
			continue;
		return fail(err, ERROR_DENIED,
			    "key epoch %u was begun by somebody who had a host key and no secret key, on host \"%s\", "
			    "and may be read by them",
			    epoch->number, epoch->host) ||
		       fail_hint(err, "Nothing that is sealed to it is secret any more. See docs/keys.md, \"A host key "
				      "has leaked\": a new repository is needed.");
	}
	return true;
}

static bool is_kept(const struct recipient *recipient, const uint8_t id[HOST_KEY_ID_SIZE])
{
	return recipient->proof == KEY_PROOF_GOOD && memcmp(recipient->id, id, HOST_KEY_ID_SIZE) != 0;
}

static bool removal_check(struct repo *repo, const struct key_epochs *epochs, const uint8_t id[HOST_KEY_ID_SIZE],
			  struct error *err)
{
	const struct key_epoch *current = &epochs->items[epochs->count - 1];
	int kept = 0;

	if (!current->is_open)
		return current_closed(repo, current, err);
	TRY(epochs_check(epochs, err));
	if (key_epoch_recipient(current, id) == NULL)
		return fail(err, ERROR_USAGE, "no recipient of key epoch %u, the current one, has that fingerprint",
			    current->number) ||
		       fail_hint(err, "\"pitr-catalog key list\" says which there are.");
	for (size_t i = 0; i < current->recipient_count; i++)
		kept += is_kept(&current->recipients[i], id) ? 1 : 0;
	if (kept == 0)
		return fail(err, ERROR_USAGE, "that is the last key that can read what is stored from now on") ||
		       fail_hint(err,
				 "Make another one first: pitr-catalog keygen FILE --host-key-of=%.200s, then "
				 "pitr-catalog key add FILE.",
				 repo->secrets->key_file);
	if (epochs->count == EPOCHS_MAX)
		return fail(err, ERROR_USAGE, "the repository has had %d key epochs, which is as many as there may be",
			    EPOCHS_MAX) ||
		       fail_hint(err, "Begin a new repository.");
	return true;
}

/* Wraps the new epoch's secret for everybody of the one before but the retired one. */
static bool recipients_carry(struct repo *repo, const struct key_epoch *before, const struct key_epoch *epoch,
			     const uint8_t secret[SECRET_SIZE], const uint8_t retired[HOST_KEY_ID_SIZE],
			     struct error *err)
{
	for (size_t i = 0; i < before->recipient_count; i++) {
		bool is_new;

		if (is_kept(&before->recipients[i], retired))
			TRY(key_epoch_wrap(repo, epoch, secret, before->recipients[i].public, &is_new, err));
	}
	return true;
}

/* Who was added to the epoch before while the new one was being made did not see it: whoever adds looks for a newer
 * epoch afterwards, and whoever begins one looks for newer recipients afterwards. */
static bool recipients_catch_up(struct repo *repo, struct key_epoch *before, const struct key_epoch *epoch,
				const uint8_t secret[SECRET_SIZE], const uint8_t retired[HOST_KEY_ID_SIZE],
				struct error *err)
{
	TRY(key_epoch_read_recipients(repo, before, err));
	return recipients_carry(repo, before, epoch, secret, retired, err);
}

static bool epoch_publish(struct repo *repo, const struct key_epoch *before, const struct key_epoch *epoch,
			  struct error *err)
{
	if (key_epoch_publish(repo, epoch, secrets_epoch(repo->secrets, before->number), err))
		return true;
	if (err->kind != ERROR_EXISTS)
		return false;
	return fail(err, ERROR_EXISTS, "key epoch %u was begun by somebody else at the same moment", epoch->number) ||
	       fail_hint(err, "Nothing was changed. See \"pitr-catalog key list\", and run it again if the key is "
			      "still a recipient.");
}

static bool epoch_begin(struct repo *repo, struct key_epoch *before, struct key_epoch *epoch,
			const uint8_t secret[SECRET_SIZE], const uint8_t retired[HOST_KEY_ID_SIZE], struct error *err)
{
	hex_format(bytes_of(retired, HOST_KEY_ID_SIZE), epoch->retired);
	TRY(recipients_carry(repo, before, epoch, secret, retired, err));
	TRY(epoch_publish(repo, before, epoch, err));
	if (!recipients_catch_up(repo, before, epoch, secret, retired, err))
		return fail_in(err, "key epoch %u has begun, but who was added meanwhile may not be a recipient of it",
			       epoch->number);
	return true;
}

static void left_out_say(const struct recipient *recipient, const struct recipient_removal *removal)
{
	char text[FINGERPRINT_SIZE];

	hex_format(bytes_of(recipient->id, HOST_KEY_ID_SIZE), text);
	if (recipient->proof == KEY_PROOF_DAMAGED)
		log_warning(
			"%s is left out of key epoch %u: its object in epoch %u is damaged; \"pitr-catalog key add\" "
			"lets it in again",
			text, removal->epoch, removal->epoch - 1);
	else
		log_warning("%s is left out of key epoch %u: nobody with a secret key has added it to epoch %u", text,
			    removal->epoch, removal->epoch - 1);
}

/* A new epoch's recipients are all added in the moment in which it begins: what tells them apart is in the first one.
 */
static const struct recipient *recipient_first(const struct key_epochs *epochs, const struct recipient *recipient)
{
	for (int i = 0; i < epochs->count; i++) {
		const struct recipient *found = key_epoch_recipient(&epochs->items[i], recipient->id);

		if (found != NULL && found->proof == KEY_PROOF_GOOD)
			return found;
	}
	return recipient;
}

static void removal_count(const struct key_epochs *epochs, const uint8_t retired[HOST_KEY_ID_SIZE],
			  struct recipient_removal *removal)
{
	const struct key_epoch *before = &epochs->items[epochs->count - 1];

	for (size_t i = 0; i < before->recipient_count; i++) {
		const struct recipient *recipient = &before->recipients[i];

		if (is_kept(recipient, retired)) {
			removal->recipients[removal->kept++] = *recipient_first(epochs, recipient);
		} else if (memcmp(recipient->id, retired, HOST_KEY_ID_SIZE) != 0) {
			removal->left_out++;
			left_out_say(recipient, removal);
		}
	}
}

static bool removal_describe(struct repo *repo, const struct key_epochs *epochs,
			     const uint8_t retired[HOST_KEY_ID_SIZE], struct recipient_removal *removal,
			     struct error *err)
{
	const struct key_epoch *before = &epochs->items[epochs->count - 1];

	*removal = (struct recipient_removal){
		.epoch = before->number + 1,
		.recipients = calloc(before->recipient_count + 1, sizeof(*removal->recipients)),
		.was_own = memcmp(retired, repo->secrets->recipient_id, HOST_KEY_ID_SIZE) == 0,
	};
	if (removal->recipients == NULL)
		return fail(err, ERROR_SYSTEM, "key epoch %u has begun, but there is no memory to say for whom",
			    removal->epoch);
	removal_count(epochs, retired, removal);
	return true;
}

void recipient_removal_release(struct recipient_removal *removal)
{
	free(removal->recipients);
	*removal = (struct recipient_removal){.epoch = 0};
}

bool recipient_remove(struct repo *repo, const uint8_t id[HOST_KEY_ID_SIZE], struct recipient_removal *removal,
		      struct error *err)
{
	struct key_epochs epochs KEY_EPOCHS_CLEANUP = {.count = 0};
	uint8_t secret[SECRET_SIZE];
	struct key_epoch epoch;

	TRY(key_epochs_read(repo, &epochs, err));
	TRY(removal_check(repo, &epochs, id, err));
	struct key_epoch *before = &epochs.items[epochs.count - 1];
	TRY(key_epoch_draw(before->number + 1, &epoch, secret, err));
	bool begun = epoch_begin(repo, before, &epoch, secret, id, err);
	secret_wipe(secret, sizeof(secret));
	TRY(begun);
	return removal_describe(repo, &epochs, id, removal, err);
}

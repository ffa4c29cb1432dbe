#include "repo/key_epoch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "codec/schedule.h"
#include "codec/seal.h"
#include "repo/identity.h"
#include "repo/object_name.h"

#define EPOCH_SIZE_MAX (64 * KiB)

static bool put_hex(json_t *json, const char *name, struct bytes bytes, struct error *err)
{
	char text[2 * SECRET_SIZE + 1];

	hex_format(bytes, text);
	return json_put(json, name, json_string(text), err);
}

static bool get_hex(const json_t *json, const char *name, uint8_t *bytes, size_t size, struct error *err)
{
	const char *text;

	TRY(json_get_text(json, name, &text, err));
	if (hex_parse(text, bytes, size))
		return true;
	return fail(err, ERROR_CORRUPT, "\"%s\" is not %zu hexadecimal digits", name, 2 * size);
}

/* Text for people, which who has the host key can write too: nothing that a terminal obeys, and nothing that could pass
 * for what stands beside it. */
static bool get_plain(const json_t *json, const char *name, const char *others, char *text, size_t size,
		      struct error *err)
{
	TRY(json_copy_text(json, name, text, size, err));
	for (char *at = text; *at != '\0'; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
		      strchr(others, *at) != NULL))
			*at = '?';
	return true;
}

static bool get_host(const json_t *json, char host[256], struct error *err)
{
	return get_plain(json, "host", ".-_", host, 256, err);
}

/* ------------------------------------------------------------------------------------------------- recipients */

static bool recipient_check(struct repo *repo, const struct key_epoch *epoch, const json_t *json,
			    struct recipient *recipient, struct error *err)
{
	const uint8_t *secret = secrets_epoch(repo->secrets, epoch->number);
	uint8_t proof[KEY_PROOF_SIZE], expected[KEY_PROOF_SIZE];

	TRY(get_hex(json, "proof", proof, sizeof(proof), err));
	if (secret == NULL)
		return true;
	TRY(schedule_recipient_proof(secret, repo->id, recipient->public, expected, err));
	recipient->proof = tag_is_equal(proof, expected, sizeof(proof)) ? KEY_PROOF_GOOD : KEY_PROOF_WRONG;
	return true;
}

static bool recipient_decode(struct repo *repo, const struct key_epoch *epoch, const json_t *json,
			     struct recipient *recipient, struct error *err)
{
	uint8_t id[HOST_KEY_ID_SIZE];

	TRY(get_hex(json, "public", recipient->public, SECRET_SIZE, err));
	TRY(public_key_id(recipient->public, id, err));
	if (memcmp(id, recipient->id, sizeof(id)) != 0)
		return fail(err, ERROR_CORRUPT, "its public key is that of another recipient");
	TRY(json_get_integer(json, "added_us", 0, INT64_MAX, &recipient->added_us, err));
	TRY(get_host(json, recipient->host, err));
	return recipient_check(repo, epoch, json, recipient, err);
}

static bool recipient_read(struct repo *repo, const struct key_epoch *epoch, const char *key,
			   struct recipient *recipient, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	json_t *json JSON_CLEANUP = NULL;
	BUF(meta, OBJECT_META_MAX);

	TRY(repo_peek(repo, key, OBJECT_RECIPIENT, &header, &meta, err));
	TRY(json_decode(buf_bytes(&meta), key, &json, err));
	return recipient_decode(repo, epoch, json, recipient, err);
}

struct recipient_list {
	struct key_epoch *epoch;
	char prefix[LAYOUT_KEY_SIZE];
};

static bool recipient_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct recipient_list *list = context;
	struct key_epoch *epoch = list->epoch;
	struct recipient recipient = {.proof = KEY_PROOF_UNKNOWN};

	(void) size;
	if (!layout_parse_recipient(list->prefix, key, recipient.id))
		return true;
	if (epoch->recipient_count == RECIPIENTS_READ_MAX)
		return fail(err, ERROR_CORRUPT, "more than %d objects of recipients are stored for key epoch %u",
			    RECIPIENTS_READ_MAX, epoch->number) ||
		       fail_hint(err,
				 "No more than %d can have been added: somebody who had a host key stored them. "
				 "See docs/keys.md, \"A host key has leaked\".",
				 RECIPIENTS_MAX);
	TRY(ARRAY_RESERVE(&epoch->recipients, epoch->recipient_count, &epoch->recipient_capacity, err));
	epoch->recipients[epoch->recipient_count++] = recipient;
	return true;
}

/* One that is damaged must not keep the others from being served. */
static bool recipient_take(struct repo *repo, const struct key_epoch *epoch, struct recipient *recipient,
			   struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	layout_recipient(&repo->layout, epoch->number, epoch->public_id, recipient->id, key);
	if (recipient_read(repo, epoch, key, recipient, err))
		return true;
	if (err->kind != ERROR_CORRUPT && err->kind != ERROR_DENIED && err->kind != ERROR_USAGE)
		return false;
	log_warning("the recipient's object \"%s\" cannot be read: %s", key, err->text);
	recipient->proof = KEY_PROOF_DAMAGED;
	recipient->added_us = 0;
	return true;
}

bool key_epoch_read_recipients(struct repo *repo, struct key_epoch *epoch, struct error *err)
{
	struct recipient_list list = {.epoch = epoch};

	epoch->recipient_count = 0;
	layout_recipient_prefix(&repo->layout, epoch->number, epoch->public_id, list.prefix);
	TRY(storage_list(repo->storage, list.prefix, "", recipient_visit, &list, err));
	for (size_t i = 0; i < epoch->recipient_count; i++)
		TRY(recipient_take(repo, epoch, &epoch->recipients[i], err));
	return true;
}

size_t key_epoch_count(const struct key_epoch *epoch, enum key_proof proof)
{
	size_t count = 0;

	for (size_t i = 0; i < epoch->recipient_count; i++)
		count += epoch->recipients[i].proof == proof ? 1 : 0;
	return count;
}

bool key_epoch_has_reader(const struct key_epoch *epoch)
{
	return key_epoch_count(epoch, KEY_PROOF_GOOD) + key_epoch_count(epoch, KEY_PROOF_UNKNOWN) > 0;
}

struct recipient *key_epoch_recipient(const struct key_epoch *epoch, const uint8_t id[HOST_KEY_ID_SIZE])
{
	for (size_t i = 0; i < epoch->recipient_count; i++)
		if (memcmp(epoch->recipients[i].id, id, HOST_KEY_ID_SIZE) == 0)
			return &epoch->recipients[i];
	return NULL;
}

/* ----------------------------------------------------------------------------------------------------- epochs */

static bool epoch_check(struct repo *repo, const json_t *json, struct key_epoch *epoch, struct error *err)
{
	const uint8_t *before = secrets_epoch(repo->secrets, epoch->number - 1);
	uint8_t proof[KEY_PROOF_SIZE], expected[KEY_PROOF_SIZE];

	TRY(get_hex(json, "proof", proof, sizeof(proof), err));
	if (before == NULL)
		return true;
	TRY(schedule_epoch_proof(before, repo->id, epoch->number, epoch->public, expected, err));
	epoch->proof = tag_is_equal(proof, expected, sizeof(proof)) ? KEY_PROOF_GOOD : KEY_PROOF_WRONG;
	return true;
}

static bool epoch_decode(struct repo *repo, const json_t *json, bool is_first, struct key_epoch *epoch,
			 struct error *err)
{
	int64_t number;

	TRY(json_get_integer(json, "epoch", epoch->number, epoch->number, &number, err));
	TRY(get_hex(json, "public", epoch->public, SECRET_SIZE, err));
	TRY(public_key_id(epoch->public, epoch->public_id, err));
	TRY(get_plain(json, "created", " .:+-", epoch->created, sizeof(epoch->created), err));
	TRY(get_host(json, epoch->host, err));
	if (json_object_get(json, "retired") != NULL)
		TRY(get_plain(json, "retired", "", epoch->retired, sizeof(epoch->retired), err));
	epoch->proof = is_first ? KEY_PROOF_GOOD : KEY_PROOF_UNKNOWN;
	/* One that has no proof was begun by whoever thought that nobody would look. */
	if (!is_first && !epoch_check(repo, json, epoch, err))
		epoch->proof = KEY_PROOF_WRONG;
	return true;
}

/* A damaged object of ours must not keep us from seeing whose there are besides. */
static bool epoch_open(struct repo *repo, struct key_epoch *epoch, bool *is_damaged, struct error *err)
{
	epoch->is_open = repo_open_epoch(repo, epoch->number, epoch->public_id, err);
	*is_damaged = !epoch->is_open && err->kind == ERROR_CORRUPT;
	if (*is_damaged)
		log_warning("our own key does not open key epoch %u: %s", epoch->number, err->text);
	return epoch->is_open || *is_damaged || err->kind == ERROR_DENIED;
}

static bool epoch_read_keys(struct repo *repo, struct key_epoch *epoch, struct error *err)
{
	bool is_damaged;

	TRY(epoch_open(repo, epoch, &is_damaged, err));
	TRY(key_epoch_read_recipients(repo, epoch, err));
	struct recipient *own = key_epoch_recipient(epoch, repo->secrets->recipient_id);
	if (is_damaged && own != NULL)
		own->proof = KEY_PROOF_DAMAGED;
	return true;
}

static bool epoch_read(struct repo *repo, uint32_t number, bool is_first, struct key_epoch *epoch, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char key[LAYOUT_KEY_SIZE];
	BUF(text, EPOCH_SIZE_MAX);

	*epoch = (struct key_epoch){.number = number};
	layout_epoch(&repo->layout, number, key);
	if (!repo_get(repo, key, OBJECT_EPOCH, &text, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_CORRUPT;
		return fail_in(err, "could not read key epoch %u", number);
	}
	TRY(json_decode(buf_bytes(&text), key, &json, err));
	if (!epoch_decode(repo, json, is_first, epoch, err))
		return fail_in(err, "%s", key);
	return epoch_read_keys(repo, epoch, err);
}

struct epoch_search {
	const struct layout *layout;
	uint32_t last; /* of which there are objects */
};

static bool epoch_visit(void *context, const char *key, uint64_t size, struct error *err)
{
	struct epoch_search *search = context;
	struct object_name name;

	(void) size;
	(void) err;
	if (object_name_parse(search->layout, key, &name) &&
	    (name.kind == OBJECT_EPOCH || name.kind == OBJECT_RECIPIENT) && name.number > search->last)
		search->last = name.number;
	return true;
}

/* The current epoch is found by asking for the next one, so one whose public half has gone is taken for one that has
 * not begun. What else there is of it tells; or that it is just being begun, or that this was interrupted. */
static bool epochs_find_last(struct repo *repo, uint32_t *last, struct error *err)
{
	struct epoch_search search = {.layout = &repo->layout};
	char prefix[LAYOUT_KEY_SIZE];

	layout_keys_prefix(&repo->layout, prefix);
	TRY(storage_list(repo->storage, prefix, "", epoch_visit, &search, err));
	*last = search.last;
	return true;
}

/* An identity names the epoch that was the newest one when it was made. */
static uint64_t systems_find_false(const struct identity_keys *keys, const struct key_epochs *epochs)
{
	for (int i = 0; i < keys->count; i++) {
		const struct identity_key *key = &keys->items[i];
		uint32_t place = key->epoch - epochs->items[0].number;

		if (place >= (uint32_t) epochs->count ||
		    memcmp(epochs->items[place].public, key->public, SECRET_SIZE) != 0)
			return key->system_identifier;
	}
	return 0;
}

static uint32_t epoch_first(const struct repo *repo, const struct identity_keys *keys)
{
	uint32_t first = repo->secrets->epoch;

	for (int i = 0; i < keys->count; i++)
		if (keys->items[i].epoch < first)
			first = keys->items[i].epoch;
	return first;
}

static bool epochs_read_from(struct repo *repo, uint32_t first, struct key_epochs *epochs, struct error *err)
{
	if (repo->secrets->epoch - first >= EPOCHS_MAX)
		return fail(err, ERROR_CORRUPT, "the repository has the key epochs %u to %u", first,
			    repo->secrets->epoch);
	epochs->items = calloc(repo->secrets->epoch - first + 1, sizeof(*epochs->items));
	if (epochs->items == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	for (uint32_t number = first; number <= repo->secrets->epoch; number++) {
		struct key_epoch *epoch = &epochs->items[epochs->count++];

		TRY(epoch_read(repo, number, number == first, epoch, err));
	}
	return true;
}

bool key_epochs_read(struct repo *repo, struct key_epochs *epochs, struct error *err)
{
	struct identity_keys keys;
	uint32_t last;

	if (!repo->secrets->encrypted)
		return fail(err, ERROR_USAGE, "the repository \"%s\" is not encrypted: it has no keys",
			    storage_url(repo->storage));
	TRY(epochs_find_last(repo, &last, err)); /* before it is asked for: one may begin meanwhile */
	TRY(identity_follow_epochs(repo, err));
	TRY(identity_keys_read(repo, &keys, err));
	TRY(epochs_read_from(repo, epoch_first(repo, &keys), epochs, err));
	epochs->is_cut_short = last > repo->secrets->epoch;
	epochs->false_system = systems_find_false(&keys, epochs);
	return true;
}

void key_epochs_release(struct key_epochs *epochs)
{
	for (int i = 0; i < epochs->count; i++)
		free(epochs->items[i].recipients);
	free(epochs->items);
	*epochs = (struct key_epochs){.count = 0};
}

/* What is missing or false with one of them. */
static bool epoch_judge(struct repo *repo, const struct key_epoch *epoch, char key[LAYOUT_KEY_SIZE], struct error *err)
{
	layout_epoch(&repo->layout, epoch->number, key);
	if (epoch->proof == KEY_PROOF_WRONG)
		return fail(err, ERROR_CORRUPT,
			    "key epoch %u was begun by somebody who had no secret key, on host \"%s\"", epoch->number,
			    epoch->host);
	if (!key_epoch_has_reader(epoch)) {
		layout_recipient_prefix(&repo->layout, epoch->number, epoch->public_id, key);
		return fail(err, ERROR_CORRUPT, "there is no key that can read what is stored in key epoch %u",
			    epoch->number);
	}
	const struct recipient *own = key_epoch_recipient(epoch, repo->secrets->recipient_id);
	if (own == NULL || own->proof != KEY_PROOF_DAMAGED)
		return true;
	layout_recipient(&repo->layout, epoch->number, epoch->public_id, own->id, key);
	return fail(err, ERROR_CORRUPT, "it is damaged, and so the key at hand does not open key epoch %u",
		    epoch->number);
}

bool key_epochs_check(struct repo *repo, char key[LAYOUT_KEY_SIZE], struct error *err)
{
	struct key_epochs epochs KEY_EPOCHS_CLEANUP = {.count = 0};

	layout_keys_prefix(&repo->layout, key);
	TRY(key_epochs_read(repo, &epochs, err));
	for (int i = 0; i < epochs.count; i++)
		TRY(epoch_judge(repo, &epochs.items[i], key, err));
	layout_epoch(&repo->layout, repo->secrets->epoch + 1, key);
	if (epochs.is_cut_short)
		return fail(err, ERROR_CORRUPT,
			    "there are objects of it, or of a later one, but not the public half of key epoch %u",
			    repo->secrets->epoch + 1);
	if (epochs.false_system == 0)
		return true;
	layout_identity_of(repo->layout.cluster, epochs.false_system, key);
	return fail(err, ERROR_CORRUPT, "it names another public key for a key epoch than that has");
}

/* ---------------------------------------------------------------------------------------------------- writing */

bool key_epoch_draw(uint32_t number, struct key_epoch *epoch, uint8_t secret[SECRET_SIZE], struct error *err)
{
	*epoch = (struct key_epoch){.number = number, .proof = KEY_PROOF_GOOD, .is_open = true};
	TRY(x25519_generate(secret, epoch->public, err));
	return public_key_id(epoch->public, epoch->public_id, err);
}

static bool recipient_encode(struct repo *repo, const uint8_t secret[SECRET_SIZE], const uint8_t public[SECRET_SIZE],
			     struct buf *text, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	uint8_t proof[KEY_PROOF_SIZE];

	TRY(schedule_recipient_proof(secret, repo->id, public, proof, err));
	TRY(put_hex(json, "public", bytes_of(public, SECRET_SIZE), err));
	TRY(json_put(json, "added_us", json_integer(clock_now_us()), err));
	TRY(json_put(json, "host", json_string(repo->host), err));
	TRY(put_hex(json, "proof", bytes_of(proof, sizeof(proof)), err));
	return json_encode(json, text, err);
}

/* The name was taken: by the same, in an earlier run, or by something else. */
static bool wrapped_check(struct repo *repo, const struct key_epoch *epoch, const char *key,
			  const uint8_t secret[SECRET_SIZE], struct error *err)
{
	bool same;

	TRY(repo_same(repo, key, OBJECT_RECIPIENT, bytes_of(secret, SECRET_SIZE), &same, NULL, err));
	if (same)
		return true;
	return fail(err, ERROR_EXISTS, "something else is stored where key epoch %u is to be wrapped for the key: %s",
		    epoch->number, key) ||
	       fail_hint(err, "Somebody who had a host key put it there. Make another key with pitr-catalog keygen "
			      "--host-key-of, and see docs/keys.md about a leaked host key.");
}

bool key_epoch_wrap(struct repo *repo, const struct key_epoch *epoch, const uint8_t secret[SECRET_SIZE],
		    const uint8_t recipient_public[SECRET_SIZE], bool *is_new, struct error *err)
{
	BUF(meta, OBJECT_META_MAX);
	char key[LAYOUT_KEY_SIZE];
	uint8_t id[HOST_KEY_ID_SIZE];

	TRY(public_key_id(recipient_public, id, err));
	layout_recipient(&repo->layout, epoch->number, epoch->public_id, id, key);
	TRY(recipient_encode(repo, secret, recipient_public, &meta, err));
	*is_new = repo_put_recipient(repo, key, recipient_public, buf_bytes(&meta), secret, err);
	if (*is_new)
		return true;
	return err->kind == ERROR_EXISTS && wrapped_check(repo, epoch, key, secret, err);
}

bool key_epoch_publish(struct repo *repo, const struct key_epoch *epoch, const uint8_t *secret_before,
		       struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char key[LAYOUT_KEY_SIZE], created[CLOCK_TEXT_SIZE];
	uint8_t proof[KEY_PROOF_SIZE];
	BUF(text, EPOCH_SIZE_MAX);

	time_format_utc(clock_now_us(), created);
	TRY(json_put(json, "epoch", json_integer(epoch->number), err));
	TRY(put_hex(json, "public", bytes_of(epoch->public, SECRET_SIZE), err));
	TRY(json_put(json, "created", json_string(created), err));
	TRY(json_put(json, "host", json_string(repo->host), err));
	if (epoch->retired[0] != '\0')
		TRY(json_put(json, "retired", json_string(epoch->retired), err));
	if (secret_before != NULL) {
		TRY(schedule_epoch_proof(secret_before, repo->id, epoch->number, epoch->public, proof, err));
		TRY(put_hex(json, "proof", bytes_of(proof, sizeof(proof)), err));
	}
	TRY(json_encode(json, &text, err));
	layout_epoch(&repo->layout, epoch->number, key);
	return repo_put(repo, key, OBJECT_EPOCH, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err);
}

#include "repo/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "repo/key_epoch.h"
#include "repo/recovery_text.h"

#define IDENTITY_SIZE_MAX (64 * KiB)

struct systems {
	int count;
	uint64_t identifiers[SYSTEMS_MAX];
	char last[LAYOUT_KEY_SIZE];
};

/* Takes the first key of a listing and ends it. */
static bool systems_take_first(void *context, const char *key, uint64_t size, struct error *err)
{
	struct systems *systems = context;

	(void) size;
	(void) snprintf(systems->last, sizeof(systems->last), "%s", key);
	err->kind = ERROR_NONE;
	return false;
}

/* The system identifiers stored under the cluster's name. A short listing for each, which jumps over its objects. */
static bool systems_list(struct repo *repo, struct systems *systems, struct error *err)
{
	char prefix[LAYOUT_KEY_SIZE];
	char after[LAYOUT_KEY_SIZE] = "";

	layout_cluster_prefix(&repo->layout, prefix);
	while (systems->count < SYSTEMS_MAX) {
		struct layout layout = repo->layout;

		systems->last[0] = '\0';
		TRY(storage_list(repo->storage, prefix, after, systems_take_first, systems, err));
		if (!layout_parse_system(&repo->layout, systems->last, &layout.system_identifier))
			return true; /* none left: what is no number sorts behind the numbers */
		systems->identifiers[systems->count++] = layout.system_identifier;
		layout_behind_system(&layout, after);
	}
	return true;
}

static bool identity_not_initialised(struct repo *repo, struct error *err)
{
	(void) fail(err, ERROR_USAGE, "the repository \"%s\" is not initialised for the cluster \"%s\"",
		    storage_url(repo->storage), repo->layout.cluster);
	return fail_hint(err, "Check repo and cluster (is it mounted? the right bucket?); for a new repository run: "
			      "pitr-catalog init");
}

/* Says whose the repository is when it does not know our system identifier. */
static bool identity_of_another(struct repo *repo, uint64_t system_identifier, struct error *err)
{
	struct systems systems = {.count = 0};

	TRY(systems_list(repo, &systems, err));
	if (systems.count == 0)
		return identity_not_initialised(repo, err);
	(void) fail(err, ERROR_USAGE,
		    "the cluster \"%s\" of the repository \"%s\" has the system identifier %" PRIu64
		    ", but this server "
		    "has %" PRIu64,
		    repo->layout.cluster, storage_url(repo->storage), systems.identifiers[0], system_identifier);
	return fail_hint(err, "If this server continues that one, after pg_upgrade or initdb, run: pitr-catalog init "
			      "--new-system. Otherwise another server keeps its backups there: give this one a cluster "
			      "name of its own, with --cluster and pitr-catalog init.");
}

/* Opens an object that says itself which repository it is of. */
static bool identity_get(struct repo *repo, const char *key, enum object_kind kind, json_t **json, struct error *err)
{
	struct object_identity identity = {.key = key, .kind = kind};
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	BUF(object, 2 * IDENTITY_SIZE_MAX);
	BUF(plain, IDENTITY_SIZE_MAX);
	uint64_t whole_size;
	size_t header_need;

	if (kind == OBJECT_IDENTITY)
		identity.system_identifier = repo->layout.system_identifier;
	memcpy(identity.repository_id, repo->id, sizeof(identity.repository_id));
	TRY(storage_get(repo->storage, key, &object, err));
	TRY(object_open_header(repo->secrets, &identity, buf_bytes(&object), &header, &whole_size, &header_need, err));
	if (memcmp(repo->id, header.repository_id, sizeof(repo->id)) != 0) /* it is read by other threads later */
		memcpy(repo->id, header.repository_id, sizeof(repo->id));
	TRY(object_open(repo->secrets, &identity, buf_bytes(&object), &plain, err));
	return json_decode(buf_bytes(&plain), key, json, err);
}

/* What an identity says about its place among those of a cluster. */
struct system {
	uint64_t identifier;
	uint64_t follows;	       /* another one; 0: none */
	struct identity_key key;       /* its epoch is 0 without encryption */
	char created[CLOCK_TEXT_SIZE]; /* UTC, in a form that sorts */
};

static bool identity_decode_key(const json_t *json, uint32_t *epoch, uint8_t public[SECRET_SIZE], struct error *err)
{
	const char *text;
	int64_t number;

	TRY(json_get_integer(json, "epoch", 1, UINT32_MAX, &number, err));
	TRY(json_get_text(json, "public", &text, err));
	if (!hex_parse(text, public, SECRET_SIZE))
		return fail(err, ERROR_CORRUPT, "\"public\" is not a public key");
	*epoch = (uint32_t) number;
	return true;
}

static bool system_read(struct repo *repo, uint64_t identifier, struct system *system, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char key[LAYOUT_KEY_SIZE];

	*system = (struct system){.identifier = identifier};
	repo->layout.system_identifier = identifier;
	layout_identity(&repo->layout, key);
	TRY(identity_get(repo, key, OBJECT_IDENTITY, &json, err));
	TRY(json_copy_text(json, "created", system->created, sizeof(system->created), err));
	const char *follows = json_string_value(json_object_get(json, "follows"));
	system->follows = follows != NULL ? strtoull(follows, NULL, 10) : 0;
	system->key.system_identifier = identifier;
	return json_object_get(json, "epoch") == NULL ||
	       identity_decode_key(json, &system->key.epoch, system->key.public, err) || fail_in(err, "%s", key);
}

static bool is_followed(const struct system *systems, int count, uint64_t identifier)
{
	for (int i = 0; i < count; i++)
		if (systems[i].follows == identifier)
			return true;
	return false;
}

/* The system that no other one continues; of several, the one that was made last. One whose init was interrupted has no
 * identity, and does not count. */
static bool identity_newest(struct repo *repo, const struct systems *list, uint64_t *newest, struct error *err)
{
	struct system systems[SYSTEMS_MAX];
	const struct system *found = NULL;
	int count = 0;

	for (int i = 0; i < list->count; i++) {
		if (system_read(repo, list->identifiers[i], &systems[count], err))
			count++;
		else if (err->kind != ERROR_NOT_FOUND)
			return false;
	}
	if (count == 0)
		return identity_not_initialised(repo, err);
	for (int i = 0; i < count; i++)
		if (!is_followed(systems, count, systems[i].identifier) &&
		    (found == NULL || strcmp(systems[i].created, found->created) > 0))
			found = &systems[i];
	if (found == NULL)
		return fail(err, ERROR_CORRUPT, "the systems of the cluster \"%s\" follow one another in a circle",
			    repo->layout.cluster);
	*newest = found->identifier;
	for (int i = 0; i < count; i++)
		if (&systems[i] != found)
			log_info("the cluster \"%s\" is that of the system identifier %" PRIu64
				 "; its earlier history, of %" PRIu64 ", is looked at with --system=%" PRIu64,
				 repo->layout.cluster, found->identifier, systems[i].identifier, systems[i].identifier);
	return true;
}

static bool identity_only_system(struct repo *repo, uint64_t *system_identifier, struct error *err)
{
	struct systems systems = {.count = 0};

	TRY(systems_list(repo, &systems, err));
	if (systems.count == 0)
		return identity_not_initialised(repo, err);
	*system_identifier = systems.identifiers[0];
	return systems.count == 1 ? true : identity_newest(repo, &systems, system_identifier, err);
}

bool identity_keys_read(struct repo *repo, struct identity_keys *keys, struct error *err)
{
	struct systems systems = {.count = 0};
	struct layout layout = repo->layout;

	keys->count = 0;
	TRY(systems_list(repo, &systems, err));
	for (int i = 0; i < systems.count; i++) {
		struct system system;
		bool read = system_read(repo, systems.identifiers[i], &system, err);

		repo->layout = layout;
		if (!read && err->kind != ERROR_NOT_FOUND)
			return false;
		if (read && system.key.epoch != 0)
			keys->items[keys->count++] = system.key;
	}
	return true;
}

/* What the object of an epoch says of that. */
static bool epoch_get(struct repo *repo, uint32_t epoch, uint8_t public[SECRET_SIZE], struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char key[LAYOUT_KEY_SIZE];
	uint32_t number;

	layout_epoch(&repo->layout, epoch, key);
	TRY(identity_get(repo, key, OBJECT_EPOCH, &json, err));
	if (!identity_decode_key(json, &number, public, err))
		return fail_in(err, "%s", key);
	return number == epoch || fail(err, ERROR_CORRUPT, "%s: it says that it is key epoch %" PRIu32, key, number);
}

bool identity_compare_epoch(struct repo *repo, struct error *err)
{
	uint8_t public[SECRET_SIZE];

	if (!epoch_get(repo, repo->secrets->epoch, public, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_CORRUPT;
		return fail_in(err, "could not read key epoch %" PRIu32, repo->secrets->epoch);
	}
	if (memcmp(public, repo->secrets->repository_public, SECRET_SIZE) == 0)
		return true;
	return fail(err, ERROR_CORRUPT,
		    "the identity of the system %" PRIu64 " names another public key for key epoch %" PRIu32
		    " than that has",
		    repo->layout.system_identifier, repo->secrets->epoch) ||
	       fail_hint(err,
			 "Somebody who had a host key stored it, to read what would be sealed to that key. Nothing "
			 "was stored. See docs/keys.md, \"A host key has leaked\".");
}

/* A new epoch is one more object; the newest is found by asking for the next until there is none. */
bool identity_follow_epochs(struct repo *repo, struct error *err)
{
	for (int steps = 0; steps < EPOCHS_MAX; steps++) {
		uint8_t public[SECRET_SIZE];

		if (!epoch_get(repo, repo->secrets->epoch + 1, public, err))
			return err->kind == ERROR_NOT_FOUND;
		memcpy(repo->secrets->repository_public, public, SECRET_SIZE);
		repo->secrets->epoch++;
		repo->is_epoch_compared = true;
	}
	return fail(err, ERROR_CORRUPT, "the repository has more than %d key epochs", EPOCHS_MAX);
}

bool identity_read(struct repo *repo, uint64_t system_identifier, struct error *err)
{
	json_t *json JSON_CLEANUP = NULL;
	char key[LAYOUT_KEY_SIZE];
	uint64_t asked = system_identifier;

	if (system_identifier == 0)
		TRY(identity_only_system(repo, &system_identifier, err));
	repo->layout.system_identifier = system_identifier;
	layout_identity(&repo->layout, key);
	if (!identity_get(repo, key, OBJECT_IDENTITY, &json, err)) {
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		return asked == 0 ? identity_not_initialised(repo, err)
				  : identity_of_another(repo, system_identifier, err);
	}
	if (!repo->secrets->encrypted)
		return true;
	if (!identity_decode_key(json, &repo->secrets->epoch, repo->secrets->repository_public, err))
		return fail_in(err, "%s", key);
	return identity_follow_epochs(repo, err);
}

/* Writes, writes again, reads, lists and removes an object: proof of what the store does, and we may do. */
static bool identity_prove_canary(struct repo *repo, const char *key, struct bytes content, struct error *err)
{
	BUF(back, 4 * KiB);

	TRY(storage_put(repo->storage, key, content, err));
	if (storage_put(repo->storage, key, bytes_of_text("a second canary"), err))
		return fail(err, ERROR_USAGE, "\"%s\" replaced an object that was to be created only",
			    storage_url(repo->storage)) ||
		       fail_hint(err,
				 "The store must honour create-only writes (If-None-Match: *); without, two servers "
				 "could overwrite each other's WAL. See s3-create-only in pitr.conf.");
	if (err->kind != ERROR_EXISTS)
		return false;
	TRY(storage_get(repo->storage, key, &back, err));
	if (!bytes_equal(buf_bytes(&back), content))
		return fail(err, ERROR_CORRUPT, "\"%s\" gave back other bytes than were stored",
			    storage_url(repo->storage));

	struct systems seen = {.count = 0};
	TRY(storage_list(repo->storage, key, "", systems_take_first, &seen, err));
	if (strcmp(seen.last, key) != 0)
		return fail(err, ERROR_CORRUPT, "\"%s\" does not list an object that was just stored",
			    storage_url(repo->storage));
	return true;
}

bool identity_canary(struct repo *repo, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	uint8_t id[8];

	TRY(random_bytes(id, sizeof(id), err));
	layout_canary(&repo->layout, id, key);
	if (!identity_prove_canary(repo, key, bytes_of_text("pitr canary\n"), err))
		return fail_in(err, "the repository is not fit for use");
	if (!storage_remove(repo->storage, key, err) && err->kind != ERROR_DENIED)
		return false;
	return true; /* credentials that cannot remove are welcome: the canary stays */
}

static bool identity_put_json(struct repo *repo, const char *key, enum object_kind kind, const json_t *json,
			      struct error *err)
{
	BUF(text, IDENTITY_SIZE_MAX);

	TRY(json_encode(json, &text, err));
	return repo_put(repo, key, kind, CLASS_HOST, bytes_of(NULL, 0), buf_bytes(&text), NULL, err);
}

static bool identity_put_time(json_t *json, struct error *err)
{
	char created[CLOCK_TEXT_SIZE];

	time_format_utc(clock_now_us(), created);
	return json_put(json, "created", json_string(created), err);
}

static bool identity_put_epoch_members(const struct repo *repo, json_t *json, struct error *err)
{
	char public[2 * SECRET_SIZE + 1];

	hex_format(bytes_of(repo->secrets->repository_public, SECRET_SIZE), public);
	TRY(json_put(json, "epoch", json_integer(repo->secrets->epoch), err));
	return json_put(json, "public", json_string(public), err);
}

/* Seals a new repository key to our own key file and publishes its public half, as `number`. EXISTS when an
 * interrupted init has left that epoch behind. */
static bool identity_create_epoch(struct repo *repo, uint32_t number, struct error *err)
{
	struct key_epoch epoch;
	uint8_t secret[SECRET_SIZE];
	bool is_new;

	TRY(key_epoch_draw(number, &epoch, secret, err));
	bool wrapped = key_epoch_wrap(repo, &epoch, secret, repo->secrets->recipient_public, &is_new, err);
	secret_wipe(secret, sizeof(secret));
	TRY(wrapped);
	memcpy(repo->secrets->repository_public, epoch.public, SECRET_SIZE);
	repo->secrets->epoch = number;
	repo->is_epoch_compared = true;
	return key_epoch_publish(repo, &epoch, NULL, err);
}

static bool identity_create_first_epoch(struct repo *repo, struct error *err)
{
	for (uint32_t epoch = 1; epoch <= EPOCHS_MAX; epoch++) {
		if (identity_create_epoch(repo, epoch, err))
			return true;
		if (err->kind != ERROR_EXISTS)
			return false;
	}
	return fail(err, ERROR_EXISTS, "\"%s\" holds %d key epochs but no identity", storage_url(repo->storage),
		    EPOCHS_MAX);
}

static bool identity_put(struct repo *repo, uint64_t follows, struct error *err)
{
	json_t *json JSON_CLEANUP = json_object();
	char key[LAYOUT_KEY_SIZE];
	char text[64];

	TRY(json_put(json, "format", json_integer(OBJECT_VERSION), err));
	hex_format(bytes_of(repo->id, sizeof(repo->id)), text);
	TRY(json_put(json, "repository", json_string(text), err));
	TRY(json_put(json, "cluster", json_string(repo->layout.cluster), err));
	(void) snprintf(text, sizeof(text), "%" PRIu64, repo->layout.system_identifier);
	TRY(json_put(json, "system_identifier", json_string(text), err));
	if (follows != 0) {
		(void) snprintf(text, sizeof(text), "%" PRIu64, follows);
		TRY(json_put(json, "follows", json_string(text), err));
	}
	TRY(identity_put_time(json, err));
	TRY(json_put(json, "created_by", json_string("pitr " PITR_VERSION), err));
	TRY(json_put(json, "host", json_string(repo->host), err));
	if (repo->secrets->encrypted) {
		hex_format(bytes_of(repo->secrets->host_key_id, HOST_KEY_ID_SIZE), text);
		TRY(json_put(json, "host_key", json_string(text), err));
		TRY(identity_put_epoch_members(repo, json, err));
	}
	layout_identity(&repo->layout, key);
	return identity_put_json(repo, key, OBJECT_IDENTITY, json, err);
}

static bool fail_exists(struct repo *repo, struct error *err)
{
	(void) fail(err, ERROR_EXISTS, "the repository \"%s\" is initialised for the cluster \"%s\" already",
		    storage_url(repo->storage), repo->layout.cluster);
	return fail_hint(err, "It was left as it is and can be used. A new one needs another repo, or another cluster "
			      "name.");
}

/* Is there something that may be continued, and is it meant to be? *follows is it; 0: there is nothing yet. */
static bool systems_check(struct repo *repo, uint64_t system_identifier, bool is_new_system, uint64_t *follows,
			  struct error *err)
{
	struct systems systems = {.count = 0};

	*follows = 0;
	TRY(systems_list(repo, &systems, err));
	for (int i = 0; i < systems.count; i++)
		if (systems.identifiers[i] == system_identifier)
			return fail_exists(repo, err);
	if (systems.count == 0 && is_new_system)
		return fail(err, ERROR_USAGE, "the cluster \"%s\" has no history in \"%s\" that could be continued",
			    repo->layout.cluster, storage_url(repo->storage)) ||
		       fail_hint(err, "Check repo and cluster; a new repository is made without --new-system.");
	if (systems.count > 0 && !is_new_system)
		return identity_of_another(repo, system_identifier, err);
	return systems.count == 0 ? true : identity_newest(repo, &systems, follows, err);
}

bool identity_create(struct repo *repo, uint64_t system_identifier, bool is_new_system, struct error *err)
{
	uint64_t follows;

	TRY(storage_create(repo->storage, err));
	TRY(systems_check(repo, system_identifier, is_new_system, &follows, err));
	/* The keys lie below the cluster's name and carry the repository's identifier: both go on. */
	TRY(follows != 0 ? identity_read(repo, follows, err) : random_bytes(repo->id, sizeof(repo->id), err));
	if (repo->secrets->encrypted && follows != 0)
		TRY(identity_compare_epoch(repo, err));
	repo->layout.system_identifier = system_identifier;
	TRY(identity_canary(repo, err));
	if (!storage_put(repo->storage, LAYOUT_RECOVERY, recovery_text(), err) && err->kind != ERROR_EXISTS)
		return false;
	if (repo->secrets->encrypted && follows == 0)
		TRY(identity_create_first_epoch(repo, err));
	return identity_put(repo, follows, err);
}

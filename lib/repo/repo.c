#include "repo/repo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "repo/identity.h"

static struct object_identity repo_object(const struct repo *repo, const char *key, enum object_kind kind)
{
	struct object_identity identity = {.key = key, .kind = kind};

	/* Key objects belong to every system of a cluster. */
	if (kind != OBJECT_EPOCH && kind != OBJECT_RECIPIENT)
		identity.system_identifier = repo->layout.system_identifier;
	memcpy(identity.repository_id, repo->id, sizeof(identity.repository_id));
	return identity;
}

static bool repo_open_storage(struct repo *repo, const struct options *options, struct error *err)
{
	struct storage_settings settings = {
		.url = options->repo,
		.retry_for_ms = options->retry_for,
		.limit_rate = options->limit_rate,
		.s3_endpoint = options->s3_endpoint,
		.s3_region = options->s3_region,
		.s3_addressing = options->s3_addressing,
		.s3_ca_file = options->s3_ca_file,
		.s3_storage_class = options->s3_storage_class,
		.s3_sse = options->s3_sse,
		.s3_kms_key_id = options->s3_kms_key_id,
		.s3_create_only = options->s3_create_only,
	};

	return storage_open(&settings, &repo->storage, err);
}

/* Everything that needs no answer from the repository. */
static bool repo_prepare(struct repo *repo, const struct options *options, struct error *err)
{
	if (options->repo == NULL)
		return fail(err, ERROR_USAGE, "no repository is set") ||
		       fail_hint(err,
				 "Set \"repo = /var/backups/pitr\" (or s3://bucket/prefix) in /etc/pitr/pitr.conf, "
				 "or use --repo.");
	if (gethostname(repo->host, sizeof(repo->host) - 1) != 0)
		return fail_errno(err, "could not get the name of this host");
	TRY(layout_init(&repo->layout, options->cluster, err));
	TRY(compression_parse(options->compress, &repo->compression, err));
	TRY(secrets_open(options->key_file, &repo->secrets, err));
	return repo_open_storage(repo, options, err);
}

static bool repo_new(const struct options *options, struct repo **repo, struct error *err)
{
	struct repo *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return fail(err, ERROR_SYSTEM, "out of memory");
	(void) pthread_mutex_init(&made->unlocking, NULL);
	(void) pthread_mutex_init(&made->computing_lock, NULL);
	(void) pthread_cond_init(&made->computing_changed, NULL);
	made->jobs = options->jobs;
	if (!repo_prepare(made, options, err)) {
		repo_close(made);
		return false;
	}
	*repo = made;
	return true;
}

void repo_close(struct repo *repo)
{
	if (repo == NULL)
		return;
	storage_close(repo->storage);
	secrets_close(repo->secrets);
	(void) pthread_cond_destroy(&repo->computing_changed);
	(void) pthread_mutex_destroy(&repo->computing_lock);
	(void) pthread_mutex_destroy(&repo->unlocking);
	free(repo);
}

void repo_cleanup(struct repo **repo)
{
	repo_close(*repo);
	*repo = NULL;
}

static bool system_parse(const char *text, uint64_t *system_identifier, struct error *err)
{
	char *end;

	errno = 0;
	*system_identifier = *text >= '1' && *text <= '9' ? strtoull(text, &end, 10) : 0;
	if (*system_identifier != 0 && errno == 0 && *end == '\0')
		return true;
	return fail(err, ERROR_USAGE, "--system: \"%s\" is not a system identifier", text) ||
	       fail_hint(err, "pg_controldata shows that of a data directory.");
}

bool repo_open(const struct options *options, uint64_t system_identifier, struct repo **repo, struct error *err)
{
	struct repo *made REPO_CLEANUP = NULL;

	TRY(repo_new(options, &made, err));
	if (system_identifier == 0 && options->system != NULL)
		TRY(system_parse(options->system, &system_identifier, err));
	TRY(identity_read(made, system_identifier, err));
	*repo = made;
	made = NULL;
	return true;
}

bool repo_create(const struct options *options, uint64_t system_identifier, struct repo **repo, struct error *err)
{
	struct repo *made REPO_CLEANUP = NULL;

	TRY(repo_new(options, &made, err));
	TRY(identity_create(made, system_identifier, options->new_system, err));
	*repo = made;
	made = NULL;
	return true;
}

bool repo_prove(struct repo *repo, struct error *err)
{
	return identity_canary(repo, err);
}

/* An index is written once and read often, and is text that repeats itself: zstd makes it half of what lz4 does. */
static struct compression compression_of(const struct repo *repo, enum object_kind kind)
{
	const struct compression index = {.codec = CODEC_ZSTD};

	return kind == OBJECT_WAL_INDEX ? index : repo->compression;
}

static void computing_begin(struct repo *repo)
{
	(void) pthread_mutex_lock(&repo->computing_lock);
	while (repo->jobs > 0 && repo->computing >= repo->jobs)
		(void) pthread_cond_wait(&repo->computing_changed, &repo->computing_lock);
	repo->computing++;
	(void) pthread_mutex_unlock(&repo->computing_lock);
}

static void computing_end(struct repo *repo)
{
	(void) pthread_mutex_lock(&repo->computing_lock);
	repo->computing--;
	(void) pthread_cond_signal(&repo->computing_changed);
	(void) pthread_mutex_unlock(&repo->computing_lock);
}

/* An identity says what to seal to, and who has a host key can store one for a system that has none yet. So the first
 * time that something is sealed, the epoch's own object is asked: that carries a proof. */
static bool sealing_check(struct repo *repo, enum object_class class, struct error *err)
{
	if (class != CLASS_SECRET || !repo->secrets->encrypted)
		return true;
	(void) pthread_mutex_lock(&repo->unlocking);
	bool is_right = repo->is_epoch_compared || identity_compare_epoch(repo, err);
	repo->is_epoch_compared = is_right;
	(void) pthread_mutex_unlock(&repo->unlocking);
	return is_right;
}

bool repo_put(struct repo *repo, const char *key, enum object_kind kind, enum object_class class, struct bytes meta,
	      struct bytes plain, uint64_t *stored_size, struct error *err)
{
	struct object_identity identity = repo_object(repo, key, kind);
	BUF(object, object_size_max(plain.size, meta.size, OBJECT_FRAME_LOG2_DEFAULT));

	TRY(sealing_check(repo, class, err));
	computing_begin(repo);
	bool is_sealed = object_seal(repo->secrets, &identity, class, compression_of(repo, kind),
				     OBJECT_FRAME_LOG2_DEFAULT, meta, plain, &object, err);
	computing_end(repo);
	TRY(is_sealed);
	if (stored_size != NULL)
		*stored_size = object.size;
	return storage_put(repo->storage, key, buf_bytes(&object), err);
}

bool repo_build(struct repo *repo, const char *key, enum object_kind kind, const struct object_form *form,
		struct object_builder *builder, struct buf *object, struct error *err)
{
	struct object_identity identity = repo_object(repo, key, kind);

	TRY(sealing_check(repo, form->class, err));
	return object_builder_init(builder, repo->secrets, &identity, form, object, err);
}

bool repo_put_built(struct repo *repo, struct object_builder *builder, uint64_t *stored_size, struct error *err)
{
	struct bytes object;

	if (!object_builder_seal(builder, &object, err))
		return fail_in(err, "could not seal \"%s\"", builder->header.key);
	*stored_size = object.size;
	return storage_put(repo->storage, builder->header.key, object, err);
}

bool repo_put_recipient(struct repo *repo, const char *key, const uint8_t recipient_public[SECRET_SIZE],
			struct bytes meta, const uint8_t secret[SECRET_SIZE], struct error *err)
{
	struct object_identity identity = repo_object(repo, key, OBJECT_RECIPIENT);
	BUF(object, object_size_max(SECRET_SIZE, meta.size, OBJECT_FRAME_LOG2_MIN));

	TRY(object_seal_to(repo->secrets, recipient_public, &identity, meta, bytes_of(secret, SECRET_SIZE), &object,
			   err));
	return storage_put(repo->storage, key, buf_bytes(&object), err);
}

/* The store may have been made to hold another secret under that name by who has the host key. */
static bool epoch_add(struct repo *repo, uint32_t epoch, const uint8_t public_id[HOST_KEY_ID_SIZE],
		      const struct buf *secret, struct error *err)
{
	uint8_t public[SECRET_SIZE], id[HOST_KEY_ID_SIZE];

	if (secret->size != SECRET_SIZE)
		return fail(err, ERROR_CORRUPT, "it does not hold a secret");
	TRY(x25519_public(secret->data, public, err));
	TRY(public_key_id(public, id, err));
	if (memcmp(id, public_id, sizeof(id)) != 0)
		return fail(err, ERROR_CORRUPT, "it does not hold the secret half of the repository key");
	return secrets_add_epoch(repo->secrets, epoch, secret->data, err);
}

/* Fetches the secret half of an epoch's repository key, which is sealed to us, unless it was fetched before. */
static bool epoch_fetch(struct repo *repo, uint32_t epoch, const uint8_t public_id[HOST_KEY_ID_SIZE], struct error *err)
{
	char key[LAYOUT_KEY_SIZE];
	BUF(object, 2 * OBJECT_META_MAX);
	BUF(secret, SECRET_SIZE);

	if (secrets_epoch(repo->secrets, epoch) != NULL)
		return true;
	if (!repo->secrets->has_recipient_secret)
		return fail(err, ERROR_DENIED, "the key file \"%s\" is a host key: it cannot read WAL and packs",
			    repo->secrets->key_file) ||
		       fail_hint(err, "Set key-file to the secret key file that \"pitr-catalog keygen\" wrote, without "
				      ".host at its end.");
	layout_recipient(&repo->layout, epoch, public_id, repo->secrets->recipient_id, key);
	if (!storage_get(repo->storage, key, &object, err)) {
		if (err->kind != ERROR_NOT_FOUND)
			return false;
		return fail(err, ERROR_DENIED,
			    "the key in \"%s\" is not a recipient of key epoch %" PRIu32 " of this repository",
			    repo->secrets->key_file, epoch) ||
		       fail_hint(err, "\"pitr-catalog key list\" says which keys are. One of them can add it with "
				      "\"pitr-catalog key add\".");
	}

	struct object_identity identity = repo_object(repo, key, OBJECT_RECIPIENT);
	TRY(object_open(repo->secrets, &identity, buf_bytes(&object), &secret, err));
	bool added = epoch_add(repo, epoch, public_id, &secret, err) || fail_in(err, "%s", key);
	secret_wipe(secret.data, secret.size);
	return added;
}

bool repo_open_epoch(struct repo *repo, uint32_t epoch, const uint8_t public_id[HOST_KEY_ID_SIZE], struct error *err)
{
	(void) pthread_mutex_lock(&repo->unlocking);
	bool opened = epoch_fetch(repo, epoch, public_id, err);
	(void) pthread_mutex_unlock(&repo->unlocking);
	return opened;
}

static bool repo_unlock(struct repo *repo, const struct object_header *header, struct error *err)
{
	if (!header->encrypted || header->class != CLASS_SECRET)
		return true;
	return repo_open_epoch(repo, header->epoch, header->sealed_to, err);
}

/* Somebody may have begun an epoch since we opened the repository. */
static bool epoch_has_begun(struct repo *repo, uint32_t epoch, bool *has_begun, struct error *err)
{
	char key[LAYOUT_KEY_SIZE];

	(void) pthread_mutex_lock(&repo->unlocking);
	*has_begun = epoch <= repo->secrets->epoch || epoch <= repo->epoch_seen;
	(void) pthread_mutex_unlock(&repo->unlocking);
	if (*has_begun)
		return true;
	layout_epoch(&repo->layout, epoch, key);
	TRY(repo_have(repo, key, OBJECT_EPOCH, has_begun, err));
	(void) pthread_mutex_lock(&repo->unlocking);
	if (*has_begun && epoch > repo->epoch_seen)
		repo->epoch_seen = epoch;
	(void) pthread_mutex_unlock(&repo->unlocking);
	return true;
}

/* An epoch that has gone makes hosts seal to the one before, which a retired key opens. Who can read what was sealed to
 * it is not kept from it. */
static bool epoch_check(struct repo *repo, const struct object_header *header, struct error *err)
{
	bool has_begun;

	if (!header->encrypted || header->epoch == 0)
		return true;
	TRY(epoch_has_begun(repo, header->epoch, &has_begun, err));
	if (has_begun)
		return true;
	if (repo->secrets->has_recipient_secret) {
		if (repo_open_epoch(repo, header->epoch, header->sealed_to, err))
			return true;
		TRY(err->kind == ERROR_DENIED || err->kind == ERROR_CORRUPT);
	}
	return fail(err, ERROR_CORRUPT,
		    "the object \"%s\" is sealed to key epoch %" PRIu32
		    ", which the repository has not: its public half has been lost, or was removed",
		    header->key, header->epoch) ||
	       fail_hint(err, "What is stored now is sealed to an earlier epoch, and a retired key may open that. "
			      "See docs/keys.md, \"A key object is lost\".");
}

/* `meta` may be NULL. */
static bool object_get(struct repo *repo, const char *key, enum object_kind kind, struct buf *plain, struct buf *meta,
		       struct error *err)
{
	struct object_identity identity = repo_object(repo, key, kind);
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	BUF(object, object_size_max(plain->size_max, OBJECT_META_MAX, OBJECT_FRAME_LOG2_MIN));
	uint64_t whole_size;
	size_t header_need;

	TRY(storage_get(repo->storage, key, &object, err));
	TRY(object_open_header(repo->secrets, &identity, buf_bytes(&object), &header, &whole_size, &header_need, err));
	TRY(repo_unlock(repo, &header, err));
	computing_begin(repo);
	bool is_opened = object_open(repo->secrets, &identity, buf_bytes(&object), plain, err);
	computing_end(repo);
	TRY(is_opened);
	if (meta == NULL || header.meta_size == 0)
		return true;
	return object_open_meta(repo->secrets, &header, buf_bytes(&object), meta, err);
}

bool repo_get(struct repo *repo, const char *key, enum object_kind kind, struct buf *plain, struct error *err)
{
	return object_get(repo, key, kind, plain, NULL, err);
}

bool repo_get_with_meta(struct repo *repo, const char *key, enum object_kind kind, struct buf *plain, struct buf *meta,
			struct error *err)
{
	return object_get(repo, key, kind, plain, meta, err);
}

/* Reads the beginning of an object until header and meta are there. */
static bool repo_read_beginning(struct repo *repo, const char *key, enum object_kind kind, struct object_header *header,
				struct buf *beginning, bool *is_whole, struct error *err)
{
	struct object_identity identity = repo_object(repo, key, kind);
	uint64_t object_size;
	uint64_t whole_size = 0;
	size_t header_need = 0;

	TRY(storage_get_range(repo->storage, key, 0, OBJECT_PEEK_SIZE, beginning, &object_size, err));
	if (!object_open_header(repo->secrets, &identity, buf_bytes(beginning), header, &whole_size, &header_need,
				err)) {
		if (header_need <= beginning->size || header_need > OBJECT_HEADER_MAX)
			return false;
		TRY(storage_get_range(repo->storage, key, beginning->size, header_need - beginning->size, beginning,
				      &object_size, err));
		TRY(object_open_header(repo->secrets, &identity, buf_bytes(beginning), header, &whole_size,
				       &header_need, err));
	}
	*is_whole = object_size == whole_size;

	size_t needed = header->header_size + header->meta_size;
	if (needed <= beginning->size)
		return true;
	return storage_get_range(repo->storage, key, beginning->size, needed - beginning->size, beginning, &object_size,
				 err);
}

bool repo_peek(struct repo *repo, const char *key, enum object_kind kind, struct object_header *header,
	       struct buf *meta, struct error *err)
{
	BUF(beginning, OBJECT_HEADER_MAX + OBJECT_META_MAX + OBJECT_PEEK_SIZE);
	bool is_whole;

	TRY(repo_read_beginning(repo, key, kind, header, &beginning, &is_whole, err));
	if (!is_whole)
		return fail(err, ERROR_CORRUPT, "the object \"%s\" is not as long as its header says", key);
	TRY(epoch_check(repo, header, err));
	if (meta == NULL || header->meta_size == 0)
		return true;
	return object_open_meta(repo->secrets, header, buf_bytes(&beginning), meta, err);
}

bool repo_fetch_frames(struct repo *repo, const struct object_header *header, uint32_t first, uint32_t last,
		       struct buf *stored, struct error *err)
{
	uint64_t size = object_frames_size(header, first, last), begin, object_size;
	size_t before = stored->size, frame_size;

	object_frame_range(header, first, &begin, &frame_size);
	TRY(storage_get_range(repo->storage, header->key, begin, (size_t) size, stored, &object_size, err));
	if (stored->size - before == size)
		return true;
	return fail(err, ERROR_CORRUPT, "the object \"%s\" is not as long as its header says", header->key);
}

bool repo_open_frames(struct repo *repo, const struct object_header *header, struct frame_opener *opener,
		      struct error *err)
{
	return repo_unlock(repo, header, err) && frame_opener_init(opener, repo->secrets, header, err);
}

bool repo_have(struct repo *repo, const char *key, enum object_kind kind, bool *have, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};

	*have = repo_peek(repo, key, kind, &header, NULL, err);
	return *have || err->kind == ERROR_NOT_FOUND;
}

bool repo_same(struct repo *repo, const char *key, enum object_kind kind, struct bytes plain, bool *same,
	       struct buf *meta, struct error *err)
{
	struct object_identity identity = repo_object(repo, key, kind);
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	uint8_t content_id[GMAC_SIZE];

	TRY(repo_peek(repo, key, kind, &header, meta, err));
	TRY(object_content_id(repo->secrets, &identity, plain, content_id, err));
	*same = header.plain_size == plain.size && memcmp(header.content_id, content_id, GMAC_SIZE) == 0;
	return true;
}

#include "codec/keys.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/random.h"
#include "codec/schedule.h"

#define KEY_FILE_SIZE_MAX (16 * KiB)

static const char secret_title[] = "pitr secret key v0";
static const char host_title[] = "pitr host key v0";

void secret_wipe(void *memory, size_t size)
{
	OPENSSL_cleanse(memory, size);
}

static void pkey_cleanup(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
}

static void pkey_context_cleanup(EVP_PKEY_CTX **context)
{
	EVP_PKEY_CTX_free(*context);
}

#define PKEY_CLEANUP	     __attribute__((cleanup(pkey_cleanup)))
#define PKEY_CONTEXT_CLEANUP __attribute__((cleanup(pkey_context_cleanup)))

bool x25519_generate(uint8_t secret[SECRET_SIZE], uint8_t public[SECRET_SIZE], struct error *err)
{
	TRY(random_bytes(secret, SECRET_SIZE, err));
	return x25519_public(secret, public, err);
}

bool x25519_public(const uint8_t secret[SECRET_SIZE], uint8_t public[SECRET_SIZE], struct error *err)
{
	EVP_PKEY *own PKEY_CLEANUP = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SECRET_SIZE);
	size_t size = SECRET_SIZE;

	if (own == NULL || EVP_PKEY_get_raw_public_key(own, public, &size) != 1 || size != SECRET_SIZE)
		return fail(err, ERROR_SYSTEM, "could not compute an X25519 public key");
	return true;
}

bool x25519_shared(const uint8_t secret[SECRET_SIZE], const uint8_t peer[SECRET_SIZE], uint8_t shared[SECRET_SIZE],
		   struct error *err)
{
	static const uint8_t zeroes[SECRET_SIZE];
	EVP_PKEY *own PKEY_CLEANUP = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SECRET_SIZE);
	EVP_PKEY *other PKEY_CLEANUP = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, SECRET_SIZE);
	EVP_PKEY_CTX *context PKEY_CONTEXT_CLEANUP = own == NULL ? NULL : EVP_PKEY_CTX_new(own, NULL);
	size_t size = SECRET_SIZE;

	if (other == NULL || context == NULL || EVP_PKEY_derive_init(context) != 1 ||
	    EVP_PKEY_derive_set_peer(context, other) != 1)
		return fail(err, ERROR_SYSTEM, "could not set up X25519");
	/* OpenSSL refuses the all-zero result itself; the comparison is for versions and providers that do not. */
	if (EVP_PKEY_derive(context, shared, &size) != 1 || size != SECRET_SIZE ||
	    CRYPTO_memcmp(shared, zeroes, SECRET_SIZE) == 0)
		return fail(err, ERROR_CORRUPT, "invalid X25519 public key");
	return true;
}

bool public_key_id(const uint8_t public[SECRET_SIZE], uint8_t id[HOST_KEY_ID_SIZE], struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	TRY(sha256(bytes_of(public, SECRET_SIZE), digest, err));
	memcpy(id, digest, HOST_KEY_ID_SIZE);
	return true;
}

static bool secrets_new(struct secrets **secrets, struct error *err)
{
	void *memory = mmap(NULL, sizeof(struct secrets), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return fail_errno(err, "could not allocate memory for secrets");
	/* Both are precautions: a container may forbid locking, and process_init() has switched off core dumps. */
	(void) mlock(memory, sizeof(struct secrets));
	(void) madvise(memory, sizeof(struct secrets), MADV_DONTDUMP);
	*secrets = memory; /* all zeroes */
	return true;
}

void secrets_close(struct secrets *secrets)
{
	if (secrets == NULL)
		return;
	secret_wipe(secrets, sizeof(*secrets));
	(void) munmap(secrets, sizeof(*secrets));
}

static const struct epoch_secret *epoch_find(const struct secrets *secrets, uint32_t epoch)
{
	int count = atomic_load_explicit(&secrets->epoch_count, memory_order_acquire);

	for (int i = 0; i < count; i++) {
		if (secrets->epochs[i].epoch == epoch)
			return &secrets->epochs[i];
	}
	return NULL;
}

const uint8_t *secrets_epoch(const struct secrets *secrets, uint32_t epoch)
{
	const struct epoch_secret *found = epoch_find(secrets, epoch);

	return found == NULL ? NULL : found->secret;
}

const uint8_t *secrets_epoch_public(const struct secrets *secrets, uint32_t epoch)
{
	const struct epoch_secret *found = epoch_find(secrets, epoch);

	return found == NULL ? NULL : found->public;
}

bool secrets_add_epoch(struct secrets *secrets, uint32_t epoch, const uint8_t secret[SECRET_SIZE], struct error *err)
{
	const uint8_t *known = secrets_epoch(secrets, epoch);
	struct epoch_secret *added;

	if (known != NULL && CRYPTO_memcmp(known, secret, SECRET_SIZE) != 0)
		return fail(err, ERROR_CORRUPT, "there are two different repository keys of epoch %u", epoch);
	if (known != NULL)
		return true;
	int count = atomic_load_explicit(&secrets->epoch_count, memory_order_relaxed);
	if (count == EPOCHS_MAX)
		return fail(err, ERROR_USAGE, "more than %d epochs of the repository key are in use", EPOCHS_MAX);
	added = &secrets->epochs[count];
	TRY(x25519_public(secret, added->public, err));
	memcpy(added->secret, secret, SECRET_SIZE);
	added->epoch = epoch;
	atomic_store_explicit(&secrets->epoch_count, count + 1, memory_order_release);
	return true;
}

struct key_field {
	const char *name;
	uint8_t *value;
	bool is_present;
};

/* Owner only, as ssh and PostgreSQL demand of theirs. */
static bool key_file_check(const char *path, struct error *err)
{
	struct stat status;

	if (stat(path, &status) != 0) {
		fail_errno(err, "could not open key file \"%s\"", path);
		if (err->saved_errno == ENOENT || err->saved_errno == ENOTDIR)
			err->kind = ERROR_USAGE;
		if (err->saved_errno == EACCES)
			err->kind = ERROR_DENIED;
		return false;
	}
	if (!S_ISREG(status.st_mode))
		return fail(err, ERROR_USAGE, "key file \"%s\" is not a regular file", path);
	if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		fail(err, ERROR_USAGE, "key file \"%s\" is accessible by others (mode %04o)", path,
		     (unsigned) status.st_mode & 07777);
		return fail_hint(err, "Run \"chmod 0600 %s\".", path);
	}
	if ((size_t) status.st_size > KEY_FILE_SIZE_MAX)
		return fail(err, ERROR_USAGE, "\"%s\" is not a key file: it is larger than %zu bytes", path,
			    KEY_FILE_SIZE_MAX);
	return true;
}

/* Cuts the next line off *rest, without blanks at either end; NULL at the end. */
static char *line_next(char **rest)
{
	char *line = *rest, *end;

	if (*line == '\0')
		return NULL;
	end = line + strcspn(line, "\n");
	*rest = *end == '\0' ? end : end + 1;
	*end = '\0';
	while (end > line && strchr(" \t\r", end[-1]) != NULL)
		*--end = '\0';
	return line + strspn(line, " \t");
}

static bool field_parse(char *line, struct key_field *fields, size_t count, struct error *err)
{
	size_t length = strcspn(line, ":");
	const char *text = line + length + (line[length] == ':' ? 1 : 0);

	text += strspn(text, " \t");
	for (size_t i = 0; i < count; i++) {
		struct key_field *field = &fields[i];

		if (strlen(field->name) != length || strncmp(field->name, line, length) != 0)
			continue;
		if (field->is_present)
			return fail(err, ERROR_USAGE, "\"%s\" is there twice", field->name);
		if (!hex_parse(text, field->value, SECRET_SIZE))
			return fail(err, ERROR_USAGE, "\"%s\" is not 64 hexadecimal digits", field->name);
		field->is_present = true;
		return true;
	}
	/* The line may be a secret: it is not shown. */
	return fail(err, ERROR_USAGE, "it has a line that is neither a comment nor a known field");
}

/* Fields in any order, each exactly once; the first one, the secret, only when the title says that it is there. */
static bool fields_parse(char *rest, struct secrets *secrets, struct error *err)
{
	struct key_field all[] = {
		{.name = "recipient-secret", .value = secrets->recipient_secret},
		{.name = "recipient-public", .value = secrets->recipient_public},
		{.name = "host-key", .value = secrets->host_key},
	};
	size_t skipped = secrets->has_recipient_secret ? 0 : 1;
	struct key_field *fields = all + skipped;
	size_t count = sizeof(all) / sizeof(all[0]) - skipped;

	for (char *line = line_next(&rest); line != NULL; line = line_next(&rest)) {
		if (*line != '\0' && *line != '#')
			TRY(field_parse(line, fields, count, err));
	}
	for (size_t i = 0; i < count; i++) {
		if (!fields[i].is_present)
			return fail(err, ERROR_USAGE, "\"%s\" is missing", fields[i].name);
	}
	return true;
}

static bool key_text_parse(char *text, struct secrets *secrets, struct error *err)
{
	char *rest = text, *line = line_next(&rest);

	while (line != NULL && (*line == '\0' || *line == '#'))
		line = line_next(&rest);
	if (line == NULL || (strcmp(line, secret_title) != 0 && strcmp(line, host_title) != 0))
		return fail(err, ERROR_USAGE, "it begins neither with \"%s\" nor with \"%s\"", secret_title,
			    host_title);
	secrets->has_recipient_secret = strcmp(line, secret_title) == 0;
	return fields_parse(rest, secrets, err);
}

/* What follows from the fields, and that they belong together. */
static bool secrets_complete(struct secrets *secrets, struct error *err)
{
	uint8_t public[SECRET_SIZE];

	if (secrets->has_recipient_secret) {
		TRY(x25519_public(secrets->recipient_secret, public, err));
		if (memcmp(public, secrets->recipient_public, SECRET_SIZE) != 0)
			return fail(err, ERROR_CORRUPT, "\"recipient-public\" does not belong to \"recipient-secret\"");
	}
	TRY(public_key_id(secrets->recipient_public, secrets->recipient_id, err));
	TRY(schedule_host_key_id(secrets->host_key, secrets->host_key_id, err));
	secrets->encrypted = true;
	return true;
}

/* `content` is room that never moves, so that wiping it leaves no copy behind. */
static bool key_file_read(const char *path, struct buf *content, struct secrets *secrets, struct error *err)
{
	const char *text;

	TRY(buf_allocate(content, content->size_max, err));
	if (!fs_read_file(path, content, err)) {
		if (err->kind == ERROR_NOT_FOUND)
			err->kind = ERROR_USAGE;
		return false;
	}
	TRY(buf_text(content, &text, err));
	if (strlen(text) != content->size)
		return fail(err, ERROR_USAGE, "\"%s\" is not a key file: it is not text", path);
	if (!key_text_parse((char *) content->data, secrets, err) || !secrets_complete(secrets, err))
		return fail_in(err, "invalid key file \"%s\"", path);
	return true;
}

bool secrets_open(const char *key_file, struct secrets **secrets, struct error *err)
{
	BUF(content, KEY_FILE_SIZE_MAX + 1);
	struct secrets *opened = NULL;
	bool done;

	TRY(secrets_new(&opened, err));
	if (key_file == NULL || *key_file == '\0') {
		*secrets = opened;
		return true;
	}
	done = snprintf(opened->key_file, sizeof(opened->key_file), "%s", key_file) < (int) sizeof(opened->key_file) ||
	       fail(err, ERROR_USAGE, "the name of the key file is too long");
	done = done && key_file_check(key_file, err) && key_file_read(key_file, &content, opened, err);
	if (content.data != NULL)
		secret_wipe(content.data, content.capacity);
	if (!done) {
		secrets_close(opened);
		return false;
	}
	*secrets = opened;
	return true;
}

static bool hex_line(struct buf *text, const char *name, const uint8_t value[SECRET_SIZE], struct error *err)
{
	char digits[2 * SECRET_SIZE + 1];
	bool done;

	hex_format(bytes_of(value, SECRET_SIZE), digits);
	done = buf_format(text, err, "%s: %s\n", name, digits);
	secret_wipe(digits, sizeof(digits));
	return done;
}

static bool secret_file_format(struct buf *text, const struct secrets *secrets,
			       const struct key_fingerprints *fingerprints, const char *created, struct error *err)
{
	TRY(buf_format(text, err,
		       "# pitr key %s, of host key %s: opens what is backed up for it. Keep copies where\n"
		       "# no database host reaches: without one of its keys a repository cannot be read by anybody.\n"
		       "# created %s\n%s\n",
		       fingerprints->recipient, fingerprints->host_key, created, secret_title));
	TRY(hex_line(text, "recipient-secret", secrets->recipient_secret, err));
	TRY(hex_line(text, "recipient-public", secrets->recipient_public, err));
	return hex_line(text, "host-key", secrets->host_key, err);
}

static bool host_file_format(struct buf *text, const struct secrets *secrets,
			     const struct key_fingerprints *fingerprints, const char *created, struct error *err)
{
	TRY(buf_format(text, err,
		       "# pitr key %s, of host key %s, for database hosts: archives and backs up, and\n"
		       "# cannot read what is stored.\n# created %s\n%s\n",
		       fingerprints->recipient, fingerprints->host_key, created, host_title));
	TRY(hex_line(text, "recipient-public", secrets->recipient_public, err));
	return hex_line(text, "host-key", secrets->host_key, err);
}

static bool key_files_write(const char *path, const char *host_path, const struct secrets *secrets, struct buf *text,
			    struct error *err)
{
	char created[CLOCK_TEXT_SIZE];
	struct key_fingerprints fingerprints;
	struct error ignored = {0};

	time_format_utc(clock_now_us(), created);
	secrets_fingerprints(secrets, &fingerprints);
	TRY(buf_allocate(text, text->size_max, err));
	TRY(host_file_format(text, secrets, &fingerprints, created, err));
	TRY(fs_create_file(host_path, 0600, buf_bytes(text), err));
	buf_clear(text);
	if (secret_file_format(text, secrets, &fingerprints, created, err) &&
	    fs_create_file(path, 0600, buf_bytes(text), err))
		return true;
	/* Half a pair is of no use, and would stand in the way of the next attempt. */
	if (!fs_remove(host_path, &ignored))
		fail_hint(err, "Remove \"%s\" before trying again.", host_path);
	return false;
}

static bool key_path_check(const char *path, struct error *err)
{
	bool exists = false;

	TRY(fs_exists(path, &exists, err));
	if (!exists)
		return true;
	fail(err, ERROR_EXISTS, "\"%s\" already exists", path);
	return fail_hint(err, "A key file is never overwritten: what it opens could not be opened any more.");
}

void secrets_fingerprints(const struct secrets *secrets, struct key_fingerprints *fingerprints)
{
	hex_format(bytes_of(secrets->host_key_id, HOST_KEY_ID_SIZE), fingerprints->host_key);
	hex_format(bytes_of(secrets->recipient_id, HOST_KEY_ID_SIZE), fingerprints->recipient);
}

static bool host_key_copy(struct secrets *secrets, const char *host_key_of, struct error *err)
{
	struct secrets *other = NULL;

	TRY(secrets_open(host_key_of, &other, err));
	memcpy(secrets->host_key, other->host_key, SECRET_SIZE);
	secrets_close(other);
	return true;
}

static bool secrets_generate(struct secrets *secrets, const char *host_key_of, struct error *err)
{
	secrets->has_recipient_secret = true;
	TRY(host_key_of != NULL ? host_key_copy(secrets, host_key_of, err)
				: random_bytes(secrets->host_key, SECRET_SIZE, err));
	TRY(x25519_generate(secrets->recipient_secret, secrets->recipient_public, err));
	return secrets_complete(secrets, err);
}

bool keys_generate(const char *path, const char *host_key_of, struct key_fingerprints *fingerprints, struct error *err)
{
	char host_path[sizeof(((struct secrets *) 0)->key_file)];
	BUF(text, 4 * KiB);
	struct secrets *secrets = NULL;

	if (snprintf(host_path, sizeof(host_path), "%s.host", path) >= (int) sizeof(host_path))
		return fail(err, ERROR_USAGE, "the name of the key file is too long");
	if (host_key_of != NULL && *host_key_of == '\0')
		return fail(err, ERROR_USAGE, "no key file is named whose host key is to be taken");
	TRY(key_path_check(path, err));
	TRY(key_path_check(host_path, err));
	TRY(secrets_new(&secrets, err));
	bool done =
		secrets_generate(secrets, host_key_of, err) && key_files_write(path, host_path, secrets, &text, err);
	if (done)
		secrets_fingerprints(secrets, fingerprints);
	secrets_close(secrets);
	if (text.data != NULL)
		secret_wipe(text.data, text.capacity);
	return done;
}

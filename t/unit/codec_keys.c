#include "codec/keys.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"
#include "tap.h"

static char directory[] = "/tmp/codec_keys.XXXXXX";
static char path[256], host_path[256];

static void must(bool done, const struct error *err)
{
	if (done)
		return;
	printf("Bail out! %s\n", err->text);
	exit(1);
}

static void test_generate(void)
{
	struct key_fingerprints fingerprints = {.host_key = ""};
	char ours[2 * HOST_KEY_ID_SIZE + 1];
	struct secrets *secret = NULL, *host = NULL;
	static const uint8_t zeroes[SECRET_SIZE];
	struct error err = {0};
	struct stat status, host_status;

	ok(keys_generate(path, NULL, &fingerprints, &err), "a pair of key files is made %s", err.text);
	ok(stat(path, &status) == 0 && stat(host_path, &host_status) == 0 && (status.st_mode & 07777) == 0600 &&
		   (host_status.st_mode & 07777) == 0600,
	   "both with mode 0600");
	must(secrets_open(path, &secret, &err) && secrets_open(host_path, &host, &err), &err);
	ok(secret->encrypted && secret->has_recipient_secret && host->encrypted && !host->has_recipient_secret,
	   "one holds the secret half, the other does not");
	ok(memcmp(host->recipient_secret, zeroes, SECRET_SIZE) == 0 &&
		   memcmp(secret->recipient_public, host->recipient_public, SECRET_SIZE) == 0 &&
		   memcmp(secret->host_key, host->host_key, SECRET_SIZE) == 0 &&
		   memcmp(secret->recipient_id, host->recipient_id, HOST_KEY_ID_SIZE) == 0,
	   "they belong together");
	hex_format(bytes_of(host->host_key_id, HOST_KEY_ID_SIZE), ours);
	is_text(ours, fingerprints.host_key, "the fingerprint is that of the host key");
	ok(!keys_generate(path, NULL, &fingerprints, &err) && err.kind == ERROR_EXISTS, "no key file is overwritten");
	ok(unlink(path) == 0 && !keys_generate(path, NULL, &fingerprints, &err) && err.kind == ERROR_EXISTS &&
		   access(path, F_OK) != 0,
	   "nor the one for hosts, and none is made beside it");
	secrets_close(secret);
	secrets_close(host);
	unlink(host_path);
}

struct row {
	const char *promise;
	const char *text;
	mode_t mode;
	enum error_kind kind;
	const char *sentence;
};

/* RFC 7748, section 6.1. */
#define BOB_SECRET   "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define SHARED	     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
#define HOST_KEY     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

#define SECRET_TITLE "pitr secret key v0\n"
#define HOST_TITLE   "pitr host key v0\n"
#define SECRET_LINE  "recipient-secret: " BOB_SECRET "\n"
#define PUBLIC_LINE  "recipient-public: " BOB_PUBLIC "\n"
#define KEY_LINE     "host-key: " HOST_KEY "\n"

static const struct row rows[] = {
	{"fields in any order, comments, blanks and DOS line ends are read",
	 "# note\n\n \t# more\n" SECRET_TITLE "host-key:" HOST_KEY "  \r\n" PUBLIC_LINE "# between\n" SECRET_LINE, 0600,
	 ERROR_NONE, ""},
	{"a last line without its end is read", HOST_TITLE PUBLIC_LINE "host-key: " HOST_KEY, 0600, ERROR_NONE, ""},
	{"mode 0400 is fine", HOST_TITLE PUBLIC_LINE KEY_LINE, 0400, ERROR_NONE, ""},
	{"mode 0640 is refused", HOST_TITLE PUBLIC_LINE KEY_LINE, 0640, ERROR_USAGE,
	 "accessible by others (mode 0640)"},
	{"mode 0604 is refused", HOST_TITLE PUBLIC_LINE KEY_LINE, 0604, ERROR_USAGE, "accessible by others"},
	{"an empty file is refused", "", 0600, ERROR_USAGE, "it begins neither with"},
	{"another file is refused", "-----BEGIN PRIVATE KEY-----\n", 0600, ERROR_USAGE, "it begins neither with"},
	{"a newer version is refused", "pitr host key v1\n" PUBLIC_LINE KEY_LINE, 0600, ERROR_USAGE, "neither with"},
	{"a missing field is named", HOST_TITLE PUBLIC_LINE, 0600, ERROR_USAGE, "\"host-key\" is missing"},
	{"a missing secret is named", SECRET_TITLE PUBLIC_LINE KEY_LINE, 0600, ERROR_USAGE,
	 "\"recipient-secret\" is missing"},
	{"a repeated field is refused", HOST_TITLE PUBLIC_LINE KEY_LINE KEY_LINE, 0600, ERROR_USAGE, "is there twice"},
	{"a secret in the file for hosts is refused", HOST_TITLE SECRET_LINE PUBLIC_LINE KEY_LINE, 0600, ERROR_USAGE,
	 "neither a comment nor a known field"},
	{"an unknown field is refused", HOST_TITLE PUBLIC_LINE KEY_LINE "colour: blue\n", 0600, ERROR_USAGE,
	 "neither a comment nor a known field"},
	{"a short value is refused", HOST_TITLE PUBLIC_LINE "host-key: 0001\n", 0600, ERROR_USAGE,
	 "not 64 hexadecimal"},
	{"a long value is refused", HOST_TITLE PUBLIC_LINE "host-key: " HOST_KEY "0\n", 0600, ERROR_USAGE,
	 "not 64 hexadecimal"},
	{"an empty value is refused", HOST_TITLE PUBLIC_LINE "host-key:\n", 0600, ERROR_USAGE, "not 64 hexadecimal"},
	{"halves of two pairs are refused", SECRET_TITLE SECRET_LINE "recipient-public: " ALICE_PUBLIC "\n" KEY_LINE,
	 0600, ERROR_CORRUPT, "does not belong to"},
};

static void test_files(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct secrets *secrets = NULL;
		struct error err = {0};
		bool opened;

		must(fs_create_file(path, 0600, bytes_of_text(row->text), &err), &err);
		must(chmod(path, row->mode) == 0, &err);
		opened = secrets_open(path, &secrets, &err);
		ok(opened == (row->kind == ERROR_NONE) && err.kind == row->kind &&
			   strstr(err.text, row->sentence) != NULL && (opened || strstr(err.text, path) != NULL) &&
			   strstr(err.text, "5dab") == NULL,
		   "%s", row->promise);
		if (opened != (row->kind == ERROR_NONE) || strstr(err.text, row->sentence) == NULL)
			printf("# kind %d: %s\n", err.kind, err.text);
		secrets_close(secrets);
		unlink(path);
	}
}

static void refuses(const char *file, enum error_kind kind, const char *promise)
{
	struct secrets *secrets = NULL;
	struct error err = {0};

	ok(!secrets_open(file, &secrets, &err) && err.kind == kind && secrets == NULL, "%s", promise);
	if (err.kind != kind)
		printf("# kind %d: %s\n", err.kind, err.text);
}

static void test_odd_files(void)
{
	struct secrets *secrets = NULL;
	struct error err = {0};
	char *large = calloc(1, 40000);

	/* A recovering server takes NOT_FOUND for the end of the archive. */
	refuses(path, ERROR_USAGE, "a missing key file is wrong usage, not something absent");
	refuses("/dev/null/key", ERROR_USAGE, "so is one below something that is no directory");
	refuses(directory, ERROR_USAGE, "a directory is no key file");
	must(large != NULL, &err);
	must(fs_create_file(path, 0600, bytes_of(large, 40000), &err), &err);
	refuses(path, ERROR_USAGE, "a large file is no key file");
	unlink(path);
	must(fs_create_file(path, 0600, bytes_of(HOST_TITLE "\0" PUBLIC_LINE KEY_LINE, 100), &err), &err);
	refuses(path, ERROR_USAGE, "a file with a zero byte is no key file");
	unlink(path);
	free(large);

	ok(secrets_open(NULL, &secrets, &err) && !secrets->encrypted, "without a key file nothing is encrypted");
	secrets_close(secrets);
	ok(secrets_open("", &secrets, &err) && !secrets->encrypted, "an empty setting is none");
	secrets_close(secrets);
	secrets_close(NULL);
}

static bool is_hex(const uint8_t value[SECRET_SIZE], const char *expected)
{
	char text[2 * SECRET_SIZE + 1];

	hex_format(bytes_of(value, SECRET_SIZE), text);
	return strcmp(text, expected) == 0;
}

static void test_x25519(void)
{
	uint8_t bob[SECRET_SIZE], alice[SECRET_SIZE], result[SECRET_SIZE], low[SECRET_SIZE] = {1};
	struct error err = {0};

	must(hex_parse(BOB_SECRET, bob, SECRET_SIZE) && hex_parse(ALICE_PUBLIC, alice, SECRET_SIZE), &err);
	ok(x25519_public(bob, result, &err) && is_hex(result, BOB_PUBLIC), "RFC 7748: the public half");
	ok(x25519_shared(bob, alice, result, &err) && is_hex(result, SHARED), "RFC 7748: the shared secret");
	ok(!x25519_shared(bob, low, result, &err) && err.kind == ERROR_CORRUPT, "a point of small order is refused");
	must(x25519_generate(alice, result, &err), &err);
	ok(memcmp(alice, bob, SECRET_SIZE) != 0 && !is_hex(result, ALICE_PUBLIC), "a new pair is new");
}

static void test_epochs(void)
{
	struct secrets *secrets = NULL;
	struct error err = {0};
	uint8_t value[SECRET_SIZE] = {0};
	bool all = true;

	must(secrets_open(NULL, &secrets, &err), &err);
	for (uint32_t epoch = 1; epoch <= EPOCHS_MAX; epoch++) {
		value[0] = (uint8_t) epoch;
		all = all && secrets_add_epoch(secrets, epoch, value, &err) &&
		      secrets_add_epoch(secrets, epoch, value, &err);
	}
	ok(all && secrets->epoch_count == EPOCHS_MAX, "every epoch up to the limit is kept, once");
	ok(secrets_epoch(secrets, 3) != NULL && secrets_epoch(secrets, 3)[0] == 3, "and found by its number");
	ok(secrets_epoch(secrets, 0) == NULL && secrets_epoch_public(secrets, EPOCHS_MAX + 1) == NULL,
	   "one that has not been added is not");
	value[0] = 200;
	ok(!secrets_add_epoch(secrets, EPOCHS_MAX + 1, value, &err) && err.kind == ERROR_USAGE,
	   "one more than the limit is refused");
	secrets_close(secrets);
}

int main(void)
{
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/key", directory);
	snprintf(host_path, sizeof(host_path), "%s/key.host", directory);
	test_generate();
	test_files();
	test_odd_files();
	test_x25519();
	test_epochs();
	ok(rmdir(directory) == 0, "nothing is left behind");
	return done_testing();
}

#include "codec/codec.h"

#include <stdlib.h>

#include "tap.h"

#define FRAME_LOG2 OBJECT_FRAME_LOG2_MIN
#define FRAME	   ((size_t) 1 << FRAME_LOG2)
#define ROOM	   (4 * MiB)

static const char meta_text[] = "{\"what\":\"a summary that every host may read\"}";

/* Two clusters' worth of keys: `host` has only the file for database hosts, `stranger` other keys of everything. */
struct keys {
	struct secrets *none, *secret, *host, *stranger;
};

static void must(bool done, const struct error *err)
{
	if (done)
		return;
	printf("Bail out! %s\n", err->text);
	exit(1);
}

static struct secrets *secrets_make(uint8_t seed)
{
	struct secrets *secrets = NULL;
	struct error err = {0};
	uint8_t repository_secret[SECRET_SIZE];

	must(secrets_open(NULL, &secrets, &err), &err);
	if (seed == 0)
		return secrets;
	memset(secrets->host_key, seed, SECRET_SIZE);
	memset(secrets->recipient_secret, seed + 1, SECRET_SIZE);
	memset(repository_secret, seed + 2, SECRET_SIZE);
	strcpy(secrets->key_file, "/etc/pitr/key");
	memset(secrets->host_key_id, seed + 3, HOST_KEY_ID_SIZE);
	must(x25519_public(secrets->recipient_secret, secrets->recipient_public, &err), &err);
	must(public_key_id(secrets->recipient_public, secrets->recipient_id, &err), &err);
	must(x25519_public(repository_secret, secrets->repository_public, &err), &err);
	must(secrets_add_epoch(secrets, 7, repository_secret, &err), &err);
	secrets->epoch = 7;
	secrets->encrypted = true;
	secrets->has_recipient_secret = true;
	return secrets;
}

static struct keys keys_make(void)
{
	struct keys keys = {secrets_make(0), secrets_make(10), secrets_make(10), secrets_make(20)};

	keys.host->has_recipient_secret = false;
	memset(keys.host->recipient_secret, 0, SECRET_SIZE);
	memset(keys.host->epochs, 0, sizeof(keys.host->epochs));
	keys.host->epoch_count = 0;
	return keys;
}

static void keys_close(struct keys *keys)
{
	secrets_close(keys->none);
	secrets_close(keys->secret);
	secrets_close(keys->host);
	secrets_close(keys->stranger);
}

static const struct object_identity identity = {
	.key = "main/7000000000000000001/main/wal/00000001/00000000/000000010000000000000003",
	.kind = OBJECT_WAL,
	.system_identifier = UINT64_C(7000000000000000001),
	.repository_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
};

/* Every other frame is noise that no codec makes smaller. */
static void content_fill(struct buf *plain, size_t size)
{
	struct error err = {0};
	uint32_t state = 12345;

	buf_clear(plain);
	must(buf_reserve(plain, size + 1, &err), &err);
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525 + 1013904223;
		plain->data[i] = (i >> FRAME_LOG2) % 2 == 0 ? (uint8_t) (i >> 6) : (uint8_t) (state >> 24);
	}
	plain->size = size;
}

static void object_make(const struct secrets *secrets, enum object_class class, enum object_codec codec, size_t size,
			struct buf *plain, struct buf *object)
{
	struct error err = {0};

	content_fill(plain, size);
	buf_clear(object);
	must(object_seal(secrets, &identity, class, (struct compression){.codec = codec}, FRAME_LOG2,
			 bytes_of_text(meta_text), buf_bytes(plain), object, &err),
	     &err);
}

static bool meta_is_right(const struct secrets *secrets, struct bytes object)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	struct error err = {0};
	uint64_t whole = 0;
	size_t need = 0;
	BUF(meta, OBJECT_META_MAX);

	return object_open_header(secrets, &identity, object, &header, &whole, &need, &err) && whole == object.size &&
	       object_open_meta(secrets, &header, bytes_slice(object, 0, header.header_size + header.meta_size), &meta,
				&err) &&
	       bytes_equal(buf_bytes(&meta), bytes_of_text(meta_text));
}

/* Each frame alone and in the wrong order, through one opener. */
static bool frames_are_right(const struct secrets *secrets, struct bytes object, struct bytes plain)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	struct frame_opener opener FRAME_OPENER_CLEANUP = {.header = NULL};
	struct error err = {0};
	uint8_t got[FRAME];
	uint64_t whole = 0, begin;
	size_t need = 0, size;

	if (!object_open_header(secrets, &identity, object, &header, &whole, &need, &err) ||
	    !frame_opener_init(&opener, secrets, &header, &err))
		return false;
	object_frame_range(&header, 0, &begin, &size);
	if (object_frames_size(&header, 0, header.frame_count - 1) != whole - begin)
		return false;
	for (uint32_t i = header.frame_count; i-- > 0;) {
		struct bytes expected =
			bytes_slice(plain, (size_t) i << FRAME_LOG2, object_frame_plain_size(&header, i));

		object_frame_range(&header, i, &begin, &size);
		if (!frame_opener_run(&opener, i, bytes_slice(object, (size_t) begin, size), got, &err) ||
		    !bytes_equal(bytes_of(got, expected.size), expected) ||
		    frame_opener_run(&opener, i, bytes_slice(object, (size_t) begin, size - 1), got, &err))
			return false;
	}
	return true;
}

static void round_trip(const struct secrets *secrets, enum object_class class, enum object_codec codec)
{
	static const size_t sizes[] = {0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 77, 40 * FRAME + 1};
	bool whole = true, parts = true, meta = true, bounded = true;
	BUF(plain, ROOM);
	BUF(object, ROOM);
	BUF(got, ROOM);
	struct error err = {0};
	char text[COMPRESSION_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		object_make(secrets, class, codec, sizes[i], &plain, &object);
		buf_clear(&got);
		whole = whole && object_open(secrets, &identity, buf_bytes(&object), &got, &err) &&
			bytes_equal(buf_bytes(&got), buf_bytes(&plain));
		parts = parts && frames_are_right(secrets, buf_bytes(&object), buf_bytes(&plain));
		meta = meta && meta_is_right(secrets, buf_bytes(&object));
		bounded = bounded && object.size <= object_size_max(sizes[i], strlen(meta_text), FRAME_LOG2);
	}
	compression_format((struct compression){.codec = codec}, text);
	ok(whole && parts && meta && bounded, "%s, class %d, %s: whole, by frames and summary (%d%d%d%d) %s",
	   secrets->encrypted ? "encrypted" : "checksums", class, text, whole, parts, meta, bounded, err.text);
}

static void test_round_trips(const struct keys *keys)
{
	for (enum object_codec codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
		for (enum object_class class = CLASS_HOST; class <= CLASS_SECRET; class ++) {
			round_trip(keys->none, class, codec);
			round_trip(keys->secret, class, codec);
		}
	}
}

static void test_sizes(const struct keys *keys)
{
	BUF(plain, ROOM);
	BUF(object, ROOM);
	size_t packed, raw;

	object_make(keys->secret, CLASS_SECRET, CODEC_NONE, 100 * FRAME, &plain, &object);
	raw = object.size;
	object_make(keys->secret, CLASS_SECRET, CODEC_LZ4, 100 * FRAME, &plain, &object);
	packed = object.size;
	ok(packed < raw * 6 / 10, "frames that compress are stored compressed, the others raw: %zu of %zu", packed,
	   raw);
	ok(raw < 100 * (FRAME + 21) + 1000, "a frame costs a tag and a table entry, no more");
}

static void opens(const struct secrets *secrets, const struct object_identity *as, struct bytes object,
		  enum error_kind kind, const char *sentence, const char *promise)
{
	BUF(got, ROOM);
	struct error err = {0};
	bool opened, silent;

	must(buf_append_text(&got, "before", &err), &err);
	opened = object_open(secrets, as, object, &got, &err);
	silent = opened || bytes_equal(buf_bytes(&got), bytes_of_text("before"));
	ok(silent && opened == (kind == ERROR_NONE) && err.kind == kind && strstr(err.text, sentence) != NULL, "%s",
	   promise);
	if (err.kind != kind || strstr(err.text, sentence) == NULL)
		printf("# kind %d: %s\n", err.kind, err.text);
}

static void test_holders(const struct keys *keys)
{
	BUF(plain, ROOM);
	BUF(object, ROOM);
	BUF(open, ROOM);

	object_make(keys->host, CLASS_SECRET, CODEC_LZ4, 5 * FRAME, &plain, &object);
	opens(keys->secret, &identity, buf_bytes(&object), ERROR_NONE, "", "the secret key opens what a host sealed");
	opens(keys->host, &identity, buf_bytes(&object), ERROR_DENIED, "does not hold the secret",
	      "a host cannot open class secret");
	ok(meta_is_right(keys->host, buf_bytes(&object)), "a host reads header and summary of class secret");
	opens(keys->stranger, &identity, buf_bytes(&object), ERROR_DENIED, "but key file \"/etc/pitr/key\" holds",
	      "another host key is named");
	opens(keys->none, &identity, buf_bytes(&object), ERROR_DENIED, "no key file is set",
	      "a missing key file is named");

	object_make(keys->host, CLASS_HOST, CODEC_LZ4, 5 * FRAME, &plain, &object);
	opens(keys->host, &identity, buf_bytes(&object), ERROR_NONE, "", "a host opens class host");

	object_make(keys->none, CLASS_SECRET, CODEC_LZ4, 5 * FRAME, &plain, &open);
	opens(keys->secret, &identity, buf_bytes(&open), ERROR_DENIED, "not encrypted, although key file",
	      "an unencrypted object is refused when a key file is set");
}

static void test_epochs(struct keys *keys)
{
	uint8_t other[SECRET_SIZE] = {99};
	struct error err = {0};
	BUF(plain, ROOM);
	BUF(object, ROOM);

	object_make(keys->secret, CLASS_SECRET, CODEC_LZ4, FRAME, &plain, &object);
	keys->secret->epochs[0].epoch = 6;
	opens(keys->secret, &identity, buf_bytes(&object), ERROR_DENIED, "repository key of epoch 7",
	      "a missing repository key is named by its epoch");
	must(secrets_add_epoch(keys->secret, 7, other, &err), &err);
	opens(keys->secret, &identity, buf_bytes(&object), ERROR_DENIED, "sealed to public key",
	      "another repository key under that epoch is told from damage");
	keys->secret->epochs[0].epoch = 7;
	keys->secret->epoch_count = 1;
	ok(!secrets_add_epoch(keys->secret, 7, other, &err) && err.kind == ERROR_CORRUPT,
	   "two secrets of one epoch are refused");

	keys->host->epoch = 0;
	err = (struct error){0};
	ok(!object_seal(keys->host, &identity, CLASS_SECRET, (struct compression){.codec = CODEC_NONE}, FRAME_LOG2,
			bytes_of_text(""), bytes_of_text("x"), &object, &err) &&
		   err.kind == ERROR_USAGE,
	   "nothing is sealed before the repository's public key is known");
	keys->host->epoch = 7;
}

static void test_recipients(const struct keys *keys)
{
	struct object_identity handed = identity;
	uint8_t secret[SECRET_SIZE] = {42};
	struct error err = {0};
	BUF(object, ROOM);

	handed.kind = OBJECT_RECIPIENT;
	handed.key = "main/key/00000001/recipient/8899aabbccddeeff/0011223344556677";
	must(object_seal_to(keys->host, keys->secret->recipient_public, &handed, bytes_of_text(""),
			    bytes_of(secret, sizeof(secret)), &object, &err),
	     &err);
	opens(keys->secret, &handed, buf_bytes(&object), ERROR_NONE, "", "a recipient opens what was sealed to it");
	opens(keys->host, &handed, buf_bytes(&object), ERROR_DENIED, "does not hold the secret",
	      "a host cannot open what is sealed to a recipient");

	buf_clear(&object);
	must(object_seal_to(keys->secret, keys->stranger->recipient_public, &handed, bytes_of_text(""),
			    bytes_of(secret, sizeof(secret)), &object, &err),
	     &err);
	opens(keys->secret, &handed, buf_bytes(&object), ERROR_DENIED, "sealed to public key",
	      "another recipient's object is told from damage");

	buf_clear(&object);
	must(object_seal(keys->secret, &handed, CLASS_SECRET, (struct compression){.codec = CODEC_NONE}, FRAME_LOG2,
			 bytes_of_text(""), bytes_of(secret, sizeof(secret)), &object, &err),
	     &err);
	opens(keys->secret, &handed, buf_bytes(&object), ERROR_NONE, "",
	      "object_seal() seals that kind to the recipient of the key file");

	memset(secret, 0, sizeof(secret));
	err = (struct error){0};
	ok(!object_seal_to(keys->secret, secret, &handed, bytes_of_text(""), bytes_of(secret, sizeof(secret)), &object,
			   &err) &&
		   err.kind == ERROR_CORRUPT,
	   "a public key of small order is refused");
}

/* What a flipped bit at `offset` of the header must be called. */
static enum error_kind harm_kind(size_t offset, uint8_t bit, bool encrypted)
{
	if (offset == 8 || offset == 9)
		return ERROR_USAGE;
	if (offset == 10)
		return bit == 1 ? ERROR_DENIED : ERROR_USAGE;
	if (encrypted && offset >= 128 && offset < 136)
		return ERROR_DENIED;
	return ERROR_CORRUPT;
}

static bool refused(const struct secrets *secrets, struct bytes object, enum error_kind kind)
{
	BUF(got, ROOM);
	struct error err = {0};

	must(buf_append_text(&got, "before", &err), &err);
	if (!object_open(secrets, &identity, object, &got, &err) && err.kind == kind && got.size == 6)
		return true;
	printf("# kind %d instead of %d: %s\n", err.kind, kind, err.text);
	return false;
}

static size_t header_size_of(struct bytes object)
{
	return load_u32(object.data + 16);
}

static void harm_bits(const struct secrets *secrets, struct buf *object, const char *name)
{
	size_t header_size = header_size_of(buf_bytes(object)), bad = 0, tried = 0;

	for (size_t i = 0; i < header_size; i++) {
		for (unsigned bit = 1; bit < 256; bit <<= 1, tried++) {
			object->data[i] ^= (uint8_t) bit;
			if (!refused(secrets, buf_bytes(object), harm_kind(i, (uint8_t) bit, secrets->encrypted)))
				printf("# header byte %zu bit %u\n", i, bit), bad++;
			object->data[i] ^= (uint8_t) bit;
		}
	}
	ok(bad == 0, "%s: every flipped bit of the header is found (%zu)", name, tried);
	tried = 0;
	for (size_t i = header_size; i < object->size; i++, tried++) {
		object->data[i] ^= 0x10;
		if (!refused(secrets, buf_bytes(object), ERROR_CORRUPT))
			printf("# byte %zu\n", i), bad++;
		object->data[i] ^= 0x10;
	}
	ok(bad == 0, "%s: a flipped bit in every byte of summary, frames and tags is found (%zu)", name, tried);
}

static void harm_lengths(const struct secrets *secrets, struct buf *object, const char *name)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	struct error err = {0};
	struct bytes whole = buf_bytes(object);
	uint64_t whole_size = 0, offset = 0;
	size_t need = 0, stored = 0, bad = 0;

	must(object_open_header(secrets, &identity, whole, &header, &whole_size, &need, &err), &err);
	for (uint32_t i = 0; i < header.frame_count; i++) {
		object_frame_range(&header, i, &offset, &stored);
		for (size_t cut = (size_t) offset - 1; cut <= offset + 1; cut++)
			bad += refused(secrets, bytes_slice(whole, 0, cut), ERROR_CORRUPT) ? 0 : 1;
	}
	for (size_t cut = 0; cut <= header.header_size + header.meta_size; cut++)
		bad += refused(secrets, bytes_slice(whole, 0, cut), ERROR_CORRUPT) ? 0 : 1;
	bad += refused(secrets, bytes_slice(whole, 0, whole.size - 1), ERROR_CORRUPT) ? 0 : 1;
	ok(bad == 0, "%s: a cut anywhere in the header and around every frame is found", name);

	must(buf_put_u8(object, 0, &err), &err);
	ok(refused(secrets, buf_bytes(object), ERROR_CORRUPT), "%s: a byte behind the end is found", name);
	object->size--;
}

/* Frames 1 and 3 are noise, and so of the same size. */
static void harm_places(const struct secrets *secrets, struct buf *object, const struct buf *again, const char *name)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	struct error err = {0};
	uint64_t whole_size = 0, one = 0, three = 0;
	size_t need = 0, size = 0, other_size = 0;
	uint8_t *saved = malloc(object->size);

	must(saved != NULL &&
		     object_open_header(secrets, &identity, buf_bytes(object), &header, &whole_size, &need, &err),
	     &err);
	memcpy(saved, object->data, object->size);
	object_frame_range(&header, 1, &one, &size);
	object_frame_range(&header, 3, &three, &other_size);
	ok(size == other_size && size == FRAME + OBJECT_TAG_SIZE, "%s: two frames of one size", name);
	memcpy(object->data + one, saved + three, size);
	memcpy(object->data + three, saved + one, size);
	ok(refused(secrets, buf_bytes(object), ERROR_CORRUPT), "%s: two swapped frames are found", name);
	memcpy(object->data, saved, object->size);
	memcpy(object->data + one, again->data + one, size);
	ok(refused(secrets, buf_bytes(object), ERROR_CORRUPT), "%s: a frame of another sealing of the same is found",
	   name);
	memcpy(object->data, saved, object->size);
	memcpy(object->data, again->data, header.header_size);
	ok(refused(secrets, buf_bytes(object), ERROR_CORRUPT), "%s: the header of another sealing is found", name);
	memcpy(object->data, saved, object->size);
	free(saved);
}

static void harm_identities(const struct secrets *secrets, struct bytes object)
{
	struct object_identity other = identity;

	other.key = "main/7000000000000000001/main/wal/00000001/00000000/000000010000000000000004";
	opens(secrets, &other, object, ERROR_CORRUPT, "was sealed as \"main/7000", "another name is found");
	other = identity;
	other.system_identifier++;
	opens(secrets, &other, object, ERROR_CORRUPT, "belongs to system identifier 7000000000000000001",
	      "another cluster is found");
	other = identity;
	other.repository_id[15]++;
	opens(secrets, &other, object, ERROR_CORRUPT, "belongs to repository 0102", "another repository is found");
	memset(other.repository_id, 0, sizeof(other.repository_id));
	opens(secrets, &other, object, ERROR_NONE, "", "a repository that is not known yet is taken from the header");
	other = identity;
	other.kind = OBJECT_PACK;
	opens(secrets, &other, object, ERROR_CORRUPT, "is of kind 4, not 6", "another kind is found");
}

static void test_harm(const struct secrets *secrets, enum object_class class, enum object_codec codec, const char *name)
{
	BUF(plain, ROOM);
	BUF(object, ROOM);
	BUF(again, ROOM);

	object_make(secrets, class, codec, 4 * FRAME + 100, &plain, &again);
	object_make(secrets, class, codec, 4 * FRAME + 100, &plain, &object);
	harm_lengths(secrets, &object, name);
	harm_places(secrets, &object, &again, name);
	harm_identities(secrets, buf_bytes(&object));
	object_make(secrets, class, codec, 2 * FRAME + 100, &plain, &object);
	harm_bits(secrets, &object, name);
}

static void test_header_need(const struct keys *keys)
{
	BUF(plain, ROOM);
	BUF(object, ROOM);
	size_t bad = 0, size;

	object_make(keys->secret, CLASS_SECRET, CODEC_LZ4, 9 * FRAME, &plain, &object);
	size = header_size_of(buf_bytes(&object));
	for (size_t given = 0; given < size; given++) {
		struct object_header header OBJECT_HEADER_CLEANUP = {0};
		struct error err = {0};
		uint64_t whole = 0;
		size_t need = 0;

		if (object_open_header(keys->secret, &identity, bytes_slice(buf_bytes(&object), 0, given), &header,
				       &whole, &need, &err) ||
		    err.kind != ERROR_CORRUPT || need <= given || (given >= 162 && need != size))
			bad++;
	}
	ok(bad == 0, "a header that is not all there says how much is needed");
}

static void test_content_id(const struct keys *keys)
{
	struct object_identity other = identity;
	uint8_t first[GMAC_SIZE], second[GMAC_SIZE];
	struct bytes content = bytes_of_text("a segment"), changed = bytes_of_text("a sEgment");
	struct error err = {0};

	must(object_content_id(keys->secret, &identity, content, first, &err), &err);
	must(object_content_id(keys->host, &identity, content, second, &err), &err);
	ok(memcmp(first, second, GMAC_SIZE) == 0, "every host finds the same identity for the same content");
	must(object_content_id(keys->host, &identity, changed, second, &err), &err);
	ok(memcmp(first, second, GMAC_SIZE) != 0, "other content has another identity");
	must(object_content_id(keys->stranger, &identity, content, second, &err), &err);
	ok(memcmp(first, second, GMAC_SIZE) != 0, "the identity says nothing to another host key");
	other.key = "main/elsewhere";
	must(object_content_id(keys->secret, &other, content, second, &err), &err);
	ok(memcmp(first, second, GMAC_SIZE) != 0, "the same content under another name has another identity");
}

static void test_limits(const struct keys *keys)
{
	BUF(plain, ROOM);
	BUF(object, ROOM);
	struct buf small = {.size_max = 100};
	struct error err = {0};
	char name[OBJECT_KEY_MAX + 2];
	struct object_identity other = identity;

	object_make(keys->secret, CLASS_SECRET, CODEC_ZSTD, 5 * FRAME, &plain, &object);
	ok(!object_open(keys->secret, &identity, buf_bytes(&object), &small, &err) && err.kind == ERROR_CORRUPT &&
		   small.size == 0,
	   "more plaintext than the caller has a use for is refused before it is unpacked");
	buf_release(&small);

	memset(name, 'n', sizeof(name));
	name[OBJECT_KEY_MAX + 1] = '\0';
	other.key = name;
	buf_clear(&object);
	ok(!object_seal(keys->secret, &other, CLASS_HOST, (struct compression){.codec = CODEC_NONE}, FRAME_LOG2,
			bytes_of_text(""), bytes_of_text("x"), &object, &err) &&
		   err.kind == ERROR_USAGE,
	   "a name that is too long is refused");
	name[OBJECT_KEY_MAX] = '\0';
	must(object_seal(keys->secret, &other, CLASS_HOST, (struct compression){.codec = CODEC_NONE}, FRAME_LOG2,
			 bytes_of_text(""), bytes_of_text("x"), &object, &err),
	     &err);
	opens(keys->secret, &other, buf_bytes(&object), ERROR_NONE, "", "the longest name is not");
}

static void compression_is(const char *text, enum object_codec codec, int level)
{
	struct compression compression = {.codec = CODEC_ZSTD, .level = -1};
	struct error err = {0};
	char back[COMPRESSION_TEXT_SIZE];
	bool parsed = compression_parse(text, &compression, &err);

	compression_format(compression, back);
	ok(parsed && compression.codec == codec && compression.level == level && strcmp(back, text) == 0,
	   "compression \"%s\" is understood and written back", text);
}

static void test_compression(void)
{
	static const char *const wrong[] = {"",	      "LZ4",	 "lz5",	   "lz4:",    "lz4:0",	  "lz4:13", "zstd:20",
					    "zstd:x", "zstd:3 ", "none:1", "zstd:-1", "zstd:003", "lz",	    ":3"};

	compression_is("none", CODEC_NONE, 0);
	compression_is("lz4", CODEC_LZ4, 0);
	compression_is("lz4:12", CODEC_LZ4, 12);
	compression_is("zstd", CODEC_ZSTD, 0);
	compression_is("zstd:19", CODEC_ZSTD, 19);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct compression compression = {.codec = CODEC_ZSTD, .level = 5};
		struct error err = {0};

		ok(!compression_parse(wrong[i], &compression, &err) && err.kind == ERROR_USAGE &&
			   compression.level == 5,
		   "compression \"%s\" is refused", wrong[i]);
	}
}

int main(void)
{
	struct keys keys = keys_make();

	test_round_trips(&keys);
	test_sizes(&keys);
	test_holders(&keys);
	test_epochs(&keys);
	test_recipients(&keys);
	test_harm(keys.none, CLASS_HOST, CODEC_LZ4, "checksums");
	test_harm(keys.secret, CLASS_HOST, CODEC_ZSTD, "class host");
	test_harm(keys.secret, CLASS_SECRET, CODEC_LZ4, "class secret");
	test_header_need(&keys);
	test_content_id(&keys);
	test_limits(&keys);
	test_compression();
	keys_close(&keys);
	return done_testing();
}

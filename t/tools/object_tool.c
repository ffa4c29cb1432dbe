/* Opens and seals single objects from the command line, for t/600_format.pl.
 *
 *   object_tool header KEYFILE NAME SYSTEM < object
 *   object_tool meta   KEYFILE NAME SYSTEM < object
 *   object_tool open   KEYFILE NAME SYSTEM [KIND [RECIPIENT-OBJECT]...] < object
 *   object_tool seal   KEYFILE NAME SYSTEM KIND CLASS COMPRESSION FRAME_LOG2 REPOSITORY EPOCH PUBLIC [META] < plain
 *
 * KEYFILE "-" is no key. KIND 0, or none: whatever the object says. An error is "KIND: sentence" and exit status 1.
 */
#include "codec/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"

#define INPUT_MAX (64 * MiB)

struct tool {
	char **arguments;
	int count;
	struct secrets *secrets;
	struct object_identity identity;
	struct buf input, output;
};

static const char *argument(const struct tool *tool, int place)
{
	return place < tool->count ? tool->arguments[place] : "";
}

static unsigned number(const struct tool *tool, int place)
{
	return (unsigned) strtoul(argument(tool, place), NULL, 10);
}

static bool input_read(struct buf *input, struct error *err)
{
	TRY(buf_allocate(input, input->size_max, err));
	for (;;) {
		ssize_t got = read(STDIN_FILENO, input->data + input->size, input->capacity - input->size);

		if (got < 0)
			return fail_errno(err, "could not read stdin");
		if (got == 0)
			return true;
		input->size += (size_t) got;
	}
}

/* The repository id is all zeroes: any. */
static void identity_of_input(struct tool *tool)
{
	unsigned kind = number(tool, 4);

	if (kind == 0 && tool->input.size > 13)
		kind = tool->input.data[13];
	tool->identity.kind = (enum object_kind) kind;
}

static bool recipient_add(struct tool *tool, const char *path, struct error *err)
{
	struct object_identity identity = {.kind = OBJECT_RECIPIENT};
	char name[OBJECT_KEY_MAX + 1] = "";
	unsigned epoch = 0;
	BUF(object, MiB);
	BUF(secret, SECRET_SIZE);

	TRY(fs_read_file(path, &object, err));
	if (object.size > 162 && load_u16(object.data + 160) <= OBJECT_KEY_MAX &&
	    load_u16(object.data + 160) + (size_t) 162 < object.size)
		memcpy(name, object.data + 162, load_u16(object.data + 160));
	identity.key = name;
	if (sscanf(name, "%*[^/]/key/%8x/recipient/", &epoch) != 1)
		return fail(err, ERROR_USAGE, "\"%s\" is not a recipient's object", path);
	TRY(object_open(tool->secrets, &identity, buf_bytes(&object), &secret, err));
	if (secret.size != SECRET_SIZE)
		return fail(err, ERROR_CORRUPT, "\"%s\" does not hold a secret", path);
	return secrets_add_epoch(tool->secrets, epoch, secret.data, err);
}

static bool tool_open(struct tool *tool, struct error *err)
{
	identity_of_input(tool);
	for (int i = 5; i < tool->count; i++)
		TRY(recipient_add(tool, tool->arguments[i], err));
	return object_open(tool->secrets, &tool->identity, buf_bytes(&tool->input), &tool->output, err);
}

static bool header_print(const struct object_header *header, uint64_t whole_size, struct buf *output, struct error *err)
{
	TRY(buf_format(output, err,
		       "class %d codec %d kind %d frame_log2 %d epoch %u frames %u plain %llu whole %llu\n",
		       header->class, header->codec, header->kind, header->frame_log2, header->epoch,
		       header->frame_count, (unsigned long long) header->plain_size, (unsigned long long) whole_size));
	return true;
}

static bool tool_header(struct tool *tool, struct error *err)
{
	struct object_header header OBJECT_HEADER_CLEANUP = {0};
	uint64_t whole_size = 0;
	size_t header_need = 0;

	identity_of_input(tool);
	TRY(object_open_header(tool->secrets, &tool->identity, buf_bytes(&tool->input), &header, &whole_size,
			       &header_need, err));
	if (strcmp(tool->arguments[0], "meta") == 0)
		return object_open_meta(tool->secrets, &header, buf_bytes(&tool->input), &tool->output, err);
	return header_print(&header, whole_size, &tool->output, err);
}

static bool tool_seal(struct tool *tool, struct error *err)
{
	struct compression compression;
	BUF(meta, OBJECT_META_MAX);

	tool->identity.kind = (enum object_kind) number(tool, 4);
	TRY(compression_parse(argument(tool, 6), &compression, err));
	if (!hex_parse(argument(tool, 8), tool->identity.repository_id, REPOSITORY_ID_SIZE))
		return fail(err, ERROR_USAGE, "no repository id");
	tool->secrets->epoch = number(tool, 9);
	if (tool->secrets->epoch != 0 && !hex_parse(argument(tool, 10), tool->secrets->repository_public, SECRET_SIZE))
		return fail(err, ERROR_USAGE, "no public key");
	if (*argument(tool, 11) != '\0')
		TRY(fs_read_file(argument(tool, 11), &meta, err));
	return object_seal(tool->secrets, &tool->identity, (enum object_class) number(tool, 5), compression,
			   (int) number(tool, 7), buf_bytes(&meta), buf_bytes(&tool->input), &tool->output, err);
}

static bool tool_run(struct tool *tool, struct error *err)
{
	const char *verb = argument(tool, 0), *key_file = argument(tool, 1);

	TRY(secrets_open(strcmp(key_file, "-") == 0 ? NULL : key_file, &tool->secrets, err));
	tool->identity.key = argument(tool, 2);
	tool->identity.system_identifier = strtoull(argument(tool, 3), NULL, 10);
	TRY(input_read(&tool->input, err));
	if (strcmp(verb, "open") == 0)
		return tool_open(tool, err);
	if (strcmp(verb, "header") == 0 || strcmp(verb, "meta") == 0)
		return tool_header(tool, err);
	if (strcmp(verb, "seal") == 0)
		return tool_seal(tool, err);
	return fail(err, ERROR_USAGE, "unknown verb \"%s\"", verb);
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = {
		"NONE",
#define KIND(name, archive, recovery, standby, program, check, meaning) #name,
#include "base/errors.def"
#undef KIND
	};
	struct tool tool = {.arguments = argv + 1,
			    .count = argc - 1,
			    .input = {.size_max = INPUT_MAX},
			    .output = {.size_max = 2 * INPUT_MAX}};
	struct error err = {0};
	bool done = tool_run(&tool, &err) && fd_write_all(STDOUT_FILENO, buf_bytes(&tool.output), "stdout", &err);

	if (!done)
		fprintf(stderr, "%s: %s\n", kinds[err.kind], err.text);
	buf_release(&tool.input);
	buf_release(&tool.output);
	secrets_close(tool.secrets);
	return done ? 0 : 1;
}

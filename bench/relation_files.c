/* Writes files as PostgreSQL's relations have them, for backups of very many files:
 *
 *   relation_files DIRECTORY FIRST COUNT EVERY     named FIRST, FIRST + 1, ...; each EVERYth holds a page, others are
 * empty
 *
 * A page has a header and a checksum that PostgreSQL accepts, and content that compresses about four to one.
 */
/* As lib/pg/page_checksum.c: PostgreSQL gives pg_checksum_page() to programs outside of the server. */
#include "postgres_fe.h"

#include "storage/checksum.h"
#include "storage/checksum_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE   8192
#define HEADER_SIZE 24

static void die(const char *what)
{
	fprintf(stderr, "relation_files: error: could not %s: %s\n", what, strerror(errno));
	exit(1);
}

/* PageHeaderData, src/include/storage/bufpage.h: LSN, checksum, flags, lower, upper, special, size and layout
 * version 4.
 */
static void page_fill(uint8_t page[PAGE_SIZE], uint64_t seed)
{
	const uint16_t fields[6] = {0, 0, HEADER_SIZE, HEADER_SIZE, PAGE_SIZE, PAGE_SIZE | 4};
	uint64_t random = seed * 6364136223846793005U + 1442695040888963407U;

	memset(page, 0, PAGE_SIZE);
	page[7] = 1; /* any LSN that is not zero */
	memcpy(page + 8, fields, sizeof(fields));
	for (size_t i = HEADER_SIZE; i + 32 <= PAGE_SIZE; i += 32) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		memcpy(page + i, &random, sizeof(random));
	}
	uint16_t checksum = pg_checksum_page((char *) page, 0);
	memcpy(page + 8, &checksum, sizeof(checksum));
}

int main(int argc, char **argv)
{
	_Alignas(16) uint8_t page[PAGE_SIZE];
	char name[32];

	if (argc != 5 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: relation_files DIRECTORY FIRST COUNT EVERY\n");
		return 2;
	}
	unsigned long first = strtoul(argv[2], NULL, 10);
	unsigned long count = strtoul(argv[3], NULL, 10);
	unsigned long every = strtoul(argv[4], NULL, 10);
	for (unsigned long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%lu", first + i);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			die(name);
		if (i % every == 0) {
			page_fill(page, first + i);
			if (write(fd, page, PAGE_SIZE) != PAGE_SIZE)
				die(name);
		}
		if (close(fd) != 0)
			die(name);
	}
	return 0;
}

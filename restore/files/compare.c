#include "files/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

bool comparison_init(struct comparison *comparison, uint64_t size, size_t piece_size, size_t digest_count,
		     const uint8_t *digests, struct error *err)
{
	*comparison = (struct comparison){.size = size, .piece_size = piece_size, .digest_count = digest_count};
	comparison->digests = malloc(digest_count * PIECE_DIGEST_SIZE + 1);
	comparison->differs = malloc(digest_count * sizeof(*comparison->differs) + 1);
	if (comparison->digests == NULL || comparison->differs == NULL) {
		comparison_release(comparison);
		return fail(err, ERROR_SYSTEM, "out of memory");
	}
	if (digest_count > 0)
		memcpy(comparison->digests, digests, digest_count * PIECE_DIGEST_SIZE);
	for (size_t i = 0; i < digest_count; i++)
		comparison->differs[i] = true;
	return true;
}

void comparison_release(struct comparison *comparison)
{
	free(comparison->digests);
	free(comparison->differs);
	*comparison = (struct comparison){0};
}

/* What has no digest counts as one piece. */
static uint64_t piece_end(const struct comparison *comparison, size_t index)
{
	uint64_t end = (uint64_t) (index + 1) * comparison->piece_size;

	return index < comparison->digest_count && end < comparison->size ? end : comparison->size;
}

static bool piece_differs(const struct comparison *comparison, size_t index)
{
	return index >= comparison->digest_count || comparison->differs[index];
}

bool comparison_run(struct comparison *comparison, int fd, const char *path, struct piece_digester *digester,
		    struct error *err)
{
	uint8_t digest[PIECE_DIGEST_SIZE];
	BUF(piece, comparison->piece_size);

	if (comparison->digest_count == 0)
		return true;
	TRY(buf_allocate(&piece, comparison->piece_size, err));
	for (size_t i = 0; i < comparison->digest_count; i++) {
		uint64_t begin = (uint64_t) i * comparison->piece_size;

		piece.size = (size_t) (piece_end(comparison, i) - begin);
		TRY(fd_read_all_at(fd, piece.data, piece.size, begin, path, err));
		TRY(piece_digest(digester, buf_bytes(&piece), digest, err));
		comparison->differs[i] =
			memcmp(digest, comparison->digests + i * PIECE_DIGEST_SIZE, sizeof(digest)) != 0;
	}
	return true;
}

bool comparison_next(const struct comparison *comparison, uint64_t *begin, uint64_t end, uint64_t *size)
{
	if (comparison->digest_count == 0) { /* nor is it known how large a piece is */
		*size = *begin < end ? end - *begin : 0;
		return *size > 0;
	}
	size_t index = (size_t) (*begin / comparison->piece_size);
	for (; *begin < end && !piece_differs(comparison, index); index++)
		*begin = piece_end(comparison, index);
	if (*begin >= end)
		return false;
	uint64_t until = *begin;
	for (; until < end && piece_differs(comparison, index); index++)
		until = piece_end(comparison, index);
	*size = (until < end ? until : end) - *begin;
	return true;
}

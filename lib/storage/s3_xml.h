/* The XML that S3 and STS answer with: the door to Expat.
 *
 * Bounded in depth and in the size of a text; a document type declaration, and with it every entity, is refused.
 * Elements that we do not know are passed over.
 */
#pragma once

#include "base/buf.h"
#include "storage/s3_sign.h"

/* Every text is "" when it is absent. Printable: other bytes have become '?'. */
struct s3_failure {
	char code[64];
	char message[256];
	char request_id[128];
	char region[64]; /* the one to ask, where the server says so */
};

/* False when the document is no S3 or STS error with a code. */
bool s3_xml_failure(struct bytes document, struct s3_failure *failure);

/* One page of ListObjectsV2. */
struct s3_page {
	struct buf keys; /* each decoded, with its terminating zero; release it */
	uint64_t *sizes; /* of `count`; free it */
	size_t count;
	bool is_truncated;
};
/* CORRUPT, saying why, when the document is no such page. The page must be all zero before. */
bool s3_xml_page(struct bytes document, struct s3_page *page, struct error *err) MUST_CHECK;
void s3_page_release(struct s3_page *page);

/* Keys of AssumeRoleWithWebIdentity; `expiration` is the text of the answer. CORRUPT when anything is missing. */
bool s3_xml_credentials(struct bytes document, struct s3_secret *secret, char expiration[64],
			struct error *err) MUST_CHECK;

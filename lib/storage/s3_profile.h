/* The two files in which AWS clients keep their settings: ~/.aws/credentials and ~/.aws/config, or the ones that
 * AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name; of these the profile that AWS_PROFILE names, or "default".
 * Reads them as they are now, so that a changed file is seen; a file that is absent is empty.
 */
#pragma once

#include "base/buf.h"

struct s3_profile {
	const char *name; /* borrowed from the environment */
	bool is_chosen;	  /* by AWS_PROFILE: it has to exist */
	struct buf credentials;
	struct buf config;
};

bool s3_profile_open(struct s3_profile *profile, struct error *err) MUST_CHECK;
void s3_profile_close(struct s3_profile *profile); /* wipes what was read */

/* The value of `key` in the credentials file, else in the config file; "" when neither has it. USAGE when it does not
 * fit, or holds a control character. */
bool s3_profile_get(const struct s3_profile *profile, const char *key, char *value, size_t size,
		    struct error *err) MUST_CHECK;
/* Is there a section of this name in either file? */
bool s3_profile_exists(const struct s3_profile *profile);

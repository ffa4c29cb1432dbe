/* Where keys come from, in the order in which every AWS client looks:
 *
 *   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (and AWS_ROLE_SESSION_NAME), or the same two of the profile,
 *      exchanged at STS (AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL)
 *   3. the profile's keys (storage/s3_profile.h)
 *   4. AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE)
 *   5. the metadata service of the instance, version 2 only (AWS_EC2_METADATA_DISABLED,
 *      AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE)
 *
 * The first that is configured decides: when it fails, the others are not asked. Keys that expire are fetched anew
 * before they do. What a profile may ask for and we do not do (SSO, credential_process, chained roles) is refused
 * by name. No key is ever part of a message.
 */
#pragma once

#include "storage/http.h"
#include "storage/s3_sign.h"

struct s3_credentials;

/* `http` stays the caller's; `region` is copied. Asks nobody yet. */
bool s3_credentials_open(struct http *http, const char *region, struct s3_credentials **credentials,
			 struct error *err) MUST_CHECK;
void s3_credentials_close(struct s3_credentials *credentials); /* NULL is fine */

/* The keys of now, from memory where possible; several threads may ask. UNREACHABLE, before `deadline_ms`, when who has
 * them does not answer; USAGE when nothing is configured; DENIED when they are refused. */
bool s3_credentials_get(struct s3_credentials *credentials, int64_t deadline_ms, struct s3_secret *secret,
			struct error *err) MUST_CHECK;
/* The server called these keys expired: forget them, unless others have replaced them already. */
void s3_credentials_reject(struct s3_credentials *credentials, const struct s3_secret *secret);

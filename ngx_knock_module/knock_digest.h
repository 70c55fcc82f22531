
/*
 * What is derived from bytes: marks of seen events, ids of runs, signatures.
 * The hash functions are libcrypto's.
 */

#ifndef KNOCK_DIGEST_H
#define KNOCK_DIGEST_H


#include "knock_str.h"


#define KNOCK_MARK_LEN  16
#define KNOCK_UUID_LEN  36
#define KNOCK_HMAC_SHA1_LEN  20


/*
 * Fetches libcrypto's digests and makes the contexts, once per process.
 * KNOCK_OK or KNOCK_ERROR.
 */
int knock_digest_init(void);

/*
 * A digest of a list of n strings, 16 bytes (SHA-256 cut short).  Each
 * string goes in behind its length, so that different lists never make the
 * same input.
 */
void knock_digest_mark(const knock_str_t *parts, size_t n,
    unsigned char out[KNOCK_MARK_LEN]);

/*
 * The same digest as a UUID in text, version 8 (RFC 9562, section 5.8):
 * KNOCK_UUID_LEN bytes, no NUL.
 */
void knock_digest_uuid(const knock_str_t *parts, size_t n,
    unsigned char out[KNOCK_UUID_LEN]);

/* HMAC-SHA1 (RFC 2104) */
void knock_digest_hmac_sha1(const knock_str_t *key, const knock_str_t *data,
    unsigned char out[KNOCK_HMAC_SHA1_LEN]);

/* 1 if the n bytes are the same, in time that depends on n only; else 0 */
int knock_digest_eq(const void *a, const void *b, size_t n);

/* n bytes from the system's random source; KNOCK_OK or KNOCK_ERROR */
int knock_digest_random(unsigned char *out, size_t n);


#endif /* KNOCK_DIGEST_H */

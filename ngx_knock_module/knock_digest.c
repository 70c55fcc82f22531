
/*
 * An algorithm that libcrypto looks up by name costs more than a short text's
 * digest, so it is fetched once and the contexts are used again and again.
 */

#include <limits.h>
#include <stdlib.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include "knock_digest.h"


#define KNOCK_SHA256_LEN     32

#define KNOCK_DIGEST_PREFIX  8      /* a length, the high byte first */
#define KNOCK_DIGEST_TEXT    256


static unsigned char *knock_digest_prefix(unsigned char *p, uint64_t len);
static inline void knock_digest_hex(const unsigned char *bytes, size_t n,
    unsigned char *out);
static EVP_MAC_CTX *knock_digest_hmac(void);
static void knock_digest_must(int ok);


static EVP_MD       *knock_sha256;
static EVP_MD_CTX   *knock_sha256_ctx;
static EVP_MAC_CTX  *knock_hmac_ctx;


int
knock_digest_init(void)
{
    if (knock_sha256 == NULL) {
        knock_sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    }

    if (knock_sha256_ctx == NULL) {
        knock_sha256_ctx = EVP_MD_CTX_new();
    }

    if (knock_hmac_ctx == NULL) {
        knock_hmac_ctx = knock_digest_hmac();
    }

    if (knock_sha256 == NULL || knock_sha256_ctx == NULL
        || knock_hmac_ctx == NULL)
    {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/*
 * Several calls of libcrypto cost more than the digest of a short text, so
 * the strings are put together as far as there is room.
 */

void
knock_digest_mark(const knock_str_t *parts, size_t n,
    unsigned char out[KNOCK_MARK_LEN])
{
    size_t                i;
    unsigned char        *p, text[KNOCK_DIGEST_TEXT], sha256[KNOCK_SHA256_LEN];
    const unsigned char  *end;

    knock_digest_must(EVP_DigestInit_ex2(knock_sha256_ctx, knock_sha256,
                                         NULL));

    p = text;
    end = text + sizeof(text);

    for (i = 0; i < n; i++) {

        if (end - p < KNOCK_DIGEST_PREFIX) {
            knock_digest_must(EVP_DigestUpdate(knock_sha256_ctx, text,
                                               (size_t) (p - text)));
            p = text;
        }

        p = knock_digest_prefix(p, parts[i].len);

        if (parts[i].len > (size_t) (end - p)) {
            knock_digest_must(EVP_DigestUpdate(knock_sha256_ctx, text,
                                               (size_t) (p - text)));
            knock_digest_must(EVP_DigestUpdate(knock_sha256_ctx,
                                               parts[i].data, parts[i].len));
            p = text;

        } else if (parts[i].len != 0) {
            memcpy(p, parts[i].data, parts[i].len);
            p += parts[i].len;
        }
    }

    knock_digest_must(EVP_DigestUpdate(knock_sha256_ctx, text,
                                       (size_t) (p - text)));
    knock_digest_must(EVP_DigestFinal_ex(knock_sha256_ctx, sha256, NULL));

    memcpy(out, sha256, KNOCK_MARK_LEN);
}


static unsigned char *
knock_digest_prefix(unsigned char *p, uint64_t len)
{
    p[0] = (unsigned char) (len >> 56);
    p[1] = (unsigned char) (len >> 48);
    p[2] = (unsigned char) (len >> 40);
    p[3] = (unsigned char) (len >> 32);
    p[4] = (unsigned char) (len >> 24);
    p[5] = (unsigned char) (len >> 16);
    p[6] = (unsigned char) (len >> 8);
    p[7] = (unsigned char) len;

    return p + KNOCK_DIGEST_PREFIX;
}


void
knock_digest_uuid(const knock_str_t *parts, size_t n,
    unsigned char out[KNOCK_UUID_LEN])
{
    unsigned char  mark[KNOCK_MARK_LEN];

    knock_digest_mark(parts, n, mark);

    mark[6] = (unsigned char) (0x80 | (mark[6] & 0x0f));    /* version 8 */
    mark[8] = (unsigned char) (0x80 | (mark[8] & 0x3f));    /* variant 10 */

    knock_digest_hex(mark, 4, out);
    out[8] = '-';
    knock_digest_hex(mark + 4, 2, out + 9);
    out[13] = '-';
    knock_digest_hex(mark + 6, 2, out + 14);
    out[18] = '-';
    knock_digest_hex(mark + 8, 2, out + 19);
    out[23] = '-';
    knock_digest_hex(mark + 10, 6, out + 24);
}


static inline void
knock_digest_hex(const unsigned char *bytes, size_t n, unsigned char *out)
{
    size_t  i;

    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < n; i++) {
        out[2 * i] = (unsigned char) hex[bytes[i] >> 4];
        out[2 * i + 1] = (unsigned char) hex[bytes[i] & 0x0f];
    }
}


void
knock_digest_hmac_sha1(const knock_str_t *key, const knock_str_t *data,
    unsigned char out[KNOCK_HMAC_SHA1_LEN])
{
    const unsigned char  *bytes;

    /* no key at all would be taken for the key of the call before */

    bytes = (key->len != 0) ? key->data : (const unsigned char *) "";

    knock_digest_must(EVP_MAC_init(knock_hmac_ctx, bytes, key->len, NULL));
    knock_digest_must(EVP_MAC_update(knock_hmac_ctx, data->data, data->len));
    knock_digest_must(EVP_MAC_final(knock_hmac_ctx, out, NULL,
                                    KNOCK_HMAC_SHA1_LEN));
}


int
knock_digest_eq(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}


int
knock_digest_random(unsigned char *out, size_t n)
{
    if (n > INT_MAX || RAND_bytes(out, (int) n) != 1) {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/* a context of HMAC-SHA1 that waits for its key, or NULL */

static EVP_MAC_CTX *
knock_digest_hmac(void)
{
    char          sha1[] = "SHA1";
    EVP_MAC      *mac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac == NULL) {
        return NULL;
    }

    ctx = EVP_MAC_CTX_new(mac);

    /* the context holds a reference of its own */

    EVP_MAC_free(mac);

    if (ctx == NULL) {
        return NULL;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                 sha1, 0);
    params[1] = OSSL_PARAM_construct_end();

    if (!EVP_MAC_CTX_set_params(ctx, params)) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}


/*
 * Nothing is left to fail on a context that was made but memory.  Bytes that
 * are not the digest would let a forged signature pass, or take an event for
 * a repeat and lose it, so the process ends there and is started anew.
 */

static void
knock_digest_must(int ok)
{
    if (!ok) {
        abort();
    }
}

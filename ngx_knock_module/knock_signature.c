
#include "knock_digest.h"
#include "knock_signature.h"


#define KNOCK_SIGNATURE_LEN  (2 * KNOCK_HMAC_SHA1_LEN)


static int knock_signature_decode(const knock_str_t *header,
    unsigned char *out);
static int knock_signature_nibble(unsigned char c);
static unsigned char *knock_signature_skip(unsigned char *p,
    const unsigned char *end);
static unsigned char *knock_signature_string(unsigned char *p,
    unsigned char *end);


int
knock_signature_check(const knock_str_t *secrets, size_t n,
    const knock_str_t *header, const knock_str_t *body,
    knock_signature_mode_e mode, knock_error_t *err)
{
    int            ok;
    size_t         i;
    knock_str_t    first;
    unsigned char  given[KNOCK_HMAC_SHA1_LEN], hmac[KNOCK_HMAC_SHA1_LEN];

    if (header->len == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_SIGNATURE,
                               "the X-Signature header is missing: set this "
                               "endpoint's signing secret in the sender too");
    }

    if (knock_signature_decode(header, given) != KNOCK_OK) {
        return knock_error_set(err, KNOCK_E_INVALID_SIGNATURE,
                               "the X-Signature header is malformed: it must "
                               "be the %d lower-case hex digits of an "
                               "HMAC-SHA1", KNOCK_SIGNATURE_LEN);
    }

    first.len = 0;

    if (mode == KNOCK_SIGNATURE_FIRST) {
        (void) knock_signature_first(body, &first);
    }

    for (ok = 0, i = 0; i < n; i++) {
        knock_digest_hmac_sha1(&secrets[i], body, hmac);
        ok |= knock_digest_eq(given, hmac, sizeof(hmac));

        if (first.len) {
            knock_digest_hmac_sha1(&secrets[i], &first, hmac);
            ok |= knock_digest_eq(given, hmac, sizeof(hmac));
        }
    }

    if (!ok) {
        return knock_error_set(err, KNOCK_E_INVALID_SIGNATURE,
                               "the X-Signature header does not match: check "
                               "that the sender signs the body as it is sent, "
                               "with this endpoint's signing secret");
    }

    return KNOCK_OK;
}


int
knock_signature_first(const knock_str_t *body, knock_str_t *first)
{
    size_t          depth;
    unsigned char  *p, *end, *last;

    if (body->len == 0) {
        return KNOCK_DECLINED;
    }

    end = body->data + body->len;

    p = knock_signature_skip(body->data, end);

    if (p == end || *p != '[') {
        return KNOCK_DECLINED;
    }

    p = knock_signature_skip(p + 1, end);

    first->data = p;
    last = p;
    depth = 0;

    while (p < end) {

        switch (*p) {

        case '"':
            p = knock_signature_string(p, end);
            last = p;
            continue;

        case '[':
        case '{':
            depth++;
            break;

        case ']':
        case '}':
            if (depth == 0) {
                goto found;
            }

            depth--;
            break;

        case ',':
            if (depth == 0) {
                goto found;
            }

            break;

        case ' ':
        case '\t':
        case '\n':
        case '\r':
            p++;
            continue;
        }

        last = ++p;
    }

    return KNOCK_DECLINED;

found:

    if (last == first->data) {
        return KNOCK_DECLINED;
    }

    first->len = (size_t) (last - first->data);

    return KNOCK_OK;
}


static int
knock_signature_decode(const knock_str_t *header, unsigned char *out)
{
    int     high, low;
    size_t  i;

    if (header->len != KNOCK_SIGNATURE_LEN) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < KNOCK_HMAC_SHA1_LEN; i++) {
        high = knock_signature_nibble(header->data[2 * i]);
        low = knock_signature_nibble(header->data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return KNOCK_ERROR;
        }

        out[i] = (unsigned char) (high << 4 | low);
    }

    return KNOCK_OK;
}


static int
knock_signature_nibble(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


static unsigned char *
knock_signature_skip(unsigned char *p, const unsigned char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        p++;
    }

    return p;
}


/* what follows the string that begins at p; the end if it does not close */

static unsigned char *
knock_signature_string(unsigned char *p, unsigned char *end)
{
    for (p++; p < end; p++) {

        if (*p == '"') {
            return p + 1;
        }

        if (*p == '\\' && end - p > 1) {
            p++;
        }
    }

    return end;
}

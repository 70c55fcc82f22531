
/*
 * Signatures: the input is a body.  Its first element is what the parser finds
 * there, where it is JSON; each mode takes the signatures it should, made by
 * libcrypto's HMAC(), and no other.
 */

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fuzz.h"
#include "knock_signature.h"


#define HEX  40


static knock_str_t  secret = knock_string("s3cret");


static void signature_slice(const knock_str_t *body, int found,
    const knock_str_t *first);
static void signature_make(const knock_str_t *text, unsigned char *hex);
static int signature_check(unsigned char *hex, const knock_str_t *body,
    knock_signature_mode_e mode);
static int is_space(unsigned char c);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int            found;
    size_t         i;
    knock_str_t    body, first;
    unsigned char  hex[HEX];

    body.len = size;
    body.data = (unsigned char *) (uintptr_t) data;

    found = knock_signature_first(&body, &first) == KNOCK_OK;
    signature_slice(&body, found, &first);

    /* over the whole body: in both modes */

    signature_make(&body, hex);
    check(signature_check(hex, &body, KNOCK_SIGNATURE_WHOLE));
    check(signature_check(hex, &body, KNOCK_SIGNATURE_FIRST));

    /* with one digit another one, or in another form: in none */

    i = size % HEX;
    hex[i] = hex[i] == '0' ? '1' : '0';
    check(!signature_check(hex, &body, KNOCK_SIGNATURE_FIRST));
    check(!signature_check(hex, &body, KNOCK_SIGNATURE_WHOLE));

    hex[i] = 'A';
    check(!signature_check(hex, &body, KNOCK_SIGNATURE_FIRST));

    if (!found) {
        return 0;
    }

    /* over the first event: in one */

    signature_make(&first, hex);
    check(signature_check(hex, &body, KNOCK_SIGNATURE_FIRST));
    check(!signature_check(hex, &body, KNOCK_SIGNATURE_WHOLE));

    return 0;
}


static void
signature_slice(const knock_str_t *body, int found, const knock_str_t *first)
{
    knock_json_t         *root;
    knock_arena_t        *arena;
    knock_error_t         err;
    unsigned char        *p;
    const knock_json_t   *v;

    arena = knock_arena_create(1024);
    check(arena != NULL);

    if (knock_json_parse(arena, body, 64, &root, &err) == KNOCK_OK) {
        v = root->type == KNOCK_JSON_ARRAY ? knock_json_first(root) : NULL;

        check(found == (v != NULL));
        check(v == NULL || (v->data == first->data && v->len == first->len));
    }

    knock_arena_destroy(arena);

    if (!found) {
        return;
    }

    /* of any body: between the bracket and a comma or the other bracket */

    check(first->len > 0 && fuzz_within(first, body));
    check(!is_space(first->data[0]) && !is_space(first->data[first->len - 1]));

    for (p = first->data - 1; is_space(*p); p--) { /* void */ }
    check(*p == '[');

    for (p--; p >= body->data; p--) {
        check(is_space(*p));
    }

    for (p = first->data + first->len; is_space(*p); p++) { /* void */ }
    check(*p == ',' || *p == ']' || *p == '}');
}


static void
signature_make(const knock_str_t *text, unsigned char *hex)
{
    size_t         i;
    unsigned       len;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    static const unsigned char  digits[] = "0123456789abcdef";

    check(HMAC(EVP_sha1(), secret.data, (int) secret.len, text->data,
               text->len, mac, &len) != NULL);
    check(len == HEX / 2);

    for (i = 0; i < len; i++) {
        hex[2 * i] = digits[mac[i] >> 4];
        hex[2 * i + 1] = digits[mac[i] & 15];
    }
}


static int
signature_check(unsigned char *hex, const knock_str_t *body,
    knock_signature_mode_e mode)
{
    int            rc;
    knock_str_t    header;
    knock_error_t  err;

    header.len = HEX;
    header.data = hex;

    rc = knock_signature_check(&secret, 1, &header, body, mode, &err);

    check(rc == KNOCK_OK || err.code == KNOCK_E_INVALID_SIGNATURE);

    return rc == KNOCK_OK;
}


static int
is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

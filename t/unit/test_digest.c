
/* knock_digest: known answers, and what sets lists of strings apart */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "knock_digest.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))


static int
setup(void **state)
{
    (void) state;

    return knock_digest_init() == KNOCK_OK ? 0 : -1;
}


static void
hex(const unsigned char *bytes, size_t n, char *text)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        (void) sprintf(text + 2 * i, "%02x", bytes[i]);
    }
}


static void
fill(unsigned char *bytes, size_t n, unsigned char c, knock_str_t *str)
{
    memset(bytes, c, n);

    str->len = n;
    str->data = bytes;
}


static void
test_init_may_be_repeated(void **state)
{
    (void) state;

    assert_int_equal(knock_digest_init(), KNOCK_OK);
    assert_int_equal(knock_digest_init(), KNOCK_OK);
}


/* RFC 2202, section 3: the test cases of HMAC-SHA-1 */

static void
test_hmac_sha1_of_rfc_2202(void **state)
{
    size_t         i;
    char           text[2 * KNOCK_HMAC_SHA1_LEN + 1];
    unsigned char  keys[4][80], data[50], data4[50], hmac[KNOCK_HMAC_SHA1_LEN];

    struct {
        knock_str_t  key;
        knock_str_t  data;
        const char  *hmac;
    } rows[] = {
        { knock_null_string, knock_string("Hi There"),
          "b617318655057264e28bc0b6fb378c8ef146be00" },
        { knock_string("Jefe"), knock_string("what do ya want for nothing?"),
          "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79" },
        { knock_null_string, knock_null_string,
          "125d7342b9ac11cd91a39af48aa17b4f63f175d3" },
        { knock_string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
                       "\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19"),
          knock_null_string, "4c9007f4026250c6bc8414f9bf50c86c2d7235da" },
        { knock_null_string, knock_string("Test With Truncation"),
          "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04" },
        { knock_null_string,
          knock_string("Test Using Larger Than Block-Size Key - Hash Key "
                       "First"),
          "aa4ae5e15272d00e95705637ce8a3b55ed402112" },
        { knock_null_string,
          knock_string("Test Using Larger Than Block-Size Key and Larger "
                       "Than One Block-Size Data"),
          "e8e99d0f45237d786d6bbaa7965c7808bbff1a91" }
    };

    (void) state;

    fill(keys[0], 20, 0x0b, &rows[0].key);
    fill(keys[1], 20, 0xaa, &rows[2].key);
    fill(data, 50, 0xdd, &rows[2].data);
    fill(data4, 50, 0xcd, &rows[3].data);
    fill(keys[2], 20, 0x0c, &rows[4].key);
    fill(keys[3], 80, 0xaa, &rows[5].key);
    rows[6].key = rows[5].key;

    for (i = 0; i < N(rows); i++) {
        knock_digest_hmac_sha1(&rows[i].key, &rows[i].data, hmac);
        hex(hmac, sizeof(hmac), text);
        assert_string_equal(text, rows[i].hmac);
    }
}


static void
test_hmac_of_nothing(void **state)
{
    char           text[2 * KNOCK_HMAC_SHA1_LEN + 1];
    knock_str_t    null = knock_null_string;
    knock_str_t    key = knock_string("key");
    unsigned char  hmac[KNOCK_HMAC_SHA1_LEN];

    (void) state;

    /* the key of the call before must not stay */

    knock_digest_hmac_sha1(&key, &null, hmac);
    knock_digest_hmac_sha1(&null, &null, hmac);
    hex(hmac, sizeof(hmac), text);

    assert_string_equal(text, "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d");
}


static void
test_known_marks_and_uuids(void **state)
{
    size_t         i;
    char           text[2 * KNOCK_MARK_LEN + 1];
    unsigned char  mark[KNOCK_MARK_LEN], uuid[KNOCK_UUID_LEN];

    static const knock_str_t  lists[][3] = {
        { knock_null_string },
        { knock_string("a"), knock_string("bc") },
        { knock_string("ab"), knock_string("c") },
        { knock_string("development"), knock_string("segment"),
          knock_string("m-1") }
    };

    static const struct {
        size_t       n;
        const char  *mark;
        const char  *uuid;
    } rows[] = {
        { 0, "e3b0c44298fc1c149afbf4c8996fb924",
          "e3b0c442-98fc-8c14-9afb-f4c8996fb924" },
        { 2, "3fafa1cf2f19a7c1129beb20cf0983f7",
          "3fafa1cf-2f19-87c1-929b-eb20cf0983f7" },
        { 2, "601d5476e2ccfe2c87a2bba7a3226597",
          "601d5476-e2cc-8e2c-87a2-bba7a3226597" },
        { 3, "ecdfa2608a250151a328eaab6f619fb4",
          "ecdfa260-8a25-8151-a328-eaab6f619fb4" }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        knock_digest_mark(lists[i], rows[i].n, mark);
        hex(mark, sizeof(mark), text);
        assert_string_equal(text, rows[i].mark);

        knock_digest_uuid(lists[i], rows[i].n, uuid);
        assert_memory_equal(uuid, rows[i].uuid, KNOCK_UUID_LEN);
    }
}


static void
test_lists_that_join_alike_differ(void **state)
{
    size_t         i, j;
    unsigned char  marks[6][KNOCK_MARK_LEN];

    static const knock_str_t  lists[6][3] = {
        { knock_string("abc"), knock_null_string, knock_null_string },
        { knock_string("ab"), knock_string("c"), knock_null_string },
        { knock_string("a"), knock_string("bc"), knock_null_string },
        { knock_null_string, knock_string("abc"), knock_null_string },
        { knock_null_string, knock_null_string, knock_string("abc") },
        { knock_string("a"), knock_string("b"), knock_string("c") }
    };

    (void) state;

    for (i = 0; i < 6; i++) {
        knock_digest_mark(lists[i], 3, marks[i]);

        for (j = 0; j < i; j++) {
            assert_memory_not_equal(marks[i], marks[j], KNOCK_MARK_LEN);
        }
    }

    /* an empty string at the end counts too */

    knock_digest_mark(lists[0], 1, marks[1]);
    knock_digest_mark(lists[0], 2, marks[2]);
    assert_memory_not_equal(marks[0], marks[1], KNOCK_MARK_LEN);
    assert_memory_not_equal(marks[0], marks[2], KNOCK_MARK_LEN);
    assert_memory_not_equal(marks[1], marks[2], KNOCK_MARK_LEN);
}


/* how the strings are handed to libcrypto depends on their lengths */

static void
test_marks_of_any_length(void **state)
{
    size_t         i, j, first, n;
    knock_str_t    parts[3];
    unsigned char  mark[KNOCK_MARK_LEN], md[EVP_MAX_MD_SIZE];
    unsigned char  bytes[700], text[3 * (sizeof(bytes) + 8)];

    (void) state;

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char) (i * 7);
    }

    for (first = 0; first < 270; first++) {

        parts[0].len = first;
        parts[1].len = (first % 3 == 0) ? 600 : first % 5;
        parts[2].len = 270 - first;

        for (i = 0, n = 0; i < N(parts); i++) {
            parts[i].data = bytes + i;

            for (j = 8; j-- > 0; n++) {
                text[n] = (unsigned char) ((uint64_t) parts[i].len >> 8 * j);
            }

            memcpy(text + n, parts[i].data, parts[i].len);
            n += parts[i].len;
        }

        knock_digest_mark(parts, N(parts), mark);

        assert_true(EVP_Digest(text, n, md, NULL, EVP_sha256(), NULL));
        assert_memory_equal(mark, md, KNOCK_MARK_LEN);
    }
}


static void
test_uuids_have_version_8_and_their_variant(void **state)
{
    size_t         i, j;
    char           text[16];
    knock_str_t    part;
    unsigned char  uuid[KNOCK_UUID_LEN + 1];

    (void) state;

    part.data = (unsigned char *) text;

    for (i = 0; i < 256; i++) {
        part.len = (size_t) snprintf(text, sizeof(text), "%zu", i);

        uuid[KNOCK_UUID_LEN] = '#';
        knock_digest_uuid(&part, 1, uuid);

        for (j = 0; j < KNOCK_UUID_LEN; j++) {
            if (j == 8 || j == 13 || j == 18 || j == 23) {
                assert_int_equal(uuid[j], '-');

            } else {
                assert_non_null(strchr("0123456789abcdef", uuid[j]));
            }
        }

        assert_int_equal(uuid[14], '8');
        assert_non_null(strchr("89ab", uuid[19]));
        assert_int_equal(uuid[KNOCK_UUID_LEN], '#');
    }
}


static void
test_eq_looks_at_every_byte(void **state)
{
    size_t         i;
    unsigned char  a[20], b[20];

    (void) state;

    memset(a, 0x5a, sizeof(a));
    memset(b, 0x5a, sizeof(b));

    assert_int_equal(knock_digest_eq(a, b, sizeof(a)), 1);
    assert_int_equal(knock_digest_eq(a, b, 0), 1);

    for (i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        assert_int_equal(knock_digest_eq(a, b, sizeof(a)), 0);
        b[i] ^= 0x80;
    }
}


static void
test_random_bytes_do_not_repeat(void **state)
{
    unsigned char  a[16], b[16];

    (void) state;

    assert_int_equal(knock_digest_random(a, sizeof(a)), KNOCK_OK);
    assert_int_equal(knock_digest_random(b, sizeof(b)), KNOCK_OK);
    assert_memory_not_equal(a, b, sizeof(a));

    assert_int_equal(knock_digest_random(a, 0), KNOCK_OK);
    assert_int_equal(knock_digest_random(a, SIZE_MAX), KNOCK_ERROR);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_init_may_be_repeated),
        cmocka_unit_test(test_hmac_sha1_of_rfc_2202),
        cmocka_unit_test(test_hmac_of_nothing),
        cmocka_unit_test(test_known_marks_and_uuids),
        cmocka_unit_test(test_lists_that_join_alike_differ),
        cmocka_unit_test(test_marks_of_any_length),
        cmocka_unit_test(test_uuids_have_version_8_and_their_variant),
        cmocka_unit_test(test_eq_looks_at_every_byte),
        cmocka_unit_test(test_random_bytes_do_not_repeat)
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

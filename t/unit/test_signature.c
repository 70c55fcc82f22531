
/* knock_signature: Segment's X-Signature */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_digest.h"
#include "knock_signature.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define TRACK        "{\"type\":\"track\"}"

/* under "s3cret": of TRACK, of [TRACK], of [TRACK,{"type":"page"}] */

#define OF_TRACK     "dcd564fde939d5ea54546f251e3465142f6433dc"
#define OF_ONE       "b3464c55578b83fc0cfe5bb339970d98af54e375"
#define OF_BATCH     "454077d0a578350d97a871cb3fdd791c12924745"


static knock_str_t    secret = knock_string("s3cret");
static knock_error_t  err;


static int
setup(void **state)
{
    (void) state;

    return knock_digest_init() == KNOCK_OK ? 0 : -1;
}


static knock_str_t
str(const char *text)
{
    knock_str_t  s;

    s.len = strlen(text);
    s.data = (unsigned char *) (uintptr_t) text;

    return s;
}


static int
check(const char *header, const char *body, knock_signature_mode_e mode)
{
    int          rc;
    knock_str_t  h, b;

    h = str(header);
    b = str(body);

    err.code = KNOCK_E_NONE;

    rc = knock_signature_check(&secret, 1, &h, &b, mode, &err);

    assert_int_equal(err.code,
                     rc == KNOCK_OK ? KNOCK_E_NONE : KNOCK_E_INVALID_SIGNATURE);
    return rc;
}


static void
test_what_each_mode_takes(void **state)
{
    size_t  i;

    static const struct {
        const char  *header;
        const char  *body;
        int          first;
        int          whole;
    } rows[] = {
        /* one event is signed whole */
        { OF_TRACK, TRACK, KNOCK_OK, KNOCK_OK },

        /* an array over its first event, or whole */
        { OF_TRACK, "[" TRACK "]", KNOCK_OK, KNOCK_ERROR },
        { OF_ONE, "[" TRACK "]", KNOCK_OK, KNOCK_OK },
        { OF_TRACK, "[" TRACK ",{\"type\":\"page\"}]", KNOCK_OK, KNOCK_ERROR },
        { OF_BATCH, "[" TRACK ",{\"type\":\"page\"}]", KNOCK_OK, KNOCK_OK },
        { OF_TRACK, " [ " TRACK " , 1 ] ", KNOCK_OK, KNOCK_ERROR },

        /* no other event of it */
        { OF_TRACK, "[{\"type\":\"page\"}," TRACK "]", KNOCK_ERROR,
          KNOCK_ERROR },
        { OF_TRACK, "[[" TRACK "]]", KNOCK_ERROR, KNOCK_ERROR },

        /* {"batch":[...]} is no array */
        { OF_TRACK, "{\"batch\":[" TRACK "]}", KNOCK_ERROR, KNOCK_ERROR },

        /* raw bytes count, not what they mean */
        { OF_TRACK, "{\"type\": \"track\"}", KNOCK_ERROR, KNOCK_ERROR },
        { OF_TRACK, TRACK "\n", KNOCK_ERROR, KNOCK_ERROR },
        { OF_TRACK, "[{\"type\": \"track\"}]", KNOCK_ERROR, KNOCK_ERROR },
        { OF_TRACK, "", KNOCK_ERROR, KNOCK_ERROR },
        { OF_TRACK, "[]", KNOCK_ERROR, KNOCK_ERROR }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(check(rows[i].header, rows[i].body,
                               KNOCK_SIGNATURE_FIRST),
                         rows[i].first);
        assert_int_equal(check(rows[i].header, rows[i].body,
                               KNOCK_SIGNATURE_WHOLE),
                         rows[i].whole);
    }
}


static void
test_another_secret_is_wrong(void **state)
{
    knock_str_t  other = knock_string("s3creT");
    knock_str_t  header = knock_string(OF_TRACK);
    knock_str_t  body = knock_string(TRACK);

    (void) state;

    assert_int_equal(knock_signature_check(&other, 1, &header, &body,
                                           KNOCK_SIGNATURE_FIRST, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_SIGNATURE);
}


/* of a signature over a single event, an array, its first event... */

static void
test_every_bit_counts(void **state)
{
    size_t                  i, j, k, n;
    knock_str_t             given, body, secrets[2];
    unsigned char           hmac[KNOCK_HMAC_SHA1_LEN];
    unsigned char           header[2 * KNOCK_HMAC_SHA1_LEN];
    knock_signature_mode_e  mode;

    static const char  hex[] = "0123456789abcdef";

    static const struct {
        const char              *is_signed;
        const char              *body;
        knock_signature_mode_e   mode;
    } rows[] = {
        { TRACK, TRACK, KNOCK_SIGNATURE_FIRST },
        { TRACK, TRACK, KNOCK_SIGNATURE_WHOLE },
        { "[" TRACK "," TRACK "]", "[" TRACK "," TRACK "]",
          KNOCK_SIGNATURE_FIRST },
        { "[" TRACK "," TRACK "]", "[" TRACK "," TRACK "]",
          KNOCK_SIGNATURE_WHOLE },
        { TRACK, "[" TRACK "," TRACK "]", KNOCK_SIGNATURE_FIRST },
        { TRACK, "[" TRACK "]", KNOCK_SIGNATURE_FIRST }
    };

    (void) state;

    secrets[0] = str("the new one");
    secrets[1] = str("the one before");

    given.len = sizeof(header);
    given.data = header;

    for (i = 0; i < N(rows); i++) {
        for (j = 0; j < 2; j++) {

            body = str(rows[i].is_signed);
            knock_digest_hmac_sha1(&secrets[j], &body, hmac);

            body = str(rows[i].body);
            mode = rows[i].mode;

            /* with none of them flipped at last */

            for (k = 0; k <= 8 * KNOCK_HMAC_SHA1_LEN; k++) {
                for (n = 0; n < 2 * KNOCK_HMAC_SHA1_LEN; n++) {
                    given.data[n] = (unsigned char)
                                hex[(hmac[n / 2] >> (n % 2 ? 0 : 4) & 15)
                                    ^ (k / 4 == n ? 1U << k % 4 : 0U)];
                }

                if ((knock_signature_check(secrets, 2, &given, &body, mode,
                                           &err)
                     == KNOCK_OK)
                    != (k == 8 * KNOCK_HMAC_SHA1_LEN))
                {
                    fail_msg("row %zu, secret %zu, bit %zu", i, j, k);
                }
            }

            /* the one before is asked only where there are two */

            assert_int_equal(knock_signature_check(secrets, 1, &given, &body,
                                                   mode, &err),
                             j == 0 ? KNOCK_OK : KNOCK_ERROR);
        }
    }
}


static void
test_the_message_says_what_is_wrong(void **state)
{
    size_t  i;

    static const struct {
        const char  *header;
        const char  *word;
    } rows[] = {
        { "", "missing" },
        { "abc", "malformed" },
        { OF_TRACK "0", "malformed" },
        { " " OF_TRACK, "malformed" },
        { "sha1=" OF_TRACK, "malformed" },
        { "DCD564FDE939D5EA54546F251E3465142F6433DC", "malformed" },
        { "gcd564fde939d5ea54546f251e3465142f6433dc", "malformed" },
        { "dcd564fde939d5ea54546f251e3465142f6433d:", "malformed" },
        { "dcd564fde939d5ea54546f251e3465142f6433d`", "malformed" },
        { "dcd564fde939d5ea54546f251e3465142f6433d\xff", "malformed" },
        { "0000000000000000000000000000000000000000", "does not match" }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(check(rows[i].header, TRACK, KNOCK_SIGNATURE_FIRST),
                         KNOCK_ERROR);
        assert_non_null(strstr(err.message, rows[i].word));

        /* never what it should be */
        assert_null(strstr(err.message, OF_TRACK));
        assert_null(strstr(err.message, "s3cret"));
    }
}


static void
test_an_absent_header_is_missing(void **state)
{
    knock_str_t  null = knock_null_string;

    (void) state;

    assert_int_equal(knock_signature_check(&secret, 1, &null, &null,
                                           KNOCK_SIGNATURE_FIRST, &err),
                     KNOCK_ERROR);
    assert_non_null(strstr(err.message, "missing"));
}


static void
test_the_first_element(void **state)
{
    size_t       i, n;
    knock_str_t  body, first;

    static const struct {
        const char  *body;
        const char  *first;         /* NULL: there is none */
    } rows[] = {
        { "[1]", "1" },
        { "[1,2]", "1" },
        { " \t\r\n[ \t\r\n1 \t\r\n] ", "1" },
        { "[ {\"a\" : [1, {}]} , 2]", "{\"a\" : [1, {}]}" },
        { "[[1,2],3]", "[1,2]" },
        { "[[],3]", "[]" },
        { "[\"]\",2]", "\"]\"" },
        { "[\"a\\\"]\\\\\",2]", "\"a\\\"]\\\\\"" },
        { "[{\"a,]}\":\"{[\"}]", "{\"a,]}\":\"{[\"}" },
        { "[\" a \"  ,2]", "\" a \"" },
        { "[\"\"]", "\"\"" },
        { "[null", NULL },

        /* it need not be JSON, nor need what follows */
        { "[x y ,", "x y" },
        { "[1}", "1" },
        { "[{]],", "{]" },
        { "[1],,,", "1" },

        /* no array, an empty one, one cut short */
        { "", NULL }, { " ", NULL }, { "{}", NULL }, { "1", NULL },
        { "\"[1]\"", NULL }, { "{\"a\":[1]}", NULL }, { "x[1]", NULL },
        { "[", NULL }, { "[]", NULL }, { "[ ]", NULL }, { "[,1]", NULL },
        { "[ ", NULL }, { "[1", NULL }, { "[{\"a\":1}", NULL },
        { "[{\"a\":1,", NULL }, { "[\"", NULL }, { "[\"a\\", NULL },
        { "[\"a\\\"]", NULL }, { "[[1]", NULL }, { "[\"a],", NULL }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        n = strlen(rows[i].body);

        /* on the heap by itself, its end is guarded */

        body.len = n;
        body.data = malloc(n + (n == 0));
        assert_non_null(body.data);
        memcpy(body.data, rows[i].body, n);

        if (rows[i].first == NULL) {
            if (knock_signature_first(&body, &first) != KNOCK_DECLINED) {
                fail_msg("%s has a first element", rows[i].body);
            }

        } else {
            if (knock_signature_first(&body, &first) != KNOCK_OK
                || !knock_str_is(&first, rows[i].first))
            {
                fail_msg("%s: first is not %s", rows[i].body, rows[i].first);
            }

            assert_true(first.data > body.data);
            assert_true(first.data + first.len < body.data + body.len);
        }

        free(body.data);
    }

    body = (knock_str_t) knock_null_string;
    assert_int_equal(knock_signature_first(&body, &first), KNOCK_DECLINED);
}


static void
test_deep_elements_need_no_stack(void **state)
{
    enum { LEVELS = 500000 };

    knock_str_t  body, first;

    (void) state;

    body.len = 2 * LEVELS;
    body.data = malloc(body.len);
    assert_non_null(body.data);

    memset(body.data, '[', LEVELS);
    memset(body.data + LEVELS, ']', LEVELS);

    assert_int_equal(knock_signature_first(&body, &first), KNOCK_OK);
    assert_int_equal(first.len, body.len - 2);

    body.len--;
    assert_int_equal(knock_signature_first(&body, &first), KNOCK_DECLINED);

    free(body.data);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_what_each_mode_takes),
        cmocka_unit_test(test_another_secret_is_wrong),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_the_message_says_what_is_wrong),
        cmocka_unit_test(test_an_absent_header_is_missing),
        cmocka_unit_test(test_the_first_element),
        cmocka_unit_test(test_deep_elements_need_no_stack)
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}

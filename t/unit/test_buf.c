
/* knock_buf and knock_error: texts that are built, and cut short */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_buf.h"
#include "knock_error.h"


static knock_arena_t  *arena;
static knock_buf_t     buf;


static int
setup(void **state)
{
    (void) state;

    arena = knock_arena_create(1024);
    if (arena == NULL) {
        return -1;
    }

    knock_buf_init(&buf, arena, 0);
    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


static void
assert_text(const char *text, size_t len)
{
    knock_str_t  str;

    assert_int_equal(knock_buf_str(&buf, &str), KNOCK_OK);
    assert_int_equal(str.len, len);
    assert_memory_equal(str.data, text, len);
}


#define assert_buf(text)  assert_text(text, sizeof(text) - 1)


static void
test_appends_stand_in_order(void **state)
{
    knock_str_t  str = knock_string("cd");
    knock_str_t  null = knock_null_string;

    (void) state;

    assert_buf("");

    knock_buf_add(&buf, "ab", 2);
    knock_buf_add_str(&buf, &str);
    knock_buf_add_str(&buf, &null);
    knock_buf_add_char(&buf, 'e');
    knock_buf_add_lit(&buf, "fg\0h");

    assert_buf("abcdefg\0h");
}


static void
test_numbers_are_decimal(void **state)
{
    (void) state;

    knock_buf_add_uint(&buf, 0);
    knock_buf_add_char(&buf, ' ');
    knock_buf_add_uint(&buf, 10);
    knock_buf_add_char(&buf, ' ');
    knock_buf_add_uint(&buf, UINT64_MAX);

    assert_buf("0 10 18446744073709551615");
}


static void
test_a_text_grows_past_its_room(void **state)
{
    size_t          i;
    knock_str_t     str;

    (void) state;

    for (i = 0; i < 100000; i++) {
        knock_buf_add_char(&buf, (char) ('a' + i % 26));

        if (i % 1000 == 0) {
            /* something else takes the place behind it */
            assert_non_null(knock_arena_alloc(arena, 8));
        }
    }

    assert_int_equal(knock_buf_str(&buf, &str), KNOCK_OK);
    assert_int_equal(str.len, 100000);

    for (i = 0; i < 100000; i++) {
        assert_int_equal(str.data[i], 'a' + i % 26);
    }
}


static void
test_json_strings_are_escaped(void **state)
{
    size_t       i;
    knock_str_t  null = knock_null_string;

    static const struct {
        knock_str_t  bytes;
        const char  *json;
    } rows[] = {
        { knock_string(""), "\"\"" },
        { knock_string("plain"), "\"plain\"" },
        { knock_string("\""), "\"\\\"\"" },
        { knock_string("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
        { knock_string("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
        { knock_string("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"" },
        { knock_string("\xc3\xa9\xf0\x9f\x98\x80"),
          "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        knock_buf_init(&buf, arena, 1);
        knock_buf_add_json(&buf, &rows[i].bytes);
        assert_text(rows[i].json, strlen(rows[i].json));
    }

    knock_buf_init(&buf, arena, 1);
    knock_buf_add_json(&buf, &null);
    assert_buf("\"\"");
}


/* bytes are looked at several at a time: each place among them counts */

static void
test_an_escape_may_stand_anywhere(void **state)
{
    size_t       c, at, len, n;
    char         json[64];
    knock_str_t  str;

    static char  plain[] = "\x80\xff~ !#[]^_\x7f/aZ09.:\xc3\xa9{}|,";

    static const struct {
        char         byte;
        const char  *escape;
    } rows[] = {
        { '"', "\\\"" }, { '\\', "\\\\" }, { '\n', "\\n" },
        { '\0', "\\u0000" }, { '\x1f', "\\u001f" }
    };

    (void) state;

    for (len = 1; len < sizeof(plain) - 1; len++) {
        for (at = 0; at < len; at++) {
            for (c = 0; c < sizeof(rows) / sizeof(rows[0]); c++) {
                char  text[sizeof(plain)];

                memcpy(text, plain, len);
                text[at] = rows[c].byte;

                str.data = (unsigned char *) text;
                str.len = len;

                n = (size_t) snprintf(json, sizeof(json), "\"%.*s%s%.*s\"",
                                      (int) at, plain, rows[c].escape,
                                      (int) (len - at - 1), plain + at + 1);

                knock_buf_init(&buf, arena, 1);
                knock_buf_add_json(&buf, &str);
                assert_text(json, n);
            }
        }
    }
}


static void
test_a_failure_is_remembered(void **state)
{
    /* or the compiler would say what the test is about */
    volatile size_t  huge = SIZE_MAX - 8;

    knock_str_t  str;

    (void) state;

    knock_buf_add_lit(&buf, "ab");
    knock_buf_add(&buf, "", huge);
    knock_buf_add_lit(&buf, "cd");

    assert_int_equal(knock_buf_str(&buf, &str), KNOCK_ERROR);

    knock_buf_init(&buf, arena, SIZE_MAX);
    knock_buf_add_char(&buf, 'a');

    assert_int_equal(knock_buf_str(&buf, &str), KNOCK_ERROR);
}


static void
test_errors_have_a_name_and_a_status(void **state)
{
    (void) state;

    assert_string_equal(knock_error_name(KNOCK_E_INVALID_JSON),
                        "invalid_json");
    assert_int_equal(knock_error_status(KNOCK_E_INVALID_JSON), 400);
    assert_string_equal(knock_error_name(KNOCK_E_INVALID_ACTION),
                        "invalid_action");
    assert_int_equal(knock_error_status(KNOCK_E_INVALID_ACTION), 422);
    assert_int_equal(knock_error_status(KNOCK_E_UNAVAILABLE), 503);
    assert_int_equal(knock_error_status(KNOCK_E_NONE), 200);
}


static void
test_an_error_carries_its_sentence(void **state)
{
    knock_error_t  err;

    (void) state;

    err.offset = 9;

    assert_int_equal(knock_error_set(&err, KNOCK_E_INVALID_EVENT,
                                     "%s is %d", "it", 7),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);
    assert_int_equal(err.offset, 0);
    assert_string_equal(err.message, "it is 7");

    assert_int_equal(knock_error_memory(&err), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INTERNAL);
}


static void
test_a_sentence_is_cut_between_characters(void **state)
{
    int            pad;
    size_t         i, len;
    char           text[2 * KNOCK_ERROR_MESSAGE];
    knock_error_t  err;

    static const char  *characters[] = {
        "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"
    };

    (void) state;

    for (i = 0; i < 4; i++) {
        len = strlen(characters[i]);

        for (pad = 0; pad < 4; pad++) {
            size_t  n;

            memset(text, '-', sizeof(text));

            for (n = (size_t) pad; n + len < sizeof(text); n += len) {
                memcpy(text + n, characters[i], len);
            }

            text[n] = '\0';

            (void) knock_error_set(&err, KNOCK_E_INTERNAL, "%s", text);

            n = strlen(err.message);

            assert_true(n < KNOCK_ERROR_MESSAGE);
            assert_true(n >= KNOCK_ERROR_MESSAGE - len);
            assert_int_equal((n - (size_t) pad) % len, 0);
            assert_memory_equal(err.message, text, n);
        }
    }
}


#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_appends_stand_in_order),
        t(test_numbers_are_decimal),
        t(test_a_text_grows_past_its_room),
        t(test_json_strings_are_escaped),
        t(test_an_escape_may_stand_anywhere),
        t(test_a_failure_is_remembered),
        t(test_errors_have_a_name_and_a_status),
        t(test_an_error_carries_its_sentence),
        t(test_a_sentence_is_cut_between_characters)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

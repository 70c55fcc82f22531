
/*
 * knock_json: what is JSON and what is not, the tokens of a text, strings,
 * look-ups.  The last tests compare the parser with a slow and simple one on
 * texts that chance has damaged.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_json.h"
#include "knock_limits.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define DEPTH  8


static knock_arena_t  *arena;
static knock_json_t   *root;
static knock_error_t   err;


static int
setup(void **state)
{
    (void) state;

    arena = knock_arena_create(64 * 1024);
    return arena == NULL;
}


static int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


/* parses a copy of exactly the text's size, so that a read past it is seen */

static int
parse(const char *text, size_t len)
{
    knock_str_t  str;

    str.len = len;
    str.data = knock_arena_alloc(arena, len);
    assert_non_null(str.data);

    memcpy(str.data, text, len);

    return knock_json_parse(arena, &str, DEPTH, &root, &err);
}


static const knock_json_t *
must_parse(const char *text)
{
    if (parse(text, strlen(text)) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    return root;
}


static void
assert_str(const knock_str_t *str, const char *text)
{
    assert_int_equal(str->len, strlen(text));
    assert_memory_equal(str->data, text, str->len);
}


static void
assert_value(const knock_json_t *v, knock_json_type_e type, const char *text)
{
    knock_str_t  str;

    assert_non_null(v);
    assert_int_equal(v->type, type);

    str = knock_json_text(v);
    assert_str(&str, text);
}


/* a text with NULs in it stands in these tables by its length */

typedef struct {
    const char  *text;
    size_t       len;
} text_t;

#define T(text)  { text, sizeof(text) - 1 }


static void
test_what_is_json(void **state)
{
    size_t  i;

    static const text_t  rows[] = {
        /* any value may be the root */
        T("null"), T("true"), T("false"), T("0"), T("\"\""), T("[]"), T("{}"),

        /* structure and white space */
        T(" \t\r\n1 \t\r\n"), T("[ ]"), T("{ }"), T("[\n]\r\n"),
        T("[1,2,3]"), T(" [ 1 , 2 , 3 ] "), T("[[],[[]],{}]"),
        T("{\"a\":1}"), T(" { \"a\" : 1 , \"b\" : { } } "),
        T("{\"\":{\"\":[]}}"), T("{\"a\":1,\"a\":2}"),
        T("[null,true,false,1,\"s\",[],{}]"),
        T("[[[[[[[[]]]]]]]]"), T("[[[[[[[{}]]]]]]]"),

        /* numbers */
        T("-0"), T("1"), T("-1"), T("10"), T("1234567890"), T("0.0"),
        T("0.10"), T("-0.5"), T("1e5"), T("1E5"), T("1e+5"), T("1e-5"),
        T("0e0"), T("0E+00"), T("1.25e-07"), T("1e400"),
        T("18446744073709551616"), T("0.1234567890123456789012345678901"),

        /* strings */
        T("\"plain\""), T("\" \""), T("\"\x7f\""), T("\"/\""),
        T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), T("\"\\u0000\""),
        T("\"\\u00e9\\u00E9\\uABCD\\uffff\""), T("\"\\ud800\\udc00\""),
        T("\"\\uDBFF\\uDFFF\""), T("\"a\\ud83d\\ude00b\""),
        T("\"0123456789abcdef0123456789abcdef\""),

        /* UTF-8, each length at both ends of its range */
        T("\"\xc2\x80\xdf\xbf\""), T("\"\xe0\xa0\x80\xe0\xbf\xbf\""),
        T("\"\xe1\x80\x80\xec\xbf\xbf\""), T("\"\xed\x80\x80\xed\x9f\xbf\""),
        T("\"\xee\x80\x80\xef\xbf\xbf\""), T("\"\xef\xbb\xbf\""),
        T("\"\xf0\x90\x80\x80\xf0\xbf\xbf\xbf\""),
        T("\"\xf1\x80\x80\x80\xf3\xbf\xbf\xbf\""),
        T("\"\xf4\x80\x80\x80\xf4\x8f\xbf\xbf\""),
        T("{\"\xc3\xa9\":\"0123456789abcdef\xe2\x82\xac\"}")
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        if (parse(rows[i].text, rows[i].len) != KNOCK_OK) {
            fail_msg("%s: %s", rows[i].text, err.message);
        }
    }
}


static void
test_what_is_not_json(void **state)
{
    size_t  i, j;

    static const struct {
        text_t  text;
        size_t  offset;
    } rows[] = {
        /* nothing, or more than one value */
        { T(""), 0 }, { T(" "), 1 }, { T(" \n\t"), 3 },
        { T("1 2"), 2 }, { T("{}{}"), 2 }, { T("[] x"), 3 }, { T("null,"), 4 },
        { T("1\0"), 1 }, { T("\0"), 0 }, { T("\"a\"\"b\""), 3 },

        /* a byte order mark, other white space, comments */
        { T("\xef\xbb\xbf{}"), 0 }, { T("\xef\xbb\xbf"), 0 },
        { T("\xfe\xff"), 0 }, { T("\f1"), 0 }, { T("\v1"), 0 },
        { T("1\f"), 1 }, { T("\xc2\xa0" "1"), 0 }, { T("/**/1"), 0 },
        { T("1//"), 1 }, { T("#"), 0 },

        /* structure */
        { T("["), 1 }, { T("[1"), 2 }, { T("[1,"), 3 }, { T("[1,]"), 3 },
        { T("[,1]"), 1 }, { T("[1,,2]"), 3 }, { T("[1 2]"), 3 },
        { T("[1}"), 2 }, { T("]"), 0 }, { T("[]]"), 2 }, { T("[1:2]"), 2 },
        { T("{"), 1 }, { T("{\"a\""), 4 }, { T("{\"a\":"), 5 },
        { T("{\"a\":1"), 6 }, { T("{\"a\":1,"), 7 }, { T("{\"a\":1,}"), 7 },
        { T("{,}"), 1 }, { T("{\"a\"}"), 4 }, { T("{\"a\",1}"), 4 },
        { T("{\"a\" 1}"), 5 }, { T("{\"a\":}"), 5 }, { T("{\"a\"::1}"), 5 },
        { T("{a:1}"), 1 }, { T("{'a':1}"), 1 }, { T("{1:1}"), 1 },
        { T("{null:1}"), 1 }, { T("{[]:1}"), 1 }, { T("{\"a\":1]"), 6 },
        { T("}"), 0 }, { T("{\"a\":1 \"b\":2}"), 7 }, { T("{\"a\":1\0}"), 6 },
        { T("[1\0]"), 2 }, { T(","), 0 }, { T(":"), 0 },

        /* literals */
        { T("n"), 1 }, { T("nul"), 3 }, { T("nulL"), 3 }, { T("Null"), 0 },
        { T("TRUE"), 0 }, { T("tru"), 3 }, { T("truee"), 4 }, { T("fals"), 4 },
        { T("nan"), 1 }, { T("NaN"), 0 }, { T("Infinity"), 0 },
        { T("undefined"), 0 },

        /* numbers */
        { T("-"), 1 }, { T("+1"), 0 }, { T("--1"), 1 }, { T("-a"), 1 },
        { T("01"), 0 }, { T("-01"), 1 }, { T("00"), 0 }, { T("00.5"), 0 },
        { T("1."), 2 }, { T("1.e5"), 2 }, { T(".5"), 0 }, { T("-.5"), 1 },
        { T("1e"), 2 }, { T("1e+"), 3 }, { T("1e-"), 3 }, { T("1e+-1"), 3 },
        { T("1e5.5"), 3 }, { T("1.2.3"), 3 }, { T("0x10"), 1 },
        { T("1_000"), 1 }, { T("1f"), 1 }, { T("-Infinity"), 1 },
        { T("1e5e5"), 3 },

        /* strings */
        { T("\""), 1 }, { T("\"a"), 2 }, { T("'a'"), 0 }, { T("\"\\\""), 3 },
        { T("\"\\"), 2 }, { T("\"\\a\""), 2 }, { T("\"\\'\""), 2 },
        { T("\"\\0\""), 2 }, { T("\"\\x41\""), 2 }, { T("\"\\U0041\""), 2 },
        { T("\"\\\n\""), 2 }, { T("\"\\\xc3\xa9\""), 2 },
        { T("\"\0\""), 1 }, { T("\"\x01\""), 1 }, { T("\"a\nb\""), 2 },
        { T("\"a\tb\""), 2 }, { T("\"\x1f\""), 1 },
        { T("\"0123456789abcdef\n0123456789abcdef\""), 17 },
        { T("{\"a\nb\":1}"), 3 },

        /* escapes of UTF-16 */
        { T("\"\\u\""), 1 }, { T("\"\\u1\""), 1 }, { T("\"\\u123\""), 1 },
        { T("\"\\u123g\""), 1 }, { T("\"\\uG123\""), 1 },
        { T("\"\\u 123\""), 1 }, { T("\"\\u+123\""), 1 }, { T("\"\\u"), 1 },
        { T("\"\\u@@@@\""), 1 }, { T("\"\\u12"), 1 },
        { T("\"\\ud800\""), 1 }, { T("\"\\udc00\""), 1 },
        { T("\"\\udfff\\ud800\""), 1 }, { T("\"\\ud800\\ud800\""), 1 },
        { T("\"\\ud800x\""), 1 }, { T("\"\\ud800\\n\""), 1 },
        { T("\"\\ud800\\u0041\""), 1 }, { T("\"\\ud800\\ue000\""), 1 },
        { T("\"\\ud800\\u12\""), 1 }, { T("\"\\ud800\\"), 1 },
        { T("\"\\ud800"), 1 }, { T("\"ab\\udbff\""), 3 },

        /* UTF-8: alone, overlong, surrogates, too large, cut short */
        { T("\"\x80\""), 1 }, { T("\"\xbf\""), 1 }, { T("\"\xc3\""), 1 },
        { T("\"\xc3"), 1 }, { T("\"\xc3\xc3\""), 1 }, { T("\"\xc0\x80\""), 1 },
        { T("\"\xc1\xbf\""), 1 }, { T("\"\xe0\x80\x80\""), 1 },
        { T("\"\xe0\x9f\xbf\""), 1 }, { T("\"\xed\xa0\x80\""), 1 },
        { T("\"\xed\xbf\xbf\""), 1 }, { T("\"\xe2\x82\""), 1 },
        { T("\"\xe2\x82"), 1 }, { T("\"\xe2\""), 1 },
        { T("\"\xe2\x28\xa1\""), 1 },
        { T("\"\xe2\x82\x28\""), 1 }, { T("\"\xf0\x80\x80\x80\""), 1 },
        { T("\"\xf0\x8f\xbf\xbf\""), 1 }, { T("\"\xf4\x90\x80\x80\""), 1 },
        { T("\"\xf5\x80\x80\x80\""), 1 }, { T("\"\xf8\x88\x80\x80\x80\""), 1 },
        { T("\"\xfe\""), 1 }, { T("\"\xff\""), 1 },
        { T("\"\xf0\x9f\x98\""), 1 },
        { T("\"\xf0\x9f\x98"), 1 }, { T("\"\xf0\x9f\x28\x80\""), 1 },
        { T("\"\xc3\xa9\xc3\""), 3 }, { T("\xc3\xa9"), 0 },
        { T("\"0123456789abcdef\xc3\xa9" "0123456789abcdef\xff\""), 35 },

        /* one array or object too many is open */
        { T("[[[[[[[[[]]]]]]]]]"), 8 }, { T("[[[[[[[[{}]]]]]]]]"), 8 },
        { T("[[[[[[[[1,[]]]]]]]]]"), 10 },
        { T("{\"a\":[[[[[[[[]]]]]]]]}"), 12 }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        if (parse(rows[i].text.text, rows[i].text.len) != KNOCK_ERROR) {
            fail_msg("accepted: %s", rows[i].text.text);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_JSON);

        if (err.offset != rows[i].offset) {
            fail_msg("%s: offset is %zu, not %zu", rows[i].text.text,
                     err.offset, rows[i].offset);
        }

        /* whatever was sent, the message can be printed */

        for (j = 0; err.message[j] != '\0'; j++) {
            assert_in_range(err.message[j], 0x20, 0x7e);
        }
    }
}


static void
test_messages_say_what_is_wrong_where(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *message;
    } rows[] = {
        { "", "byte 0: the text is empty, expected a JSON value" },
        { "[1,", "byte 3: expected a value, found the end of the text" },
        { "[1 x", "byte 3: expected ',' or ']', found 'x'" },
        { "{\"a\":1 \"b\"", "byte 7: expected ',' or '}', found '\"'" },
        { "{\"a\" 1}", "byte 5: expected ':', found '1'" },
        { "{a", "byte 1: expected a key in double quotes, found 'a'" },
        { "1 \xff", "byte 2: expected the end of the text, "
          "found byte 0xff" },
        { "trux", "byte 3: expected true, false or null, found 'x'" },
        { "-01", "byte 1: a number must not start with 0 followed by digits" },
        { "1.x", "byte 2: expected a digit, found 'x'" },
        { "\"\\q\"", "byte 2: expected one of \"\\/bfnrtu after '\\', "
          "found 'q'" },
        { "\"\\u00x0\"", "byte 1: expected four hex digits after '\\u'" },
        { "\"\\udc00\"", "byte 1: a surrogate escape without its pair is no "
          "character" },
        { "\"\xff\"", "byte 1: a string must be valid UTF-8" },
        { "\"\n\"", "byte 1: a control character in a string must be "
          "escaped" },
        { "\"a", "byte 2: expected the end of a string, found the end of the "
          "text" },
        { "[[[[[[[[[", "byte 8: arrays and objects are nested deeper than the "
          "limit of 8 levels" },
        { "\xef\xbb\xbf{}", "byte 0: JSON must not begin with a byte order "
          "mark" }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(parse(rows[i].text, strlen(rows[i].text)),
                         KNOCK_ERROR);
        assert_string_equal(err.message, rows[i].message);
    }
}


static const char  document[] =
    "{\"type\":\"track\",\"event\":\"Caf\xc3\xa9 \\u00e9\\ud83d\\ude00\","
    " \"n\" : [ 0, -1.50, 1e+07 , null,true,false ],\n"
    "\t\"properties\":{\"a\":{\"b\":[[],{}]},\"long\":"
    "\"0123456789abcdef0123456789abcdef\\n0123456789abcdef\"}}";


static void
test_every_prefix_of_a_document_is_refused(void **state)
{
    size_t  i;

    (void) state;

    for (i = 0; i < sizeof(document) - 1; i++) {
        assert_int_equal(parse(document, i), KNOCK_ERROR);
        assert_true(err.offset <= i);
    }

    assert_int_equal(parse(document, sizeof(document) - 1), KNOCK_OK);
}


static void
test_strings_of_every_length_and_position(void **state)
{
    char    text[128];
    size_t  len, at;

    (void) state;

    /* wherever a special byte stands within the 16 that are looked at */

    for (len = 0; len < 70; len++) {
        memset(text, 'x', sizeof(text));
        text[0] = '"';
        text[len + 1] = '"';

        assert_int_equal(parse(text, len + 2), KNOCK_OK);
        assert_int_equal(root->len, len + 2);
        assert_int_equal(parse(text, len + 1), KNOCK_ERROR);

        for (at = 1; at <= len; at++) {
            text[at] = '\n';
            assert_int_equal(parse(text, len + 2), KNOCK_ERROR);
            assert_int_equal(err.offset, at);

            text[at] = '\xff';
            assert_int_equal(parse(text, len + 2), KNOCK_ERROR);
            assert_int_equal(err.offset, at);

            text[at] = '"';
            assert_int_equal(parse(text, len + 2), KNOCK_ERROR);
            assert_int_equal(err.offset, at + 1);

            if (at < len) {
                memcpy(text + at, "\xc3\xa9", 2);
                assert_int_equal(parse(text, len + 2), KNOCK_OK);
                assert_int_equal(root->escaped, 0);

                memcpy(text + at, "\\n", 2);
                assert_int_equal(parse(text, len + 2), KNOCK_OK);
                assert_int_equal(root->escaped, 1);

                text[at + 1] = 'x';
            }

            text[at] = 'x';
        }
    }
}


static void
test_depth_is_of_what_is_open(void **state)
{
    knock_str_t  flat = knock_string("[[],[],[],{},{\"a\":[]}]");
    knock_str_t  scalar = knock_string("1");
    knock_str_t  empty = knock_string("[]");

    (void) state;

    assert_int_equal(knock_json_parse(arena, &flat, 3, &root, &err), KNOCK_OK);
    assert_int_equal(knock_json_parse(arena, &flat, 2, &root, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.offset, 18);

    assert_int_equal(knock_json_parse(arena, &scalar, 0, &root, &err),
                     KNOCK_OK);
    assert_int_equal(knock_json_parse(arena, &empty, 0, &root, &err),
                     KNOCK_ERROR);
}


static void
test_deep_nesting_needs_no_stack(void **state)
{
    enum { LEVELS = 500000 };

    knock_str_t  text;

    (void) state;

    text.len = 2 * LEVELS;
    text.data = knock_arena_alloc(arena, text.len);
    assert_non_null(text.data);

    memset(text.data, '[', LEVELS);
    memset(text.data + LEVELS, ']', LEVELS);

    assert_int_equal(knock_json_parse(arena, &text, LEVELS, &root, &err),
                     KNOCK_OK);
    assert_int_equal(root->span, LEVELS);
    assert_int_equal(root[LEVELS - 1].len, 2);

    assert_int_equal(knock_json_parse(arena, &text, LEVELS - 1, &root, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.offset, LEVELS - 1);
}


static void
test_tokens_of_a_document(void **state)
{
    const knock_json_t  *doc, *v, *n;

    (void) state;

    doc = must_parse(document);

    assert_value(doc, KNOCK_JSON_OBJECT, document);
    assert_int_equal(doc->count, 4);
    assert_int_equal(doc->span, 23);

    n = knock_json_get(doc, "n");
    assert_value(n, KNOCK_JSON_ARRAY,
                 "[ 0, -1.50, 1e+07 , null,true,false ]");
    assert_int_equal(n->count, 6);
    assert_int_equal(n->span, 7);

    v = knock_json_first(n);
    assert_value(v, KNOCK_JSON_NUMBER, "0");
    v = knock_json_next(v);
    assert_value(v, KNOCK_JSON_NUMBER, "-1.50");
    v = knock_json_next(v);
    assert_value(v, KNOCK_JSON_NUMBER, "1e+07");
    v = knock_json_next(v);
    assert_value(v, KNOCK_JSON_NULL, "null");
    v = knock_json_next(v);
    assert_value(v, KNOCK_JSON_TRUE, "true");
    v = knock_json_next(v);
    assert_value(v, KNOCK_JSON_FALSE, "false");

    v = knock_json_next(n);
    assert_value(v, KNOCK_JSON_STRING, "\"properties\"");
    assert_ptr_equal(v + 1, knock_json_get(doc, "properties"));

    v = knock_json_get(knock_json_get(v + 1, "a"), "b");
    assert_value(v, KNOCK_JSON_ARRAY, "[[],{}]");
    assert_value(knock_json_element(v, 0), KNOCK_JSON_ARRAY, "[]");
    assert_value(knock_json_element(v, 1), KNOCK_JSON_OBJECT, "{}");
    assert_null(knock_json_first(knock_json_element(v, 0)));
    assert_null(knock_json_first(knock_json_element(v, 1)));
}


static void
test_numbers_stay_as_written(void **state)
{
    size_t       i;
    knock_str_t  text;

    static const struct {
        const char  *text;
        int          integer;
    } rows[] = {
        { "0", 1 }, { "-0", 1 }, { "7", 1 }, { "-12", 1 },
        { "9007199254740993", 1 }, { "123456789012345678901234567890", 1 },
        { "1.0", 0 }, { "-0.0", 0 }, { "1.50", 0 }, { "1e3", 0 },
        { "1E3", 0 }, { "1e-3", 0 }, { "1E+400", 0 }, { "0.1e1", 0 }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        (void) must_parse(rows[i].text);

        text = knock_json_text(root);
        assert_str(&text, rows[i].text);
        assert_int_equal(root->type, KNOCK_JSON_NUMBER);
        assert_int_equal(root->span, 1);
        assert_int_equal(knock_json_is_integer(root), rows[i].integer);
    }

    assert_int_equal(knock_json_is_integer(must_parse("\"1\"")), 0);
    assert_int_equal(knock_json_is_integer(must_parse("null")), 0);
    assert_int_equal(knock_json_is_integer(must_parse("[]")), 0);
}


static void
test_strings_are_decoded(void **state)
{
    size_t       i;
    knock_str_t  str, other;

    static const struct {
        const char  *text;
        text_t       bytes;
    } rows[] = {
        { "\"\"", T("") },
        { "\"plain\"", T("plain") },
        { "\"\xc3\xa9\"", T("\xc3\xa9") },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t") },
        { "\"a\\u0000b\"", T("a\0b") },
        { "\"\\u0041\\u007f\"", T("A\x7f") },
        { "\"\\u0080\\u07ff\"", T("\xc2\x80\xdf\xbf") },
        { "\"\\u0800\\ud7ff\\ue000\\uFFFF\"",
          T("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf") },
        { "\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
          T("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf") },
        { "\"x\\ud83d\\ude00y\"", T("x\xf0\x9f\x98\x80y") },
        { "\"\\\\u0041\"", T("\\u0041") },
        { "\"\\n\"", T("\n") }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        (void) must_parse(rows[i].text);

        assert_int_equal(knock_json_string(arena, root, &str), KNOCK_OK);
        assert_int_equal(str.len, rows[i].bytes.len);
        assert_memory_equal(str.data, rows[i].bytes.text, str.len);

        if (!root->escaped) {
            assert_ptr_equal(str.data, root->data + 1);
        }

        assert_int_equal(knock_json_string_eq(root, &str), 1);

        /* longer, shorter, different */

        other = str;
        other.data = knock_arena_calloc(arena, 1, str.len + 1);
        assert_non_null(other.data);
        memcpy(other.data, str.data, str.len);

        other.len = str.len + 1;
        assert_int_equal(knock_json_string_eq(root, &other), 0);

        if (str.len == 0) {
            continue;
        }

        other.len = str.len - 1;
        assert_int_equal(knock_json_string_eq(root, &other), 0);

        other.len = str.len;
        assert_int_equal(knock_json_string_eq(root, &other), 1);
        other.data[str.len - 1] ^= 1;
        assert_int_equal(knock_json_string_eq(root, &other), 0);
    }

    str = (knock_str_t) knock_null_string;
    assert_int_equal(knock_json_string_eq(must_parse("\"\""), &str), 1);
    assert_int_equal(knock_json_string_eq(must_parse("\"\\n\""), &str), 0);
}


static void
test_members_are_looked_up_by_decoded_key(void **state)
{
    knock_str_t          nul = knock_string("a\0b");
    const knock_json_t  *doc;

    (void) state;

    doc = must_parse("{\"a\":1,\"A\":2,\"\":3,\"a\\u0000b\":4,\"\\u0062\":5,"
                     "\"c\":{\"d\":6},\"dup\":7,\"d\":8,\"d\\u0075p\":9,"
                     "\"ab\":10}");

    assert_value(knock_json_get(doc, "a"), KNOCK_JSON_NUMBER, "1");
    assert_value(knock_json_get(doc, "A"), KNOCK_JSON_NUMBER, "2");
    assert_value(knock_json_get(doc, ""), KNOCK_JSON_NUMBER, "3");
    assert_value(knock_json_member(doc, &nul), KNOCK_JSON_NUMBER, "4");
    assert_value(knock_json_get(doc, "b"), KNOCK_JSON_NUMBER, "5");
    assert_value(knock_json_get(doc, "c"), KNOCK_JSON_OBJECT, "{\"d\":6}");
    assert_value(knock_json_get(doc, "d"), KNOCK_JSON_NUMBER, "8");

    /* of a duplicated key the last one counts */

    assert_value(knock_json_get(doc, "dup"), KNOCK_JSON_NUMBER, "9");

    assert_null(knock_json_get(doc, "x"));
    assert_null(knock_json_get(doc, "abc"));
    assert_null(knock_json_get(NULL, "a"));
    assert_null(knock_json_get(must_parse("[\"a\",1]"), "a"));
    assert_null(knock_json_get(must_parse("\"a\""), "a"));
    assert_null(knock_json_get(must_parse("{}"), "a"));
}


static void
test_elements_are_counted_from_0(void **state)
{
    const knock_json_t  *doc;

    (void) state;

    doc = must_parse("[[1,2],{\"a\":[3]},\"x\"]");

    assert_value(knock_json_element(doc, 0), KNOCK_JSON_ARRAY, "[1,2]");
    assert_value(knock_json_element(doc, 1), KNOCK_JSON_OBJECT,
                 "{\"a\":[3]}");
    assert_value(knock_json_element(doc, 2), KNOCK_JSON_STRING, "\"x\"");
    assert_null(knock_json_element(doc, 3));
    assert_null(knock_json_element(doc, SIZE_MAX));
    assert_null(knock_json_element(must_parse("{\"a\":1}"), 0));
    assert_null(knock_json_element(must_parse("[]"), 0));
    assert_null(knock_json_element(must_parse("1"), 0));
}


static void
test_the_number_of_values_is_bounded(void **state)
{
    size_t       i, held;
    knock_str_t  text;

    (void) state;

    /* the array itself is a value too */

    text.len = 2 * (KNOCK_MAX_VALUES - 1) + 1;
    text.data = malloc(text.len + 2);
    assert_non_null(text.data);

    for (i = 0; i < text.len; i += 2) {
        text.data[i] = ',';
        text.data[i + 1] = '0';
    }

    text.data[0] = '[';
    text.data[text.len - 1] = ']';

    assert_int_equal(knock_json_parse(arena, &text, 1, &root, &err), KNOCK_OK);
    assert_int_equal(root->count, KNOCK_MAX_VALUES - 1);
    assert_int_equal(root->span, KNOCK_MAX_VALUES);

    held = knock_arena_size(arena);
    assert_true(held < KNOCK_MAX_VALUES * sizeof(knock_json_t) + 1024 * 1024);

    knock_arena_reset(arena);

    memcpy(text.data + text.len - 1, ",0]", 3);
    text.len += 2;

    assert_int_equal(knock_json_parse(arena, &text, 1, &root, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_JSON);
    assert_int_equal(err.offset, text.len - 2);
    assert_non_null(strstr(err.message, "more than 4000000 values"));

    free(text.data);
}


static void
test_unused_tokens_are_given_back(void **state)
{
    unsigned char  *before, *after;
    knock_str_t     text = knock_string("{\"a\":[1,2]}");

    (void) state;

    before = knock_arena_alloc(arena, 8);
    assert_int_equal(knock_json_parse(arena, &text, 4, &root, &err), KNOCK_OK);
    after = knock_arena_alloc(arena, 8);

    assert_true(after > before);
    assert_true((size_t) (after - before) <= 5 * sizeof(knock_json_t) + 32);
}


#if SIZE_MAX > UINT32_MAX

static void
test_a_text_over_4_gb_is_refused_unread(void **state)
{
    knock_str_t  text = knock_string("1");

    (void) state;

    text.len = (size_t) UINT32_MAX + 1;

    assert_int_equal(knock_json_parse(arena, &text, 1, &root, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_JSON);
}

#endif


/*
 * The grammar of RFC 8259 as plainly as it can be written: each function
 * takes the place of something and returns what follows it, or NULL.  A NUL
 * behind the text stands for its end.
 */

static const char *oracle_value(const char *p, int depth);


static const char *
oracle_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}


static const char *
oracle_digits(const char *p)
{
    size_t  n = strspn(p, "0123456789");

    return n != 0 ? p + n : NULL;
}


static const char *
oracle_number(const char *p)
{
    p += (*p == '-');

    p = (*p == '0') ? p + 1 : oracle_digits(p);

    if (p != NULL && *p == '.') {
        p = oracle_digits(p + 1);
    }

    if (p != NULL && (*p == 'e' || *p == 'E')) {
        p++;
        p += (*p == '+' || *p == '-');
        p = oracle_digits(p);
    }

    return p;
}


static const char *
oracle_string(const char *p)
{
    long      n;
    size_t    i, len;
    char      hex[5];
    long      high;
    uint32_t  c;

    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    high = 0;

    for (p++; *p != '"'; /* void */ ) {

        if ((unsigned char) *p < 0x20) {
            return NULL;
        }

        if (p[0] == '\\' && p[1] == 'u') {
            if (strspn(p + 2, "0123456789abcdefABCDEF") < 4) {
                return NULL;
            }

            memcpy(hex, p + 2, 4);
            hex[4] = '\0';
            n = strtol(hex, NULL, 16);

            if ((high != 0) != (n >= 0xdc00 && n <= 0xdfff)) {
                return NULL;
            }

            high = (n >= 0xd800 && n <= 0xdbff);
            p += 6;
            continue;
        }

        if (high) {
            return NULL;
        }

        if (*p == '\\') {
            if (p[1] == '\0' || strchr("\"\\/bfnrt", p[1]) == NULL) {
                return NULL;
            }

            p += 2;
            continue;
        }

        c = (unsigned char) *p++;

        if (c < 0x80) {
            continue;
        }

        len = c >= 0xf8 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;

        if (len == 0) {
            return NULL;
        }

        c &= 0x7fU >> len;

        for (i = 1; i < len; i++) {
            if ((*p & 0xc0) != 0x80) {
                return NULL;
            }

            c = c << 6 | (*p++ & 0x3f);
        }

        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return NULL;
        }
    }

    return high ? NULL : p + 1;
}


static const char *
oracle_list(const char *p, int depth, int object)
{
    const char  close = object ? '}' : ']';

    if (depth == 0) {
        return NULL;
    }

    p = oracle_space(p + 1);

    if (*p == close) {
        return p + 1;
    }

    for ( ;; ) {

        if (object) {
            p = (*p == '"') ? oracle_string(p) : NULL;

            if (p == NULL || *(p = oracle_space(p)) != ':') {
                return NULL;
            }

            p = oracle_space(p + 1);
        }

        p = oracle_value(p, depth - 1);
        if (p == NULL) {
            return NULL;
        }

        p = oracle_space(p);

        if (*p == close) {
            return p + 1;
        }

        if (*p != ',') {
            return NULL;
        }

        p = oracle_space(p + 1);
    }
}


static const char *
oracle_value(const char *p, int depth)
{
    switch (*p) {

    case '"':
        return oracle_string(p);

    case '[':
        return oracle_list(p, depth, 0);

    case '{':
        return oracle_list(p, depth, 1);

    case 't':
        return strncmp(p, "true", 4) == 0 ? p + 4 : NULL;

    case 'f':
        return strncmp(p, "false", 5) == 0 ? p + 5 : NULL;

    case 'n':
        return strncmp(p, "null", 4) == 0 ? p + 4 : NULL;

    default:
        return oracle_number(p);
    }
}


static int
oracle(const char *text, size_t len)
{
    const char  *p;

    p = oracle_value(oracle_space(text), DEPTH);

    return p != NULL && oracle_space(p) == text + len;
}


/* checks what holds of any tree; returns the token behind it */

static const knock_json_t *
assert_tree(const knock_json_t *v)
{
    size_t               i, n;
    knock_str_t          str;
    const unsigned char  *at;
    const knock_json_t   *child, *end;

    end = v + v->span;
    n = v->count;

    switch (v->type) {

    case KNOCK_JSON_STRING:
        assert_int_equal(knock_json_string(arena, v, &str), KNOCK_OK);
        assert_int_equal(knock_json_string_eq(v, &str), 1);
        break;

    case KNOCK_JSON_OBJECT:
        n *= 2;
        break;

    case KNOCK_JSON_ARRAY:
        break;

    default:
        assert_in_range(v->type, KNOCK_JSON_NULL, KNOCK_JSON_NUMBER);
    }

    child = v + 1;
    at = v->data;

    for (i = 0; i < n; i++) {
        assert_true(child < end);
        assert_true(child->data > at);
        assert_true(child->data + child->len < v->data + v->len);

        if (v->type == KNOCK_JSON_OBJECT && i % 2 == 0) {
            assert_int_equal(child->type, KNOCK_JSON_STRING);
        }

        at = child->data + child->len - 1;
        child = assert_tree(child);
    }

    assert_ptr_equal(child, end);

    return end;
}


static uint32_t
chance(uint32_t n)
{
    static uint64_t  x = 88172645463325252;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;

    return (uint32_t) (x >> 32) % n;
}


/* one random change; returns the new length, at most 2 more */

static size_t
damage(char *text, size_t len)
{
    size_t  at, n;

    static const char  bytes[] =
        "\"\"\"\\\\{}[],:0123456789-+.eEtfnul \n\r\t\x1f\x7fud8DcC"
        "\x80\xbf\xc0\xc2\xc3\xe0\xe2\xed\xef\xf0\xf4\xf5\xff";

    at = chance((uint32_t) len);

    switch (chance(4)) {

    case 0:
        text[at] = bytes[chance(sizeof(bytes) - 1)];
        return len;

    case 1:
        memmove(text + at + 1, text + at, len - at);
        text[at] = bytes[chance(sizeof(bytes) - 1)];
        return len + 1;

    case 2:
        n = 1 + chance(3);
        n = (n < len - at) ? n : len - at;
        memmove(text + at, text + at + n, len - at - n);
        return len - n;

    default:
        n = chance((uint32_t) len);
        text[at] = text[n];
        return len;
    }
}


static void
test_damaged_documents(void **state)
{
    int          i, ok, accepted;
    char         text[512];
    size_t       len, n;
    knock_str_t  copy;

    static const char  *seeds[] = {
        document, "[1,-2.5e+10,\"\xf0\x9f\x98\x80\"]", "\"\\ud83d\\ude00\"",
        "{\"a\":{\"a\":[{},[[]],\"\xe2\x82\xac\"]}}", "-0.5e-5",
        "[true,false,null]"
    };

    (void) state;

    accepted = 0;

    for (i = 0; i < 60000; i++) {
        len = strlen(seeds[(size_t) i % N(seeds)]);
        memcpy(text, seeds[(size_t) i % N(seeds)], len);

        for (n = 1 + chance(4); n != 0 && len != 0; n--) {
            len = damage(text, len);
        }

        text[len] = '\0';

        /* on the heap by itself, its end is guarded */

        copy.len = len;
        copy.data = malloc(len + (len == 0));
        assert_non_null(copy.data);
        memcpy(copy.data, text, len);

        ok = knock_json_parse(arena, &copy, DEPTH, &root, &err);

        if ((ok == KNOCK_OK) != oracle(text, len)) {
            fail_msg("%s: %s", text, ok == KNOCK_OK ? "accepted" : err.message);
        }

        if (ok == KNOCK_OK) {
            accepted++;
            assert_ptr_equal(assert_tree(root), root + root->span);

        } else {
            assert_true(err.offset <= len);
        }

        free(copy.data);
        knock_arena_reset(arena);
    }

    /* chance has tried both sides */

    assert_in_range(accepted, 1000, 59000);
}


#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_what_is_json),
        t(test_what_is_not_json),
        t(test_messages_say_what_is_wrong_where),
        t(test_every_prefix_of_a_document_is_refused),
        t(test_strings_of_every_length_and_position),
        t(test_depth_is_of_what_is_open),
        t(test_deep_nesting_needs_no_stack),
        t(test_tokens_of_a_document),
        t(test_numbers_stay_as_written),
        t(test_strings_are_decoded),
        t(test_members_are_looked_up_by_decoded_key),
        t(test_elements_are_counted_from_0),
        t(test_the_number_of_values_is_bounded),
        t(test_unused_tokens_are_given_back),
#if SIZE_MAX > UINT32_MAX
        t(test_a_text_over_4_gb_is_refused_unread),
#endif
        t(test_damaged_documents)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

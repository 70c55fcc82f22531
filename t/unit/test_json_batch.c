
/*
 * knock_json_parse_batch(): elements that are bad by themselves, and what
 * breaks the whole; escapes of lone surrogates.
 */

#include "fixture.h"

#include "knock_json.h"
#include "knock_limits.h"


#define DEPTH  4


static knock_str_t         body;
static knock_json_batch_t  batch;
static knock_error_t       err;


static int
read_batch(const char *text)
{
    static const knock_str_t  member = knock_string("batch");

    knock_str_t  s;

    s.len = strlen(text);
    s.data = (unsigned char *) text;

    assert_int_equal(knock_arena_dup(arena, &s, &body), KNOCK_OK);

    return knock_json_parse_batch(arena, &body, DEPTH, &member, &batch, &err);
}


static const knock_json_t *
elements(void)
{
    const knock_json_t  *v;

    v = batch.root;

    return v->type == KNOCK_JSON_OBJECT ? knock_json_get(v, "batch") : v;
}


/* the texts of the elements, one behind the other; of a bad one, its fault */

static const char *
said(void)
{
    size_t               i;
    knock_buf_t          buf;
    knock_str_t          s;
    const knock_json_t  *v, *array;

    array = elements();
    knock_buf_init(&buf, arena, 0);

    v = array + 1;

    for (i = 0; i < array->count; i++, v = knock_json_next(v)) {

        if (v->type == KNOCK_JSON_BAD) {
            assert_int_equal(knock_json_why(&body, v, DEPTH, &err),
                             KNOCK_ERROR);
            assert_int_equal(err.code, KNOCK_E_INVALID_JSON);
            knock_buf_add_char(&buf, '<');
            knock_buf_add(&buf, err.message, strlen(err.message));
            knock_buf_add_char(&buf, '>');

        } else {
            knock_buf_add(&buf, v->data, v->len);
        }

        knock_buf_add_char(&buf, '|');
    }

    assert_ptr_equal(v, knock_json_next(array));
    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


static void
what_is_bad_by_itself_stays_with_its_element(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        const char  *said;
    } rows[] = {
        { "[]", "" },
        { " [ 1 , {} ] ", "1|{}|" },

        /* strings */

        { "[\"\xff\",1]", "<byte 2: a string must be valid UTF-8>|1|" },
        { "[1,{\"a\":[\"\xc0\x80]\",{}]} , 2]",
          "1|<byte 10: a string must be valid UTF-8>|2|" },
        { "[{\"\xed\xa0\x80\":1},2]",
          "<byte 3: a string must be valid UTF-8>|2|" },
        { "[{\"a\":\"\\x\\\"}\"},2]",
          "<byte 8: expected one of \"\\/bfnrtu after '\\', found 'x'>|2|" },
        { "[\"\\u12g4\",2]", "<byte 2: expected four hex digits after '\\u'>"
                             "|2|" },
        { "[\"a\nb\",2]", "<byte 3: a control character in a string must be "
                          "escaped>|2|" },

        { "[\"\xff\" 1,2]", "<byte 2: a string must be valid UTF-8>|2|" },

        /* nesting */

        { "[[[[[[]]]]],2]", "<byte 5: arrays and objects are nested deeper "
                            "than the limit of 4 levels>|2|" },
        { "[[[[[]]]],2]", "[[[[]]]]|2|" },
        { "{\"batch\":[[[[[]]]],2]}", "[[[[]]]]|2|" },
        { "{\"batch\":[[[[[[]]]]],2]}",
          "<byte 14: arrays and objects are nested deeper than the limit of 4 "
          "levels>|2|" },

        /* anything else, while its end is told */

        { "[01,2]", "<byte 1: a number must not start with 0 followed by "
                    "digits>|2|" },
        { "[1.,2]", "<byte 3: expected a digit, found ','>|2|" },
        { "[tru , 2]", "<byte 4: expected true, false or null, found byte "
                       "0x20>|2|" },
        { "[{\"a\" 1},2]", "<byte 6: expected ':', found '1'>|2|" },
        { "[{\"a\":1,},2]", "<byte 8: expected a key in double quotes, found "
                            "'}'>|2|" },
        { "[{\"a\":},2]", "<byte 6: expected a value, found '}'>|2|" },
        { "[{\"a\":1 \"b\"},2]", "<byte 8: expected ',' or '}', found '\"'>"
                                 "|2|" },
        { "[[1 2],3]", "<byte 4: expected ',' or ']', found '2'>|3|" },
        { "[{a:[{}]}]", "<byte 2: expected a key in double quotes, found 'a'>"
                        "|" },

        /* several, first and last */

        { "[x,{\"a\":y},3,z]",
          "<byte 1: expected a value, found 'x'>|"
          "<byte 8: expected a value, found 'y'>|3|"
          "<byte 13: expected a value, found 'z'>|" },

        /* the member may stand anywhere, and the last one counts */

        { "{\"a\":[1],\"b\\u0061tch\":[x,2],\"c\":{\"batch\":[3]}}",
          "<byte 23: expected a value, found 'x'>|2|" },
        { "{\"batch\":[x],\"batch\":[1,y]}",
          "1|<byte 24: expected a value, found 'y'>|" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {

        if (read_batch(rows[i].text) != KNOCK_OK) {
            fail_msg("%s: %s", rows[i].text, err.message);
        }

        assert_string_equal(said(), rows[i].said);
    }
}


static void
what_breaks_the_structure_breaks_the_whole(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        size_t       offset;
    } rows[] = {

        /* no end */

        { "[{\"a\":\"x},{\"b\":1}]", 12 },
        { "[1,\"x", 5 },
        { "[1,\"x\\", 6 },
        { "[{\"a\":x", 6 },
        { "[{\"a\":[x},1]", 7 },
        { "[{\"a\":x],1]", 6 },
        { "[x}", 1 },
        { "[x", 1 },
        { "[{},{\"a\":1,2]", 11 },

        /* nothing where an element must be */

        { "[,1]", 1 },
        { "[1,]", 3 },
        { "[1,,2]", 3 },

        /* something between elements */

        { "[1 2]", 3 },
        { "[{} {}]", 4 },
        { "[{},\"x\" 1]", 8 },
        { "[1]x", 3 },

        /* outside of the batch */

        { "{\"a\":x,\"batch\":[1]}", 5 },
        { "{\"batch\":[1],\"a\":x}", 17 },
        { "{\"batch\":[x]\"a\":1}", 12 },
        { "{\"batch\":{\"a\":x}}", 14 },
        { "{\"a\":{\"batch\":[x]}}", 15 },
        { "{\"a\":[x]}", 6 },
        { "x", 0 },

        /* a bad element before it changes nothing */

        { "[x,{\"a\":1]", 9 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {

        if (read_batch(rows[i].text) != KNOCK_ERROR) {
            fail_msg("%s is taken", rows[i].text);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_JSON);

        if (err.offset != rows[i].offset) {
            fail_msg("%s: %s", rows[i].text, err.message);
        }
    }
}


static void
deep_elements_need_no_stack(void **state)
{
    (void) state;

    assert_int_equal(read_batch(repeat("[1,", repeat("", "[{\"a\":", 100000,
                                                     ""), 1,
                                       repeat("", "}]", 100000, ",2]"))),
                     KNOCK_OK);
    assert_int_equal(elements()->count, 3);
    assert_starts(said(), "1|<byte 15: arrays and objects are nested");
}


/* what an event is, not the parser, says whether its member is a batch */

static void
what_is_no_value_of_its_own_is_told(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        unsigned     loose;
    } rows[] = {
        { "[1,{}]", 0 },
        { "{\"batch\":[[[]]]}", 0 },
        { "{\"batch\":[[[[]]]]}", 1 },
        { "{\"batch\":[],\"a\":[[[[]]]]}", 1 },
        { "{\"batch\":[x]}", 1 },
        { "[x]", 1 },
        { "[\"\\ud83d\"]", 0 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(read_batch(rows[i].text), KNOCK_OK);

        if (batch.loose != rows[i].loose) {
            fail_msg("%s", rows[i].text);
        }

        assert_int_equal(knock_json_parse_batch(arena, &body, DEPTH, NULL,
                                                &batch, &err),
                         rows[i].loose ? KNOCK_ERROR : KNOCK_OK);
    }
}


static void
lone_surrogates_are_replaced(void **state)
{
    size_t               i;
    const knock_json_t  *v;

    static const struct {
        const char  *text;
        const char  *said;
    } rows[] = {
        { "[\"a\\ud83d\"]", "[\"a\\ufffd\"]" },
        { "[\"\\uD83D\\uD83d\\uDE00\\ude00\"]",
          "[\"\\ufffd\\uD83d\\uDE00\\ufffd\"]" },
        { "[\"\\ud83d\\n\\\\ud83d\\u00e9\"]",
          "[\"\\ufffd\\n\\\\ud83d\\u00e9\"]" },
        { "{\"\\udfff\":[\"\\ud800x\",1]}", "{\"\\ufffd\":[\"\\ufffdx\",1]}" },
        { "[{\"a\":1},\"\\udbff\",\"\\udc00\"]",
          "[{\"a\":1},\"\\ufffd\",\"\\ufffd\"]" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(read_batch(rows[i].text), KNOCK_OK);
        assert_int_equal(batch.replaced, 1);
        assert_int_equal(batch.root->len, strlen(rows[i].said));
        assert_memory_equal(batch.root->data, rows[i].said,
                            batch.root->len);

        /* a body is received again, and its signature checked again */

        assert_memory_equal(body.data, rows[i].text, body.len);
    }

    assert_int_equal(read_batch("[\"\\ud83d\\ude00\\\\ud83d\",1]"), KNOCK_OK);
    assert_int_equal(batch.replaced, 0);
    assert_ptr_equal(batch.root->data, body.data);

    /* which strings, of which element */

    assert_int_equal(read_batch("[{\"a\":\"\\u0041\"},{\"b\":\"\\ud83d\"}]"),
                     KNOCK_OK);
    v = elements();
    assert_int_equal(v[3].escaped, KNOCK_JSON_ESCAPED);
    assert_int_equal(v[6].escaped, KNOCK_JSON_ESCAPED | KNOCK_JSON_REPLACED);

    assert_int_equal(read_batch("[\"\\ud83d\\u12g4\"]"), KNOCK_OK);
    assert_string_equal(said(), "<byte 8: expected four hex digits after "
                                "'\\u'>|");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(what_is_bad_by_itself_stays_with_its_element),
        t(what_breaks_the_structure_breaks_the_whole),
        t(deep_elements_need_no_stack),
        t(what_is_no_value_of_its_own_is_told),
        t(lone_surrogates_are_replaced)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

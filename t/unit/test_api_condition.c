
/* knock_api_condition: what If-Match and If-None-Match ask for */

#include "fixture.h"

#include "knock_api.h"


/* the very bytes and none behind them, so that a sanitizer sees a step over */

static const char *
condition(const char *value, int none, const char *before)
{
    knock_buf_t  buf;
    knock_str_t  str, text;

    str.len = strlen(value);
    str.data = malloc(str.len ? str.len : 1);
    assert_non_null(str.data);

    memcpy(str.data, value, str.len);

    knock_buf_init(&buf, arena, 1);
    knock_buf_add(&buf, before, strlen(before));
    knock_api_condition(&buf, &str, none);
    knock_buf_add_char(&buf, '\0');

    free(str.data);

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return (const char *) text.data;
}


static void
a_header_becomes_a_condition(void **state)
{
    size_t  i;

    static const struct {
        const char  *value;
        const char  *condition;
    } cases[] = {
        { "*", "*" },
        { "\"ab\"", "ab" },
        { "ab", "ab" },
        { "W/\"ab\"", "ab" },
        { "\"ab\", W/\"cd\" ,\t\"ef\"", "ab,cd,ef" },
        { " ,, \"ab\" , ", "ab" },
        { "\"ab\"\"cd\"", "ab,cd" },
        { "ab,cd ef", "ab,cd,ef" },
        { "\"x\", \"ab\"", "ab" },

        /* what is none of the library's ETags matches nothing */

        { "", "-" },
        { ",", "-" },
        { " ", "-" },
        { "\"", "-" },
        { "\"\"", "-" },
        { "\"ab", "-" },
        { "W/", "-" },
        { "W/\"", "-" },
        { "W", "-" },
        { "\"a,b\"", "-" },
        { "\"a b\"", "-" },
        { "\"*\"", "-" },
        { "\"ab\", *", "ab" },
        { "\"!ab\"", "-" }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_string_equal(condition(cases[i].value, 0, ""),
                            cases[i].condition);
    }

    assert_string_equal(condition("*", 1, ""), "!*");
    assert_string_equal(condition("\"ab\",\"cd\"", 1, ""), "!ab,cd");
    assert_string_equal(condition("x", 1, ""), "!-");
    assert_string_equal(condition("*", 1, "ab,cd"), "ab,cd !*");
}


static void
a_condition_names_etags(void **state)
{
    size_t       i;
    knock_str_t  text, etag = knock_string("ab");

    static const struct {
        const char  *condition;
        int          names;
    } cases[] = {
        { "", 0 }, { "*", 1 }, { "-", 0 }, { "ab", 1 }, { "cd,ab", 1 },
        { "ab,cd", 1 }, { "abc", 0 }, { "cab", 0 }, { "a,b", 0 }, { "a", 0 }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        text.data = (unsigned char *) cases[i].condition;
        text.len = strlen(cases[i].condition);

        if (knock_api_condition_names(&text, &etag) != cases[i].names) {
            fail_msg("\"%s\"", cases[i].condition);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_header_becomes_a_condition),
        cmocka_unit_test(a_condition_names_etags)
    };

    return cmocka_run_group_tests_name("api_condition", tests, setup,
                                       teardown);
}

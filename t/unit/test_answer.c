
/* knock_answer: the JSON that a sender is answered with */

#include "fixture.h"

#include "knock_answer.h"
#include "knock_unit.h"


static const char *
applied(const char *statuses, uint64_t runs, const size_t *indexes,
    const char *errors)
{
    knock_str_t      json;
    knock_error_t    err;
    knock_applied_t  a;

    a.statuses = str(statuses);
    a.runs = runs;
    a.indexes = indexes;
    a.errors = str(errors);

    if (knock_answer_applied(arena, &a, &json, &err) == KNOCK_DECLINED) {
        assert_int_equal(err.code, KNOCK_E_USER_TOO_LARGE);
        return "refused";
    }

    return text(&json);
}


static void
an_error_names_its_event_code_and_message(void **state)
{
    knock_buf_t    buf;
    knock_str_t    json, action;
    knock_error_t  err;

    (void) state;

    knock_buf_init(&buf, arena, 0);
    action = str("a-1");

    (void) knock_error_set(&err, KNOCK_E_INVALID_EVENT, "say \"%s\"", "x");
    knock_answer_add_error(&buf, 0, NULL, &err);

    (void) knock_error_set(&err, KNOCK_E_RECIPIENTS_MISSING, "m\n");
    knock_answer_add_error(&buf, 3999, &action, &err);

    assert_int_equal(knock_buf_str(&buf, &json), KNOCK_OK);
    assert_string_equal(text(&json),
        "{\"index\":0,\"code\":\"invalid_event\","
        "\"message\":\"say \\\"x\\\"\"},"
        "{\"index\":3999,\"action\":\"a-1\",\"code\":\"recipients_missing\","
        "\"message\":\"m\\n\"}");
}


static void
a_refusal_has_code_and_message(void **state)
{
    knock_str_t    json, none = knock_null_string;
    knock_error_t  err;

    (void) state;

    (void) knock_error_set(&err, KNOCK_E_INVALID_JSON, "at byte %d", 7);

    assert_int_equal(knock_answer_refused(arena, &err, &none, &json),
                     KNOCK_OK);
    assert_string_equal(text(&json), "{\"error\":{\"code\":\"invalid_json\","
                                     "\"message\":\"at byte 7\"}}\n");
}


static void
a_refusal_lists_the_errors_of_its_events(void **state)
{
    knock_str_t    json, errors;
    knock_error_t  err;

    (void) state;

    errors = str("{\"index\":0}");
    (void) knock_error_set(&err, KNOCK_E_INVALID_EVENT, "m");

    assert_int_equal(knock_answer_refused(arena, &err, &errors, &json),
                     KNOCK_OK);
    assert_string_equal(text(&json),
                        "{\"error\":{\"code\":\"invalid_event\","
                        "\"message\":\"m\"},\"errors\":[{\"index\":0}]}\n");
}


static void
statuses_are_counted(void **state)
{
    (void) state;

    assert_string_equal(applied("p", 1, NULL, ""),
                        "{\"accepted\":1,\"duplicates\":0,\"ignored\":0,"
                        "\"runs\":1,\"errors\":[]}\n");
    assert_string_equal(applied("pdiipd", 18446744073709551615u, NULL, ""),
                        "{\"accepted\":2,\"duplicates\":2,\"ignored\":2,"
                        "\"runs\":18446744073709551615,\"errors\":[]}\n");
}


static void
an_event_whose_actions_failed_was_accepted(void **state)
{
    (void) state;

    assert_string_equal(applied("f", 0, NULL, "{\"index\":0}"),
                        "{\"accepted\":1,\"duplicates\":0,\"ignored\":0,"
                        "\"runs\":0,\"errors\":[{\"index\":0}]}\n");
}


static void
a_user_that_is_too_large_is_an_error_of_its_event(void **state)
{
    const char  *json;

    (void) state;

    json = applied("plp", 0, NULL, "");

    assert_non_null(strstr(json, "{\"accepted\":2,\"duplicates\":0,"
                                 "\"ignored\":0,\"runs\":0,\"errors\":["
                                 "{\"index\":1,\"code\":\"user_too_large\","
                                 "\"message\":\""));
    assert_non_null(strstr(json, "262144"));
}


static void
the_index_of_an_event_is_that_in_the_body(void **state)
{
    const char  *json;

    static const size_t  indexes[] = { 2, 5, 7 };

    (void) state;

    json = applied("lpl", 0, indexes, "{\"index\":0}");

    assert_non_null(strstr(json, "\"errors\":[{\"index\":0},{\"index\":2,"
                                 "\"code\":\"user_too_large\""));
    assert_non_null(strstr(json, ",{\"index\":7,\"code\":\"user_too_large\""));
}


static void
nothing_applied_is_a_refusal(void **state)
{
    (void) state;

    assert_string_equal(applied("l", 0, NULL, ""), "refused");
    assert_string_equal(applied("lll", 0, NULL, ""), "refused");
    assert_string_not_equal(applied("ld", 0, NULL, ""), "refused");
    assert_string_not_equal(applied("li", 0, NULL, ""), "refused");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(an_error_names_its_event_code_and_message),
        t(a_refusal_has_code_and_message),
        t(a_refusal_lists_the_errors_of_its_events),
        t(statuses_are_counted),
        t(an_event_whose_actions_failed_was_accepted),
        t(a_user_that_is_too_large_is_an_error_of_its_event),
        t(the_index_of_an_event_is_that_in_the_body),
        t(nothing_applied_is_a_refusal)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

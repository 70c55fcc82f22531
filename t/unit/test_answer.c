
/* knock_answer: the JSON that a sender is answered with */

#include "fixture.h"

#include "knock_answer.h"


static knock_faults_t  *faults;


static int
begin(void **state)
{
    if (setup(state) != 0) {
        return 1;
    }

    faults = knock_faults_create(arena);

    return faults == NULL;
}


static void
fault(size_t index, const char *action, knock_error_code_e code,
    const char *message)
{
    knock_str_t    key;
    knock_error_t  err;

    key = str(action ? action : "");

    (void) knock_error_set(&err, code, "%s", message);
    knock_faults_add(faults, index, action ? &key : NULL, &err);
}


static const char *
applied(const knock_faults_t *wrong)
{
    knock_str_t      json;
    knock_applied_t  a = { 1, 2, 3, 18446744073709551615u };

    assert_int_equal(knock_answer_applied(arena, &a, wrong, &json), KNOCK_OK);

    return text(&json);
}


static const char *
refused(const knock_faults_t *wrong)
{
    knock_str_t    json;
    knock_error_t  err;

    (void) knock_error_set(&err, KNOCK_E_INVALID_JSON, "at byte %d", 7);

    assert_int_equal(knock_answer_refused(arena, &err, wrong, &json),
                     KNOCK_OK);

    return text(&json);
}


static void
an_answer_has_the_figures(void **state)
{
    (void) state;

    assert_string_equal(applied(NULL),
                        "{\"accepted\":1,\"duplicates\":2,\"ignored\":3,"
                        "\"runs\":18446744073709551615,\"errors\":[]}\n");
}


static void
an_error_names_its_event_code_and_message(void **state)
{
    (void) state;

    fault(0, NULL, KNOCK_E_INVALID_EVENT, "say \"x\"");
    fault(3999, "a-1", KNOCK_E_RECIPIENTS_MISSING, "m\n");

    assert_string_equal(applied(faults),
        "{\"accepted\":1,\"duplicates\":2,\"ignored\":3,"
        "\"runs\":18446744073709551615,\"errors\":["
        "{\"index\":0,\"code\":\"invalid_event\","
        "\"message\":\"say \\\"x\\\"\"},"
        "{\"index\":3999,\"action\":\"a-1\",\"code\":\"recipients_missing\","
        "\"message\":\"m\\n\"}]}\n");

    assert_int_equal(faults->first.code, KNOCK_E_INVALID_EVENT);
    assert_int_equal(faults->codes[KNOCK_E_INVALID_EVENT], 1);
    assert_int_equal(faults->codes[KNOCK_E_RECIPIENTS_MISSING], 1);
}


static void
a_refusal_has_code_and_message_and_the_errors(void **state)
{
    (void) state;

    assert_string_equal(refused(NULL), "{\"error\":{\"code\":\"invalid_json\","
                                       "\"message\":\"at byte 7\"}}\n");

    fault(2, NULL, KNOCK_E_INVALID_EVENT, "m");

    assert_string_equal(refused(faults),
                        "{\"error\":{\"code\":\"invalid_json\","
                        "\"message\":\"at byte 7\"},\"errors\":[{\"index\":2,"
                        "\"code\":\"invalid_event\",\"message\":\"m\"}]}\n");
}


/* what does not fit is counted by code; nothing comes behind it that does */

static void
errors_are_bound(void **state)
{
    size_t       i;
    const char  *long_one, *json, *end;

    (void) state;

    long_one = repeat("", "x", 500, "");

    for (i = 0; i < 3000; i++) {
        fault(i, NULL, i % 2 ? KNOCK_E_INVALID_EVENT : KNOCK_E_USER_TOO_LARGE,
              long_one);
    }

    fault(i, NULL, KNOCK_E_INVALID_EVENT, "short");

    json = applied(faults);
    end = strstr(json, "],\"errors_omitted\":{");

    assert_non_null(end);
    assert_true(strlen(json) < KNOCK_ANSWER_ERRORS + 256);
    assert_true(strlen(json) > KNOCK_ANSWER_ERRORS - 1024);
    assert_null(strstr(json, "short"));
    assert_int_equal(faults->codes[KNOCK_E_INVALID_EVENT], 1501);
    assert_int_equal(faults->omitted,
                     faults->omitted_codes[KNOCK_E_INVALID_EVENT]
                     + faults->omitted_codes[KNOCK_E_USER_TOO_LARGE]);
    assert_non_null(strstr(end, "\"user_too_large\":"));
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(an_answer_has_the_figures),
        t(an_error_names_its_event_code_and_message),
        t(a_refusal_has_code_and_message_and_the_errors),
        t(errors_are_bound)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

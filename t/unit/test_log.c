
/* knock_log: the documents of the event log */

#include "fixture.h"

#include "knock_limits.h"
#include "knock_log.h"


#define NOW  1704164645678u        /* 2024-01-02T03:04:05.678Z */


static void
resolve(const char *params, const knock_event_t *event,
    knock_resolved_t *resolved)
{
    const char      *doc;
    knock_action_t  *action;
    knock_error_t    err;
    knock_limits_t   limits = { 10, 3, 10, 1 << 20 };

    doc = repeat("{\"key\":\"a\",\"source\":\"segment\",\"event\":\"track/T\","
                 "\"type\":\"workflows_trigger\",\"workflow\":\"w\",",
                 params, 1, "}");

    action = knock_arena_alloc(arena, sizeof(knock_action_t));
    assert_non_null(action);

    if (knock_action_compile(arena, parse(doc), action, &err) != KNOCK_OK) {
        fail_msg("%s: %s", doc, err.message);
    }

    assert_int_equal(knock_mapping_resolve(arena, action, event, &limits,
                                           resolved),
                     KNOCK_OK);
}


static const char *
logged(const char *event, const char *reason, const char *params)
{
    knock_str_t           doc;
    knock_resolved_t      resolved;
    const knock_event_t  *e;

    e = read_event(event);

    if (params) {
        resolve(params, e, &resolved);
    }

    assert_int_equal(knock_log_build(arena, e, reason, &resolved,
                                     params != NULL, NOW, &doc),
                     KNOCK_OK);

    /* whatever it holds, it is JSON */

    (void) parse(text(&doc));

    return text(&doc);
}


static void
an_event_without_actions(void **state)
{
    (void) state;

    assert_string_equal(
        logged("{\"type\":\"track\",\"event\":\"a\\\"b\","
               "\"messageId\":\"m1\"}", "no_action", NULL),
        "{\"event\":\"track/a\\\"b\",\"message_id\":\"m1\","
        "\"received_at\":\"2024-01-02T03:04:05.678Z\","
        "\"reason\":\"no_action\",\"actions\":[]}");

    assert_string_equal(
        logged("{\"type\":\"page\"}", NULL, NULL),
        "{\"event\":\"page\",\"message_id\":null,"
        "\"received_at\":\"2024-01-02T03:04:05.678Z\","
        "\"reason\":null,\"actions\":[]}");

    assert_string_equal(
        logged("{\"type\":\"page\",\"messageId\":true,\"timestamp\":5}", NULL,
               NULL),
        "{\"event\":\"page\",\"message_id\":null,"
        "\"received_at\":\"2024-01-02T03:04:05.678Z\","
        "\"reason\":null,\"notes\":[\"timestamp_from_number\","
        "\"message_id_unusable\"],\"actions\":[]}");
}


static void
what_an_action_resolved_to(void **state)
{
    (void) state;

    assert_non_null(strstr(
        logged("{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":"
               "[\"u1\",{\"id\":\"u2\",\"name\":\"x\"},"
               "{\"id\":\"p\",\"collection\":\"c\"}],\"a\":\"u9\","
               "\"t\":{\"id\":\"acme\"},\"k\":7}}", NULL,
               "\"recipients\":\"data.r\",\"actor\":\"data.a\","
               "\"tenant\":\"data.t\",\"cancellation_key\":\"data.k\""),
        "\"actions\":[{\"action\":\"a\",\"workflow\":\"w\",\"error\":null,"
        "\"recipients\":[\"u1\",\"u2\","
        "{\"collection\":\"c\",\"id\":\"p\"}],\"actor\":\"u9\","
        "\"tenant\":\"acme\",\"cancellation_key\":\"7\",\"left_out\":[]}]}"));
}


static void
what_is_unset_is_null(void **state)
{
    (void) state;

    assert_non_null(strstr(
        logged("{\"type\":\"track\",\"event\":\"T\"}", NULL,
               "\"recipients\":{\"literal\":[]}"),
        "\"error\":null,\"recipients\":[],\"actor\":null,\"tenant\":null,"
        "\"cancellation_key\":null,\"left_out\":[]}"));
}


static void
an_action_that_failed(void **state)
{
    (void) state;

    assert_non_null(strstr(
        logged("{\"type\":\"track\",\"event\":\"T\"}", NULL,
               "\"recipients\":\"data.r\""),
        "\"actions\":[{\"action\":\"a\",\"workflow\":\"w\","
        "\"error\":\"recipients_missing\",\"recipients\":[],\"actor\":null,"
        "\"tenant\":null,\"cancellation_key\":null,\"left_out\":[]}]"));

    assert_non_null(strstr(
        logged("{\"type\":\"track\",\"event\":\"T\"}", NULL,
               "\"recipients\":{\"literal\":[1,2,3,4]}"),
        "\"error\":\"too_many_recipients\",\"recipients\":[]"));
}


static void
elements_left_out_stand_with_their_reason(void **state)
{
    (void) state;

    assert_non_null(strstr(
        logged("{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":"
               "[true,{\"name\":\"\\u00e9\"},\"u1\"]}}", NULL,
               "\"recipients\":\"data.r\""),
        "\"left_out\":[{\"recipient\":true,\"reason\":\"invalid_recipient\"},"
        "{\"recipient\":{\"name\":\"\\u00e9\"},\"reason\":\"invalid_id\"}]"));
}


static void
a_long_element_is_not_logged(void **state)
{
    size_t       i;
    const char  *doc;

    (void) state;

    for (i = KNOCK_MAX_LOGGED - 2; i <= KNOCK_MAX_LOGGED; i++) {
        doc = logged(repeat("{\"type\":\"track\",\"event\":\"T\","
                            "\"properties\":{\"r\":[\"\\n", "x", i - 2,
                            "\"]}}"),
                     NULL, "\"recipients\":\"data.r\"");

        /* the text has two quotes around i bytes */

        if (i + 2 <= KNOCK_MAX_LOGGED) {
            assert_null(strstr(doc, "too long"));
            assert_non_null(strstr(doc, "xxxxxxxx"));

        } else {
            assert_non_null(strstr(doc, "\"left_out\":[{\"recipient\":"
                                        "\"(too long to be logged)\","
                                        "\"reason\":\"invalid_id\"}]"));
            assert_null(strstr(doc, "xxxxxxxx"));
        }
    }
}


static void
several_actions_stand_in_order(void **state)
{
    knock_str_t           doc;
    const char           *one, *two;
    knock_resolved_t      resolved[2];
    const knock_event_t  *event;

    (void) state;

    event = read_event("{\"type\":\"track\",\"event\":\"T\"}");

    resolve("\"recipients\":{\"literal\":\"u1\"}", event, &resolved[0]);
    resolve("\"recipients\":\"data.r\"", event, &resolved[1]);

    assert_int_equal(knock_log_build(arena, event, NULL, resolved, 2, NOW,
                                     &doc),
                     KNOCK_OK);

    one = strstr(text(&doc), "\"recipients\":[\"u1\"]");
    assert_non_null(one);
    two = strstr(one, "},{\"action\":\"a\",\"workflow\":\"w\",\"error\":"
                      "\"recipients_missing\"");
    assert_non_null(two);

    (void) parse(text(&doc));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(an_event_without_actions),
        t(what_an_action_resolved_to),
        t(what_is_unset_is_null),
        t(an_action_that_failed),
        t(elements_left_out_stand_with_their_reason),
        t(a_long_element_is_not_logged),
        t(several_actions_stand_in_order)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

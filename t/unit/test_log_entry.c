
/* knock_log_entry: an entry of the event log, from what Redis holds of it */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_limits.h"
#include "knock_log.h"
#include "knock_log_entry.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define HEAD                                                                 \
    "\"event\":\"track/A\",\"message_id\":\"m1\","                           \
    "\"received_at\":\"2026-01-02T03:04:05.678Z\""

#define ACTION(recipients, actor, left_out)                                  \
    "{\"action\":\"a1\",\"workflow\":\"w\",\"error\":null,"                  \
    "\"recipients\":" recipients ",\"actor\":" actor ",\"tenant\":\"t\","    \
    "\"cancellation_key\":null,\"left_out\":" left_out "}"

#define FAILED                                                               \
    "{\"action\":\"a2\",\"workflow\":\"w\",\"error\":\"recipients_missing\"," \
    "\"recipients\":[],\"actor\":null,\"tenant\":null,"                      \
    "\"cancellation_key\":null,\"left_out\":[]}"

#define DOC(actions)                                                         \
    "{" HEAD ",\"reason\":null,\"actions\":[" actions "]}"


static knock_arena_t  *arena;


static int
setup(void **state)
{
    (void) state;

    arena = knock_arena_create(4096);
    return arena == NULL;
}


static int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


static knock_str_t
str(const char *text)
{
    knock_str_t  copy, s;

    s.len = strlen(text);
    s.data = (unsigned char *) text;

    assert_int_equal(knock_arena_dup(arena, &s, &copy), KNOCK_OK);

    return copy;
}


static const knock_json_t *
parse(const char *text)
{
    knock_str_t     s;
    knock_json_t   *root;
    knock_error_t   err;

    s = str(text);

    if (knock_json_parse(arena, &s, 64, &root, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    return root;
}


static int
append(knock_buf_t *buf, const char *status, const char *verdict,
    const char *doc)
{
    knock_str_t    id, s, v, d;
    knock_error_t  err;

    id = str("1700000000000-0");
    s = str(status);
    v = str(verdict);
    d = str(doc);

    return knock_log_entry(arena, buf, &id, &s, &v, &d, &err);
}


static void
assert_entry(const char *status, const char *verdict, const char *doc,
    const char *expected)
{
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 16);

    if (append(&buf, status, verdict, doc) != KNOCK_OK) {
        fail_msg("no entry: %s %s %s", status, verdict, doc);
    }

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    if (!knock_str_is(&text, expected)) {
        fail_msg("\n%.*s\nis not\n%s", (int) text.len, (char *) text.data,
                 expected);
    }
}


#define ENTRY(status, reason, actions)                                       \
    "{\"id\":\"1700000000000-0\"," HEAD ",\"status\":\"" status "\","        \
    "\"reason\":" reason ",\"notes\":[],\"actions\":[" actions "]}"

#define ENTRY_ACTION(status, recipients, actor, runs, skipped)               \
    "{\"action\":\"a1\",\"workflow\":\"w\",\"status\":\"" status "\","       \
    "\"error\":null,\"recipients\":" recipients ",\"actor\":" actor ","      \
    "\"tenant\":\"t\",\"cancellation_key\":null,\"runs\":" runs ","          \
    "\"skipped\":" skipped "}"

#define ENTRY_FAILED(status)                                                 \
    "{\"action\":\"a2\",\"workflow\":\"w\",\"status\":\"" status "\","       \
    "\"error\":\"recipients_missing\",\"recipients\":[],\"actor\":null,"     \
    "\"tenant\":null,\"cancellation_key\":null,\"runs\":0,\"skipped\":[]}"


static void
a_processed_event_with_its_runs(void **state)
{
    (void) state;

    assert_entry("p", "rr;", DOC(ACTION("[\"u1\",\"u2\"]", "null", "[]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[\"u1\",\"u2\"]", "null",
                                    "2", "[]")));
}


static void
recipients_without_a_run_are_told_why(void **state)
{
    (void) state;

    assert_entry("p", "nrl;",
                 DOC(ACTION("[\"u1\",{\"collection\":\"c\",\"id\":\"2\"},"
                            "\"u3\"]", "null",
                            "[{\"recipient\":true,"
                            "\"reason\":\"invalid_recipient\"},"
                            "{\"recipient\":\"\","
                            "\"reason\":\"invalid_id\"}]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed",
                                    "[\"u1\",{\"collection\":\"c\","
                                    "\"id\":\"2\"},\"u3\"]", "null", "1",
                                    "[{\"recipient\":\"u1\",\"reason\":"
                                    "\"recipient_not_identified\"},"
                                    "{\"recipient\":\"u3\",\"reason\":"
                                    "\"user_too_large\"},"
                                    "{\"recipient\":true,\"reason\":"
                                    "\"invalid_recipient\"},"
                                    "{\"recipient\":\"\",\"reason\":"
                                    "\"invalid_id\"}]")));
}


static void
what_an_earlier_try_has_served(void **state)
{
    (void) state;

    assert_entry("p", "brb;",
                 DOC(ACTION("[\"u1\",\"u2\"]", "\"u9\"", "[]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[\"u1\",\"u2\"]",
                                    "\"u9\"", "1",
                                    "[{\"recipient\":\"u2\",\"reason\":"
                                    "\"applied_before\"}]")));
}


static void
elements_left_out_stand_alone_where_all_others_have_runs(void **state)
{
    (void) state;

    assert_entry("p", "r;",
                 DOC(ACTION("[\"u1\"]", "null",
                            "[{\"recipient\":[],"
                            "\"reason\":\"invalid_recipient\"}]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[\"u1\"]", "null", "1",
                                    "[{\"recipient\":[],\"reason\":"
                                    "\"invalid_recipient\"}]")));

    assert_entry("p", ";",
                 DOC(ACTION("[]", "null",
                            "[{\"recipient\":1.5,"
                            "\"reason\":\"invalid_id\"}]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[]", "null", "0",
                                    "[{\"recipient\":1.5,\"reason\":"
                                    "\"invalid_id\"}]")));
}


static void
an_actor_who_is_not_identified_is_noted(void **state)
{
    (void) state;

    assert_entry("p", "ar;ur;",
                 DOC(ACTION("[\"u1\"]", "\"u9\"", "[]") ","
                     ACTION("[\"u1\"]", "\"u8\"", "[]")),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[\"u1\"]", "\"u9\"", "1",
                                    "[]") ","
                       ENTRY_ACTION("processed", "[\"u1\"]", "\"u8\"",
                                    "1,\"actor_identified\":false", "[]")));
}


static void
a_failed_action_beside_one_that_acts(void **state)
{
    (void) state;

    assert_entry("p", "r;;",
                 DOC(ACTION("[\"u1\"]", "null", "[]") "," FAILED),
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed", "[\"u1\"]", "null", "1",
                                    "[]") ","
                       ENTRY_FAILED("failed")));
}


static void
an_event_whose_actions_all_failed(void **state)
{
    (void) state;

    assert_entry("f", "", DOC(FAILED),
                 ENTRY("failed", "\"recipients_missing\"",
                       ENTRY_FAILED("failed")));
}


static void
an_ignored_event_has_the_reason_that_was_stored(void **state)
{
    (void) state;

    assert_entry("i", "",
                 "{" HEAD ",\"reason\":\"no_action\",\"actions\":[]}",
                 ENTRY("ignored", "\"no_action\"", ""));
}


static void
notes_stand_as_they_were_stored(void **state)
{
    (void) state;

    assert_entry("i", "",
                 "{" HEAD ",\"reason\":null,\"notes\":[\"a\",\"b\"],"
                 "\"actions\":[]}",
                 "{\"id\":\"1700000000000-0\"," HEAD ",\"status\":"
                 "\"ignored\",\"reason\":null,\"notes\":[\"a\",\"b\"],"
                 "\"actions\":[]}");
}


static void
of_a_duplicate_nothing_was_done(void **state)
{
    (void) state;

    assert_entry("d", "",
                 DOC(ACTION("[\"u1\"]", "\"u9\"", "[]") "," FAILED),
                 ENTRY("duplicate", "null",
                       ENTRY_ACTION("duplicate", "[\"u1\"]", "\"u9\"", "0",
                                    "[]") ","
                       ENTRY_FAILED("duplicate")));

    assert_entry("d", "",
                 "{" HEAD ",\"reason\":\"no_action\",\"actions\":[]}",
                 ENTRY("duplicate", "null", ""));
}


static void
an_event_too_large_took_its_actions_with_it(void **state)
{
    (void) state;

    assert_entry("l", "",
                 DOC(ACTION("[\"u1\"]", "null", "[]") "," FAILED),
                 ENTRY("failed", "\"user_too_large\"",
                       ENTRY_ACTION("skipped", "[\"u1\"]", "null", "0",
                                    "[]") ","
                       ENTRY_FAILED("failed")));
}


static void
entries_of_a_list_are_separated(void **state)
{
    knock_buf_t  buf;
    knock_str_t  text;

    static const char  ignored[] =
        "{" HEAD ",\"reason\":\"no_action\",\"actions\":[]}";

    static const char  expected[] =
        "{\"items\":[" ENTRY("ignored", "\"no_action\"", "") ","
        ENTRY("duplicate", "null", "") "]}";

    (void) state;

    knock_buf_init(&buf, arena, 16);
    knock_buf_add_lit(&buf, "{\"items\":[");

    assert_int_equal(append(&buf, "x", "", ignored), KNOCK_DECLINED);
    assert_int_equal(append(&buf, "i", "", ignored), KNOCK_OK);
    assert_int_equal(append(&buf, "i", "", "{}"), KNOCK_DECLINED);
    assert_int_equal(append(&buf, "i", "r;", ignored), KNOCK_DECLINED);
    assert_int_equal(append(&buf, "d", "", ignored), KNOCK_OK);
    assert_int_equal(append(&buf, "d", "", "{"), KNOCK_DECLINED);

    knock_buf_add_lit(&buf, "]}");

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);
    assert_true(knock_str_is(&text, expected));
}


static void
what_is_stored_wrongly_is_left_out(void **state)
{
    size_t       i;
    knock_buf_t  buf;

    static const struct {
        const char  *status;
        const char  *verdict;
        const char  *doc;
    } bad[] = {
        { "", "", DOC("") },
        { "pp", "", DOC("") },
        { "P", "", DOC("") },
        { "p", ";", DOC("") },
        { "i", "r", DOC("") },
        { "p", "", "" },
        { "p", "", "[]" },
        { "p", "", "null" },
        { "p", "", "{" HEAD ",\"reason\":null,\"actions\":{}}" },
        { "p", "", "{" HEAD ",\"reason\":null}" },
        { "p", "", "{" HEAD ",\"actions\":[]}" },
        { "p", "", "{" HEAD ",\"reason\":1,\"actions\":[]}" },
        { "p", "", "{\"event\":1,\"message_id\":null,\"received_at\":\"\","
                   "\"reason\":null,\"actions\":[]}" },
        { "f", "", "{" HEAD ",\"actions\":[]}" },
        { "p", "", "{" HEAD ",\"reason\":null,\"notes\":1,\"actions\":[]}" },

        /* actions */
        { "p", "r;", DOC("1") },
        { "p", "r;", DOC("{}") },
        { "d", "", DOC("{}") },
        { "d", "", DOC("null") },
        { "p", "r;", DOC(ACTION("\"u1\"", "null", "[]")) },
        { "d", "", DOC(ACTION("{\"a\":1}", "null", "[]")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "null", "{}")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "null", "[1]")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "null", "[{}]")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "null",
                                "[{\"recipient\":1,\"reason\":2}]")) },

        /* verdicts */
        { "p", "", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "r", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "rr;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "ar;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "\"a\"", "[]")) },
        { "p", "rr;", DOC(ACTION("[\"u1\"]", "\"a\"", "[]")) },
        { "p", "x;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "r;;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "r;r;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
        { "p", "r;", DOC(ACTION("[\"u1\"]", "null", "[]") "," FAILED) },
        { "l", "r;", DOC(ACTION("[\"u1\"]", "null", "[]")) },
    };

    (void) state;

    for (i = 0; i < N(bad); i++) {
        knock_buf_init(&buf, arena, 16);

        if (append(&buf, bad[i].status, bad[i].verdict, bad[i].doc)
            != KNOCK_DECLINED)
        {
            fail_msg("%zu is an entry", i);
        }

        assert_int_equal(buf.len, 0);
    }
}


static void
truncated_documents_are_left_out(void **state)
{
    size_t       n;
    char         doc[1024];
    knock_buf_t  buf;

    static const char  whole[] =
        DOC(ACTION("[\"u1\",\"u2\"]", "\"u9\"",
                   "[{\"recipient\":1,\"reason\":\"invalid_id\"}]"));

    (void) state;

    knock_buf_init(&buf, arena, 16);

    for (n = 0; n < sizeof(whole) - 1; n++) {
        memcpy(doc, whole, n);
        doc[n] = '\0';

        assert_int_equal(append(&buf, "p", "arn;", doc), KNOCK_DECLINED);
    }

    assert_int_equal(append(&buf, "p", "arn;", whole), KNOCK_OK);
}


static void
what_the_worker_logs_makes_an_entry(void **state)
{
    knock_str_t        doc;
    knock_event_t      event;
    knock_error_t      err;
    knock_limits_t     limits = { 10, 10, 64, 1 << 20 };
    knock_action_t     action;
    knock_resolved_t   resolved;

    (void) state;

    assert_int_equal(knock_action_compile(arena, parse(
        "{\"key\":\"a1\",\"source\":\"s\",\"event\":\"track/A\","
        "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
        "\"recipients\":\"properties.to\",\"actor\":\"userId\","
        "\"tenant\":{\"literal\":\"t\"}}"), &action, &err), KNOCK_OK);

    assert_int_equal(knock_event_read(arena, parse(
        "{\"type\":\"track\",\"event\":\"A\",\"messageId\":\"m1\","
        "\"userId\":\"u9\",\"properties\":{\"to\":[\"u1\",{\"id\":\"p\","
        "\"collection\":\"c\"},false,2]}}"), &event, &err), KNOCK_OK);

    assert_int_equal(knock_mapping_resolve(arena, &action, &event, &limits,
                                           &resolved), KNOCK_OK);

    assert_int_equal(knock_log_build(arena, &event, NULL, &resolved, 1,
                                     1767323045678, &doc), KNOCK_OK);

    doc.data = knock_arena_realloc(arena, doc.data, doc.len, doc.len + 1);
    assert_non_null(doc.data);
    doc.data[doc.len] = '\0';

    assert_entry("p", "urrn;", (char *) doc.data,
                 ENTRY("processed", "null",
                       ENTRY_ACTION("processed",
                                    "[\"u1\",{\"collection\":\"c\","
                                    "\"id\":\"p\"},\"2\"]", "\"u9\"",
                                    "2,\"actor_identified\":false",
                                    "[{\"recipient\":\"2\",\"reason\":"
                                    "\"recipient_not_identified\"},"
                                    "{\"recipient\":false,\"reason\":"
                                    "\"invalid_recipient\"}]")));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            a_processed_event_with_its_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(
            recipients_without_a_run_are_told_why, setup, teardown),
        cmocka_unit_test_setup_teardown(
            elements_left_out_stand_alone_where_all_others_have_runs, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            an_actor_who_is_not_identified_is_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_failed_action_beside_one_that_acts, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_an_earlier_try_has_served, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_event_whose_actions_all_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_ignored_event_has_the_reason_that_was_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(
            notes_stand_as_they_were_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(
            of_a_duplicate_nothing_was_done, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_event_too_large_took_its_actions_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            entries_of_a_list_are_separated, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_stored_wrongly_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
            truncated_documents_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_the_worker_logs_makes_an_entry, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

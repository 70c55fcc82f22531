
/* knock_test_run: runs of a workflow without an event; knock_run's builder */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_run.h"
#include "knock_test_run.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))


static knock_arena_t         *arena;
static knock_limits_t         limits = { 10, 3, 64, 1 << 20 };
static knock_str_t            base;
static knock_test_run_in_t    in;
static knock_test_runs_t      runs;


static int
setup(void **state)
{
    (void) state;

    memset(&in, 0, sizeof(knock_test_run_in_t));

    in.limits = &limits;
    in.now = 1767323045678;
    knock_str_set(&base, "k:{development}:");
    in.bases = &base;
    in.nshards = 1;
    knock_str_set(&in.environment, "development");
    knock_str_set(&in.workflow, "new-comment");

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


static const knock_json_t *
parse(const char *text)
{
    knock_str_t     str, copy;
    knock_json_t   *root;
    knock_error_t   err;

    str.len = strlen(text);
    str.data = (unsigned char *) text;

    assert_int_equal(knock_arena_dup(arena, &str, &copy), KNOCK_OK);

    if (knock_json_parse(arena, &copy, 64, &root, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    return root;
}


static int
build(const char *body, knock_error_t *err)
{
    const knock_json_t  *v;

    v = parse(body);

    in.recipients = knock_json_get(v, "recipients");
    in.actor = knock_json_get(v, "actor");
    in.tenant = knock_json_get(v, "tenant");
    in.data = knock_json_get(v, "data");

    return knock_test_run_build(arena, &in, &runs, err);
}


static void
build_ok(const char *body)
{
    knock_error_t  err;

    if (build(body, &err) != KNOCK_OK) {
        fail_msg("%s: %s", body, err.message);
    }
}


/* the member of a document, a string */

static knock_str_t
member(const knock_str_t *doc, const char *name)
{
    knock_str_t          key, str;
    knock_json_t        *root;
    knock_error_t        err;
    const knock_json_t  *v;

    assert_int_equal(knock_json_parse(arena, doc, 64, &root, &err), KNOCK_OK);

    key.len = strlen(name);
    key.data = (unsigned char *) name;

    v = knock_json_member(root, &key);
    assert_non_null(v);
    assert_int_equal(v->type, KNOCK_JSON_STRING);
    assert_int_equal(knock_json_string(arena, v, &str), KNOCK_OK);

    return str;
}


/* the document without its ids, which must be UUIDs */

static void
assert_run(const knock_str_t *doc, const char *expected)
{
    size_t       i;
    char        *text;
    knock_str_t  ids[2];

    ids[0] = member(doc, "id");
    ids[1] = member(doc, "trigger_id");

    text = knock_arena_calloc(arena, doc->len + 1, 1);
    assert_non_null(text);
    memcpy(text, doc->data, doc->len);

    for (i = 0; i < 2; i++) {
        assert_int_equal(ids[i].len, KNOCK_UUID_LEN);
        memset(text + (ids[i].data - doc->data), '-', KNOCK_UUID_LEN);
    }

    assert_string_equal(text, expected);
}


#define UUID  "------------------------------------"

#define RUN(recipient, actor, tenant, data)                                  \
    "{\"id\":\"" UUID "\",\"trigger_id\":\"" UUID "\","                      \
    "\"workflow\":\"new-comment\",\"environment\":\"development\","          \
    "\"source\":null,\"event\":null,\"message_id\":null,\"action\":null,"    \
    "\"recipient\":{\"collection\":\"$users\",\"id\":" recipient "},"        \
    "\"actor\":" actor ",\"tenant\":" tenant ",\"cancellation_key\":null,"   \
    "\"data\":" data ",\"timestamp\":null,"                                  \
    "\"enqueued_at\":\"2026-01-02T03:04:05.678Z\",\"test\":true}"


static void
a_run_for_each_recipient(void **state)
{
    (void) state;

    build_ok("{\"recipients\":[\"u1\",\"a\\\"b\"],\"actor\":\"u9\","
             "\"tenant\":7,\"data\":{\"n\": 1.0,\"e\":[]}}");

    assert_int_equal(runs.n, 2);

    assert_true(knock_str_is(&runs.ids[0], "u1"));
    assert_true(knock_str_is(&runs.ids[1], "a\"b"));
    assert_true(knock_str_is(&runs.keys[0], "k:{development}:user:u1"));
    assert_true(knock_str_is(&runs.keys[1], "k:{development}:user:a\"b"));

    assert_run(&runs.runs[0],
               RUN("\"u1\"", "{\"collection\":\"$users\",\"id\":\"u9\"}",
                   "\"7\"", "{\"n\": 1.0,\"e\":[]}"));
    assert_run(&runs.runs[1],
               RUN("\"a\\\"b\"", "{\"collection\":\"$users\",\"id\":\"u9\"}",
                   "\"7\"", "{\"n\": 1.0,\"e\":[]}"));
}


static void
what_is_absent_or_null_is_null(void **state)
{
    (void) state;

    build_ok("{\"recipients\":[\"u1\"]}");
    assert_run(&runs.runs[0], RUN("\"u1\"", "null", "null", "{}"));

    build_ok("{\"recipients\":[\"u1\"],\"actor\":null,\"tenant\":null,"
             "\"data\":null}");
    assert_run(&runs.runs[0], RUN("\"u1\"", "null", "null", "{}"));
}


static void
the_trigger_is_shared_and_all_else_is_new(void **state)
{
    knock_str_t  ids[4], triggers[4];

    (void) state;

    build_ok("{\"recipients\":[\"u1\",\"u2\"]}");

    ids[0] = member(&runs.runs[0], "id");
    ids[1] = member(&runs.runs[1], "id");
    triggers[0] = member(&runs.runs[0], "trigger_id");
    triggers[1] = member(&runs.runs[1], "trigger_id");

    build_ok("{\"recipients\":[\"u1\",\"u2\"]}");

    ids[2] = member(&runs.runs[0], "id");
    ids[3] = member(&runs.runs[1], "id");
    triggers[2] = member(&runs.runs[0], "trigger_id");
    triggers[3] = member(&runs.runs[1], "trigger_id");

    assert_true(knock_str_eq(&triggers[0], &triggers[1]));
    assert_true(knock_str_eq(&triggers[2], &triggers[3]));
    assert_false(knock_str_eq(&triggers[0], &triggers[2]));

    assert_false(knock_str_eq(&ids[0], &ids[1]));
    assert_false(knock_str_eq(&ids[0], &ids[2]));
    assert_false(knock_str_eq(&ids[1], &ids[3]));
    assert_false(knock_str_eq(&ids[0], &triggers[0]));
}


static void
a_recipient_named_twice_has_one_run(void **state)
{
    (void) state;

    build_ok("{\"recipients\":[\"7\",\"u1\",7,\"u\\u0031\",\"u2\",\"7\"]}");

    assert_int_equal(runs.n, 3);
    assert_true(knock_str_is(&runs.ids[0], "7"));
    assert_true(knock_str_is(&runs.ids[1], "u1"));
    assert_true(knock_str_is(&runs.ids[2], "u2"));
}


static void
what_is_refused(void **state)
{
    size_t         i;
    knock_error_t  err;

    static const struct {
        const char  *body;
        const char  *message;
    } bad[] = {
        { "{}", "\"recipients\"" },
        { "{\"recipients\":null}", "\"recipients\"" },
        { "{\"recipients\":\"u1\"}", "\"recipients\"" },
        { "{\"recipients\":{}}", "\"recipients\"" },
        { "{\"recipients\":[]}", "\"recipients\"" },
        { "{\"recipients\":[\"u1\",\"\"]}", "\"recipients\"" },
        { "{\"recipients\":[1.5]}", "\"recipients\"" },
        { "{\"recipients\":[null]}", "\"recipients\"" },
        { "{\"recipients\":[[\"u1\"]]}", "\"recipients\"" },
        { "{\"recipients\":[\"a\\u0000\"]}", "\"recipients\"" },
        { "{\"recipients\":[\"u1\",{\"id\":\"u2\"}]}",
          "\"recipients\": a test run identifies nobody inline" },
        { "{\"recipients\":[1,2,3,4]}", "\"recipients\": more than 3" },
        { "{\"recipients\":[\"u1\"],\"actor\":{\"id\":\"u9\"}}",
          "\"actor\": a test run identifies nobody inline" },
        { "{\"recipients\":[\"u1\"],\"actor\":false}", "\"actor\"" },
        { "{\"recipients\":[\"u1\"],\"actor\":[]}", "\"actor\"" },
        { "{\"recipients\":[\"u1\"],\"tenant\":{\"id\":\"t\"}}",
          "\"tenant\": a test run identifies nobody inline" },
        { "{\"recipients\":[\"u1\"],\"tenant\":\"\"}", "\"tenant\"" },
        { "{\"recipients\":[\"u1\"],\"data\":[]}", "\"data\"" },
        { "{\"recipients\":[\"u1\"],\"data\":\"{}\"}", "\"data\"" },
    };

    (void) state;

    for (i = 0; i < N(bad); i++) {
        if (build(bad[i].body, &err) != KNOCK_ERROR) {
            fail_msg("%s is taken", bad[i].body);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_BODY);

        if (strncmp(err.message, bad[i].message, strlen(bad[i].message))
            != 0)
        {
            fail_msg("%s: %s", bad[i].body, err.message);
        }
    }

    build_ok("{\"recipients\":[1,2,3,3,2,1]}");
}


static void
runs_over_the_bound_are_refused_before_they_are_built(void **state)
{
    char           body[4096];
    size_t         before;
    knock_error_t  err;

    (void) state;

    (void) snprintf(body, sizeof(body),
                    "{\"recipients\":[1,2],\"data\":{\"x\":"
                    "\"%02000d\"}}", 0);

    limits.max_run_bytes = 4000;
    before = knock_arena_size(arena);

    assert_int_equal(build(body, &err), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_RUNS_TOO_LARGE);
    assert_non_null(strstr(err.message, "more than 4000 bytes"));
    assert_true(knock_arena_size(arena) - before < 3 * sizeof(body));

    limits.max_run_bytes = 6000;
    build_ok(body);

    limits.max_run_bytes = 1 << 20;
}


static void
the_answer_tells_who_was_skipped(void **state)
{
    size_t       i;
    knock_str_t  verdicts, json;

    static const char  *good[][2] = {
        { "rr", "{\"runs\":2,\"skipped\":[]}" },
        { "rn", "{\"runs\":1,\"skipped\":[{\"recipient\":\"u2\","
                "\"reason\":\"recipient_not_identified\"}]}" },
        { "nn", "{\"runs\":0,\"skipped\":[{\"recipient\":\"u1\","
                "\"reason\":\"recipient_not_identified\"},"
                "{\"recipient\":\"u2\","
                "\"reason\":\"recipient_not_identified\"}]}" },
    };
    static const char  *bad[] = { "", "r", "rrr", "rx" };

    (void) state;

    build_ok("{\"recipients\":[\"u1\",\"u2\"]}");

    for (i = 0; i < N(good); i++) {
        verdicts.len = strlen(good[i][0]);
        verdicts.data = (unsigned char *) good[i][0];

        assert_int_equal(knock_test_run_json(arena, &runs, &verdicts, &json),
                         KNOCK_OK);
        assert_true(knock_str_is(&json, good[i][1]));
    }

    for (i = 0; i < N(bad); i++) {
        verdicts.len = strlen(bad[i]);
        verdicts.data = (unsigned char *) bad[i];

        assert_int_equal(knock_test_run_json(arena, &runs, &verdicts, &json),
                         KNOCK_DECLINED);
    }
}


/* the same builder, for an action on an event */

static void
a_run_of_an_action(void **state)
{
    knock_run_t       run;
    knock_str_t       source, doc, again;
    knock_event_t     event;
    knock_error_t     err;
    knock_action_t    action;
    knock_resolved_t  resolved;

    (void) state;

    assert_int_equal(knock_action_compile(arena, parse(
        "{\"key\":\"comment-created\",\"source\":\"segment\","
        "\"event\":\"track/Comment Created\",\"type\":\"workflows_trigger\","
        "\"workflow\":\"new-comment\",\"recipients\":\"properties.to\","
        "\"actor\":\"userId\",\"tenant\":\"properties.org\","
        "\"cancellation_key\":\"properties.n\"}"), &action, &err), KNOCK_OK);

    assert_int_equal(knock_event_read(arena, parse(
        "{\"type\":\"track\",\"event\":\"Comment Created\","
        "\"messageId\":\"m1\",\"userId\":\"u9\","
        "\"timestamp\":\"2026-01-01T00:00:00Z\","
        "\"properties\":{\"to\":[\"u1\"],\"org\":\"acme\",\"n\":1}}"),
        &event, &err), KNOCK_OK);

    assert_int_equal(knock_mapping_resolve(arena, &action, &event, &limits,
                                           &resolved), KNOCK_OK);

    knock_str_set(&source, "segment");

    assert_int_equal(knock_run_prepare(arena, &in.environment, &source,
                                       &event, &event.message_id, &resolved,
                                       in.now, &run), KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved.recipients[0],
                                     &doc), KNOCK_OK);

    assert_run(&doc,
               "{\"id\":\"" UUID "\",\"trigger_id\":\"" UUID "\","
               "\"workflow\":\"new-comment\",\"environment\":\"development\","
               "\"source\":\"segment\",\"event\":\"track/Comment Created\","
               "\"message_id\":\"m1\",\"action\":\"comment-created\","
               "\"recipient\":{\"collection\":\"$users\",\"id\":\"u1\"},"
               "\"actor\":{\"collection\":\"$users\",\"id\":\"u9\"},"
               "\"tenant\":\"acme\",\"cancellation_key\":\"1\","
               "\"data\":{\"to\":[\"u1\"],\"org\":\"acme\",\"n\":1},"
               "\"timestamp\":\"2026-01-01T00:00:00Z\","
               "\"enqueued_at\":\"2026-01-02T03:04:05.678Z\","
               "\"test\":false}");

    assert_int_equal(knock_run_prepare(arena, &in.environment, &source,
                                       &event, &event.message_id, &resolved,
                                       in.now, &run), KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved.recipients[0],
                                     &again), KNOCK_OK);
    assert_true(knock_str_eq(&doc, &again));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            a_run_for_each_recipient, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_absent_or_null_is_null, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_trigger_is_shared_and_all_else_is_new, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_recipient_named_twice_has_one_run, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            runs_over_the_bound_are_refused_before_they_are_built, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            the_answer_tells_who_was_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_of_an_action, setup, teardown),
    };

    if (knock_digest_init() != KNOCK_OK) {
        return 1;
    }

    return cmocka_run_group_tests(tests, NULL, NULL);
}

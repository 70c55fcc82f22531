
/* knock_run: the documents of workflow runs */

#include "fixture.h"

#include "knock_run.h"


#define NOW  1704164645678u        /* 2024-01-02T03:04:05.678Z */


static const knock_resolved_t *
resolve(const char *params, const knock_event_t *event)
{
    const char        *doc;
    knock_action_t    *action;
    knock_resolved_t  *resolved;
    knock_error_t      err;
    knock_limits_t     limits = { 10, 10, 10, 1 << 20 };

    doc = repeat("{\"key\":\"a\",\"source\":\"segment\",\"event\":\"track/T\","
                 "\"type\":\"workflows_trigger\",\"workflow\":\"w\",",
                 params, 1, "}");

    action = knock_arena_alloc(arena, sizeof(knock_action_t));
    resolved = knock_arena_alloc(arena, sizeof(knock_resolved_t));
    assert_non_null(action);
    assert_non_null(resolved);

    if (knock_action_compile(arena, parse(doc), action, &err) != KNOCK_OK) {
        fail_msg("%s: %s", doc, err.message);
    }

    assert_int_equal(knock_mapping_resolve(arena, action, event, &limits,
                                           resolved),
                     KNOCK_OK);
    assert_int_equal(resolved->error.code, KNOCK_E_NONE);

    return resolved;
}


/* the run for the first recipient */

static const char *
run_for(const char *environment, const char *source, const char *message,
    const char *params, const char *json)
{
    knock_run_t              run;
    knock_str_t              env, src, msg, doc;
    const knock_event_t     *event;
    const knock_resolved_t  *resolved;

    env = str(environment);
    src = str(source);
    msg = str(message);
    event = read_event(json);
    resolved = resolve(params, event);

    assert_int_equal(knock_run_prepare(arena, &env, &src, event, &msg,
                                       resolved, NOW, &run),
                     KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved->recipients[0],
                                     &doc),
                     KNOCK_OK);

    return text(&doc);
}


/* a string member of the document */

static const char *
member(const char *doc, const char *name)
{
    knock_str_t          key, value;
    const knock_json_t  *v;

    key = str(name);
    v = knock_json_member(parse(doc), &key);
    assert_non_null(v);
    assert_int_equal(knock_json_string(arena, v, &value), KNOCK_OK);

    return text(&value);
}


static const char  to_u1[] = "\"recipients\":{\"literal\":\"u1\"}";
static const char  plain[] = "{\"type\":\"track\",\"event\":\"T\"}";


static void
a_document_with_everything(void **state)
{
    const char  *doc, *rest;

    (void) state;

    doc = run_for("dev", "segment", "m1",
                  "\"recipients\":\"data.r\",\"actor\":\"data.a\","
                  "\"tenant\":\"data.t\",\"cancellation_key\":\"data.k\"",
                  "{\"type\":\"track\",\"event\":\"T\",\"messageId\":\"m1\","
                  "\"timestamp\":\"2020-01-01T00:00:00+01:00\","
                  "\"properties\":{ \"r\":{\"id\":\"p\\\"1\","
                  "\"collection\":\"projects\"},\"a\":9,\"t\":\"acme\","
                  "\"k\":\"c1\",\"n\":1.0}}");

    assert_starts(doc,
                  "{\"id\":\"");
    assert_int_equal(strncmp(doc + 7 + KNOCK_UUID_LEN,
                             "\",\"trigger_id\":\"", 16),
                     0);

    rest = doc + 7 + KNOCK_UUID_LEN + 16 + KNOCK_UUID_LEN;

    assert_string_equal(rest,
        "\",\"workflow\":\"w\",\"environment\":\"dev\",\"source\":\"segment\","
        "\"event\":\"track/T\",\"message_id\":\"m1\",\"action\":\"a\","
        "\"recipient\":{\"collection\":\"projects\",\"id\":\"p\\\"1\"},"
        "\"actor\":{\"collection\":\"$users\",\"id\":\"9\"},"
        "\"tenant\":\"acme\",\"cancellation_key\":\"c1\","
        "\"data\":{ \"r\":{\"id\":\"p\\\"1\",\"collection\":\"projects\"},"
        "\"a\":9,\"t\":\"acme\",\"k\":\"c1\",\"n\":1.0},"
        "\"timestamp\":\"2020-01-01T00:00:00+01:00\","
        "\"enqueued_at\":\"2024-01-02T03:04:05.678Z\",\"test\":false}");
}


static void
what_is_unset_is_null(void **state)
{
    const char  *doc;

    (void) state;

    doc = run_for("dev", "segment", "m1", to_u1, plain);

    assert_non_null(strstr(doc, ",\"message_id\":null,"));
    assert_non_null(strstr(doc, ",\"actor\":null,\"tenant\":null,"
                                "\"cancellation_key\":null,\"data\":{},"
                                "\"timestamp\":null,\"enqueued_at\":"));
}


static void
ids_are_uuids_and_the_same_for_the_same(void **state)
{
    size_t       i;
    const char  *one, *two, *id;

    (void) state;

    one = run_for("dev", "segment", "m1", to_u1, plain);
    two = run_for("dev", "segment", "m1", to_u1,
                  "{\"type\":\"track\",\"event\":\"T\",\"properties\":{}}");

    assert_string_equal(member(one, "id"), member(two, "id"));
    assert_string_equal(member(one, "trigger_id"), member(two, "trigger_id"));
    assert_string_not_equal(member(one, "id"), member(one, "trigger_id"));

    id = member(one, "id");
    assert_int_equal(strlen(id), KNOCK_UUID_LEN);

    for (i = 0; i < KNOCK_UUID_LEN; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            assert_int_equal(id[i], '-');

        } else {
            assert_non_null(strchr("0123456789abcdef", id[i]));
        }
    }
}


static void
an_id_is_of_environment_source_message_action_and_recipient(void **state)
{
    size_t       i, j;
    const char  *ids[9];

    (void) state;

    ids[0] = run_for("dev", "segment", "m1", to_u1, plain);
    ids[1] = run_for("prod", "segment", "m1", to_u1, plain);
    ids[2] = run_for("dev", "other", "m1", to_u1, plain);
    ids[3] = run_for("dev", "segment", "m2", to_u1, plain);
    ids[4] = run_for("dev", "segment", "m1",
                     "\"recipients\":{\"literal\":\"u2\"}", plain);
    ids[5] = run_for("dev", "segment", "m1", "\"recipients\":{\"literal\":"
                     "{\"id\":\"u1\",\"collection\":\"c\"}}", plain);
    /* a duplicated key: the last one counts */
    ids[6] = run_for("dev", "segment", "m1", "\"key\":\"b\","
                     "\"recipients\":{\"literal\":\"u1\"}", plain);
    /* strings that are the same when they are joined */
    ids[7] = run_for("de", "vsegment", "m1", to_u1, plain);
    ids[8] = run_for("dev", "segmentm", "1", to_u1, plain);

    for (i = 0; i < N(ids); i++) {
        for (j = 0; j < i; j++) {
            assert_string_not_equal(member(ids[i], "id"),
                                    member(ids[j], "id"));
        }
    }

    /* the trigger is of all these but the recipient */

    assert_string_equal(member(ids[0], "trigger_id"),
                        member(ids[4], "trigger_id"));
    assert_string_equal(member(ids[0], "trigger_id"),
                        member(ids[5], "trigger_id"));

    for (i = 1; i < N(ids); i++) {
        if (i != 4 && i != 5) {
            assert_string_not_equal(member(ids[0], "trigger_id"),
                                    member(ids[i], "trigger_id"));
        }
    }
}


static void
a_message_may_be_any_bytes(void **state)
{
    knock_run_t              run;
    knock_str_t              env, src, msg, one, two;
    const knock_event_t     *event;
    const knock_resolved_t  *resolved;

    (void) state;

    env = str("dev");
    src = str("segment");
    event = read_event(plain);
    resolved = resolve(to_u1, event);

    msg.data = (unsigned char *) "\0\0\1";
    msg.len = 2;

    assert_int_equal(knock_run_prepare(arena, &env, &src, event, &msg,
                                       resolved, NOW, &run), KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved->recipients[0],
                                     &one), KNOCK_OK);

    msg.len = 3;

    assert_int_equal(knock_run_prepare(arena, &env, &src, event, &msg,
                                       resolved, NOW, &run), KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved->recipients[0],
                                     &two), KNOCK_OK);

    assert_string_not_equal(member(text(&one), "id"),
                            member(text(&two), "id"));
}


static void
a_reference_is_collection_and_id_or_null(void **state)
{
    knock_buf_t  buf;
    knock_str_t  json;
    knock_ref_t  ref;

    (void) state;

    memset(&ref, 0, sizeof(knock_ref_t));
    ref.collection = str("$tenants");
    ref.id = str("a\\b");

    knock_buf_init(&buf, arena, 0);
    knock_run_add_ref(&buf, &ref);
    knock_run_add_ref(&buf, NULL);

    assert_int_equal(knock_buf_str(&buf, &json), KNOCK_OK);
    assert_string_equal(text(&json),
                        "{\"collection\":\"$tenants\",\"id\":\"a\\\\b\"}null");
}


static void
runs_are_counted_by_what_they_share(void **state)
{
    size_t                   bytes, each;
    knock_run_t              run;
    knock_str_t              env, src, msg, doc;
    const knock_event_t     *event;
    const knock_resolved_t  *resolved;

    (void) state;

    env = str("e");
    src = str("s");
    msg = str("m");
    event = read_event(repeat("{\"type\":\"track\",\"event\":\"T\","
                              "\"properties\":{\"r\":\"u1\",\"x\":\"", "x",
                              1000, "\"}}"));
    resolved = resolve("\"recipients\":\"data.r\"", event);

    assert_int_equal(knock_run_prepare(arena, &env, &src, event, &msg,
                                       resolved, NOW, &run),
                     KNOCK_OK);
    assert_int_equal(knock_run_build(arena, &run, &resolved->recipients[0],
                                     &doc),
                     KNOCK_OK);

    each = 0;
    assert_int_equal(knock_run_count(&run, 1, 10000, &each), KNOCK_OK);
    assert_in_range(each, doc.len, doc.len + 128);

    bytes = 0;
    assert_int_equal(knock_run_count(&run, 3, 3 * each, &bytes), KNOCK_OK);
    assert_int_equal(bytes, 3 * each);
    assert_int_equal(knock_run_count(&run, 1, 4 * each - 1, &bytes),
                     KNOCK_DECLINED);
    assert_int_equal(bytes, 3 * each);
    assert_int_equal(knock_run_count(&run, 1, 2 * each, &bytes),
                     KNOCK_DECLINED);
    assert_int_equal(knock_run_count(&run, SIZE_MAX, SIZE_MAX, &bytes),
                     KNOCK_DECLINED);
    assert_int_equal(bytes, 3 * each);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_document_with_everything),
        t(what_is_unset_is_null),
        t(ids_are_uuids_and_the_same_for_the_same),
        t(an_id_is_of_environment_source_message_action_and_recipient),
        t(a_message_may_be_any_bytes),
        t(a_reference_is_collection_and_id_or_null),
        t(runs_are_counted_by_what_they_share)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

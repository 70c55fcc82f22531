
/* knock_live: the live configuration of an environment */

#include "fixture.h"

#include "knock_live.h"


static knock_str_t  endpoints[32], workflows[32], actions[64], toggles[32];
static knock_live_reply_t  reply;


static void
begin(void)
{
    memset(&reply, 0, sizeof(knock_live_reply_t));

    reply.version = str("1700000000.000001-7");
    reply.endpoints = endpoints;
    reply.workflows = workflows;
    reply.actions = actions;
    reply.toggles = toggles;
}


static void
endpoint(const char *name, const char *value)
{
    endpoints[reply.nendpoints++] = str(name);
    endpoints[reply.nendpoints++] = str(value);
}


static void
workflow(const char *key)
{
    workflows[reply.nworkflows++] = str(key);
}


static void
toggle(const char *name, const char *value)
{
    toggles[reply.ntoggles++] = str(name);
    toggles[reply.ntoggles++] = str(value);
}


static void
action(const char *key, const char *source, const char *event,
    const char *work)
{
    char  *doc;

    doc = knock_arena_alloc(arena, 512);
    assert_non_null(doc);

    (void) snprintf(doc, 512, "{\"key\":\"%s\",\"source\":\"%s\","
                    "\"event\":\"%s\",\"type\":\"workflows_trigger\","
                    "\"workflow\":\"%s\",\"recipients\":\"userId\"}",
                    key, source, event, work);

    actions[reply.nactions++] = str(key);
    actions[reply.nactions++] = str(doc);
}


static const knock_live_t *
build(void)
{
    knock_str_t    prefix, environment;
    knock_live_t  *live;

    prefix = str("knock");
    environment = str("development");

    assert_int_equal(knock_live_build(arena, &prefix, &environment, 1,
                                      &reply, &live),
                     KNOCK_OK);

    return live;
}


static const knock_endpoint_t *
find_at(const knock_live_t *live, const char *token, uint64_t now)
{
    knock_str_t  t;

    t = str(token);
    return knock_live_endpoint(live, &t, now);
}


static const knock_endpoint_t *
find(const knock_live_t *live, const char *token)
{
    return find_at(live, token, 0);
}


/* the keys of the actions for an event key, with spaces between them */

static const char *
acting(const knock_endpoint_t *e, const char *event)
{
    size_t                  i;
    knock_buf_t             buf;
    knock_str_t             key, keys;
    const knock_actions_t  *found;

    key = str(event);
    found = knock_live_actions(e, &key);

    if (found == NULL) {
        return "(none)";
    }

    knock_buf_init(&buf, arena, 0);

    for (i = 0; i < found->n; i++) {
        knock_buf_add(&buf, " ", i > 0);
        knock_buf_add_str(&buf, &found->items[i]->key);
    }

    assert_int_equal(knock_buf_str(&buf, &keys), KNOCK_OK);

    return text(&keys);
}


static void
nothing_at_all(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    live = build();

    assert_string_equal(text(&live->environment), "development");
    assert_string_equal(text(&live->version), "1700000000.000001-7");
    assert_string_equal(text(&live->places[0].base), "knock:{development}:");
    assert_string_equal(text(&live->places[0].keys[KNOCK_KEY_RUNS]),
                        "knock:{development}:runs");
    assert_null(find(live, ""));
    assert_null(find(live, "dev"));
}


static void
an_endpoint_is_found_by_its_token(void **state)
{
    const knock_live_t      *live;
    const knock_endpoint_t  *e;

    (void) state;

    begin();
    endpoint("segment/token", "dev");
    endpoint("other/token", "oth");
    live = build();

    e = find(live, "dev");
    assert_non_null(e);
    assert_string_equal(text(&e->source), "segment");
    assert_string_equal(text(&e->catalogue),
                        "knock:{development}:catalogue:segment");
    assert_string_equal(text(&e->catalogue_info),
                        "knock:{development}:catalogue_info:segment");
    assert_string_equal(text(&e->log), "knock:{development}:log:segment");

    e = find(live, "oth");
    assert_non_null(e);
    assert_string_equal(text(&e->source), "other");

    assert_null(find(live, "DEV"));
    assert_null(find(live, "de"));
    assert_null(find(live, "devx"));
    assert_null(find(live, ""));
}


static void
an_endpoint_without_a_token_is_left_out(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    endpoint("segment/enabled", "1");
    endpoint("other/token", "");
    live = build();

    assert_null(find(live, ""));
}


static void
settings_and_what_they_are_unset(void **state)
{
    const knock_endpoint_t  *e;

    (void) state;

    begin();
    endpoint("segment/token", "dev");

    e = find(build(), "dev");
    assert_int_equal(e->enabled, 1);
    assert_int_equal(e->identify_enabled, 0);
    assert_int_equal(e->idempotency_enabled, 1);
    assert_int_equal(e->signing_secret.len, 0);

    endpoint("segment/enabled", "0");
    endpoint("segment/identify_enabled", "1");
    endpoint("segment/idempotency_enabled", "0");
    endpoint("segment/signing_secret", "s3/cret");
    endpoint("segment/unknown", "x");

    e = find(build(), "dev");
    assert_int_equal(e->enabled, 0);
    assert_int_equal(e->identify_enabled, 1);
    assert_int_equal(e->idempotency_enabled, 0);
    assert_string_equal(text(&e->signing_secret), "s3/cret");
}


static void
a_token_that_was_replaced_counts_until_its_end(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    endpoint("segment/token", "new");
    endpoint("segment/previous_token", "old");
    endpoint("segment/previous_token_valid_until", "1767323045678");
    live = build();

    assert_non_null(find_at(live, "old", 0));
    assert_ptr_equal(find_at(live, "old", 1767323045677),
                     find_at(live, "new", 1767323045677));
    assert_null(find_at(live, "old", 1767323045678));
    assert_null(find_at(live, "old", UINT64_MAX));
    assert_non_null(find_at(live, "new", UINT64_MAX));

    /* what has it now has it alone, in any order of the fields */

    endpoint("other/token", "old");
    live = build();
    assert_string_equal(text(&find_at(live, "old", 0)->source), "other");
    assert_string_equal(text(&find_at(live, "old", UINT64_MAX)->source),
                        "other");

    begin();
    endpoint("other/token", "old");
    endpoint("segment/token", "new");
    endpoint("segment/previous_token", "old");
    endpoint("segment/previous_token_valid_until", "1767323045678");
    live = build();
    assert_string_equal(text(&find_at(live, "old", 0)->source), "other");

    /* without a token an endpoint has none before it */

    begin();
    endpoint("segment/previous_token", "old");
    endpoint("segment/previous_token_valid_until", "1767323045678");
    assert_null(find_at(build(), "old", 0));
}


static void
a_time_that_is_none_is_over(void **state)
{
    size_t  i;

    static const char  *times[] = {
        "", "0", "x", "-1", "1e12", "1767323045678x", " 1", "1.5",
        "9999999999999999", "18446744073709551617"
    };

    (void) state;

    begin();
    endpoint("segment/token", "new");
    endpoint("segment/previous_token", "old");
    assert_null(find(build(), "old"));

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        begin();
        endpoint("segment/token", "new");
        endpoint("segment/previous_token", "old");
        endpoint("segment/previous_token_valid_until", times[i]);
        endpoint("segment/previous_signing_secret", "s");
        endpoint("segment/previous_signing_secret_valid_until", times[i]);

        assert_null(find(build(), "old"));
        assert_int_equal(find(build(), "new")->previous_secret_until, 0);
    }
}


static void
the_fields_of_sources_may_be_mixed(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    endpoint("b/token", "tb");
    endpoint("a/enabled", "0");
    endpoint("b/identify_enabled", "1");
    endpoint("a/token", "ta");
    endpoint("nonsense", "x");
    live = build();

    assert_int_equal(live->nendpoints, 2);
    assert_int_equal(find(live, "ta")->enabled, 0);
    assert_int_equal(find(live, "ta")->identify_enabled, 0);
    assert_int_equal(find(live, "tb")->enabled, 1);
    assert_int_equal(find(live, "tb")->identify_enabled, 1);
}


static void
actions_of_an_event_key_stand_in_order_of_key(void **state)
{
    const knock_endpoint_t  *e;

    (void) state;

    begin();
    endpoint("segment/token", "dev");
    workflow("w");
    action("b", "segment", "track/T", "w");
    action("a-10", "segment", "track/T", "w");
    action("a", "segment", "track/T", "w");
    action("B", "segment", "track/T", "w");
    action("a-2", "segment", "track/T", "w");
    action("x", "segment", "page", "w");

    e = find(build(), "dev");
    assert_string_equal(acting(e, "track/T"), "B a a-10 a-2 b");
    assert_string_equal(acting(e, "page"), "x");
    assert_string_equal(acting(e, "track/t"), "(none)");
    assert_string_equal(acting(e, "track/"), "(none)");
}


static void
an_action_is_of_its_source(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    endpoint("one/token", "t1");
    endpoint("two/token", "t2");
    workflow("w");
    action("a", "one", "track/T", "w");
    action("b", "two", "track/T", "w");
    action("c", "three", "track/T", "w");
    live = build();

    assert_string_equal(acting(find(live, "t1"), "track/T"), "a");
    assert_string_equal(acting(find(live, "t2"), "track/T"), "b");
}


static void
its_workflow_has_to_be_live(void **state)
{
    (void) state;

    begin();
    endpoint("segment/token", "dev");
    workflow("w");
    action("a", "segment", "track/T", "w");
    action("b", "segment", "track/T", "w2");
    action("c", "segment", "track/T", "W");

    assert_string_equal(acting(find(build(), "dev"), "track/T"), "a");

    workflow("w2");

    assert_string_equal(acting(find(build(), "dev"), "track/T"), "a b");
}


static void
what_is_switched_off_does_not_act(void **state)
{
    (void) state;

    begin();
    endpoint("segment/token", "dev");
    workflow("w");
    workflow("w2");
    action("a", "segment", "track/T", "w");
    action("b", "segment", "track/T", "w");
    action("c", "segment", "track/T", "w2");
    action("w", "segment", "track/T", "w");
    toggle("action/b", "0");
    toggle("action/a", "1");
    toggle("workflow/w2", "0");
    toggle("workflow/w", "1");
    toggle("workflow/a", "0");
    toggle("action/w2", "0");
    toggle("action/", "0");

    assert_string_equal(acting(find(build(), "dev"), "track/T"), "a w");
}


static void
a_document_that_does_not_compile_is_counted(void **state)
{
    const knock_live_t  *live;

    (void) state;

    begin();
    endpoint("segment/token", "dev");
    workflow("w");
    action("a", "segment", "track/T", "w");
    action("bad", "segment", "no such type", "w");
    actions[reply.nactions++] = str("worse");
    actions[reply.nactions++] = str("{\"key\":");
    live = build();

    assert_int_equal(live->nskipped, 2);
    assert_string_equal(text(&live->skipped), "worse");
    assert_true(strlen(live->skipped_why) > 0);
    assert_string_equal(acting(find(live, "dev"), "track/T"), "a");
}


static void
the_reply_s_bytes_are_copied(void **state)
{
    char                     token[] = "dev", source[] = "segment/token";
    char                     version[] = "v1", doc[512];
    const knock_live_t      *live;
    const knock_endpoint_t  *e;

    (void) state;

    begin();
    reply.version = str(version);
    endpoint(source, token);
    workflow("w");
    action("a", "segment", "track/T", "w");
    (void) snprintf(doc, sizeof(doc), "%s", text(&actions[1]));
    actions[1] = str(doc);

    live = build();

    memset(token, 'x', sizeof(token));
    memset(source, 'x', sizeof(source));
    memset(version, 'x', sizeof(version));
    memset(doc, 'x', sizeof(doc));

    e = find(live, "dev");
    assert_non_null(e);
    assert_string_equal(text(&live->version), "v1");
    assert_string_equal(text(&e->source), "segment");
    assert_string_equal(acting(e, "track/T"), "a");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(nothing_at_all),
        t(an_endpoint_is_found_by_its_token),
        t(an_endpoint_without_a_token_is_left_out),
        t(settings_and_what_they_are_unset),
        t(a_token_that_was_replaced_counts_until_its_end),
        t(a_time_that_is_none_is_over),
        t(the_fields_of_sources_may_be_mixed),
        t(actions_of_an_event_key_stand_in_order_of_key),
        t(an_action_is_of_its_source),
        t(its_workflow_has_to_be_live),
        t(what_is_switched_off_does_not_act),
        t(a_document_that_does_not_compile_is_counted),
        t(the_reply_s_bytes_are_copied)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


/* knock_mapping: the parameters of an action as an event resolves them */

#include "fixture.h"

#include "knock_mapping.h"


/* an action with these members beside the fixed ones, for a track event */

static const knock_action_t *
action(const char *params)
{
    size_t           len;
    char            *text;
    knock_action_t  *a;
    knock_error_t    err;

    static const char  head[] =
        "{\"key\":\"k\",\"source\":\"s\",\"event\":\"track/A\","
        "\"type\":\"workflows_trigger\",\"workflow\":\"w\",";

    len = sizeof(head) + strlen(params) + 2;
    text = knock_arena_alloc(arena, len);
    a = knock_arena_alloc(arena, sizeof(knock_action_t));
    assert_non_null(text);
    assert_non_null(a);

    (void) snprintf(text, len, "%s%s}", head, params);

    if (knock_action_compile(arena, parse(text), a, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    return a;
}


static void
resolve(const char *params, const char *properties,
    const knock_limits_t *limits, knock_resolved_t *resolved)
{
    size_t          len;
    char           *text;
    knock_event_t  *event;
    knock_error_t   err;

    static const char  head[] =
        "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u1\","
        "\"messageId\":\"m\",\"context\":{\"ip\":\"::1\"},\"properties\":";

    len = sizeof(head) + strlen(properties) + 2;
    text = knock_arena_alloc(arena, len);
    event = knock_arena_alloc(arena, sizeof(knock_event_t));
    assert_non_null(text);
    assert_non_null(event);

    (void) snprintf(text, len, "%s%s}", head, properties);

    if (knock_event_read(arena, parse(text), event, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    assert_int_equal(knock_mapping_resolve(arena, action(params), event,
                                           limits, resolved),
                     KNOCK_OK);
}


static const knock_limits_t  limits = {
    KNOCK_MAX_BATCH, KNOCK_MAX_RECIPIENTS, KNOCK_MAX_DEPTH, 1 << 20
};


static void
show_ref(knock_buf_t *buf, const knock_ref_t *ref)
{
    size_t                 i, n;
    const knock_upsert_t  *upsert;

    if (!knock_str_is(&ref->collection, "$users")) {
        knock_buf_add_str(buf, &ref->collection);
        knock_buf_add_char(buf, '/');
    }

    knock_buf_add_str(buf, &ref->id);

    for (i = 0; i < ref->nupserts; i++) {
        upsert = &ref->upserts[i];

        assert_true(knock_str_eq(&upsert->id, &ref->id));
        assert_true(knock_str_eq(&upsert->collection, &ref->collection));

        knock_buf_add_char(buf, '{');

        for (n = 0; n < upsert->nfields; n++) {
            if (n > 0) {
                knock_buf_add_char(buf, ',');
            }

            knock_buf_add_str(buf, &upsert->fields[n].name);
            knock_buf_add_char(buf, '=');
            knock_buf_add_str(buf, &upsert->fields[n].json);
        }

        knock_buf_add_char(buf, '}');
    }
}


/*
 * The recipients, a word each: "u1", "projects/p1", with the fields of each
 * upsert in braces; then those left out, "!reason:value".
 */

static const char *
show(const knock_resolved_t *resolved)
{
    size_t       i;
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 256);

    for (i = 0; i < resolved->nrecipients; i++) {
        knock_buf_add(&buf, " ", i > 0);
        show_ref(&buf, &resolved->recipients[i]);
    }

    for (i = 0; i < resolved->nleft_out; i++) {
        knock_buf_add(&buf, " ", i > 0 || resolved->nrecipients > 0);
        knock_buf_add_char(&buf, '!');
        knock_buf_add(&buf, resolved->left_out[i].reason,
                      strlen(resolved->left_out[i].reason));
        knock_buf_add_char(&buf, ':');
        text = knock_json_text(resolved->left_out[i].value);
        knock_buf_add_str(&buf, &text);
    }

    knock_buf_add_char(&buf, '\0');
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return (const char *) text.data;
}


static const char *
show_single(const knock_ref_t *ref)
{
    knock_buf_t  buf;
    knock_str_t  text;

    if (ref == NULL) {
        return "null";
    }

    knock_buf_init(&buf, arena, 64);
    show_ref(&buf, ref);
    knock_buf_add_char(&buf, '\0');
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return (const char *) text.data;
}


static void
assert_nothing_filled_in(const knock_resolved_t *resolved)
{
    assert_int_equal(resolved->nrecipients, 0);
    assert_null(resolved->recipients);
    assert_int_equal(resolved->nleft_out, 0);
    assert_null(resolved->left_out);
    assert_null(resolved->actor);
    assert_null(resolved->tenant);
    assert_null(resolved->cancellation_key.data);
    assert_true(strlen(resolved->error.message) > 0);
}


static void
the_contract_s_example(void **state)
{
    knock_resolved_t  resolved;

    (void) state;

    resolve("\"recipients\":\"properties.recipients\","
            "\"actor\":\"properties.commenter.id\","
            "\"tenant\":\"properties.org\","
            "\"cancellation_key\":\"properties.comment.id\"",
            "{\"recipients\":[\"u2\",{\"id\":\"sam10\",\"name\":\"Sam\"},"
            "{\"collection\":\"projects\",\"id\":\"p1\",\"n\":1}],"
            "\"commenter\":{\"id\":\"u9\"},\"org\":\"acme\","
            "\"comment\":{\"id\":\"c1\"}}", &limits, &resolved);

    assert_int_equal(resolved.error.code, KNOCK_E_NONE);
    assert_str(&resolved.action->key, "k");
    assert_string_equal(show(&resolved),
                        "u2 sam10{name=\"Sam\"} projects/p1{n=1}");
    assert_string_equal(show_single(resolved.actor), "u9");
    assert_string_equal(show_single(resolved.tenant), "$tenants/acme");
    assert_str(&resolved.cancellation_key, "c1");
}


static void
recipients(void **state)
{
    size_t            i;
    char              params[256], properties[1024];
    knock_resolved_t  resolved;

    static const struct {
        const char  *recipients;
        const char  *value;         /* of properties.r */
        const char  *found;
    } rows[] = {
        /* an id, an object, or a list of them */
        { "\"data.r\"", "\"sam10\"", "sam10" },
        { "\"data.r\"", "42", "42" },
        { "\"data.r\"", "-5", "-5" },
        { "\"data.r\"", "\"\\u0061\"", "a" },
        { "\"data.r\"", "{\"id\":\"sam10\",\"name\":\"Sam\"}",
          "sam10{name=\"Sam\"}" },
        { "\"data.r\"", "{\"id\":\"sam10\"}", "sam10{}" },
        { "\"data.r\"", "{\"collection\":\"projects\",\"id\":7,\"a\":[1]}",
          "projects/7{a=[1]}" },
        { "\"data.r\"", "[\"a\",\"b\",{\"id\":\"c\"}]", "a b c{}" },
        { "\"data.r\"", "[\"only\"]", "only" },
        { "\"data.r\"", "[]", "" },
        { "\"userId\"", "1", "u1" },
        { "\"context.ip\"", "1", "::1" },
        { "\"data.r[1]\"", "[\"a\",\"b\"]", "b" },
        { "\"data.r[1]\"", "[\"a\",[\"b\",\"c\"]]", "b c" },
        /* distinct by collection and id, in order of appearance */
        { "\"data.r\"", "[\"b\",\"a\",\"b\",\"a\"]", "b a" },
        { "\"data.r\"", "[\"7\",7]", "7" },
        { "\"data.r\"", "[\"a\",\"\\u0061\"]", "a" },
        { "\"data.r\"", "[\"a\",\"A\",\"a \"]", "a A a " },
        { "\"data.r\"", "[\"sam10\",{\"id\":\"sam10\",\"name\":\"Sam\"}]",
          "sam10{name=\"Sam\"}" },
        { "\"data.r\"", "[{\"id\":\"sam10\",\"name\":\"Sam\"},\"sam10\"]",
          "sam10{name=\"Sam\"}" },
        { "\"data.r\"", "[{\"id\":\"x\",\"a\":1},{\"id\":\"y\"},"
          "{\"id\":\"x\",\"b\":2},{\"a\":3,\"id\":\"x\"}]",
          "x{a=1}{b=2}{a=3} y{}" },
        { "\"data.r\"", "[{\"collection\":\"$users\",\"id\":\"x\"},\"x\"]",
          "x{}" },
        { "\"data.r\"", "[{\"collection\":\"c\",\"id\":\"x\"},\"x\","
          "{\"collection\":\"d\",\"id\":\"x\"}]", "c/x{} x d/x{}" },
        { "\"data.r\"", "[{\"collection\":\"ab\",\"id\":\"c\"},"
          "{\"collection\":\"a\",\"id\":\"bc\"}]", "ab/c{} a/bc{}" },
        /* left out, the others are served */
        { "\"data.r\"", "[\"a\",true,null,\"b\",false]",
          "a b !invalid_recipient:true !invalid_recipient:null "
          "!invalid_recipient:false" },
        { "\"data.r\"", "[\"a\",[\"b\"],[]]",
          "a !invalid_recipient:[\"b\"] !invalid_recipient:[]" },
        { "\"data.r\"", "[\"\",1.5,\"a\\n\",\"b\"]",
          "b !invalid_id:\"\" !invalid_id:1.5 !invalid_id:\"a\\n\"" },
        { "\"data.r\"", "[{},{\"id\":null},{\"name\":\"x\"},\"b\"]",
          "b !invalid_id:{} !invalid_id:{\"id\":null} "
          "!invalid_id:{\"name\":\"x\"}" },
        { "\"data.r\"", "[{\"id\":\"a\",\"collection\":\"\"},\"b\"]",
          "b !invalid_collection:{\"id\":\"a\",\"collection\":\"\"}" },
        { "\"data.r\"", "[null]", "!invalid_recipient:null" },
        { "\"data.r\"", "true", "!invalid_recipient:true" },
        { "\"data.r\"", "\"\"", "!invalid_id:\"\"" },
        { "\"data.r\"", "{\"email\":\"x\"}",
          "!invalid_id:{\"email\":\"x\"}" },
        { "\"data.r\"", "[true,true]",
          "!invalid_recipient:true !invalid_recipient:true" },
        /* what [*] finds are elements, and a list among them is left out */
        { "\"data.r[*].id\"", "[{\"id\":\"a\"},{\"id\":\"b\"},{\"x\":1}]",
          "a b" },
        { "\"data.r[*]\"", "[\"a\",{\"id\":\"b\",\"n\":1}]", "a b{n=1}" },
        { "\"data.r[*]\"", "[\"a\",[\"b\",\"c\"]]",
          "a !invalid_recipient:[\"b\",\"c\"]" },
        { "\"data.r[*]\"", "[[\"b\",\"c\"]]",
          "!invalid_recipient:[\"b\",\"c\"]" },
        { "\"data.r[*][*]\"", "[[\"a\"],[\"b\",\"a\"],\"c\"]", "a b" },
        { "\"data.r[*].id\"", "[{\"id\":null},{\"id\":\"b\"}]",
          "b !invalid_recipient:null" },
        { "\"data.r[*].id\"", "[{\"id\":null}]",
          "!invalid_recipient:null" },
        /* literals */
        { "{\"literal\":\"ops\"}", "1", "ops" },
        { "{\"literal\":7}", "1", "7" },
        { "{\"literal\":[\"a\",{\"id\":\"b\",\"n\":1}]}", "1", "a b{n=1}" },
        { "{\"literal\":[]}", "1", "" },
        { "{\"literal\":\"userId\"}", "1", "userId" },
        /* an array of parameters */
        { "[\"userId\",\"data.r\"]", "[\"a\",\"u1\"]", "u1 a" },
        { "[\"data.r\",{\"literal\":\"ops\"},\"userId\"]", "\"a\"",
          "a ops u1" },
        { "[\"data.r\",\"data.r\"]", "{\"id\":\"x\",\"n\":1}",
          "x{n=1}{n=1}" },
        { "[\"data.x\",\"data.r\",\"data.y[*]\",\"data.r.z\"]", "\"a\"",
          "a" },
        { "[\"data.r\",\"userId\"]", "null", "u1" },
        { "[\"data.r\",{\"literal\":null}]", "\"a\"", "a" },
        { "[\"data.r\",\"data.x\"]", "[]", "" },
        { "[\"data.r[*].id\",\"data.r[*].o\"]",
          "[{\"id\":\"a\",\"o\":\"b\"},{\"id\":\"c\",\"o\":[\"d\"]}]",
          "a c b !invalid_recipient:[\"d\"]" },
        { "[{\"literal\":[\"a\",[\"b\"]]},\"data.r\"]", "[\"c\",[\"d\"]]",
          "a c !invalid_recipient:[\"b\"] !invalid_recipient:[\"d\"]" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        (void) snprintf(params, sizeof(params), "\"recipients\":%s",
                        rows[i].recipients);
        (void) snprintf(properties, sizeof(properties), "{\"r\":%s}",
                        rows[i].value);

        resolve(params, properties, &limits, &resolved);

        if (resolved.error.code != KNOCK_E_NONE
            || strcmp(show(&resolved), rows[i].found) != 0)
        {
            fail_msg("%s of %s: %s, error %d", rows[i].recipients,
                     rows[i].value, show(&resolved),
                     (int) resolved.error.code);
        }
    }
}


static void
recipients_that_are_missing(void **state)
{
    size_t            i;
    char              params[256];
    knock_resolved_t  resolved;

    static const struct {
        const char  *recipients;
        const char  *properties;
    } rows[] = {
        { "\"data.r\"", "{}" },
        { "\"data.r\"", "null" },
        { "\"data.r\"", "{\"r\":null}" },
        { "\"data.R\"", "{\"r\":\"a\"}" },
        { "\"data.r.id\"", "{\"r\":\"a\"}" },
        { "\"data.r[1]\"", "{\"r\":[\"a\"]}" },
        { "\"data.r[1]\"", "{\"r\":[\"a\",null]}" },
        { "\"data.r[*]\"", "{\"r\":[]}" },
        { "\"data.r[*]\"", "{\"r\":\"a\"}" },
        { "\"data.r[*].id\"", "{\"r\":[{},{}]}" },
        { "{\"literal\":null}", "{}" },
        { "[\"data.r\",\"data.s\",\"data.t[*]\",{\"literal\":null}]",
          "{\"r\":null,\"t\":[]}" },
        { "[\"data.r\"]", "{}" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        (void) snprintf(params, sizeof(params),
                        "\"recipients\":%s,\"actor\":\"userId\","
                        "\"tenant\":\"userId\","
                        "\"cancellation_key\":\"userId\"",
                        rows[i].recipients);

        resolve(params, rows[i].properties, &limits, &resolved);

        if (resolved.error.code != KNOCK_E_RECIPIENTS_MISSING) {
            fail_msg("%s of %s: %s", rows[i].recipients, rows[i].properties,
                     show(&resolved));
        }

        assert_non_null(strstr(resolved.error.message, "recipients"));
        assert_nothing_filled_in(&resolved);
    }
}


static void
the_missing_path_is_named(void **state)
{
    knock_resolved_t  resolved;

    (void) state;

    resolve("\"recipients\":\"data.people[0].id\"", "{}", &limits, &resolved);
    assert_non_null(strstr(resolved.error.message, "data.people[0].id"));

    resolve(repeat("\"recipients\":\"", "\xe2\x82\xac", 340, "\""), "{}",
            &limits, &resolved);
    assert_int_equal(resolved.error.code, KNOCK_E_RECIPIENTS_MISSING);
    assert_string_equal(resolved.error.message
                        + strlen(resolved.error.message) - 3, "\xe2\x82\xac");
}


/* the properties {"r":[...]} with elements in turn from n distinct ids */

static char *
list(size_t n, size_t turns, const char *before, const char *after)
{
    size_t       i;
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 4096);
    knock_buf_add_lit(&buf, "{\"r\":[");

    for (i = 0; i < n * turns; i++) {
        knock_buf_add(&buf, ",", i > 0);
        knock_buf_add(&buf, before, strlen(before));
        knock_buf_add_uint(&buf, i % n);
        knock_buf_add(&buf, after, strlen(after));
    }

    knock_buf_add_lit(&buf, "]}\0");
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return (char *) text.data;
}


static void
over_the_limit_of_distinct_recipients(void **state)
{
    size_t            i;
    knock_resolved_t  resolved;

    static const struct {
        size_t  n;
        size_t  turns;
        size_t  max;
        int     many;
    } rows[] = {
        { 1, 1, 1, 0 }, { 2, 1, 1, 1 }, { 1, 50, 1, 0 }, { 2, 20, 1, 1 },
        { 15, 1, 15, 0 }, { 16, 1, 15, 1 }, { 16, 1, 16, 0 },
        { 17, 1, 16, 1 }, { 17, 1, 17, 0 }, { 17, 9, 17, 0 },
        { 18, 9, 17, 1 }, { 1000, 1, 1000, 0 }, { 1000, 3, 1000, 0 },
        { 1001, 1, 1000, 1 }, { 1001, 3, 1000, 1 }, { 1, 1, 0, 1 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        knock_limits_t  few = limits;

        few.max_recipients = rows[i].max;

        resolve("\"recipients\":\"data.r\",\"actor\":\"userId\","
                "\"tenant\":\"userId\",\"cancellation_key\":\"userId\"",
                list(rows[i].n, rows[i].turns, "\"u", "\""), &few, &resolved);

        if (rows[i].many) {
            assert_int_equal(resolved.error.code,
                             KNOCK_E_TOO_MANY_RECIPIENTS);
            assert_non_null(strstr(resolved.error.message,
                                   "knock_max_recipients"));
            assert_nothing_filled_in(&resolved);
            continue;
        }

        assert_int_equal(resolved.error.code, KNOCK_E_NONE);
        assert_int_equal(resolved.nrecipients, rows[i].n);
        assert_string_equal(show_single(resolved.actor), "u1");
    }
}


static void
what_is_left_out_does_not_count(void **state)
{
    knock_limits_t    few = limits;
    knock_resolved_t  resolved;

    (void) state;

    few.max_recipients = 2;

    resolve("\"recipients\":\"data.r\"",
            "{\"r\":[true,\"a\",\"\",null,\"b\",[],\"a\"]}", &few, &resolved);
    assert_int_equal(resolved.error.code, KNOCK_E_NONE);
    assert_int_equal(resolved.nrecipients, 2);
    assert_int_equal(resolved.nleft_out, 4);

    resolve("\"recipients\":\"data.r\"",
            "{\"r\":[true,\"a\",\"\",null,\"b\",[],\"c\"]}", &few, &resolved);
    assert_int_equal(resolved.error.code, KNOCK_E_TOO_MANY_RECIPIENTS);
    assert_nothing_filled_in(&resolved);
}


/* the same rules where the recipients are found by a map */

static void
many_recipients_follow_the_same_rules(void **state)
{
    size_t            i, n;
    knock_ref_t      *ref;
    knock_resolved_t  resolved;

    (void) state;

    for (n = 5; n < 20; n++) {
        resolve("\"recipients\":[\"data.r\",{\"literal\":[\"u0\","
                "{\"id\":\"u1\",\"z\":1},{\"id\":\"u1\",\"collection\":\"c\"},"
                "{\"id\":\"x\",\"collection\":\"\"},"
                "{\"id\":\"b1\",\"collection\":\"a\"},"
                "{\"id\":\"1\",\"collection\":\"ab\"}]}]",
                list(n, 3, "{\"id\":\"u", "\",\"a\":1}"), &limits, &resolved);

        assert_int_equal(resolved.error.code, KNOCK_E_NONE);
        assert_int_equal(resolved.nrecipients, n + 3);
        assert_int_equal(resolved.nleft_out, 1);
        assert_string_equal(resolved.left_out[0].reason,
                            "invalid_collection");

        for (i = 0; i < n; i++) {
            ref = &resolved.recipients[i];
            assert_int_equal(ref->nupserts, i == 1 ? 4 : 3);
            assert_int_equal(strtoul((char *) ref->id.data + 1, NULL, 10), i);
        }

        assert_str(&resolved.recipients[1].upserts[3].fields[0].name, "z");
        assert_string_equal(show_single(&resolved.recipients[n]), "c/u1{}");
        assert_string_equal(show_single(&resolved.recipients[n + 1]),
                            "a/b1{}");
        assert_string_equal(show_single(&resolved.recipients[n + 2]),
                            "ab/1{}");
    }
}


static void
a_hundred_thousand_elements_take_linear_time(void **state)
{
    size_t            i;
    knock_limits_t    many = limits;
    knock_resolved_t  resolved;

    (void) state;

    many.max_recipients = 100000;

    resolve("\"recipients\":\"data.r\"", list(100000, 2, "\"u", "\""), &many,
            &resolved);
    assert_int_equal(resolved.nrecipients, 100000);

    resolve("\"recipients\":\"data.r[*].id\"",
            list(100000, 1, "{\"id\":", "}"), &many, &resolved);
    assert_int_equal(resolved.nrecipients, 100000);

    resolve("\"recipients\":\"data.r\"",
            list(1, 100000, "{\"id\":\"u", "\",\"a\":1}"), &many, &resolved);
    assert_int_equal(resolved.nrecipients, 1);
    assert_int_equal(resolved.recipients[0].nupserts, 100000);

    for (i = 0; i < 100000; i++) {
        assert_int_equal(resolved.recipients[0].upserts[i].nfields, 1);
    }

    resolve("\"recipients\":\"data.r\"", list(100000, 1, "[", "]"), &many,
            &resolved);
    assert_int_equal(resolved.nrecipients, 0);
    assert_int_equal(resolved.nleft_out, 100000);

    resolve("\"recipients\":\"data.r\"", list(100000, 1, "\"u", "\""),
            &limits, &resolved);
    assert_int_equal(resolved.error.code, KNOCK_E_TOO_MANY_RECIPIENTS);
}


static void
the_longest_recipient_has_a_key(void **state)
{
    size_t            len;
    char             *text;
    const char       *element;
    knock_resolved_t  resolved;

    (void) state;

    element = repeat("{\"collection\":\"", "c", 64,
                     repeat("\",\"id\":\"", "i", 256, "\"}"));
    len = 20 * strlen(element) + 64;
    text = knock_arena_alloc(arena, len);
    assert_non_null(text);

    (void) snprintf(text, len, "{\"r\":[%s%s", element,
                    repeat("", repeat(",", element, 1, ""), 18, "]}"));

    resolve("\"recipients\":\"data.r\"", text, &limits, &resolved);
    assert_int_equal(resolved.nrecipients, 1);
    assert_int_equal(resolved.recipients[0].nupserts, 19);
    assert_int_equal(resolved.recipients[0].collection.len, 64);
    assert_int_equal(resolved.recipients[0].id.len, 256);
}


static void
actor_tenant_and_cancellation_key(void **state)
{
    size_t            i;
    char              params[256], properties[256];
    knock_resolved_t  resolved;

    static const struct {
        const char  *param;
        const char  *value;             /* of properties.v */
        const char  *actor;
        const char  *tenant;
        const char  *cancellation_key;  /* NULL: null */
    } rows[] = {
        { "\"data.v\"", "\"x\"", "x", "$tenants/x", "x" },
        { "\"data.v\"", "\"\\u0078\"", "x", "$tenants/x", "x" },
        { "\"data.v\"", "7", "7", "$tenants/7", "7" },
        { "\"data.v\"", "-7", "-7", "$tenants/-7", "-7" },
        { "\"data.v\"", "{\"id\":\"x\",\"n\":1}", "x{n=1}",
          "$tenants/x{n=1}", NULL },
        { "\"data.v\"", "{\"id\":7}", "7{}", "$tenants/7{}", NULL },
        { "\"data.v\"", "{\"id\":\"x\",\"collection\":\"c\",\"n\":1}",
          "c/x{n=1}", "$tenants/x{n=1}", NULL },
        { "\"data.v\"", "{\"name\":\"x\"}", "null", "null", NULL },
        { "\"data.v\"", "{\"id\":null}", "null", "null", NULL },
        { "\"data.v\"", "null", "null", "null", NULL },
        { "\"data.v\"", "true", "null", "null", NULL },
        { "\"data.v\"", "1.5", "null", "null", NULL },
        { "\"data.v\"", "\"\"", "null", "null", NULL },
        { "\"data.v\"", "\"a\\u0000\"", "null", "null", NULL },
        { "\"data.v\"", "[]", "null", "null", NULL },
        { "\"data.v\"", "[\"x\"]", "null", "null", NULL },
        { "\"data.v[0]\"", "[\"x\"]", "x", "$tenants/x", "x" },
        { "\"data.v.id\"", "{\"id\":\"x\"}", "x", "$tenants/x", "x" },
        { "\"data.v.id\"", "\"x\"", "null", "null", NULL },
        { "\"data.w\"", "\"x\"", "null", "null", NULL },
        { "\"userId\"", "1", "u1", "$tenants/u1", "u1" },
        { "null", "1", "null", "null", NULL },
        { "{\"literal\":\"x\"}", "1", "x", "$tenants/x", "x" },
        { "{\"literal\":{\"id\":\"x\",\"n\":1}}", "1", "x{n=1}",
          "$tenants/x{n=1}", NULL },
        { "{\"literal\":null}", "1", "null", "null", NULL },
        { "{\"literal\":true}", "1", "null", "null", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        (void) snprintf(params, sizeof(params),
                        "\"recipients\":\"userId\",\"actor\":%s,"
                        "\"tenant\":%s,\"cancellation_key\":%s",
                        rows[i].param, rows[i].param, rows[i].param);
        (void) snprintf(properties, sizeof(properties), "{\"v\":%s}",
                        rows[i].value);

        resolve(params, properties, &limits, &resolved);

        assert_int_equal(resolved.error.code, KNOCK_E_NONE);
        assert_string_equal(show(&resolved), "u1");

        if (strcmp(show_single(resolved.actor), rows[i].actor) != 0
            || strcmp(show_single(resolved.tenant), rows[i].tenant) != 0)
        {
            fail_msg("%s of %s: %s, %s", rows[i].param, rows[i].value,
                     show_single(resolved.actor),
                     show_single(resolved.tenant));
        }

        assert_str_or_null(&resolved.cancellation_key,
                           rows[i].cancellation_key);
    }
}


static void
an_action_on_an_event_without_properties(void **state)
{
    const char       *text;
    knock_event_t     event;
    knock_error_t     err;
    knock_resolved_t  resolved;

    (void) state;

    text = "{\"type\":\"identify\",\"userId\":\"u\","
           "\"traits\":{\"team\":[\"a\",\"b\"]}}";

    assert_int_equal(knock_event_read(arena, parse(text), &event, &err),
                     KNOCK_OK);
    assert_int_equal(knock_mapping_resolve(arena,
                         action("\"recipients\":[\"traits.team\",\"userId\"],"
                                "\"actor\":\"body.userId\""),
                         &event, &limits, &resolved),
                     KNOCK_OK);
    assert_string_equal(show(&resolved), "a b u");
    assert_string_equal(show_single(resolved.actor), "u");
    assert_null(resolved.tenant);
}


static void
escaped_and_duplicated_keys_of_an_event(void **state)
{
    const char       *text;
    knock_event_t     event;
    knock_error_t     err;
    knock_resolved_t  resolved;

    (void) state;

    text = "{\"type\":\"track\",\"event\":\"A\",\"us\\u0065rId\":\"u\","
           "\"properties\":{\"a.b\":\"old\"},"
           "\"prop\\u0065rties\":{\"a.b\":\"x\",\"a\\u002eb\":\"y\"}}";

    assert_int_equal(knock_event_read(arena, parse(text), &event, &err),
                     KNOCK_OK);
    assert_int_equal(knock_mapping_resolve(arena,
                         action("\"recipients\":[\"userId\","
                                "\"data[\\\"a.b\\\"]\"]"),
                         &event, &limits, &resolved),
                     KNOCK_OK);
    assert_string_equal(show(&resolved), "u y");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            the_contract_s_example, setup, teardown),
        cmocka_unit_test_setup_teardown(recipients, setup, teardown),
        cmocka_unit_test_setup_teardown(
            recipients_that_are_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_missing_path_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(
            over_the_limit_of_distinct_recipients, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_left_out_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(
            many_recipients_follow_the_same_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_hundred_thousand_elements_take_linear_time, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_longest_recipient_has_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(
            actor_tenant_and_cancellation_key, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_action_on_an_event_without_properties, setup, teardown),
        cmocka_unit_test_setup_teardown(
            escaped_and_duplicated_keys_of_an_event, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

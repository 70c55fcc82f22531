
/* knock_receive: from a body to the unit that it becomes */

#include "fixture.h"
#include "columns.h"

#include "knock_flood.h"
#include "knock_receive.h"


#define NOW  1704164645678u        /* 2024-01-02T03:04:05.678Z */


static knock_apply_t       apply;
static knock_live_t       *live;
static knock_limits_t      limits;
static knock_part_t        part;
static knock_parts_t       parts;
static const knock_need_t  *needed;
static knock_receive_t     in;
static knock_received_t    received;
static knock_error_t       err;
static unsigned            samples;


static const char  doc_a[] =
    "{\"key\":\"a\",\"source\":\"segment\",\"event\":\"track/T\","
    "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
    "\"recipients\":\"data.r\",\"actor\":\"data.a\",\"tenant\":\"data.t\"}";

static const char  doc_b[] =
    "{\"key\":\"b\",\"source\":\"segment\",\"event\":\"track/T\","
    "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
    "\"recipients\":{\"literal\":[\"u1\",\"u2\"]}}";


/* an endpoint with these fields beside its token, and these actions */

static void
configure(const char **fields, size_t nfields, const char **docs,
    size_t ndocs)
{
    size_t              i;
    knock_str_t         prefix, environment, token;
    knock_str_t         endpoints[16], workflow, actions[16];
    knock_live_reply_t  reply;

    memset(&reply, 0, sizeof(knock_live_reply_t));

    endpoints[0] = str("segment/token");
    endpoints[1] = str("dev");

    for (i = 0; i < nfields; i++) {
        endpoints[2 + i] = str(fields[i]);
    }

    for (i = 0; i < ndocs; i++) {
        actions[2 * i] = str("x");
        actions[2 * i + 1] = str(docs[i]);
    }

    workflow = str("w");

    reply.version = str("v7");
    reply.endpoints = endpoints;
    reply.nendpoints = 2 + nfields;
    reply.workflows = &workflow;
    reply.nworkflows = 1;
    reply.actions = actions;
    reply.nactions = 2 * ndocs;

    prefix = str("k");
    environment = str("e");
    token = str("dev");

    assert_int_equal(knock_live_build(arena, &prefix, &environment, 1,
                                      &reply, &live),
                     KNOCK_OK);

    in.endpoint = knock_live_endpoint(live, &token, 0);
    assert_non_null(in.endpoint);

    assert_int_equal(knock_apply_begin(&apply, arena, live, 0), KNOCK_OK);
}


static int
begin(void **state)
{
    const char  *fields[] = { "segment/identify_enabled", "1" };

    if (setup(state) != 0) {
        return 1;
    }

    needed = NULL;

    memset(&in, 0, sizeof(knock_receive_t));

    limits.max_batch = 4;
    limits.max_recipients = 3;
    limits.max_depth = 8;
    limits.max_run_bytes = 1 << 20;
    samples = 0;

    in.limits = &limits;
    in.samples = &samples;
    in.now = NOW;

    configure(fields, 2, NULL, 0);

    return 0;
}


static int
receive_again(void)
{
    knock_parts_whole(&parts, &part, &apply, arena, live, needed);

    return knock_receive(&parts, &in, &received, &err);
}


static int
receive(const char *body)
{
    in.body = str(body);

    return receive_again();
}


static const char *
units(void)
{
    return columns(&apply);
}


static const char *
key(size_t index)
{
    assert_true(index >= 1 && index <= apply.keys.n);

    return text(&apply.keys.items[index - 1]);
}


static void
refused(const char *body, knock_error_code_e code)
{
    size_t  n;

    n = apply.numbers.len;

    if (receive(body) != KNOCK_ERROR || err.code != code) {
        fail_msg("%s: %s", body, err.message);
    }

    assert_true(strlen(err.message) > 0);
    assert_int_equal(apply.numbers.len, n);
    assert_int_equal(apply.nunits, 0);
}


static void
taken(const char *body)
{
    if (receive(body) != KNOCK_OK) {
        fail_msg("%s: %s", body, err.message);
    }
}


static void
a_body_is_one_event_an_array_or_a_batch(void **state)
{
    (void) state;

    taken("{\"type\":\"page\"}");
    assert_int_equal(received.nevents, 1);

    taken(" \t\r\n[{\"type\":\"page\"},{\"type\":\"alias\"}] ");
    assert_int_equal(received.nevents, 2);

    taken("{\"batch\":[{\"type\":\"page\"},{\"type\":\"alias\"},"
          "{\"type\":\"screen\"}],\"sentAt\":\"x\"}");
    assert_int_equal(received.nevents, 3);
    assert_null(received.indexes);
    assert_int_equal(received.errors.len, 0);

    /* an event may have a "batch" of its own */

    taken("{\"type\":\"page\",\"batch\":[1,2]}");
    assert_int_equal(received.nevents, 1);

    assert_int_equal(apply.nunits, 4);
    assert_int_equal(apply.nevents, 7);
}


static void
a_body_that_is_no_event(void **state)
{
    (void) state;

    refused("{}", KNOCK_E_INVALID_EVENT);
    refused("7", KNOCK_E_INVALID_EVENT);
    refused("null", KNOCK_E_INVALID_EVENT);
    refused("[]", KNOCK_E_INVALID_EVENT);
    refused("[7]", KNOCK_E_INVALID_EVENT);
    refused("[[{\"type\":\"page\"}]]", KNOCK_E_INVALID_EVENT);
    refused("{\"batch\":[]}", KNOCK_E_INVALID_EVENT);
    refused("{\"batch\":{\"type\":\"page\"}}", KNOCK_E_INVALID_EVENT);
    refused("{\"Type\":\"page\"}", KNOCK_E_INVALID_EVENT);
    refused("{\"type\":\"page\"", KNOCK_E_INVALID_JSON);
    refused("{\"type\":\"page\"}x", KNOCK_E_INVALID_JSON);
}


static void
an_empty_body_says_to_look_at_the_mapping(void **state)
{
    (void) state;

    refused("", KNOCK_E_INVALID_JSON);
    assert_non_null(strstr(err.message, "mapping"));

    refused(" \r\n\t", KNOCK_E_INVALID_JSON);
    assert_non_null(strstr(err.message, "mapping"));
}


static void
an_endpoint_that_is_switched_off_refuses(void **state)
{
    const char  *fields[] = { "segment/enabled", "0" };

    (void) state;

    configure(fields, 2, NULL, 0);
    refused("{\"type\":\"page\"}", KNOCK_E_ENDPOINT_DISABLED);
    refused("nonsense", KNOCK_E_ENDPOINT_DISABLED);
}


static void
with_a_secret_the_signature_is_checked(void **state)
{
    const char  *fields[] = { "segment/signing_secret", "key" };

    (void) state;

    configure(fields, 2, NULL, 0);
    refused("{\"type\":\"page\"}", KNOCK_E_INVALID_SIGNATURE);
    refused("nonsense", KNOCK_E_INVALID_SIGNATURE);

    in.signature = str("0123456789012345678901234567890123456789");
    refused("{\"type\":\"page\"}", KNOCK_E_INVALID_SIGNATURE);

    /* HMAC-SHA1 of {"type":"page"} */

    in.signature = str("2f6431f636af5d5294c4917c3cd2e15fbd33a390");
    taken("{\"type\":\"page\"}");
    taken("[{\"type\":\"page\"},{\"type\":\"alias\"}]");

    in.signature_mode = KNOCK_SIGNATURE_WHOLE;
    in.body = str("[{\"type\":\"page\"},{\"type\":\"alias\"}]");
    assert_int_equal(receive_again(), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_SIGNATURE);
}


static void
the_secret_before_counts_until_its_end(void **state)
{
    size_t       i;
    const char  *fields[] = {
        "segment/signing_secret", "new",
        "segment/previous_signing_secret", "key",
        "segment/previous_signing_secret_valid_until", "1000"
    };

    static const struct {
        uint64_t     received;
        const char  *body;
        int          ok;
    } rows[] = {
        { 0,    "{\"type\":\"page\"}", 1 },
        { 999,  "{\"type\":\"page\"}", 1 },
        { 999,  "[{\"type\":\"page\"},{\"type\":\"alias\"}]", 1 },
        { 999,  "{\"type\":\"alias\"}", 0 },
        { 1000, "{\"type\":\"page\"}", 0 },
        { 1001, "{\"type\":\"page\"}", 0 }
    };

    (void) state;

    /* now is the try's time: it is the request's that counts */

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        configure(fields, 6, NULL, 0);

        in.signature = str("2f6431f636af5d5294c4917c3cd2e15fbd33a390");
        in.received = rows[i].received;
        in.now = 2000 - rows[i].received;

        if (rows[i].ok) {
            taken(rows[i].body);

        } else {
            refused(rows[i].body, KNOCK_E_INVALID_SIGNATURE);
        }
    }

    /* without a secret there is none before it */

    fields[1] = "";
    configure(fields, 6, NULL, 0);
    in.received = 0;
    in.signature.len = 0;
    taken("{\"type\":\"page\"}");
}


static void
a_batch_over_the_limit(void **state)
{
    (void) state;

    refused(repeat("[{\"type\":\"page\"}", ",{\"type\":\"page\"}", 4, "]"),
            KNOCK_E_BATCH_TOO_LARGE);
    refused("[1,2,3,4,5]", KNOCK_E_BATCH_TOO_LARGE);
    refused("{\"batch\":[1,2,3,4,5]}", KNOCK_E_BATCH_TOO_LARGE);
    assert_non_null(strstr(err.message, "knock_max_batch"));

    taken(repeat("[{\"type\":\"page\"}", ",{\"type\":\"page\"}", 3, "]"));
    assert_int_equal(received.nevents, 4);
}


static void
the_depth_of_an_event_is_limited_alike_in_a_batch(void **state)
{
    const char  *deep, *deeper;

    (void) state;

    deep = repeat("{\"type\":\"page\",\"x\":", "[", 7, "]]]]]]]}");
    deeper = repeat("{\"type\":\"page\",\"x\":", "[", 8, "]]]]]]]]}");

    refused(deeper, KNOCK_E_INVALID_JSON);
    refused(repeat("[", deeper, 1, "]"), KNOCK_E_INVALID_JSON);
    refused(repeat("{\"batch\":[", deeper, 1, "]}"), KNOCK_E_INVALID_JSON);
    assert_non_null(strstr(err.message, "the limit of 8 levels"));

    /* an event's own member is no batch */

    refused(repeat("{\"type\":\"page\",\"batch\":", "[", 8, "]]]]]]]]}"),
            KNOCK_E_INVALID_JSON);

    taken(deep);
    taken(repeat("[", deep, 1, "]"));
    taken(repeat("{\"batch\":[", deep, 1, "]}"));
}


static void
the_bad_events_of_a_batch_are_listed(void **state)
{
    const char  *errors;

    (void) state;

    taken("[7,{\"type\":\"page\"},{\"type\":\"track\"},{\"type\":\"alias\"}]");

    assert_int_equal(received.nevents, 2);
    assert_non_null(received.indexes);
    assert_int_equal(received.indexes[0], 1);
    assert_int_equal(received.indexes[1], 3);

    errors = text(&received.errors);
    assert_starts(errors,
                  "{\"index\":0,\"code\":"
                  "\"invalid_event\",");
    assert_non_null(strstr(errors, "},{\"index\":2,\"code\":"
                                   "\"invalid_event\","));
}


static void
what_is_no_json_fails_alone_too(void **state)
{
    size_t       i;
    const char  *errors;

    static const char  *bad[] = {
        "{\"type\":\"page\",\"x\":\"\xff\"}",
        "{\"type\":\"page\",\"x\":[[[[[[[[]]]]]]]]}",
        "{\"type\":\"page\",\"x\":01}",
        "nonsense"
    };

    static const char  *forms[][2] = { { "[", "]" }, { "{\"batch\":[", "]}" } };

    (void) state;

    /* alone it is the whole answer */

    for (i = 0; i < N(bad) * N(forms); i++) {
        refused(bad[i / 2], KNOCK_E_INVALID_JSON);
        refused(repeat(forms[i % 2][0], bad[i / 2], 1, forms[i % 2][1]),
                KNOCK_E_INVALID_JSON);
    }

    refused("[{\"type\":\"page\"},{\"type\":\"page\",\"x\":\"}]",
            KNOCK_E_INVALID_JSON);
    refused("{\"type\":\"page\",\"batch\":[x]}", KNOCK_E_INVALID_JSON);

    for (i = 0; i < N(bad) * N(forms); i++) {
        taken(repeat(repeat(forms[i % 2][0], "{\"type\":\"page\"},", 1, ""),
                     bad[i / 2], 1,
                     repeat(",{\"type\":\"alias\"}", forms[i % 2][1], 1, "")));

        assert_int_equal(received.nevents, 2);
        assert_int_equal(received.indexes[1], 2);
        assert_int_equal(received.types[1], KNOCK_EVENT_ALIAS);

        errors = text(&received.errors);
        assert_starts(errors, "{\"index\":1,\"code\":\"invalid_json\","
                              "\"message\":\"byte ");
        assert_null(strstr(errors, "},{"));

    }
}


static void
a_lone_surrogate_is_carried_as_what_replaces_it(void **state)
{
    const char  *docs[] = { doc_a }, *run, *u;
    const char  *body = "[{\"type\":\"track\",\"event\":\"T\",\"properties\":"
                        "{\"r\":\"u1\",\"\\udc00\":\"x\\ud83d\"}},"
                        "{\"type\":\"track\",\"event\":\"T\",\"properties\":"
                        "{\"r\":\"u1\",\"x\":\"\\ud83d\\ude00\"}}]";

    (void) state;

    configure(NULL, 0, docs, 1);
    in.log = KNOCK_LOG_ON;
    taken(body);

    assert_int_equal(received.errors.len, 0);
    run = text(&apply.runs.items[0]);
    assert_non_null(strstr(run, "{\"r\":\"u1\",\"\\ufffd\":\"x\\ufffd\"}"));

    /* the log says so, of the event that it is */

    u = strstr(units(), "\"notes\":[\"lone_surrogate_replaced\"]");
    assert_non_null(u);
    assert_null(strstr(u + 1, "\"notes\""));

    assert_str(&in.body, body);
}


static void
a_batch_without_a_good_event_is_refused_with_all_reasons(void **state)
{
    (void) state;

    refused("[7,{\"type\":\"nonsense\"}]", KNOCK_E_INVALID_EVENT);

    assert_non_null(strstr(text(&received.errors), "{\"index\":0,"));
    assert_non_null(strstr(text(&received.errors), ",{\"index\":1,"));
}


static void
an_event_without_actions_is_ignored(void **state)
{
    (void) state;

    taken("{\"type\":\"track\",\"event\":\"T\"}");

    assert_string_equal(units(),
        "1 0 0 0 0 0 1 1 0 0 0 | | | | track/T '' |");
    assert_string_equal(key(6), "k:{e}:catalogue:segment");
    assert_string_equal(key(7), "k:{e}:catalogue_info:segment");
    assert_string_equal(key(8), "k:{e}:log:segment");
}


static void
an_identify_is_an_upsert(void **state)
{
    (void) state;

    taken("{\"type\":\"identify\",\"userId\":7,\"traits\":{\"o\":{\"a\":1},"
          "\"phone\":\"+1\"}}");

    assert_string_equal(units(),
        "1 1 0 0 0 0 0 1 0 1 9 0 65 3 1 0 | id \"7\" "
        "updated_at \"2024-01-02T03:04:05.678Z\" phone_number \"+1\" "
        "o {\"a\":1} | | | identify '' |");
    assert_string_equal(key(9), "k:{e}:user:7");
}


static void
an_identify_without_user_or_switch_is_ignored(void **state)
{
    (void) state;

    taken("{\"type\":\"identify\",\"traits\":{\"a\":1}}");
    assert_string_equal(units(),
                        "1 0 0 0 0 0 1 1 0 0 0 | | | | identify '' |");

    configure(NULL, 0, NULL, 0);
    taken("{\"type\":\"identify\",\"userId\":\"u1\"}");
    assert_string_equal(units(),
                        "1 0 0 0 0 0 1 1 0 0 0 | | | | identify '' |");
}


static void
each_recipient_is_a_run(void **state)
{
    size_t       i;
    const char  *docs[] = { doc_b, doc_a }, *u, *one;

    (void) state;

    configure(NULL, 0, docs, 2);

    taken("{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":"
          "[\"u1\",{\"id\":\"u3\",\"x\":1}],\"a\":\"u9\","
          "\"t\":{\"id\":\"acme\",\"n\":1}}}");

    u = units();

    /* ops: the inline recipient, the tenant; then action a, action b */

    assert_starts(u,
                  "1 0 0 0 0 0 0 1 0 2 10 1 44 3 0 12 1 66 4 0 "
                  "2 11 2 9 10 0 2 9 13 | id \"u3\" ");
    assert_string_equal(key(9), "k:{e}:user:u1");
    assert_string_equal(key(10), "k:{e}:user:u3");
    assert_string_equal(key(11), "k:{e}:user:u9");
    assert_string_equal(key(12), "k:{e}:object:$tenants:acme");
    assert_string_equal(key(13), "k:{e}:user:u2");
    assert_int_equal(apply.keys.n, 13);

    assert_non_null(strstr(u, " x 1 id \"acme\" "));
    assert_non_null(strstr(u, " collection \"$tenants\" "));

    one = strstr(u, " n 1 | {\"id\":");
    assert_non_null(one);
    assert_non_null(strstr(one, "\"action\":\"a\""));

    assert_int_equal(apply.runs.n, 4);

    for (i = 0; i < 4; i++) {
        assert_int_equal(strstr(text(&apply.runs.items[i]),
                                i < 2 ? "\"action\":\"a\""
                                      : "\"action\":\"b\"") != NULL, 1);
    }
}


/* a track event with n recipients and this many bytes in its properties */

static const char *
large_event(size_t n, size_t bytes)
{
    size_t       i;
    knock_buf_t  buf;
    knock_str_t  s;

    knock_buf_init(&buf, arena, bytes + 32 * n);
    knock_buf_add_lit(&buf, "{\"type\":\"track\",\"event\":\"T\","
                            "\"properties\":{\"r\":[0");

    for (i = 1; i < n; i++) {
        knock_buf_add_char(&buf, ',');
        knock_buf_add_uint(&buf, i);
    }

    knock_buf_add_lit(&buf, "],\"x\":\"");
    memset(knock_buf_grow(&buf, bytes), 'x', bytes);
    buf.len += bytes;
    knock_buf_add_lit(&buf, "\"}}");

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


static void
runs_over_the_bound_are_refused_before_they_are_built(void **state)
{
    size_t       before;
    const char  *docs[] = { doc_a }, *body;

    (void) state;

    configure(NULL, 0, docs, 1);
    limits.max_recipients = 100;
    limits.max_run_bytes = 48 << 20;

    body = large_event(100, 3 << 20);
    before = knock_arena_size(arena);

    refused(body, KNOCK_E_RUNS_TOO_LARGE);

    /* what it takes to read the event, and one copy of the properties */

    assert_true(knock_arena_size(arena) - before < 4 * strlen(body));

    assert_non_null(strstr(err.message, "more than 50331648 bytes"));
    assert_non_null(strstr(err.message, "event 0 has 100 of action \"a\""));
    assert_non_null(strstr(err.message, "max_pending_bytes="));
    assert_int_equal(apply.runs.n, 0);

    taken(large_event(10, 3 << 20));
    assert_int_equal(part.runs, 10);
}


static void
the_bound_is_for_the_runs_of_all_events_of_a_batch(void **state)
{
    const char  *docs[] = { doc_a }, *event;

    (void) state;

    configure(NULL, 0, docs, 1);
    limits.max_batch = 6;
    limits.max_run_bytes = 40000;

    event = large_event(2, 5000);

    taken(repeat("[7", repeat(",", event, 1, ""), 3, "]"));
    assert_int_equal(part.runs, 6);

    configure(NULL, 0, docs, 1);

    /* the fifth is the one too many, for which the last one is small enough */

    taken(repeat(repeat("[{\"type\":\"page\"}", repeat(",", event, 1, ""), 4,
                        ","), large_event(2, 100), 1, "]"));

    assert_int_equal(received.nevents, 5);
    assert_int_equal(received.indexes[3], 3);
    assert_int_equal(received.indexes[4], 5);
    assert_int_equal(part.runs, 8);
    assert_int_equal(apply.runs.n, 8);

    assert_starts(text(&received.errors),
                  "{\"index\":4,\"code\":\"runs_too_large\",");
    assert_non_null(strstr(text(&received.errors), "event 4 has 2 of action"));
    assert_null(strstr(text(&received.errors), "},{"));
}


/* both actions are asked before the first run of either is built */

static void
an_event_whose_second_action_is_too_large_does_nothing(void **state)
{
    const char  *docs[] = { doc_a, doc_b };

    (void) state;

    configure(NULL, 0, docs, 2);
    limits.max_run_bytes = 13000;

    taken(repeat("[{\"type\":\"page\"},", large_event(1, 5000), 1, "]"));

    assert_int_equal(received.nevents, 1);
    assert_int_equal(part.runs, 0);
    assert_non_null(strstr(text(&received.errors), "action \\\"b\\\""));
    assert_string_equal(units(),
                        "1 0 0 0 0 0 1 1 0 0 0 | | | | page '' |");
    assert_int_equal(apply.keys.n, 8);
}


/* Lua's hash */

static uint32_t
lua_hash(const unsigned char *data, size_t len)
{
    uint32_t  h;

    for (h = (uint32_t) len; len; len--) {
        h ^= (h << 5) + (h >> 2) + data[len - 1];
    }

    return h;
}


/*
 * The next number from *n on with which the string is in one chain of the
 * flood's table; without a format the mark of a messageId, of "track/T".
 */

static size_t
in_chain(const char *string, size_t *n)
{
    char           bytes[128];
    size_t         len;
    knock_str_t    marked[3];
    unsigned char  mark[KNOCK_MARK_LEN];

    for ( ;; ) {
        len = (size_t) snprintf(bytes, sizeof(bytes), string ? string : "%zu",
                                ++*n);

        if (string == NULL) {
            marked[0] = in.endpoint->source;
            knock_str_set(&marked[1], "track/T");
            marked[2].len = len;
            marked[2].data = (unsigned char *) bytes;

            knock_digest_mark(marked, 3, mark);
            memcpy(bytes, mark, KNOCK_MARK_LEN);
            len = KNOCK_MARK_LEN;
        }

        if (lua_hash((unsigned char *) bytes, len) % KNOCK_FLOOD_CHAINS == 9) {
            return *n;
        }
    }
}


static void
whatever_lua_is_given_is_looked_at(void **state)
{
    enum { MANY = 2 * KNOCK_FLOOD_CHAIN };

    size_t        i, j, n;
    const char   *docs[] = { doc_a };
    const char   *fields[] = { "segment/identify_enabled", "1" };
    knock_buf_t   buf;
    char          event[256];

    static const struct {
        const char  *string;
        const char  *event;
        int          given;
    } rows[] = {
        { "track/%zu", "{\"type\":\"track\",\"event\":\"%zu\"}", 1 },
        { NULL, "{\"type\":\"track\",\"event\":\"T\",\"messageId\":%zu}", 1 },
        { "k:{e}:user:%zu", "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[%zu]}}", 1 },
        { "k:{e}:user:%zu", "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[],\"a\":\"%zu\"}}", 1 },
        { "k:{e}:object:$tenants:%zu", "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[],\"t\":{\"id\":%zu}}}", 1 },
        { "%zu", "{\"type\":\"track\",\"event\":\"T\",\"properties\":"
          "{\"r\":{\"id\":\"u\",\"%zu\":1}}}", 1 },
        { "k:{e}:user:%zu", "{\"type\":\"identify\",\"userId\":%zu}", 1 },
        { "\"%zu\"", "{\"type\":\"identify\",\"userId\":%zu}", 1 },
        { "%zu", "{\"type\":\"identify\",\"userId\":1,"
          "\"traits\":{\"%zu\":1}}", 1 },
        { "%zu", "{\"type\":\"identify\",\"userId\":1,"
          "\"traits\":{\"a\":%zu}}", 1 },

        /* what nothing acts on, and what stands in runs alone */

        { "%zu", "{\"type\":\"track\",\"event\":\"U\","
          "\"properties\":{\"r\":{\"id\":1,\"%zu\":1}}}", 0 },
        { "%zu", "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[],\"x\":{\"id\":1,\"%zu\":1}}}", 0 },
        { "k:{e}:object:$tenants:%zu", "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[],\"t\":%zu}}", 0 },
    };

    (void) state;

    limits.max_batch = 1000;

    for (i = 0; i < N(rows); i++) {
        configure(fields, 2, docs, 1);

        /* one that brings more than is let pass unseen */

        knock_buf_init(&buf, arena, 1 << 16);
        knock_buf_add_lit(&buf, "[{\"type\":\"identify\",\"userId\":\"u\","
                                "\"traits\":{\"a\":0");

        for (j = 0; j < KNOCK_FLOOD_FREE / 2; j++) {
            (void) snprintf(event, sizeof(event), ",\"name%zu\":0", j);
            knock_buf_add(&buf, event, strlen(event));
        }

        knock_buf_add_lit(&buf, "}}");

        for (j = 0, n = 0; j < MANY; j++) {
            (void) snprintf(event, sizeof(event), rows[i].event,
                            in_chain(rows[i].string, &n));
            knock_buf_add_char(&buf, ',');
            knock_buf_add(&buf, event, strlen(event));
        }

        knock_buf_add_char(&buf, ']');
        assert_int_equal(knock_buf_str(&buf, &in.body), KNOCK_OK);
        assert_int_equal(receive_again(), KNOCK_OK);

        if (rows[i].given != (received.nevents < 1 + MANY)) {
            fail_msg("row %zu: %zu events", i, received.nevents);
        }

        if (rows[i].given) {
            assert_in_range(received.nevents, KNOCK_FLOOD_CHAIN / 2,
                            KNOCK_FLOOD_CHAIN + 2);
            assert_non_null(strstr(text(&received.errors), "collide"));
        }
    }
}


static void
an_event_without_recipients_has_no_runs_to_count(void **state)
{
    const char  *docs[] = { doc_a };

    (void) state;

    configure(NULL, 0, docs, 1);
    limits.max_run_bytes = 1;

    taken("{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":[]}}");
    assert_int_equal(part.runs, 0);
}


static void
a_failed_action_stands_empty_in_its_place(void **state)
{
    const char  *docs[] = { doc_a, doc_b }, *u;

    (void) state;

    configure(NULL, 0, docs, 2);
    taken("{\"type\":\"track\",\"event\":\"T\"}");

    u = units();
    assert_starts(u,
                  "1 0 0 0 0 0 0 1 0 0 2 0 0 0 2 9 10 | | {\"id\":");
    assert_starts(text(&received.errors),
                  "{\"index\":0,\"action\":\"a\",\"code\":"
                  "\"recipients_missing\",");
}


static void
an_event_whose_actions_all_fail_has_failed(void **state)
{
    const char  *docs[] = { doc_a };

    (void) state;

    configure(NULL, 0, docs, 1);
    taken("{\"type\":\"track\",\"event\":\"T\",\"messageId\":\"m\"}");
    assert_string_equal(units(),
                        "1 0 0 0 0 1 2 1 0 0 1 0 0 | | | | track/T '' |");

    taken("[{\"type\":\"page\"},{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[1,2,3,4]}}]");
    assert_non_null(strstr(text(&received.errors),
                           "{\"index\":1,\"action\":\"a\",\"code\":"
                           "\"too_many_recipients\","));
}


static void
an_event_with_a_message_id_has_a_mark(void **state)
{
    size_t        i, j;
    knock_str_t  *marks;

    (void) state;

    taken("[{\"type\":\"page\",\"messageId\":\"m1\"},{\"type\":\"page\"},"
          "{\"type\":\"page\",\"messageId\":\"\"},"
          "{\"type\":\"page\",\"messageId\":7}]");
    taken("[{\"type\":\"page\",\"messageId\":\"m2\"},"
          "{\"type\":\"screen\",\"messageId\":\"m1\"},"
          "{\"type\":\"page\",\"messageId\":\"m1\",\"x\":1}]");

    marks = apply.marks.items;

    for (i = 0; i < apply.marks.n; i++) {
        assert_int_equal(marks[i].len, KNOCK_MARK_LEN);
    }

    /* the id and the event key make the mark, nothing else */

    assert_true(knock_str_eq(&marks[0], &marks[apply.marks.n - 1]));

    for (i = 0; i < apply.marks.n - 1; i++) {
        for (j = 0; j < i; j++) {
            assert_false(knock_str_eq(&marks[i], &marks[j]));
        }
    }

    assert_in_range(apply.marks.n, 4, 5);
}


static void
without_idempotency_there_are_no_marks(void **state)
{
    const char  *fields[] = { "segment/idempotency_enabled", "0" };

    (void) state;

    configure(fields, 2, NULL, 0);
    taken("{\"type\":\"page\",\"messageId\":\"m1\"}");

    assert_int_equal(apply.marks.n, 0);
    assert_string_equal(units(),
                        "1 0 0 0 0 0 1 1 0 0 0 | | | | page '' |");
}


static void
samples_are_taken_while_there_are_some(void **state)
{
    (void) state;

    samples = 2;

    taken("[{\"type\":\"page\", \"n\":1.0},{\"type\":\"alias\"},"
          "{\"type\":\"group\"}]");

    assert_int_equal(samples, 0);
    assert_string_equal(units(),
        "3 0 0 0 0 0 1 1 0 0 0 0 1 2 0 0 0 0 1 3 0 0 0 | | | | "
        "page {\"type\":\"page\", \"n\":1.0} alias {\"type\":\"alias\"} "
        "group '' |");
}


static void
a_large_event_is_no_sample(void **state)
{
    (void) state;

    samples = 1;
    taken(repeat("{\"type\":\"page\",\"x\":\"", "y", KNOCK_MAX_SAMPLE,
                 "\"}"));

    assert_int_equal(samples, 1);
    assert_string_equal(units(),
                        "1 0 0 0 0 0 1 1 0 0 0 | | | | page '' |");
}


static void
what_is_logged_where(void **state)
{
    size_t       i;
    const char  *docs[] = { doc_a }, *u;

    static const struct {
        knock_log_e  log;
        const char  *event;
        const char  *logged;
    } rows[] = {
        { KNOCK_LOG_OFF, "{\"type\":\"page\"}", NULL },
        { KNOCK_LOG_ON, "{\"type\":\"page\"}", "\"reason\":\"no_action\"" },
        { KNOCK_LOG_ON, "{\"type\":\"identify\",\"userId\":\"u\"}",
          "\"reason\":\"identify_disabled\"" },
        { KNOCK_LOG_ON, "{\"type\":\"track\",\"event\":\"T\"}",
          "\"error\":\"recipients_missing\"" },
        { KNOCK_LOG_ON, "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":\"u1\"}}", "\"recipients\":[\"u1\"]" },
        { KNOCK_LOG_ERRORS, "{\"type\":\"page\"}", NULL },
        { KNOCK_LOG_ERRORS, "{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":\"u1\"}}", NULL },
        { KNOCK_LOG_ERRORS, "{\"type\":\"track\",\"event\":\"T\"}",
          "\"error\":\"recipients_missing\"" },
        { KNOCK_LOG_OFF, "{\"type\":\"track\",\"event\":\"T\"}", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        configure(NULL, 0, docs, 1);
        in.log = rows[i].log;
        taken(rows[i].event);

        u = units();

        if (rows[i].logged == NULL) {
            assert_null(strstr(u, "received_at"));
            continue;
        }

        if (strstr(u, rows[i].logged) == NULL
            || strstr(u, " {\"event\":") == NULL
            || apply.log_keys.data[1] != 8)
        {
            fail_msg("row %zu: %s", i, u);
        }
    }
}


static void
a_need_merges_what_is_stored(void **state)
{
    knock_str_t   base;
    knock_need_t  need;

    (void) state;

    memset(&need, 0, sizeof(knock_need_t));

    base = str("{\"b\":2}");
    need.verdicts = str("y");
    need.bases = &base;
    need.nbases = 1;
    needed = &need;

    taken("{\"type\":\"identify\",\"userId\":\"u1\","
          "\"traits\":{\"o\":{\"a\":1}}}");

    assert_starts(units(),
                  "1 1 1 1 0 0 0 1 0 1 9 0 ");
    assert_non_null(strstr(units(), " o {\"b\":2,\"a\":1} | | | "
                                    "identify '' | y {\"b\":2}"));
}


static void
a_body_can_be_received_again(void **state)
{
    const char  *docs[] = { doc_a }, *first;
    const char  *body = "{\"type\":\"track\",\"event\":\"T\","
                        "\"messageId\":\"m1\",\"properties\":{\"r\":"
                        "[{\"id\":\"u1\",\"o\":{}}]}}";

    (void) state;

    configure(NULL, 0, docs, 1);
    taken(body);
    first = units();

    configure(NULL, 0, docs, 1);
    taken(body);
    assert_string_equal(units(), first);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_body_is_one_event_an_array_or_a_batch),
        t(a_body_that_is_no_event),
        t(an_empty_body_says_to_look_at_the_mapping),
        t(an_endpoint_that_is_switched_off_refuses),
        t(with_a_secret_the_signature_is_checked),
        t(the_secret_before_counts_until_its_end),
        t(a_batch_over_the_limit),
        t(the_depth_of_an_event_is_limited_alike_in_a_batch),
        t(the_bad_events_of_a_batch_are_listed),
        t(what_is_no_json_fails_alone_too),
        t(a_lone_surrogate_is_carried_as_what_replaces_it),
        t(a_batch_without_a_good_event_is_refused_with_all_reasons),
        t(an_event_without_actions_is_ignored),
        t(an_identify_is_an_upsert),
        t(an_identify_without_user_or_switch_is_ignored),
        t(each_recipient_is_a_run),
        t(runs_over_the_bound_are_refused_before_they_are_built),
        t(the_bound_is_for_the_runs_of_all_events_of_a_batch),
        t(an_event_whose_second_action_is_too_large_does_nothing),
        t(whatever_lua_is_given_is_looked_at),
        t(an_event_without_recipients_has_no_runs_to_count),
        t(a_failed_action_stands_empty_in_its_place),
        t(an_event_whose_actions_all_fail_has_failed),
        t(an_event_with_a_message_id_has_a_mark),
        t(without_idempotency_there_are_no_marks),
        t(samples_are_taken_while_there_are_some),
        t(a_large_event_is_no_sample),
        t(what_is_logged_where),
        t(a_need_merges_what_is_stored),
        t(a_body_can_be_received_again)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

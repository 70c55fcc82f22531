
/* knock_receive: from a body to what its events do */

#include "tasks.h"

#include "knock_answer.h"
#include "knock_flood.h"
#include "knock_receive.h"


#define NOW  1704164645678u        /* 2024-01-02T03:04:05.678Z */


#define EVENTS  80


static knock_live_t       *live;
static knock_limits_t      limits;
static knock_round_t       round_;
static knock_flood_t       flood;
static knock_receive_t     in;
static knock_error_t       err;
static knock_faults_t     *faults;
static knock_element_t     elements[EVENTS];
static knock_task_t       *tasks[EVENTS];     /* NULL: it is refused */
static size_t              nevents;


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
}


static int
begin(void **state)
{
    const char  *fields[] = { "segment/identify_enabled", "1" };

    if (setup(state) != 0) {
        return 1;
    }

    memset(elements, 0, sizeof(elements));
    memset(&in, 0, sizeof(knock_receive_t));

    limits.max_batch = 4;
    limits.max_recipients = 3;
    limits.max_depth = 8;
    limits.max_run_bytes = 1 << 20;

    in.limits = &limits;
    in.now = NOW;

    configure(fields, 2, NULL, 0);

    return 0;
}


static int
end(void **state)
{
    knock_flood_clear(&flood);

    return teardown(state);
}


/* the body's events, of which each is made; gives whether one is any good */

static int
receive_again(void)
{
    int                  rc, good;
    size_t               i;
    const knock_json_t  *v;

    nevents = 0;
    faults = knock_faults_create(arena);
    assert_non_null(faults);

    if (knock_receive(arena, &in, &v, &nevents, &err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    assert_true(nevents <= EVENTS);
    knock_flood_clear(&flood);
    assert_int_equal(knock_round_init(&round_, arena, live, &flood,
                                      in.now),
                     KNOCK_OK);

    for (i = 0, good = 0; i < nevents; i++, v = knock_json_next(v)) {
        elements[i].index = i;
        elements[i].text = knock_json_text(v);
        elements[i].json = v;
        tasks[i] = NULL;

        rc = knock_receive_event(&round_, &in, &elements[i], &tasks[i], &err);

        if (rc == KNOCK_DECLINED) {
            knock_faults_add(faults, i, NULL, &err);
            continue;
        }

        assert_int_equal(rc, KNOCK_OK);
        good = 1;
    }

    return good ? KNOCK_OK : KNOCK_ERROR;
}


static int
receive(const char *body)
{
    in.body = str(body);

    return receive_again();
}


static const char *
does(size_t i)
{
    assert_true(i < nevents);
    assert_non_null(tasks[i]);

    return described(tasks[i], 1);
}


static void
refused(const char *body, knock_error_code_e code)
{
    if (receive(body) != KNOCK_ERROR) {
        fail_msg("%s: is taken", body);
    }

    if (faults->first.code) {
        err = faults->first;
    }

    if (err.code != code) {
        fail_msg("%s: %s", body, err.message);
    }

    assert_true(strlen(err.message) > 0);
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
    assert_int_equal(nevents, 1);

    taken(" \t\r\n[{\"type\":\"page\"},{\"type\":\"alias\"}] ");
    assert_int_equal(nevents, 2);

    taken("{\"batch\":[{\"type\":\"page\"},{\"type\":\"alias\"},"
          "{\"type\":\"screen\"}],\"sentAt\":\"x\"}");
    assert_int_equal(nevents, 3);
    assert_int_equal(faults->first.code, KNOCK_E_NONE);

    /* an event may have a "batch" of its own */

    taken("{\"type\":\"page\",\"batch\":[1,2]}");
    assert_int_equal(nevents, 1);
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

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        configure(fields, 6, NULL, 0);

        in.signature = str("2f6431f636af5d5294c4917c3cd2e15fbd33a390");
        in.now = rows[i].received;

        if (rows[i].ok) {
            taken(rows[i].body);

        } else {
            refused(rows[i].body, KNOCK_E_INVALID_SIGNATURE);
        }
    }

    /* without a secret there is none before it */

    fields[1] = "";
    configure(fields, 6, NULL, 0);
    in.now = NOW;
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
    assert_int_equal(nevents, 4);
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
the_bad_events_of_a_batch_are_refused_alone(void **state)
{
    (void) state;

    taken("[7,{\"type\":\"page\"},{\"type\":\"track\"},{\"type\":\"alias\"}]");

    assert_null(tasks[0]);
    assert_non_null(tasks[1]);
    assert_null(tasks[2]);
    assert_non_null(tasks[3]);
    assert_int_equal(faults->codes[KNOCK_E_INVALID_EVENT], 2);

    refused("[7,{\"type\":\"nonsense\"}]", KNOCK_E_INVALID_EVENT);
    assert_int_equal(faults->codes[KNOCK_E_INVALID_EVENT], 2);
}


static void
what_is_no_json_fails_alone_too(void **state)
{
    size_t  i, at;

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

        assert_int_equal(nevents, 3);
        assert_non_null(tasks[0]);
        assert_null(tasks[1]);
        assert_int_equal(tasks[2]->type, KNOCK_EVENT_ALIAS);
        assert_int_equal(faults->codes[KNOCK_E_INVALID_JSON], 1);

        /* the byte is one of the body's */

        assert_starts(faults->first.message, "byte ");

        at = (size_t) (elements[1].text.data - in.body.data);
        assert_in_range(faults->first.offset, at,
                        at + elements[1].text.len - 1);
    }
}


static void
a_lone_surrogate_is_carried_as_what_replaces_it(void **state)
{
    size_t       i;
    const char  *docs[] = { doc_a };
    const char  *body = "[{\"type\":\"track\",\"event\":\"T\",\"properties\":"
                        "{\"r\":\"u1\",\"\\udc00\":\"x\\ud83d\"}},"
                        "{\"type\":\"track\",\"event\":\"T\",\"properties\":"
                        "{\"r\":\"u1\",\"x\":\"\\ud83d\\ude00\"}}]";

    (void) state;

    configure(NULL, 0, docs, 1);
    in.log = KNOCK_LOG_ON;
    taken(body);

    /* in a later round too, when only the texts are there */

    for (i = 0; i < 2; i++) {
        assert_int_equal(faults->first.code, KNOCK_E_NONE);
        assert_non_null(strstr(text(&tasks[0]->units->runs[0].run),
                               "{\"r\":\"u1\",\"\\ufffd\":\"x\\ufffd\"}"));

        /* the log says so, of the event that it is, and is JSON itself */

        assert_non_null(strstr(text(&tasks[0]->doc),
                               "\"notes\":[\"lone_surrogate_replaced\"]"));
        assert_null(strstr(text(&tasks[1]->doc), "\"notes\""));
        assert_non_null(strstr(text(&tasks[0]->text), "x\\ufffd\""));
        assert_non_null(strstr(text(&tasks[1]->text), "\\ud83d\\ude00"));
        assert_non_null(strstr(text(&elements[0].text), "x\\ud83d\""));
        assert_str(&in.body, body);

        elements[0].json = NULL;
        assert_int_equal(knock_receive_event(&round_, &in, &elements[0],
                                             &tasks[0], &err), KNOCK_OK);
    }
}


/* in a later round the text of an event is read anew */

static void
an_event_may_be_read_by_itself(void **state)
{
    const char  *first;

    (void) state;

    taken("[{\"type\":\"page\"},{\"type\":\"identify\",\"userId\":\"u1\","
          "\"traits\":{\"a\":[1]}}]");
    first = does(1);

    elements[1].json = NULL;
    assert_int_equal(knock_receive_event(&round_, &in, &elements[1], &tasks[1],
                                         &err), KNOCK_OK);
    assert_string_equal(does(1), first);
}


static void
an_event_without_actions_is_ignored(void **state)
{
    (void) state;

    taken("{\"type\":\"track\",\"event\":\"T\"}");

    assert_string_equal(does(0), "i");
    assert_str(&tasks[0]->key, "track/T");
}


static void
an_identify_is_an_upsert(void **state)
{
    (void) state;

    taken("{\"type\":\"identify\",\"userId\":7,\"traits\":{\"o\":{\"a\":1},"
          "\"phone\":\"+1\"}}");

    assert_string_equal(does(0),
        "p {k:{e}:user:7 identified_at=\"2024-01-02T03:04:05.678Z\" id=\"7\""
        " o={\"a\":1} phone_number=\"+1\"}");
}


/* a time that is no time, or still to come, is the one of its arrival */

static void
an_identify_has_its_place_by_its_time(void **state)
{
    size_t       i;
    const char  *by;

    static const char  *order[] = { "segment/identify_enabled", "1",
                                    "segment/identify_order", "arrival" };

    static const struct {
        const char  *timestamp;
        const char  *at;
    } rows[] = {
        { "\"2023-12-31T23:00:00Z\"", "2023-12-31T23:00:00.000Z" },
        { "\"2024-01-01T01:00:00.1234567+02:00\"",
          "2023-12-31T23:00:00.123Z" },
        { "\"2024-01-02T03:04:05.679Z\"", "2024-01-02T03:04:05.678Z" },
        { "\"yesterday\"", "2024-01-02T03:04:05.678Z" },
        { "\"2023-02-29T00:00:00Z\"", "2024-01-02T03:04:05.678Z" },
        { "\"2024-01-01\"", "2024-01-02T03:04:05.678Z" },
        { "null", "2024-01-02T03:04:05.678Z" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        by = repeat("{\"type\":\"identify\",\"userId\":\"u\",\"timestamp\":",
                    rows[i].timestamp, 1, "}");
        taken(by);
        assert_string_equal(does(0),
            repeat("p {k:{e}:user:u identified_at=\"", rows[i].at, 1,
                   "\" id=\"u\"}"));
    }

    configure(order, 4, NULL, 0);
    taken("{\"type\":\"identify\",\"userId\":\"u\"}");
    assert_string_equal(does(0), "p {k:{e}:user:u id=\"u\"}");
}


static void
an_identify_without_user_or_switch_is_ignored(void **state)
{
    (void) state;

    taken("{\"type\":\"identify\",\"traits\":{\"a\":1}}");
    assert_string_equal(does(0), "i");

    configure(NULL, 0, NULL, 0);
    taken("{\"type\":\"identify\",\"userId\":\"u1\"}");
    assert_string_equal(does(0), "i");
}


static void
each_recipient_is_a_run(void **state)
{
    size_t               i;
    const char          *docs[] = { doc_b, doc_a };
    const knock_unit_t  *unit;

    (void) state;

    configure(NULL, 0, docs, 2);
    in.log = KNOCK_LOG_ON;

    taken("{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":"
          "[\"u1\",{\"id\":\"u3\",\"x\":1}],\"a\":\"u9\","
          "\"t\":{\"id\":\"acme\",\"n\":1}}}");

    assert_string_equal(does(0),
        "p (k:{e}:user:u3 id=\"u3\" x=1)"
        " (k:{e}:object:$tenants:acme id=\"acme\" collection=\"$tenants\" n=1)"
        " >k:{e}:user:u1 >k:{e}:user:u3 >k:{e}:user:u1 >k:{e}:user:u2"
        " ?k:{e}:user:u9 log arr;rr;");

    unit = tasks[0]->units;

    for (i = 0; i < 4; i++) {
        assert_int_equal(strstr(text(&unit->runs[i].run),
                                i < 2 ? "\"action\":\"a\""
                                      : "\"action\":\"b\"") != NULL, 1);
    }

    assert_ptr_equal(unit->runs[2].verdict, tasks[0]->verdicts.data + 4);
    assert_ptr_equal(unit->actors[0].verdict, tasks[0]->verdicts.data);

    /* that an actor is not there is only for the log to say */

    in.log = KNOCK_LOG_OFF;
    assert_int_equal(receive_again(), KNOCK_OK);
    assert_null(strstr(does(0), "?"));
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

    refused(body, KNOCK_E_EVENT_TOO_LARGE);

    /* what it takes to read the event, and one copy of the properties */

    assert_true(knock_arena_size(arena) - before < 4 * strlen(body));

    assert_non_null(strstr(err.message, "more than 50331648 bytes"));
    assert_non_null(strstr(err.message, "it has 100 of action \"a\""));
    assert_non_null(strstr(err.message, "knock_max_run_bytes"));

    taken(large_event(10, 3 << 20));
    assert_int_equal(tasks[0]->units->nruns, 10);
}


/* the bound is of each event, the others of its batch are taken */

static void
an_event_with_too_many_bytes_of_runs_is_refused_alone(void **state)
{
    const char  *docs[] = { doc_a };

    (void) state;

    configure(NULL, 0, docs, 1);
    limits.max_batch = 5;
    limits.max_run_bytes = 15000;

    taken(repeat(repeat("[", large_event(2, 5000), 1, ","),
                 large_event(3, 5000), 1, ",{\"type\":\"page\"}]"));
    assert_int_equal(tasks[0]->units->nruns, 2);
    assert_null(tasks[1]);
    assert_int_equal(faults->codes[KNOCK_E_EVENT_TOO_LARGE], 1);
    assert_string_equal(does(2), "i");
}


/* its first action would have room, but does nothing without the second */

static void
an_event_whose_second_action_is_too_large_does_nothing(void **state)
{
    const char  *docs[] = { doc_a, doc_b };

    (void) state;

    configure(NULL, 0, docs, 2);
    limits.max_run_bytes = 13000;

    taken(repeat("[{\"type\":\"page\"},", large_event(1, 5000), 1, "]"));

    assert_string_equal(does(0), "i");
    assert_null(tasks[1]);
    assert_non_null(strstr(faults->first.message, "action \"b\""));
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

    size_t        i, j, n, good;
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

    limits.max_batch = EVENTS;

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

        good = 1 + MANY - (size_t) faults->codes[KNOCK_E_INVALID_EVENT];

        if (rows[i].given != (good < 1 + MANY)) {
            fail_msg("row %zu: %zu events", i, good);
        }

        if (rows[i].given) {
            assert_in_range(good, KNOCK_FLOOD_CHAIN / 2,
                            KNOCK_FLOOD_CHAIN + 2);
            assert_non_null(strstr(faults->first.message, "collide"));
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
    assert_string_equal(does(0), "p");
}


static void
a_failed_action_stands_empty_in_its_place(void **state)
{
    const char  *docs[] = { doc_a, doc_b };

    (void) state;

    configure(NULL, 0, docs, 2);
    in.log = KNOCK_LOG_ON;
    taken("{\"type\":\"track\",\"event\":\"T\"}");

    assert_string_equal(does(0),
                        "p >k:{e}:user:u1 >k:{e}:user:u2 log ;rr;");
    assert_str(tasks[0]->faults->action, "a");
    assert_int_equal(tasks[0]->faults->error->code,
                     KNOCK_E_RECIPIENTS_MISSING);
    assert_null(tasks[0]->faults->next);
}


static void
an_event_whose_actions_all_fail_has_failed(void **state)
{
    const char  *docs[] = { doc_a };

    (void) state;

    configure(NULL, 0, docs, 1);
    taken("{\"type\":\"track\",\"event\":\"T\",\"messageId\":\"m\"}");
    assert_string_equal(does(0), "fm");
    assert_int_equal(tasks[0]->units->forgotten, 1);

    taken("[{\"type\":\"page\"},{\"type\":\"track\",\"event\":\"T\","
          "\"properties\":{\"r\":[1,2,3,4]}}]");
    assert_int_equal(tasks[1]->faults->error->code,
                     KNOCK_E_TOO_MANY_RECIPIENTS);
}


/* the id and the event key make the mark, nothing else */

static void
an_event_with_a_message_id_has_a_mark(void **state)
{
    size_t         i, j;
    unsigned char  marks[4][KNOCK_MARK_LEN];

    (void) state;

    taken("[{\"type\":\"page\",\"messageId\":\"m1\"},"
          "{\"type\":\"page\",\"messageId\":\"m2\"},"
          "{\"type\":\"screen\",\"messageId\":\"m1\"},"
          "{\"type\":\"page\",\"messageId\":\"m1\",\"x\":1}]");

    for (i = 0; i < 4; i++) {
        assert_string_equal(does(i), "im");
        memcpy(marks[i], tasks[i]->units->mark, KNOCK_MARK_LEN);

        for (j = 0; j < i; j++) {
            assert_int_equal(memcmp(marks[i], marks[j], KNOCK_MARK_LEN) == 0,
                             i == 3 && j == 0);
        }
    }

    taken("[{\"type\":\"page\"},{\"type\":\"page\",\"messageId\":\"\"}]");
    assert_string_equal(does(0), "i");
    assert_string_equal(does(1), "i");
}


static void
without_idempotency_there_are_no_marks(void **state)
{
    const char  *fields[] = { "segment/idempotency_enabled", "0" };

    (void) state;

    configure(fields, 2, NULL, 0);
    taken("{\"type\":\"page\",\"messageId\":\"m1\"}");
    assert_string_equal(does(0), "i");
    assert_null(tasks[0]->units->mark);
}


static void
what_is_logged_where(void **state)
{
    size_t       i;
    const char  *docs[] = { doc_a };

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

        if (rows[i].logged == NULL) {
            assert_int_equal(tasks[0]->doc.len, 0);
            continue;
        }

        if (strstr(text(&tasks[0]->doc), rows[i].logged) == NULL) {
            fail_msg("row %zu: %s", i, text(&tasks[0]->doc));
        }
    }
}


/* the ids of runs without a message id too, whose events have one each */

static void
an_event_is_the_same_in_each_round(void **state)
{
    size_t       i;
    const char  *docs[] = { doc_b }, *first[2];

    (void) state;

    configure(NULL, 0, docs, 1);
    taken("[{\"type\":\"track\",\"event\":\"T\"},"
          "{\"type\":\"track\",\"event\":\"T\"}]");

    for (i = 0; i < 2; i++) {
        first[i] = text(&tasks[i]->units->runs[0].run);
    }

    assert_string_not_equal(first[0], first[1]);

    assert_int_equal(receive_again(), KNOCK_OK);

    for (i = 0; i < 2; i++) {
        assert_string_equal(text(&tasks[i]->units->runs[0].run), first[i]);
    }
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, end)


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
        t(the_bad_events_of_a_batch_are_refused_alone),
        t(what_is_no_json_fails_alone_too),
        t(a_lone_surrogate_is_carried_as_what_replaces_it),
        t(an_event_may_be_read_by_itself),
        t(an_event_without_actions_is_ignored),
        t(an_identify_is_an_upsert),
        t(an_identify_has_its_place_by_its_time),
        t(an_identify_without_user_or_switch_is_ignored),
        t(each_recipient_is_a_run),
        t(runs_over_the_bound_are_refused_before_they_are_built),
        t(an_event_with_too_many_bytes_of_runs_is_refused_alone),
        t(an_event_whose_second_action_is_too_large_does_nothing),
        t(whatever_lua_is_given_is_looked_at),
        t(an_event_without_recipients_has_no_runs_to_count),
        t(a_failed_action_stands_empty_in_its_place),
        t(an_event_whose_actions_all_fail_has_failed),
        t(an_event_with_a_message_id_has_a_mark),
        t(without_idempotency_there_are_no_marks),
        t(what_is_logged_where),
        t(an_event_is_the_same_in_each_round)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

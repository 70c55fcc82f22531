
/* knock_preview: what an action would do with a sample event */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_preview.h"


#define ACTION(event, params)                                                \
    "{\"key\":\"a\",\"source\":\"s\",\"event\":\"" event "\","               \
    "\"type\":\"workflows_trigger\",\"workflow\":\"w\"," params "}"

#define TRACK(properties)                                                    \
    "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u9\","                 \
    "\"properties\":" properties "}"

#define TO  "\"recipients\":\"properties.to\""


static knock_arena_t       *arena;
static knock_str_t          base;
static knock_preview_in_t   in;
static knock_preview_t      preview;

static knock_limits_t  limits = { 10, 3, 64, 1 << 20 };


static int
setup(void **state)
{
    (void) state;

    memset(&in, 0, sizeof(knock_preview_in_t));
    in.limits = &limits;
    knock_str_set(&base, "k:{e}:");
    in.bases = &base;
    in.nshards = 1;

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


/* resolves; `keys` are those expected to be asked for, a space behind each */

static void
resolve(const char *action, const char *event, const char *keys)
{
    size_t         i;
    knock_buf_t    buf;
    knock_str_t    str;
    knock_error_t  err;

    in.action = parse(action);
    in.event = parse(event);

    if (knock_preview_resolve(arena, &in, &preview, &err) != KNOCK_OK) {
        fail_msg("%s: %s", event, err.message);
    }

    knock_buf_init(&buf, arena, 64);

    for (i = 0; i < preview.nkeys; i++) {
        knock_buf_add_str(&buf, &preview.keys[i]);
        knock_buf_add_char(&buf, ' ');
    }

    assert_int_equal(knock_buf_str(&buf, &str), KNOCK_OK);

    if (!knock_str_is(&str, keys)) {
        fail_msg("\"%.*s\" is not \"%s\"", (int) str.len, (char *) str.data,
                 keys);
    }
}


static void
assert_json(const char *exists, const char *expected)
{
    knock_str_t  str, json;

    str.len = strlen(exists);
    str.data = (unsigned char *) exists;

    assert_int_equal(knock_preview_json(arena, &preview, &str, &json),
                     KNOCK_OK);

    (void) parse((char *) memcpy(knock_arena_calloc(arena, json.len + 1, 1),
                                 json.data, json.len));

    if (!knock_str_is(&json, expected)) {
        fail_msg("\n%.*s\nis not\n%s", (int) json.len, (char *) json.data,
                 expected);
    }
}


#define HEAD(event, matches, status, error, message)                         \
    "{\"event\":\"" event "\",\"matches\":" matches ",\"action\":\"a\","     \
    "\"workflow\":\"w\",\"status\":\"" status "\",\"error\":" error ","      \
    "\"message\":" message ","

#define PROCESSED  HEAD("track/A", "true", "processed", "null", "null")

#define PARAMS(recipients, actor, tenant, cancellation_key)                  \
    "\"recipients\":" recipients ",\"actor\":" actor ",\"tenant\":" tenant   \
    ",\"cancellation_key\":" cancellation_key ","

#define TAIL(runs, skipped, identifies)                                      \
    "\"runs\":" runs ",\"skipped\":" skipped ",\"identifies\":" identifies "}"


static void
bare_recipients_are_asked_for(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO), TRACK("{\"to\":[\"u1\",2,\"u1\"]}"),
            "k:{e}:user:u1 k:{e}:user:2 ");

    assert_json("11", PROCESSED
                PARAMS("[\"u1\",\"2\"]", "null", "null", "null")
                TAIL("2", "[]", "[]"));

    assert_json("01", PROCESSED
                PARAMS("[\"u1\",\"2\"]", "null", "null", "null")
                TAIL("1", "[{\"recipient\":\"u1\","
                     "\"reason\":\"recipient_not_identified\"}]", "[]"));
}


static void
inline_ones_are_sure_to_exist(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO ",\"actor\":\"properties.by\","
                   "\"tenant\":\"properties.org\","
                   "\"cancellation_key\":\"properties.n\""),
            TRACK("{\"to\":[{\"id\":\"u1\",\"name\":\"N\"},\"u2\","
                  "{\"id\":\"p\",\"collection\":\"c\"}],"
                  "\"by\":{\"id\":\"u3\"},\"org\":{\"id\":\"t\"},\"n\":7}"),
            "k:{e}:user:u2 ");

    assert_json("0", PROCESSED
                PARAMS("[\"u1\",\"u2\",{\"collection\":\"c\",\"id\":\"p\"}]",
                       "\"u3\"", "\"t\"", "\"7\"")
                TAIL("2", "[{\"recipient\":\"u2\","
                     "\"reason\":\"recipient_not_identified\"}]",
                     "[\"u1\",{\"collection\":\"c\",\"id\":\"p\"},\"u3\","
                     "{\"collection\":\"$tenants\",\"id\":\"t\"}]"));
}


static void
who_is_inline_elsewhere_exists_too(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO ",\"actor\":\"properties.by\""),
            TRACK("{\"to\":[\"u1\",\"u2\"],\"by\":{\"id\":\"u1\"}}"),
            "k:{e}:user:u2 ");

    assert_json("1", PROCESSED
                PARAMS("[\"u1\",\"u2\"]", "\"u1\"", "null", "null")
                TAIL("2", "[]", "[\"u1\"]"));

    resolve(ACTION("track/A", TO ",\"actor\":\"properties.by\""),
            TRACK("{\"to\":[{\"id\":\"u1\"},\"u1\"],\"by\":\"u1\"}"), "");

    assert_json("", PROCESSED
                PARAMS("[\"u1\"]", "\"u1\"", "null", "null")
                TAIL("1", "[]", "[\"u1\"]"));

    resolve(ACTION("track/A", TO ",\"actor\":\"properties.by\""),
            TRACK("{\"to\":{\"id\":\"u1\"},\"by\":{\"id\":\"u1\"}}"), "");

    assert_json("", PROCESSED
                PARAMS("[\"u1\"]", "\"u1\"", "null", "null")
                TAIL("1", "[]", "[\"u1\"]"));

    /* the same id in another collection is somebody else */

    resolve(ACTION("track/A", TO ",\"actor\":\"properties.by\""),
            TRACK("{\"to\":\"u1\",\"by\":{\"id\":\"u1\","
                  "\"collection\":\"c\"}}"), "k:{e}:user:u1 ");

    assert_json("0", PROCESSED
                PARAMS("[\"u1\"]", "{\"collection\":\"c\",\"id\":\"u1\"}",
                       "null", "null")
                TAIL("0", "[{\"recipient\":\"u1\","
                     "\"reason\":\"recipient_not_identified\"}]",
                     "[{\"collection\":\"c\",\"id\":\"u1\"}]"));
}


static void
a_bare_actor_is_asked_for_and_noted(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO ",\"actor\":\"userId\""),
            TRACK("{\"to\":[\"u1\"]}"), "k:{e}:user:u1 k:{e}:user:u9 ");

    assert_json("11", PROCESSED
                PARAMS("[\"u1\"]", "\"u9\"", "null", "null")
                TAIL("1", "[]", "[]"));

    assert_json("10", PROCESSED
                PARAMS("[\"u1\"]", "\"u9\"", "null", "null")
                "\"runs\":1,\"actor_identified\":false,\"skipped\":[],"
                "\"identifies\":[]}");
}


static void
elements_that_are_no_recipients(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO),
            TRACK("{\"to\":[\"u1\",[ ],null,{\"id\":\"\"}]}"),
            "k:{e}:user:u1 ");

    assert_json("0", PROCESSED
                PARAMS("[\"u1\"]", "null", "null", "null")
                TAIL("0", "[{\"recipient\":\"u1\","
                     "\"reason\":\"recipient_not_identified\"},"
                     "{\"recipient\":[ ],\"reason\":\"invalid_recipient\"},"
                     "{\"recipient\":null,\"reason\":\"invalid_recipient\"},"
                     "{\"recipient\":{\"id\":\"\"},"
                     "\"reason\":\"invalid_id\"}]", "[]"));
}


static void
an_action_that_fails_on_the_event(void **state)
{
    (void) state;

    resolve(ACTION("track/A", TO), TRACK("{}"), "");

    assert_json("", HEAD("track/A", "true", "failed", "\"recipients_missing\"",
                         "\"the event has none of the action's "
                         "\\\"recipients\\\", send them or change the path: "
                         "properties.to\"")
                PARAMS("[]", "null", "null", "null")
                TAIL("0", "[]", "[]"));

    resolve(ACTION("track/A", TO), TRACK("{\"to\":[1,2,3,4]}"), "");

    assert_json("", HEAD("track/A", "true", "failed",
                         "\"too_many_recipients\"",
                         "\"more than 3 distinct recipients: send fewer with "
                         "an event, or raise knock_max_recipients\"")
                PARAMS("[]", "null", "null", "null")
                TAIL("0", "[]", "[]"));
}


static void
an_event_that_the_action_does_not_act_on(void **state)
{
    (void) state;

    resolve(ACTION("track/\\\"B\\\"", TO), TRACK("{\"to\":\"u1\"}"),
            "k:{e}:user:u1 ");
    assert_false(preview.matches);

    assert_json("1", HEAD("track/A", "false", "ignored", "null",
                          "\"this action acts on \\\"track/\\\"B\\\"\\\" of "
                          "the source \\\"s\\\": it does nothing with this "
                          "event\"")
                PARAMS("[\"u1\"]", "null", "null", "null")
                TAIL("1", "[]", "[]"));

    /* why it would fail is told even so */

    resolve(ACTION("identify", TO), TRACK("{}"), "");

    assert_json("", HEAD("track/A", "false", "ignored",
                         "\"recipients_missing\"",
                         "\"the event has none of the action's "
                         "\\\"recipients\\\", send them or change the path: "
                         "properties.to\"")
                PARAMS("[]", "null", "null", "null")
                TAIL("0", "[]", "[]"));
}


static void
a_source_that_is_not_the_action_s(void **state)
{
    (void) state;

    knock_str_set(&in.source, "s");
    resolve(ACTION("track/A", TO), TRACK("{\"to\":[]}"), "");
    assert_true(preview.matches);

    knock_str_set(&in.source, "other");
    resolve(ACTION("track/A", TO), TRACK("{\"to\":[]}"), "");
    assert_false(preview.matches);
}


static void
an_identify_event_identifies_its_user_first(void **state)
{
    static const char  event[] =
        "{\"type\":\"identify\",\"userId\":\"u9\",\"traits\":{}}";

    (void) state;

    resolve(ACTION("identify", "\"recipients\":\"userId\","
                   "\"actor\":\"userId\""), event,
            "k:{e}:user:u9 k:{e}:user:u9 ");

    assert_json("00", HEAD("identify", "true", "processed", "null", "null")
                PARAMS("[\"u9\"]", "\"u9\"", "null", "null")
                "\"runs\":0,\"actor_identified\":false,"
                "\"skipped\":[{\"recipient\":\"u9\","
                "\"reason\":\"recipient_not_identified\"}],"
                "\"identifies\":[]}");

    in.identify_enabled = 1;

    resolve(ACTION("identify", "\"recipients\":[\"userId\","
                   "{\"literal\":{\"id\":\"u8\"}}],\"actor\":\"userId\""),
            event, "");

    assert_json("", HEAD("identify", "true", "processed", "null", "null")
                PARAMS("[\"u9\",\"u8\"]", "\"u9\"", "null", "null")
                TAIL("2", "[]", "[\"u9\",\"u8\"]"));

    /* named once, inline or not */

    resolve(ACTION("identify", "\"recipients\":{\"literal\":{\"id\":\"u9\"}},"
                   "\"actor\":{\"literal\":{\"id\":\"u9\"}}"), event, "");

    assert_json("", HEAD("identify", "true", "processed", "null", "null")
                PARAMS("[\"u9\"]", "\"u9\"", "null", "null")
                TAIL("1", "[]", "[\"u9\"]"));

    /* nobody is identified without an id, or by another type of event */

    resolve(ACTION("identify", "\"recipients\":{\"literal\":\"u1\"}"),
            "{\"type\":\"identify\",\"anonymousId\":\"x\"}",
            "k:{e}:user:u1 ");

    resolve(ACTION("track/A", "\"recipients\":\"userId\""), TRACK("{}"),
            "k:{e}:user:u9 ");
}


static void
documents_that_are_refused(void **state)
{
    knock_error_t  err;

    (void) state;

    in.action = parse(ACTION("track/A", "\"recipients\":\"a..b\""));
    in.event = parse(TRACK("{}"));

    assert_int_equal(knock_preview_resolve(arena, &in, &preview, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);

    in.action = parse(ACTION("track/A", TO));
    in.event = parse("{\"type\":\"track\"}");

    assert_int_equal(knock_preview_resolve(arena, &in, &preview, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);

    in.event = parse("[]");

    assert_int_equal(knock_preview_resolve(arena, &in, &preview, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);
}


static void
an_answer_that_does_not_fit(void **state)
{
    size_t       i;
    knock_str_t  str, json;

    static const char  *bad[] = { "", "1", "111", "1x", "1 " };

    (void) state;

    resolve(ACTION("track/A", TO), TRACK("{\"to\":[\"u1\",\"u2\"]}"),
            "k:{e}:user:u1 k:{e}:user:u2 ");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        str.len = strlen(bad[i]);
        str.data = (unsigned char *) bad[i];

        assert_int_equal(knock_preview_json(arena, &preview, &str, &json),
                         KNOCK_DECLINED);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            bare_recipients_are_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(
            inline_ones_are_sure_to_exist, setup, teardown),
        cmocka_unit_test_setup_teardown(
            who_is_inline_elsewhere_exists_too, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_bare_actor_is_asked_for_and_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(
            elements_that_are_no_recipients, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_action_that_fails_on_the_event, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_event_that_the_action_does_not_act_on, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_source_that_is_not_the_action_s, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_identify_event_identifies_its_user_first, setup, teardown),
        cmocka_unit_test_setup_teardown(
            documents_that_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_answer_that_does_not_fit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

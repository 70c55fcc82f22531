
/* knock_action: action documents, checked and compiled */

#include "fixture.h"

#include "knock_action.h"


static int
compile(const char *text, knock_action_t *action, knock_error_t *err)
{
    memset(err, 0, sizeof(knock_error_t));

    return knock_action_compile(arena, parse(text), action, err);
}


static void
compile_ok(const char *text, knock_action_t *action)
{
    knock_error_t  err;

    if (compile(text, action, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }
}


/* a document that is right but for what `fields` lays over it */

#define DOC(fields)                                                          \
    "{\"key\":\"k\",\"source\":\"s\",\"event\":\"track/A\","                 \
    "\"type\":\"workflows_trigger\",\"workflow\":\"w\","                     \
    "\"recipients\":\"userId\"" fields "}"


static void
the_contract_s_example(void **state)
{
    knock_action_t  action;

    (void) state;

    compile_ok("{\"key\":\"comment-created\",\"source\":\"segment\","
               "\"event\":\"track/Comment Created\","
               "\"type\":\"workflows_trigger\",\"workflow\":\"new-comment\","
               "\"recipients\":\"properties.recipients\","
               "\"actor\":\"properties.commenter.id\","
               "\"tenant\":\"properties.org\","
               "\"cancellation_key\":\"properties.comment.id\"}", &action);

    assert_str(&action.key, "comment-created");
    assert_str(&action.source, "segment");
    assert_str(&action.event, "track/Comment Created");
    assert_str(&action.workflow, "new-comment");

    assert_int_equal(action.nrecipients, 1);
    assert_null(action.recipients[0].literal);
    assert_str(&action.recipients[0].path.text, "properties.recipients");
    assert_int_equal(action.recipients[0].path.nsteps, 2);

    assert_non_null(action.actor);
    assert_str(&action.actor->path.text, "properties.commenter.id");
    assert_non_null(action.tenant);
    assert_str(&action.tenant->path.text, "properties.org");
    assert_non_null(action.cancellation_key);
    assert_str(&action.cancellation_key->path.text,
               "properties.comment.id");
}


static void
optional_parameters_may_be_absent_or_null(void **state)
{
    knock_action_t  action;

    (void) state;

    compile_ok(DOC(""), &action);
    assert_null(action.actor);
    assert_null(action.tenant);
    assert_null(action.cancellation_key);

    compile_ok(DOC(",\"actor\":null,\"tenant\":null,"
                   "\"cancellation_key\":null"), &action);
    assert_null(action.actor);
    assert_null(action.tenant);
    assert_null(action.cancellation_key);
}


static void
a_parameter_may_be_a_literal(void **state)
{
    size_t          i;
    char            text[512];
    knock_action_t  action;

    static const char  *const values[] = {
        "\"u1\"", "7", "null", "true", "[]", "[\"a\",{\"id\":\"b\"}]",
        "{\"id\":\"b\"}", "{\"literal\":1}", "\"a..b\"",
    };

    (void) state;

    for (i = 0; i < N(values); i++) {
        (void) snprintf(text, sizeof(text),
                        DOC(",\"recipients\":{\"literal\":%s},"
                            "\"actor\":{\"literal\":%s},"
                            "\"tenant\":{\"l\\u0069teral\":%s},"
                            "\"cancellation_key\":{\"literal\":%s}"),
                        values[i], values[i], values[i], values[i]);

        compile_ok(text, &action);
        assert_int_equal(action.nrecipients, 1);
        assert_text(action.recipients[0].literal, values[i]);
        assert_text(action.actor->literal, values[i]);
        assert_text(action.tenant->literal, values[i]);
        assert_text(action.cancellation_key->literal, values[i]);
    }
}


static void
recipients_may_be_an_array_of_parameters(void **state)
{
    knock_action_t  action;

    (void) state;

    compile_ok(DOC(",\"recipients\":[\"userId\",{\"literal\":\"u1\"},"
                   "\"properties.people[*].id\"]"), &action);

    assert_int_equal(action.nrecipients, 3);
    assert_str(&action.recipients[0].path.text, "userId");
    assert_null(action.recipients[0].literal);
    assert_text(action.recipients[1].literal, "\"u1\"");
    assert_true(action.recipients[2].path.many);

    compile_ok(DOC(",\"recipients\":[\"userId\"]"), &action);
    assert_int_equal(action.nrecipients, 1);
}


static void
every_kind_of_event_key(void **state)
{
    size_t          i;
    char            text[512];
    knock_action_t  action;

    static const char  *const keys[] = {
        "track/A", "track/a/b c", "identify", "page", "screen", "group",
        "alias",
    };

    (void) state;

    for (i = 0; i < N(keys); i++) {
        (void) snprintf(text, sizeof(text), DOC(",\"event\":\"%s\""),
                        keys[i]);
        compile_ok(text, &action);
        assert_str(&action.event, keys[i]);
    }
}


static void
escaped_names_and_duplicates(void **state)
{
    knock_action_t  action;

    (void) state;

    compile_ok(DOC(",\"work\\u0066low\":\"w\\u0032\",\"k\\u0065y\":\"k2\","
                   "\"actor\":7,\"actor\":\"userId\","
                   "\"tenant\":\"userId\",\"tenant\":null,"
                   "\"event\":\"track/\\u0042\\\"\","
                   "\"cancellation_key\":{\"literal\":1,\"literal\":2}"),
               &action);

    assert_str(&action.workflow, "w2");
    assert_str(&action.key, "k2");
    assert_str(&action.actor->path.text, "userId");
    assert_null(action.tenant);
    assert_str(&action.event, "track/B\"");
    assert_text(action.cancellation_key->literal, "2");
}


static void
a_mistake_is_named_with_its_field(void **state)
{
    size_t          i;
    knock_action_t  action;
    knock_error_t   err;

    static const struct {
        const char  *text;
        const char  *field;
        const char  *says;
    } rows[] = {
        { "[]", "action", "JSON object" },
        { "\"x\"", "action", "JSON object" },
        { "null", "action", "JSON object" },
        { "{}", "\"key\"", "required" },
        { "{\"key\":\"k\"}", "\"source\"", "required" },
        { "{\"key\":\"k\",\"source\":\"s\"}", "\"event\"", "required" },
        { "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\"}", "\"type\"",
          "required" },
        { "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\","
          "\"type\":\"workflows_trigger\"}", "\"workflow\"", "required" },
        { "{\"key\":\"k\",\"source\":\"s\",\"event\":\"page\","
          "\"type\":\"workflows_trigger\",\"workflow\":\"w\"}",
          "\"recipients\"", "required" },
        { DOC(",\"key\":null"), "\"key\"", "required" },
        { DOC(",\"recipients\":null"), "\"recipients\"", "required" },

        { DOC(",\"foo\":1"), "\"foo\"", "no such field" },
        { DOC(",\"Key\":\"k\""), "\"Key\"", "no such field" },
        { DOC(",\"\":1"), "\"\"", "no such field" },
        { DOC(",\"recipient\":\"userId\""), "\"recipient\"",
          "no such field" },
        { DOC(",\"key\\u0000\":\"k\""), "\"key\\u0000\"", "no such field" },
        { DOC(",\"\xc3\xa9\":1"), "\"\xc3\xa9\"", "no such field" },
        { DOC(",\"foo\":null"), "\"foo\"", "no such field" },

        { DOC(",\"key\":\"\""), "\"key\"", "1 to 64" },
        { DOC(",\"key\":7"), "\"key\"", "1 to 64" },
        { DOC(",\"key\":\"a b\""), "\"key\"", "1 to 64" },
        { DOC(",\"source\":\"s/t\""), "\"source\"", "1 to 64" },
        { DOC(",\"source\":[]"), "\"source\"", "1 to 64" },
        { DOC(",\"workflow\":\"w.1\""), "\"workflow\"", "1 to 64" },
        { DOC(",\"workflow\":\"\\u00e9\""), "\"workflow\"", "1 to 64" },
        { DOC(",\"workflow\":\"w\\u0000\""), "\"workflow\"", "1 to 64" },
        { DOC(",\"workflow\":true"), "\"workflow\"", "1 to 64" },

        { DOC(",\"event\":\"\""), "\"event\"", "track/<event name>" },
        { DOC(",\"event\":\"track/\""), "\"event\"", "track/<event name>" },
        { DOC(",\"event\":\"Signed Up\""), "\"event\"", "\"identify\"" },
        { DOC(",\"event\":\"Track/A\""), "\"event\"", "\"alias\"" },
        { DOC(",\"event\":7"), "\"event\"", "track/<event name>" },

        { DOC(",\"type\":\"workflow\""), "\"type\"", "workflows_trigger" },
        { DOC(",\"type\":\"Workflows_trigger\""), "\"type\"",
          "workflows_trigger" },
        { DOC(",\"type\":1"), "\"type\"", "workflows_trigger" },

        { DOC(",\"recipients\":7"), "\"recipients\"", "non-empty array" },
        { DOC(",\"recipients\":true"), "\"recipients\"", "non-empty array" },
        { DOC(",\"recipients\":[]"), "\"recipients\"", "non-empty array" },
        { DOC(",\"recipients\":\"\""), "\"recipients\"",
          "column 1: expected a path" },
        { DOC(",\"recipients\":\"properties.\""), "\"recipients\"",
          "\"recipients\": column 12: expected a key after \".\"" },
        { DOC(",\"recipients\":{}"), "\"recipients\"", "{\"literal\"" },
        { DOC(",\"recipients\":{\"path\":\"userId\"}"), "\"recipients\"",
          "\"path\"" },
        { DOC(",\"recipients\":{\"literal\":1,\"x\":2}"), "\"recipients\"",
          "\"x\"" },
        { DOC(",\"recipients\":{\"Literal\":1}"), "\"recipients\"",
          "\"Literal\"" },
        { DOC(",\"recipients\":[\"userId\",\"a.\"]"), "\"recipients[1]\"",
          "column 3: expected a key" },
        { DOC(",\"recipients\":[7]"), "\"recipients[0]\"", "a path" },
        { DOC(",\"recipients\":[null]"), "\"recipients[0]\"", "a path" },
        { DOC(",\"recipients\":[[\"userId\"]]"), "\"recipients[0]\"",
          "a path" },
        { DOC(",\"recipients\":[\"userId\",{\"x\":1}]"),
          "\"recipients[1]\"", "\"x\"" },

        { DOC(",\"actor\":7"), "\"actor\"", "a path" },
        { DOC(",\"actor\":[\"userId\"]"), "\"actor\"", "a path" },
        { DOC(",\"actor\":false"), "\"actor\"", "a path" },
        { DOC(",\"actor\":{}"), "\"actor\"", "{\"literal\"" },
        { DOC(",\"actor\":\"a[b]\""), "\"actor\"", "column 3: " },
        { DOC(",\"actor\":\"properties.a[*].id\""), "\"actor\"", "[*]" },
        { DOC(",\"tenant\":\"properties.a[*]\""), "\"tenant\"", "[*]" },
        { DOC(",\"tenant\":\"\""), "\"tenant\"", "column 1: " },
        { DOC(",\"cancellation_key\":\"[*]\""), "\"cancellation_key\"",
          "[*]" },
        { DOC(",\"cancellation_key\":\"a\\u0000\""), "\"cancellation_key\"",
          "column 2: " },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {

        if (compile(rows[i].text, &action, &err) != KNOCK_ERROR) {
            fail_msg("accepted: %s", rows[i].text);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);

        if (strstr(err.message, rows[i].field) == NULL
            || strstr(err.message, rows[i].says) == NULL)
        {
            fail_msg("%s: %s", rows[i].text, err.message);
        }
    }
}


static void
the_offset_of_a_path_s_mistake_is_its_column(void **state)
{
    knock_action_t  action;
    knock_error_t   err;

    (void) state;

    assert_int_equal(compile(DOC(",\"recipients\":\"properties.\""), &action,
                             &err), KNOCK_ERROR);
    assert_int_equal(err.offset, 11);
}


static void
long_names_do_not_spoil_a_message(void **state)
{
    size_t          i;
    knock_action_t  action;
    knock_error_t   err;

    static const struct {
        const char  *prefix;
        const char  *suffix;
        const char  *names;
    } rows[] = {
        { "{\"", "\":1}", "no such field" },
        { "{\"key\":\"k\",\"source\":\"s\",\"event\":\"track/A\","
          "\"type\":\"workflows_trigger\",\"workflow\":\"w\","
          "\"recipients\":{\"", "\":1}}", "\"recipients\"" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(compile(repeat(rows[i].prefix, "\xe2\x82\xac",
                                        100000, rows[i].suffix),
                                 &action, &err), KNOCK_ERROR);

        assert_non_null(strstr(err.message, rows[i].names));
        assert_true(strlen(err.message) < KNOCK_ERROR_MESSAGE);

        /* whole characters only: the last three bytes are one */

        assert_string_equal(err.message + strlen(err.message) - 3,
                            "\xe2\x82\xac");
    }
}


static void
keys(void **state)
{
    size_t       i;
    knock_str_t  key;

    static const struct {
        const char  *key;
        int          valid;
    } rows[] = {
        { "a", 1 }, { "Z9_-", 1 }, { "-", 1 }, { "0", 1 },
        { "", 0 }, { "a b", 0 }, { "a.b", 0 }, { "a/b", 0 }, { "a:b", 0 },
        { "{a}", 0 }, { "\xc3\xa9", 0 }, { "a\n", 0 }, { "@", 0 },
        { "[", 0 }, { "`", 0 }, { "$users", 0 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        key.len = strlen(rows[i].key);
        key.data = (unsigned char *) rows[i].key;

        if (knock_key_valid(&key) != rows[i].valid) {
            fail_msg("\"%s\"", rows[i].key);
        }
    }

    key.data = (unsigned char *) repeat("", "k", 65, "");
    key.len = 64;
    assert_int_equal(knock_key_valid(&key), 1);
    key.len = 65;
    assert_int_equal(knock_key_valid(&key), 0);

    key.data = NULL;
    key.len = 0;
    assert_int_equal(knock_key_valid(&key), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            the_contract_s_example, setup, teardown),
        cmocka_unit_test_setup_teardown(
            optional_parameters_may_be_absent_or_null, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_parameter_may_be_a_literal, setup, teardown),
        cmocka_unit_test_setup_teardown(
            recipients_may_be_an_array_of_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(
            every_kind_of_event_key, setup, teardown),
        cmocka_unit_test_setup_teardown(
            escaped_names_and_duplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_mistake_is_named_with_its_field, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_offset_of_a_path_s_mistake_is_its_column, setup, teardown),
        cmocka_unit_test_setup_teardown(
            long_names_do_not_spoil_a_message, setup, teardown),
        cmocka_unit_test_setup_teardown(keys, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

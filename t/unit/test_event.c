
/* knock_event: what of a Segment event is read, and what makes it invalid */

#include "fixture.h"

#include "knock_event.h"
#include "knock_limits.h"


static void
read_ok(const char *text, knock_event_t *event)
{
    knock_error_t  err;

    if (knock_event_read(arena, parse(text), event, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }
}


static void
type_in_any_case_makes_the_event_key(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char          *text;
        knock_event_type_e   type;
        const char          *key;
    } rows[] = {
        { "{\"type\":\"track\",\"event\":\"A\"}", KNOCK_EVENT_TRACK,
          "track/A" },
        { "{\"type\":\"TRACK\",\"event\":\"Signed Up\"}", KNOCK_EVENT_TRACK,
          "track/Signed Up" },
        { "{\"type\":\"TrAcK\",\"event\":\"a/b\"}", KNOCK_EVENT_TRACK,
          "track/a/b" },
        { "{\"type\":\"identify\"}", KNOCK_EVENT_IDENTIFY, "identify" },
        { "{\"type\":\"Identify\"}", KNOCK_EVENT_IDENTIFY, "identify" },
        { "{\"type\":\"page\"}", KNOCK_EVENT_PAGE, "page" },
        { "{\"type\":\"SCREEN\"}", KNOCK_EVENT_SCREEN, "screen" },
        { "{\"type\":\"group\"}", KNOCK_EVENT_GROUP, "group" },
        { "{\"type\":\"alias\"}", KNOCK_EVENT_ALIAS, "alias" },
        /* an event's name is of a track only */
        { "{\"type\":\"page\",\"event\":7}", KNOCK_EVENT_PAGE, "page" },
        /* escaped */
        { "{\"t\\u0079pe\":\"\\u0054rack\",\"even\\u0074\":\"\\u0041\\n\"}",
          KNOCK_EVENT_TRACK, "track/A\n" },
        { "{\"type\":\"track\",\"event\":\"\xc3\xa9t\xc3\xa9\"}",
          KNOCK_EVENT_TRACK, "track/\xc3\xa9t\xc3\xa9" },
        { "{\"type\":\"track\",\"event\":\" \"}", KNOCK_EVENT_TRACK,
          "track/ " },
        /* of duplicates the last one */
        { "{\"type\":7,\"event\":\"A\",\"event\":\"B\",\"type\":\"track\"}",
          KNOCK_EVENT_TRACK, "track/B" },
        { "{\"type\":\"page\",\"typ\\u0065\":\"group\"}", KNOCK_EVENT_GROUP,
          "group" },
        { "{\"typ\\u0065\":\"page\",\"type\":\"group\"}", KNOCK_EVENT_GROUP,
          "group" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(rows[i].text, &event);
        assert_int_equal(event.type, rows[i].type);
        assert_str(&event.key, rows[i].key);
        assert_int_equal(event.root->type, KNOCK_JSON_OBJECT);
    }
}


static void
an_invalid_event_is_refused_with_a_sentence_that_names_the_field(
    void **state)
{
    size_t         i;
    knock_event_t  event;
    knock_error_t  err;

    static const struct {
        const char  *text;
        const char  *names;
    } rows[] = {
        { "[]", "JSON object" },
        { "null", "JSON object" },
        { "\"track\"", "JSON object" },
        { "{}", "\"type\" is missing" },
        { "{\"Type\":\"track\",\"event\":\"A\"}", "\"type\" is missing" },
        { "{\"type\":null}", "\"type\"" },
        { "{\"type\":1}", "\"type\"" },
        { "{\"type\":\"\"}", "\"type\"" },
        { "{\"type\":\"tracks\"}", "\"type\"" },
        { "{\"type\":\"trac\"}", "\"type\"" },
        { "{\"type\":\"delete\"}", "\"type\"" },
        { "{\"type\":\"track\\u0000\",\"event\":\"A\"}", "\"type\"" },
        { "{\"type\":\"tr\\u0001ck\",\"event\":\"A\"}", "\"type\"" },
        { "{\"type\":\"track\"}", "\"event\" is missing" },
        { "{\"type\":\"track\",\"Event\":\"A\"}", "\"event\" is missing" },
        { "{\"type\":\"track\",\"event\":\"\"}", "\"event\"" },
        { "{\"type\":\"track\",\"event\":null}", "\"event\"" },
        { "{\"type\":\"track\",\"event\":{}}", "\"event\"" },
        { "{\"type\":\"track\",\"event\":\"A\",\"event\":\"\"}",
          "\"event\"" },
        { "{\"type\":\"track\",\"event\":true}", "\"event\"" },
        { "{\"type\":\"track\",\"event\":\"A\",\"properties\":[0]}",
          "\"properties\"" },
        { "{\"type\":\"track\",\"event\":\"A\",\"properties\":\"x\"}",
          "\"properties\"" },
        { "{\"type\":\"page\",\"properties\":0}", "\"properties\"" },
        { "{\"type\":\"track\",\"event\":\"A\",\"properties\":{},"
          "\"properties\":false}", "\"properties\"" },
        { "{\"type\":\"screen\",\"properties\":[[]]}", "\"properties\"" },
        { "{\"type\":\"identify\",\"traits\":[{}]}", "\"traits\"" },
        { "{\"type\":\"identify\",\"context\":{\"traits\":[1]}}",
          "\"context.traits\"" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        memset(&err, 0, sizeof(err));

        if (knock_event_read(arena, parse(rows[i].text), &event, &err)
            != KNOCK_ERROR)
        {
            fail_msg("accepted: %s", rows[i].text);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);

        if (strstr(err.message, rows[i].names) == NULL) {
            fail_msg("%s: %s", rows[i].text, err.message);
        }
    }
}


static void
event_names_have_1_to_512_bytes_decoded(void **state)
{
    knock_event_t  event;
    knock_error_t  err;

    (void) state;

    read_ok(repeat("{\"type\":\"track\",\"event\":\"", "n", 512, "\"}"),
            &event);
    assert_int_equal(event.key.len, 6 + 512);
    assert_true(knock_event_key_valid(&event.key));

    read_ok(repeat("{\"type\":\"track\",\"event\":\"", "\\u00e9", 256, "\"}"),
            &event);
    assert_int_equal(event.key.len, 6 + 512);

    read_ok("{\"type\":\"track\",\"event\":\"a\\u0000b\"}", &event);
    assert_int_equal(event.key.len, 6 + 3);
    assert_memory_equal(event.key.data, "track/a\0b", 9);

    assert_int_equal(knock_event_read(arena,
        parse(repeat("{\"type\":\"track\",\"event\":\"", "n", 513, "\"}")),
        &event, &err), KNOCK_ERROR);
    assert_non_null(strstr(err.message, "513"));

    assert_int_equal(knock_event_read(arena,
        parse(repeat("{\"type\":\"track\",\"event\":\"\xc3\xa9", "n", 511,
                     "\"}")),
        &event, &err), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);
}


static void
a_message_id_has_1_to_255_characters(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char  *value;
        const char  *id;
    } rows[] = {
        { "\"m1\"", "m1" },
        { "\"\\u006d1\"", "m1" },
        { "\" \"", " " },
        { "\"a\\nb\"", "a\nb" },
        { "\"\"", NULL },
        { "null", NULL },
        { "7", "7" },
        { "12345678901234567890123", "12345678901234567890123" },
        { "-1.50e3", "-1.50e3" },
        { "true", NULL },
        { "[]", NULL },
        { "{\"a\":\"b\"}", NULL },
        { "\"m1\",\"messageId\":\"m2\"", "m2" },
        { "\"m1\",\"messageId\":[]", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(repeat("{\"type\":\"page\",\"messageId\":", rows[i].value, 1,
                       "}"), &event);
        assert_str_or_null(&event.message_id, rows[i].id);
    }

    read_ok("{\"type\":\"page\"}", &event);
    assert_null(event.message_id.data);

    read_ok(repeat("{\"type\":\"page\",\"messageId\":", "1", 255, "}"), &event);
    assert_int_equal(event.message_id.len, 255);

    read_ok(repeat("{\"type\":\"page\",\"messageId\":", "1", 256, "}"), &event);
    assert_null(event.message_id.data);
}


static void
a_message_id_is_counted_in_characters_not_bytes(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char  *unit;
        size_t       bytes;
    } rows[] = {
        { "m", 1 },
        { "\xc3\xa9", 2 },
        { "\xe2\x82\xac", 3 },
        { "\xf0\x9f\x98\x80", 4 },
        { "\\u00e9", 2 },
        { "\\ud83d\\ude00", 4 },
        { "\\n", 1 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(repeat("{\"type\":\"page\",\"messageId\":\"", rows[i].unit,
                       255, "\"}"), &event);
        assert_non_null(event.message_id.data);
        assert_int_equal(event.message_id.len, 255 * rows[i].bytes);

        read_ok(repeat("{\"type\":\"page\",\"messageId\":\"", rows[i].unit,
                       256, "\"}"), &event);
        assert_null(event.message_id.data);

        read_ok(repeat("{\"type\":\"page\",\"messageId\":\"", rows[i].unit,
                       5000, "\"}"), &event);
        assert_null(event.message_id.data);
    }
}


static void
only_an_identify_has_a_user_id(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char  *text;
        const char  *id;
    } rows[] = {
        { "{\"type\":\"identify\",\"userId\":\"u1\"}", "u1" },
        { "{\"type\":\"identify\",\"userId\":42}", "42" },
        { "{\"type\":\"identify\",\"us\\u0065rId\":\"\\u0075\"}", "u" },
        { "{\"type\":\"identify\",\"userId\":[],\"userId\":\"u2\"}", "u2" },
        { "{\"type\":\"identify\",\"userId\":\"u1\",\"userId\":null}", NULL },
        { "{\"type\":\"identify\",\"userId\":null}", NULL },
        { "{\"type\":\"identify\"}", NULL },
        { "{\"type\":\"identify\",\"UserId\":\"u1\"}", NULL },
        { "{\"type\":\"identify\",\"userId\":\"\"}", NULL },
        { "{\"type\":\"identify\",\"userId\":true}", NULL },
        { "{\"type\":\"identify\",\"userId\":1.0}", NULL },
        { "{\"type\":\"identify\",\"userId\":{}}", NULL },
        { "{\"type\":\"identify\",\"userId\":\"a\\u0000\"}", NULL },
        { "{\"type\":\"identify\",\"userId\":\"a\",\"us\\u0065rId\":[]}",
          NULL },
        { "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u1\"}", NULL },
        { "{\"type\":\"track\",\"event\":\"A\",\"userId\":[1.5]}", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(rows[i].text, &event);
        assert_str_or_null(&event.user_id, rows[i].id);
    }
}


static void
properties_traits_and_timestamp(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char  *text;
        const char  *properties;
        const char  *traits;
        const char  *timestamp;
    } rows[] = {
        { "{\"type\":\"track\",\"event\":\"A\",\"properties\":{\"a\": 1.0},"
          "\"timestamp\":\"2026-01-02T03:04:05Z\"}",
          "{\"a\": 1.0}", NULL, "\"2026-01-02T03:04:05Z\"" },
        { "{\"type\":\"page\"}", NULL, NULL, NULL },
        { "{\"type\":\"page\",\"properties\":null,\"traits\":null}",
          NULL, NULL, NULL },
        { "{\"type\":\"page\",\"timestamp\":17,\"properties\":{}}",
          "{}", NULL, "\"1970-01-01T00:00:17.000Z\"" },
        { "{\"type\":\"page\",\"timestamp\":-17,\"properties\":[]}",
          NULL, NULL, NULL },
        { "{\"type\":\"page\",\"timestamp\":null}", NULL, NULL, NULL },
        { "{\"type\":\"page\",\"timestamp\":\"\"}", NULL, NULL, "\"\"" },
        { "{\"type\":\"identify\",\"traits\":{\"a\":1}}",
          NULL, "{\"a\":1}", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"b\":2}}}",
          NULL, "{\"b\":2}", NULL },
        { "{\"type\":\"identify\",\"traits\":{\"a\":1},"
          "\"context\":{\"traits\":{\"b\":2}}}", NULL, "{\"a\":1}", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"b\":2}},"
          "\"traits\":null}", NULL, "{\"b\":2}", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"b\":2}},"
          "\"traits\":{}}", NULL, "{\"b\":2}", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"b\":2}},"
          "\"traits\":[]}", NULL, "{\"b\":2}", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{}},"
          "\"traits\":{ }}", NULL, "{ }", NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":7},"
          "\"traits\":{}}", NULL, "{}", NULL },
        { "{\"type\":\"identify\",\"traits\":[]}", NULL, NULL, NULL },
        { "{\"type\":\"identify\",\"context\":{\"traits\":null}}",
          NULL, NULL, NULL },
        { "{\"type\":\"identify\",\"context\":[]}", NULL, NULL, NULL },
        { "{\"type\":\"identify\",\"context\":{}}", NULL, NULL, NULL },
        { "{\"type\":\"identify\",\"cont\\u0065xt\":{\"tr\\u0061its\":{}}}",
          NULL, "{}", NULL },
        { "{\"type\":\"identify\",\"traits\":{\"a\":1},\"traits\":{\"a\":2}}",
          NULL, "{\"a\":2}", NULL },

        /* what a type does not use is not judged */

        { "{\"type\":\"track\",\"event\":\"A\",\"traits\":[\"a\"]}",
          NULL, NULL, NULL },
        { "{\"type\":\"group\",\"traits\":\"x\"}", NULL, NULL, NULL },
        { "{\"type\":\"identify\",\"properties\":[1]}", NULL, NULL, NULL },
        { "{\"type\":\"alias\",\"properties\":\"x\"}", NULL, NULL, NULL },
        { "{\"type\":\"alias\",\"properties\":{\"a\":1}}",
          "{\"a\":1}", NULL, NULL },

        { "{\"type\":\"group\",\"traits\":{\"a\":1}}", NULL, NULL, NULL },
        { "{\"type\":\"track\",\"event\":\"A\","
          "\"context\":{\"traits\":[]}}", NULL, NULL, NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(rows[i].text, &event);
        assert_text(event.properties, rows[i].properties);
        assert_text(event.traits, rows[i].traits);
        assert_text(event.timestamp, rows[i].timestamp);
    }
}


/* the codes of what was put right, each with a space behind it */

static const char *
notes(const knock_event_t *event)
{
    unsigned     i;
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, 0);

    for (i = 0; i < KNOCK_NOTES; i++) {
        if (event->notes >> i & 1) {
            knock_buf_add(&buf, knock_event_note(i),
                          strlen(knock_event_note(i)));
            knock_buf_add_char(&buf, ' ');
        }
    }

    knock_buf_add_char(&buf, '\0');

    return (char *) buf.data;
}


static void
what_is_put_right_is_noted(void **state)
{
    size_t         i;
    knock_event_t  event;

    static const struct {
        const char  *text;
        const char  *notes;
    } rows[] = {
        { "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"\","
          "\"messageId\":\"m\",\"timestamp\":\"x\",\"traits\":[]}", "" },
        { "{\"type\":\"identify\",\"userId\":null,\"messageId\":null,"
          "\"timestamp\":null,\"traits\":null,\"properties\":[]}", "" },
        { "{\"type\":\"track\",\"event\":12}", "event_name_from_number " },
        { "{\"type\":\"identify\",\"userId\":\"\"}", "user_id_unusable " },
        { "{\"type\":\"screen\",\"properties\":[ ]}",
          "empty_array_as_object " },
        { "{\"type\":\"identify\",\"traits\":[]}",
          "empty_array_as_object " },
        { "{\"type\":\"identify\",\"context\":{\"traits\":[]}}",
          "empty_array_as_object " },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"a\":1}}}",
          "" },
        { "{\"type\":\"identify\",\"context\":{\"traits\":{\"a\":1}},"
          "\"traits\":[]}", "empty_array_as_object traits_from_context " },
        { "{\"type\":\"page\",\"timestamp\":1}", "timestamp_from_number " },
        { "{\"type\":\"page\",\"timestamp\":1e30}", "timestamp_unusable " },
        { "{\"type\":\"page\",\"timestamp\":{}}", "timestamp_unusable " },
        { "{\"type\":\"page\",\"messageId\":1}",
          "message_id_from_number " },
        { "{\"type\":\"page\",\"messageId\":\"\"}",
          "message_id_unusable " },
        { "{\"type\":\"page\",\"messageId\":{}}",
          "message_id_unusable " },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        read_ok(rows[i].text, &event);

        if (strcmp(notes(&event), rows[i].notes) != 0) {
            fail_msg("%s: %s", rows[i].text, notes(&event));
        }
    }

    read_ok(repeat("{\"type\":\"page\",\"messageId\":\"", "m", 256, "\"}"),
            &event);
    assert_string_equal(notes(&event), "message_id_unusable ");
}


static void
an_id_is_a_string_or_an_integer(void **state)
{
    int          rc;
    size_t       i;
    knock_str_t  id;

    static const struct {
        const char  *json;
        const char  *id;        /* NULL: it is none */
    } rows[] = {
        { "\"u1\"", "u1" },
        { "\"\\u0061\"", "a" },
        { "\"\\\"\\\\\\/\"", "\"\\/" },
        { "\"\xc3\xa9\"", "\xc3\xa9" },
        { "\"\\u00a0\"", "\xc2\xa0" },
        { "\"\xc2\xa0\"", "\xc2\xa0" },
        { "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
        { "\"\xe2\x80\x8b\"", "\xe2\x80\x8b" },
        { "\" \"", " " },
        { "\"null\"", "null" },
        { "0", "0" },
        { "-0", "-0" },
        { "-5", "-5" },
        { "12345678901234567890123456789012345678901234567890",
          "12345678901234567890123456789012345678901234567890" },
        { "1.0", NULL },
        { "1e3", NULL },
        { "1E3", NULL },
        { "\"\"", NULL },
        { "null", NULL },
        { "true", NULL },
        { "false", NULL },
        { "[]", NULL },
        { "[\"a\"]", NULL },
        { "{\"id\":\"a\"}", NULL },
        { "\"\\u0000\"", NULL },
        { "\"a\\u0000b\"", NULL },
        { "\"a\\n\"", NULL },
        { "\"\\t\"", NULL },
        { "\"a\\u001f\"", NULL },
        { "\"\x7f\"", NULL },
        { "\"\\u007f\"", NULL },
        { "\"\\u0080\"", NULL },
        { "\"a\xc2\x80\"", NULL },
        { "\"a\xc2\x9f\"", NULL },
        { "\"\\u009f\"", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        rc = knock_event_id(arena, parse(rows[i].json), &id);

        if (rc != (rows[i].id ? KNOCK_OK : KNOCK_DECLINED)) {
            fail_msg("%s: %d", rows[i].json, rc);
        }

        if (rows[i].id) {
            assert_str_or_null(&id, rows[i].id);
        }
    }
}


static void
an_id_has_1_to_256_bytes(void **state)
{
    size_t       i;
    knock_str_t  id;

    static const struct {
        const char  *prefix;
        const char  *unit;
        size_t       n;
        const char  *suffix;
        int          rc;
    } rows[] = {
        { "\"", "a", 256, "\"", KNOCK_OK },
        { "\"", "a", 257, "\"", KNOCK_DECLINED },
        { "\"", "\xc3\xa9", 128, "\"", KNOCK_OK },
        { "\"", "\xc3\xa9", 128, "a\"", KNOCK_DECLINED },
        { "\"", "\\u0061", 256, "\"", KNOCK_OK },
        { "\"", "\\u0061", 257, "\"", KNOCK_DECLINED },
        { "\"", "\\u0061", 255, "\\n\"", KNOCK_DECLINED },
        { "", "1", 256, "", KNOCK_OK },
        { "", "1", 257, "", KNOCK_DECLINED },
        { "-", "1", 255, "", KNOCK_OK },
        { "-", "1", 256, "", KNOCK_DECLINED },
        { "\"", "a", 100000, "\"", KNOCK_DECLINED },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(knock_event_id(arena, parse(repeat(rows[i].prefix,
                                        rows[i].unit, rows[i].n,
                                        rows[i].suffix)), &id),
                         rows[i].rc);
    }
}


static void
event_keys(void **state)
{
    size_t       i;
    knock_str_t  key;

    static const struct {
        const char  *key;
        int          valid;
    } rows[] = {
        { "track/A", 1 }, { "track/a b/c", 1 }, { "track/track/", 1 },
        { "identify", 1 }, { "page", 1 }, { "screen", 1 }, { "group", 1 },
        { "alias", 1 },
        { "", 0 }, { "track", 0 }, { "track/", 0 }, { "Track/A", 0 },
        { "tracks/A", 0 }, { "identify/", 0 }, { "identify/A", 0 },
        { "Identify", 0 }, { "page ", 0 }, { "pag", 0 }, { "delete", 0 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        key.len = strlen(rows[i].key);
        key.data = (unsigned char *) rows[i].key;

        if (knock_event_key_valid(&key) != rows[i].valid) {
            fail_msg("\"%s\"", rows[i].key);
        }
    }

    key.data = (unsigned char *) repeat("track/", "n", 513, "");
    key.len = 6 + 512;
    assert_int_equal(knock_event_key_valid(&key), 1);
    key.len = 6 + 513;
    assert_int_equal(knock_event_key_valid(&key), 0);
}


static void
an_ordinary_event_is_not_copied(void **state)
{
    knock_event_t         event;
    knock_error_t         err;
    const unsigned char  *end;
    const knock_json_t   *root;

    (void) state;

    root = parse("{\"type\":\"identify\",\"messageId\":\"m\","
                 "\"userId\":\"u\"}");
    end = root->data + root->len;

    assert_int_equal(knock_event_read(arena, root, &event, &err), KNOCK_OK);
    assert_true(event.message_id.data > root->data
                && event.message_id.data < end);
    assert_true(event.user_id.data > root->data && event.user_id.data < end);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            type_in_any_case_makes_the_event_key, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_invalid_event_is_refused_with_a_sentence_that_names_the_field,
            setup, teardown),
        cmocka_unit_test_setup_teardown(
            event_names_have_1_to_512_bytes_decoded, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_message_id_has_1_to_255_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_message_id_is_counted_in_characters_not_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            only_an_identify_has_a_user_id, setup, teardown),
        cmocka_unit_test_setup_teardown(
            properties_traits_and_timestamp, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_put_right_is_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_id_is_a_string_or_an_integer, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_id_has_1_to_256_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(event_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_ordinary_event_is_not_copied, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

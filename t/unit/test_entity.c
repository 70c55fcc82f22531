
/* knock_entity: what identify events and inline objects upsert */

#include "fixture.h"

#include "knock_entity.h"


/* the upsert as {"name":value,...} with a "*" after a name that merges */

static const char *
show(const knock_upsert_t *upsert)
{
    size_t               i;
    knock_buf_t          buf;
    knock_str_t          text;
    const knock_field_t *field;

    knock_buf_init(&buf, arena, 256);
    knock_buf_add_char(&buf, '{');

    for (i = 0; i < upsert->nfields; i++) {
        field = &upsert->fields[i];

        if (i > 0) {
            knock_buf_add_char(&buf, ',');
        }

        knock_buf_add_json(&buf, &field->name);

        if (field->object) {
            knock_buf_add_char(&buf, '*');
            assert_ptr_equal(field->object->data, field->json.data);
            assert_int_equal(field->object->type, KNOCK_JSON_OBJECT);
        }

        knock_buf_add_char(&buf, ':');
        knock_buf_add_str(&buf, &field->json);
    }

    knock_buf_add_lit(&buf, "}\0");
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return (const char *) text.data;
}


static void
identify(const char *traits, knock_upsert_t *upsert)
{
    knock_event_t  event;

    memset(&event, 0, sizeof(event));

    event.type = KNOCK_EVENT_IDENTIFY;
    knock_str_set(&event.user_id, "u1");
    event.traits = traits ? parse(traits) : NULL;

    assert_int_equal(knock_entity_identify(arena, &event, upsert), KNOCK_OK);
    assert_str(&upsert->collection, "$users");
    assert_str(&upsert->id, "u1");
}


static void
traits_become_fields(void **state)
{
    size_t          i;
    knock_upsert_t  upsert;

    static const struct {
        const char  *traits;
        const char  *fields;
    } rows[] = {
        { NULL, "{}" },
        { "{}", "{}" },
        /* the same name */
        { "{\"email\":\"a@b.c\",\"name\":\"A\",\"avatar\":\"x\","
          "\"locale\":\"de\",\"timezone\":\"UTC\"}",
          "{\"email\":\"a@b.c\",\"name\":\"A\",\"avatar\":\"x\","
          "\"locale\":\"de\",\"timezone\":\"UTC\"}" },
        { "{\"plan\":\"pro\",\"n\":1.50,\"x\":[ ],\"y\":null,\"z\":true}",
          "{\"plan\":\"pro\",\"n\":1.50,\"x\":[ ],\"y\":null,\"z\":true}" },
        { "{\"address\":{\"city\": \"X\"},\"list\":[{}]}",
          "{\"address\"*:{\"city\": \"X\"},\"list\":[{}]}" },
        { "{\"Email\":1,\"EMAIL\":2,\"userId\":\"x\"}",
          "{\"Email\":1,\"EMAIL\":2,\"userId\":\"x\"}" },
        /* phone */
        { "{\"phone\":\"1\"}", "{\"phone_number\":\"1\"}" },
        { "{\"phone_number\":\"2\"}", "{\"phone_number\":\"2\"}" },
        { "{\"phone\":\"1\",\"phone_number\":\"2\"}",
          "{\"phone_number\":\"2\"}" },
        { "{\"phone_number\":\"2\",\"a\":0,\"phone\":\"1\"}",
          "{\"phone_number\":\"2\",\"a\":0}" },
        { "{\"phone\":\"1\",\"phone_number\":null}",
          "{\"phone_number\":null}" },
        { "{\"phone\":null}", "{\"phone_number\":null}" },
        { "{\"phone\":1,\"a\":0,\"phone\":2}",
          "{\"phone_number\":2,\"a\":0}" },
        { "{\"ph\\u006fne\":\"1\"}", "{\"phone_number\":\"1\"}" },
        { "{\"phone\":1,\"phone\\u005fnumber\":2}",
          "{\"phone_number\":2}" },
        { "{\"Phone\":1}", "{\"Phone\":1}" },
        { "{\"phone\":{\"a\":1}}", "{\"phone_number\"*:{\"a\":1}}" },
        /* createdAt */
        { "{\"createdAt\":\"t\"}", "{\"created_at\":\"t\"}" },
        { "{\"createdAt\":\"t\",\"created_at\":\"u\"}",
          "{\"created_at\":\"u\"}" },
        { "{\"created_at\":\"u\",\"createdAt\":\"t\"}",
          "{\"created_at\":\"u\"}" },
        { "{\"created_at\":null,\"createdAt\":\"t\"}",
          "{\"created_at\":null}" },
        /* names */
        { "{\"firstName\":\"A\",\"lastName\":\"B\"}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"A B\"}" },
        { "{\"lastName\":\"B\",\"x\":1,\"firstName\":\"A\"}",
          "{\"lastName\":\"B\",\"x\":1,\"firstName\":\"A\","
          "\"name\":\"A B\"}" },
        { "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"C\"}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"C\"}" },
        { "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":null}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":null}" },
        { "{\"firstName\":\"A\"}", "{\"firstName\":\"A\"}" },
        { "{\"lastName\":\"B\"}", "{\"lastName\":\"B\"}" },
        { "{\"firstName\":\"A\",\"lastName\":\"\"}",
          "{\"firstName\":\"A\",\"lastName\":\"\"}" },
        { "{\"firstName\":\"\",\"lastName\":\"B\"}",
          "{\"firstName\":\"\",\"lastName\":\"B\"}" },
        { "{\"firstName\":1,\"lastName\":\"B\"}",
          "{\"firstName\":1,\"lastName\":\"B\"}" },
        { "{\"firstName\":\"A\",\"lastName\":null}",
          "{\"firstName\":\"A\",\"lastName\":null}" },
        { "{\"firstName\":{\"a\":1},\"lastName\":\"B\"}",
          "{\"firstName\"*:{\"a\":1},\"lastName\":\"B\"}" },
        { "{\"firstName\":\"A\\\"\",\"lastName\":\"\\\\B\xc3\xa9\"}",
          "{\"firstName\":\"A\\\"\",\"lastName\":\"\\\\B\xc3\xa9\","
          "\"name\":\"A\\\" \\\\B\xc3\xa9\"}" },
        { "{\"firstName\":\"X\",\"lastName\":\"B\",\"firstName\":\"A\"}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"A B\"}" },
        { "{\"firstName\":\"A\",\"lastName\":\"B\",\"firstName\":\"\"}",
          "{\"firstName\":\"\",\"lastName\":\"B\"}" },
        { "{\"f\\u0069rstName\":\"A\",\"lastName\":\"B\"}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"A B\"}" },
        { "{\"first_name\":\"A\",\"last_name\":\"B\"}",
          "{\"first_name\":\"A\",\"last_name\":\"B\"}" },
        { "{\"firstName\":\"A\",\"lastName\":\"B\",\"n\\u0061me\":\"C\"}",
          "{\"firstName\":\"A\",\"lastName\":\"B\",\"name\":\"C\"}" },
        /* the user's own */
        { "{\"id\":\"x\",\"a\":1,\"collection\":\"y\",\"updated_at\":\"z\"}",
          "{\"a\":1}" },
        { "{\"\\u0069d\":\"x\",\"Id\":2}", "{\"Id\":2}" },
        /* duplicates */
        { "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}" },
        { "{\"a\":{\"x\":1},\"a\":3}", "{\"a\":3}" },
        { "{\"a\":3,\"a\":{\"x\":1}}", "{\"a\"*:{\"x\":1}}" },
        { "{\"a\":1,\"\\u0061\":2}", "{\"a\":2}" },
        { "{\"\\u0061\":1,\"a\":2}", "{\"a\":2}" },
        { "{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}" },
        /* unusual names */
        { "{\"\":1}", "{\"\":1}" },
        { "{\"a\\u0000b\":1,\"a\":2,\"a\\u0000\":3}",
          "{\"a\\u0000b\":1,\"a\":2,\"a\\u0000\":3}" },
        { "{\"\xc3\xa9\":1,\"\\u00e9\":2}", "{\"\xc3\xa9\":2}" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        identify(rows[i].traits, &upsert);

        if (strcmp(show(&upsert), rows[i].fields) != 0) {
            fail_msg("%s: %s", rows[i].traits, show(&upsert));
        }
    }
}


/* the same rules where the names are found by a map */

static void
many_traits_follow_the_same_rules(void **state)
{
    size_t          i, n;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_upsert_t  upsert;

    (void) state;

    for (n = 10; n < 24; n++) {
        knock_buf_init(&buf, arena, 256);
        knock_buf_add_lit(&buf, "{\"phone\":1,\"id\":2,\"createdAt\":3,"
                                "\"firstName\":\"A\",\"lastName\":\"B\"");

        for (i = 0; i < n; i++) {
            knock_buf_add_lit(&buf, ",\"k");
            knock_buf_add_uint(&buf, i);
            knock_buf_add_lit(&buf, "\":");
            knock_buf_add_uint(&buf, i);
        }

        knock_buf_add_lit(&buf, ",\"k0\":{\"o\":1},\"\\u006b1\":\"last\","
                                "\"phone\":9,\"created_at\":8}\0");
        assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

        identify((char *) text.data, &upsert);

        assert_int_equal(upsert.nfields, 5 + n);
        assert_str(&upsert.fields[0].name, "phone_number");
        assert_str(&upsert.fields[0].json, "9");
        assert_str(&upsert.fields[1].name, "firstName");
        assert_str(&upsert.fields[3].name, "k0");
        assert_str(&upsert.fields[3].json, "{\"o\":1}");
        assert_non_null(upsert.fields[3].object);
        assert_str(&upsert.fields[4].name, "k1");
        assert_str(&upsert.fields[4].json, "\"last\"");
        assert_str(&upsert.fields[3 + n].name, "created_at");
        assert_str(&upsert.fields[3 + n].json, "8");
        assert_str(&upsert.fields[4 + n].name, "name");
        assert_str(&upsert.fields[4 + n].json, "\"A B\"");
    }
}


static void
large_traits_take_linear_time(void **state)
{
    size_t          i;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_upsert_t  upsert;

    (void) state;

    knock_buf_init(&buf, arena, 4096);
    knock_buf_add_lit(&buf, "{\"a\":0");

    for (i = 0; i < 200000; i++) {
        knock_buf_add_lit(&buf, ",\"phone\":1,\"k");
        knock_buf_add_uint(&buf, i);
        knock_buf_add_lit(&buf, "\":1");
    }

    knock_buf_add_lit(&buf, "}\0");
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    identify((char *) text.data, &upsert);
    assert_int_equal(upsert.nfields, 200002);

    identify(repeat("{\"phone\":0", ",\"phone\":1", 200000, "}"), &upsert);
    assert_int_equal(upsert.nfields, 1);
}


static void
inline_objects(void **state)
{
    int             rc;
    size_t          i;
    const char     *reason;
    knock_upsert_t  upsert;

    static const struct {
        const char  *object;
        const char  *collection;    /* NULL: none */
        const char  *id;            /* or the reason */
        const char  *fields;
    } rows[] = {
        { "{\"id\":\"sam10\",\"name\":\"Sam\"}", "$users", "sam10",
          "{\"name\":\"Sam\"}" },
        { "{\"id\":\"sam10\"}", "$users", "sam10", "{}" },
        { "{\"name\":\"Sam\",\"id\":7}", "$users", "7",
          "{\"name\":\"Sam\"}" },
        { "{\"id\":\"p1\",\"collection\":\"projects\",\"a\":{}}", "projects",
          "p1", "{\"a\"*:{}}" },
        { "{\"collection\":\"$users\",\"id\":\"x\"}", "$users", "x", "{}" },
        { "{\"collection\":null,\"id\":\"x\"}", "$users", "x", "{}" },
        { "{\"id\":\"x\",\"collection\":\"a b/\xc3\xa9\"}", "a b/\xc3\xa9",
          "x", "{}" },
        { "{\"id\":\"x\",\"updated_at\":1,\"created_at\":2}", "$users", "x",
          "{\"created_at\":2}" },
        /* named as they are: these are the user's own fields already */
        { "{\"id\":\"x\",\"phone\":1,\"createdAt\":2,\"firstName\":\"A\","
          "\"lastName\":\"B\"}", "$users", "x",
          "{\"phone\":1,\"createdAt\":2,\"firstName\":\"A\","
          "\"lastName\":\"B\"}" },
        { "{\"id\":\"x\",\"id\":\"y\",\"a\":1,\"a\":2}", "$users", "y",
          "{\"a\":2}" },
        { "{\"\\u0069d\":\"\\u0078\",\"coll\\u0065ction\":\"\\u0063\"}", "c",
          "x", "{}" },
        { "{\"id\":\"x\",\"collection\":5,\"collection\":\"c\"}", "c", "x",
          "{}" },

        { "{}", NULL, "invalid_id", NULL },
        { "{\"name\":\"Sam\"}", NULL, "invalid_id", NULL },
        { "{\"ID\":\"x\"}", NULL, "invalid_id", NULL },
        { "{\"id\":null}", NULL, "invalid_id", NULL },
        { "{\"id\":\"\"}", NULL, "invalid_id", NULL },
        { "{\"id\":1.5}", NULL, "invalid_id", NULL },
        { "{\"id\":true}", NULL, "invalid_id", NULL },
        { "{\"id\":{\"id\":\"x\"}}", NULL, "invalid_id", NULL },
        { "{\"id\":[\"x\"]}", NULL, "invalid_id", NULL },
        { "{\"id\":\"a\\u0000\"}", NULL, "invalid_id", NULL },
        { "{\"id\":\"x\",\"id\":null}", NULL, "invalid_id", NULL },
        { "{\"id\":\"\",\"collection\":\"\"}", NULL, "invalid_id", NULL },
        { "{\"id\":\"x\",\"collection\":\"\"}", NULL, "invalid_collection",
          NULL },
        { "{\"id\":\"x\",\"collection\":5}", NULL, "invalid_collection",
          NULL },
        { "{\"id\":\"x\",\"collection\":{}}", NULL, "invalid_collection",
          NULL },
        { "{\"id\":\"x\",\"collection\":\"a\\u0000\"}", NULL,
          "invalid_collection", NULL },
        { "{\"id\":\"x\",\"collection\":\"a\\u0085\"}", NULL,
          "invalid_collection", NULL },
        { "{\"id\":\"x\",\"collection\":\"\x7f\"}", NULL,
          "invalid_collection", NULL },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        reason = NULL;
        rc = knock_entity_inline(arena, parse(rows[i].object), "$users",
                                 &upsert, &reason);

        if (rc != (rows[i].collection ? KNOCK_OK : KNOCK_DECLINED)) {
            fail_msg("%s: %d", rows[i].object, rc);
        }

        if (rows[i].collection == NULL) {
            assert_string_equal(reason, rows[i].id);
            continue;
        }

        assert_str(&upsert.collection, rows[i].collection);
        assert_str(&upsert.id, rows[i].id);

        if (strcmp(show(&upsert), rows[i].fields) != 0) {
            fail_msg("%s: %s", rows[i].object, show(&upsert));
        }
    }
}


static void
the_collection_without_one_is_the_caller_s(void **state)
{
    const char     *reason;
    knock_upsert_t  upsert;

    (void) state;

    assert_int_equal(knock_entity_inline(arena, parse("{\"id\":\"t\"}"),
                                         "$tenants", &upsert, &reason),
                     KNOCK_OK);
    assert_str(&upsert.collection, "$tenants");
}


static void
a_collection_has_1_to_64_bytes(void **state)
{
    const char     *reason;
    knock_upsert_t  upsert;

    (void) state;

    assert_int_equal(knock_entity_inline(arena,
        parse(repeat("{\"id\":\"x\",\"collection\":\"", "c", 64, "\"}")),
        "$users", &upsert, &reason), KNOCK_OK);
    assert_int_equal(upsert.collection.len, 64);

    assert_int_equal(knock_entity_inline(arena,
        parse(repeat("{\"id\":\"x\",\"collection\":\"", "c", 65, "\"}")),
        "$users", &upsert, &reason), KNOCK_DECLINED);
    assert_string_equal(reason, "invalid_collection");

    assert_int_equal(knock_entity_inline(arena,
        parse(repeat("{\"id\":\"x\",\"collection\":\"", "\xc3\xa9", 33,
                     "\"}")),
        "$users", &upsert, &reason), KNOCK_DECLINED);

    assert_int_equal(knock_entity_inline(arena,
        parse(repeat("{\"id\":\"x\",\"collection\":\"", "c", 1000, "\"}")),
        "$users", &upsert, &reason), KNOCK_DECLINED);
    assert_string_equal(reason, "invalid_collection");
}


static void
many_inline_properties_follow_the_same_rules(void **state)
{
    size_t          i, n;
    const char     *reason;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_upsert_t  upsert;

    (void) state;

    for (n = 10; n < 24; n++) {
        knock_buf_init(&buf, arena, 256);
        knock_buf_add_lit(&buf, "{\"id\":\"x\"");

        for (i = 0; i < 2 * n; i++) {
            knock_buf_add_lit(&buf, ",\"k");
            knock_buf_add_uint(&buf, i % n);
            knock_buf_add_lit(&buf, "\":");
            knock_buf_add_uint(&buf, i);
        }

        knock_buf_add_lit(&buf, "}\0");
        assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

        assert_int_equal(knock_entity_inline(arena,
                                             parse((char *) text.data),
                                             "$users", &upsert, &reason),
                         KNOCK_OK);
        assert_int_equal(upsert.nfields, n);
        assert_str(&upsert.fields[0].name, "k0");
        assert_int_equal(strtoul((char *) upsert.fields[0].json.data, NULL,
                                 10), n);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(traits_become_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(
            many_traits_follow_the_same_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(
            large_traits_take_linear_time, setup, teardown),
        cmocka_unit_test_setup_teardown(inline_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_collection_without_one_is_the_caller_s, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_collection_has_1_to_64_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            many_inline_properties_follow_the_same_rules, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

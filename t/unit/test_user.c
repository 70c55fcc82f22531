
/* knock_user: users that the control API writes, as a unit for Redis */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "columns.h"
#include "knock_user.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define NOW  1767323045678
#define AT   "\"2026-01-02T03:04:05.678Z\""


static knock_arena_t       *arena;
static knock_live_t        *live;
static knock_limits_t       limits = { 4, 10, 64, 1 << 20 };

static knock_apply_t        apply;
static knock_part_t         part;
static knock_parts_t        parts;
static const knock_need_t  *needed;
static knock_user_batch_t   in;
static knock_received_t     received;
static knock_error_t        err;


static knock_str_t
str(const char *text)
{
    knock_str_t  copy, s;

    s.len = strlen(text);
    s.data = (unsigned char *) text;

    assert_int_equal(knock_arena_dup(arena, &s, &copy), KNOCK_OK);

    return copy;
}


static int
setup(void **state)
{
    knock_str_t         prefix, environment;
    knock_live_reply_t  reply;

    (void) state;

    arena = knock_arena_create(4096);
    if (arena == NULL) {
        return 1;
    }

    memset(&reply, 0, sizeof(knock_live_reply_t));
    knock_str_set(&reply.version, "v1");
    knock_str_set(&prefix, "k");
    knock_str_set(&environment, "e");

    needed = NULL;

    memset(&in, 0, sizeof(knock_user_batch_t));
    in.limits = &limits;
    in.now = NOW;

    return knock_live_build(arena, &prefix, &environment, 1, &reply, &live)
               != KNOCK_OK
           || knock_apply_begin(&apply, arena, live, 0) != KNOCK_OK;
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
    knock_str_t     s;
    knock_json_t   *root;
    knock_error_t   bad;

    s = str(text);

    if (knock_json_parse(arena, &s, 64, &root, &bad) != KNOCK_OK) {
        fail_msg("%s: %s", text, bad.message);
    }

    return root;
}


static int
users_add(void)
{
    knock_parts_whole(&parts, &part, &apply, arena, live, needed);

    return knock_user_add(&parts, &in, &received, &err);
}


static int
add_one(const char *id, const char *properties)
{
    in.id = str(id);
    in.users = parse(properties);

    return users_add();
}


static int
add_list(const char *users)
{
    in.id.data = NULL;
    in.users = parse(users);

    return users_add();
}


/* the keys of entities, a '|' behind each, and the columns of the call */

static void
assert_call(const char *keys, const char *args)
{
    size_t       i;
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 256);

    /* the first five are every call's */

    for (i = 5; i < apply.keys.n; i++) {
        knock_buf_add_str(&buf, &apply.keys.items[i]);
        knock_buf_add_char(&buf, '|');
    }

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    if (!knock_str_is(&text, keys)) {
        fail_msg("%.*s is not %s", (int) text.len, (char *) text.data, keys);
    }

    assert_string_equal(columns(&apply), args);
}


/*
 * a unit's head; an event: no mark, processed, neither catalogue nor log, one
 * op; what stands behind an op: no action
 */

#define UNIT   "1 0 0 0 0 "
#define EVENT  "0 0 0 0 1 "


static void
one_user_by_the_id_of_the_path(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{\"email\":\"a@b\",\"n\": 1.0}"),
                     KNOCK_OK);

    assert_int_equal(received.nevents, 1);
    assert_null(received.indexes);
    assert_int_equal(received.errors.len, 0);

    assert_call("k:{e}:user:u1|",
                UNIT EVENT "6 0 56 4 0 0 | id \"u1\" updated_at " AT
                " email \"a@b\" n 1.0 | | | |");

    assert_int_equal(apply.nunits, 1);
    assert_int_equal(apply.marks.n, 0);
}


static void
a_user_without_properties(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{}"), KNOCK_OK);

    assert_call("k:{e}:user:u1|",
                UNIT EVENT "6 0 42 2 0 0 | id \"u1\" updated_at " AT
                " | | | |");
}


static void
what_was_read_can_be_written_back(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{\"id\":\"u1\",\"name\":null,"
                             "\"collection\":\"$users\","
                             "\"updated_at\":\"2020\"}"), KNOCK_OK);

    assert_int_equal(add_one("7", "{\"id\":7,\"collection\":null}"),
                     KNOCK_OK);

    assert_call("k:{e}:user:u1|k:{e}:user:7|",
                UNIT EVENT "6 0 50 3 0 0 "
                UNIT EVENT "7 0 41 2 0 0 | id \"u1\" updated_at " AT
                " name null id \"7\" updated_at " AT " | | | |");
}


static void
the_etag_guards_the_one_user(void **state)
{
    (void) state;

    knock_str_set(&in.guard_etag, "0a0b");

    assert_int_equal(add_one("u1", "{}"), KNOCK_OK);

    assert_call("k:{e}:user:u1|",
                "1 0 0 0 6 " EVENT "6 0 42 2 0 0 | id \"u1\" updated_at " AT
                " | | | | 0a0b");
}


static void
a_list_of_users(void **state)
{
    (void) state;

    assert_int_equal(add_list("[{\"id\":\"u1\",\"a\":1},{\"id\":2},"
                              "{\"id\":\"u1\",\"a\":2}]"), KNOCK_OK);

    assert_int_equal(received.nevents, 3);
    assert_null(received.indexes);
    assert_int_equal(received.errors.len, 0);

    assert_call("k:{e}:user:u1|k:{e}:user:2|",
                "3 0 0 0 0 "
                EVENT "6 0 88 3 0 0 " EVENT "7 0 41 2 0 0 "
                EVENT "6 0 88 3 0 0 | id \"u1\" updated_at " AT " a 1 "
                "id \"2\" updated_at " AT " id \"u1\" updated_at " AT
                " a 2 | | | |");
}


static void
the_invalid_ones_of_a_list_are_told(void **state)
{
    const knock_json_t  *errors, *e;
    knock_buf_t          buf;

    (void) state;

    assert_int_equal(add_list("[{\"a\":1},{\"id\":\"u1\"},7,"
                              "{\"id\":\"u2\"}]"), KNOCK_OK);

    assert_int_equal(received.nevents, 2);
    assert_non_null(received.indexes);
    assert_int_equal(received.indexes[0], 1);
    assert_int_equal(received.indexes[1], 3);

    knock_buf_init(&buf, arena, 256);
    knock_buf_add_char(&buf, '[');
    knock_buf_add_str(&buf, &received.errors);
    knock_buf_add_lit(&buf, "]");
    knock_buf_add_char(&buf, '\0');

    errors = parse((char *) buf.data);
    assert_int_equal(errors->count, 2);

    e = knock_json_element(errors, 0);
    assert_memory_equal(knock_json_get(e, "index")->data, "0", 1);
    assert_memory_equal(knock_json_get(e, "code")->data, "\"invalid_user\"",
                        14);

    e = knock_json_element(errors, 1);
    assert_memory_equal(knock_json_get(e, "index")->data, "2", 1);

    assert_call("k:{e}:user:u1|k:{e}:user:u2|",
                "2 0 0 0 0 " EVENT "6 0 42 2 0 0 " EVENT "7 0 42 2 0 0 | "
                "id \"u1\" updated_at " AT " id \"u2\" updated_at " AT
                " | | | |");
}


static void
a_list_with_none_that_is_valid(void **state)
{
    (void) state;

    assert_int_equal(add_list("[{\"id\":\"\"},null]"), KNOCK_ERROR);

    assert_int_equal(err.code, KNOCK_E_INVALID_USER);
    assert_non_null(strstr(err.message, "\"id\""));
    assert_true(received.errors.len > 0);
    assert_int_equal(received.nevents, 0);

    assert_call("", " | | | | |");
}


static void
users_that_are_refused(void **state)
{
    size_t  i;
    char    list[512];

    static const char  *alone[] = {
        "[]", "\"u1\"", "null",
        "{\"id\":\"u2\"}", "{\"id\":1}", "{\"id\":null}", "{\"id\":{}}",
        "{\"collection\":\"projects\"}", "{\"collection\":1}",
        "{\"collection\":\"\"}",
    };

    static const char  *listed[] = {
        "{}", "{\"id\":null}", "{\"id\":\"\"}", "{\"id\":1.5}",
        "{\"id\":true}", "{\"id\":\"a\\n\"}", "{\"id\":\"\\u0085\"}",
        "{\"id\":\"u1\",\"collection\":\"projects\"}", "[]", "\"u1\"",
    };

    (void) state;

    for (i = 0; i < N(alone); i++) {
        if (add_one("u1", alone[i]) != KNOCK_ERROR) {
            fail_msg("%s is taken", alone[i]);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_USER);
        assert_int_equal(received.errors.len, 0);
    }

    for (i = 0; i < N(listed); i++) {
        (void) snprintf(list, sizeof(list), "[%s]", listed[i]);

        if (add_list(list) != KNOCK_ERROR) {
            fail_msg("%s is taken", list);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_USER);
        assert_true(received.errors.len > 0);
    }

    assert_call("", " | | | | |");
}


static void
lists_that_are_refused(void **state)
{
    (void) state;

    assert_int_equal(add_list("[]"), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_BODY);

    assert_int_equal(add_list("{\"id\":\"u1\"}"), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_BODY);

    assert_int_equal(add_list("[1,2,3,4,5]"), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_BATCH_TOO_LARGE);
    assert_int_equal(received.errors.len, 0);

    assert_int_equal(add_list("[{\"id\":1},{\"id\":1},{\"id\":1},"
                              "{\"id\":1}]"), KNOCK_OK);
}


static void
ids_of_a_path(void **state)
{
    size_t       i;
    knock_str_t  id;
    char         longest[KNOCK_MAX_ID + 1];

    static const knock_str_t  good[] = {
        knock_string("u"),
        knock_string("a b/c:{d}"),
        knock_string("\"\\"),
        knock_string("\xc3\xa4\xf0\x9f\x98\x80"),
        knock_string("00"),
    };

    static const knock_str_t  bad[] = {
        knock_string(""),
        knock_string("a\0b"),
        knock_string("\n"),
        knock_string("\x7f"),
        knock_string("\xc2\x85"),       /* a C1 control */
        knock_string("\xff"),
        knock_string("\xc3"),
        knock_string("\xed\xa0\x80"),   /* a surrogate */
        knock_string("\xc0\xaf"),       /* overlong */
    };

    (void) state;

    for (i = 0; i < N(good); i++) {
        assert_int_equal(knock_user_id_check(arena, &good[i], &err),
                         KNOCK_OK);
    }

    for (i = 0; i < N(bad); i++) {
        assert_int_equal(knock_user_id_check(arena, &bad[i], &err),
                         KNOCK_ERROR);
        assert_int_equal(err.code, KNOCK_E_INVALID_USER);
    }

    memset(longest, 'x', sizeof(longest));

    id.data = (unsigned char *) longest;
    id.len = KNOCK_MAX_ID;
    assert_int_equal(knock_user_id_check(arena, &id, &err), KNOCK_OK);

    id.len = KNOCK_MAX_ID + 1;
    assert_int_equal(knock_user_id_check(arena, &id, &err), KNOCK_ERROR);

    /* the same for a user that is written */

    in.id = bad[5];
    in.users = parse("{}");

    assert_int_equal(users_add(),
                     KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_USER);
}


static void
objects_merge_into_what_is_stored(void **state)
{
    knock_str_t    bases[1];
    knock_need_t   need;

    (void) state;

    knock_str_set(&bases[0], "{\"x\":1,\"y\":{\"a\":1}}");

    knock_str_set(&need.verdicts, "y");
    need.bases = bases;
    need.nbases = 1;

    needed = &need;

    assert_int_equal(add_one("u1", "{\"p\":{\"y\":{\"b\":2}}}"), KNOCK_OK);

    assert_call("k:{e}:user:u1|",
                "1 1 1 1 0 " EVENT "6 0 68 2 1 0 | id \"u1\" updated_at " AT
                " p {\"x\":1,\"y\":{\"a\":1,\"b\":2}} | | | | "
                "y {\"x\":1,\"y\":{\"a\":1}}");
}


static void
requests_for_one_user_merge_into_each_other(void **state)
{
    knock_str_t    bases[1];
    knock_need_t   need;

    (void) state;

    knock_str_set(&bases[0], "{\"x\":1}");

    knock_str_set(&need.verdicts, "y");
    need.bases = bases;
    need.nbases = 1;

    needed = &need;

    assert_int_equal(add_one("u1", "{\"p\":{\"y\":2}}"), KNOCK_OK);
    assert_int_equal(add_one("u1", "{\"p\":{\"z\":3}}"), KNOCK_OK);

    assert_call("k:{e}:user:u1|",
                "1 1 1 1 0 " EVENT "6 0 56 2 1 0 "
                "1 1 1 1 0 " EVENT "6 0 62 2 1 0 | "
                "id \"u1\" updated_at " AT " p {\"x\":1,\"y\":2} "
                "id \"u1\" updated_at " AT " p {\"x\":1,\"y\":2,\"z\":3} "
                "| | | | y {\"x\":1} y {\"x\":1,\"y\":2}");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            one_user_by_the_id_of_the_path, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_user_without_properties, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_was_read_can_be_written_back, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_etag_guards_the_one_user, setup, teardown),
        cmocka_unit_test_setup_teardown(a_list_of_users, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_invalid_ones_of_a_list_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_list_with_none_that_is_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(
            users_that_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            lists_that_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_of_a_path, setup, teardown),
        cmocka_unit_test_setup_teardown(
            objects_merge_into_what_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(
            requests_for_one_user_merge_into_each_other, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

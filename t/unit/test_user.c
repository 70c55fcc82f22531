
/* knock_user: users that the control API writes, each as an event */

#include "tasks.h"

#include "knock_answer.h"
#include "knock_user.h"


#define USERS  4


static knock_live_t        *live;
static knock_limits_t       limits = { USERS, 10, 64, 1 << 20 };

static knock_round_t        round_;
static knock_flood_t        flood;
static knock_user_batch_t   in;
static knock_element_t      elements[USERS];
static knock_task_t        *tasks[USERS];      /* NULL: it is refused */
static size_t               nusers;
static knock_faults_t      *faults;
static knock_error_t        err;


static int
begin(void **state)
{
    knock_str_t         prefix, environment;
    knock_live_reply_t  reply;

    if (setup(state) != 0) {
        return 1;
    }

    memset(&reply, 0, sizeof(knock_live_reply_t));
    reply.version = str("v1");
    prefix = str("k");
    environment = str("e");

    memset(elements, 0, sizeof(elements));
    memset(&in, 0, sizeof(knock_user_batch_t));
    in.limits = &limits;

    return knock_live_build(arena, &prefix, &environment, 1, &reply, &live)
               != KNOCK_OK
           || knock_round_init(&round_, arena, live, &flood, 1767323045678u)
              != KNOCK_OK;
}


/* gives whether a user is any good */

static int
users_add(void)
{
    int                  rc, good;
    size_t               i;
    const knock_json_t  *v;

    nusers = 0;
    faults = knock_faults_create(arena);
    assert_non_null(faults);

    if (knock_user_list(&in, &v, &nusers, &err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    assert_true(nusers <= USERS);

    for (i = 0, good = 0; i < nusers; i++, v = knock_json_next(v)) {
        elements[i].index = i;
        elements[i].json = v;
        tasks[i] = NULL;

        rc = knock_user_receive(&round_, &in, &elements[i], &tasks[i], &err);

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


static const char *
does(size_t i)
{
    assert_true(i < nusers);
    assert_non_null(tasks[i]);

    return described(tasks[i], 1);
}


static void
one_user_by_the_id_of_the_path(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{\"email\":\"a@b\",\"n\": 1.0}"),
                     KNOCK_OK);

    assert_int_equal(nusers, 1);
    assert_string_equal(does(0),
                        "p {k:{e}:user:u1 id=\"u1\" email=\"a@b\" n=1.0}");
    assert_null(tasks[0]->units->mark);
    assert_int_equal(tasks[0]->guard.len, 0);
}


static void
a_user_without_properties(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{}"), KNOCK_OK);
    assert_string_equal(does(0), "p {k:{e}:user:u1 id=\"u1\"}");
}


static void
what_was_read_can_be_written_back(void **state)
{
    (void) state;

    assert_int_equal(add_one("u1", "{\"id\":\"u1\",\"name\":null,"
                             "\"collection\":\"$users\","
                             "\"identified_at\":\"2020\","
                             "\"updated_at\":\"2020\"}"), KNOCK_OK);
    assert_string_equal(does(0), "p {k:{e}:user:u1 id=\"u1\" name=null}");

    assert_int_equal(add_one("7", "{\"id\":7,\"collection\":null}"),
                     KNOCK_OK);
    assert_string_equal(does(0), "p {k:{e}:user:7 id=\"7\"}");
}


static void
the_etag_guards_the_one_user(void **state)
{
    (void) state;

    in.guard_etag = str("0a0b");

    assert_int_equal(add_one("u1", "{}"), KNOCK_OK);
    assert_str(&tasks[0]->guard, "k:{e}:user:u1");
    assert_str(&tasks[0]->guard_etag, "0a0b");
}


static void
a_list_of_users(void **state)
{
    (void) state;

    assert_int_equal(add_list("[{\"id\":\"u1\",\"a\":1},{\"id\":2},"
                              "{\"id\":\"u1\",\"a\":2}]"), KNOCK_OK);

    assert_int_equal(nusers, 3);
    assert_string_equal(does(0), "p {k:{e}:user:u1 id=\"u1\" a=1}");
    assert_string_equal(does(1), "p {k:{e}:user:2 id=\"2\"}");
    assert_string_equal(does(2), "p {k:{e}:user:u1 id=\"u1\" a=2}");
}


static void
the_invalid_ones_of_a_list_are_refused_alone(void **state)
{
    (void) state;

    assert_int_equal(add_list("[{\"a\":1},{\"id\":\"u1\"},7,"
                              "{\"id\":\"u2\"}]"), KNOCK_OK);

    assert_null(tasks[0]);
    assert_string_equal(does(1), "p {k:{e}:user:u1 id=\"u1\"}");
    assert_null(tasks[2]);
    assert_string_equal(does(3), "p {k:{e}:user:u2 id=\"u2\"}");
    assert_int_equal(faults->codes[KNOCK_E_INVALID_USER], 2);

    assert_int_equal(add_list("[{\"id\":\"\"},null]"), KNOCK_ERROR);
    assert_int_equal(faults->first.code, KNOCK_E_INVALID_USER);
    assert_non_null(strstr(faults->first.message, "\"id\""));
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
    }

    for (i = 0; i < N(listed); i++) {
        (void) snprintf(list, sizeof(list), "[%s]", listed[i]);

        if (add_list(list) != KNOCK_ERROR) {
            fail_msg("%s is taken", list);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_USER);
    }
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

    assert_int_equal(users_add(), KNOCK_ERROR);
    assert_int_equal(err.code, KNOCK_E_INVALID_USER);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(one_user_by_the_id_of_the_path),
        t(a_user_without_properties),
        t(what_was_read_can_be_written_back),
        t(the_etag_guards_the_one_user),
        t(a_list_of_users),
        t(the_invalid_ones_of_a_list_are_refused_alone),
        t(users_that_are_refused),
        t(lists_that_are_refused),
        t(ids_of_a_path)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

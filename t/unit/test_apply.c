
/* knock_apply: the arguments of one call of the Redis function */

#include "fixture.h"

#include "knock_apply.h"


static knock_apply_t        apply;
static knock_live_t        *live;
static knock_apply_conf_t   conf = { 86400000, 1000, 500 };


static int
begin(void **state)
{
    int                 rc;
    knock_str_t         prefix, environment;
    knock_live_reply_t  reply;

    rc = setup(state);

    memset(&reply, 0, sizeof(knock_live_reply_t));
    reply.version = str("v7");
    prefix = str("k");
    environment = str("e");

    return rc
           || knock_live_build(arena, &prefix, &environment, &reply, &live)
              != KNOCK_OK
           || knock_apply_begin(&apply, arena, live) != KNOCK_OK;
}


/* the call's arguments from the n-th on, with spaces between them */

static const char *
command(size_t n)
{
    size_t        argc, i;
    size_t       *lens;
    const char  **argv;
    knock_buf_t   buf;
    knock_str_t   s;

    assert_int_equal(knock_apply_command(&apply, &conf, &argc, &argv, &lens),
                     KNOCK_OK);

    knock_buf_init(&buf, arena, 0);

    for (i = n; i < argc; i++) {
        knock_buf_add(&buf, " ", i > n);
        knock_buf_add(&buf, lens[i] ? argv[i] : "''", lens[i] ? lens[i] : 2);
    }

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


static size_t
add_key(const char *name)
{
    knock_str_t  key;

    key = str(name);
    return knock_apply_key(&apply, &key);
}


static void
a_call_begins_with_the_fixed_keys(void **state)
{
    (void) state;

    assert_string_equal(command(0),
        "FCALL knock_apply 5 k:{e}:version k:{e}:runs k:{e}:seen:0 "
        "k:{e}:seen:1 k:{e}:large " KNOCK_LIBRARY_VERSION
        " v7 86400000 1000 500 0 0");
}


static void
a_key_stands_once(void **state)
{
    size_t  i;
    char    name[16];

    (void) state;

    assert_int_equal(add_key("a"), 6);
    assert_int_equal(add_key("b"), 7);
    assert_int_equal(add_key("a"), 6);
    assert_int_equal(add_key("k:{e}:version"), 1);
    assert_int_equal(add_key("k:{e}:large"), 5);
    assert_int_equal(add_key(""), 8);
    assert_int_equal(add_key(""), 8);

    assert_starts(command(0),
                  "FCALL knock_apply 8 ");

    for (i = 0; i < 1000; i++) {
        (void) snprintf(name, sizeof(name), "key-%zu", i);
        assert_int_equal(add_key(text(&(knock_str_t) { strlen(name),
                                            (unsigned char *) name })),
                         9 + i);
    }

    assert_int_equal(add_key("key-0"), 9);
    assert_int_equal(add_key("key-999"), 1008);
}


static void
an_event_that_does_nothing(void **state)
{
    knock_unit_t        unit;
    knock_unit_event_t  event;

    (void) state;

    memset(&unit, 0, sizeof(knock_unit_t));
    memset(&event, 0, sizeof(knock_unit_event_t));

    unit.events = &event;
    unit.nevents = 1;
    unit.catalogue = 6;
    unit.log = 8;
    event.status = KNOCK_STATUS_IGNORED;
    event.key = str("page");

    assert_int_equal(knock_apply_add(&apply, &unit), KNOCK_OK);
    assert_int_equal(apply.nunits, 1);
    assert_int_equal(apply.nevents, 1);

    /* one unit: an event, no plan, nothing expected, no bases, no guard */

    assert_string_equal(command(13),
                        "0 1 1 0 '' 0 0 '' 0 i 6 page '' 0 '' 0 0");
}


static void
an_event_with_everything(void **state)
{
    size_t                i;
    knock_op_t            op;
    knock_need_t          need;
    knock_unit_t          unit;
    knock_field_t         fields[3];
    knock_upsert_t        upsert;
    knock_enqueue_t       enqueues[2];
    knock_unit_event_t    event;
    knock_unit_action_t   actions[2];

    (void) state;

    memset(&op, 0, sizeof(knock_op_t));
    memset(&need, 0, sizeof(knock_need_t));
    memset(&unit, 0, sizeof(knock_unit_t));
    memset(fields, 0, sizeof(fields));
    memset(&upsert, 0, sizeof(knock_upsert_t));
    memset(&event, 0, sizeof(knock_unit_event_t));
    memset(actions, 0, sizeof(actions));

    /* objects come behind the others */

    fields[0].name = str("o");
    fields[0].json = str("{\"a\":1}");
    fields[0].object = parse("{\"a\":1}");
    fields[1].name = str("a");
    fields[1].json = str("1");
    fields[2].name = str("b");
    fields[2].json = str("[]");

    upsert.fields = fields;
    upsert.nfields = 3;

    op.upsert = &upsert;
    op.entity = 9;
    op.kind = KNOCK_OP_RECIPIENT;

    enqueues[0].entity = 9;
    enqueues[0].run = str("R1");
    enqueues[1].entity = 10;
    enqueues[1].run = str("R2");

    actions[0].actor = 11;
    actions[0].enqueues = enqueues;
    actions[0].nenqueues = 2;

    for (i = 0; i < KNOCK_MARK_LEN; i++) {
        event.mark[i] = (unsigned char) ('A' + i);
    }

    event.status = KNOCK_STATUS_PROCESSED;
    event.marked = 1;
    event.key = str("track/T");
    event.sample = str("SAMPLE");
    event.log = str("LOG");
    event.ops = &op;
    event.nops = 1;
    event.actions = actions;
    event.nactions = 2;

    need.verdicts = str("y");
    need.bases = &fields[0].json;
    need.nbases = 1;

    unit.catalogue = 6;
    unit.log = 8;
    unit.events = &event;
    unit.nevents = 1;
    unit.need = &need;

    assert_int_equal(knock_apply_add(&apply, &unit), KNOCK_OK);

    assert_string_equal(command(13),
        "1 ABCDEFGHIJKLMNOP 1 "
        "1 1 y 1 {\"a\":1} 0 '' "
        "1 p 6 track/T SAMPLE 8 LOG "
        "1 9 r 13 2 1 a 1 b [] o {\"a\":1} "
        "2 11 2 9 R1 10 R2 0 0");
}


static void
units_follow_each_other_and_the_marks_stand_in_front(void **state)
{
    size_t              i, bytes;
    knock_unit_t        unit;
    knock_unit_event_t  events[3];

    (void) state;

    memset(&unit, 0, sizeof(knock_unit_t));
    memset(events, 0, sizeof(events));

    for (i = 0; i < 3; i++) {
        events[i].status = i == 1 ? KNOCK_STATUS_FAILED
                                  : KNOCK_STATUS_IGNORED;
        events[i].marked = i != 2;
        events[i].key = str("page");
        memset(events[i].mark, 'a' + (int) i, KNOCK_MARK_LEN);
    }

    unit.catalogue = 6;
    unit.events = events;
    unit.nevents = 1;
    assert_int_equal(knock_apply_add(&apply, &unit), KNOCK_OK);
    bytes = apply.bytes;
    assert_true(bytes > 0);

    unit.events = events + 1;
    unit.nevents = 2;
    assert_int_equal(knock_apply_add(&apply, &unit), KNOCK_OK);

    assert_true(apply.bytes > bytes);
    assert_int_equal(apply.nunits, 2);
    assert_int_equal(apply.nevents, 3);

    assert_string_equal(command(13),
        "2 aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb 2 "
        "1 0 '' 0 0 '' 1 i 6 page '' 0 '' 0 0 "
        "2 0 '' 0 0 '' 1 f 6 page '' 0 '' 0 0 0 i 6 page '' 0 '' 0 0");
}


static void
the_command_may_be_made_twice(void **state)
{
    const char  *one;

    (void) state;

    (void) add_key("a");
    one = command(0);

    assert_string_equal(command(0), one);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_call_begins_with_the_fixed_keys),
        t(a_key_stands_once),
        t(an_event_that_does_nothing),
        t(an_event_with_everything),
        t(units_follow_each_other_and_the_marks_stand_in_front),
        t(the_command_may_be_made_twice)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

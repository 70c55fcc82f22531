
/* knock_apply: the arguments of one call of the Redis function */

#include "fixture.h"

#include "knock_apply.h"
#include "knock_limits.h"


static knock_apply_t        apply;
static knock_live_t        *live;
static knock_apply_conf_t   conf = {
    .window = 86400000, .log_length = 1000, .catalogue_length = 500,
    .token = knock_string("TOKEN")
};


static void add_plan(knock_buf_t *buf, const unsigned char *p, size_t len);


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
           || knock_live_build(arena, &prefix, &environment, 1, &reply,
                               &live)
              != KNOCK_OK
           || knock_apply_begin(&apply, arena, live, 0) != KNOCK_OK;
}


/*
 * The arguments from the n-th on, with spaces between them; '' is one without
 * bytes, and a plan stands as its numbers, with commas between them.
 */

static const char *
command(size_t n)
{
    size_t           i, total, plan;
    knock_buf_t      buf;
    knock_str_t      s;
    knock_command_t  call;

    assert_int_equal(knock_apply_command(&apply, &conf, &call), KNOCK_OK);

    for (total = 0, i = 0; i < call.n; i++) {
        total += call.argc[i];
    }

    plan = total;

    for (i = 0; i < total; i++) {
        if (call.argvlen[i] == 5 && memcmp(call.argv[i], "FCALL", 5) == 0) {
            plan = i + 3 + apply.keys.n + 6;
        }
    }

    knock_buf_init(&buf, arena, 0);

    for (i = n; i < total; i++) {
        knock_buf_add(&buf, " ", i > n);

        if (i == plan) {
            add_plan(&buf, (const unsigned char *) call.argv[i],
                     call.argvlen[i]);
            continue;
        }

        knock_buf_add(&buf, call.argvlen[i] ? call.argv[i] : "''",
                      call.argvlen[i] ? call.argvlen[i] : 2);
    }

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


/* numbers of 32 bits, and behind those of the head and counts, of 8 */

static void
add_plan(knock_buf_t *buf, const unsigned char *p, size_t len)
{
    size_t  i, n;

    n = 4 * (8 + 3 * (size_t) p[23]);

    for (i = 0; i < len; i += i < n ? 4 : 1) {
        knock_buf_add(buf, ",", i > 0);
        knock_buf_add_uint(buf, i < n ? (uint64_t) p[i] << 24 | p[i + 1] << 16
                                        | p[i + 2] << 8 | p[i + 3]
                                      : p[i]);
    }
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
        " v7 86400000 1000 500 '' 1,0,0,0,0,0,0,0 '' ''");
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

    /*
     * a plain call without marks, fields, runs and logs, with a count of one
     * event; one unit with an event, and neither plan, verdicts nor guard
     */

    assert_string_equal(command(14),
                        "1,0,0,0,0,1,0,0,6,1,0  1 0 0 0 0 0 1 1 0 0 0 '' "
                        "page ''");
}


static void
an_event_with_everything(void **state)
{
    char                  names[6][8];
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

    for (i = 6; i < 12; i++) {
        (void) snprintf(names[i - 6], sizeof(names[0]), "key-%zu", i);
        assert_int_equal(add_key(names[i - 6]), i);
    }

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

    assert_string_equal(command(20),
        "0,1,1,2,1,1,2,1,6,1,1"
        "  1 1 1 1 0 1 0 1 8 1 9 1 13 2 1 2 11 2 9 10 0 0"
        " '' ABCDEFGHIJKLMNOP"
        " \xa1" "a\xa1" "1\xa1" "b\xa2[]\xa1o\xa7{\"a\":1}"
        " R1 R2"
        " parr;; LOG"
        " track/T SAMPLE"
        " y {\"a\":1}");
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

    assert_string_equal(command(14),
        "0,2,0,0,0,1,0,0,6,3,0"
        "  1 0 0 0 0 1 1 1 0 0 0"
        " 2 0 0 0 0 1 2 1 0 0 0 0 1 1 0 0 0"
        " '' aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb"
        " page ''");
}


/* what a plain unit is made of; a test then makes it otherwise */

static struct {
    knock_op_t           op;
    knock_unit_t         unit;
    knock_field_t        field;
    knock_upsert_t       upsert;
    knock_enqueue_t      enqueue;
    knock_unit_event_t   event;
    knock_unit_action_t  action;
} plain;


static void
make_plain(const char *user, const char *recipient)
{
    memset(&plain, 0, sizeof(plain));

    plain.field.name = str("a");
    plain.field.json = str("1");
    plain.upsert.fields = &plain.field;
    plain.upsert.nfields = 1;
    plain.op.upsert = &plain.upsert;
    plain.op.entity = add_key(user);
    plain.enqueue.entity = add_key(recipient);
    plain.enqueue.run = str("RUN");
    plain.action.actor = add_key("actor");
    plain.action.enqueues = &plain.enqueue;
    plain.action.nenqueues = 1;
    plain.event.status = KNOCK_STATUS_PROCESSED;
    plain.event.marked = 1;
    plain.event.key = str("track/T");
    plain.event.ops = &plain.op;
    plain.event.nops = 1;
    plain.event.actions = &plain.action;
    plain.event.nactions = 1;
    plain.unit.events = &plain.event;
    plain.unit.nevents = 1;

    memset(plain.event.mark, 'm', KNOCK_MARK_LEN);
}


static void
a_recipient_must_be_there_unless_the_call_brings_it(void **state)
{
    (void) state;

    make_plain("u", "v");
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.must.len, 2);
    assert_memory_equal(apply.must.data, "\0\7", 2);

    make_plain("w", "u");
    memset(plain.event.mark, 'n', KNOCK_MARK_LEN);
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.must.len, 2);

    make_plain("w", "v");
    memset(plain.event.mark, 'o', KNOCK_MARK_LEN);
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.must.len, 2);

    assert_int_equal(apply.plain, 1);
    assert_int_equal(apply.ops.len, 6);
    assert_memory_equal(apply.ops.data, "\0\6\0\11\0\11", 6);
}


static void
an_actor_must_be_there_where_the_log_says_so(void **state)
{
    (void) state;

    make_plain("u", "u");
    plain.unit.log = 8;
    plain.event.log = str("LOG");

    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.plain, 1);
    assert_memory_equal(apply.must.data, "\0\7", 2);
    assert_memory_equal(apply.log_keys.data, "\0\10", 2);
}


static void
what_the_plan_cannot_tell_is_not_plain(void **state)
{
    int           i;
    knock_need_t  need;

    (void) state;

    memset(&need, 0, sizeof(knock_need_t));
    need.verdicts = str("y");

    for (i = 0; i < 8; i++) {
        assert_int_equal(knock_apply_begin(&apply, arena, live, 0), KNOCK_OK);
        make_plain("u", "v");

        switch (i) {
        case 1:
            plain.event.status = KNOCK_STATUS_FAILED;
            break;
        case 2:
            plain.event.status = KNOCK_STATUS_IGNORED;
            break;
        case 3:
            plain.unit.need = &need;
            break;
        case 4:
            plain.unit.guard = 6;
            break;
        case 5:
            plain.field.json = str("{}");
            plain.field.object = parse("{}");
            break;
        case 6:
            plain.upsert.nfields = 0;
            break;
        case 7:
            assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
            break;
        default:
            break;
        }

        assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
        assert_int_equal(apply.plain, i == 0);
    }
}


/* units that are small each may bring one entity much, which is to be seen */

static void
what_a_call_brings_to_an_entity_is_added_up(void **state)
{
    int          i;
    const char  *value;

    (void) state;

    value = repeat("", "x", KNOCK_CHECK_BYTES / 3, "");

    for (i = 0; i < 4; i++) {
        make_plain(i % 2 ? "u" : "v", "u");
        memset(plain.event.mark, 'a' + i, KNOCK_MARK_LEN);
        plain.field.json = str(value);

        assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
        assert_int_equal(apply.plain, 1);
    }

    make_plain("u", "u");
    memset(plain.event.mark, 'z', KNOCK_MARK_LEN);
    plain.field.json = str(value);

    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.plain, 0);
}


static void
a_sample_is_of_the_last_event_that_has_one(void **state)
{
    int  i;

    (void) state;

    for (i = 0; i < 4; i++) {
        make_plain("u", "u");
        memset(plain.event.mark, 'a' + i, KNOCK_MARK_LEN);
        plain.unit.catalogue = 6;

        if (i == 1 || i == 2) {
            plain.event.sample = str(i == 1 ? "ONE" : "TWO");
        }

        assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    }

    assert_int_equal(apply.counts.n, 1);
    assert_int_equal(apply.counts.first->events, 4);
    assert_int_equal(apply.counts.first->sampled, 3);
    assert_string_equal(text(&apply.counts.first->sample), "TWO");
}


/* of each length a form of its own; more than 1000 fields are two packs */

static void
fields_are_packed(void **state)
{
    size_t         i;
    knock_str_t   *packs;
    knock_field_t  many[2001];

    (void) state;

    make_plain("u", "u");
    plain.field.json = str(repeat("", "x", 31, ""));
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    plain.field.json = str(repeat("", "x", 32, ""));
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    plain.field.json = str(repeat("", "x", 65536, ""));
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);

    packs = apply.packs.items;

    assert_int_equal(packs[0].len, 2 + 1 + 31);
    assert_memory_equal(packs[0].data, "\xa1" "a\xbfx", 4);
    assert_int_equal(packs[1].len, 2 + 3 + 32);
    assert_memory_equal(packs[1].data, "\xa1" "a\xda\0\x20x", 6);
    assert_int_equal(packs[2].len, 2 + 5 + 65536);
    assert_memory_equal(packs[2].data, "\xa1" "a\xdb\0\1\0\0x", 8);

    for (i = 0; i < 2001; i++) {
        many[i] = plain.field;
        many[i].json = str("1");
    }

    assert_int_equal(knock_apply_begin(&apply, arena, live, 0), KNOCK_OK);
    make_plain("u", "u");
    plain.upsert.fields = many;
    plain.upsert.nfields = 1000;
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.packs.n, 1);

    plain.upsert.nfields = 2001;
    assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
    assert_int_equal(apply.packs.n, 4);
    assert_int_equal(apply.packs.items[1].len, 4000);
    assert_int_equal(apply.packs.items[3].len, 4);
    assert_int_equal(apply.plain, 0);
}


/* with enough of them: before the call, in a transaction with it */

static void
runs_are_pushed(void **state)
{
    int              i;
    char             run[1001];
    knock_command_t  call;

    (void) state;

    memset(run, 'R', 1000);
    run[1000] = '\0';

    for (i = 0; i < 5; i++) {
        make_plain("u", "u");
        memset(plain.event.mark, 'a' + i, KNOCK_MARK_LEN);
        plain.enqueue.run = str(run);

        assert_int_equal(knock_apply_add(&apply, &plain.unit), KNOCK_OK);
        assert_int_equal(knock_apply_command(&apply, &conf, &call), KNOCK_OK);
        assert_int_equal(call.n, i < 4 ? 1 : 5);
        assert_int_equal(call.answer, i < 4 ? 0 : 1);
    }

    assert_int_equal(call.argc[0], 1);
    assert_int_equal(call.argc[1], 2 + 5 + 1);
    assert_int_equal(call.argc[3], 6);
    assert_int_equal(call.argc[4], 1);

    assert_starts(command(0), "MULTI RPUSH k:{e}:runs RRR");
    assert_starts(command(8),
                  "TOKEN FCALL knock_apply 7 k:{e}:version k:{e}:runs "
                  "k:{e}:seen:0 k:{e}:seen:1 k:{e}:large u actor "
                  KNOCK_LIBRARY_VERSION " v7 86400000 1000 500 TOKEN "
                  "1,5,5,5,0,0,0,5,");
    assert_non_null(strstr(command(9), " \xa1" "a\xa1" "1 EVAL if "));
    assert_non_null(strstr(command(9), " 1 k:{e}:runs TOKEN 6 EXEC"));
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
        t(a_recipient_must_be_there_unless_the_call_brings_it),
        t(an_actor_must_be_there_where_the_log_says_so),
        t(what_the_plan_cannot_tell_is_not_plain),
        t(what_a_call_brings_to_an_entity_is_added_up),
        t(a_sample_is_of_the_last_event_that_has_one),
        t(fields_are_packed),
        t(runs_are_pushed),
        t(the_command_may_be_made_twice)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


/* knock_apply: the arguments of one call of the Redis function */

#include "fixture.h"

#include "knock_apply.h"
#include "knock_limits.h"


static knock_apply_t        apply;
static knock_live_t        *live;
static knock_apply_conf_t   conf = {
    .window = 86400000, .token = knock_string("TOKEN")
};


/* what a unit is made of; a test then makes it otherwise */

static struct {
    knock_op_t       op;
    knock_unit_t     unit;
    knock_field_t    fields[2];
    knock_upsert_t   upsert;
    knock_target_t   run;
    knock_target_t   actor;
    unsigned char    mark[KNOCK_MARK_LEN];
} made;


/* all that a test adds is of one request, unless it begins another */

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

    if (rc
        || knock_live_build(arena, &prefix, &environment, 1, &reply, &live)
           != KNOCK_OK
        || knock_apply_begin(&apply, arena, live, 0) != KNOCK_OK)
    {
        return 1;
    }

    apply.nrequests = 1;

    return 0;
}


/* an event that upserts a user and has a run for a recipient; NULL: none */

static knock_unit_t *
make(char mark, const char *user, const char *recipient)
{
    memset(&made, 0, sizeof(made));
    memset(made.mark, mark, KNOCK_MARK_LEN);

    made.fields[0].name = str("a");
    made.fields[0].json = str("1");
    made.upsert.fields = made.fields;
    made.upsert.nfields = 1;
    made.op.upsert = &made.upsert;
    made.unit.mark = mark ? made.mark : NULL;

    if (user) {
        made.op.key = str(user);
        made.unit.ops = &made.op;
        made.unit.nops = 1;
    }

    if (recipient) {
        made.run.key = str(recipient);
        made.run.run = str("RUN");
        made.unit.runs = &made.run;
        made.unit.nruns = 1;
    }

    return &made.unit;
}


/* the same, whose marks and ops have to live as long as the call */

static void
add(char mark, const char *user, const char *recipient)
{
    knock_unit_t  *unit;

    unit = make(mark, user, recipient);

    if (unit->mark) {
        unit->mark = (unsigned char *) repeat("", text(&(knock_str_t) {
                                              1, made.mark }), KNOCK_MARK_LEN,
                                              "");
    }

    knock_apply_add(&apply, arena, unit, NULL);
}


/* what stands there as n bytes, big-endian */

static size_t
number(const knock_str_t *s, size_t at, size_t n)
{
    size_t  value;

    assert_true(at + n <= s->len);

    for (value = 0; n; n--) {
        value = value << 8 | s->data[at++];
    }

    return value;
}


/*
 * The command with spaces between its arguments: '' is one without bytes, the
 * plan and the details stand as their numbers.
 */

static void
add_numbers(knock_buf_t *buf, const knock_str_t *s, size_t *at, size_t n,
    size_t bytes)
{
    while (n--) {
        knock_buf_add_char(buf, ' ');
        knock_buf_add_uint(buf, number(s, *at, bytes));
        *at += bytes;
    }
}


static void
add_plan(knock_buf_t *buf, const knock_str_t *plan)
{
    size_t  at;

    at = 0;
    add_numbers(buf, plan, &at, 9, 4);

    while (at < plan->len) {
        knock_buf_add_lit(buf, " |");
        add_numbers(buf, plan, &at, 1, 3);
        add_numbers(buf, plan, &at, 2, 2);
        add_numbers(buf, plan, &at, 1, 3);
    }
}


static void
add_details(knock_buf_t *buf, const knock_str_t *plan,
    const knock_str_t *details)
{
    size_t  at, n;

    at = 0;

    add_numbers(buf, details, &at, number(plan, 4, 4), 2);
    knock_buf_add_lit(buf, " |");
    add_numbers(buf, details, &at, 2 * number(plan, 28, 4), 2);
    knock_buf_add_lit(buf, " |");
    add_numbers(buf, details, &at, number(plan, 20, 4) + 1, 3);
    knock_buf_add_lit(buf, " |");
    add_numbers(buf, details, &at, number(plan, 20, 4), 2);
    knock_buf_add_lit(buf, " |");
    add_numbers(buf, details, &at, number(plan, 16, 4), 3);
    knock_buf_add_lit(buf, " |");

    for (n = number(plan, 32, 4); n; n--) {
        add_numbers(buf, details, &at, 1, 2);
        add_numbers(buf, details, &at, 1, 3);
    }

    while (at < details->len) {
        knock_buf_add_lit(buf, " |");
        add_numbers(buf, details, &at, 1, 4);
        add_numbers(buf, details, &at, 1, 1);
        add_numbers(buf, details, &at, 1, 3);
    }
}


static const char *
command(size_t first)
{
    size_t           i, total, plan;
    knock_buf_t      buf;
    knock_str_t      s, args[2];
    knock_command_t  call;

    assert_int_equal(knock_apply_command(&apply, &conf, &call), KNOCK_OK);

    for (total = 0, i = 0; i < call.n; i++) {
        total += call.argc[i];
    }

    for (plan = 0; strcmp(call.argv[plan], "FCALL") != 0; plan++) {
        /* void */
    }

    plan += 3 + 5 + apply.asked.n + apply.brought.n + 4;

    knock_buf_init(&buf, arena, 0);

    for (i = first; i < total; i++) {
        s.len = call.argvlen[i];
        s.data = (unsigned char *) (uintptr_t) call.argv[i];

        if (i == plan || i == plan + 1) {
            args[i - plan] = s;
            knock_buf_add(&buf, " ", i > first);
            knock_buf_add_char(&buf, '[');

            if (i == plan) {
                add_plan(&buf, &args[0]);

            } else {
                add_details(&buf, &args[0], &args[1]);
            }

            knock_buf_add_lit(&buf, " ]");
            continue;
        }

        knock_buf_add(&buf, " ", i > first);
        knock_buf_add(&buf, s.len ? (char *) s.data : "''",
                      s.len ? s.len : 2);
    }

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


static void
a_call_begins_with_the_fixed_keys(void **state)
{
    (void) state;

    assert_string_equal(command(0),
        "FCALL knock_apply 5 k:{e}:version k:{e}:runs k:{e}:seen:0 "
        "k:{e}:seen:1 k:{e}:large " KNOCK_LIBRARY_VERSION
        " v7 86400000 '' [ 0 0 0 0 0 0 0 0 0 ] [ | | 1 | | | ] ''");
}


static void
an_event_that_does_nothing_has_its_mark(void **state)
{
    (void) state;

    add('m', NULL, NULL);

    assert_int_equal(apply.nevents, 1);
    assert_string_equal(command(12),
        "[ 0 1 1 0 0 1 0 0 0 ] [ 1 | | 1 1 | 1 | | ] '' mmmmmmmmmmmmmmmm");
}


/* those of whom it is asked whether they are there come first in KEYS */

static void
an_event_with_everything(void **state)
{
    (void) state;

    (void) make('m', "u", "r");

    made.fields[1].name = str("o");
    made.fields[1].json = str("{\"a\":1}");
    made.fields[1].object = parse("{\"a\":1}");
    made.upsert.nfields = 2;
    made.op.kind = KNOCK_OP_RECIPIENT;
    made.actor.key = str("x");
    made.unit.actors = &made.actor;
    made.unit.nactors = 1;

    knock_apply_add(&apply, arena, &made.unit, NULL);

    assert_string_equal(command(8),
        "r x u " KNOCK_LIBRARY_VERSION " v7 86400000 '' "
        "[ 2 1 1 2 1 1 0 0 1 | 8 1 11 0 ] [ 1 | | 1 2 | 1 | 6 | 1 7 ]"
        " '' mmmmmmmmmmmmmmmm"
        " \xa1" "a\xa1" "1 \xa1o\xa7{\"a\":1} RUN");
}


static void
an_entity_is_asked_for_unless_the_call_brings_it_first(void **state)
{
    (void) state;

    add('a', "u", "v");
    add('b', "v", "u");
    add('c', "w", "v");

    assert_int_equal(apply.asked.n, 1);
    assert_str(&apply.asked.items[0], "v");
    assert_int_equal(apply.brought.n, 2);
    assert_str(&apply.brought.items[0], "u");
    assert_str(&apply.brought.items[1], "w");
}


static void
an_event_that_failed_is_only_looked_up(void **state)
{
    knock_unit_t  *unit;

    (void) state;

    unit = make('f', NULL, NULL);
    unit->forgotten = 1;
    unit->mark = (unsigned char *) repeat("", "f", KNOCK_MARK_LEN, "");
    knock_apply_add(&apply, arena, unit, NULL);

    add('m', NULL, NULL);
    add('f', NULL, NULL);
    add('f', NULL, NULL);
    add(0, NULL, NULL);

    /* the last one with a mark is a twin of the one before, not of the first */

    assert_string_equal(command(12),
        "[ 0 4 3 0 0 5 0 1 0 ] "
        "[ 2 3 4 1 | 4 3 | 1 1 1 1 1 1 | 1 1 1 1 1 | | ] ''"
        " mmmmmmmmmmmmmmmm ffffffffffffffff ffffffffffffffff"
        " ffffffffffffffff");
}


/* of three with one mark the last one goes by the one before it */

static void
a_twin_is_the_last_one_before(void **state)
{
    uint32_t  twins[4];

    (void) state;

    add('m', NULL, NULL);
    add('m', NULL, NULL);
    add('m', NULL, NULL);

    assert_int_equal(apply.twins.len, sizeof(twins));
    memcpy(twins, apply.twins.data, sizeof(twins));
    assert_int_equal(twins[0], 2);
    assert_int_equal(twins[1], 1);
    assert_int_equal(twins[2], 3);
    assert_int_equal(twins[3], 2);
}


/* events that bring little each may bring one entity much in a call */

static void
what_a_call_brings_to_an_entity_makes_it_heavy(void **state)
{
    int          i;
    const char  *value;

    (void) state;

    value = repeat("", "x", KNOCK_CHECK_BYTES / 2 - 1, "");

    for (i = 0; i < 3; i++) {
        (void) make(0, i == 1 ? "v" : "u", NULL);
        made.fields[0].json = str(value);
        knock_apply_add(&apply, arena, &made.unit, NULL);

        if (i == 1) {
            assert_non_null(strstr(command(12), "| 6 1 4 0 | 7 2 4 0 ]"));
        }
    }

    assert_non_null(strstr(command(12), "| 6 1 4 1 | 7 2 4 0 | 6 3 4 2 ]"));
    assert_non_null(strstr(command(12), "| 2048 0 0 | 2048 0 0 ]"));
}


static void
what_is_sent_again_is_heavy_and_has_its_texts(void **state)
{
    knock_str_t   base;
    knock_need_t  need;

    (void) state;

    add('a', "v", NULL);

    base = str("{\"s\":0}");
    memset(&need, 0, sizeof(knock_need_t));
    need.verdicts = str("y");
    need.bases = &base;
    need.nbases = 1;

    (void) make('b', "u", NULL);
    made.fields[1].name = str("o");
    made.fields[1].json = str("{}");
    made.fields[1].object = parse("{}");
    made.upsert.nfields = 2;
    made.unit.need = &need;
    knock_apply_add(&apply, arena, &made.unit, NULL);

    assert_int_equal(apply.merges, 1);
    assert_non_null(strstr(command(12), "| 6 1 4 0 | 7 2 10 1 ]"));
    assert_non_null(strstr(command(12), "| 10 1 1 ]"));
    assert_non_null(strstr(command(12), " \xa1o\xa7{\"s\":0} y {\"s\":0}"));
}


static void
a_guard_stands_among_the_keys_and_last(void **state)
{
    knock_str_t  key, etag;

    (void) state;

    add(0, "u", NULL);

    key = str("u");
    etag = str("*");
    knock_apply_guard(&apply, &key, &etag);

    assert_non_null(strstr(command(12), "[ 0 0 0 1 0 1 6 0 0 |"));
    assert_non_null(strstr(command(12), " \xa1" "a\xa1" "1 *"));
}


/* of each length a form of its own; more than 1000 fields are two packs */

static void
fields_are_packed(void **state)
{
    size_t         i;
    knock_str_t   *packs;
    knock_field_t  many[2001];

    (void) state;

    (void) make(0, "u", NULL);
    made.fields[0].json = str(repeat("", "x", 31, ""));
    knock_apply_add(&apply, arena, &made.unit, NULL);
    made.fields[0].json = str(repeat("", "x", 32, ""));
    knock_apply_add(&apply, arena, &made.unit, NULL);
    made.fields[0].json = str(repeat("", "x", 65536, ""));
    knock_apply_add(&apply, arena, &made.unit, NULL);

    packs = apply.packs.items;

    assert_int_equal(packs[0].len, 2 + 1 + 31);
    assert_memory_equal(packs[0].data, "\xa1" "a\xbfx", 4);
    assert_int_equal(packs[1].len, 2 + 3 + 32);
    assert_memory_equal(packs[1].data, "\xa1" "a\xda\0\x20x", 6);
    assert_int_equal(packs[2].len, 2 + 5 + 65536);
    assert_memory_equal(packs[2].data, "\xa1" "a\xdb\0\1\0\0x", 8);

    for (i = 0; i < 2001; i++) {
        many[i] = made.fields[0];
        many[i].json = str("1");
    }

    assert_int_equal(knock_apply_begin(&apply, arena, live, 0), KNOCK_OK);
    (void) make(0, "u", NULL);
    made.upsert.fields = many;
    made.upsert.nfields = 1000;
    knock_apply_add(&apply, arena, &made.unit, NULL);
    assert_int_equal(apply.packs.n, 1);

    made.upsert.nfields = 2001;
    knock_apply_add(&apply, arena, &made.unit, NULL);
    assert_int_equal(apply.packs.n, 4);
    assert_int_equal(apply.packs.items[1].len, 4000);
    assert_int_equal(apply.packs.items[3].len, 4);
}


/* numbers rise, and one of a request without events is left out */

static void
an_event_has_the_number_of_its_request(void **state)
{
    (void) state;

    add(0, NULL, NULL);
    add(0, NULL, "u");

    apply.nrequests += 2;
    add(0, NULL, "u");

    assert_non_null(strstr(command(12),
                           "[ | | 1 1 2 3 | 1 1 3 | 6 6 | ]"));
}


/* with enough of them: before the call, in a transaction with it */

static void
runs_are_pushed(void **state)
{
    int              i;
    knock_command_t  call;

    (void) state;

    for (i = 0; i < 5; i++) {
        (void) make(0, NULL, "u");
        made.run.run = str(repeat("", "R", 1000, ""));
        knock_apply_add(&apply, arena, &made.unit, NULL);

        assert_int_equal(made.unit.run, i);
        assert_int_equal(made.unit.event, i + 1);
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
                  "TOKEN FCALL knock_apply 6 k:{e}:version k:{e}:runs "
                  "k:{e}:seen:0 k:{e}:seen:1 k:{e}:large u "
                  KNOCK_LIBRARY_VERSION " v7 86400000 TOKEN "
                  "[ 1 0 0 0 5 5 0 0 0 ] "
                  "[ | | 1 2 3 4 5 6 | 1 1 1 1 1 | 6 6 6 6 6 | ] ''"
                  " EVAL if ");
    assert_non_null(strstr(command(9), " 1 k:{e}:runs TOKEN 6 EXEC"));
}


static void
the_command_may_be_made_twice(void **state)
{
    const char  *one;

    (void) state;

    add('a', "u", "v");
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
        t(an_event_that_does_nothing_has_its_mark),
        t(an_event_with_everything),
        t(an_entity_is_asked_for_unless_the_call_brings_it_first),
        t(an_event_that_failed_is_only_looked_up),
        t(a_twin_is_the_last_one_before),
        t(what_a_call_brings_to_an_entity_makes_it_heavy),
        t(what_is_sent_again_is_heavy_and_has_its_texts),
        t(a_guard_stands_among_the_keys_and_last),
        t(fields_are_packed),
        t(an_event_has_the_number_of_its_request),
        t(runs_are_pushed),
        t(the_command_may_be_made_twice)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

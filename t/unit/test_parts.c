
/* knock_parts: what a request does, split by place, and put together again */

#include "fixture.h"

#include "knock_parts.h"


#define SHARDS  3


static knock_live_t      *live;
static knock_apply_t      applies[SHARDS + 1];
static knock_part_t       part[SHARDS + 1];
static knock_parts_t      parts;
static knock_outcome_t    outcomes[SHARDS];
static knock_endpoint_t   endpoint;
static size_t             events[SHARDS][4];


static int
begin(void **state)
{
    size_t              i;
    knock_str_t         prefix, environment;
    knock_live_reply_t  reply;

    if (setup(state) != 0) {
        return 1;
    }

    memset(&reply, 0, sizeof(knock_live_reply_t));
    reply.version = str("v7");
    prefix = str("k");
    environment = str("e");

    if (knock_live_build(arena, &prefix, &environment, SHARDS, &reply, &live)
        != KNOCK_OK)
    {
        return 1;
    }

    memset(&endpoint, 0, sizeof(knock_endpoint_t));
    endpoint.catalogue = str("k:{e}:catalogue:s");
    endpoint.catalogue_info = str("k:{e}:catalogue_info:s");
    endpoint.log = str("k:{e}:log:s");

    memset(applies, 0, sizeof(applies));
    memset(part, 0, sizeof(part));
    memset(outcomes, 0, sizeof(outcomes));
    memset(&parts, 0, sizeof(parts));

    for (i = 0; i <= SHARDS; i++) {
        part[i].apply = &applies[i];
        part[i].arena = arena;
    }

    parts.arena = arena;
    parts.live = live;
    parts.parts = part;
    parts.endpoint = &endpoint;
    parts.told = 1;

    return 0;
}


/* an identify of this id, the request's event of this number */

static void
identify(const char *id, size_t event)
{
    size_t          place, entity;
    knock_str_t     users, s, time;
    knock_upsert_t  upsert;

    users = str("$users");
    s = str(id);
    place = knock_parts_place(&parts, &s);

    assert_true(place < SHARDS);
    assert_non_null(knock_parts_event(&parts, place, event));

    entity = knock_parts_entity(&parts, place, &users, &s);
    assert_true(entity > 0);

    memset(&upsert, 0, sizeof(knock_upsert_t));
    upsert.collection = users;
    upsert.id = s;
    time = str("\"then\"");

    assert_int_equal(knock_parts_upsert(&parts, place, entity, KNOCK_OP_EVENT,
                                        &upsert, &time), KNOCK_OK);
}


/* the shard has answered for these events of the request */

static void
outcome(size_t i, const char *of, const char *statuses, const char *verdicts)
{
    size_t  n;

    for (n = 0; of[n]; n++) {
        events[i][n] = (size_t) (of[n] - '0');
    }

    outcomes[i].events = events[i];
    outcomes[i].statuses = str(statuses);

    if (verdicts) {
        outcomes[i].verdicts = str(verdicts);
    }
}


/* places by digit, "a" before one: of an actor; ';' the end of an action */

static knock_str_t
order(const char *text)
{
    uint16_t     bits;
    knock_str_t  s;
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, 16);

    for (bits = 0; *text; text++) {
        if (*text == 'a') {
            bits = KNOCK_PARTS_ACTOR;
            continue;
        }

        bits = *text == ';' ? KNOCK_PARTS_ACTION_END
                            : (uint16_t) (bits | (*text - '0'));
        knock_buf_add(&buf, &bits, sizeof(bits));
        bits = 0;
    }

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return s;
}


static const char *
verdicts(const char *text_of_order)
{
    knock_str_t          o;
    knock_unit_event_t  *e;

    o = order(text_of_order);

    e = knock_parts_event(&parts, SHARDS, 0);
    assert_non_null(e);

    e->status = KNOCK_STATUS_PROCESSED;
    e->log = str("{}");

    assert_int_equal(knock_parts_add_home(&parts, outcomes, &o), KNOCK_OK);

    return text(&e->verdicts);
}


static void
an_id_has_its_place(void **state)
{
    knock_str_t  id;

    (void) state;

    id = str("123456789");
    assert_int_equal(knock_parts_place(&parts, &id), 0x31c3 % SHARDS);

    identify("123456789", 0);
    assert_int_equal(part[0x31c3 % SHARDS].unit.nevents, 1);
    assert_string_equal(text(&applies[0x31c3 % SHARDS].keys.items[5]),
                        0x31c3 % SHARDS == 0 ? "k:{e/0}:user:123456789"
                        : 0x31c3 % SHARDS == 1 ? "k:{e/1}:user:123456789"
                        : "k:{e/2}:user:123456789");
}


static void
events_of_a_place_are_in_order_and_known_by_number(void **state)
{
    size_t  i, n;

    (void) state;

    for (i = 0; i < 20; i++) {
        assert_non_null(knock_parts_event(&parts, 1, 2 * i));
        assert_non_null(knock_parts_event(&parts, 1, 2 * i));
    }

    n = part[1].unit.nevents;

    assert_int_equal(n, 20);
    assert_int_equal(part[1].events[0], 0);
    assert_int_equal(part[1].events[19], 38);
    assert_true(part[1].unit.told);

    assert_non_null(knock_parts_event(&parts, SHARDS, 0));
    assert_false(part[SHARDS].unit.told);
}


static void
only_shards_with_a_part_have_a_call(void **state)
{
    size_t  i, n;

    (void) state;

    identify("u1", 0);
    identify("u1", 1);

    assert_int_equal(knock_parts_add(&parts), KNOCK_OK);

    for (i = 0, n = 0; i <= SHARDS; i++) {
        n += applies[i].nunits;
    }

    assert_int_equal(n, 1);
    assert_int_equal(applies[SHARDS].nunits, 0);
}


static void
a_part_that_stands_is_not_added(void **state)
{
    size_t       i, n;
    knock_str_t  id;

    (void) state;

    identify("u1", 0);
    id = str("u1");
    part[knock_parts_place(&parts, &id)].done = 1;

    assert_int_equal(knock_parts_add(&parts), KNOCK_OK);

    for (i = 0, n = 0; i <= SHARDS; i++) {
        n += applies[i].nunits;
    }

    assert_int_equal(n, 0);
}


static void
verdicts_are_put_in_the_order_of_the_event(void **state)
{
    (void) state;

    outcome(0, "0", "p", "rn;r;");
    outcome(1, "0", "p", "a;n;");

    assert_string_equal(verdicts("a100;01;"), "arn;rn;");
}


static void
what_is_as_expected_is_not_told(void **state)
{
    (void) state;

    outcome(0, "0", "p", NULL);
    outcome(2, "0", "p", NULL);

    assert_string_equal(verdicts("a2002;"), "arrr;");
}


static void
an_earlier_try_is_told(void **state)
{
    (void) state;

    outcome(0, "0", "d", "");
    outcome(1, "0", "p", "r;");

    assert_string_equal(verdicts("a010;"), "brb;");
}


static void
only_the_events_own_verdicts_count(void **state)
{
    (void) state;

    outcome(0, "12", "pp", "r;r; n;");
    outcome(1, "012", "ppp", "n; r; r;");

    assert_string_equal(verdicts("1;"), "n;");
}


static void
too_large_at_a_shard_is_so_at_home(void **state)
{
    (void) state;

    outcome(1, "0", "l", "");

    assert_string_equal(verdicts("1;"), "");
    assert_int_equal(part[SHARDS].unit.events[0].status, KNOCK_STATUS_LARGE);
}


static void
statuses_without_home_are_the_worst(void **state)
{
    knock_str_t  s;

    (void) state;

    outcome(0, "02", "pl", "");
    outcome(2, "13", "pp", "");

    assert_int_equal(knock_parts_statuses(arena, outcomes, SHARDS, 4, &s),
                     KNOCK_OK);
    assert_str(&s, "pplp");
}


#define b(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        b(an_id_has_its_place),
        b(events_of_a_place_are_in_order_and_known_by_number),
        b(only_shards_with_a_part_have_a_call),
        b(a_part_that_stands_is_not_added),
        b(verdicts_are_put_in_the_order_of_the_event),
        b(what_is_as_expected_is_not_told),
        b(an_earlier_try_is_told),
        b(only_the_events_own_verdicts_count),
        b(too_large_at_a_shard_is_so_at_home),
        b(statuses_without_home_are_the_worst)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

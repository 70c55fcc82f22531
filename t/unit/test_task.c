
/* knock_task: what an event does in several places, and what is told of it */

#include "tasks.h"


#define SHARDS  3


static knock_live_t     *live;
static knock_round_t     round_;
static knock_flood_t     flood;
static knock_element_t   element;
static knock_task_t     *task;

/* an id of each shard */
static const char       *ids[SHARDS];


static int
begin(void **state)
{
    size_t              i;
    knock_str_t         prefix, environment, id;
    knock_live_reply_t  reply;

    static char         names[26][2];

    if (setup(state) != 0) {
        return 1;
    }

    memset(&reply, 0, sizeof(knock_live_reply_t));
    reply.version = str("v7");
    prefix = str("k");
    environment = str("e");

    for (i = 0; i < 26; i++) {
        names[i][0] = (char) ('a' + i);
        id = str(names[i]);
        ids[knock_keys_shard(&id, SHARDS)] = names[i];
    }

    memset(&element, 0, sizeof(knock_element_t));

    return ids[0] == NULL || ids[1] == NULL || ids[2] == NULL
           || knock_live_build(arena, &prefix, &environment, SHARDS, &reply,
                               &live)
              != KNOCK_OK
           || knock_round_init(&round_, arena, live, &flood, 1704164645678u)
              != KNOCK_OK;
}


static int
end(void **state)
{
    knock_element_clear(&element);

    return teardown(state);
}


static void
again(unsigned marked)
{
    task = knock_task_create(&round_, &element);
    assert_non_null(task);

    task->marked = marked & 1;
    memset(task->mark, 7, KNOCK_MARK_LEN);
}


static knock_unit_t *
at(size_t shard)
{
    knock_str_t    id;
    knock_unit_t  *unit;

    id = str(ids[shard]);

    return knock_task_unit(&round_, task, &id, &unit) == KNOCK_OK ? unit
                                                                  : NULL;
}


static void
run(size_t shard, unsigned char *verdict)
{
    knock_str_t    users, id, key, doc;
    knock_unit_t  *unit;

    unit = at(shard);
    assert_non_null(unit);

    users = str("$users");
    id = str(ids[shard]);
    doc = str("RUN");

    assert_int_equal(knock_task_key(&round_, unit, &users, &id, &key),
                     KNOCK_OK);
    assert_int_equal(knock_task_run(&round_, unit, 1, &key, &doc, verdict),
                     KNOCK_OK);
}


static void
asks(size_t shard, unsigned char *verdict)
{
    knock_str_t    key;
    knock_unit_t  *unit;

    unit = at(shard);
    assert_non_null(unit);
    key = str("actor");

    assert_int_equal(knock_task_actor(&round_, unit, &key, verdict),
                     KNOCK_OK);
}


static void
finish(void)
{
    assert_int_equal(knock_task_finish(&round_, task), KNOCK_OK);
}


static void
each_place_that_is_touched_has_the_mark(void **state)
{
    knock_unit_t  *unit;

    (void) state;

    again(1);
    run(0, NULL);
    run(2, NULL);
    run(0, NULL);
    finish();

    assert_null(task->units->next->next);

    for (unit = task->units; unit; unit = unit->next) {
        assert_ptr_equal(unit->mark, task->mark);
        assert_int_equal(unit->nruns, unit->place == 0 ? 2 : 1);
        assert_starts(text(&unit->runs[0].key),
                      unit->place == 0 ? "k:{e/0}:user:" : "k:{e/2}:user:");
    }
}


static void
what_only_asks_for_an_actor_has_none(void **state)
{
    unsigned char  c;

    (void) state;

    again(1);
    run(1, NULL);
    asks(2, &c);
    finish();

    assert_non_null(at(1)->mark);
    assert_null(at(2)->mark);
    assert_int_equal(at(2)->idle, 1);
}


static void
an_event_that_touches_nobody_goes_by_its_mark(void **state)
{
    unsigned char  c;

    (void) state;

    again(1);
    finish();
    assert_int_equal(task->units->place, 0x0707 % SHARDS);
    assert_ptr_equal(task->units->mark, task->mark);

    again(0);
    finish();
    assert_int_equal(task->units->place, 0);
    assert_null(task->units->mark);

    again(1);
    asks((0x0707 + 1) % SHARDS, &c);
    finish();
    assert_null(at((0x0707 + 1) % SHARDS)->mark);
    assert_non_null(at(0x0707 % SHARDS)->mark);
}


/* by what is said of the units in shards 0 and 1 */

static void
a_status_is_of_all_places(void **state)
{
    size_t  i;

    static const struct {
        knock_said_e    said[2];
        knock_status_e  status;
        uint64_t        runs;
    } rows[] = {
        { { 0, 0 }, KNOCK_STATUS_PROCESSED, 2 },
        { { 'd', 0 }, KNOCK_STATUS_PROCESSED, 1 },
        { { 'd', 'd' }, KNOCK_STATUS_DUPLICATE, 0 },
        { { 0, 'l' }, KNOCK_STATUS_LARGE, 1 },
        { { 'd', 'l' }, KNOCK_STATUS_LARGE, 0 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        again(1);
        run(0, NULL);
        run(1, NULL);
        finish();

        at(0)->said = rows[i].said[0];
        at(1)->said = rows[i].said[1];

        assert_int_equal(knock_task_settle(task), KNOCK_OK);
        assert_int_equal(task->status, rows[i].status);
        assert_int_equal(task->runs, rows[i].runs);
    }
}


/* what stands is not made again, what was told of it counts */

static void
a_place_that_has_done_its_part_is_left_out(void **state)
{
    unsigned char  verdicts[2] = "rr";

    (void) state;

    again(1);
    task->verdicts.len = 2;
    task->verdicts.data = verdicts;
    run(0, &verdicts[0]);
    run(1, &verdicts[1]);
    finish();

    verdicts[0] = 'n';
    at(0)->left_out = 1;
    at(1)->said = KNOCK_SAID_WAIT;

    assert_int_equal(knock_task_settle(task), KNOCK_DECLINED);
    assert_int_equal(task->runs, 0);
    assert_int_equal(knock_task_keep(task, arena), KNOCK_OK);
    assert_str(&element.verdicts, "nr");

    again(1);
    assert_null(at(0));
    run(1, &verdicts[1]);
    finish();
    at(1)->said = KNOCK_SAID_DUPLICATE;

    assert_int_equal(knock_task_settle(task), KNOCK_OK);
    assert_int_equal(task->status, KNOCK_STATUS_PROCESSED);
    assert_int_equal(verdicts[1], 'b');
}


static void
an_event_that_redis_refuses_is_done_with_that(void **state)
{
    (void) state;

    again(1);
    run(0, NULL);
    run(1, NULL);
    finish();
    at(0)->said = KNOCK_SAID_REFUSED;

    assert_int_equal(knock_task_settle(task), KNOCK_OK);
    assert_int_equal(task->refused, 1);
    assert_int_equal(task->runs, 1);
}


static void
a_call_that_came_to_nothing_leaves_it_undone(void **state)
{
    (void) state;

    again(1);
    run(0, NULL);
    finish();
    at(0)->said = KNOCK_SAID_NOTHING;

    assert_int_equal(knock_task_settle(task), KNOCK_DECLINED);
    assert_int_equal(knock_task_keep(task, arena), KNOCK_OK);
    assert_null(element.told);

    again(1);
    assert_non_null(at(0));
}


static void
what_is_to_be_merged_is_kept_for_its_place(void **state)
{
    size_t        i;
    knock_str_t   base;
    knock_need_t  need;

    (void) state;

    for (i = 0; i < 2; i++) {
        again(0);
        run(1, NULL);
        run(2, NULL);
        finish();

        base = str(i ? "{\"b\":2}" : "{\"a\":1}");
        need.verdicts = str("y");
        need.bases = &base;
        need.nbases = 1;

        at(2)->said = KNOCK_SAID_MERGE;
        assert_int_equal(knock_task_need(at(2), &need, arena), KNOCK_OK);
        at(1)->said = KNOCK_SAID_WAIT;
        assert_int_equal(knock_task_settle(task), KNOCK_DECLINED);
        assert_int_equal(knock_task_keep(task, arena), KNOCK_OK);
    }

    again(0);
    assert_null(at(1)->need);
    assert_non_null(at(2)->need);
    assert_str(&at(2)->need->verdicts, "y");
    assert_int_equal(at(2)->need->nbases, 1);
    assert_str(&at(2)->need->bases[0], "{\"b\":2}");
}


/* an op has no more objects than Lua takes at once */

static void
many_objects_are_several_ops(void **state)
{
    size_t          i;
    knock_str_t     key, time;
    knock_field_t  *fields;
    knock_upsert_t  upsert;

    (void) state;

    fields = knock_arena_calloc(arena, 2501, sizeof(knock_field_t));
    assert_non_null(fields);

    for (i = 0; i < 2501; i++) {
        fields[i].name = str("x");
        fields[i].json = str("{}");
        fields[i].object = i ? parse("{}") : NULL;
    }

    memset(&upsert, 0, sizeof(knock_upsert_t));
    upsert.collection = str("$users");
    upsert.id = str("u");
    upsert.fields = fields;
    upsert.nfields = 2501;
    key = str("k");
    time = str("\"then\"");

    again(0);
    assert_int_equal(knock_task_upsert(&round_, at(0), &key, KNOCK_OP_EVENT,
                                       &upsert, &time), KNOCK_OK);
    assert_int_equal(at(0)->nops, 3);

    for (i = 0; i < 3; i++) {
        assert_str(&at(0)->ops[i].upsert->fields[0].name, KNOCK_ORDERED);
        assert_int_equal(at(0)->ops[i].upsert->nfields,
                         3 + (i == 0 ? 1001 : i == 1 ? 1000 : 500));
    }
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, end)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(each_place_that_is_touched_has_the_mark),
        t(what_only_asks_for_an_actor_has_none),
        t(an_event_that_touches_nobody_goes_by_its_mark),
        t(a_status_is_of_all_places),
        t(a_place_that_has_done_its_part_is_left_out),
        t(an_event_that_redis_refuses_is_done_with_that),
        t(a_call_that_came_to_nothing_leaves_it_undone),
        t(what_is_to_be_merged_is_kept_for_its_place),
        t(many_objects_are_several_ops)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

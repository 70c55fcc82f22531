
/* knock_unit: what one request does, and how its objects are merged */

#include "fixture.h"

#include "knock_limits.h"
#include "knock_unit.h"


static knock_unit_t   unit;
static knock_map_t   *values;
static knock_need_t   need;
static knock_str_t    bases[16];


static int
begin(void **state)
{
    int  rc;

    rc = setup(state);

    memset(&unit, 0, sizeof(knock_unit_t));
    memset(&need, 0, sizeof(knock_need_t));

    unit.events = knock_arena_calloc(arena, 256, sizeof(knock_unit_event_t));
    values = knock_map_create(arena, 0);

    return rc || unit.events == NULL || values == NULL;
}


/* appends an event with one op, which sets the members of an object */

static knock_op_t *
sets(size_t entity, const char *json)
{
    size_t                n;
    knock_op_t           *op;
    knock_field_t        *field;
    knock_upsert_t       *upsert;
    const knock_json_t   *object, *key, *value;
    knock_unit_event_t   *event;

    object = parse(json);

    op = knock_arena_calloc(arena, 1, sizeof(knock_op_t));
    upsert = knock_arena_calloc(arena, 1, sizeof(knock_upsert_t));
    assert_non_null(op);
    assert_non_null(upsert);

    upsert->fields = knock_arena_calloc(arena, object->count,
                                        sizeof(knock_field_t));
    assert_non_null(upsert->fields);

    key = knock_json_first(object);

    for (n = object->count; n; n--, key = knock_json_next(value)) {
        value = knock_json_next(key);
        field = &upsert->fields[upsert->nfields++];

        assert_int_equal(knock_json_string(arena, key, &field->name),
                         KNOCK_OK);
        field->json = knock_json_text(value);
        field->object = value->type == KNOCK_JSON_OBJECT ? value : NULL;
    }

    op->upsert = upsert;
    op->entity = entity;
    op->kind = KNOCK_OP_EVENT;

    event = &unit.events[unit.nevents++];
    event->status = KNOCK_STATUS_PROCESSED;
    event->ops = op;
    event->nops = 1;

    return op;
}


static char
plan(void)
{
    char  c;

    assert_int_equal(knock_unit_plan(arena, &unit, &c), KNOCK_OK);

    return c;
}


static void
fold(const char *verdicts)
{
    need.verdicts = str(verdicts);
    need.bases = bases;

    assert_int_equal(knock_unit_fold(arena, &unit, &need, values), KNOCK_OK);
}


static void
stored(const char *json)
{
    bases[need.nbases++] = str(json);
}


static const char *
value(const knock_op_t *op, size_t n)
{
    assert_true(n < op->upsert->nfields);

    return text(&op->upsert->fields[n].json);
}


static void
a_unit_of_scalars_needs_no_look(void **state)
{
    (void) state;

    assert_int_equal(plan(), '0');

    sets(6, "{\"a\":1,\"b\":[{}]}");
    assert_int_equal(plan(), '0');

    sets(6, "{\"a\":2}");
    sets(7, "{\"a\":3}");
    assert_int_equal(plan(), '0');
}


static void
a_unit_with_an_object_needs_one(void **state)
{
    (void) state;

    sets(6, "{\"a\":1,\"o\":{}}");
    assert_int_equal(plan(), '1');

    sets(7, "{\"o\":{}}");
    assert_int_equal(plan(), '1');
}


static void
a_unit_that_sets_an_object_twice_is_chained(void **state)
{
    (void) state;

    sets(6, "{\"o\":{}}");
    sets(6, "{\"p\":{},\"o\":1}");
    assert_int_equal(plan(), '1');

    sets(6, "{\"o\":{\"a\":1}}");
    assert_int_equal(plan(), '2');
}


static void
an_object_behind_a_scalar_is_a_chain(void **state)
{
    (void) state;

    sets(6, "{\"o\":1}");
    sets(6, "{\"o\":{}}");
    assert_int_equal(plan(), '2');
}


static void
a_unit_with_a_large_op_needs_a_look(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets(6, repeat("{\"abc\":\"", "x", KNOCK_CHECK_BYTES - 6, "\"}"));
    assert_int_equal(plan(), '0');
    assert_int_equal(op->bytes, KNOCK_CHECK_BYTES - 1);

    unit.nevents = 0;
    op = sets(6, repeat("{\"abc\":\"", "x", KNOCK_CHECK_BYTES - 5, "\"}"));
    assert_int_equal(plan(), '1');
    assert_int_equal(op->bytes, KNOCK_CHECK_BYTES);
}


static void
many_small_ops_on_one_entity_count_together(void **state)
{
    size_t       i;
    knock_op_t  *first, *other;

    (void) state;

    first = sets(6, "{\"a\":1}");
    other = sets(9, "{\"abc\":1}");

    for (i = 0; i < 20; i++) {
        sets(6, repeat("{\"b\":\"", "x", 97, "\"}"));
        assert_int_equal(plan(), '0');
    }

    sets(6, repeat("{\"b\":\"", "x", 97, "\"}"));
    assert_int_equal(plan(), '1');
    assert_int_equal(first->bytes, 2 + 21 * 100);
    assert_int_equal(other->bytes, 4);
}


static void
an_object_merges_into_what_is_stored(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets(6, "{\"a\":1,\"o\":{\"b\":{\"x\":1}},\"p\":{\"c\":2}}");
    stored("{\"a\":0,\"b\":{\"y\":2}}");
    stored("");
    fold("y");

    assert_non_null(unit.need);
    assert_string_equal(value(op, 0), "1");
    assert_string_equal(value(op, 1), "{\"a\":0,\"b\":{\"y\":2,\"x\":1}}");
    assert_string_equal(value(op, 2), "{\"c\":2}");

    assert_int_equal(unit.need->nbases, 2);
    assert_string_equal(text(&unit.need->bases[0]),
                        "{\"a\":0,\"b\":{\"y\":2}}");
    assert_string_equal(text(&unit.need->bases[1]), "");
    assert_string_equal(text(&unit.need->verdicts), "y");
}


static void
what_is_stored_and_no_object_is_replaced(void **state)
{
    size_t        i;
    knock_op_t   *op;

    static const char  *values_stored[] = {
        "", "1", "null", "[{\"a\":1}]", "\"{\"", "{", "{\"a\":1", "{}x", "{a}"
    };

    for (i = 0; i < N(values_stored); i++) {
        op = sets(6, "{\"o\":{\"b\":2}}");
        stored(values_stored[i]);
        fold("y");

        assert_non_null(unit.need);
        assert_string_equal(value(op, 0), "{\"b\":2}");

        assert_int_equal(teardown(state), 0);
        assert_int_equal(begin(state), 0);
    }
}


static void
of_a_chain_the_last_value_is_written(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1}}");
    two = sets(6, "{\"o\":{\"b\":2}}");
    three = sets(6, "{\"o\":{\"a\":3}}");
    stored("{\"s\":0}");
    fold("yyy");

    assert_string_equal(value(three, 0), "{\"s\":0,\"a\":3,\"b\":2}");

    /* of the others there is the length */

    assert_string_equal(value(one, 0), "13");
    assert_string_equal(value(two, 0), "19");
}


static void
entities_and_fields_are_apart(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1},\"p\":{\"b\":2}}");
    two = sets(7, "{\"o\":{\"c\":3}}");
    three = sets(6, "{\"p\":{\"d\":4}}");
    stored("{\"x\":6}");
    stored("{\"x\":66}");
    stored("{\"x\":7}");
    fold("yyy");

    assert_string_equal(value(one, 0), "{\"x\":6,\"a\":1}");
    assert_string_equal(value(two, 0), "{\"x\":7,\"c\":3}");
    assert_string_equal(value(three, 0), "{\"x\":66,\"b\":2,\"d\":4}");
}


static void
a_scalar_cuts_a_chain(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1}}");
    two = sets(6, "{\"o\":[7]}");
    three = sets(6, "{\"o\":{\"b\":2}}");
    stored("{\"s\":0}");
    fold("yyy");

    assert_string_equal(value(one, 0), "13");
    assert_string_equal(value(two, 0), "[7]");
    assert_string_equal(value(three, 0), "{\"b\":2}");
}


static void
a_scalar_may_come_first_or_last(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":1}");
    two = sets(6, "{\"o\":{\"a\":1}}");
    three = sets(6, "{\"o\":null}");
    stored("{\"s\":0}");
    fold("yyy");

    assert_string_equal(value(one, 0), "1");
    assert_string_equal(value(two, 0), "7");
    assert_string_equal(value(three, 0), "null");
}


static void
an_op_that_does_not_apply_takes_no_part(void **state)
{
    knock_op_t  *two, *three;

    (void) state;

    sets(6, "{\"o\":{\"a\":1}}");
    two = sets(6, "{\"o\":{\"dup\":1}}");
    three = sets(6, "{\"o\":{\"b\":2}}");
    stored("{\"s\":0}");
    fold("yny");

    assert_string_equal(value(two, 0), "{\"dup\":1}");
    assert_string_equal(value(three, 0), "{\"s\":0,\"a\":1,\"b\":2}");
}


static void
one_that_is_too_large_is_measured_and_passed_over(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1}}");
    two = sets(6, "{\"o\":{\"big\":\"xxxxxxxxxx\"}}");
    three = sets(6, "{\"o\":{\"b\":2}}");
    stored("{\"s\":0}");
    fold("yly");

    assert_string_equal(value(one, 0), "13");
    assert_string_equal(value(two, 0), "32");

    /* what the unit brings to the entity is measured by it */

    assert_int_equal(plan(), '2');
    assert_int_equal(one->bytes, 3 + 13 + 32 + 19);
    assert_string_equal(value(three, 0), "{\"s\":0,\"a\":1,\"b\":2}");
}


static void
a_last_one_that_is_too_large_overwrites_nothing(void **state)
{
    knock_op_t  *one, *two;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1}}");
    two = sets(6, "{\"o\":{\"b\":2}}");
    stored("{\"s\":0}");
    fold("yl");

    assert_string_equal(value(one, 0), "{\"s\":0,\"a\":1}");
    assert_string_equal(value(two, 0), "19");
}


static void
a_need_that_does_not_fit_is_left_unused(void **state)
{
    size_t  i;

    static const struct {
        const char  *verdicts;
        size_t       nbases;
    } rows[] = {
        { "", 1 }, { "y", 1 }, { "yyy", 1 }, { "yy", 0 }, { "yy", 2 },
        { "", 0 },
    };

    for (i = 0; i < N(rows); i++) {
        sets(6, "{\"o\":{\"a\":1}}");
        sets(6, "{\"o\":{\"b\":1}}");

        while (need.nbases < rows[i].nbases) {
            stored("{\"s\":0}");
        }

        fold(rows[i].verdicts);
        assert_null(unit.need);

        assert_int_equal(teardown(state), 0);
        assert_int_equal(begin(state), 0);
    }
}


static void
units_of_a_call_go_on_from_each_other(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets(6, "{\"o\":{\"a\":1}}");
    stored("{\"s\":0}");
    fold("y");
    assert_string_equal(value(one, 0), "{\"s\":0,\"a\":1}");

    /* another unit, of the same values: what Redis said was before */

    unit.nevents = 0;
    unit.need = NULL;

    two = sets(6, "{\"o\":{\"b\":2},\"p\":{\"x\":1}}");
    need.nbases = 0;
    stored("{\"s\":0}");
    stored("{\"y\":2}");
    fold("y");

    assert_non_null(unit.need);
    assert_string_equal(text(&unit.need->bases[0]), "{\"s\":0,\"a\":1}");
    assert_string_equal(text(&unit.need->bases[1]), "{\"y\":2}");
    assert_string_equal(value(two, 0), "{\"s\":0,\"a\":1,\"b\":2}");
    assert_string_equal(value(two, 1), "{\"y\":2,\"x\":1}");

    /* a scalar of a unit that merges another value */

    unit.nevents = 0;
    unit.need = NULL;

    sets(6, "{\"o\":7,\"p\":{\"z\":3}}");
    need.nbases = 0;
    stored("{\"y\":2}");
    fold("y");

    unit.nevents = 0;
    unit.need = NULL;

    three = sets(6, "{\"o\":{\"c\":3}}");
    need.nbases = 0;
    stored("{\"s\":0}");
    fold("y");

    assert_non_null(unit.need);
    assert_string_equal(text(&unit.need->bases[0]), "7");
    assert_string_equal(value(three, 0), "{\"c\":3}");
}


static void
names_are_bytes_and_may_be_empty(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets(6, "{\"\":{\"a\":1},\"x\\u0000y\":{\"b\":2},"
                 "\"x\\u0000z\":{\"c\":3}}");
    stored("{\"s\":1}");
    stored("{\"s\":2}");
    stored("");
    fold("y");

    assert_string_equal(value(op, 0), "{\"s\":1,\"a\":1}");
    assert_string_equal(value(op, 1), "{\"s\":2,\"b\":2}");
    assert_string_equal(value(op, 2), "{\"c\":3}");
}


static void
a_long_chain_does_not_hold_each_of_its_values(void **state)
{
    size_t       i, before;
    char         json[64];
    knock_op_t  *last;

    (void) state;

    last = NULL;

    for (i = 0; i < 200; i++) {
        (void) snprintf(json, sizeof(json), "{\"o\":{\"k%zu\":1}}", i);
        last = sets(6, json);
    }

    stored(repeat("{\"big\":\"", "x", 100000, "\"}"));
    before = knock_arena_size(arena);
    fold(repeat("", "y", 200, ""));

    assert_true(knock_arena_size(arena) - before < 1000000);
    assert_int_equal(strlen(value(last, 0)),
                     100000 + strlen("{\"big\":\"\"}") + 10 * 7 + 90 * 8
                     + 100 * 9);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_unit_of_scalars_needs_no_look),
        t(a_unit_with_an_object_needs_one),
        t(a_unit_that_sets_an_object_twice_is_chained),
        t(an_object_behind_a_scalar_is_a_chain),
        t(a_unit_with_a_large_op_needs_a_look),
        t(many_small_ops_on_one_entity_count_together),
        t(an_object_merges_into_what_is_stored),
        t(what_is_stored_and_no_object_is_replaced),
        t(of_a_chain_the_last_value_is_written),
        t(entities_and_fields_are_apart),
        t(a_scalar_cuts_a_chain),
        t(a_scalar_may_come_first_or_last),
        t(an_op_that_does_not_apply_takes_no_part),
        t(one_that_is_too_large_is_measured_and_passed_over),
        t(a_last_one_that_is_too_large_overwrites_nothing),
        t(a_need_that_does_not_fit_is_left_unused),
        t(units_of_a_call_go_on_from_each_other),
        t(names_are_bytes_and_may_be_empty),
        t(a_long_chain_does_not_hold_each_of_its_values)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

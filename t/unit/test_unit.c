
/* knock_unit: what an event does at a place, and how its objects are merged */

#include "fixture.h"

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

    unit.ops = knock_arena_calloc(arena, 256, sizeof(knock_op_t));
    values = knock_map_create(arena, 0);

    return rc || unit.ops == NULL || values == NULL;
}


/* appends an op, which sets the members of an object */

static knock_op_t *
sets(const char *entity, const char *json)
{
    size_t               n;
    knock_op_t          *op;
    knock_field_t       *field;
    knock_upsert_t      *upsert;
    const knock_json_t  *object, *key, *value;

    object = parse(json);

    upsert = knock_arena_calloc(arena, 1, sizeof(knock_upsert_t));
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

    op = &unit.ops[unit.nops++];
    op->upsert = upsert;
    op->key = str(entity);
    op->kind = KNOCK_OP_EVENT;

    return op;
}


static void
fold(const char *verdicts)
{
    need.verdicts = str(verdicts);
    need.bases = bases;
    unit.need = &need;

    assert_int_equal(knock_unit_fold(arena, &unit, values, NULL), KNOCK_OK);
}


/* another unit, of which Redis has said nothing yet */

static void
next(void)
{
    unit.nops = 0;
    unit.need = NULL;
    need.nbases = 0;
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
a_unit_that_sets_an_object_twice_is_chained(void **state)
{
    (void) state;

    sets("u", "{\"o\":{}}");
    sets("u", "{\"p\":{},\"o\":1}");
    sets("v", "{\"o\":{}}");
    assert_int_equal(knock_unit_fold(arena, &unit, values, NULL), KNOCK_OK);
    assert_int_equal(unit.chained, 0);

    sets("u", "{\"o\":{\"a\":1}}");
    assert_int_equal(knock_unit_fold(arena, &unit, values, NULL), KNOCK_OK);
    assert_int_equal(unit.chained, 1);
    assert_null(unit.used);
}


static void
what_is_not_known_is_not_merged(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets("u", "{\"o\":{\"a\":1}}");
    assert_int_equal(knock_unit_fold(arena, &unit, values, NULL), KNOCK_OK);
    assert_null(unit.used);
    assert_string_equal(value(op, 0), "{\"a\":1}");
}


static void
an_object_merges_into_what_is_stored(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets("u", "{\"a\":1,\"o\":{\"b\":{\"x\":1}},\"p\":{\"c\":2}}");
    stored("{\"a\":0,\"b\":{\"y\":2}}");
    stored("");
    fold("y");

    assert_non_null(unit.used);
    assert_string_equal(value(op, 0), "1");
    assert_string_equal(value(op, 1), "{\"a\":0,\"b\":{\"y\":2,\"x\":1}}");
    assert_string_equal(value(op, 2), "{\"c\":2}");

    assert_int_equal(unit.used->nbases, 2);
    assert_string_equal(text(&unit.used->bases[0]),
                        "{\"a\":0,\"b\":{\"y\":2}}");
    assert_string_equal(text(&unit.used->bases[1]), "");
    assert_string_equal(text(&unit.used->verdicts), "y");
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
        op = sets("u", "{\"o\":{\"b\":2}}");
        stored(values_stored[i]);
        fold("y");

        assert_non_null(unit.used);
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

    one = sets("u", "{\"o\":{\"a\":1}}");
    two = sets("u", "{\"o\":{\"b\":2}}");
    three = sets("u", "{\"o\":{\"a\":3}}");
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

    one = sets("u", "{\"o\":{\"a\":1},\"p\":{\"b\":2}}");
    two = sets("v", "{\"o\":{\"c\":3}}");
    three = sets("u", "{\"p\":{\"d\":4}}");
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

    one = sets("u", "{\"o\":{\"a\":1}}");
    two = sets("u", "{\"o\":[7]}");
    three = sets("u", "{\"o\":{\"b\":2}}");
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

    one = sets("u", "{\"o\":1}");
    two = sets("u", "{\"o\":{\"a\":1}}");
    three = sets("u", "{\"o\":null}");
    stored("{\"s\":0}");
    fold("yyy");

    assert_string_equal(value(one, 0), "1");
    assert_string_equal(value(two, 0), "7");
    assert_string_equal(value(three, 0), "null");
}


/* it fills in what is missing, and leaves what is there */

static void
an_older_one_is_laid_under_what_is_stored(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets("u", "{\"o\":{\"a\":1,\"b\":{\"c\":2}},\"p\":{\"d\":3},"
                   "\"q\":{\"e\":4}}");
    stored("{\"s\":0,\"a\":7,\"b\":{\"x\":8}}");
    stored("");
    stored("[9]");
    fold("o");

    assert_string_equal(value(op, 0),
                        "{\"a\":7,\"b\":{\"c\":2,\"x\":8},\"s\":0}");
    assert_string_equal(value(op, 1), "{\"d\":3}");

    /* Redis takes nothing of an older one there, which stays as it came */

    assert_string_equal(value(op, 2), "{\"e\":4}");
}


/* by what units before it in the call make the entity's time */

static void
that_one_is_older_is_known_from_the_call(void **state)
{
    knock_op_t  *two, *three;

    (void) state;

    sets("u", "{\"identified_at\":\"5\",\"o\":{\"a\":1}}");
    stored("{\"s\":0}");
    fold("y");

    next();
    two = sets("u", "{\"identified_at\":\"4\",\"o\":{\"a\":2,\"b\":2}}");
    assert_int_equal(knock_unit_fold(arena, &unit, values, NULL), KNOCK_OK);
    assert_string_equal(text(&unit.used->verdicts), "o");
    assert_string_equal(value(two, 1), "{\"a\":1,\"b\":2,\"s\":0}");

    next();
    three = sets("u", "{\"identified_at\":\"5\",\"o\":{\"a\":3}}");
    stored("{}");
    fold("o");
    assert_string_equal(text(&unit.used->verdicts), "y");
    assert_string_equal(value(three, 1), "{\"a\":3,\"b\":2,\"s\":0}");
}


static void
one_that_is_too_large_is_measured_and_passed_over(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets("u", "{\"o\":{\"a\":1}}");
    two = sets("u", "{\"o\":{\"big\":\"xxxxxxxxxx\"}}");
    three = sets("u", "{\"o\":{\"b\":2}}");
    stored("{\"s\":0}");
    fold("yly");

    assert_string_equal(value(one, 0), "13");
    assert_string_equal(value(two, 0), "32");

    assert_int_equal(knock_unit_length(&one->upsert->fields[0]), 13);
    assert_int_equal(knock_unit_length(&three->upsert->fields[0]), 19);
    assert_string_equal(value(three, 0), "{\"s\":0,\"a\":1,\"b\":2}");
}


static void
a_last_one_that_is_too_large_overwrites_nothing(void **state)
{
    knock_op_t  *one, *two;

    (void) state;

    one = sets("u", "{\"o\":{\"a\":1}}");
    two = sets("u", "{\"o\":{\"b\":2}}");
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
        sets("u", "{\"o\":{\"a\":1}}");
        sets("u", "{\"o\":{\"b\":1}}");

        while (need.nbases < rows[i].nbases) {
            stored("{\"s\":0}");
        }

        fold(rows[i].verdicts);
        assert_null(unit.used);

        assert_int_equal(teardown(state), 0);
        assert_int_equal(begin(state), 0);
    }
}


static void
units_of_a_call_go_on_from_each_other(void **state)
{
    knock_op_t  *one, *two, *three;

    (void) state;

    one = sets("u", "{\"o\":{\"a\":1}}");
    stored("{\"s\":0}");
    fold("y");
    assert_string_equal(value(one, 0), "{\"s\":0,\"a\":1}");

    /* another unit, of the same values: what Redis said was before */

    next();
    two = sets("u", "{\"o\":{\"b\":2},\"p\":{\"x\":1}}");
    stored("{\"s\":0}");
    stored("{\"y\":2}");
    fold("y");

    assert_non_null(unit.used);
    assert_string_equal(text(&unit.used->bases[0]), "{\"s\":0,\"a\":1}");
    assert_string_equal(text(&unit.used->bases[1]), "{\"y\":2}");
    assert_string_equal(value(two, 0), "{\"s\":0,\"a\":1,\"b\":2}");
    assert_string_equal(value(two, 1), "{\"y\":2,\"x\":1}");

    /* a scalar of a unit that merges another value */

    next();
    sets("u", "{\"o\":7,\"p\":{\"z\":3}}");
    stored("{\"y\":2}");
    fold("y");

    next();
    three = sets("u", "{\"o\":{\"c\":3}}");
    stored("{\"s\":0}");
    fold("y");

    assert_non_null(unit.used);
    assert_string_equal(text(&unit.used->bases[0]), "7");
    assert_string_equal(value(three, 0), "{\"c\":3}");
}


/* what the call before this one makes of a value, though nothing was told */

static void
a_call_goes_on_from_the_one_before_it(void **state)
{
    knock_op_t   *two;
    knock_map_t  *sent;

    (void) state;

    sets("u", "{\"o\":{\"a\":1}}");
    stored("{\"s\":0}");
    fold("y");

    sent = values;
    values = knock_map_create(arena, 0);
    assert_non_null(values);

    next();
    two = sets("u", "{\"o\":{\"b\":2}}");
    assert_int_equal(knock_unit_fold(arena, &unit, values, sent), KNOCK_OK);
    assert_string_equal(text(&unit.used->bases[0]), "{\"s\":0,\"a\":1}");
    assert_string_equal(text(&unit.used->verdicts), "y");
    assert_string_equal(value(two, 0), "{\"s\":0,\"a\":1,\"b\":2}");
}


static void
names_are_bytes_and_may_be_empty(void **state)
{
    knock_op_t  *op;

    (void) state;

    op = sets("u", "{\"\":{\"a\":1},\"x\\u0000y\":{\"b\":2},"
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
        last = sets("u", json);
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
        t(a_unit_that_sets_an_object_twice_is_chained),
        t(what_is_not_known_is_not_merged),
        t(an_object_merges_into_what_is_stored),
        t(what_is_stored_and_no_object_is_replaced),
        t(of_a_chain_the_last_value_is_written),
        t(entities_and_fields_are_apart),
        t(a_scalar_cuts_a_chain),
        t(a_scalar_may_come_first_or_last),
        t(an_older_one_is_laid_under_what_is_stored),
        t(that_one_is_older_is_known_from_the_call),
        t(one_that_is_too_large_is_measured_and_passed_over),
        t(a_last_one_that_is_too_large_overwrites_nothing),
        t(a_need_that_does_not_fit_is_left_unused),
        t(units_of_a_call_go_on_from_each_other),
        t(a_call_goes_on_from_the_one_before_it),
        t(names_are_bytes_and_may_be_empty),
        t(a_long_chain_does_not_hold_each_of_its_values)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

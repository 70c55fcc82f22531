
/* knock_json_merge: the rule of an upsert */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_buf.h"
#include "knock_json_merge.h"
#include "knock_map.h"


#define DEPTH  2000


static knock_arena_t  *arena;


static int
setup(void **state)
{
    (void) state;

    knock_map_seed(42);

    arena = knock_arena_create(16 * 1024);
    return arena == NULL;
}


static int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


static const knock_json_t *
parse(const knock_str_t *text)
{
    knock_json_t   *root;
    knock_error_t   err;

    if (knock_json_parse(arena, text, DEPTH, &root, &err) != KNOCK_OK) {
        fail_msg("%.*s: %s", (int) text->len, (char *) text->data,
                 err.message);
    }

    return root;
}


static knock_str_t
merge(const char *base, const char *over)
{
    knock_str_t  b, o, merged;

    b.len = strlen(base);
    b.data = (unsigned char *) (uintptr_t) base;
    o.len = strlen(over);
    o.data = (unsigned char *) (uintptr_t) over;

    assert_int_equal(knock_json_merge(arena, parse(&b), parse(&o), &merged),
                     KNOCK_OK);

    (void) parse(&merged);

    return merged;
}


static void
test_the_rule(void **state)
{
    size_t       i;
    knock_str_t  merged;

    static const struct {
        const char  *base;
        const char  *over;
        const char  *merged;
    } rows[] = {
        { "{}", "{}", "{}" },
        { "{\"a\":1}", "{}", "{\"a\":1}" },
        { "{}", "{\"a\":1}", "{\"a\":1}" },

        /* only what is given changes, in base's order, new keys behind */
        { "{\"a\":1,\"b\":2,\"c\":3}", "{\"d\":6,\"b\":4,\"a\":5}",
          "{\"a\":5,\"b\":4,\"c\":3,\"d\":6}" },

        /* scalars, arrays and null replace; null is no removal */
        { "{\"a\":1}", "{\"a\":null}", "{\"a\":null}" },
        { "{\"a\":null}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}" },
        { "{\"a\":[1,2]}", "{\"a\":[3]}", "{\"a\":[3]}" },
        { "{\"a\":[1,2]}", "{\"a\":[]}", "{\"a\":[]}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":[]}", "{\"a\":[]}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":null}", "{\"a\":null}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":\"x\"}", "{\"a\":\"x\"}" },
        { "{\"a\":[{\"b\":1}]}", "{\"a\":[{\"c\":2}]}",
          "{\"a\":[{\"c\":2}]}" },

        /* objects merge, at any depth */
        { "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"c\":3,\"d\":4}}",
          "{\"a\":{\"b\":1,\"c\":3,\"d\":4}}" },
        { "{\"a\":{\"b\":{\"c\":{\"x\":1}}},\"z\":0}",
          "{\"a\":{\"b\":{\"c\":{\"y\":2}}}}",
          "{\"a\":{\"b\":{\"c\":{\"x\":1,\"y\":2}}},\"z\":0}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":{}}", "{\"a\":{\"b\":1}}" },

        /* keys are compared decoded, and stand as base wrote them */
        { "{\"\\u0061\":1}", "{\"a\":2}", "{\"\\u0061\":2}" },
        { "{\"a\":{\"x\":1}}", "{\"\\u0061\":{\"y\":2}}",
          "{\"a\":{\"x\":1,\"y\":2}}" },
        { "{\"a\":1}", "{\"A\":2}", "{\"a\":1,\"A\":2}" },
        { "{\"\":1}", "{\"\":2}", "{\"\":2}" },
        { "{\"a\\u0000b\":1}", "{\"a\":2}", "{\"a\\u0000b\":1,\"a\":2}" },

        /* of a duplicated key the last value, at the place of the first */
        { "{\"a\":1,\"b\":2,\"a\":3}", "{}", "{\"a\":3,\"b\":2}" },
        { "{}", "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}" },
        { "{\"a\":{\"x\":1}}", "{\"a\":5,\"a\":{\"y\":2}}",
          "{\"a\":{\"x\":1,\"y\":2}}" },
        { "{\"a\":{\"x\":1}}", "{\"a\":{\"y\":2},\"a\":5}", "{\"a\":5}" },
        { "{\"a\":{\"x\":1},\"a\":{\"z\":3}}", "{\"a\":{\"y\":2}}",
          "{\"a\":{\"z\":3,\"y\":2}}" },

        /* values are taken as written */
        { "{ \"a\" : 1.50 , \"b\" : [ 1, 2 ] }",
          "{ \"c\" : 1e+07, \"d\" : \"\\u0041\", \"e\" : { \"f\" : [ ] } }",
          "{\"a\":1.50,\"b\":[ 1, 2 ],\"c\":1e+07,\"d\":\"\\u0041\","
          "\"e\":{ \"f\" : [ ] }}" },
        { "{\"n\":123456789012345678901234567890}", "{\"m\":-0}",
          "{\"n\":123456789012345678901234567890,\"m\":-0}" }
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        merged = merge(rows[i].base, rows[i].over);

        if (!knock_str_is(&merged, rows[i].merged)) {
            fail_msg("%s and %s make %.*s", rows[i].base, rows[i].over,
                     (int) merged.len, (char *) merged.data);
        }
    }
}


/* {"k<from>":<value>,...}: n keys, and these as many times as asked */

static knock_str_t
members(size_t from, size_t n, const char *value, size_t times)
{
    size_t       i, j;
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 1024);
    knock_buf_add_char(&buf, '{');

    for (j = 0; j < times; j++) {
        for (i = from; i < from + n; i++) {
            if (i != from || j != 0) {
                knock_buf_add_char(&buf, ',');
            }

            knock_buf_add_lit(&buf, "\"k");
            knock_buf_add_uint(&buf, i);
            knock_buf_add_lit(&buf, "\":");
            knock_buf_add(&buf, value, strlen(value));
        }
    }

    knock_buf_add_char(&buf, '}');
    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return text;
}


static void
test_few_and_many_members_merge_alike(void **state)
{
    size_t               n, i;
    char                 name[16];
    knock_str_t          base, over, merged, key;
    const knock_json_t  *doc, *v;

    (void) state;

    /* on both sides of where a map takes over from a loop */

    for (n = 1; n <= 40; n++) {
        base = members(0, n, "1", 2);
        over = members(n / 2, n, "2", 1);

        assert_int_equal(knock_json_merge(arena, parse(&base), parse(&over),
                                          &merged),
                         KNOCK_OK);

        doc = parse(&merged);
        assert_int_equal(doc->count, n / 2 + n);

        v = knock_json_first(doc);

        for (i = 0; i < n / 2 + n; i++) {
            key.len = (size_t) snprintf(name, sizeof(name), "k%zu", i);
            key.data = (unsigned char *) name;

            assert_int_equal(knock_json_string_eq(v, &key), 1);
            assert_int_equal(v[1].data[0], i < n / 2 ? '1' : '2');

            v = knock_json_next(v + 1);
        }
    }
}


static void
test_very_many_members(void **state)
{
    enum { MANY = 100000 };

    size_t       before;
    knock_str_t  base, over, merged;

    (void) state;

    base = members(0, MANY, "1", 2);
    over = members(MANY / 2, MANY, "{\"a\":1}", 1);

    before = knock_arena_size(arena);

    assert_int_equal(knock_json_merge(arena, parse(&base), parse(&over),
                                      &merged),
                     KNOCK_OK);

    assert_int_equal(parse(&merged)->count, MANY / 2 + MANY);

    /* memory is linear in the members: some hundred bytes for each */

    assert_true(knock_arena_size(arena) - before < 3 * MANY * 400);
}


static knock_str_t
nested(const char *value)
{
    size_t       i;
    knock_buf_t  buf;
    knock_str_t  text;

    knock_buf_init(&buf, arena, 1024);

    for (i = 0; i < DEPTH; i++) {
        knock_buf_add_lit(&buf, "{\"a\":");
    }

    knock_buf_add(&buf, value, strlen(value));

    for (i = 0; i < DEPTH; i++) {
        knock_buf_add_lit(&buf, ",\"b\":0}");
    }

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);

    return text;
}


static void
test_deep_nesting(void **state)
{
    size_t       before;
    knock_str_t  base, over, merged;

    (void) state;

    base = nested("1");
    over = nested("2");

    before = knock_arena_size(arena);

    assert_int_equal(knock_json_merge(arena, parse(&base), parse(&over),
                                      &merged),
                     KNOCK_OK);

    assert_int_equal(merged.len, over.len);
    assert_memory_equal(merged.data, over.data, over.len);

    /* each level copies its own bytes only */

    assert_true(knock_arena_size(arena) - before < DEPTH * 1000);
}


static void
test_merging_the_same_again_changes_nothing(void **state)
{
    char         copy[256], over[256];
    knock_str_t  merged;

    (void) state;

    (void) snprintf(over, sizeof(over), "%s",
                    "{\"a\":{\"x\":[1],\"y\":null},\"b\":\"\\n\"}");

    merged = merge("{\"a\":{\"z\":1},\"c\":{}}", over);
    assert_true(merged.len < sizeof(copy));

    memcpy(copy, merged.data, merged.len);
    copy[merged.len] = '\0';

    merged = merge(copy, over);
    assert_true(knock_str_is(&merged, copy));

    merged = merge(copy, "{}");
    assert_true(knock_str_is(&merged, copy));

    merged = merge(copy, copy);
    assert_true(knock_str_is(&merged, copy));
}


/*
 * What comes of objects laid on one another in a chain is what comes of them
 * one after the other, and its length is known before.
 */

static void
test_a_chain(void **state)
{
    size_t          i, len;
    knock_str_t     base, over, text, step;
    knock_merge_t  *chain;

    static const char  *overs[] = {
        "{}", "{\"a\":{\"y\":2}}", "{\"a\":{\"z\":{\"p\":1}}}",
        "{\"a\":{\"z\":{\"q\":[1]}},\"n\":1}", "{\"b\":{\"c\":1},\"b\":{}}",
        "{\"b\":{\"d\":null}}", "{\"a\":7}", "{\"a\":{\"x\":{}}}",
        "{\"a\":{\"x\":{\"y\":{}}}}", "{\"\\u0061\":{\"x\":{\"y\":{\"z\":1}}}}"
    };

    (void) state;

    knock_str_set(&base, "{ \"a\": { \"x\": 1 } }");
    step = base;

    chain = knock_merge_create(arena, parse(&base));
    assert_non_null(chain);

    for (i = 0; i < sizeof(overs) / sizeof(overs[0]); i++) {
        over.len = strlen(overs[i]);
        over.data = (unsigned char *) (uintptr_t) overs[i];

        assert_int_equal(knock_merge_measure(chain, parse(&over), &len),
                         KNOCK_OK);

        /* measuring has changed nothing */

        assert_int_equal(knock_merge_len(chain), step.len);
        assert_int_equal(knock_merge_text(chain, arena, &text), KNOCK_OK);
        assert_true(knock_str_eq(&text, &step));

        assert_int_equal(knock_merge_add(chain, parse(&over)), KNOCK_OK);
        assert_int_equal(knock_merge_text(chain, arena, &text), KNOCK_OK);
        assert_int_equal(knock_merge_len(chain), len);
        assert_int_equal(text.len, len);

        assert_int_equal(knock_json_merge(arena, parse(&step), parse(&over),
                                          &step),
                         KNOCK_OK);

        if (!knock_str_eq(&text, &step)) {
            fail_msg("%s makes %.*s, not %.*s", overs[i], (int) text.len,
                     (char *) text.data, (int) step.len, (char *) step.data);
        }
    }

    assert_true(knock_str_is(&text, "{\"a\":{\"x\":{\"y\":{\"z\":1}}},"
                                    "\"n\":1,\"b\":{\"d\":null}}"));
}


/* a small object laid on a large one takes what the small one needs */

static void
test_a_long_chain_takes_no_more_for_each(void **state)
{
    enum { LONG = 2000 };

    size_t          i, before, len;
    knock_str_t     base, text, over[2];
    knock_merge_t  *chain;

    (void) state;

    base = members(0, LONG, "{\"a\":1}", 1);
    over[0] = members(LONG / 2, 1, "{\"b\":1}", 1);
    over[1] = members(LONG, 1, "{\"b\":1}", 1);

    chain = knock_merge_create(arena, parse(&base));
    assert_non_null(chain);
    assert_int_equal(knock_merge_add(chain, parse(&over[0])), KNOCK_OK);

    before = knock_arena_size(arena);

    for (i = 0; i < LONG; i++) {
        assert_int_equal(knock_merge_measure(chain, parse(&over[i % 2]), &len),
                         KNOCK_OK);
        assert_int_equal(knock_merge_add(chain, parse(&over[i % 2])),
                         KNOCK_OK);
        assert_int_equal(knock_merge_len(chain), len);
    }

    /* writing the whole once each time would take forty times as much */

    assert_true(knock_arena_size(arena) - before < LONG * base.len / 20);

    assert_int_equal(knock_merge_text(chain, arena, &text), KNOCK_OK);
    assert_int_equal(parse(&text)->count, LONG + 1);
}


#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_the_rule),
        t(test_few_and_many_members_merge_alike),
        t(test_very_many_members),
        t(test_deep_nesting),
        t(test_merging_the_same_again_changes_nothing),
        t(test_a_chain),
        t(test_a_long_chain_takes_no_more_for_each)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


/*
 * knock_map under keys that were chosen to collide.  It is included, since
 * only with its hash can such keys be found.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_map.c"


enum {
    KEYS = 256,
    SIZE = 1024,                /* of the table: KEYS fill less than half */
    LEN  = 16
};


static char            texts[KEYS][LEN];
static knock_str_t     keys[KEYS];
static knock_arena_t  *arena;


/* keys that all begin at one slot, under the seed that is set */

static void
find_keys(void)
{
    size_t       i, n;
    uint64_t     first;
    knock_str_t  key;

    for (first = 0, n = 0, i = 0; n < KEYS; i++) {
        key.data = (unsigned char *) texts[n];
        key.len = (size_t) snprintf(texts[n], LEN, "%zu", i);

        if (n == 0) {
            first = knock_map_hash(&key) % SIZE;
        }

        if (knock_map_hash(&key) % SIZE == first) {
            keys[n++] = key;
        }
    }
}


/* slots that are looked at to find all of the keys */

static size_t
probes(void)
{
    size_t             i, n;
    knock_map_t       *map;
    knock_map_slot_t  *slot;

    map = knock_map_create(arena, KEYS + 1);
    assert_non_null(map);
    assert_int_equal(map->mask, SIZE - 1);

    for (i = 0; i < KEYS; i++) {
        assert_int_equal(knock_map_set(map, &keys[i], &keys[i]), KNOCK_OK);
    }

    for (n = 0, i = 0; i < KEYS; i++) {
        slot = knock_map_slot(map, knock_map_hash(&keys[i]), &keys[i]);
        assert_ptr_equal(slot->value, &keys[i]);

        n += (((size_t) (slot - map->slots) - knock_map_hash(&keys[i]))
              & map->mask) + 1;
    }

    return n;
}


static void
test_keys_that_collide_under_one_seed_do_not_under_another(void **state)
{
    uint64_t  seed;

    (void) state;

    arena = knock_arena_create(4096);
    assert_non_null(arena);

    knock_map_seed(1);
    find_keys();

    assert_int_equal(probes(), (size_t) KEYS * (KEYS + 1) / 2);

    for (seed = 2; seed < 34; seed++) {
        knock_map_seed(seed);
        assert_true(probes() < (size_t) 4 * KEYS);
    }

    /* one that differs in a bit is another one */

    knock_map_seed(1 ^ (uint64_t) 1 << 63);
    assert_true(probes() < (size_t) 4 * KEYS);

    knock_arena_destroy(arena);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            test_keys_that_collide_under_one_seed_do_not_under_another)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

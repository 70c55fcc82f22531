
/* knock_map: byte strings to pointers */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_map.h"


static knock_arena_t  *arena;


static int
setup(void **state)
{
    (void) state;

    knock_map_seed(0x1234567890abcdef);

    arena = knock_arena_create(4096);
    return arena == NULL;
}


static int
teardown(void **state)
{
    (void) state;

    knock_arena_destroy(arena);
    return 0;
}


static void
test_an_empty_map_has_nothing(void **state)
{
    knock_str_t   key = knock_string("a");
    knock_str_t   null = knock_null_string;
    knock_map_t  *map;

    (void) state;

    map = knock_map_create(arena, 0);
    assert_non_null(map);

    assert_null(knock_map_get(map, &key));
    assert_null(knock_map_get(map, &null));
}


static void
test_a_second_value_replaces_the_first(void **state)
{
    int           one, two;
    knock_str_t   key = knock_string("key");
    knock_map_t  *map;

    (void) state;

    map = knock_map_create(arena, 1);
    assert_non_null(map);

    assert_int_equal(knock_map_set(map, &key, &one), KNOCK_OK);
    assert_ptr_equal(knock_map_get(map, &key), &one);

    assert_int_equal(knock_map_set(map, &key, &two), KNOCK_OK);
    assert_ptr_equal(knock_map_get(map, &key), &two);
}


static void
test_keys_are_bytes_of_any_kind_and_length(void **state)
{
    size_t          i, j, n;
    unsigned char   bytes[64];
    knock_str_t     keys[65 * 2];
    knock_map_t    *map;

    (void) state;

    /* prefixes of one text, and zeros: only the length tells them apart */

    n = 0;

    for (i = 0; i <= 64; i++) {
        for (j = 0; j < i; j++) {
            bytes[j] = (unsigned char) (j + 1);
        }

        keys[n].len = i;
        keys[n].data = bytes;
        assert_int_equal(knock_arena_dup(arena, &keys[n], &keys[n]), KNOCK_OK);
        n++;

        if (i == 0) {
            continue;
        }

        keys[n].len = i;
        keys[n].data = knock_arena_calloc(arena, 1, i);
        assert_non_null(keys[n].data);
        n++;
    }

    map = knock_map_create(arena, 0);
    assert_non_null(map);

    for (i = 0; i < n; i++) {
        assert_null(knock_map_get(map, &keys[i]));
        assert_int_equal(knock_map_set(map, &keys[i], &keys[i]), KNOCK_OK);
    }

    for (i = 0; i < n; i++) {
        assert_ptr_equal(knock_map_get(map, &keys[i]), &keys[i]);
    }
}


static void
test_a_map_grows_and_keeps_its_entries(void **state)
{
    enum { N = 50000 };

    char          text[16];
    size_t        i;
    knock_str_t  *keys, absent;
    knock_map_t  *map;

    (void) state;

    keys = knock_arena_alloc(arena, N * sizeof(knock_str_t));
    map = knock_map_create(arena, 3);
    assert_non_null(keys);
    assert_non_null(map);

    for (i = 0; i < N; i++) {
        keys[i].len = (size_t) snprintf(text, sizeof(text), "key-%zu", i);
        keys[i].data = (unsigned char *) text;

        assert_int_equal(knock_arena_dup(arena, &keys[i], &keys[i]), KNOCK_OK);
        assert_int_equal(knock_map_set(map, &keys[i], &keys[i]), KNOCK_OK);
    }

    for (i = 0; i < N; i++) {
        assert_ptr_equal(knock_map_get(map, &keys[i]), &keys[i]);
    }

    absent.data = (unsigned char *) text;

    for (i = N; i < 2 * N; i++) {
        absent.len = (size_t) snprintf(text, sizeof(text), "key-%zu", i);
        assert_null(knock_map_get(map, &absent));
    }
}


static void
test_sizes_that_overflow_are_no_memory(void **state)
{
    (void) state;

    assert_null(knock_map_create(arena, SIZE_MAX));
    assert_null(knock_map_create(arena, SIZE_MAX / 8));
}


#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_an_empty_map_has_nothing),
        t(test_a_second_value_replaces_the_first),
        t(test_keys_are_bytes_of_any_kind_and_length),
        t(test_a_map_grows_and_keeps_its_entries),
        t(test_sizes_that_overflow_are_no_memory)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

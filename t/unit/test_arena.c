
/* knock_arena: pieces, growth, resets */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_arena.h"


#define BLOCK  1024


static knock_arena_t  *arena;


static int
setup(void **state)
{
    (void) state;

    arena = knock_arena_create(BLOCK);
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
test_pieces_are_aligned_and_apart(void **state)
{
    size_t          i, j;
    unsigned char  *pieces[200];

    (void) state;

    for (i = 0; i < 200; i++) {
        pieces[i] = knock_arena_alloc(arena, i);

        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t) pieces[i] % 8, 0);

        memset(pieces[i], (int) i, i);
    }

    for (i = 0; i < 200; i++) {
        for (j = 0; j < i; j++) {
            assert_int_equal(pieces[i][j], i);
        }
    }
}


static void
test_calloc_zeroes_what_was_used_before(void **state)
{
    size_t          i;
    unsigned char  *p;

    (void) state;

    p = knock_arena_alloc(arena, 512);
    assert_non_null(p);
    memset(p, 0xff, 512);

    knock_arena_reset(arena);

    p = knock_arena_calloc(arena, 64, 8);
    assert_non_null(p);

    for (i = 0; i < 512; i++) {
        assert_int_equal(p[i], 0);
    }
}


static void
test_sizes_that_overflow_are_no_memory(void **state)
{
    void  *p;

    (void) state;

    p = knock_arena_alloc(arena, 8);
    assert_non_null(p);

    assert_null(knock_arena_calloc(arena, SIZE_MAX / 2, 3));
    assert_null(knock_arena_calloc(arena, SIZE_MAX, SIZE_MAX));
    assert_null(knock_arena_alloc(arena, SIZE_MAX));
    assert_null(knock_arena_alloc(arena, SIZE_MAX - 7));
    assert_null(knock_arena_alloc(arena, SIZE_MAX / 2 + 1));
    assert_null(knock_arena_realloc(arena, p, 8, SIZE_MAX));
    assert_null(knock_arena_create(SIZE_MAX));

    assert_non_null(knock_arena_calloc(arena, 0, SIZE_MAX));
    assert_non_null(knock_arena_calloc(arena, SIZE_MAX, 0));
}


static void
test_realloc_grows_the_last_piece_in_place(void **state)
{
    unsigned char  *p, *q;

    (void) state;

    p = knock_arena_realloc(arena, NULL, 0, 10);
    assert_non_null(p);
    memcpy(p, "0123456789", 10);

    q = knock_arena_realloc(arena, p, 10, 500);
    assert_ptr_equal(q, p);
    assert_memory_equal(q, "0123456789", 10);
}


static void
test_realloc_gives_back_the_tail_of_the_last_piece(void **state)
{
    unsigned char  *p, *q;

    (void) state;

    p = knock_arena_alloc(arena, 500);
    assert_non_null(p);

    q = knock_arena_realloc(arena, p, 500, 8);
    assert_ptr_equal(q, p);

    q = knock_arena_alloc(arena, 900);
    assert_non_null(q);
    assert_true(q > p && q < p + 100);
    assert_true(knock_arena_size(arena) < 2 * BLOCK);
}


static void
test_realloc_copies_a_piece_with_others_behind(void **state)
{
    unsigned char  *p, *q, *r;

    (void) state;

    p = knock_arena_alloc(arena, 16);
    q = knock_arena_alloc(arena, 16);
    assert_non_null(p);
    assert_non_null(q);

    memcpy(p, "abcdefghijklmnop", 16);
    memset(q, 'q', 16);

    r = knock_arena_realloc(arena, p, 16, 64);
    assert_non_null(r);
    assert_ptr_not_equal(r, p);
    assert_memory_equal(r, "abcdefghijklmnop", 16);

    memset(r, 'r', 64);
    assert_memory_equal(q, "qqqqqqqqqqqqqqqq", 16);

    assert_ptr_equal(knock_arena_realloc(arena, q, 16, 8), q);
}


static void
test_a_piece_that_doubles_leaves_no_copies(void **state)
{
    size_t          size, i;
    unsigned char  *p;

    (void) state;

    size = 64;
    p = knock_arena_alloc(arena, size);
    assert_non_null(p);
    memset(p, 'x', size);

    while (size < 1024 * 1024) {
        p = knock_arena_realloc(arena, p, size, 2 * size);
        assert_non_null(p);
        memset(p + size, 'x', size);
        size *= 2;
    }

    for (i = 0; i < size; i++) {
        assert_int_equal(p[i], 'x');
    }

    assert_true(knock_arena_size(arena) <= size + 4 * BLOCK);
}


static void
test_reset_keeps_the_first_block_only(void **state)
{
    int     i;
    size_t  size;
    void   *first;

    (void) state;

    size = knock_arena_size(arena);
    first = knock_arena_alloc(arena, 1);

    for (i = 0; i < 100; i++) {
        assert_non_null(knock_arena_alloc(arena, 700));
    }

    assert_non_null(knock_arena_alloc(arena, 100000));
    assert_true(knock_arena_size(arena) >= 170000);

    knock_arena_reset(arena);

    assert_int_equal(knock_arena_size(arena), size);
    assert_ptr_equal(knock_arena_alloc(arena, 1), first);
}


static void
test_a_large_piece_leaves_room_for_small_ones(void **state)
{
    int     i;
    size_t  size;

    (void) state;

    assert_non_null(knock_arena_alloc(arena, 100000));
    size = knock_arena_size(arena);

    for (i = 0; i < 32; i++) {
        assert_non_null(knock_arena_alloc(arena, 16));
    }

    assert_true(knock_arena_size(arena) <= size + BLOCK + 64);
}


static void
test_dup_copies(void **state)
{
    knock_str_t  empty = knock_null_string;
    knock_str_t  src = knock_string("a\0b");
    knock_str_t  dst;

    (void) state;

    assert_int_equal(knock_arena_dup(arena, &src, &dst), KNOCK_OK);
    assert_ptr_not_equal(dst.data, src.data);
    assert_true(knock_str_eq(&src, &dst));

    assert_int_equal(knock_arena_dup(arena, &empty, &dst), KNOCK_OK);
    assert_int_equal(dst.len, 0);
    assert_non_null(dst.data);
}


static void
test_destroy_takes_null(void **state)
{
    (void) state;

    knock_arena_destroy(NULL);
}


#define t(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_pieces_are_aligned_and_apart),
        t(test_calloc_zeroes_what_was_used_before),
        t(test_sizes_that_overflow_are_no_memory),
        t(test_realloc_grows_the_last_piece_in_place),
        t(test_realloc_gives_back_the_tail_of_the_last_piece),
        t(test_realloc_copies_a_piece_with_others_behind),
        t(test_a_piece_that_doubles_leaves_no_copies),
        t(test_reset_keeps_the_first_block_only),
        t(test_a_large_piece_leaves_room_for_small_ones),
        t(test_dup_copies),
        t(test_destroy_takes_null)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

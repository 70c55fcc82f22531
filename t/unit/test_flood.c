
/* knock_flood: strings that were chosen to collide */

#include "fixture.h"

#include "knock_flood.h"
#include "knock_map.h"


#define BLOCKS  17


/*
 * After what stands behind them in a string of 68 bytes, the blocks of a pair
 * leave Lua's hash in the same state: any choice of one from each makes a
 * string with the hash of all the others.
 */

static const char  *blocks[BLOCKS][2] = {
    { "caaa", "Bbaa" }, { "-aaa", "kcaa" }, { "bbaa", "Acaa" },
    { "Baaa", "abaa" }, { "cbaa", "Bcaa" }, { "Baaa", "abaa" },
    { "-aaa", "kcaa" }, { "Bbaa", "acaa" }, { "daaa", "Abaa" },
    { "caaa", "Bbaa" }, { "Baaa", "abaa" }, { "baaa", "Abaa" },
    { "caaa", "Bbaa" }, { "Baaa", "abaa" }, { "Bbaa", "acaa" },
    { "kaaa", "Cbaa" }, { "cbaa", "Bcaa" }
};


/* the n-th of the strings that have one hash */

static knock_str_t
colliding(size_t n)
{
    size_t       i;
    knock_str_t  s;

    static unsigned char  bytes[BLOCKS * 4];

    for (i = 0; i < BLOCKS; i++) {
        memcpy(bytes + 4 * i, blocks[i][n >> i & 1], 4);
    }

    s.len = sizeof(bytes);
    s.data = bytes;

    return s;
}


/* the n-th of those that have not */

static knock_str_t
honest(size_t n)
{
    knock_str_t  s;

    static char  bytes[80];

    s.len = (size_t) snprintf(bytes, sizeof(bytes), "user-%zu@example.com", n);
    s.data = (unsigned char *) bytes;

    return s;
}


/* Lua's hash */

static uint32_t
hash(const char *text, size_t len)
{
    uint32_t  h;

    for (h = (uint32_t) len; len; len--) {
        h ^= (h << 5) + (h >> 2) + (unsigned char) text[len - 1];
    }

    return h;
}


static int
passes(knock_flood_t *flood, knock_str_t s)
{
    int  rc;

    rc = knock_flood_string(flood, &s);
    assert_int_not_equal(rc, KNOCK_ERROR);

    return rc == KNOCK_OK;
}


static void
a_few_strings_are_let_pass_unseen(void **state)
{
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    assert_false(knock_flood_expect(&flood, KNOCK_FLOOD_FREE - 1));
    assert_false(knock_flood_expect(&flood, 1));
    assert_true(knock_flood_expect(&flood, 1));
    assert_null(flood.slots);
}


static void
strings_that_collide_are_refused(void **state)
{
    size_t         i;
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    for (i = 0; i < 1u << BLOCKS; i++) {
        assert_int_equal(passes(&flood, colliding(i)), i < KNOCK_FLOOD_CHAIN);
    }

    assert_int_equal(flood.n, KNOCK_FLOOD_CHAIN);

    /* others are taken beside them */

    for (i = 0; i < 1000; i++) {
        assert_true(passes(&flood, honest(i)));
    }
}


/* their hashes have no more in common than the chain */

static void
so_are_those_that_only_share_a_chain(void **state)
{
    size_t         i, n;
    knock_str_t    s;
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    for (i = 0, n = 0; n < 3 * KNOCK_FLOOD_CHAIN; i++) {
        s = honest(i);

        if (hash((char *) s.data, s.len) % KNOCK_FLOOD_CHAINS == 7) {
            assert_int_equal(passes(&flood, s), n < KNOCK_FLOOD_CHAIN);
            n++;
        }
    }
}


static void
a_string_that_comes_again_counts_once(void **state)
{
    size_t         i;
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    for (i = 0; i < 100 * KNOCK_FLOOD_CHAIN; i++) {
        assert_true(passes(&flood, colliding(i % KNOCK_FLOOD_CHAIN)));
    }

    assert_int_equal(flood.n, KNOCK_FLOOD_CHAIN);
}


/* there are more chains then, but the bound is the same */

static void
the_bound_does_not_grow_with_the_strings(void **state)
{
    enum { N = 300000 };

    size_t         i;
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    for (i = 0; i < KNOCK_FLOOD_CHAIN / 2; i++) {
        assert_true(passes(&flood, colliding(i)));
    }

    for (i = 0; i < N; i++) {
        assert_true(passes(&flood, honest(i)));
    }

    assert_int_equal(flood.n, KNOCK_FLOOD_CHAIN / 2 + N);
    assert_true(flood.nchains >= flood.n);

    /* all are still known, and counted */

    for (i = 0; i < N; i++) {
        assert_true(passes(&flood, honest(i)));
    }

    assert_int_equal(flood.n, KNOCK_FLOOD_CHAIN / 2 + N);

    for (i = 0; i < KNOCK_FLOOD_CHAIN / 2; i++) {
        assert_true(passes(&flood, colliding(i)));
    }

    for (i = 0; i < KNOCK_FLOOD_CHAIN / 2; i++) {
        (void) passes(&flood, colliding(KNOCK_FLOOD_CHAIN / 2 + i));
    }

    assert_false(passes(&flood, colliding(KNOCK_FLOOD_CHAIN)));
}


static void
an_empty_string_and_bytes_of_any_kind(void **state)
{
    knock_str_t    s;
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    s.len = 0;
    s.data = NULL;
    assert_true(passes(&flood, s));

    s.len = 4;
    s.data = (unsigned char *) "\0\xff\x80\0";
    assert_true(passes(&flood, s));
    assert_int_equal(flood.n, 2);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_few_strings_are_let_pass_unseen),
        t(strings_that_collide_are_refused),
        t(so_are_those_that_only_share_a_chain),
        t(a_string_that_comes_again_counts_once),
        t(the_bound_does_not_grow_with_the_strings),
        t(an_empty_string_and_bytes_of_any_kind)
    };

    knock_map_seed(42);

    return cmocka_run_group_tests(tests, NULL, NULL);
}


/* knock_flood: strings that were chosen to collide */

#include "fixture.h"

#include "knock_flood.h"


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


/* numbers whose hashes have no more in common than their chain */

static char  numbers[KNOCK_FLOOD_CHAIN + 1][9];


typedef enum {
    TRAITS,
    RECIPIENT,
    PROPERTIES
} place_e;


/* the n-th of the strings that have one hash, or of some that have not */

static void
add_name(knock_buf_t *buf, size_t n, int collide)
{
    size_t  i;
    char    text[80];

    for (i = 0; collide && i < BLOCKS; i++) {
        knock_buf_add(buf, blocks[i][n >> i & 1], 4);
    }

    if (!collide) {
        knock_buf_add(buf, text, (size_t) snprintf(text, sizeof(text),
                                                   "name-%068zu", n));
    }
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


static void
find_numbers(void)
{
    size_t    i, n;
    char      text[] = "10000000";
    uint32_t  chain;

    chain = hash(text, 8) % KNOCK_FLOOD_CHAINS;
    n = 0;

    while (n < KNOCK_FLOOD_CHAIN + 1) {

        if (hash(text, 8) % KNOCK_FLOOD_CHAINS == chain) {
            memcpy(numbers[n++], text, sizeof(text));
        }

        for (i = 7; text[i] == '9'; i--) {
            text[i] = '0';
        }

        text[i]++;
    }
}


/*
 * Whether an event is let pass whose object, at this place, has `n` fields
 * from `first` on, under names, or with values, that collide or don't.
 */

static int
passes(knock_flood_t *flood, place_e place, size_t first, size_t n,
    int names, int values)
{
    size_t          i;
    knock_buf_t     buf;
    knock_str_t     text;
    knock_json_t   *root;
    knock_error_t   err;
    knock_event_t   event;

    static const char  *begin[] = {
        "{\"type\":\"identify\",\"traits\":{",
        "{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":[{\"id\":1,",
        "{\"type\":\"track\",\"event\":\"T\",\"properties\":{\"r\":[{"
    };
    static const char  *end[] = { "}}", "}]}}", "}]}}" };

    knock_buf_init(&buf, arena, 0);
    knock_buf_add(&buf, begin[place], strlen(begin[place]));

    for (i = 0; i < n; i++) {
        knock_buf_add(&buf, ",\"" + (i == 0), i ? 2 : 1);
        add_name(&buf, first + i, names);
        knock_buf_add(&buf, "\":", 2);

        if (values) {
            knock_buf_add(&buf, numbers[first + i], 8);

        } else {
            knock_buf_add_uint(&buf, 1000000000 + first + i);
        }
    }

    knock_buf_add(&buf, end[place], strlen(end[place]));

    assert_int_equal(knock_buf_str(&buf, &text), KNOCK_OK);
    assert_int_equal(knock_json_parse(arena, &text, 64, &root, &err),
                     KNOCK_OK);
    assert_int_equal(knock_event_read(arena, root, &event, &err), KNOCK_OK);

    if (knock_flood_event(flood, &event, &err) == KNOCK_OK) {
        return 1;
    }

    assert_int_equal(err.code, KNOCK_E_INVALID_EVENT);
    assert_non_null(strstr(err.message, "collide"));

    return 0;
}


/* a body that has brought as much as is let pass unseen */

static void
begin(knock_flood_t *flood)
{
    knock_flood_init(flood, arena);
    assert_true(passes(flood, PROPERTIES, 0, KNOCK_FLOOD_FREE / 2, 0, 0));
}


static void
test_a_small_body_may_hold_what_it_likes(void **state)
{
    knock_flood_t  flood;

    (void) state;

    knock_flood_init(&flood, arena);

    assert_true(passes(&flood, TRAITS, 0, KNOCK_FLOOD_FREE / 2 - 10, 1, 0));
    assert_null(flood.chains);
    assert_false(passes(&flood, TRAITS, 0, KNOCK_FLOOD_CHAIN + 1, 1, 0));
}


static void
test_names_that_collide_are_refused(void **state)
{
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    assert_true(passes(&flood, TRAITS, 0, KNOCK_FLOOD_CHAIN, 1, 0));
    assert_false(passes(&flood, TRAITS, KNOCK_FLOOD_CHAIN, 1, 1, 0));
}


static void
test_values_that_share_a_chain_are_refused(void **state)
{
    knock_flood_t  flood;

    (void) state;

    find_numbers();
    begin(&flood);

    assert_true(passes(&flood, TRAITS, 0, KNOCK_FLOOD_CHAIN, 0, 1));
    assert_false(passes(&flood, TRAITS, KNOCK_FLOOD_CHAIN, 1, 0, 1));
}


static void
test_so_are_those_of_recipients(void **state)
{
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    assert_false(passes(&flood, RECIPIENT, 0, KNOCK_FLOOD_CHAIN + 1, 1, 0));
}


static void
test_what_becomes_no_field_is_not_looked_at(void **state)
{
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    assert_true(passes(&flood, PROPERTIES, 0, 1000, 1, 0));
    assert_int_equal(flood.n, 0);
}


static void
test_others_are_taken_beside_them(void **state)
{
    size_t         i;
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    for (i = 0; i < 10; i++) {
        assert_false(passes(&flood, TRAITS, i * 1000, 1000, 1, 0));
        assert_true(passes(&flood, TRAITS, i * 1000, 1000, 0, 0));
    }
}


static void
test_a_string_that_comes_again_counts_once(void **state)
{
    size_t         i;
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    for (i = 0; i < 10; i++) {
        assert_true(passes(&flood, TRAITS, 0, KNOCK_FLOOD_CHAIN, 1, 0));
    }

    /* 64 names, their values, and nothing else */

    assert_int_equal(flood.n, 2 * KNOCK_FLOOD_CHAIN);
}


static void
test_many_that_were_not_chosen_pass(void **state)
{
    enum { N = 200 };

    size_t         i;
    knock_flood_t  flood;

    (void) state;

    begin(&flood);

    for (i = 0; i < N; i++) {
        assert_true(passes(&flood, TRAITS, i * 1000, 1000, 0, 0));
    }

    assert_int_equal(flood.n, 2 * N * 1000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(test_a_small_body_may_hold_what_it_likes),
        t(test_names_that_collide_are_refused),
        t(test_values_that_share_a_chain_are_refused),
        t(test_so_are_those_of_recipients),
        t(test_what_becomes_no_field_is_not_looked_at),
        t(test_others_are_taken_beside_them),
        t(test_a_string_that_comes_again_counts_once),
        t(test_many_that_were_not_chosen_pass)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

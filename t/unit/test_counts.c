
/* knock_counts: the events of a call by catalogue and event key */

#include "fixture.h"

#include "knock_counts.h"
#include "knock_strs.h"


static knock_counts_t  counts;


static int
begin(void **state)
{
    return setup(state) || knock_counts_init(&counts, arena) != KNOCK_OK;
}


static size_t
add(size_t catalogue, const char *key, const char *sample)
{
    knock_str_t  k, s;

    k = str(key);
    s = str(sample);

    return knock_counts_add(&counts, catalogue, &k, &s, counts.nevents + 1);
}


static void
events_of_a_key_share_a_count(void **state)
{
    (void) state;

    assert_int_equal(add(6, "track/A", ""), 1);
    assert_int_equal(add(6, "track/B", ""), 2);
    assert_int_equal(add(6, "track/A", ""), 1);

    assert_int_equal(counts.n, 2);
    assert_int_equal(counts.first->events, 2);
    assert_string_equal(text(&counts.first->key), "track/A");
    assert_int_equal(counts.first->next->events, 1);
    assert_null(counts.first->next->next);
}


static void
catalogues_are_apart(void **state)
{
    (void) state;

    assert_int_equal(add(6, "page", ""), 1);
    assert_int_equal(add(9, "page", ""), 2);
    assert_int_equal(add(6, "page", ""), 1);
    assert_int_equal(add(9, "page", ""), 2);
    assert_int_equal(add(12, "page", ""), 3);

    assert_int_equal(counts.first->catalogue, 6);
    assert_int_equal(counts.first->events, 2);
    assert_int_equal(counts.first->next->catalogue, 9);
    assert_int_equal(counts.first->next->events, 2);
}


static void
the_last_sample_stays(void **state)
{
    (void) state;

    (void) add(6, "page", "one");
    (void) add(6, "page", "two");
    (void) add(6, "page", "");

    assert_string_equal(text(&counts.first->sample), "two");
    assert_int_equal(counts.first->sampled, 2);
}


static void
the_last_events_can_be_taken_back(void **state)
{
    (void) state;

    (void) add(6, "page", "one");
    (void) add(6, "alias", "");
    (void) add(6, "page", "two");
    (void) add(6, "group", "three");

    knock_counts_rewind(&counts, 2);

    assert_int_equal(counts.nevents, 2);
    assert_int_equal(counts.first->events, 1);
    assert_int_equal(counts.first->next->events, 1);

    /* a count without events may stay, its sample must not */

    assert_int_equal(counts.first->next->next->events, 0);
    assert_int_equal(counts.first->next->next->sample.len, 0);
    assert_int_equal(counts.first->sampled, 0);

    assert_int_equal(add(6, "group", "four"), 3);
    assert_int_equal(counts.first->next->next->events, 1);
    assert_int_equal(counts.first->next->next->sampled, 3);
}


static void
many_keys(void **state)
{
    size_t  i;
    char    names[1000][8];

    (void) state;

    for (i = 0; i < 1000; i++) {
        (void) snprintf(names[i], sizeof(names[0]), "k%zu", i);
        assert_int_equal(add(6, names[i], ""), i + 1);
    }

    assert_int_equal(add(6, "k0", ""), 1);
    assert_int_equal(add(6, "k999", ""), 1000);
    assert_int_equal(counts.nevents, 1002);
}


/* knock_strs: lists of arguments */

static void
lists_grow_and_join(void **state)
{
    size_t        i;
    knock_str_t   s;
    knock_strs_t  a, b;

    (void) state;

    knock_strs_init(&a, arena);
    knock_strs_init(&b, arena);

    knock_strs_join(&a, &b);
    assert_int_equal(a.n, 0);

    for (i = 0; i < 100; i++) {
        knock_strs_add_uint(&b, i);
    }

    memset(&s, 0, sizeof(knock_str_t));
    knock_strs_add(&b, &s);
    knock_strs_add_lit(&b, "literal");
    knock_strs_add_uint(&b, UINT64_MAX);

    knock_strs_add_lit(&a, "first");
    knock_strs_join(&a, &b);

    assert_int_equal(a.failed, 0);
    assert_int_equal(a.n, 104);
    assert_string_equal(text(&a.items[0]), "first");
    assert_string_equal(text(&a.items[1]), "0");
    assert_string_equal(text(&a.items[100]), "99");
    assert_int_equal(a.items[101].len, 0);
    assert_non_null(a.items[101].data);
    assert_string_equal(text(&a.items[102]), "literal");
    assert_string_equal(text(&a.items[103]), "18446744073709551615");
}


static void
a_list_that_failed_stays_so(void **state)
{
    knock_strs_t  a, b;

    (void) state;

    knock_strs_init(&a, arena);
    knock_strs_init(&b, arena);

    knock_strs_add_lit(&a, "kept");
    a.failed = 1;
    knock_strs_add_lit(&a, "lost");
    assert_int_equal(a.n, 1);

    knock_strs_join(&b, &a);
    assert_int_equal(b.failed, 1);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(events_of_a_key_share_a_count),
        t(catalogues_are_apart),
        t(the_last_sample_stays),
        t(the_last_events_can_be_taken_back),
        t(many_keys),
        t(lists_grow_and_join),
        t(a_list_that_failed_stays_so)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

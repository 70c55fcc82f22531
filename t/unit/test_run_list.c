
/* knock_run_list: a page of runs out of those of the shards */

#include "fixture.h"

#include "knock_run_list.h"


#define SHARDS  3


static knock_run_slice_t  slices[SHARDS];


/* the i-th shard has these runs, a letter and a digit, newest first */

static void
shard(size_t i, uint64_t offset, uint64_t length, const char *runs)
{
    size_t  n;

    memset(&slices[i], 0, sizeof(knock_run_slice_t));

    slices[i].offset = offset;
    slices[i].length = length;
    slices[i].oldest = str(length ? "\"0\"" : "null");
    slices[i].n = strlen(runs) / 2;
    slices[i].runs = knock_arena_calloc(arena, slices[i].n + 1,
                                        sizeof(knock_listed_run_t));
    assert_non_null(slices[i].runs);

    for (n = 0; n < slices[i].n; n++) {
        slices[i].runs[n].text.data = (unsigned char *) runs + 2 * n;
        slices[i].runs[n].text.len = 2;
        slices[i].runs[n].at.data = (unsigned char *) runs + 2 * n + 1;
        slices[i].runs[n].at.len = 1;
    }
}


static const char *
page(size_t limit)
{
    knock_str_t  json;

    assert_int_equal(knock_run_list(arena, slices, SHARDS, limit, &json),
                     KNOCK_OK);

    return text(&json);
}


static void
the_newest_of_all_come_first(void **state)
{
    (void) state;

    shard(0, 0, 3, "a9a4a1");
    shard(1, 0, 2, "b8b5");
    shard(2, 0, 0, "");

    assert_string_equal(page(10), "{\"length\":5,\"oldest_at\":\"0\",\"items\":"
                                  "[a9,b8,b5,a4,a1],\"cursor\":null}");
    assert_string_equal(page(3), "{\"length\":5,\"oldest_at\":\"0\",\"items\":"
                                 "[a9,b8,b5],\"cursor\":\"1.2.0\"}");
}


static void
nothing_is_left_out(void **state)
{
    (void) state;

    /* what the second shard has behind b8 might be newer than a4 */

    shard(0, 0, 3, "a9a4a1");
    shard(1, 0, 7, "b8");
    shard(2, 4, 5, "c2");

    assert_string_equal(page(10), "{\"length\":15,\"oldest_at\":\"0\","
                                  "\"items\":[a9,b8],\"cursor\":\"1.1.4\"}");

    shard(0, 0, 0, "");
    shard(1, 0, 0, "");
    shard(2, 9, 4, "");

    assert_string_equal(page(10), "{\"length\":4,\"oldest_at\":\"0\","
                                  "\"items\":[],\"cursor\":null}");
}


static void
the_oldest_of_all(void **state)
{
    (void) state;

    shard(0, 0, 1, "a9");
    shard(1, 0, 1, "b8");
    shard(2, 0, 0, "");

    slices[0].oldest = str("\"2026-02-01\"");
    slices[1].oldest = str("\"2026-01-31\"");

    assert_non_null(strstr(page(1), "\"oldest_at\":\"2026-01-31\""));

    slices[0].oldest = str("null");
    slices[1].oldest = str("null");

    assert_non_null(strstr(page(1), "\"oldest_at\":null"));
}


static void
cursors(void **state)
{
    size_t         i;
    knock_str_t    cursor;
    knock_error_t  err;

    static const char  *bad[] = {
        "1", "1.2", "1.2.", "1.2.3.4", ".1.2", "a.1.2", "1.2.-3", "1..2",
        "1.2.3 ", "1234567890.1.1"
    };

    (void) state;

    cursor = str("");
    assert_int_equal(knock_run_cursor(&cursor, slices, SHARDS, &err),
                     KNOCK_OK);
    assert_int_equal(slices[2].offset, 0);

    cursor = str("7.0.123456789");
    assert_int_equal(knock_run_cursor(&cursor, slices, SHARDS, &err),
                     KNOCK_OK);
    assert_int_equal(slices[0].offset, 7);
    assert_int_equal(slices[1].offset, 0);
    assert_int_equal(slices[2].offset, 123456789);

    for (i = 0; i < N(bad); i++) {
        cursor = str(bad[i]);

        if (knock_run_cursor(&cursor, slices, SHARDS, &err) != KNOCK_ERROR) {
            fail_msg("%s is taken", bad[i]);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_CURSOR);
    }

    cursor = str("12");
    assert_int_equal(knock_run_cursor(&cursor, slices, 1, &err), KNOCK_OK);
    assert_int_equal(slices[0].offset, 12);
}


static void
what_shards_are_asked_for(void **state)
{
    (void) state;

    assert_int_equal(knock_run_wanted(100, 1), 100);
    assert_int_equal(knock_run_wanted(10, 256), 10);
    assert_true(knock_run_wanted(1000, 16) < 200);
    assert_true(knock_run_wanted(1000, 16) >= 1000 / 16);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(the_newest_of_all_come_first),
        t(nothing_is_left_out),
        t(the_oldest_of_all),
        t(cursors),
        t(what_shards_are_asked_for)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

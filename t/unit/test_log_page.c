
/* knock_log_page: a page of the event log, from blocks of a journal */

#include "fixture.h"

#include "knock_journal.h"
#include "knock_log_page.h"


#define DOC                                                                  \
    "{\"event\":\"page\",\"message_id\":null,"                               \
    "\"received_at\":\"2026-01-02T03:04:05.678Z\",\"reason\":\"no_action\"," \
    "\"actions\":[]}"


/* a block with an entry for each status, whose event is its place, a digit */

static knock_log_block_t
block_of(const char *id, const char *statuses)
{
    size_t             i;
    knock_buf_t        buf;
    knock_log_block_t  block;

    block.id = str(id);
    knock_buf_init(&buf, arena, 64);

    for (i = 0; statuses[i]; i++) {
        knock_buf_add_lit(&buf, "2:");
        knock_buf_add_char(&buf, statuses[i]);
        knock_buf_add_lit(&buf, "w,");
        knock_buf_add_uint(&buf, sizeof(DOC) - 1);
        knock_buf_add_lit(&buf, ":" DOC ",1:");
        knock_buf_add_uint(&buf, i % 10);
        knock_buf_add_char(&buf, ',');
    }

    assert_int_equal(knock_buf_str(&buf, &block.text), KNOCK_OK);

    return block;
}


static int
page(knock_buf_t *buf, const knock_log_query_t *query,
    const knock_log_block_t *blocks, size_t n, const char *next,
    knock_str_t *cursor)
{
    knock_str_t    behind;
    knock_error_t  err;

    behind = str(next);
    knock_buf_init(buf, arena, 64);

    return knock_log_page(arena, buf, query, blocks, n, &behind, cursor, &err);
}


/* the ids of a page's entries */

static void
assert_page(const knock_log_query_t *query, const knock_log_block_t *blocks,
    size_t n, const char *next, const char *ids, const char *cursor)
{
    const char          *p;
    knock_buf_t          buf, found;
    knock_str_t          end, entries;
    const knock_json_t  *id, *root;

    assert_int_equal(page(&buf, query, blocks, n, next, &end), KNOCK_OK);
    assert_str(&end, cursor);

    assert_int_equal(knock_buf_str(&buf, &entries), KNOCK_OK);
    root = parse(repeat("[", text(&entries), 1, "]"));

    knock_buf_init(&found, arena, 64);

    for (n = root->count, root = knock_json_first(root); n;
         n--, root = knock_json_next(root))
    {
        id = knock_json_get(root, "id");
        knock_buf_add(&found, id->data + 1, id->len - 2);
        knock_buf_add_char(&found, ' ');
    }

    assert_int_equal(knock_buf_str(&found, &entries), KNOCK_OK);
    p = text(&entries);

    if (strcmp(p, ids) != 0) {
        fail_msg("\"%s\" is not \"%s\"", p, ids);
    }
}


static void
cursors(void **state)
{
    size_t             i;
    knock_str_t        cursor, block;
    knock_log_query_t  query;

    static const struct {
        const char  *cursor;
        const char  *block;
        size_t       left;
    } good[] = {
        { "", "", KNOCK_LOG_ALL },
        { "1700000000000-0", "1700000000000-0", KNOCK_LOG_ALL },
        { "0-18446744073709551615", "0-18446744073709551615", KNOCK_LOG_ALL },
        { "1-2.0", "1-2", 0 },
        { "1-2.64", "1-2", 64 },
    };

    static const char *const  bad[] = {
        "5", "-", "5-", "-5", "+", "a-b", "1-1 2", "(1-1", "1-1-1", "1--1",
        "1-1.", "1-1.x", "1-1.-1", "1-1.1.1", ".1", "1.1", "1-.1",
        "1-1.99999999999999999999", "111111111111111111111-1", "1-1\n",
        "1-111111111111111111111"
    };

    (void) state;

    for (i = 0; i < N(good); i++) {
        cursor = str(good[i].cursor);

        assert_int_equal(knock_log_cursor(&cursor, &block, &query), KNOCK_OK);
        assert_str(&block, good[i].block);
        assert_int_equal(query.left, good[i].left);
    }

    for (i = 0; i < N(bad); i++) {
        cursor = str(bad[i]);

        if (knock_log_cursor(&cursor, &block, &query) != KNOCK_DECLINED) {
            fail_msg("\"%s\" is a cursor", bad[i]);
        }
    }
}


static void
an_empty_log(void **state)
{
    knock_log_query_t  query = { 10, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    assert_page(&query, NULL, 0, "", "", "");
}


static void
entries_come_newest_first(void **state)
{
    knock_buf_t        buf;
    knock_str_t        cursor, entry;
    knock_log_block_t  blocks[2];
    knock_log_query_t  query = { 10, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    blocks[0] = block_of("9-1", "iii");
    blocks[1] = block_of("8-0", "ii");

    assert_page(&query, blocks, 2, "", "9-1.2 9-1.1 9-1.0 8-0.1 8-0.0 ", "");
    assert_page(&query, blocks, 2, "7-0",
                "9-1.2 9-1.1 9-1.0 8-0.1 8-0.0 ", "7-0");

    query.limit = 1;

    assert_int_equal(page(&buf, &query, blocks, 2, "", &cursor), KNOCK_OK);
    assert_int_equal(knock_buf_str(&buf, &entry), KNOCK_OK);
    assert_str(&entry,
               "{\"id\":\"9-1.2\",\"event\":\"page\",\"message_id\":null,"
               "\"received_at\":\"2026-01-02T03:04:05.678Z\","
               "\"status\":\"ignored\",\"reason\":\"no_action\","
               "\"notes\":[],\"actions\":[],\"payload\":2,"
               "\"payload_truncated\":false}");
}


static void
pages_of_any_length(void **state)
{
    knock_log_block_t  blocks[2];
    knock_log_query_t  query = { 2, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    blocks[0] = block_of("9-1", "iii");
    blocks[1] = block_of("8-0", "ii");

    assert_page(&query, blocks, 2, "7-0", "9-1.2 9-1.1 ", "9-1.1");

    query.left = 1;
    assert_page(&query, blocks, 2, "7-0", "9-1.0 8-0.1 ", "8-0.1");

    query.left = 1;
    assert_page(&query, blocks + 1, 1, "7-0", "8-0.0 ", "7-0");

    query.left = 1;
    assert_page(&query, blocks + 1, 1, "", "8-0.0 ", "");

    /* a page that is full with its block names the next one */

    query.limit = 3;
    query.left = KNOCK_LOG_ALL;
    assert_page(&query, blocks, 2, "", "9-1.2 9-1.1 9-1.0 ", "8-0.2");

    query.left = 2;
    assert_page(&query, blocks + 1, 1, "", "8-0.1 8-0.0 ", "");

    /* of a block that has gone, or has fewer entries, all are left */

    query.left = 60;
    assert_page(&query, blocks + 1, 1, "", "8-0.1 8-0.0 ", "");

    query.left = 0;
    assert_page(&query, blocks, 2, "", "8-0.1 8-0.0 ", "");
}


static void
those_of_a_status(void **state)
{
    knock_log_block_t  blocks[2];
    knock_log_query_t  query = { 2, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    blocks[0] = block_of("9-1", "ifi");
    blocks[1] = block_of("8-0", "flid");

    query.statuses = str("fl");
    assert_page(&query, blocks, 2, "", "9-1.1 8-0.1 ", "8-0.1");

    query.left = 1;
    assert_page(&query, blocks + 1, 1, "7-0", "8-0.0 ", "7-0");

    query.left = KNOCK_LOG_ALL;
    query.statuses = str("p");
    assert_page(&query, blocks, 2, "7-0", "", "7-0");
    assert_page(&query, blocks, 2, "", "", "");
}


static void
what_is_no_entry_is_left_out(void **state)
{
    knock_log_block_t  blocks[4];
    knock_log_query_t  query = { 9, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    blocks[0] = block_of("9-1", "ixi");
    blocks[1].id = str("8-1");
    blocks[1].text = str("");
    blocks[2] = block_of("8-0", "ii");
    blocks[2].text.len--;
    blocks[3] = block_of("7-0", "i");

    assert_page(&query, blocks, 4, "", "9-1.2 9-1.0 8-0.0 7-0.0 ", "");

    /* a block that is longer than any that is written */

    blocks[0] = block_of("9-1", repeat("", "i", 70, ""));
    query.limit = 1;
    assert_page(&query, blocks, 1, "", "9-1.63 ", "9-1.63");
}


static void
a_page_has_so_many_bytes(void **state)
{
    size_t             i;
    knock_buf_t        buf;
    knock_str_t        cursor;
    const char        *large;
    knock_log_block_t  blocks[12];
    knock_log_query_t  query = { 1000, { 0, NULL }, KNOCK_LOG_ALL };

    (void) state;

    large = repeat("2:iw,109:" DOC ",100002:\"", "x", 100000, "\",");
    assert_int_equal(sizeof(DOC) - 1, 109);

    for (i = 0; i < N(blocks); i++) {
        blocks[i].id = str("9-1");
        blocks[i].text = str(large);
    }

    assert_int_equal(page(&buf, &query, blocks, N(blocks), "1-1", &cursor),
                     KNOCK_OK);
    assert_true(buf.len > 1024 * 1024);
    assert_true(buf.len < 1024 * 1024 + 110000);
    assert_str(&cursor, "9-1.1");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(cursors),
        t(an_empty_log),
        t(entries_come_newest_first),
        t(pages_of_any_length),
        t(those_of_a_status),
        t(what_is_no_entry_is_left_out),
        t(a_page_has_so_many_bytes)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

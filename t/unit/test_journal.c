
/* knock_journal: what a worker has to write of the events of an endpoint */

#include "fixture.h"

#include "knock_apply.h"
#include "knock_journal.h"
#include "knock_limits.h"
#include "knock_log_entry.h"


#define DOC  "{\"event\":\"page\",\"actions\":[]}"


static knock_journal_t             journal;
static const knock_journal_conf_t  conf = { 16, 10000, 65536, 500 };


/* the journal has an arena of its own, which it empties */

static int
begin_journal(void **state)
{
    knock_arena_t  *own;

    if (setup(state)) {
        return 1;
    }

    own = knock_arena_create(4096);

    return own == NULL || knock_journal_init(&journal, own) != KNOCK_OK;
}


static int
end_journal(void **state)
{
    knock_arena_destroy(journal.arena);

    return teardown(state);
}


#define tj(name)                                                             \
    cmocka_unit_test_setup_teardown(name, begin_journal, end_journal)


static knock_record_t
record_of(const char *key, const char *event)
{
    knock_record_t  record;

    memset(&record, 0, sizeof(knock_record_t));

    record.key = str(key);
    record.text = str(event);
    record.doc = str(DOC);
    record.status = KNOCK_STATUS_IGNORED;
    record.now = 1700000000000;

    return record;
}


static void
add(const knock_record_t *record)
{
    assert_int_equal(knock_journal_add(&journal, &conf, record), KNOCK_OK);
}


static size_t
number_of(const knock_str_t *digits)
{
    size_t  i, n;

    for (n = 0, i = 0; i < digits->len; i++) {
        n = n * 10 + (size_t) (digits->data[i] - '0');
    }

    return n;
}


/*
 * The arguments of the FCALL from the one that counts the blocks on, with the
 * text of each block, as XADD has it, in place of its length.
 */

static const knock_str_t *
command(size_t *n)
{
    size_t                     i, at, nblocks, size;
    knock_str_t               *fcall, *block;
    knock_journal_commands_t   commands;

    static const knock_journal_keys_t  keys = {
        knock_string("s"), knock_string("endpoints"), knock_string("log"),
        knock_string("sizes"), knock_string("set"), knock_string("info")
    };

    static const char *const  xadd[] = { "XADD", "log", "*", "n" };

    static const char *const  head[] = {
        "FCALL", "knock_record", "5", "endpoints", "log", "sizes", "set",
        "info", KNOCK_LIBRARY_VERSION, "s", "10000", "65536", "500"
    };

    assert_int_equal(knock_journal_command(&journal, &conf, &keys, &commands),
                     KNOCK_OK);

    nblocks = journal.blocks.n / 2;
    at = 0;

    if (nblocks) {
        assert_int_equal(commands.n, nblocks + 3);
        assert_str(&commands.args.items[at], "MULTI");
        at += commands.argc[0];

    } else {
        assert_int_equal(commands.n, 1);
    }

    fcall = &commands.args.items[at + 7 * nblocks];

    for (i = 0; i < N(head); i++) {
        assert_str(&fcall[i], head[i]);
    }

    for (size = 0; size < nblocks; size++) {
        block = &commands.args.items[at];

        for (i = 0; i < N(xadd); i++) {
            assert_str(&block[i], xadd[i]);
        }

        assert_int_equal(commands.argc[1 + size], 7);
        assert_true(knock_str_eq(&block[4], &fcall[N(head) + 1 + 2 * size]));
        assert_str(&block[5], "b");
        assert_int_equal(number_of(&fcall[N(head) + 2 + 2 * size]),
                         block[6].len);

        fcall[N(head) + 2 + 2 * size] = block[6];
        at += 7;
    }

    *n = commands.argc[commands.n > 1 ? commands.n - 2 : 0] - N(head);

    if (nblocks) {
        assert_str(&commands.args.items[commands.args.n - 1], "EXEC");
    }

    return fcall + N(head);
}


static void
nothing_to_write(void **state)
{
    size_t              n;
    const knock_str_t  *args;

    (void) state;

    args = command(&n);

    assert_int_equal(n, 1);
    assert_str(&args[0], "0");
    assert_int_equal(journal.events, 0);
    assert_int_equal(journal.bytes, 0);
}


static void
an_entry_is_three_netstrings(void **state)
{
    size_t              n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{\"a\":1}");
    record.status = KNOCK_STATUS_PROCESSED;
    record.verdicts = str("ar;");
    add(&record);

    args = command(&n);

    assert_str(&args[0], "1");
    assert_str(&args[1], "1");
    assert_str(&args[2], "5:pwar;,29:" DOC ",7:{\"a\":1},");
    assert_int_equal(n, 3 + 4);

    assert_int_equal(journal.entries, 1);
    assert_int_equal(journal.events, 1);
    assert_true(journal.bytes >= args[2].len);
}


static void
events_of_a_key_are_counted_together(void **state)
{
    size_t              n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{}");
    add(&record);

    record = record_of("track/A", "[1]");
    record.now = 5;
    add(&record);

    record = record_of("page", "{\"more\":true,\"x\":12}");
    record.now = 7;
    add(&record);

    args = command(&n);

    assert_str(&args[0], "1");
    assert_str(&args[1], "3");
    assert_int_equal(n, 3 + 2 * 4);

    /* the key that came last first */

    assert_str(&args[3], "track/A");
    assert_str(&args[4], "1");
    assert_str(&args[5], "5");
    assert_str(&args[6], "[1]");

    /* an entry that does not have all of the event has no sample of it */

    assert_str(&args[7], "page");
    assert_str(&args[8], "2");
    assert_str(&args[9], "7");
    assert_str(&args[10], "{}");
}


static void
a_repeat_is_logged_and_not_counted(void **state)
{
    size_t              n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{}");
    record.status = KNOCK_STATUS_DUPLICATE;
    add(&record);

    args = command(&n);

    assert_int_equal(n, 3);
    assert_str(&args[2], "2:dw,29:" DOC ",2:{},");
    assert_int_equal(journal.entries, 1);
}


/* the log is off: without a document an event is only counted */

static void
an_event_without_a_document(void **state)
{
    size_t              n;
    knock_str_t         large;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{\"a\":1}");
    record.doc.len = 0;
    add(&record);

    record.sampled = 1;
    add(&record);

    record.sampled = 0;
    record.text = str("{\"a\":2}");
    add(&record);

    large = str(repeat("\"", "x", KNOCK_MAX_SAMPLE, "\""));
    record.sampled = 1;
    record.text = large;
    add(&record);

    args = command(&n);

    assert_str(&args[0], "0");
    assert_int_equal(n, 1 + 4);
    assert_str(&args[2], "4");
    assert_str(&args[4], "{\"a\":1}");
    assert_int_equal(journal.entries, 0);
    assert_int_equal(journal.events, 4);
}


static void
what_is_added_is_copied(void **state)
{
    char                event[8], key[5], doc[30], verdicts[3];
    size_t              n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    strcpy(event, "{\"a\":1}");
    strcpy(key, "page");
    strcpy(doc, DOC);
    strcpy(verdicts, "r;");

    record = record_of(key, event);
    record.doc = str(doc);
    record.verdicts = str(verdicts);
    add(&record);

    record.doc.len = 0;
    record.key = str("track");
    record.sampled = 1;
    add(&record);

    memset(event, 'x', sizeof(event));
    memset(key, 'x', sizeof(key));
    memset(doc, 'x', sizeof(doc));
    memset(verdicts, 'x', sizeof(verdicts));

    args = command(&n);

    assert_str(&args[2], "4:iwr;,29:" DOC ",7:{\"a\":1},");
    assert_str(&args[6], "{\"a\":1}");
    assert_str(&args[7], "page");
    assert_str(&args[10], "{\"a\":1}");
}


/* to so many bytes, and no part of a character */

static void
a_long_event_is_cut(void **state)
{
    size_t              i, n, at;
    knock_str_t         status, doc, event;
    knock_record_t      record;
    const knock_str_t  *args;

    static const struct {
        const char  *event;
        const char  *kept;
    } rows[] = {
        { "123456789012345", "123456789012345" },
        { "1234567890123456", "1234567890123456" },
        { "12345678901234567", "1234567890123456" },
        { "12345678901234\xc3\xbc", "12345678901234\xc3\xbc" },
        { "12345678901234\xc3\xbc+", "12345678901234\xc3\xbc" },
        { "123456789012345\xc3\xbc", "123456789012345" },
        { "1234567890123\xe2\x82\xac+", "1234567890123\xe2\x82\xac" },
        { "12345678901234\xe2\x82\xac", "12345678901234" },
        { "123456789012345\xe2\x82\xac", "123456789012345" },
        { "123456789012\xf0\x9f\x98\x80+",
          "123456789012\xf0\x9f\x98\x80" },
        { "1234567890123\xf0\x9f\x98\x80", "1234567890123" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        record = record_of("page", rows[i].event);
        add(&record);
    }

    args = command(&n);
    at = 0;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(knock_journal_entry(&args[2], &at, &status, &doc,
                                             &event), KNOCK_OK);
        assert_str(&status, strlen(rows[i].event) <= 16 ? "iw" : "ic");
        assert_str(&doc, DOC);
        assert_str(&event, rows[i].kept);
    }

    assert_int_equal(at, args[2].len);
}


static void
a_block_has_so_many_entries(void **state)
{
    size_t              i, n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{}");

    for (i = 0; i < 2 * KNOCK_BLOCK_ENTRIES + 1; i++) {
        add(&record);
    }

    args = command(&n);

    assert_str(&args[0], "3");
    assert_str(&args[1], "64");
    assert_str(&args[3], "64");
    assert_str(&args[5], "1");
    assert_str(&args[6], "2:iw,29:" DOC ",2:{},");
    assert_int_equal(args[2].len, 64 * args[6].len);
    assert_memory_equal(args[2].data, args[4].data, args[2].len);
    assert_str(&args[8], "129");
}


static void
a_block_has_so_many_bytes(void **state)
{
    size_t                i, n;
    knock_record_t        record;
    const knock_str_t    *args;
    knock_journal_conf_t  large;

    (void) state;

    large = conf;
    large.body = 1 << 20;

    record = record_of("page", repeat("\"", "x", 40000, "\""));

    for (i = 0; i < 5; i++) {
        assert_int_equal(knock_journal_add(&journal, &large, &record),
                         KNOCK_OK);
    }

    args = command(&n);

    assert_str(&args[0], "3");
    assert_str(&args[1], "2");
    assert_str(&args[3], "2");
    assert_str(&args[5], "1");
    assert_true(args[2].len > KNOCK_BLOCK_BYTES);
    assert_true(journal.bytes > 5 * 40000);

    /* the sample is the last event, which stands in the block */

    assert_str(&args[10], text(&record.text));
}


static void
a_document_that_is_too_large(void **state)
{
    size_t              n, at;
    knock_buf_t         buf;
    knock_str_t         id, status, doc, event, entry;
    knock_error_t       err;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{}");
    record.status = KNOCK_STATUS_PROCESSED;
    record.verdicts = str("ar;");
    record.doc = str(repeat("\"", "x", KNOCK_MAX_LOG_DOC - 2, "\""));
    add(&record);

    record.doc = str(repeat("\"", "x", KNOCK_MAX_LOG_DOC - 1, "\""));
    add(&record);

    args = command(&n);

    assert_str(&args[0], "2");

    at = 0;
    assert_int_equal(knock_journal_entry(&args[2], &at, &status, &doc, &event),
                     KNOCK_OK);
    assert_str(&status, "pwar;");
    assert_int_equal(doc.len, KNOCK_MAX_LOG_DOC);

    at = 0;
    assert_int_equal(knock_journal_entry(&args[4], &at, &status, &doc, &event),
                     KNOCK_OK);
    assert_str(&status, "pw");
    assert_text(knock_json_get(parse(text(&doc)), "reason"),
                "\"too_large_to_be_logged\"");
    assert_str(&event, "{}");

    /* it makes an entry like any other */

    id = str("1-0.0");
    knock_buf_init(&buf, arena, 256);

    assert_int_equal(knock_log_entry(arena, &buf, &id, &status, &doc, &event,
                                     &err), KNOCK_OK);
    assert_int_equal(knock_buf_str(&buf, &entry), KNOCK_OK);
    assert_str(&entry, "{\"id\":\"1-0.0\",\"event\":\"page\","
                       "\"message_id\":null,"
                       "\"received_at\":\"2023-11-14T22:13:20.000Z\","
                       "\"status\":\"processed\","
                       "\"reason\":\"too_large_to_be_logged\","
                       "\"notes\":[],\"actions\":[],\"payload\":{},"
                       "\"payload_truncated\":false}");
}


static void
a_journal_is_emptied(void **state)
{
    size_t              n;
    knock_record_t      record;
    const knock_str_t  *args;

    (void) state;

    record = record_of("page", "{}");
    add(&record);
    (void) command(&n);

    /* what could not be sent is sent with what comes to it */

    record = record_of("alias", "[]");
    add(&record);
    args = command(&n);

    assert_str(&args[0], "2");
    assert_str(&args[4], "2:iw,29:" DOC ",2:[],");
    assert_int_equal(n, 5 + 2 * 4);

    assert_int_equal(knock_journal_init(&journal, journal.arena), KNOCK_OK);
    add(&record);
    args = command(&n);

    assert_str(&args[0], "1");
    assert_int_equal(n, 3 + 4);
    assert_int_equal(journal.events, 1);
}


static void
many_keys(void **state)
{
    size_t          i, n;
    char            key[8];
    knock_record_t  record;

    (void) state;

    for (i = 0; i < 3000; i++) {
        (void) snprintf(key, sizeof(key), "k%zu", i % 1000);
        record = record_of(key, "{}");
        record.doc.len = 0;
        add(&record);
    }

    (void) command(&n);

    assert_int_equal(n, 1 + 4 * 1000);
    assert_int_equal(journal.ncounts, 1000);
}


/* what stands in Redis may be anything */

static void
what_is_no_entry_is_not_read(void **state)
{
    size_t       i, at;
    knock_str_t  block, status, doc, event;

    static const char *const  bad[] = {
        "", "2", "2:", "2:iw", "2:iw,", "2:iw,0:,", "2:iw,0:,0:",
        "2:iw,0:,0:x", "2iw,0:,0:,", ":iw,0:,0:,", "-2:iw,0:,0:,",
        " 2:iw,0:,0:,", "3:iw,0:,0:,", "1:iw,0:,0:,", "1:i,0:,0:,",
        "0:,0:,0:,", "2:iw,0:,1:,", "2:iw,9999999999:,0:,",
        "2:iw,99999999999999999999:,0:,", "00000000002:iw,0:,0:,"
    };

    (void) state;

    for (i = 0; i < N(bad); i++) {
        block = str(bad[i]);
        at = 0;

        if (knock_journal_entry(&block, &at, &status, &doc, &event)
            != KNOCK_DECLINED)
        {
            fail_msg("\"%s\" is an entry", bad[i]);
        }

        assert_int_equal(at, 0);
    }

    block = str("2:iw,3:a:,,0:,2:dw,0:,1:,,rest");
    at = 0;

    assert_int_equal(knock_journal_entry(&block, &at, &status, &doc, &event),
                     KNOCK_OK);
    assert_str(&doc, "a:,");
    assert_str(&event, "");
    assert_int_equal(knock_journal_entry(&block, &at, &status, &doc, &event),
                     KNOCK_OK);
    assert_str(&status, "dw");
    assert_str(&event, ",");
    assert_int_equal(knock_journal_entry(&block, &at, &status, &doc, &event),
                     KNOCK_DECLINED);
    assert_int_equal(block.len - at, 4);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        tj(nothing_to_write),
        tj(an_entry_is_three_netstrings),
        tj(events_of_a_key_are_counted_together),
        tj(a_repeat_is_logged_and_not_counted),
        tj(an_event_without_a_document),
        tj(what_is_added_is_copied),
        tj(a_long_event_is_cut),
        tj(a_block_has_so_many_entries),
        tj(a_block_has_so_many_bytes),
        tj(a_document_that_is_too_large),
        tj(a_journal_is_emptied),
        tj(many_keys),
        t(what_is_no_entry_is_not_read)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}


#include "knock_journal.h"
#include "knock_apply.h"
#include "knock_limits.h"
#include "knock_time.h"


#define KNOCK_JOURNAL_DIGITS  10        /* of a netstring's length */


typedef struct knock_count_s  knock_count_t;

struct knock_count_s {
    knock_str_t     key;
    knock_str_t     sample;         /* len 0: none */
    uint64_t        seen;           /* ms since 1970, the last one */
    size_t          events;
    knock_count_t  *next;
};


static int knock_journal_count(knock_journal_t *journal,
    const knock_record_t *record, const knock_str_t *text);
static void knock_journal_write(knock_journal_t *journal,
    const knock_journal_conf_t *conf, const knock_record_t *record,
    knock_str_t *text);
static int knock_journal_short(knock_arena_t *arena,
    const knock_record_t *record, knock_str_t *doc);
static void knock_journal_netstring(knock_buf_t *buf, const knock_str_t *str);
static int knock_journal_close(knock_journal_t *journal);
static void knock_journal_end(knock_journal_commands_t *commands);
static size_t knock_journal_cut(const knock_str_t *text, size_t len);
static int knock_journal_read(const knock_str_t *block, size_t *at,
    knock_str_t *str);


int
knock_journal_init(knock_journal_t *journal, knock_arena_t *arena)
{
    knock_arena_reset(arena);
    memset(journal, 0, sizeof(knock_journal_t));

    journal->arena = arena;
    journal->counts = knock_map_create(arena, 16);

    knock_buf_init(&journal->block, arena, 0);
    knock_strs_init(&journal->blocks, arena);

    return journal->counts ? KNOCK_OK : KNOCK_ERROR;
}


int
knock_journal_add(knock_journal_t *journal, const knock_journal_conf_t *conf,
    const knock_record_t *record)
{
    knock_str_t  kept;

    kept.len = 0;
    kept.data = NULL;

    journal->events++;
    journal->bytes += sizeof(knock_count_t);

    if (record->doc.len) {
        knock_journal_write(journal, conf, record, &kept);

        if (journal->block.failed) {
            return KNOCK_ERROR;
        }
    }

    if (record->status != KNOCK_STATUS_DUPLICATE
        && knock_journal_count(journal, record, &kept) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (journal->nblock >= KNOCK_BLOCK_ENTRIES
        || journal->block.len >= KNOCK_BLOCK_BYTES)
    {
        return knock_journal_close(journal);
    }

    return KNOCK_OK;
}


/* an entry that has the whole event holds its sample too */

static int
knock_journal_count(knock_journal_t *journal, const knock_record_t *record,
    const knock_str_t *text)
{
    knock_str_t     key;
    knock_count_t  *count;

    count = knock_map_get(journal->counts, &record->key);

    if (count == NULL) {
        count = knock_arena_calloc(journal->arena, 1, sizeof(knock_count_t));

        if (count == NULL
            || knock_arena_dup(journal->arena, &record->key, &key) != KNOCK_OK
            || knock_map_set(journal->counts, &key, count) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        count->key = key;
        count->next = journal->first;

        journal->first = count;
        journal->ncounts++;
    }

    count->events++;
    count->seen = record->now;

    if (text->len) {
        count->sample = *text;
        return KNOCK_OK;
    }

    if (!record->sampled || record->text.len > KNOCK_MAX_SAMPLE) {
        return KNOCK_OK;
    }

    journal->bytes += record->text.len;

    return knock_arena_dup(journal->arena, &record->text, &count->sample);
}


/* `text` is where the event stands in the block, if all of it does */

static void
knock_journal_write(knock_journal_t *journal, const knock_journal_conf_t *conf,
    const knock_record_t *record, knock_str_t *text)
{
    size_t         before;
    knock_buf_t   *block;
    knock_str_t    verdicts, doc, body;
    unsigned char  status[2];

    block = &journal->block;

    if (journal->nblock == 0) {
        knock_buf_init(block, journal->arena, KNOCK_BLOCK_BYTES);
    }

    before = block->len;

    body.data = record->text.data;
    body.len = record->text.len <= conf->body
               ? record->text.len
               : knock_journal_cut(&record->text, conf->body);

    status[0] = (unsigned char) record->status;
    status[1] = body.len == record->text.len ? KNOCK_KEPT_WHOLE
                                             : KNOCK_KEPT_CUT;

    verdicts = record->verdicts;
    doc = record->doc;

    if (doc.len > KNOCK_MAX_LOG_DOC) {
        verdicts.len = 0;

        if (knock_journal_short(journal->arena, record, &doc) != KNOCK_OK) {
            block->failed = 1;
            return;
        }
    }

    knock_buf_add_uint(block, sizeof(status) + verdicts.len);
    knock_buf_add_char(block, ':');
    knock_buf_add(block, status, sizeof(status));
    knock_buf_add_str(block, &verdicts);
    knock_buf_add_char(block, ',');

    knock_journal_netstring(block, &doc);
    knock_journal_netstring(block, &body);

    if (block->failed) {
        return;
    }

    if (status[1] == KNOCK_KEPT_WHOLE && body.len <= KNOCK_MAX_SAMPLE) {
        text->len = body.len;
        text->data = block->data + block->len - 1 - body.len;
    }

    journal->nblock++;
    journal->entries++;
    journal->bytes += block->len - before;
}


/* a document in place of one that is too large */

static int
knock_journal_short(knock_arena_t *arena, const knock_record_t *record,
    knock_str_t *doc)
{
    knock_buf_t    buf;
    unsigned char  time[KNOCK_TIME_LEN];

    knock_time_format(record->now, time);

    knock_buf_init(&buf, arena, 256);
    knock_buf_add_lit(&buf, "{\"event\":");
    knock_buf_add_json(&buf, &record->key);
    knock_buf_add_lit(&buf, ",\"message_id\":null,\"received_at\":\"");
    knock_buf_add(&buf, time, KNOCK_TIME_LEN);
    knock_buf_add_lit(&buf, "\",\"reason\":\"too_large_to_be_logged\","
                            "\"actions\":[]}");

    return knock_buf_str(&buf, doc);
}


static void
knock_journal_netstring(knock_buf_t *buf, const knock_str_t *str)
{
    knock_buf_add_uint(buf, str->len);
    knock_buf_add_char(buf, ':');
    knock_buf_add_str(buf, str);
    knock_buf_add_char(buf, ',');
}


static int
knock_journal_close(knock_journal_t *journal)
{
    knock_str_t  block;

    if (journal->nblock == 0) {
        return KNOCK_OK;
    }

    if (knock_buf_str(&journal->block, &block) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    knock_strs_add_uint(&journal->blocks, journal->nblock);
    knock_strs_add(&journal->blocks, &block);

    journal->nblock = 0;
    journal->block.len = 0;

    return journal->blocks.failed ? KNOCK_ERROR : KNOCK_OK;
}


/* so many bytes at the most, and no part of a character of UTF-8 */

static size_t
knock_journal_cut(const knock_str_t *text, size_t len)
{
    while (len && (text->data[len] & 0xc0) == 0x80) {
        len--;
    }

    return len;
}


int
knock_journal_command(knock_journal_t *journal,
    const knock_journal_conf_t *conf, const knock_journal_keys_t *keys,
    knock_journal_commands_t *commands)
{
    size_t                i, nblocks;
    knock_strs_t         *args;
    const knock_str_t    *block;
    const knock_count_t  *count;

    if (knock_journal_close(journal) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    nblocks = journal->blocks.n / 2;
    args = &commands->args;

    commands->n = 0;
    commands->argc = knock_arena_alloc(journal->arena,
                                       (nblocks + 3) * sizeof(size_t));
    if (commands->argc == NULL) {
        return KNOCK_ERROR;
    }

    knock_strs_init(args, journal->arena);

    if (nblocks) {
        knock_strs_add_lit(args, "MULTI");
        knock_journal_end(commands);
    }

    for (i = 0; i < nblocks; i++) {
        block = &journal->blocks.items[2 * i];

        knock_strs_add_lit(args, "XADD");
        knock_strs_add(args, &keys->log);
        knock_strs_add_lit(args, "*");
        knock_strs_add_lit(args, "n");
        knock_strs_add(args, &block[0]);
        knock_strs_add_lit(args, "b");
        knock_strs_add(args, &block[1]);
        knock_journal_end(commands);
    }

    knock_strs_add_lit(args, "FCALL");
    knock_strs_add_lit(args, "knock_record");
    knock_strs_add_lit(args, "5");
    knock_strs_add(args, &keys->endpoints);
    knock_strs_add(args, &keys->log);
    knock_strs_add(args, &keys->log_sizes);
    knock_strs_add(args, &keys->catalogue);
    knock_strs_add(args, &keys->catalogue_info);

    knock_strs_add_lit(args, KNOCK_LIBRARY_VERSION);
    knock_strs_add(args, &keys->source);
    knock_strs_add_uint(args, conf->log_length);
    knock_strs_add_uint(args, conf->log_bytes);
    knock_strs_add_uint(args, conf->catalogue_length);
    knock_strs_add_uint(args, nblocks);

    for (i = 0; i < nblocks; i++) {
        block = &journal->blocks.items[2 * i];

        knock_strs_add(args, &block[0]);
        knock_strs_add_uint(args, block[1].len);
    }

    for (count = journal->first; count; count = count->next) {
        knock_strs_add(args, &count->key);
        knock_strs_add_uint(args, count->events);
        knock_strs_add_uint(args, count->seen);
        knock_strs_add(args, &count->sample);
    }

    knock_journal_end(commands);

    if (nblocks) {
        knock_strs_add_lit(args, "EXEC");
        knock_journal_end(commands);
    }

    return args->failed ? KNOCK_ERROR : KNOCK_OK;
}


/* what has come since the last command is one */

static void
knock_journal_end(knock_journal_commands_t *commands)
{
    size_t  i, n;

    n = commands->args.n;

    for (i = 0; i < commands->n; i++) {
        n -= commands->argc[i];
    }

    commands->argc[commands->n++] = n;
}


int
knock_journal_entry(const knock_str_t *block, size_t *at, knock_str_t *status,
    knock_str_t *doc, knock_str_t *text)
{
    size_t  next;

    next = *at;

    if (knock_journal_read(block, &next, status) != KNOCK_OK
        || knock_journal_read(block, &next, doc) != KNOCK_OK
        || knock_journal_read(block, &next, text) != KNOCK_OK
        || status->len < 2)
    {
        return KNOCK_DECLINED;
    }

    *at = next;

    return KNOCK_OK;
}


static int
knock_journal_read(const knock_str_t *block, size_t *at, knock_str_t *str)
{
    size_t  i, n;

    n = 0;

    for (i = *at; i < block->len && block->data[i] >= '0'
                  && block->data[i] <= '9'
                  && i - *at < KNOCK_JOURNAL_DIGITS; i++)
    {
        n = n * 10 + (block->data[i] - '0');
    }

    if (i == *at || i >= block->len || block->data[i] != ':'
        || n >= block->len - i - 1 || block->data[i + 1 + n] != ',')
    {
        return KNOCK_DECLINED;
    }

    str->len = n;
    str->data = block->data + i + 1;

    *at = i + 1 + n + 1;

    return KNOCK_OK;
}


#include "knock_log_page.h"
#include "knock_journal.h"


/* a page ends behind the entry that brings it to this */
#define KNOCK_LOG_PAGE_BYTES  (1024 * 1024)

#define KNOCK_LOG_DIGITS      20


/* an entry of a block */

typedef struct {
    knock_str_t  status;
    knock_str_t  doc;
    knock_str_t  text;
} knock_logged_t;


static knock_logged_t *knock_log_entries(knock_arena_t *arena,
    const knock_str_t *block, size_t *n);
static int knock_log_name(knock_arena_t *arena, const knock_str_t *block,
    size_t i, knock_str_t *name);


int
knock_log_cursor(const knock_str_t *cursor, knock_str_t *block,
    knock_log_query_t *query)
{
    size_t  i, digits, dashes;

    query->left = KNOCK_LOG_ALL;
    *block = *cursor;

    if (cursor->len == 0) {
        return KNOCK_OK;
    }

    digits = 0;
    dashes = 0;

    for (i = 0; i < cursor->len && cursor->data[i] != '.'; i++) {

        if (cursor->data[i] == '-' && digits && dashes == 0) {
            dashes = 1;
            digits = 0;
            continue;
        }

        if (cursor->data[i] < '0' || cursor->data[i] > '9'
            || ++digits > KNOCK_LOG_DIGITS)
        {
            return KNOCK_DECLINED;
        }
    }

    if (digits == 0 || dashes == 0) {
        return KNOCK_DECLINED;
    }

    block->len = i;

    if (i == cursor->len) {
        return KNOCK_OK;
    }

    query->left = 0;

    if (++i == cursor->len) {
        return KNOCK_DECLINED;
    }

    for ( /* void */ ; i < cursor->len; i++) {
        if (cursor->data[i] < '0' || cursor->data[i] > '9'
            || query->left > KNOCK_BLOCK_ENTRIES)
        {
            return KNOCK_DECLINED;
        }

        query->left = query->left * 10 + (cursor->data[i] - '0');
    }

    return KNOCK_OK;
}


int
knock_log_page(knock_arena_t *arena, knock_buf_t *buf,
    const knock_log_query_t *query, const knock_log_block_t *blocks, size_t n,
    const knock_str_t *next, knock_str_t *cursor, knock_error_t *err)
{
    int              rc;
    size_t           b, i, found, before, nentries;
    knock_str_t      id;
    knock_logged_t  *entries, *e;

    *cursor = *next;
    found = 0;
    before = buf->len;

    for (b = 0; b < n; b++) {
        entries = knock_log_entries(arena, &blocks[b].text, &nentries);

        if (entries == NULL) {
            return knock_error_memory(err);
        }

        i = (b == 0 && query->left < nentries) ? query->left : nentries;

        while (i--) {

            if (found == query->limit
                || buf->len - before >= KNOCK_LOG_PAGE_BYTES)
            {
                return knock_log_name(arena, &blocks[b].id, i + 1, cursor)
                       == KNOCK_OK ? KNOCK_OK : knock_error_memory(err);
            }

            e = &entries[i];

            if (query->statuses.len
                && memchr(query->statuses.data, e->status.data[0],
                          query->statuses.len) == NULL)
            {
                continue;
            }

            if (knock_log_name(arena, &blocks[b].id, i, &id) != KNOCK_OK) {
                return knock_error_memory(err);
            }

            rc = knock_log_entry(arena, buf, &id, &e->status, &e->doc,
                                 &e->text, err);

            if (rc == KNOCK_ERROR) {
                return KNOCK_ERROR;
            }

            found += (rc == KNOCK_OK);
        }
    }

    return KNOCK_OK;
}


/* NULL: no memory */

static knock_logged_t *
knock_log_entries(knock_arena_t *arena, const knock_str_t *block, size_t *n)
{
    size_t           at;
    knock_logged_t  *entries, *e;

    *n = 0;
    at = 0;

    entries = knock_arena_alloc(arena,
                                KNOCK_BLOCK_ENTRIES * sizeof(knock_logged_t));
    if (entries == NULL) {
        return NULL;
    }

    while (*n < KNOCK_BLOCK_ENTRIES) {
        e = &entries[*n];

        if (knock_journal_entry(block, &at, &e->status, &e->doc, &e->text)
            != KNOCK_OK)
        {
            break;
        }

        (*n)++;
    }

    return entries;
}


/* BLOCK.i: the entry's id, and a cursor to those that came before it */

static int
knock_log_name(knock_arena_t *arena, const knock_str_t *block, size_t i,
    knock_str_t *name)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, block->len + 4);
    knock_buf_add_str(&buf, block);
    knock_buf_add_char(&buf, '.');
    knock_buf_add_uint(&buf, i);

    return knock_buf_str(&buf, name);
}


/*
 * A page of the event log, put together from blocks of a journal as Redis
 * holds them (knock_journal.h): the entries that are asked for, newest first.
 */

#ifndef KNOCK_LOG_PAGE_H
#define KNOCK_LOG_PAGE_H


#include "knock_log_entry.h"


typedef struct {
    knock_str_t  id;
    knock_str_t  text;
} knock_log_block_t;


typedef struct {
    size_t       limit;         /* entries of a page */
    knock_str_t  statuses;      /* those asked for, one knock_status_e a byte;
                                   len 0: all */
    size_t       left;          /* of the first block so many entries are not
                                   shown yet; KNOCK_LOG_ALL: none is */
} knock_log_query_t;


#define KNOCK_LOG_ALL  ((size_t) -1)


/*
 * Reads a cursor, as a page answers it, or len 0 for the newest entries: the
 * id of the block that the page begins with (or len 0), and query->left.
 * KNOCK_OK, or KNOCK_DECLINED: it is none.
 */
int knock_log_cursor(const knock_str_t *cursor, knock_str_t *block,
    knock_log_query_t *query);

/*
 * Appends the entries of a page, and sets the cursor (len 0: there are no
 * more); `next` is the id of the block behind the given ones, or len 0.
 * Entries that are none are left out.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_log_page(knock_arena_t *arena, knock_buf_t *buf,
    const knock_log_query_t *query, const knock_log_block_t *blocks, size_t n,
    const knock_str_t *next, knock_str_t *cursor, knock_error_t *err);


#endif /* KNOCK_LOG_PAGE_H */

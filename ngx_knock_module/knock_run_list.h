
/*
 * The list of runs that wait, newest first, put together from those of the
 * shards.  A page is paged by place: its cursor says, for each shard, how many
 * of its runs come before.
 */

#ifndef KNOCK_RUN_LIST_H
#define KNOCK_RUN_LIST_H


#include "knock_arena.h"
#include "knock_error.h"


typedef struct {
    knock_str_t  at;        /* when it was enqueued, as JSON */
    knock_str_t  text;      /* the run */
} knock_listed_run_t;


/* what a shard has of a page, as knock_run_page answers it */

typedef struct {
    uint64_t             offset;    /* given: so many come before */
    uint64_t             length;    /* of the shard's list */
    knock_str_t          oldest;    /* when it was enqueued, as JSON */
    knock_listed_run_t  *runs;
    size_t               n;
} knock_run_slice_t;


/*
 * Reads a cursor, empty for the first page, into the slices' offsets.
 * KNOCK_OK; or KNOCK_ERROR with KNOCK_E_INVALID_CURSOR.
 */
int knock_run_cursor(const knock_str_t *cursor, knock_run_slice_t *slices,
    size_t nshards, knock_error_t *err);

/* how many runs each shard is to be asked for, of a page of `limit` */
size_t knock_run_wanted(size_t limit, size_t nshards);

/*
 * The page, in the arena: {"length","oldest_at","items":[...],"cursor"}.  It
 * ends before `limit` where a shard has more than it gave, since one of those
 * might be next.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_run_list(knock_arena_t *arena, knock_run_slice_t *slices,
    size_t nshards, size_t limit, knock_str_t *json);


#endif /* KNOCK_RUN_LIST_H */


/*
 * How many events of each event key a call has, for the catalogues: Redis
 * counts once a call rather than once an event.
 */

#ifndef KNOCK_COUNTS_H
#define KNOCK_COUNTS_H


#include "knock_buf.h"
#include "knock_map.h"


typedef struct knock_count_s  knock_count_t;

struct knock_count_s {
    size_t          number;         /* among the counts, from 1 */
    size_t          catalogue;      /* index of its key in KEYS */
    size_t          events;
    size_t          sampled;        /* event of the call, from 1, or 0 */
    knock_str_t     key;            /* the events' */
    knock_str_t     sample;         /* len 0: none */
    knock_count_t  *other;          /* of the same key in another catalogue */
    knock_count_t  *next;           /* in order of their numbers */
};


typedef struct {
    knock_arena_t   *arena;
    knock_map_t     *map;           /* event key -> knock_count_t */
    knock_count_t   *first;
    knock_count_t  **last;
    size_t           n;
    knock_buf_t      tally;         /* of each event a pointer to its count */
    size_t           nevents;
} knock_counts_t;


/* starts without any; KNOCK_OK, or KNOCK_ERROR: no memory */
int knock_counts_init(knock_counts_t *counts, knock_arena_t *arena);

/*
 * Counts the event number `event` (from 1) of the call, and keeps its sample
 * (unless that has len 0) in place of an earlier one.  The bytes of both must
 * live as long as the counts.  The number of its count; 0: no memory, and
 * nothing is counted.
 */
size_t knock_counts_add(knock_counts_t *counts, size_t catalogue,
    const knock_str_t *key, const knock_str_t *sample, size_t event);

/*
 * Takes back the last events, so that `nevents` are left.  A count may then
 * have none, and has no sample if it was of one of them.
 */
void knock_counts_rewind(knock_counts_t *counts, size_t nevents);


#endif /* KNOCK_COUNTS_H */

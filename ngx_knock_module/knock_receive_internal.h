
/*
 * What the files of knock_receive() share; nobody else includes this.
 *
 *   knock_receive.c        a body: signature, JSON, its events
 *   knock_receive_event.c  an event: what it does, at which place
 */

#ifndef KNOCK_RECEIVE_INTERNAL_H
#define KNOCK_RECEIVE_INTERNAL_H


#include "knock_receive.h"


/* the work on one body */

typedef struct {
    knock_arena_t          *arena;
    knock_parts_t          *parts;
    const knock_receive_t  *in;
    knock_error_t          *err;

    size_t                  nevents;        /* valid ones, up to now */
    size_t                  nactions;       /* of the last one */
    size_t                 *indexes;        /* of each in the body */
    knock_str_t            *orders;         /* of each, or NULL */
    knock_buf_t             order;          /* of the last one */
    knock_buf_t             errors;
    knock_str_t             updated_at;     /* now, as JSON */
    size_t                  run_bytes;      /* of the runs, up to now */
    unsigned                refused:1;      /* for a reason that *err tells */
} knock_work_t;


/*
 * Makes what an event does, the event at `index` of the body, and its place
 * in work->indexes.  KNOCK_OK, or KNOCK_ERROR: no memory, or work->refused.
 */
int knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index);


#endif /* KNOCK_RECEIVE_INTERNAL_H */


/*
 * What the files of knock_receive() share; nobody else includes this.
 *
 *   knock_receive.c        a body: signature, JSON, its events
 *   knock_receive_check.c  an event: what it resolves to, may it be applied
 *   knock_receive_event.c  what it does, at which place
 */

#ifndef KNOCK_RECEIVE_INTERNAL_H
#define KNOCK_RECEIVE_INTERNAL_H


#include "knock_flood.h"
#include "knock_receive.h"
#include "knock_run.h"


/* the work on one body */

typedef struct {
    knock_arena_t          *arena;
    knock_parts_t          *parts;
    const knock_receive_t  *in;
    knock_error_t          *err;

    unsigned                replaced:1;     /* strings of some events */
    unsigned char          *types;          /* of each valid event */
    size_t                  nevents;        /* valid ones, up to now */
    size_t                 *indexes;        /* of each in the body */
    knock_str_t            *orders;         /* of each, or NULL */
    knock_buf_t             errors;
    knock_flood_t           flood;
    knock_str_t             updated_at;     /* now, as JSON */
    size_t                  run_bytes;      /* of the runs, up to now */

    /* of the last event */

    unsigned                marked:1;
    unsigned char           mark[KNOCK_MARK_LEN];
    knock_ref_t             user;           /* nupserts 0: it makes none */
    size_t                  nactions;
    size_t                  nresolved;      /* actions that did not fail */
    knock_resolved_t       *resolved;       /* each action */
    knock_run_t            *runs;           /* of each that has recipients */
    knock_buf_t             order;
} knock_work_t;


/*
 * Resolves what is to act on the event at `index` of the body, and asks
 * whether it may be applied: nothing has been made of it yet.  KNOCK_OK;
 * KNOCK_DECLINED with an error for this event; KNOCK_ERROR: no memory.
 */
int knock_receive_check(knock_work_t *work, const knock_event_t *event,
    const knock_actions_t *actions, size_t index, knock_error_t *err);

/*
 * Makes what an event does, the event at `index` of the body, and its place
 * in work->indexes.  As knock_receive_check().
 */
int knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index, knock_error_t *err);


#endif /* KNOCK_RECEIVE_INTERNAL_H */

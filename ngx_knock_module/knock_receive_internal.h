
/*
 * What the files of knock_receive_event() share; nobody else includes this.
 *
 *   knock_receive_check.c  an event: read, and may it be applied
 *   knock_receive_event.c  what it does, at which place
 */

#ifndef KNOCK_RECEIVE_INTERNAL_H
#define KNOCK_RECEIVE_INTERNAL_H


#include "knock_receive.h"
#include "knock_run.h"


/* the work on one event */

typedef struct {
    knock_arena_t           *arena;
    knock_round_t           *round;
    knock_receive_t         *in;
    knock_task_t            *task;
    knock_error_t           *err;

    const knock_event_t     *event;
    const knock_actions_t   *actions;       /* NULL: there are none */
    knock_resolved_t        *resolved;      /* of each */
    size_t                   nactions;
    knock_ref_t              user;          /* nupserts 0: it makes none */
    knock_str_t              message;       /* that ids are derived from */
    size_t                   run_bytes;     /* of the runs, up to now */
    unsigned                 logged:1;
} knock_work_t;


/*
 * Reads an element of the body, from its text where its JSON has gone.
 * KNOCK_OK; KNOCK_DECLINED with *err filled in; KNOCK_ERROR: no memory.
 */
int knock_receive_read(knock_round_t *round, const knock_receive_t *in,
    const knock_element_t *element, knock_event_t *event, knock_error_t *err);

/*
 * Asks whether what the event resolves to may be handed to Redis: nothing has
 * been made of it yet.  As the above.
 */
int knock_receive_check(knock_work_t *work);


#endif /* KNOCK_RECEIVE_INTERNAL_H */

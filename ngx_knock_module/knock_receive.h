
/*
 * What a request body does: signature, JSON, events, mapping, a task for each
 * event.  An event can be received again, under a newer configuration or with
 * what Redis said of the objects to be merged.
 */

#ifndef KNOCK_RECEIVE_H
#define KNOCK_RECEIVE_H


#include "knock_limits.h"
#include "knock_log.h"
#include "knock_signature.h"
#include "knock_task.h"


#define KNOCK_SEED_LEN  16


typedef struct {
    const knock_limits_t     *limits;
    knock_signature_mode_e    signature_mode;
    knock_log_e               log;
    uint64_t                  now;          /* ms since 1970, when the body
                                               was there */

    const knock_endpoint_t   *endpoint;
    knock_str_t               signature;    /* header, len 0: none */
    knock_str_t               body;

    unsigned                  lone:1;       /* there are lone surrogates */
    unsigned                  seeded:1;
    unsigned char             seed[KNOCK_SEED_LEN];     /* of the ids of runs
                                                           without messageId */
} knock_receive_t;


/*
 * Finds the events of a body, `n` of them from `first` on, read into the arena.
 * One that is bad by itself is KNOCK_JSON_BAD.
 * KNOCK_OK; or KNOCK_ERROR with an error that answers the whole request.
 */
int knock_receive(knock_arena_t *arena, knock_receive_t *in,
    const knock_json_t **first, size_t *n, knock_error_t *err);

/*
 * Makes what an event of the body does.  KNOCK_OK; KNOCK_DECLINED with *err
 * filled in: the event is refused; KNOCK_ERROR: no memory.
 */
int knock_receive_event(knock_round_t *round, knock_receive_t *in,
    knock_element_t *element, knock_task_t **task, knock_error_t *err);


#endif /* KNOCK_RECEIVE_H */

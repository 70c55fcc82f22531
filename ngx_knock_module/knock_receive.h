
/*
 * What a request body does: signature, JSON, events, mapping, one unit for
 * Redis.  A body can be received again, under a newer configuration or with
 * what Redis said of the objects to be merged: nothing is kept in between.
 */

#ifndef KNOCK_RECEIVE_H
#define KNOCK_RECEIVE_H


#include "knock_apply.h"
#include "knock_limits.h"
#include "knock_log.h"
#include "knock_signature.h"


typedef struct {
    const knock_limits_t     *limits;
    knock_signature_mode_e    signature_mode;
    knock_log_e               log;
    unsigned                 *samples;      /* that may yet be kept */
    uint64_t                  now;          /* ms since 1970 */

    const knock_endpoint_t   *endpoint;
    knock_str_t               signature;    /* header, len 0: none */
    knock_str_t               body;
    const knock_need_t       *need;         /* NULL: the first time */
} knock_receive_t;


typedef struct {
    size_t         nevents;     /* in the unit: in the body less the invalid */
    size_t        *indexes;     /* of the unit's events in the body; NULL: as
                                   they are in the unit */
    knock_str_t    errors;      /* known so far: entries of the answer's
                                   "errors", without the brackets */
    unsigned char *types;       /* a knock_event_type_e for each of these */
    knock_str_t    statuses;    /* of the events, and their runs, if all goes */
    uint64_t       runs;        /* as expected: knock_unit_expect() */
} knock_received_t;


/*
 * Receives a body and adds its unit to the call.  The call's arena is used
 * for all; body, endpoint and need must live as long as the call.
 *
 * KNOCK_OK; or KNOCK_ERROR with an error that answers the whole request:
 * nothing has been added then, and received->errors may list its reasons.
 */
int knock_receive(knock_apply_t *apply, const knock_receive_t *in,
    knock_received_t *received, knock_error_t *err);


#endif /* KNOCK_RECEIVE_H */

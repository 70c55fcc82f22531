
/*
 * What a request body does: signature, JSON, events, mapping, one unit for
 * each place in Redis.  A body can be received again, under a newer
 * configuration or with what Redis said of the objects to be merged: nothing
 * is kept in between.
 */

#ifndef KNOCK_RECEIVE_H
#define KNOCK_RECEIVE_H


#include "knock_limits.h"
#include "knock_log.h"
#include "knock_parts.h"
#include "knock_signature.h"


typedef struct {
    const knock_limits_t     *limits;
    knock_signature_mode_e    signature_mode;
    knock_log_e               log;
    unsigned                 *samples;      /* that may yet be kept */
    uint64_t                  now;          /* ms since 1970, as */
    uint64_t                  received;     /* is when the body was there */

    const knock_endpoint_t   *endpoint;
    knock_str_t               signature;    /* header, len 0: none */
    knock_str_t               body;
} knock_receive_t;


typedef struct {
    size_t         nevents;     /* in the body less the invalid */
    size_t        *indexes;     /* of these in the body; NULL: as they are */
    knock_str_t    errors;      /* known so far: entries of the answer's
                                   "errors", without the brackets */
    knock_str_t   *orders;      /* of each event, for home: knock_parts.h;
                                   NULL: there is one shard */
    unsigned char *types;       /* a knock_event_type_e for each of these */
} knock_received_t;


/*
 * Receives a body and adds its parts to their calls (but home of several
 * shards, which is to follow).  The arena of the parts is used for all; body,
 * endpoint and needs must live as long as the calls.
 *
 * KNOCK_OK; or KNOCK_ERROR with an error that answers the whole request:
 * nothing has been added then, and received->errors may list its reasons.
 */
int knock_receive(knock_parts_t *parts, const knock_receive_t *in,
    knock_received_t *received, knock_error_t *err);


#endif /* KNOCK_RECEIVE_H */

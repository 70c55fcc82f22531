
/*
 * Users as the control API writes them: each is an upsert, applied by the same
 * function, under the same rules of merging, as an identify event.
 */

#ifndef KNOCK_USER_H
#define KNOCK_USER_H


#include "knock_receive.h"


typedef struct {
    const knock_limits_t  *limits;
    const knock_json_t    *users;   /* a list of users; or, with an id, the
                                       properties of one */
    knock_str_t            id;      /* of the one user; data NULL: a list */
    knock_str_t            guard_etag;  /* that the one user must have, as
                                           knock_apply takes it; len 0: any */
    uint64_t               now;     /* ms since 1970 */
} knock_user_batch_t;


/*
 * Adds the parts of the users to their calls, with one event for each user:
 * status "processed", unmarked, in no catalogue and no log, and so not at
 * home.  A user is an object, in a list with an "id"; its other members are
 * properties in Knock's own names, of which only those given change, null
 * included.  "updated_at" is left out, as is "collection", which may only be
 * "$users" or null, and beside an id from elsewhere "id", which must be the
 * same then.
 *
 * The arena of the parts is used for all; tokens, strings and needs must live
 * as long as the calls.  As a body of events, users can be added again with
 * what Redis said of the objects to be merged.
 *
 * Users of a list that are invalid are told in received->errors and the others
 * are added.  KNOCK_OK; or KNOCK_ERROR: nothing has been added, and
 * received->errors may list its reasons: KNOCK_E_INVALID_USER (the one, or
 * all of the list), KNOCK_E_INVALID_BODY (no list, or an empty one),
 * KNOCK_E_BATCH_TOO_LARGE (over limits->max_batch), KNOCK_E_INTERNAL.
 */
int knock_user_add(knock_parts_t *parts, const knock_user_batch_t *in,
    knock_received_t *received, knock_error_t *err);

/*
 * Whether bytes from a path can be a user's id: UTF-8, otherwise the rules of
 * knock_event_id().  KNOCK_OK, or KNOCK_ERROR with KNOCK_E_INVALID_USER or
 * KNOCK_E_INTERNAL.
 */
int knock_user_id_check(knock_arena_t *arena, const knock_str_t *id,
    knock_error_t *err);


#endif /* KNOCK_USER_H */

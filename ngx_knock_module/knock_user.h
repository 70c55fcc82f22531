
/*
 * Users as the control API writes them: each is an upsert, applied by the same
 * function, under the same rules of merging, as an identify event.
 */

#ifndef KNOCK_USER_H
#define KNOCK_USER_H


#include "knock_limits.h"
#include "knock_task.h"


typedef struct {
    const knock_limits_t  *limits;
    const knock_json_t    *users;   /* a list of users; or, with an id, the
                                       properties of one */
    knock_str_t            id;      /* of the one user; data NULL: a list */
    knock_str_t            guard_etag;  /* that the one user must have, as
                                           knock_apply takes it; len 0: any */
} knock_user_batch_t;


/*
 * Finds the users, `n` of them from `first` on.  KNOCK_OK, or KNOCK_ERROR with
 * KNOCK_E_INVALID_BODY (no list, or an empty one) or KNOCK_E_BATCH_TOO_LARGE
 * (over limits->max_batch).
 */
int knock_user_list(const knock_user_batch_t *in, const knock_json_t **first,
    size_t *n, knock_error_t *err);

/*
 * Makes what a user does: a task with status "processed", unmarked and not
 * logged.  A user is an object, in a list with an "id"; its other members are
 * properties in Knock's own names, of which only those given change, null
 * included.  "updated_at" is left out, as is "collection", which may only be
 * "$users" or null, and beside an id from elsewhere "id", which must be the
 * same then.
 *
 * KNOCK_OK; KNOCK_DECLINED with KNOCK_E_INVALID_USER; KNOCK_ERROR: no memory.
 */
int knock_user_receive(knock_round_t *round, const knock_user_batch_t *in,
    knock_element_t *element, knock_task_t **task, knock_error_t *err);

/*
 * Whether bytes from a path can be a user's id: UTF-8, otherwise the rules of
 * knock_event_id().  KNOCK_OK, or KNOCK_ERROR with KNOCK_E_INVALID_USER or
 * KNOCK_E_INTERNAL.
 */
int knock_user_id_check(knock_arena_t *arena, const knock_str_t *id,
    knock_error_t *err);


#endif /* KNOCK_USER_H */


/*
 * A mapping applied: the parameters of an action as one event resolves them.
 */

#ifndef KNOCK_MAPPING_H
#define KNOCK_MAPPING_H


#include "knock_action.h"
#include "knock_entity.h"
#include "knock_limits.h"


/* a reference to a user ("$users") or an object, and what is inline with it */

typedef struct {
    knock_str_t      collection;
    knock_str_t      id;
    knock_upsert_t  *upserts;       /* in order; none: a bare id */
    size_t           nupserts;
} knock_ref_t;


typedef struct {
    const knock_json_t  *value;     /* the element as it stands in the event */
    const char          *reason;    /* "invalid_recipient", "invalid_id"... */
} knock_left_out_t;


typedef struct {
    const knock_action_t  *action;
    knock_error_t          error;   /* code KNOCK_E_NONE: it resolved */

    knock_ref_t           *recipients;  /* distinct, in order of appearance */
    size_t                 nrecipients;
    knock_left_out_t      *left_out;
    size_t                 nleft_out;

    knock_ref_t           *actor;       /* NULL: null */
    knock_ref_t           *tenant;      /* NULL: null */
    knock_str_t            cancellation_key;    /* data NULL: null */
} knock_resolved_t;


/*
 * Resolves an action's parameters for an event.  Each distinct recipient
 * (collection and id) stands once; inline objects of the same recipient add
 * their upserts to it in order.  An element that is no id and no object with
 * one is left out with its reason: "invalid_recipient" (wrong type),
 * "invalid_id", "invalid_collection".  A list inside a list is left out.
 *
 * resolved->error: KNOCK_E_RECIPIENTS_MISSING if the recipients' paths find
 * nothing or null (an empty list is no error), KNOCK_E_TOO_MANY_RECIPIENTS
 * over limits->max_recipients distinct ones; nothing else is then filled in.
 * What [*] finds are elements each; none is nothing found.  Parts of a
 * recipients array that are missing are passed over; all of them is an error.
 * Actor: an id or object as a recipient, otherwise null.  Tenant: an id or an
 * object with `id` (collection "$tenants" always), otherwise null.
 * Cancellation key: an id, otherwise null.
 *
 * KNOCK_OK (also with an error inside), or KNOCK_ERROR: no memory.
 */
int knock_mapping_resolve(knock_arena_t *arena, const knock_action_t *action,
    const knock_event_t *event, const knock_limits_t *limits,
    knock_resolved_t *resolved);


#endif /* KNOCK_MAPPING_H */

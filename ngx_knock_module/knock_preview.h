
/*
 * A preview: what an action would do with a sample event.  Nothing is changed
 * by it.  It takes two steps, since only Redis knows who is identified:
 *
 *     knock_preview_resolve(arena, &in, &preview, &err);
 *     ... ask for the existence of preview.keys ...
 *     knock_preview_json(arena, &preview, &exists, &json);
 */

#ifndef KNOCK_PREVIEW_H
#define KNOCK_PREVIEW_H


#include "knock_mapping.h"


typedef struct {
    const knock_limits_t  *limits;
    const knock_json_t    *action;      /* its document */
    const knock_json_t    *event;       /* the sample */
    knock_str_t            source;      /* that the sample would come from;
                                           data NULL: the action's own */
    const knock_str_t     *bases;       /* of the Redis keys of each of the */
    size_t                 nshards;     /* environment's shards */
    unsigned               identify_enabled:1;  /* there, for the source */
} knock_preview_in_t;


/* it is pointed into: neither moved nor copied once it is resolved */

typedef struct {
    knock_action_t     action;
    knock_event_t      event;
    knock_resolved_t   resolved;
    unsigned           matches:1;   /* event key and source are the action's */

    knock_ref_t        user;        /* that an identify identifies, before the
                                       actions act; id.data NULL: none */

    knock_str_t       *keys;        /* Redis keys of those that must exist */
    size_t            *shards;      /* where each of these stands */
    size_t             nkeys;
    size_t            *asked;       /* for each recipient its place in keys,
                                       from 1, or 0 if it is sure to exist */
    size_t             actor;       /* the same for the actor */
} knock_preview_t;


/*
 * Compiles the action, reads the event and resolves the one for the other,
 * also if the event is not one that the action acts on.  The keys are those
 * of bare ids that nothing in the event identifies; there may be none, and
 * one may stand twice.  Documents, tokens and `in` strings must live as long
 * as the preview; the rest is taken from the arena.
 *
 * KNOCK_OK (also if the action fails on the event: that is what the preview
 * shows); KNOCK_ERROR with KNOCK_E_INVALID_ACTION, KNOCK_E_INVALID_EVENT or,
 * without memory, KNOCK_E_INTERNAL.
 */
int knock_preview_resolve(knock_arena_t *arena, const knock_preview_in_t *in,
    knock_preview_t *preview, knock_error_t *err);

/*
 * The document, in the arena; `exists` holds a '1' or '0' for each key:
 *
 *   {"event","matches":bool,"action","workflow","status","error","message",
 *    "recipients":[...],"actor","tenant","cancellation_key","runs":n,
 *    "skipped":[{"recipient","reason"}],"identifies":[...]}
 *
 * Users are told by their ids, others as {"collection","id"}.  "status" is
 * "ignored" if the event does not match, else "failed" (then "error" has the
 * code) or "processed"; "message" says why, or is null.  All that follows is
 * as it would be if the event did match.  "skipped" holds recipients that are
 * not identified, then elements that are no recipients.  "identifies" are
 * those that the event would identify, in order: the user of an identify,
 * inline recipients, actor and tenant.  An actor that is not identified adds
 * "actor_identified":false.  Whether a user would grow too large is not told.
 *
 * KNOCK_OK; KNOCK_DECLINED if `exists` is not one of that many characters;
 * KNOCK_ERROR: no memory.
 */
int knock_preview_json(knock_arena_t *arena, const knock_preview_t *preview,
    const knock_str_t *exists, knock_str_t *json);


#endif /* KNOCK_PREVIEW_H */

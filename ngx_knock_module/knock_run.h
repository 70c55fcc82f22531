
/*
 * Workflow runs: one JSON document for one recipient, an element of the Redis
 * list (redis-schema/run.schema.json).
 */

#ifndef KNOCK_RUN_H
#define KNOCK_RUN_H


#include "knock_digest.h"
#include "knock_mapping.h"


/* what the runs of one action on one event share */

typedef struct {
    knock_str_t  environment;
    knock_str_t  source;
    knock_str_t  action;
    knock_str_t  message;       /* that the ids are derived from */
    knock_str_t  middle;        /* "trigger_id" to "action" */
    knock_str_t  tail;          /* "actor" to the end */
} knock_run_t;


/*
 * Prepares the runs of a resolved action.  `message` is the event's messageId
 * or, where it has none, random bytes: the ids of the runs are derived from
 * it, the environment, source, action and recipient, so that an event that is
 * delivered again makes the same ids.  `now` is in milliseconds since 1970.
 * Texts are taken from the arena.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_run_prepare(knock_arena_t *arena, const knock_str_t *environment,
    const knock_str_t *source, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    uint64_t now, knock_run_t *run);

/* the document for one recipient, in the arena; KNOCK_OK or KNOCK_ERROR */
int knock_run_build(knock_arena_t *arena, const knock_run_t *run,
    const knock_ref_t *recipient, knock_str_t *json);

/* appends {"collection":...,"id":...}, or null for NULL */
void knock_run_add_ref(knock_buf_t *buf, const knock_ref_t *ref);


#endif /* KNOCK_RUN_H */

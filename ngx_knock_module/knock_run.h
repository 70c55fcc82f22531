
/*
 * Workflow runs: one JSON document for one recipient, an element of the Redis
 * list (redis-schema/run.schema.json).
 */

#ifndef KNOCK_RUN_H
#define KNOCK_RUN_H


#include "knock_digest.h"
#include "knock_mapping.h"


/* what the documents of one trigger say; without data: null */

typedef struct {
    knock_str_t         workflow;
    knock_str_t         environment;
    knock_str_t         source;
    knock_str_t         event;              /* event key */
    knock_str_t         message_id;
    knock_str_t         action;
    const knock_ref_t  *actor;              /* NULL: null */
    knock_str_t         tenant;
    knock_str_t         cancellation_key;
    knock_str_t         data;               /* an object's text; none: {} */
    knock_str_t         timestamp;          /* JSON text */
    uint64_t            now;                /* ms since 1970 */
    unsigned            test:1;
} knock_trigger_t;


/* what the runs of one trigger share */

typedef struct {
    knock_str_t  environment;
    knock_str_t  source;
    knock_str_t  action;
    knock_str_t  message;       /* that the ids are derived from */
    knock_str_t  middle;        /* "trigger_id" to "action" */
    knock_str_t  tail;          /* "actor" to the end */
} knock_run_t;


/*
 * Prepares the runs of a trigger.  The ids of its runs are derived from
 * `message`, the environment, source, action and recipient: the same again
 * make the same ids, and a random `message` makes random ones.  Texts are
 * taken from the arena.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_run_start(knock_arena_t *arena, const knock_trigger_t *trigger,
    const knock_str_t *message, knock_run_t *run);

/*
 * Prepares the runs of a resolved action.  `message` is the event's messageId
 * or, where it has none, random bytes, so that an event that is delivered
 * again makes the same ids.  `now` is in milliseconds since 1970.
 * Texts are taken from the arena.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_run_prepare(knock_arena_t *arena, const knock_str_t *environment,
    const knock_str_t *source, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    uint64_t now, knock_run_t *run);

/*
 * Counts the runs of n recipients by what they share, before they are built.
 * KNOCK_OK, and *bytes has grown by theirs; or KNOCK_DECLINED: it would be
 * more than max.
 */
int knock_run_count(const knock_run_t *run, size_t n, size_t max,
    size_t *bytes);

/* the document for one recipient, in the arena; KNOCK_OK or KNOCK_ERROR */
int knock_run_build(knock_arena_t *arena, const knock_run_t *run,
    const knock_ref_t *recipient, knock_str_t *json);

/* appends {"collection":...,"id":...}, or null for NULL */
void knock_run_add_ref(knock_buf_t *buf, const knock_ref_t *ref);


#endif /* KNOCK_RUN_H */


/*
 * The event log's document: what came and what its actions resolved to.  What
 * Redis decided (runs, recipients that are not identified) stands beside it
 * in the log entry; redis-schema/README.md says how the two are read.
 */

#ifndef KNOCK_LOG_H
#define KNOCK_LOG_H


#include "knock_mapping.h"


typedef enum {
    KNOCK_LOG_OFF = 0,
    KNOCK_LOG_ON,
    KNOCK_LOG_ERRORS        /* only events with a failed action */
} knock_log_e;


/*
 * Builds the document in the arena.  `reason` says why an event was ignored,
 * or is NULL; `now` is in milliseconds since 1970.  KNOCK_OK, or KNOCK_ERROR:
 * no memory.
 */
int knock_log_build(knock_arena_t *arena, const knock_event_t *event,
    const char *reason, const knock_resolved_t *resolved, size_t n,
    uint64_t now, knock_str_t *doc);

/*
 * Appends a reference as an event would name it: a user's id alone, else
 * {"collection","id"}; null for NULL.
 */
void knock_log_add_ref(knock_buf_t *buf, const knock_ref_t *ref);

/*
 * Appends the parameters of an action that resolved, as members of an object:
 * "recipients", "actor", "tenant", "cancellation_key".
 */
void knock_log_add_resolved(knock_buf_t *buf,
    const knock_resolved_t *resolved);


#endif /* KNOCK_LOG_H */

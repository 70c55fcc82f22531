
/*
 * An action: the document that maps an event key to a workflow, checked when
 * it is saved and compiled when it goes live.
 */

#ifndef KNOCK_ACTION_H
#define KNOCK_ACTION_H


#include "knock_path.h"


/* a parameter: a path, or a literal value */

typedef struct {
    knock_path_t         path;
    const knock_json_t  *literal;       /* NULL: it is a path */
} knock_param_t;


typedef struct {
    knock_str_t     key;
    knock_str_t     source;
    knock_str_t     event;              /* event key */
    knock_str_t     workflow;
    knock_param_t  *recipients;
    size_t          nrecipients;        /* 1, or the length of the array */
    knock_param_t  *actor;              /* NULL: not given */
    knock_param_t  *tenant;
    knock_param_t  *cancellation_key;
} knock_action_t;


/*
 * Compiles an action document, an object with "key", "source", "event",
 * "type" ("workflows_trigger"), "workflow", "recipients" and optionally
 * "actor", "tenant", "cancellation_key" (null is not given).  A parameter is
 * a path (string) or {"literal": any}; recipients also a non-empty array of
 * these.  Keys of source, action and workflow are 1 to KNOCK_MAX_KEY bytes of
 * [A-Za-z0-9_-].  The three single parameters allow no [*].
 *
 * The document's text and tokens must live as long as the action.  KNOCK_OK,
 * or KNOCK_ERROR with KNOCK_E_INVALID_ACTION and a sentence that names the
 * field: missing, of a wrong type, unknown, or for a path the column.
 */
int knock_action_compile(knock_arena_t *arena, const knock_json_t *doc,
    knock_action_t *action, knock_error_t *err);

/* 1 if `key` is 1 to KNOCK_MAX_KEY bytes of [A-Za-z0-9_-], else 0 */
int knock_key_valid(const knock_str_t *key);


#endif /* KNOCK_ACTION_H */


/*
 * The workflow test runner: runs of a workflow for users who exist, told by
 * their ids, without an event or an action.
 */

#ifndef KNOCK_TEST_RUN_H
#define KNOCK_TEST_RUN_H


#include "knock_json.h"
#include "knock_limits.h"


typedef struct {
    const knock_limits_t  *limits;
    const knock_str_t     *bases;       /* of the Redis keys of each of the */
    size_t                 nshards;     /* environment's shards */
    knock_str_t            environment;
    knock_str_t            workflow;
    uint64_t               now;         /* ms since 1970 */

    const knock_json_t    *recipients;  /* members of the request; */
    const knock_json_t    *actor;       /* NULL: it is absent */
    const knock_json_t    *tenant;
    const knock_json_t    *data;
} knock_test_run_in_t;


typedef struct {
    size_t         n;
    knock_str_t   *ids;     /* of the distinct recipients, in order */
    knock_str_t   *keys;    /* the Redis keys of these users */
    size_t        *shards;  /* where they stand */
    knock_str_t   *runs;    /* the documents of their runs */
} knock_test_runs_t;


/*
 * Builds the runs, under random ids of which the trigger's is shared, with
 * "test":true and no source, event, message id, action, cancellation key or
 * timestamp.  "recipients" is a list of one or more ids of users, actor the
 * id of a user, tenant an id, data an object; null is as absent.  An object
 * in place of an id is refused with its reason: a test identifies nobody.
 *
 * All is taken from the arena; tokens and `in` strings must live as long as
 * the runs.  KNOCK_OK; or KNOCK_ERROR with KNOCK_E_INVALID_BODY and a sentence
 * that names the field, KNOCK_E_BATCH_TOO_LARGE over limits->max_run_bytes, or
 * KNOCK_E_INTERNAL.
 */
int knock_test_run_build(knock_arena_t *arena, const knock_test_run_in_t *in,
    knock_test_runs_t *runs, knock_error_t *err);

/*
 * The answer, in the arena: {"runs":n,"skipped":[{"recipient","reason"}]}.
 * `verdicts` holds for each recipient 'r', it has its run, or 'n', it is not
 * identified.  KNOCK_OK; KNOCK_DECLINED if it holds anything else;
 * KNOCK_ERROR: no memory.
 */
int knock_test_run_json(knock_arena_t *arena, const knock_test_runs_t *runs,
    const knock_str_t *verdicts, knock_str_t *json);


#endif /* KNOCK_TEST_RUN_H */


/* The JSON that a sender is answered with. */

#ifndef KNOCK_ANSWER_H
#define KNOCK_ANSWER_H


#include "knock_buf.h"
#include "knock_error.h"


/*
 * Appends an entry of the answer's "errors", behind a comma if it is not the
 * first: {"index":i,"code":"...","message":"..."}, and the "action" it came
 * from unless that is NULL.
 */
void knock_answer_add_error(knock_buf_t *buf, size_t index,
    const knock_str_t *action, const knock_error_t *err);

/*
 * The answer to a request that was refused: {"error":{"code","message"}}, and
 * with it "errors" unless `errors` (entries as above) is empty.  KNOCK_OK, or
 * KNOCK_ERROR: no memory.
 */
int knock_answer_refused(knock_arena_t *arena, const knock_error_t *err,
    const knock_str_t *errors, knock_str_t *json);


/* what was applied of a request, as Redis told it */

typedef struct {
    knock_str_t    statuses;    /* a knock_status_e for each event */
    uint64_t       runs;
    const size_t  *indexes;     /* of these events in the body, or NULL */
    knock_str_t    errors;      /* entries known before */
} knock_applied_t;


/*
 * The answer to a request that was applied:
 * {"accepted","duplicates","ignored","runs","errors"}.  KNOCK_OK;
 * KNOCK_DECLINED with *err filled in if each of its events turned out too
 * large, so that nothing was applied and the request is refused;
 * KNOCK_ERROR: no memory.
 */
int knock_answer_applied(knock_arena_t *arena, const knock_applied_t *applied,
    knock_str_t *json, knock_error_t *err);


#endif /* KNOCK_ANSWER_H */

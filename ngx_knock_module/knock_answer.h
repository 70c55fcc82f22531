
/* The JSON that a sender is answered with. */

#ifndef KNOCK_ANSWER_H
#define KNOCK_ANSWER_H


#include "knock_buf.h"
#include "knock_error.h"


/* bytes of the entries of "errors": what does not fit is only counted */
#define KNOCK_ANSWER_ERRORS  (1000 * 1024)


/* what was wrong with events of a request, and their actions */

typedef struct {
    knock_error_t  first;
    knock_buf_t    entries;     /* of the answer's "errors", with commas */
    size_t         omitted;     /* that did not fit */
    size_t         omitted_codes[KNOCK_E_COUNT];
    size_t         codes[KNOCK_E_COUNT];
} knock_faults_t;


/* starts without any; in the arena; NULL: no memory */
knock_faults_t *knock_faults_create(knock_arena_t *arena);

/*
 * Adds an entry: {"index":i,"code":"...","message":"..."}, and the "action" it
 * came from unless that is NULL.
 */
void knock_faults_add(knock_faults_t *faults, size_t index,
    const knock_str_t *action, const knock_error_t *err);

/*
 * Appends the members "errors", with its brackets, and, where not all were
 * kept, "errors_omitted" with how many there are of each code.  `faults` NULL:
 * there are none.
 */
void knock_faults_write(const knock_faults_t *faults, knock_buf_t *buf);

/*
 * The answer to a request that was refused: {"error":{"code","message"}}, and
 * with it "errors" where there are some.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_answer_refused(knock_arena_t *arena, const knock_error_t *err,
    const knock_faults_t *faults, knock_str_t *json);


/* what was applied of a request */

typedef struct {
    size_t    accepted;
    size_t    duplicates;
    size_t    ignored;
    uint64_t  runs;
} knock_applied_t;


/*
 * The answer to a request that was applied:
 * {"accepted","duplicates","ignored","runs","errors"}.  KNOCK_OK, or
 * KNOCK_ERROR: no memory.
 */
int knock_answer_applied(knock_arena_t *arena, const knock_applied_t *applied,
    const knock_faults_t *faults, knock_str_t *json);


#endif /* KNOCK_ANSWER_H */

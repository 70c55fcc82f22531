
/*
 * Paths into an event: dotted keys from its root (`userId`,
 * `properties.commenter.id`), case-sensitive; `[n]` indexes an array, `[*]`
 * takes every element, `["a.b"]` quotes a key (a JSON string).  `data` at the
 * start stands for `properties`, `body` for the event itself; quoted they are
 * keys like any other, as they are behind `body.`.  A key without quotes holds
 * none of `.[]"` and no control characters, and neither starts nor ends with a
 * space.
 */

#ifndef KNOCK_PATH_H
#define KNOCK_PATH_H


#include "knock_json.h"


typedef enum {
    KNOCK_PATH_KEY = 0,
    KNOCK_PATH_INDEX,
    KNOCK_PATH_ALL
} knock_path_step_e;


typedef struct {
    knock_path_step_e  type;
    knock_str_t        key;
    size_t             index;
} knock_path_step_t;


typedef struct {
    knock_str_t         text;       /* as it was given */
    knock_path_step_t  *steps;
    size_t              nsteps;     /* 0: the event itself (`body`) */
    unsigned            many:1;     /* has a [*] */
    unsigned            properties:1;   /* the first step is that key */
} knock_path_t;


/*
 * Compiles a path; its strings are taken from the arena.  KNOCK_OK, or
 * KNOCK_ERROR with KNOCK_E_INVALID_ACTION, err->offset the column of the
 * mistake (in characters, from 0; the message counts from 1), and a sentence
 * that says what was expected there: empty, a double or trailing dot, an
 * unclosed bracket, an index that is no number or not below KNOCK_MAX_VALUES,
 * over KNOCK_MAX_PATH bytes or KNOCK_MAX_PATH_STEPS steps.
 */
int knock_path_compile(knock_arena_t *arena, const knock_str_t *text,
    knock_path_t *path, knock_error_t *err);

typedef struct {
    const knock_json_t  **values;
    size_t                n;
} knock_path_found_t;

/*
 * What the path finds in an event: no value, one, or with [*] any number, in
 * order.  The list is taken from the arena.  KNOCK_OK (also with n = 0), or
 * KNOCK_ERROR: no memory.  Linear in the size of what it walks.
 */
int knock_path_find(knock_arena_t *arena, const knock_path_t *path,
    const knock_json_t *event, knock_path_found_t *found);


#endif /* KNOCK_PATH_H */

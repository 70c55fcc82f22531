
/*
 * A task: what one event of a request does, a unit for each place that it
 * touches.  Tasks are made anew in each round in which their events are sent;
 * what outlives a round is kept with the event, an element of the request.
 *
 * With one shard there is one place.  With several, a user or another
 * recipient, its runs, and the marks of the events that were applied to it
 * stand in the shard of its id.  An event that touches none goes by its mark.
 */

#ifndef KNOCK_TASK_H
#define KNOCK_TASK_H


#include "knock_flood.h"
#include "knock_live.h"
#include "knock_unit.h"


/* what was told of an event at a place where that is not all of it */

typedef struct knock_told_s  knock_told_t;

struct knock_told_s {
    size_t           place;
    unsigned         done:1;        /* it stands there */
    unsigned         duplicate:1;   /* it stood there */
    unsigned         large:1;
    knock_arena_t   *arena;         /* of the need; NULL: there is none */
    knock_need_t     need;
    knock_told_t    *next;
};


/* an event, or user, of a request: kept from round to round */

typedef struct {
    size_t               index;     /* in the body */
    knock_str_t          text;
    const knock_json_t  *json;      /* NULL: the text is to be read anew */
    knock_told_t        *told;
    knock_str_t          verdicts;  /* of earlier rounds, for the log */
    unsigned             bad:1;     /* its JSON is KNOCK_JSON_BAD, and stays */
    unsigned             done:1;
} knock_element_t;


/* what an action has against an event, for the answer */

typedef struct knock_fault_s  knock_fault_t;

struct knock_fault_s {
    const knock_str_t    *action;
    const knock_error_t  *error;
    knock_fault_t        *next;
};


struct knock_task_s {
    knock_element_t      *element;
    knock_unit_t         *units;
    knock_status_e        status;   /* as expected, then as it is */
    uint64_t              runs;     /* that are enqueued */

    knock_event_type_e    type;
    knock_str_t           key;      /* event key */
    knock_str_t           text;     /* as it came, but for lone surrogates */
    knock_str_t           doc;      /* for the log, or len 0: not logged */
    knock_str_t           verdicts;
    knock_fault_t        *faults;

    knock_str_t           guard;    /* key of a user, or len 0: it must be */
    knock_str_t           guard_etag;   /* as this says */

    unsigned              marked:1;
    unsigned              refused:1;    /* Redis does not take it */
    unsigned char         mark[KNOCK_MARK_LEN];

    knock_task_t         *next;
};


/* what tasks are made in */

typedef struct {
    knock_arena_t        *arena;
    const knock_live_t   *live;
    knock_str_t           updated_at;   /* now, as JSON */
    knock_flood_t        *flood;        /* of all rounds of the request */
    size_t                bytes;        /* of all that has been made, about */
} knock_round_t;


/* starts a round, at a time in ms since 1970; KNOCK_OK or KNOCK_ERROR */
int knock_round_init(knock_round_t *round, knock_arena_t *arena,
    const knock_live_t *live, knock_flood_t *flood, uint64_t now);

/* a task, without a unit yet; NULL: no memory */
knock_task_t *knock_task_create(knock_round_t *round,
    knock_element_t *element);

/*
 * The unit at the place of an id, made if there is none.  KNOCK_OK;
 * KNOCK_DECLINED: nothing is to be done there any more; KNOCK_ERROR: no
 * memory.
 */
int knock_task_unit(knock_round_t *round, knock_task_t *task,
    const knock_str_t *id, knock_unit_t **unit);

/*
 * Adds to the unit: the upsert of an entity, as it is stored, with a time of
 * its own to go by or NULL; one of `room` runs that are to come; an actor that
 * is asked for.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_task_upsert(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, knock_op_kind_e kind,
    const knock_upsert_t *upsert, const knock_str_t *identified_at);
int knock_task_run(knock_round_t *round, knock_unit_t *unit, size_t room,
    const knock_str_t *key, const knock_str_t *run, unsigned char *verdict);
int knock_task_actor(knock_round_t *round, knock_unit_t *unit,
    const knock_str_t *key, unsigned char *verdict);

/* the key of an entity that stands at the unit's place */
int knock_task_key(knock_round_t *round, const knock_unit_t *unit,
    const knock_str_t *collection, const knock_str_t *id, knock_str_t *key);

/*
 * A task that touches nobody has one unit all the same.  KNOCK_OK, or
 * KNOCK_ERROR: no memory.
 */
int knock_task_finish(knock_round_t *round, knock_task_t *task);

/*
 * Takes what Redis said of the task's units.  KNOCK_OK: it is done, and its
 * status, runs and verdicts are what they are; KNOCK_DECLINED: it has to be
 * made again, only the runs are.
 */
int knock_task_settle(knock_task_t *task);

/*
 * Keeps what was said of a task that has to be made again, in the arena.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_task_keep(knock_task_t *task, knock_arena_t *kept);

/*
 * Keeps what Redis said of the objects of a unit, which is copied.  KNOCK_OK,
 * or KNOCK_ERROR: no memory.
 */
int knock_task_need(const knock_unit_t *unit, const knock_need_t *need,
    knock_arena_t *kept);

/* gives back what was told of an element */
void knock_element_clear(knock_element_t *element);


#endif /* KNOCK_TASK_H */


/*
 * A unit: what one event does at one place, as the Redis function knock_apply
 * takes it, whole or not at all.  It has its objects folded by
 * knock_unit_fold() where they merge into stored ones, and becomes arguments
 * by knock_apply_add().
 */

#ifndef KNOCK_UNIT_H
#define KNOCK_UNIT_H


#include "knock_digest.h"
#include "knock_entity.h"
#include "knock_map.h"


/* fields of a pack, objects of an op: they pass through Lua's stack at once */
#define KNOCK_PACK_FIELDS  1000


/* an upsert; its event or only its recipient falls if it is refused */

typedef enum {
    KNOCK_OP_EVENT = 0,
    KNOCK_OP_RECIPIENT = 1
} knock_op_kind_e;


typedef struct {
    knock_upsert_t   *upsert;
    knock_str_t       key;          /* of its entity */
    knock_op_kind_e   kind;
} knock_op_t;


/* a run, or without a document an actor who is asked for */

typedef struct {
    knock_str_t       key;          /* of the recipient's, or actor's, entity */
    knock_str_t       run;
    unsigned char    *verdict;      /* its character in the log, or NULL */
} knock_target_t;


/* what becomes of an event; Redis adds d(uplicate) and l(arge) */

typedef enum {
    KNOCK_STATUS_PROCESSED = 'p',
    KNOCK_STATUS_IGNORED = 'i',
    KNOCK_STATUS_FAILED = 'f',
    KNOCK_STATUS_DUPLICATE = 'd',
    KNOCK_STATUS_LARGE = 'l'
} knock_status_e;


/* what Redis says of a unit, or where it says nothing */

typedef enum {
    KNOCK_SAID_APPLIED = 0,
    KNOCK_SAID_DUPLICATE = 'd',
    KNOCK_SAID_LARGE = 'l',
    KNOCK_SAID_REFUSED = 'x',
    KNOCK_SAID_MERGE = 'n',         /* objects are to be merged */
    KNOCK_SAID_WAIT = 'w',          /* it was not looked at */
    KNOCK_SAID_NOTHING = '?'        /* the call came to nothing */
} knock_said_e;


/* the verdict of Redis on an op */

typedef enum {
    KNOCK_VERDICT_APPLY = 'y',
    KNOCK_VERDICT_OLDER = 'o',      /* it only fills in what is missing */
    KNOCK_VERDICT_LARGE = 'l'       /* its entity would be too large */
} knock_verdict_e;


/*
 * What Redis answered where objects are to be merged: the verdict on each op
 * and the stored value, '' for none, of each distinct entity and object
 * field, in order of first appearance.
 */

typedef struct {
    knock_str_t    verdicts;
    knock_str_t   *bases;
    size_t         nbases;
} knock_need_t;


typedef struct knock_unit_s  knock_unit_t;
typedef struct knock_task_s  knock_task_t;

struct knock_unit_s {
    knock_task_t          *task;
    size_t                 place;
    const unsigned char   *mark;        /* KNOCK_MARK_LEN bytes, or NULL */
    unsigned               forgotten:1; /* the mark is only looked up */
    unsigned               idle:1;      /* it only asks for actors */
    unsigned               chained:1;   /* it sets an object more than once */

    knock_op_t            *ops;
    knock_target_t        *runs;
    knock_target_t        *actors;
    size_t                 nops;
    size_t                 nruns;
    size_t                 nactors;
    size_t                 room;        /* for so many runs */

    /* what was answered of it before and, merged with that, what it is sent */

    const knock_need_t    *need;        /* NULL: nothing */
    const knock_need_t    *used;        /* NULL: nothing has been merged */

    /* in its call: its number, and that of its first run and actor, from 0 */

    size_t                 event;
    size_t                 run;
    size_t                 actor;

    /* what came of it */

    knock_said_e           said;
    size_t                 left_out;    /* runs that are not enqueued */

    knock_unit_t          *next;        /* of the event, at another place */
    knock_unit_t          *follows;     /* of the request, at this place */
};


/*
 * Merges the object fields of the unit's ops, in order, into what is stored
 * and into each other, and sets unit->used to what that rests on, and
 * unit->chained.  What is
 * stored is what units before this one make of it, in the call (`values`) or
 * in the one that was sent before it (`sent`, or NULL), else what unit->need
 * says.  Where some of it is not known, nothing is merged.  An object that
 * another one of the unit overwrites, or that is too large, becomes the length
 * of its text, in digits.  A `need` that does not fit the unit (the
 * configuration has changed since) is left unused.  KNOCK_OK, or KNOCK_ERROR:
 * no memory.
 */
int knock_unit_fold(knock_arena_t *arena, knock_unit_t *unit,
    knock_map_t *values, const knock_map_t *sent);

/* the length of a field's value, also where only that is left of it */
size_t knock_unit_length(const knock_field_t *field);


#endif /* KNOCK_UNIT_H */

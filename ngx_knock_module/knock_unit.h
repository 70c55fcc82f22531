
/*
 * A unit: all that one request does, as the Redis function knock_apply takes
 * it, whole or not at all.  It is made by knock_receive(), has its objects
 * folded by knock_unit_fold() where they merge into stored ones, and becomes
 * arguments by knock_apply_add().
 */

#ifndef KNOCK_UNIT_H
#define KNOCK_UNIT_H


#include "knock_digest.h"
#include "knock_entity.h"
#include "knock_map.h"


/* an upsert; its event or only its recipient falls if it is refused */

typedef enum {
    KNOCK_OP_EVENT = 'e',
    KNOCK_OP_RECIPIENT = 'r'
} knock_op_kind_e;


typedef struct {
    knock_upsert_t   *upsert;
    size_t            entity;       /* index in KEYS, from 1 */
    size_t            bytes;        /* that the unit brings to the entity */
    knock_op_kind_e   kind;
} knock_op_t;


typedef struct {
    size_t            entity;       /* index in KEYS, from 1 */
    knock_str_t       run;          /* its document */
} knock_enqueue_t;


typedef struct {
    size_t            actor;        /* index in KEYS of a bare actor, or 0 */
    knock_enqueue_t  *enqueues;
    size_t            nenqueues;
    size_t            room;         /* for so many */
} knock_unit_action_t;


/* what becomes of an event; Redis adds d(uplicate) and l(arge) */

typedef enum {
    KNOCK_STATUS_PROCESSED = 'p',
    KNOCK_STATUS_IGNORED = 'i',
    KNOCK_STATUS_FAILED = 'f',
    KNOCK_STATUS_DUPLICATE = 'd',
    KNOCK_STATUS_LARGE = 'l'
} knock_status_e;


typedef struct {
    knock_status_e         status;
    unsigned               marked:1;
    unsigned char          mark[KNOCK_MARK_LEN];
    size_t                 index;       /* in the body */
    knock_str_t            key;         /* event key */
    knock_str_t            sample;      /* the event's text, or len 0 */
    knock_str_t            log;         /* document, or len 0: not logged */
    knock_str_t            verdicts;    /* of shards, for the log; or len 0 */

    knock_op_t            *ops;
    size_t                 nops;
    knock_unit_action_t   *actions;
    size_t                 nactions;
} knock_unit_event_t;


/* the verdict of Redis on an op */

typedef enum {
    KNOCK_VERDICT_APPLY = 'y',
    KNOCK_VERDICT_LARGE = 'l',      /* its entity would be too large */
    KNOCK_VERDICT_NONE = 'n'        /* its event is not applied */
} knock_verdict_e;


/*
 * What Redis answered where objects are to be merged: the verdict on each op
 * and the stored value, '' for none, of each distinct entity and object
 * field, in order of first appearance.
 */

typedef struct {
    knock_str_t   verdicts;
    knock_str_t  *bases;
    size_t        nbases;
} knock_need_t;


typedef struct {
    size_t                 catalogue;   /* indexes in KEYS, or 0: none */
    size_t                 log;
    knock_unit_event_t    *events;
    size_t                 nevents;
    const knock_need_t    *need;        /* NULL: nothing has been merged */
    int                    told;        /* Redis answers with the verdicts of
                                           its actions, which home logs */
    size_t                 guard;       /* index of a user, or 0: it must be */
    knock_str_t            guard_etag;  /* as this says, "*": be there */
} knock_unit_t;


/*
 * Merges the object fields of the unit's ops, in order, into what is stored
 * and into each other, as `need` says, and sets unit->need.  An object that
 * another one of the unit overwrites, or that is too large, becomes the
 * length of its text, in digits.  `values` is of the call: it holds what the
 * units before this one make of the values, which goes before `need`.
 * A `need` that does not fit the unit (the configuration has changed since) is
 * left unused.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_unit_fold(knock_arena_t *arena, knock_unit_t *unit,
    const knock_need_t *need, knock_map_t *values);

/*
 * How the unit must be treated: '0', its ops need no look at what is stored;
 * '1', they do; '2', it also sets one object field more than once, so that
 * the values have to be folded in any case.  Sets the `bytes` of the ops.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_unit_plan(knock_arena_t *arena, const knock_unit_t *unit,
    char *plan);

/*
 * What Redis answers for the unit if no event turns out to be a repeat and
 * every recipient is there: the status of each event, in the arena, and the
 * number of runs.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_unit_expect(knock_arena_t *arena, const knock_unit_t *unit,
    knock_str_t *statuses, uint64_t *runs);


#endif /* KNOCK_UNIT_H */

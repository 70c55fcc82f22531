
/*
 * The parts of a request: what it does at each place of its environment.
 *
 * With one shard there is one place, and one part, with all.  With several, a
 * user or another recipient, its runs, and the marks of the events that were
 * applied to it stand in the shard of its id; the mark by which the whole
 * event is known, the catalogue and the log stand at home.  Home comes last,
 * when all shards have done their parts: an event that is known there is done
 * everywhere, and the log says what came of it.  A part is applied whole or
 * not at all, and is known to its place by the marks of its events, so that a
 * request that was applied in parts is completed by its retry.
 */

#ifndef KNOCK_PARTS_H
#define KNOCK_PARTS_H


#include "knock_apply.h"
#include "knock_live.h"


typedef struct {

    /* given */

    knock_apply_t       *apply;     /* the call; begun if it is not */
    knock_arena_t       *arena;     /* the call's */
    const knock_need_t  *need;      /* what Redis said of the part, or NULL */
    unsigned             done:1;    /* it stands: nothing is made for it */

    /* made */

    knock_unit_t         unit;
    size_t              *events;    /* of the unit's, their places among those
                                       of the request */
    size_t               size;      /* there is room for so many */
    size_t               nops;      /* room for ops of the last event */
    knock_str_t          statuses;  /* as expected: knock_unit_expect() */
    uint64_t             runs;
} knock_part_t;


typedef struct {
    knock_arena_t           *arena;     /* of what is made; outlives the calls */
    const knock_live_t      *live;
    const knock_endpoint_t  *endpoint;  /* of events; NULL: it is not home that
                                           has to count and to log */
    knock_part_t            *parts;     /* live->nplaces of them */
    int                      told;      /* the verdicts of shards are wanted */
} knock_parts_t;


/* what came of a part that stands */

typedef struct {
    knock_str_t    statuses;    /* of its events */
    knock_str_t    verdicts;    /* of their actions, with ' ' between events;
                                   data NULL: as expected */
    size_t        *events;      /* as in knock_part_t */
    uint64_t       runs;
} knock_outcome_t;


/*
 * The parts of what goes to one place as a whole, `part`, in a call that has
 * been begun or not.  All is taken from the call's arena.
 */
void knock_parts_whole(knock_parts_t *parts, knock_part_t *part,
    knock_apply_t *apply, knock_arena_t *arena, const knock_live_t *live,
    const knock_need_t *need);

/* the place of a user's or another recipient's id */
size_t knock_parts_place(const knock_parts_t *parts, const knock_str_t *id);

/*
 * The index, from 1, in KEYS of the place's call of an entity that stands
 * there.  0: no memory.
 */
size_t knock_parts_entity(knock_parts_t *parts, size_t place,
    const knock_str_t *collection, const knock_str_t *id);

/*
 * The event of the place's unit that is the request's `event` (from 0, in
 * order): the last one, or a new one, zeroed.  NULL: no memory.
 */
knock_unit_event_t *knock_parts_event(knock_parts_t *parts, size_t place,
    size_t event);

/*
 * Begins home's call and has its unit counted and logged, for the endpoint.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_parts_home(knock_parts_t *parts);

/* makes room for n events of a place, which has none yet; as the next */
int knock_parts_reserve(knock_parts_t *parts, size_t place, size_t n);

/*
 * Adds an op to the place's last event: the upsert of an entity, by its index
 * in KEYS, as it is stored at the time `updated_at` (JSON).  KNOCK_OK, or
 * KNOCK_ERROR: no memory.
 */
int knock_parts_upsert(knock_parts_t *parts, size_t place, size_t entity,
    knock_op_kind_e kind, const knock_upsert_t *upsert,
    const knock_str_t *updated_at);

/*
 * Adds to their calls the parts that were made, but home of several shards.
 * KNOCK_OK; or KNOCK_ERROR, no memory: then none has been added.
 */
int knock_parts_add(knock_parts_t *parts);

/*
 * Who tells the verdicts of an event's actions, in the order in which a log has
 * them: places, in 16 bits each, with a flag for those of actors.
 */

#define KNOCK_PARTS_ACTOR       0x8000
#define KNOCK_PARTS_ACTION_END  0xffff

/* in a log, of a recipient: an earlier try of the request has served it */
#define KNOCK_VERDICT_BEFORE    'b'

/*
 * Adds home, whose unit has been made, with what came of each shard's part.
 * `orders` holds an order of each of its events.  KNOCK_OK, or KNOCK_ERROR: no
 * memory.
 */
int knock_parts_add_home(knock_parts_t *parts, const knock_outcome_t *outcomes,
    const knock_str_t *orders);

/*
 * The statuses of a request's events that has no home: each the worst that a
 * part has; in the arena.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_parts_statuses(knock_arena_t *arena, const knock_outcome_t *outcomes,
    size_t n, size_t nevents, knock_str_t *statuses);


#endif /* KNOCK_PARTS_H */

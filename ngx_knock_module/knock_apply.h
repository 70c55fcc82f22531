
/*
 * One call of the Redis function knock_apply, in the making: the units of the
 * requests that became ready together, their keys and their arguments.  What
 * the arguments are, and in which order, is documented in
 * redis-schema/knock.lua.
 *
 * A call has at most 65535 events, and fields of an op, and fewer than 2^24 of
 * anything else.  Without memory for any of it the call is marked as failed,
 * and no command is made of it.
 */

#ifndef KNOCK_APPLY_H
#define KNOCK_APPLY_H


#include "knock_buf.h"
#include "knock_live.h"
#include "knock_strs.h"
#include "knock_unit.h"


/* the version of redis-schema/knock.lua that these arguments are made for */
#define KNOCK_LIBRARY_VERSION  "5"


typedef struct {
    uint32_t             place;     /* among the keys of its sort, from 0 */
    uint32_t             asked;     /* the call asks whether it is there */
    size_t               bytes;     /* that the call brings to it */
} knock_apply_entity_t;


typedef struct {
    uint32_t             entity;
    uint32_t             event;     /* from 1 */
    uint32_t             packs;     /* see redis-schema/knock.lua */
    uint32_t             text;      /* the first one, from 1, or 0 */
    uint32_t             heavy;     /* it needs a look at what is stored, */
    uint32_t             resent;    /* as it has had one before */
} knock_apply_op_t;


typedef struct {
    knock_arena_t       *arena;     /* NULL: not begun */
    const knock_live_t  *live;
    size_t               place;     /* of live->places, where its keys are */

    knock_map_t         *index;     /* key -> number of the entity, from 1 */
    knock_buf_t          entities;  /* knock_apply_entity_t */
    knock_strs_t         asked;     /* their keys */
    knock_strs_t         brought;   /* and those of the others */

    knock_map_t         *values;    /* of merged fields: knock_unit_fold() */
    knock_map_t         *marked;    /* mark -> the event that has it */

    /* the columns */

    knock_strs_t         marks;     /* remembered */
    knock_strs_t         looked;    /* only looked up */
    knock_strs_t         packs;
    knock_strs_t         runs;
    knock_strs_t         texts;

    /* what describes them, numbers of 32 bits; events are counted from 1 */

    knock_buf_t          mark_events;
    knock_buf_t          looked_events;
    knock_buf_t          twins;
    knock_buf_t          first_runs;    /* of each event, from 1 */
    knock_buf_t          requests;      /* of each event, from 1 */
    knock_buf_t          run_entities;
    knock_buf_t          actors;    /* an event and an entity in turn */
    knock_buf_t          ops;       /* knock_apply_op_t */

    size_t               guard;     /* number of an entity, or 0 */
    knock_str_t          guard_etag;

    size_t               nrequests;     /* that were begun, by the caller */
    size_t               nevents;
    size_t               nactors;
    size_t               bytes;     /* of the arguments, for bounds */
    size_t               run_bytes; /* of the runs among them */
    unsigned             merges:1;  /* there are values */
    unsigned             failed:1;  /* no memory */
} knock_apply_t;


typedef struct {
    uint64_t      window;           /* of deduplication, ms */
    knock_str_t   token;            /* a text that no other call has */
    knock_str_t   ahead;            /* of a shard: a version seen there that
                                       the configuration was read after */
    unsigned      any_version:1;    /* it is applied in any case */
} knock_apply_conf_t;


/*
 * What is sent: one command, FCALL, or the commands of a transaction, their
 * arguments one behind the other, and which of EXEC's replies is FCALL's.
 */

#define KNOCK_APPLY_COMMANDS  5

typedef struct {
    size_t        argc[KNOCK_APPLY_COMMANDS];
    size_t        n;
    size_t        answer;
    const char  **argv;
    size_t       *argvlen;
} knock_command_t;


/*
 * Starts a call for one place of an environment.  All is taken from the arena;
 * `live` must outlive the call.  KNOCK_OK, or KNOCK_ERROR: no memory, and it is
 * not begun.
 */
int knock_apply_begin(knock_apply_t *apply, knock_arena_t *arena,
    const knock_live_t *live, size_t place);

/*
 * Adds a unit, whose strings must live as long as the call, and tells it its
 * numbers.  `arena` is the unit's, where its objects are folded; `sent` are the
 * values of the call that was sent before this one, or NULL.
 */
void knock_apply_add(knock_apply_t *apply, knock_arena_t *arena,
    knock_unit_t *unit, const knock_map_t *sent);

/* has the call apply only if the user of this key is as the ETag says */
void knock_apply_guard(knock_apply_t *apply, const knock_str_t *key,
    const knock_str_t *etag);

/*
 * knock_apply_command.c: the whole command, in the arena.  `conf` must live as
 * long.  KNOCK_OK, or KNOCK_ERROR: no memory, now or before.
 */
int knock_apply_command(knock_apply_t *apply, const knock_apply_conf_t *conf,
    knock_command_t *command);

#endif /* KNOCK_APPLY_H */


/*
 * One call of the Redis function knock_apply, in the making: the units of the
 * requests that became ready together, their keys and their arguments.  The
 * order of the arguments is documented in redis-schema/knock.lua.
 */

#ifndef KNOCK_APPLY_H
#define KNOCK_APPLY_H


#include "knock_live.h"
#include "knock_unit.h"


/* the version of redis-schema/knock.lua that these arguments are made for */
#define KNOCK_LIBRARY_VERSION  "2"


typedef struct {
    knock_str_t    *items;
    size_t          n;
    size_t          cap;
} knock_strs_t;


typedef struct {
    knock_arena_t       *arena;
    const knock_live_t  *live;

    knock_strs_t         keys;
    knock_map_t         *indexes;   /* key -> its index, as a pointer */
    knock_map_t         *values;    /* of merged fields: knock_unit_fold() */
    knock_strs_t         marks;
    knock_strs_t         units;     /* arguments */

    size_t               nunits;
    size_t               nevents;
    size_t               bytes;     /* of the arguments, for bounds */
    unsigned             failed:1;  /* no memory, in the unit being added */
} knock_apply_t;


typedef struct {
    uint64_t    window;             /* of deduplication, ms */
    size_t      log_length;         /* entries kept of an event log */
    size_t      catalogue_length;   /* events kept of a catalogue */
} knock_apply_conf_t;


/*
 * Starts a call for one environment.  All is taken from the arena; `live`
 * must outlive the call.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_apply_begin(knock_apply_t *apply, knock_arena_t *arena,
    const knock_live_t *live);

/*
 * The index, from 1, at which `key` stands in KEYS; it is added if it is new.
 * Its bytes must live as long as the call.  0: no memory.
 */
size_t knock_apply_key(knock_apply_t *apply, const knock_str_t *key);

/*
 * Adds a unit, whose strings must live as long as the call.  KNOCK_OK, or
 * KNOCK_ERROR: no memory, and the call is as before.
 */
int knock_apply_add(knock_apply_t *apply, const knock_unit_t *unit);

/*
 * The whole command, FCALL and all, as lengths and pointers in the arena.
 * KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_apply_command(knock_apply_t *apply, const knock_apply_conf_t *conf,
    size_t *argc, const char ***argv, size_t **argvlen);


#endif /* KNOCK_APPLY_H */


/*
 * One call of the Redis function knock_apply, in the making: the units of the
 * requests that became ready together, their keys and their arguments.  What
 * the arguments are, and in which order, is documented in
 * redis-schema/knock.lua.
 */

#ifndef KNOCK_APPLY_H
#define KNOCK_APPLY_H


#include "knock_counts.h"
#include "knock_live.h"
#include "knock_strs.h"
#include "knock_unit.h"


/* the version of redis-schema/knock.lua that these arguments are made for */
#define KNOCK_LIBRARY_VERSION  "5"


typedef struct {
    knock_arena_t       *arena;     /* NULL: not begun */
    const knock_live_t  *live;
    size_t               place;     /* of live->places, where its keys are */

    knock_strs_t         keys;
    knock_buf_t          roles;     /* of each key, a byte of flags, and in */
    knock_buf_t          brought;   /* 16 bits the bytes that upserts bring */
    knock_map_t         *indexes;   /* key -> its index, as a pointer */
    knock_map_t         *values;    /* of merged fields: knock_unit_fold() */

    /* the columns */

    knock_strs_t         marks;
    knock_strs_t         packs;
    knock_strs_t         runs;
    knock_strs_t         logs;
    knock_counts_t       counts;
    knock_strs_t         texts;

    knock_map_t         *seen;      /* the marks */

    /* the two descriptions of the call */

    knock_buf_t          numbers;
    knock_buf_t          must;
    knock_buf_t          ops;
    knock_buf_t          log_keys;

    size_t               nunits;
    size_t               nevents;
    size_t               bytes;     /* of the arguments, for bounds */
    size_t               run_bytes; /* of the runs among them */
    unsigned             plain:1;   /* the plan alone describes it */
    unsigned             failed:1;  /* no memory for a map */
} knock_apply_t;


typedef struct {
    uint64_t      window;           /* of deduplication, ms */
    size_t        log_length;       /* entries kept of an event log */
    size_t        catalogue_length; /* events kept of a catalogue */
    knock_str_t   token;            /* a text that no other call has */
    knock_str_t   ahead;            /* of a shard: a version seen there that
                                       the configuration was read after */
    unsigned      any_version:1;    /* it is applied in any case */
} knock_apply_conf_t;


/* how far the lists of a call had come */

typedef struct {
    size_t  marks, packs, runs, logs, texts;
    size_t  numbers, must, ops, log_keys, counted;
    size_t  nunits, nevents, bytes, run_bytes;
} knock_apply_point_t;


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
 * The index, from 1, at which `key` stands in KEYS; it is added if it is new.
 * Its bytes must live as long as the call.  0: no memory.
 */
size_t knock_apply_key(knock_apply_t *apply, const knock_str_t *key);

/*
 * Adds a unit, whose strings must live as long as the call.  KNOCK_OK, or
 * KNOCK_ERROR: no memory, and the call is as before.
 */
int knock_apply_add(knock_apply_t *apply, const knock_unit_t *unit);

/* how far the call has come, and back to there: takes off the units since */
void knock_apply_point(const knock_apply_t *apply, knock_apply_point_t *point);
void knock_apply_rewind(knock_apply_t *apply, const knock_apply_point_t *point);

/*
 * knock_apply_command.c: the whole command, in the arena.  `conf` must live as
 * long.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_apply_command(knock_apply_t *apply, const knock_apply_conf_t *conf,
    knock_command_t *command);


#endif /* KNOCK_APPLY_H */

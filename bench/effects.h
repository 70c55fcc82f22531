/*
 * What the parts of the verifier share.
 */

#ifndef BENCH_EFFECTS_H
#define BENCH_EFFECTS_H


#include <stdint.h>

#include "event.h"
#include "json.h"
#include "redis.h"


#define EFFECTS_TOLD      10        /* how many faults are told */
#define EFFECTS_PIPELINE  500       /* commands at a time */
#define EFFECTS_LONG_AGO  "2026-01-01T00:00:00.000Z"


typedef struct {
    redis_t         redis;
    bench_events_t  events;
    uint64_t        first;          /* of the events whose runs are there */
    uint64_t        count;
    uint64_t        users_first;    /* of those that have changed users */
    uint64_t        batch;          /* events to an array */
    uint64_t        faults;
    uint64_t        runs;
    uint64_t        changed;        /* users */
    char            told[EFFECTS_TOLD][256];
} effects_t;


/* Stores the known users. */
void effects_prepare(effects_t *effects);

/* Looks at all runs. */
void effects_verify_runs(effects_t *effects);

/* Looks at all users: what no event was about must be as it was stored. */
void effects_verify_users(effects_t *effects);

/* Notes that something is not as it must be. */
void effects_fault(effects_t *effects, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


#endif /* BENCH_EFFECTS_H */

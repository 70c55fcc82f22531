/*
 * What the parts of the load generator share.
 */

#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H


#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "hist.h"


#define LOAD_CPUS      8
#define LOAD_STATUSES  600


typedef enum {
    LOAD_EXACT = 0,         /* the answer must count each event as new */
    LOAD_AGAIN,             /* ... as a duplicate */
    LOAD_ANY                /* only the status counts */
} load_expect_e;


/* the processes of a name, whose CPU is measured */

typedef struct {
    const char      *name;
    const char      *pids;          /* separated by commas */
    uint64_t         begin;         /* ns */
    uint64_t         end;
} load_cpu_t;


typedef struct {
    const char      *host;
    const char      *path;
    char             head[BENCH_HEAD_ROOM];     /* of requests, as made */
    size_t           head_len;
    unsigned         port;
    int              uring;         /* rather than epoll */
    unsigned         connections;
    unsigned         batch;         /* 0: an event, not in an array */
    double           rate;          /* requests a second, 0: what is possible */
    double           seconds;
    double           warmup;        /* before them, and not measured */
    double           timeout;       /* without any answer */
    uint64_t         count;         /* of events, instead of seconds */
    uint64_t         first;
    load_expect_e    expect;
    load_cpu_t       cpus[LOAD_CPUS];
    unsigned         ncpus;
    bench_events_t   events;
} load_conf_t;


typedef struct {
    uint64_t         next;          /* number of the next event */
    uint64_t         requests;      /* measured */
    uint64_t         done;          /* events answered, measured */
    uint64_t         statuses[LOAD_STATUSES];   /* all along */
    uint64_t         sent;
    uint64_t         ok;
    uint64_t         wrong;         /* 200, and not what was expected */
    uint64_t         lost;          /* no answer */
    double           time;          /* measured */
    double           own;           /* CPU, s */
    char             first_bad[512];
    bench_hist_t     hist;
} load_result_t;


/* Sends the load and fills the result; -1 and a message where it cannot. */
int load_run(load_conf_t *conf, load_result_t *result);

/* ns */
uint64_t load_now(void);

/* CPU time of processes and all their threads so far, ns. */
uint64_t load_cpu(const char *pids);


#endif /* BENCH_LOAD_H */

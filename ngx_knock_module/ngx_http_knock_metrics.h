
/*
 * Counting for knock_metrics.
 *
 * The numbers are in shared memory, a block for each process, so that a
 * counter outlives the worker that counted: the one that takes its block over
 * goes on from there, after a reload or a SIGKILL too.  A block is a process's
 * own, on cache lines of its own.  Adding to it is still atomic: without
 * anyone to contend with that costs some 20 cycles, a few times a request, and
 * makes it harmless where more processes than blocks share the last one.
 *
 * What is counted as it happens: events, runs, answers, errors, times.  The
 * figures of the Redis client and what is in flight are copied once a second,
 * and before the worker itself answers or ends.
 */

#ifndef _NGX_HTTP_KNOCK_METRICS_H_INCLUDED_
#define _NGX_HTTP_KNOCK_METRICS_H_INCLUDED_


#include "ngx_http_knock_module.h"
#include "knock_metrics.h"


typedef struct {
    ngx_atomic_t                   owner;       /* its pid; 0: nobody */
    ngx_atomic_t                   cells[KNOCK_CELL_COUNT];
} ngx_http_knock_block_t;


/* of a worker */

typedef struct {
    ngx_http_knock_block_t        *block;
    ngx_http_knock_redis_stats_t   copied;      /* of these, so far */
    ngx_event_t                    timer;
    unsigned                       shared:1;    /* there was no block left */
} ngx_http_knock_metrics_t;


/* adds the zone to a configuration; NGX_OK or NGX_ERROR, which is logged */
ngx_int_t ngx_http_knock_metrics_zone(ngx_conf_t *cf);

/* takes a block and begins to copy; the worker's Redis client is there */
void ngx_http_knock_metrics_begin(ngx_http_knock_worker_t *worker);

/* copies for the last time and gives the block back */
void ngx_http_knock_metrics_end(ngx_http_knock_worker_t *worker);

/* copies what the Redis client counts, and what is in flight */
void ngx_http_knock_metrics_copy(ngx_http_knock_worker_t *worker);

/* the sums over all processes, in cells[KNOCK_CELL_COUNT] */
void ngx_http_knock_metrics_sum(ngx_http_knock_worker_t *worker,
    uint64_t *cells);

/* microseconds of a clock that only goes on */
uint64_t ngx_http_knock_metrics_now(void);

/* counts a call of knock_apply that was sent then and is answered now */
void ngx_http_knock_metrics_call(ngx_http_knock_worker_t *worker,
    uint64_t sent);

/*
 * Counts the events and the runs of a job that was applied; statuses, without
 * data: those that were expected.
 */
void ngx_http_knock_metrics_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs);

/*
 * Counts the answer that is about to be sent to a request of knock_webhook or
 * knock_api, by its status.
 */
void ngx_http_knock_metrics_answer(ngx_http_request_t *r,
    ngx_uint_t status);

/* counts the error that a request is refused with, by the answer's text */
void ngx_http_knock_metrics_refused(ngx_http_request_t *r,
    const knock_str_t *json);

/* counts the entries of the "errors" of one that is not refused */
void ngx_http_knock_metrics_listed(ngx_http_knock_worker_t *worker,
    const knock_str_t *list);


static ngx_inline void
ngx_http_knock_metrics_add(ngx_http_knock_metrics_t *metrics, size_t cell,
    uint64_t n)
{
    (void) ngx_atomic_fetch_add(&metrics->block->cells[cell],
                                (ngx_atomic_uint_t) n);
}


#endif /* _NGX_HTTP_KNOCK_METRICS_H_INCLUDED_ */

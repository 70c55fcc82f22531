
/*
 * What is there to be looked at of the events that have been applied: the
 * event log and the catalogue.  It is written after the verdict, of many
 * events at once, and is no part of what an answer of 200 promises: what waits
 * to be written is bounded, and what goes beyond is dropped and counted.
 */

#ifndef _NGX_HTTP_KNOCK_LOG_H_INCLUDED_
#define _NGX_HTTP_KNOCK_LOG_H_INCLUDED_


#include "ngx_http_knock_worker.h"
#include "knock_journal.h"


/*
 * Counts and logs an event of an endpoint that is live in the environment; the
 * record is copied.  It is written within 100 ms, or when there is enough.
 */
void ngx_http_knock_log_add(ngx_http_knock_env_t *env,
    const knock_endpoint_t *endpoint, const knock_record_t *record);

/* whether a sample may be kept of an event that is not logged */
ngx_uint_t ngx_http_knock_log_sampled(ngx_http_knock_worker_t *worker);

/* sends what has been gathered for an environment, or for all of them */
void ngx_http_knock_log_flush(ngx_http_knock_env_t *env);
void ngx_http_knock_log_flush_all(ngx_http_knock_worker_t *worker);

/* whether something of an environment waits to be written, or is being so */
ngx_uint_t ngx_http_knock_log_busy(ngx_http_knock_env_t *env);

/* gives back the journals of an environment; what they hold is lost */
void ngx_http_knock_log_destroy(ngx_http_knock_env_t *env);

/* the handler of worker->log_timer */
void ngx_http_knock_log_timer_handler(ngx_event_t *ev);


#endif /* _NGX_HTTP_KNOCK_LOG_H_INCLUDED_ */

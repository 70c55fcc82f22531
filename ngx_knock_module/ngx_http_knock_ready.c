
/*
 * Whether an event would be taken now: what is live has been read, and Redis
 * runs a function that may write.  Before it starts one it looks whether it
 * takes writes at all (it may be a replica, out of memory, unable to save, too
 * few replicas), so one that does nothing asks for all of that.
 *
 * Redis is asked once at a time and once a second at most, however many want
 * to know; nobody waits for longer than a second.
 */

#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


#define NGX_HTTP_KNOCK_READY_WAIT  1000     /* ms */
#define NGX_HTTP_KNOCK_READY_KEPT  1000     /* ms that an answer is good for */


/* a request that waits; in its pool */

typedef struct {
    ngx_queue_t                queue;
    ngx_http_request_t        *request;
    ngx_http_cleanup_t        *cleanup;
} ngx_http_knock_ready_waiter_t;


static ngx_uint_t ngx_http_knock_ready_is_known(
    ngx_http_knock_ready_t *ready);
static void ngx_http_knock_ready_cleanup(void *data);
static void ngx_http_knock_ready_ask(ngx_http_knock_worker_t *worker);
static ngx_str_t *ngx_http_knock_ready_unread(ngx_http_knock_worker_t *worker);
static void ngx_http_knock_ready_probe(ngx_http_knock_worker_t *worker);
static void ngx_http_knock_ready_command(ngx_http_knock_worker_t *worker,
    const knock_str_t *key);
static void ngx_http_knock_ready_handle(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_ready_timer(ngx_event_t *ev);
static void ngx_cdecl ngx_http_knock_ready_fail(ngx_http_knock_ready_t *ready,
    const char *fmt, ...);
static void ngx_http_knock_ready_settle(ngx_http_knock_ready_t *ready);
static void ngx_http_knock_ready_answer(ngx_http_knock_ready_t *ready);
static ngx_int_t ngx_http_knock_ready_send(ngx_http_request_t *r,
    ngx_http_knock_ready_t *ready);


void
ngx_http_knock_ready_init(ngx_http_knock_worker_t *worker)
{
    ngx_http_knock_ready_t  *ready;

    ready = &worker->ready;

    ngx_queue_init(&ready->waiting);

    ready->until = ngx_current_msec;

    ready->timer.handler = ngx_http_knock_ready_timer;
    ready->timer.data = ready;
    ready->timer.log = worker->log;
}


ngx_int_t
ngx_http_knock_ready_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    knock_error_t                   err;
    ngx_http_cleanup_t             *cln;
    ngx_http_knock_ready_t         *ready;
    ngx_http_knock_worker_t        *worker;
    ngx_http_knock_main_conf_t     *kmcf;
    ngx_http_knock_ready_waiter_t  *waiter;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        (void) knock_error_set(&err, KNOCK_E_METHOD_NOT_ALLOWED,
                               "whether events are taken is asked by GET or "
                               "HEAD");

        return ngx_http_knock_send_refusal(r, &err, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);

    worker = ngx_http_knock_worker_get(kmcf);
    if (worker == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ready = &worker->ready;

    if (!ready->asking && !ngx_http_knock_ready_is_known(ready)) {
        ngx_http_knock_ready_ask(worker);
    }

    if (ngx_http_knock_ready_is_known(ready)) {
        return ngx_http_knock_ready_send(r, ready);
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_knock_ready_waiter_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    waiter = cln->data;
    waiter->request = r;
    waiter->cleanup = cln;

    cln->handler = ngx_http_knock_ready_cleanup;

    ngx_queue_insert_tail(&ready->waiting, &waiter->queue);

    r->main->count++;

    return NGX_DONE;
}


/* by the last answer, or for want of one in time */

static ngx_uint_t
ngx_http_knock_ready_is_known(ngx_http_knock_ready_t *ready)
{
    if (ready->asking) {
        return ready->late;
    }

    return (ngx_msec_int_t) (ready->until - ngx_current_msec) > 0;
}


static void
ngx_http_knock_ready_cleanup(void *data)
{
    ngx_http_knock_ready_waiter_t *waiter = data;

    ngx_queue_remove(&waiter->queue);
}


static void
ngx_http_knock_ready_ask(ngx_http_knock_worker_t *worker)
{
    ngx_http_knock_ready_t  *ready;

    ready = &worker->ready;

    ready->asking = 1;
    ready->late = 0;
    ready->ok = 1;
    ready->pending = 1;

    /* a process that has served nobody yet may have found no Redis to read */

    if (ngx_http_knock_ready_unread(worker)) {
        ready->reading = 1;
        ready->pending++;

        ngx_http_knock_live_refresh(worker);

    } else {
        ngx_http_knock_ready_probe(worker);
    }

    ngx_http_knock_ready_settle(ready);

    if (ready->asking) {
        ngx_add_timer(&ready->timer, NGX_HTTP_KNOCK_READY_WAIT);
    }
}


void
ngx_http_knock_ready_read(ngx_http_knock_worker_t *worker)
{
    ngx_str_t               *name;
    ngx_http_knock_ready_t  *ready;

    ready = &worker->ready;

    if (!ready->reading) {
        return;
    }

    ready->reading = 0;

    name = ngx_http_knock_ready_unread(worker);

    if (name == NULL) {
        ngx_http_knock_ready_probe(worker);

    } else if (name->len) {
        ngx_http_knock_ready_fail(ready, "what is live in \"%V\" has not been "
                                  "read from Redis yet", name);

    } else {
        ngx_http_knock_ready_fail(ready, "what is live has not been read from "
                                  "Redis yet");
    }

    ngx_http_knock_ready_settle(ready);
}


/* an environment that has not been read; an empty name: all of them */

static ngx_str_t *
ngx_http_knock_ready_unread(ngx_http_knock_worker_t *worker)
{
    ngx_uint_t             any;
    ngx_queue_t           *q;
    ngx_http_knock_env_t  *env;

    static ngx_str_t  all = ngx_null_string;

    any = 0;

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (env->listed && env->live == NULL) {
            return &env->name;
        }

        any |= env->listed;
    }

    return any ? NULL : &all;
}


/* one Redis has all; in a cluster each slot that events write to is asked */

static void
ngx_http_knock_ready_probe(ngx_http_knock_worker_t *worker)
{
    size_t                 i;
    ngx_queue_t           *q;
    ngx_http_knock_env_t  *env;

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed) {
            continue;
        }

        for (i = 0; i < env->live->nplaces; i++) {
            ngx_http_knock_ready_command(worker,
                                 &env->live->places[i].keys[KNOCK_KEY_VERSION]);

            if (worker->conf->redis->mode != NGX_HTTP_KNOCK_REDIS_CLUSTER) {
                return;
            }
        }
    }
}


static void
ngx_http_knock_ready_command(ngx_http_knock_worker_t *worker,
    const knock_str_t *key)
{
    size_t       i, lens[5];
    ngx_int_t    rc;
    const char  *argv[5];
    knock_str_t  args[5];

    knock_str_set(&args[0], "FCALL");
    knock_str_set(&args[1], "knock_ready");
    knock_str_set(&args[2], "1");
    args[3] = *key;
    knock_str_set(&args[4], KNOCK_LIBRARY_VERSION);

    for (i = 0; i < 5; i++) {
        argv[i] = (const char *) args[i].data;
        lens[i] = args[i].len;
    }

    rc = ngx_http_knock_redis_command(worker->redis, key, 5, argv, lens,
                                      ngx_http_knock_ready_handle, worker);
    if (rc != NGX_OK) {
        ngx_http_knock_ready_fail(&worker->ready, "Redis is away, or as many "
                                  "commands wait for it as max_pending= and "
                                  "max_pending_bytes= allow");
        return;
    }

    worker->ready.pending++;
    worker->ncalls++;
}


/* of what Redis says the code alone: who asks may be anybody */

static void
ngx_http_knock_ready_handle(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_worker_t *worker = data;

    size_t                   len;
    ngx_http_knock_ready_t  *ready;

    ready = &worker->ready;

    worker->ncalls--;

    switch (status) {

    case NGX_HTTP_KNOCK_REDIS_OK:
        break;

    case NGX_HTTP_KNOCK_REDIS_LOST:
    case NGX_HTTP_KNOCK_REDIS_DOWN:
        ngx_http_knock_ready_fail(ready, "Redis is away, or does not answer");
        break;

    default:

        if (reply == NULL) {
            ngx_http_knock_ready_fail(ready, "fewer replicas than "
                                      "min_replicas= have what is written");
            break;
        }

        for (len = 0; len < (size_t) reply->len && len < 16
                      && reply->str[len] >= 'A' && reply->str[len] <= 'Z';
             len++)
        {
            /* void */
        }

        ngx_http_knock_ready_fail(ready, "Redis refuses writes (%*s)", len,
                                  reply->str);
    }

    ngx_http_knock_ready_settle(ready);

    ngx_http_knock_worker_check_retired(worker);
}


static void
ngx_http_knock_ready_timer(ngx_event_t *ev)
{
    ngx_http_knock_ready_t *ready = ev->data;

    ready->late = 1;

    ngx_http_knock_ready_fail(ready, "Redis has not answered within %dms",
                              NGX_HTTP_KNOCK_READY_WAIT);

    ngx_http_knock_ready_answer(ready);
}


/* the first reason stands */

static void ngx_cdecl
ngx_http_knock_ready_fail(ngx_http_knock_ready_t *ready, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    if (!ready->ok) {
        return;
    }

    ready->ok = 0;

    va_start(args, fmt);
    p = ngx_vslprintf(ready->why, ready->why + sizeof(ready->why), fmt, args);
    va_end(args);

    ready->why_len = (size_t) (p - ready->why);
}


static void
ngx_http_knock_ready_settle(ngx_http_knock_ready_t *ready)
{
    if (--ready->pending) {
        return;
    }

    ready->asking = 0;
    ready->until = ngx_current_msec + NGX_HTTP_KNOCK_READY_KEPT;

    if (ready->timer.timer_set) {
        ngx_del_timer(&ready->timer);
    }

    ngx_http_knock_ready_answer(ready);
}


static void
ngx_http_knock_ready_answer(ngx_http_knock_ready_t *ready)
{
    ngx_int_t                       rc;
    ngx_queue_t                     waiting;
    ngx_http_request_t             *r;
    ngx_http_knock_ready_waiter_t  *waiter;

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&ready->waiting)) {
        ngx_queue_add(&waiting, &ready->waiting);
        ngx_queue_init(&ready->waiting);
    }

    while (!ngx_queue_empty(&waiting)) {
        waiter = ngx_queue_data(ngx_queue_head(&waiting),
                                ngx_http_knock_ready_waiter_t, queue);

        ngx_queue_remove(&waiter->queue);

        waiter->cleanup->handler = NULL;

        r = waiter->request;

        rc = ngx_http_knock_ready_send(r, ready);

        ngx_http_knock_finalize(r, rc);
    }
}


static ngx_int_t
ngx_http_knock_ready_send(ngx_http_request_t *r, ngx_http_knock_ready_t *ready)
{
    knock_error_t  err;

    static const knock_str_t  yes = knock_string("{\"ready\":true}\n");

    if (ready->ok) {
        return ngx_http_knock_send(r, NGX_HTTP_OK, &yes);
    }

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE,
                           "%.*s: events are answered 503, see the error log",
                           (int) ready->why_len, ready->why);

    return ngx_http_knock_send_error(r, &err);
}

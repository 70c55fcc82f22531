
/*
 * What Prometheus asks for.  The numbers are there; only how many runs wait
 * is asked of Redis, and nobody waits for that longer than a moment: an
 * answer without it, that says that Redis is not up, is better than none.
 *
 * A scrape lives outside its request's pool, as replies may come when that
 * has gone or has been answered.
 */

#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


#define NGX_HTTP_KNOCK_SCRAPE_WAIT   1000       /* ms */
#define NGX_HTTP_KNOCK_SCRAPE_ARENA  (32 * 1024)


typedef struct ngx_http_knock_scrape_s  ngx_http_knock_scrape_t;


/* an environment that is asked for */

typedef struct {
    ngx_http_knock_scrape_t   *scrape;
    ngx_str_t                  name;
    uint64_t                   length;
    ngx_uint_t                 replies;     /* to come */
    unsigned                   failed:1;
} ngx_http_knock_asked_t;


struct ngx_http_knock_scrape_s {
    ngx_http_request_t        *request;     /* NULL: gone, or answered */
    ngx_http_cleanup_t        *cleanup;
    ngx_http_knock_worker_t   *worker;
    ngx_pool_t                *pool;
    ngx_event_t                timer;

    ngx_http_knock_asked_t    *asked;
    ngx_uint_t                 nasked;
    ngx_uint_t                 pending;     /* replies to come, and us */
    unsigned                   up:1;        /* a reply has come */
    unsigned                   missed:1;    /* another one will not */
};


static ngx_http_knock_scrape_t *ngx_http_knock_scrape_create(
    ngx_http_request_t *r, ngx_http_knock_worker_t *worker);
static void ngx_http_knock_scrape_cleanup(void *data);
static ngx_int_t ngx_http_knock_scrape_ask(ngx_http_knock_scrape_t *scrape);
static ngx_int_t ngx_http_knock_scrape_command(ngx_http_knock_asked_t *asked,
    const knock_str_t *words, ngx_uint_t n);
static void ngx_http_knock_scrape_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_scrape_timer(ngx_event_t *ev);
static void ngx_http_knock_scrape_done(ngx_http_knock_scrape_t *scrape);
static void ngx_http_knock_scrape_drop(ngx_http_knock_scrape_t *scrape);
static void ngx_http_knock_scrape_free(ngx_http_knock_scrape_t *scrape);
static ngx_int_t ngx_http_knock_scrape_send(ngx_http_knock_scrape_t *scrape);
static ngx_int_t ngx_http_knock_scrape_text(ngx_http_knock_scrape_t *scrape,
    knock_buf_t *buf);


ngx_int_t
ngx_http_knock_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    knock_error_t                err;
    ngx_http_knock_scrape_t     *scrape;
    ngx_http_knock_worker_t     *worker;
    ngx_http_knock_main_conf_t  *kmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        (void) knock_error_set(&err, KNOCK_E_METHOD_NOT_ALLOWED,
                               "metrics are read by GET or HEAD");

        return ngx_http_knock_send_refusal(r, &err, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);
    worker = ngx_http_knock_worker_get(kmcf);

    scrape = worker ? ngx_http_knock_scrape_create(r, worker) : NULL;

    if (scrape == NULL || ngx_http_knock_scrape_ask(scrape) != NGX_OK) {
        if (worker) {
            ngx_http_knock_complain_memory(worker, "the metrics");
        }

        if (scrape) {
            ngx_http_knock_scrape_drop(scrape);
        }

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    scrape->pending--;

    if (scrape->pending == 0) {
        ngx_http_knock_scrape_done(scrape);
        ngx_http_knock_scrape_free(scrape);

    } else {
        ngx_add_timer(&scrape->timer, NGX_HTTP_KNOCK_SCRAPE_WAIT);
    }

    return NGX_DONE;
}


static ngx_http_knock_scrape_t *
ngx_http_knock_scrape_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker)
{
    ngx_pool_t               *pool;
    ngx_http_cleanup_t       *cln;
    ngx_http_knock_scrape_t  *scrape;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(1024, worker->log);
    if (pool == NULL) {
        return NULL;
    }

    scrape = ngx_pcalloc(pool, sizeof(ngx_http_knock_scrape_t));
    if (scrape == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    scrape->request = r;
    scrape->cleanup = cln;
    scrape->worker = worker;
    scrape->pool = pool;
    scrape->pending = 1;

    scrape->timer.handler = ngx_http_knock_scrape_timer;
    scrape->timer.data = scrape;
    scrape->timer.log = worker->log;

    cln->handler = ngx_http_knock_scrape_cleanup;
    cln->data = scrape;

    return scrape;
}


/* the request goes before it is answered; it may never have waited */

static void
ngx_http_knock_scrape_cleanup(void *data)
{
    ngx_http_knock_scrape_t *scrape = data;

    scrape->request = NULL;

    if (scrape->timer.timer_set) {
        ngx_del_timer(&scrape->timer);
    }

    if (scrape->pending == 0) {
        ngx_http_knock_scrape_free(scrape);
    }
}


/* NGX_OK, also where Redis cannot be asked; NGX_ERROR: no memory */

static ngx_int_t
ngx_http_knock_scrape_ask(ngx_http_knock_scrape_t *scrape)
{
    size_t                   i;
    ngx_uint_t               n;
    ngx_queue_t             *q;
    knock_str_t              words[2];
    ngx_http_knock_env_t    *env;
    ngx_http_knock_asked_t  *asked;

    n = 0;

    for (q = ngx_queue_head(&scrape->worker->envs);
         q != ngx_queue_sentinel(&scrape->worker->envs);
         q = ngx_queue_next(q))
    {
        n++;
    }

    scrape->asked = ngx_pcalloc(scrape->pool,
                                (n + 1) * sizeof(ngx_http_knock_asked_t));
    if (scrape->asked == NULL) {
        return NGX_ERROR;
    }

    for (q = ngx_queue_head(&scrape->worker->envs);
         q != ngx_queue_sentinel(&scrape->worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed || env->live == NULL) {
            continue;
        }

        asked = &scrape->asked[scrape->nasked++];

        asked->scrape = scrape;
        asked->name.len = env->name.len;
        asked->name.data = ngx_pstrdup(scrape->pool, &env->name);

        if (asked->name.data == NULL) {
            return NGX_ERROR;
        }

        knock_str_set(&words[0], "LLEN");

        for (i = 0; i < env->live->nshards; i++) {
            words[1] = env->live->places[i].keys[KNOCK_KEY_RUNS];

            if (ngx_http_knock_scrape_command(asked, words, 2) != NGX_OK) {
                asked->failed = 1;
                scrape->missed = 1;
            }
        }
    }

    /* before the first event there may be none known, but Redis be there */

    if (scrape->nasked == 0) {
        scrape->asked->scrape = scrape;
        knock_str_set(&words[0], "PING");

        (void) ngx_http_knock_scrape_command(scrape->asked, words, 1);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_scrape_command(ngx_http_knock_asked_t *asked,
    const knock_str_t *words, ngx_uint_t n)
{
    size_t                    lens[2];
    ngx_int_t                 rc;
    ngx_uint_t                i;
    const char               *argv[2];
    ngx_http_knock_worker_t  *worker;

    worker = asked->scrape->worker;

    for (i = 0; i < n; i++) {
        argv[i] = (const char *) words[i].data;
        lens[i] = words[i].len;
    }

    rc = ngx_http_knock_redis_read(worker->redis, n == 2 ? &words[1] : NULL,
                                   n, argv, lens,
                                   ngx_http_knock_scrape_handler, asked);
    if (rc == NGX_OK) {
        asked->replies++;
        asked->scrape->pending++;
        worker->ncalls++;
    }

    return rc;
}


static void
ngx_http_knock_scrape_handler(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_asked_t *asked = data;

    ngx_http_knock_scrape_t  *scrape;
    ngx_http_knock_worker_t  *worker;

    scrape = asked->scrape;
    worker = scrape->worker;

    worker->ncalls--;
    scrape->pending--;
    asked->replies--;

    if (status == NGX_HTTP_KNOCK_REDIS_LOST
        || status == NGX_HTTP_KNOCK_REDIS_DOWN)
    {
        scrape->missed = 1;

    } else {
        scrape->up = 1;
    }

    if (status == NGX_HTTP_KNOCK_REDIS_OK
        && reply->type == REDIS_REPLY_INTEGER)
    {
        asked->length += (uint64_t) reply->integer;

    } else {
        asked->failed = 1;
    }

    if (scrape->pending == 0) {
        if (scrape->request) {
            ngx_http_knock_scrape_done(scrape);
        }

        ngx_http_knock_scrape_free(scrape);
    }

    ngx_http_knock_worker_check_retired(worker);
}


static void
ngx_http_knock_scrape_timer(ngx_event_t *ev)
{
    ngx_http_knock_scrape_t *scrape = ev->data;

    scrape->up = 0;

    ngx_http_knock_scrape_done(scrape);
}


/* answers; replies may still be to come */

static void
ngx_http_knock_scrape_done(ngx_http_knock_scrape_t *scrape)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = scrape->request;

    if (scrape->timer.timer_set) {
        ngx_del_timer(&scrape->timer);
    }

    rc = ngx_http_knock_scrape_send(scrape);

    scrape->cleanup->handler = NULL;
    scrape->request = NULL;

    ngx_http_knock_finalize(r, rc);
}


/* somebody else answers; replies that are to come are waited for */

static void
ngx_http_knock_scrape_drop(ngx_http_knock_scrape_t *scrape)
{
    scrape->cleanup->handler = NULL;
    scrape->request = NULL;
    scrape->pending--;

    if (scrape->pending == 0) {
        ngx_http_knock_scrape_free(scrape);
    }
}


static void
ngx_http_knock_scrape_free(ngx_http_knock_scrape_t *scrape)
{
    ngx_destroy_pool(scrape->pool);
}


static ngx_int_t
ngx_http_knock_scrape_send(ngx_http_knock_scrape_t *scrape)
{
    ngx_int_t       rc;
    knock_str_t     text;
    knock_buf_t     buf;
    knock_arena_t  *arena;

    static ngx_str_t  type = ngx_string("text/plain; version=0.0.4");

    rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    arena = knock_arena_create(NGX_HTTP_KNOCK_SCRAPE_ARENA);

    if (arena) {
        knock_buf_init(&buf, arena, NGX_HTTP_KNOCK_SCRAPE_ARENA / 2);

        if (ngx_http_knock_scrape_text(scrape, &buf) == NGX_OK
            && knock_buf_str(&buf, &text) == KNOCK_OK)
        {
            rc = ngx_http_knock_send_text(scrape->request, NGX_HTTP_OK, &type,
                                          &text);
        }

        knock_arena_destroy(arena);
    }

    if (rc == NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_knock_complain_memory(scrape->worker, "the metrics");
    }

    return rc;
}


static ngx_int_t
ngx_http_knock_scrape_text(ngx_http_knock_scrape_t *scrape, knock_buf_t *buf)
{
    uint64_t                 cells[KNOCK_CELL_COUNT];
    ngx_uint_t               i, n;
    knock_queue_length_t    *queues;
    ngx_http_knock_asked_t  *asked;

    queues = ngx_palloc(scrape->pool,
                        (scrape->nasked + 1) * sizeof(knock_queue_length_t));
    if (queues == NULL) {
        return NGX_ERROR;
    }

    for (n = 0, i = 0; i < scrape->nasked; i++) {
        asked = &scrape->asked[i];

        if (asked->failed || asked->replies) {
            continue;
        }

        queues[n].environment = ngx_http_knock_str(&asked->name);
        queues[n].length = asked->length;
        n++;
    }

    ngx_http_knock_metrics_copy(scrape->worker);
    ngx_http_knock_metrics_sum(scrape->worker, cells);

    cells[KNOCK_CELL_UP] = scrape->up && !scrape->missed;

    knock_metrics_format(buf, cells, queues, n);

    return NGX_OK;
}

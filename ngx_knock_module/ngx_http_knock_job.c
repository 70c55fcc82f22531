
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


/* freed jobs that are kept for the next requests */
#define NGX_HTTP_KNOCK_KEPT_JOBS  256


static ngx_http_knock_job_t *ngx_http_knock_job_alloc(
    ngx_http_knock_worker_t *worker);
static ngx_int_t ngx_http_knock_job_apply(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_error_t *err);
static void ngx_http_knock_job_cleanup(void *data);
static void ngx_http_knock_job_gone(ngx_http_knock_job_t *job);


ngx_http_knock_job_t *
ngx_http_knock_job_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker, ngx_http_knock_job_type_t *type,
    void *data)
{
    ngx_http_cleanup_t    *cln;
    ngx_http_knock_job_t  *job;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    job = ngx_http_knock_job_alloc(worker);
    if (job == NULL) {
        return NULL;
    }

    ngx_memzero(job, sizeof(ngx_http_knock_job_t));

    job->type = type;
    job->data = data;
    job->worker = worker;
    job->request = r;
    job->cleanup = &cln->handler;

    cln->handler = ngx_http_knock_job_cleanup;
    cln->data = job;

    return job;
}


static ngx_http_knock_job_t *
ngx_http_knock_job_alloc(ngx_http_knock_worker_t *worker)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(&worker->free)) {
        return ngx_alloc(sizeof(ngx_http_knock_job_t), worker->log);
    }

    q = ngx_queue_head(&worker->free);
    ngx_queue_remove(q);
    worker->nfree--;

    return ngx_queue_data(q, ngx_http_knock_job_t, queue);
}


void
ngx_http_knock_job_hold(ngx_http_knock_job_t *job, size_t bytes)
{
    job->held = 1;
    job->body_bytes = bytes;

    job->worker->njobs++;
    job->worker->body_bytes += bytes;
}


/*
 * Those whose bodies are still to come are not counted: a slow one must not
 * take the place of others.  One that is larger than all may be is let in
 * alone.
 */

ngx_int_t
ngx_http_knock_job_admit(ngx_http_request_t *r, knock_error_t *err)
{
    size_t                       size;
    ngx_http_knock_worker_t     *worker;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);
    worker = ngx_http_knock_worker_get(kmcf);

    /* without memory for a worker the request fails where it needs one */

    if (worker == NULL) {
        return NGX_OK;
    }

    size = r->headers_in.content_length_n > 0
           ? (size_t) r->headers_in.content_length_n : 0;

    if (worker->njobs < kmcf->max_in_flight
        && (worker->body_bytes == 0
            || (size <= kmcf->max_body_bytes
                && worker->body_bytes <= kmcf->max_body_bytes - size)))
    {
        return NGX_OK;
    }

    (void) knock_error_set(err, KNOCK_E_OVERLOADED,
                           "too many requests wait for Redis: nothing was "
                           "changed, send it again");

    ngx_http_knock_complain(worker, NULL,
                            "%ui requests with bodies of %uz bytes wait for "
                            "Redis, knock_max_in_flight allows no more: "
                            "others get 503; see what keeps Redis (SLOWLOG "
                            "GET), or raise it",
                            worker->njobs, worker->body_bytes);

    return NGX_BUSY;
}


void
ngx_http_knock_job_kinds(ngx_http_knock_job_t *job,
    const knock_parts_t *parts, const knock_received_t *received)
{
    size_t               i, n;
    const knock_part_t  *home;

    n = received->nevents;
    home = &parts->parts[parts->live->home];

    if (job->kinds != job->few) {
        ngx_free(job->kinds);
    }

    job->nkinds = 0;
    job->kinds = n <= NGX_HTTP_KNOCK_FEW ? job->few
                                         : ngx_alloc(n, job->worker->log);

    if (job->kinds == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        job->kinds[i] = (u_char)
                        (knock_metrics_event(received->types[i],
                                             home->unit.events[i].status)
                         - KNOCK_CELL_EVENTS);
    }

    job->nkinds = n;
}


void
ngx_http_knock_job_process(ngx_http_knock_job_t *job)
{
    knock_error_t          err;
    ngx_http_knock_env_t  *env;

    env = job->type->find(job, &err);

    if (env && ngx_http_knock_job_apply(job, env, &err) != NGX_DECLINED) {
        return;
    }

    /* a refusal has to stand by what is live now, not by what is cached */

    if (!job->confirmed) {
        ngx_http_knock_live_wait(job);
        return;
    }

    ngx_http_knock_job_refuse(job, &err);
}


void
ngx_http_knock_job_continue(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    if (ngx_http_knock_job_apply(job, job->shards->env, &err)
        == NGX_DECLINED)
    {
        ngx_http_knock_job_refuse(job, &err);
    }
}


/* NGX_OK; or NGX_DECLINED with *err filled in: the job is to be refused */

static ngx_int_t
ngx_http_knock_job_apply(ngx_http_knock_job_t *job, ngx_http_knock_env_t *env,
    knock_error_t *err)
{
    ngx_int_t  rc;

    rc = ngx_http_knock_apply(job, env, err);

    if (rc == NGX_ERROR) {
        ngx_http_knock_job_memory(job);
        return NGX_OK;
    }

    return rc;
}


void
ngx_http_knock_job_memory(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    ngx_http_knock_complain_memory(job->worker, "a request");

    (void) knock_error_memory(&err);
    ngx_http_knock_job_refuse(job, &err);
}


ngx_int_t
ngx_http_knock_job_keep(ngx_http_knock_job_t *job, const knock_str_t *src,
    knock_str_t *dst)
{
    ngx_str_t  str;

    dst->len = 0;
    dst->data = (u_char *) "";

    if (src->len == 0) {
        return NGX_OK;
    }

    str.len = src->len;
    str.data = src->data;

    dst->data = ngx_pstrdup(job->request->pool, &str);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    dst->len = src->len;

    return NGX_OK;
}


/* the request goes, its client has gone or has been answered */

static void
ngx_http_knock_job_cleanup(void *data)
{
    ngx_http_knock_job_t *job = data;

    ngx_uint_t              i, n;
    ngx_http_knock_part_t  *parts;

    ngx_http_knock_job_gone(job);

    if (job->state == NGX_HTTP_KNOCK_WAITING) {
        ngx_queue_remove(&job->queue);
        ngx_http_knock_job_free(job);
        return;
    }

    if (job->state != NGX_HTTP_KNOCK_APPLYING) {
        return;
    }

    /* calls that still point into the request have to go out now */

    parts = job->shards ? job->shards->links : &job->part;
    n = job->shards ? job->shards->nplaces : 1;

    job->pending++;

    for (i = 0; i < n; i++) {
        if (parts[i].collected) {
            ngx_http_knock_call_flush(parts[i].group);
        }
    }

    if (--job->pending == 0) {
        ngx_http_knock_settle_job(job);
    }
}


static void
ngx_http_knock_job_gone(ngx_http_knock_job_t *job)
{
    ngx_http_knock_loc_conf_t  *klcf;

    klcf = ngx_http_get_module_loc_conf(job->request, ngx_http_knock_module);

    /* a call of the API counts itself */

    if (klcf->token) {
        ngx_http_knock_metrics_answer(job->request,
                                      NGX_HTTP_CLIENT_CLOSED_REQUEST);
    }

    job->request = NULL;
    job->part.statuses.data = NULL;
}


void
ngx_http_knock_job_free(ngx_http_knock_job_t *job)
{
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    if (job->request) {
        *job->cleanup = NULL;
    }

    if (job->shards) {
        ngx_http_knock_shards_free(worker, job->shards);
    }

    if (job->kinds != job->few) {
        ngx_free(job->kinds);
    }

    if (job->held) {
        worker->njobs--;
        worker->body_bytes -= job->body_bytes;
    }

    if (worker->nfree < NGX_HTTP_KNOCK_KEPT_JOBS) {
        ngx_queue_insert_head(&worker->free, &job->queue);
        worker->nfree++;

    } else {
        ngx_free(job);
    }

    ngx_http_knock_worker_check_retired(worker);
}


void
ngx_http_knock_job_free_all(ngx_http_knock_worker_t *worker)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&worker->free)) {
        q = ngx_queue_head(&worker->free);
        ngx_queue_remove(q);

        ngx_free(ngx_queue_data(q, ngx_http_knock_job_t, queue));
    }

    worker->nfree = 0;

    ngx_http_knock_shards_free_all(worker);
}


void
ngx_http_knock_job_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    ngx_http_knock_metrics_applied(job, statuses, runs);

    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    job->type->applied(job, statuses, runs);
}


void
ngx_http_knock_job_unavailable(ngx_http_knock_job_t *job)
{
    const char     *why;
    knock_error_t   err;

    why = ngx_http_knock_redis_unfit(job->worker->redis);

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE,
                           "%s: nothing is known to have changed, send it "
                           "again",
                           why ? why : "Redis is not there to apply this");

    ngx_http_knock_job_refuse(job, &err);
}


void
ngx_http_knock_job_refuse(ngx_http_knock_job_t *job, const knock_error_t *err)
{
    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    job->type->refused(job, err);
}


void
ngx_http_knock_job_finish(ngx_http_knock_job_t *job, ngx_uint_t status,
    const knock_str_t *json)
{
    ngx_http_request_t  *r;

    r = job->request;

    ngx_http_knock_job_free(job);

    ngx_http_knock_finalize(r, ngx_http_knock_send(r, status, json));
}

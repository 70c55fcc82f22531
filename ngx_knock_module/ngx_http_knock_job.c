
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


/* freed jobs that are kept for the next requests */
#define NGX_HTTP_KNOCK_KEPT_JOBS   64

#define NGX_HTTP_KNOCK_JOB_ARENA   (16 * 1024)
#define NGX_HTTP_KNOCK_KEPT_ARENA  4096


static ngx_http_knock_job_t *ngx_http_knock_job_alloc(
    ngx_http_knock_worker_t *worker);
static ngx_int_t ngx_http_knock_job_find(ngx_http_knock_job_t *job,
    knock_error_t *err);
static void ngx_http_knock_job_cleanup(void *data);
static void ngx_http_knock_job_flush(ngx_http_knock_job_t *job);
static void ngx_http_knock_job_texts(ngx_http_knock_job_t *job);
static void ngx_http_knock_job_destroy(ngx_http_knock_job_t *job);
static void ngx_http_knock_job_gone(ngx_http_knock_job_t *job);


ngx_http_knock_job_t *
ngx_http_knock_job_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker, ngx_http_knock_job_type_t *type,
    void *data)
{
    ngx_time_t            *tp;
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

    ngx_memzero(&job->type, sizeof(ngx_http_knock_job_t)
                            - offsetof(ngx_http_knock_job_t, type));

    tp = ngx_timeofday();

    job->type = type;
    job->data = data;
    job->worker = worker;
    job->request = r;
    job->cleanup = &cln->handler;
    job->now = (uint64_t) tp->sec * 1000 + tp->msec;

    cln->handler = ngx_http_knock_job_cleanup;
    cln->data = job;

    return job;
}


static ngx_http_knock_job_t *
ngx_http_knock_job_alloc(ngx_http_knock_worker_t *worker)
{
    ngx_queue_t           *q;
    ngx_http_knock_job_t  *job;

    if (ngx_queue_empty(&worker->free)) {
        job = ngx_alloc(sizeof(ngx_http_knock_job_t), worker->log);
        if (job == NULL) {
            return NULL;
        }

        job->arena = knock_arena_create(NGX_HTTP_KNOCK_JOB_ARENA);

        if (job->arena == NULL) {
            ngx_free(job);
            return NULL;
        }

        return job;
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
ngx_http_knock_job_process(ngx_http_knock_job_t *job)
{
    ngx_int_t      rc;
    knock_error_t  err;

    rc = ngx_http_knock_job_find(job, &err);

    if (rc == NGX_OK) {
        rc = ngx_http_knock_apply(job, &err);
    }

    switch (rc) {

    case NGX_OK:
        return;

    case NGX_DONE:
        if (job->begun || job->confirmed) {
            ngx_http_knock_settle_done(job);
            return;
        }

        break;

    case NGX_DECLINED:
        if (job->confirmed) {
            ngx_http_knock_job_refuse(job, &err);
            return;
        }

        break;

    default: /* NGX_ERROR */
        ngx_http_knock_job_memory(job);
        return;
    }

    /* a refusal has to stand by what is live now, not by what is cached */

    ngx_http_knock_job_reset(job);
    ngx_http_knock_live_wait(job);
}


/* the environment, and the configuration that the job goes by */

static ngx_int_t
ngx_http_knock_job_find(ngx_http_knock_job_t *job, knock_error_t *err)
{
    ngx_http_knock_env_t  *env;

    if (job->begun) {
        return NGX_OK;
    }

    env = job->type->find(job, err);
    if (env == NULL) {
        return NGX_DECLINED;
    }

    if (job->config != env->config) {
        ngx_http_knock_env_release(job->config);

        job->config = env->config;
        job->config->refs++;
    }

    job->env = env;

    return NGX_OK;
}


void
ngx_http_knock_job_reset(ngx_http_knock_job_t *job)
{
    ngx_uint_t  i;

    for (i = 0; job->kept && i < job->nelements; i++) {
        knock_element_clear(&job->elements[i]);
    }

    knock_arena_destroy(job->kept);
    knock_arena_destroy(job->json);
    knock_arena_reset(job->arena);
    knock_flood_clear(&job->flood);

    ngx_memzero(&job->one, sizeof(knock_element_t));
    ngx_memzero(&job->applied, sizeof(knock_applied_t));

    job->kept = NULL;
    job->json = NULL;
    job->elements = NULL;
    job->nelements = 0;
    job->first = 0;
    job->faults = NULL;
    job->unread = 0;
    job->lost = 0;
}


knock_arena_t *
ngx_http_knock_job_kept(ngx_http_knock_job_t *job)
{
    if (job->kept == NULL) {
        job->kept = knock_arena_create(NGX_HTTP_KNOCK_KEPT_ARENA);
    }

    return job->kept;
}


void
ngx_http_knock_job_fault(ngx_http_knock_job_t *job, size_t index,
    const knock_str_t *action, const knock_error_t *err)
{
    knock_arena_t  *kept;

    if (job->faults == NULL) {
        kept = ngx_http_knock_job_kept(job);
        job->faults = kept ? knock_faults_create(kept) : NULL;

        if (job->faults == NULL) {
            ngx_http_knock_complain_memory(job->worker, "an answer");
            return;
        }
    }

    knock_faults_add(job->faults, index, action, err);
}


void
ngx_http_knock_job_memory(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    ngx_http_knock_complain_memory(job->worker, "a request");

    (void) knock_error_memory(&err);
    ngx_http_knock_job_refuse(job, &err);
}


/* the request goes, its client has gone or has been answered */

static void
ngx_http_knock_job_cleanup(void *data)
{
    ngx_http_knock_job_t *job = data;

    ngx_http_knock_job_gone(job);

    if (job->state == NGX_HTTP_KNOCK_WAITING) {
        ngx_queue_remove(&job->queue);
        ngx_http_knock_job_free(job);
        return;
    }

    if (job->state == NGX_HTTP_KNOCK_APPLYING) {
        ngx_http_knock_job_texts(job);
        ngx_http_knock_job_flush(job);
    }
}


/* calls that still point into the request have to go out now */

static void
ngx_http_knock_job_flush(ngx_http_knock_job_t *job)
{
    ngx_uint_t              i;
    ngx_http_knock_part_t  *part;

    job->pending++;

    for (i = 0; i < job->env->nplaces; i++) {
        part = job->parts[i];

        if (part && part->collected) {
            ngx_http_knock_call_flush(part->group);
        }
    }

    if (--job->pending == 0) {
        ngx_http_knock_settle_job(job);
    }
}


/* of what the log has of events only their texts stand in the request */

static void
ngx_http_knock_job_texts(ngx_http_knock_job_t *job)
{
    knock_str_t    text;
    knock_task_t  *task;

    for (task = job->tasks; job->endpoint && task; task = task->next) {
        text = task->text;

        if (knock_arena_dup(job->arena, &text, &task->text) != KNOCK_OK) {
            task->text.len = 0;
        }
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
}


void
ngx_http_knock_job_free(ngx_http_knock_job_t *job)
{
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    if (job->request) {
        *job->cleanup = NULL;
    }

    ngx_http_knock_job_reset(job);
    ngx_http_knock_env_release(job->config);

    if (job->held) {
        worker->njobs--;
        worker->body_bytes -= job->body_bytes;
    }

    if (worker->nfree < NGX_HTTP_KNOCK_KEPT_JOBS) {
        ngx_queue_insert_head(&worker->free, &job->queue);
        worker->nfree++;

    } else {
        ngx_http_knock_job_destroy(job);
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

        ngx_http_knock_job_destroy(ngx_queue_data(q, ngx_http_knock_job_t,
                                                  queue));
    }

    worker->nfree = 0;
}


static void
ngx_http_knock_job_destroy(ngx_http_knock_job_t *job)
{
    knock_arena_destroy(job->arena);
    ngx_free(job);
}


void
ngx_http_knock_job_unavailable(ngx_http_knock_job_t *job)
{
    const char     *why;
    knock_error_t   err;

    why = ngx_http_knock_redis_unfit(job->worker->redis);

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE,
                           "%s: %s, send it again",
                           why ? why : "Redis is not there to apply this",
                           job->begun ? "part of it may have been applied"
                                      : "nothing is known to have changed");

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

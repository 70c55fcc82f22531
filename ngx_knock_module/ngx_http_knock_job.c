
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"


/* freed jobs that are kept for the next requests */
#define NGX_HTTP_KNOCK_KEPT_JOBS  256


static ngx_http_knock_job_t *ngx_http_knock_job_alloc(
    ngx_http_knock_worker_t *worker);
static void ngx_http_knock_job_cleanup(void *data);


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

    worker->njobs++;

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
ngx_http_knock_job_process(ngx_http_knock_job_t *job, const knock_need_t *need)
{
    ngx_int_t              rc;
    knock_error_t          err;
    ngx_http_knock_env_t  *env;

    env = job->type->find(job, &err);

    if (env) {
        rc = ngx_http_knock_apply(job, env, need, &err);

        if (rc == NGX_OK) {
            return;
        }

        if (rc == NGX_ERROR) {
            (void) knock_error_memory(&err);
            ngx_http_knock_job_refuse(job, &err);
            return;
        }
    }

    /* a refusal has to stand by what is live now, not by what is cached */

    if (!job->confirmed) {
        ngx_http_knock_live_wait(job);
        return;
    }

    ngx_http_knock_job_refuse(job, &err);
}


/* the request goes, its client has gone or has been answered */

static void
ngx_http_knock_job_cleanup(void *data)
{
    ngx_http_knock_job_t *job = data;

    job->request = NULL;

    if (job->state == NGX_HTTP_KNOCK_WAITING) {
        ngx_queue_remove(&job->queue);
        ngx_http_knock_job_free(job);

    } else if (job->state == NGX_HTTP_KNOCK_COLLECTED) {

        /* the call still points into the request: it has to go out now */

        ngx_http_knock_apply_flush(job->env);
    }
}


void
ngx_http_knock_job_free(ngx_http_knock_job_t *job)
{
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    if (job->request) {
        *job->cleanup = NULL;
    }

    if (worker->nfree < NGX_HTTP_KNOCK_KEPT_JOBS) {
        ngx_queue_insert_head(&worker->free, &job->queue);
        worker->nfree++;

    } else {
        ngx_free(job);
    }

    worker->njobs--;

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
}


void
ngx_http_knock_job_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    job->type->applied(job, statuses, runs);
}


void
ngx_http_knock_job_unavailable(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE,
                           "Redis is not there to apply this: nothing is "
                           "known to have changed, send it again");

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
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = job->request;
    c = r->connection;

    ngx_http_knock_job_free(job);

    rc = ngx_http_knock_send(r, status, json);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}

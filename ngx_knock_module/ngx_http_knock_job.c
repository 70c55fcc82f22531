
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"


static void ngx_http_knock_job_cleanup(void *data);
static void ngx_http_knock_job_free(ngx_http_knock_job_t *job);
static void ngx_http_knock_job_finish(ngx_http_knock_job_t *job,
    ngx_uint_t status, const knock_str_t *json);


ngx_http_knock_job_t *
ngx_http_knock_job_create(ngx_http_request_t *r,
    ngx_http_knock_worker_t *worker)
{
    ngx_http_cleanup_t    *cln;
    ngx_http_knock_job_t  *job;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    job = ngx_calloc(sizeof(ngx_http_knock_job_t), r->connection->log);
    if (job == NULL) {
        return NULL;
    }

    job->worker = worker;
    job->request = r;
    job->cleanup = &cln->handler;

    cln->handler = ngx_http_knock_job_cleanup;
    cln->data = job;

    worker->njobs++;

    return job;
}


void
ngx_http_knock_job_process(ngx_http_knock_job_t *job, const knock_need_t *need)
{
    ngx_int_t              rc;
    ngx_queue_t           *q;
    knock_error_t          err;
    knock_str_t            token;
    knock_endpoint_t      *endpoint;
    ngx_http_knock_env_t  *env, *found;

    found = NULL;
    endpoint = NULL;
    token = ngx_http_knock_str(&job->token);

    for (q = ngx_queue_head(&job->worker->envs);
         q != ngx_queue_sentinel(&job->worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed || env->live == NULL) {
            continue;
        }

        endpoint = knock_live_endpoint(env->live, &token);

        if (endpoint) {
            found = env;
            break;
        }
    }

    if (found) {
        rc = ngx_http_knock_apply(job, found, endpoint, need, &err);

        if (rc == NGX_OK) {
            return;
        }

        if (rc == NGX_ERROR) {
            (void) knock_error_memory(&err);
            ngx_http_knock_job_refuse(job, &err);
            return;
        }

    } else {
        (void) knock_error_set(&err, KNOCK_E_UNKNOWN_ENDPOINT,
                               "no endpoint has this URL: copy it anew, it "
                               "changes when it is rotated");
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


static void
ngx_http_knock_job_free(ngx_http_knock_job_t *job)
{
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    if (job->request) {
        *job->cleanup = NULL;
    }

    ngx_free(job);

    worker->njobs--;

    ngx_http_knock_worker_check_retired(worker);
}


void
ngx_http_knock_job_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    int              rc;
    knock_str_t      json;
    knock_arena_t   *arena;
    knock_error_t    err;
    knock_applied_t  applied;

    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    arena = knock_arena_create(NGX_HTTP_KNOCK_ANSWER_ARENA);

    if (arena == NULL) {
        /* it was applied: only the figures are lost */
        knock_str_set(&json, "{}\n");
        ngx_http_knock_job_finish(job, NGX_HTTP_OK, &json);
        return;
    }

    applied.statuses = *statuses;
    applied.runs = runs;
    applied.indexes = job->received.indexes;
    applied.errors = job->received.errors;

    rc = knock_answer_applied(arena, &applied, &json, &err);

    if (rc == KNOCK_DECLINED) {
        knock_arena_destroy(arena);
        ngx_http_knock_job_refuse(job, &err);
        return;
    }

    if (rc != KNOCK_OK) {
        knock_str_set(&json, "{}\n");
    }

    ngx_http_knock_job_finish(job, NGX_HTTP_OK, &json);

    knock_arena_destroy(arena);
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
    knock_str_t     json;
    knock_arena_t  *arena;

    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    arena = knock_arena_create(NGX_HTTP_KNOCK_ANSWER_ARENA);

    if (arena == NULL
        || knock_answer_refused(arena, err, &job->received.errors, &json)
           != KNOCK_OK)
    {
        knock_str_set(&json, "{\"error\":{\"code\":\"internal_error\","
                             "\"message\":\"no memory\"}}\n");
    }

    ngx_http_knock_job_finish(job, knock_error_status(err->code), &json);

    knock_arena_destroy(arena);
}


static void
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

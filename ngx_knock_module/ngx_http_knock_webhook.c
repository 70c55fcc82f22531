
#include "ngx_http_knock_worker.h"
#include "ngx_http_knock_request.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"


/* samples that a worker keeps in a second, see docs/architecture.md */
#define NGX_HTTP_KNOCK_SAMPLES  64


/* an answer with an empty list of errors ends so */
#define NGX_HTTP_KNOCK_NO_ERRORS  (sizeof("[]}\n") - 1)


/* what a job of the webhook is about; in the request's pool */

typedef struct {
    knock_str_t              token;
    knock_str_t              signature;     /* len 0: none */
    knock_str_t              body;
    uint64_t                 received;      /* when that was there, in ms */
    const knock_endpoint_t  *endpoint;      /* as found the last time */
} ngx_http_knock_webhook_t;


static void ngx_http_knock_webhook_body_handler(ngx_http_request_t *r);
static ngx_http_knock_env_t *ngx_http_knock_webhook_find(
    ngx_http_knock_job_t *job, knock_error_t *err);
static uint64_t ngx_http_knock_webhook_now(void);
static void ngx_http_knock_webhook_unknown(ngx_http_knock_job_t *job,
    knock_error_t *err);
static int ngx_http_knock_webhook_receive(ngx_http_knock_job_t *job,
    knock_parts_t *parts, knock_received_t *received, knock_error_t *err);
static void ngx_http_knock_webhook_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs);
static void ngx_http_knock_webhook_refused(ngx_http_knock_job_t *job,
    const knock_error_t *err);


static ngx_http_knock_job_type_t  ngx_http_knock_webhook_type = {
    ngx_http_knock_webhook_find,
    ngx_http_knock_webhook_receive,
    ngx_http_knock_webhook_applied,
    ngx_http_knock_webhook_refused
};


ngx_int_t
ngx_http_knock_webhook_handler(ngx_http_request_t *r)
{
    ngx_int_t      rc;
    knock_error_t  err;

    if (!(r->method & (NGX_HTTP_POST|NGX_HTTP_PUT|NGX_HTTP_PATCH))) {
        (void) knock_error_set(&err, KNOCK_E_METHOD_NOT_ALLOWED,
                               "events are sent here by POST, PUT or PATCH");

        return ngx_http_knock_send_refusal(r, &err, "POST, PUT, PATCH");
    }

    if (ngx_http_knock_check_body_type(r, &err) != NGX_OK) {
        return ngx_http_knock_send_refusal(r, &err, NULL);
    }

    if (ngx_http_knock_job_admit(r, &err) != NGX_OK) {
        return ngx_http_knock_send_refusal(r, &err, NULL);
    }

    rc = ngx_http_read_client_request_body(r,
                                          ngx_http_knock_webhook_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_knock_webhook_body_handler(ngx_http_request_t *r)
{
    ngx_str_t                    token, body;
    knock_error_t                err;
    ngx_table_elt_t             *h;
    ngx_http_knock_job_t        *job;
    ngx_http_knock_worker_t     *worker;
    ngx_http_knock_webhook_t    *webhook;
    ngx_http_knock_loc_conf_t   *klcf;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_get_module_main_conf(r, ngx_http_knock_module);
    klcf = ngx_http_get_module_loc_conf(r, ngx_http_knock_module);

    /* others may have come while the body did */

    if (ngx_http_knock_job_admit(r, &err) != NGX_OK) {
        ngx_http_knock_finalize(r, ngx_http_knock_send_error(r, &err));
        return;
    }

    webhook = ngx_pcalloc(r->pool, sizeof(ngx_http_knock_webhook_t));
    worker = ngx_http_knock_worker_get(kmcf);

    if (webhook == NULL || worker == NULL
        || ngx_http_complex_value(r, klcf->token, &token) != NGX_OK
        || ngx_http_knock_body(r, &body) != NGX_OK)
    {
        goto failed;
    }

    webhook->token = ngx_http_knock_str(&token);
    webhook->body = ngx_http_knock_str(&body);
    webhook->received = ngx_http_knock_webhook_now();

    h = ngx_http_knock_header(r, "x-signature", sizeof("x-signature") - 1);
    if (h) {
        webhook->signature = ngx_http_knock_str(&h->value);
    }

    job = ngx_http_knock_job_create(r, worker, &ngx_http_knock_webhook_type,
                                    webhook);
    if (job == NULL) {
        goto failed;
    }

    ngx_http_knock_job_hold(job, body.len);

    ngx_http_knock_watch_client(r);

    ngx_http_knock_job_process(job);

    return;

failed:

    if (worker) {
        ngx_http_knock_complain_memory(worker, "a request, or its body was "
                                       "not to be read from its file");
    }

    ngx_http_knock_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
}


static uint64_t
ngx_http_knock_webhook_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


static ngx_http_knock_env_t *
ngx_http_knock_webhook_find(ngx_http_knock_job_t *job, knock_error_t *err)
{
    ngx_queue_t               *q;
    ngx_http_knock_env_t      *env;
    ngx_http_knock_webhook_t  *webhook;

    webhook = job->data;

    for (q = ngx_queue_head(&job->worker->envs);
         q != ngx_queue_sentinel(&job->worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed || env->live == NULL) {
            continue;
        }

        webhook->endpoint = knock_live_endpoint(env->live, &webhook->token,
                                                webhook->received);

        if (webhook->endpoint) {
            return env;
        }
    }

    ngx_http_knock_webhook_unknown(job, err);

    return NULL;
}


/*
 * A sender takes 404 for good.  So it is said only where Redis holds the
 * endpoints of all environments: a source has one in each of them, and an
 * environment that never had one has no version.
 */

static void
ngx_http_knock_webhook_unknown(ngx_http_knock_job_t *job, knock_error_t *err)
{
    ngx_uint_t             any;
    ngx_queue_t           *q;
    ngx_http_knock_env_t  *env, *empty;

    any = 0;
    empty = NULL;

    for (q = ngx_queue_head(&job->worker->envs);
         q != ngx_queue_sentinel(&job->worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed || env->live == NULL) {
            continue;
        }

        if (env->live->nendpoints) {
            any = 1;

        } else if (knock_str_is(&env->live->version, KNOCK_LIVE_NO_VERSION)) {
            empty = env;
        }
    }

    if (any && empty == NULL) {
        (void) knock_error_set(err, KNOCK_E_UNKNOWN_ENDPOINT,
                               "no endpoint has this URL: copy it anew, it "
                               "changes when it is rotated");
        return;
    }

    (void) knock_error_set(err, KNOCK_E_UNAVAILABLE,
                           "Redis holds no source%s, so no URL can be told "
                           "from a wrong one: nothing was applied, send it "
                           "again; restore what Redis held, or create a "
                           "source by the API",
                           any ? " in one of its environments" : "");

    if (!job->confirmed) {
        return;
    }

    if (any) {
        ngx_http_knock_complain(job->worker, &empty->name,
                                "Redis holds nothing of the environment "
                                "\"%V\", though of others: has one of its "
                                "nodes lost its data? Events with a URL that "
                                "is not known are answered 503 until it is "
                                "restored", &empty->name);
        return;
    }

    ngx_http_knock_complain(job->worker, NULL,
                            "Redis holds no source: has it lost its data, or "
                            "does knock_redis or knock_prefix name another "
                            "one? All events are answered 503 until it is "
                            "restored, or a source created by the API");
}


static int
ngx_http_knock_webhook_receive(ngx_http_knock_job_t *job,
    knock_parts_t *parts, knock_received_t *received, knock_error_t *err)
{
    ngx_time_t                 *tp;
    knock_receive_t             in;
    ngx_http_knock_worker_t    *worker;
    ngx_http_knock_webhook_t   *webhook;
    ngx_http_knock_loc_conf_t  *klcf;

    worker = job->worker;
    webhook = job->data;
    klcf = ngx_http_get_module_loc_conf(job->request, ngx_http_knock_module);

    tp = ngx_timeofday();

    if (worker->samples_sec != tp->sec) {
        worker->samples_sec = tp->sec;
        worker->samples = NGX_HTTP_KNOCK_SAMPLES;
    }

    in.limits = &klcf->limits;
    in.signature_mode = klcf->batch_signature;
    in.log = klcf->event_log;
    in.samples = &worker->samples;
    in.now = ngx_http_knock_webhook_now();
    in.received = webhook->received;
    in.endpoint = webhook->endpoint;
    in.signature = webhook->signature;
    in.body = webhook->body;

    if (knock_receive(parts, &in, received, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    ngx_http_knock_job_kinds(job, parts, received);

    return KNOCK_OK;
}


static void
ngx_http_knock_webhook_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    int                       rc;
    knock_str_t               json;
    knock_error_t             err;
    knock_applied_t           applied;
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    applied.statuses = *statuses;
    applied.runs = runs;
    applied.indexes = job->received.indexes;
    applied.errors = job->received.errors;

    rc = knock_answer_applied(worker->answer, &applied, &json, &err);

    if (rc == KNOCK_DECLINED) {
        knock_arena_reset(worker->answer);
        ngx_http_knock_job_refuse(job, &err);
        return;
    }

    if (rc != KNOCK_OK) {
        /* it was applied: only the figures are lost */
        knock_str_set(&json, "{}\n");
    }

    /* most list none */

    if (json.len > NGX_HTTP_KNOCK_NO_ERRORS
        && json.data[json.len - NGX_HTTP_KNOCK_NO_ERRORS] != '[')
    {
        ngx_http_knock_metrics_listed(worker, &json);
    }

    ngx_http_knock_job_finish(job, NGX_HTTP_OK, &json);

    knock_arena_reset(worker->answer);
}


static void
ngx_http_knock_webhook_refused(ngx_http_knock_job_t *job,
    const knock_error_t *err)
{
    knock_str_t               json;
    ngx_http_knock_worker_t  *worker;

    worker = job->worker;

    if (knock_answer_refused(worker->answer, err, &job->received.errors, &json)
        != KNOCK_OK)
    {
        knock_str_set(&json, "{\"error\":{\"code\":\"internal_error\","
                             "\"message\":\"no memory\"}}\n");
    }

    ngx_http_knock_job_finish(job, knock_error_status(err->code), &json);

    knock_arena_reset(worker->answer);
}

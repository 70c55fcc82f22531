
#include "ngx_http_knock_worker.h"


/*
 * A call is sent early when it has grown to this, so that no turn of the
 * event loop holds Redis for long.
 */
#define NGX_HTTP_KNOCK_CALL_BYTES   (256 * 1024)
#define NGX_HTTP_KNOCK_CALL_EVENTS  128

/* a request that was refused leaves no more than this in a call's arena */
#define NGX_HTTP_KNOCK_CALL_REFUSED  (4 * 1024 * 1024)

/*
 * While this many calls are under way, what becomes ready is collected for the
 * next: an idle worker sends at once, and the busier Redis is, the more events
 * share the price of a call.
 */
#define NGX_HTTP_KNOCK_CALLS        1

#define NGX_HTTP_KNOCK_TOKEN_SIZE   64

/* how often a job goes round before Redis is taken to be too busy */
#define NGX_HTTP_KNOCK_TRIES        64

/* a call under way, with its jobs in the order of its units */

typedef struct {
    ngx_queue_t               jobs;
    ngx_uint_t                njobs;
    uint64_t                  sent;         /* when, in microseconds */
    ngx_http_knock_worker_t  *worker;
} ngx_http_knock_call_t;


static ngx_int_t ngx_http_knock_apply_keep(ngx_http_knock_job_t *job,
    const knock_received_t *received);
static void ngx_http_knock_apply_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_apply_failed(ngx_http_knock_call_t *call,
    ngx_http_knock_redis_status_e status, ngx_str_t *why);
static void ngx_http_knock_apply_plain(ngx_http_knock_call_t *call);
static void ngx_http_knock_apply_stale(ngx_http_knock_call_t *call);
static void ngx_http_knock_apply_unit(ngx_http_knock_job_t *job,
    redisReply *unit);
static void ngx_http_knock_apply_need(ngx_http_knock_job_t *job,
    redisReply *unit);
static ngx_http_knock_job_t *ngx_http_knock_apply_next(
    ngx_http_knock_call_t *call);
static void ngx_http_knock_apply_tired(ngx_http_knock_job_t *job);
static void ngx_http_knock_apply_broken(ngx_http_knock_job_t *job,
    const char *why);
static void ngx_http_knock_apply_refuse(ngx_http_knock_job_t *job,
    const char *why);


ngx_int_t
ngx_http_knock_apply(ngx_http_knock_job_t *job, ngx_http_knock_env_t *env,
    const knock_need_t *need, knock_error_t *err)
{
    ngx_int_t         rc;
    knock_received_t  received;

    if (job->alone) {
        ngx_http_knock_apply_flush(env);
    }

    if (!env->collecting) {
        if (knock_apply_begin(&env->apply, env->arena, env->live) != KNOCK_OK)
        {
            knock_arena_reset(env->arena);
            return NGX_ERROR;
        }

        env->collecting = 1;
        ngx_post_event(&env->worker->flush, &ngx_posted_events);
    }

    if (job->type->receive(job, env, need, &received, err) != KNOCK_OK) {

        rc = NGX_DECLINED;

        if (err->code == KNOCK_E_INTERNAL
            || ngx_http_knock_apply_keep(job, &received) != NGX_OK)
        {
            rc = NGX_ERROR;
        }

        if (knock_arena_size(env->arena) >= NGX_HTTP_KNOCK_CALL_REFUSED) {
            ngx_http_knock_apply_flush(env);
        }

        return rc;
    }

    /* the unit is in the call now, and goes with it whatever becomes of r */

    job->env = env;
    job->state = NGX_HTTP_KNOCK_COLLECTED;
    ngx_queue_insert_tail(&env->jobs, &job->queue);

    if (ngx_http_knock_apply_keep(job, &received) != NGX_OK) {
        ngx_memzero(&job->received, sizeof(knock_received_t));
        job->received.nevents = received.nevents;

        /* then Redis has to say what became of each event */
        env->apply.plain = 0;
    }

    if (job->alone || env->apply.bytes >= NGX_HTTP_KNOCK_CALL_BYTES
        || env->apply.nevents >= NGX_HTTP_KNOCK_CALL_EVENTS)
    {
        ngx_http_knock_apply_flush(env);
    }

    return NGX_OK;
}


/* what the answer needs is kept with the request: the arena goes */

static ngx_int_t
ngx_http_knock_apply_keep(ngx_http_knock_job_t *job,
    const knock_received_t *received)
{
    ngx_pool_t  *pool;

    pool = job->request->pool;

    ngx_memzero(&job->received, sizeof(knock_received_t));

    if (received->errors.len) {
        job->received.errors.data = ngx_pnalloc(pool, received->errors.len);
        if (job->received.errors.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(job->received.errors.data, received->errors.data,
                   received->errors.len);
        job->received.errors.len = received->errors.len;
    }

    if (received->indexes) {
        job->received.indexes = ngx_palloc(pool, received->nevents
                                                 * sizeof(size_t));
        if (job->received.indexes == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(job->received.indexes, received->indexes,
                   received->nevents * sizeof(size_t));
    }

    if (received->statuses.len) {
        job->received.statuses.data = ngx_pnalloc(pool,
                                                  received->statuses.len);
        if (job->received.statuses.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(job->received.statuses.data, received->statuses.data,
                   received->statuses.len);
        job->received.statuses.len = received->statuses.len;
    }

    job->received.nevents = received->nevents;
    job->received.runs = received->runs;

    return NGX_OK;
}


void
ngx_http_knock_apply_flush_handler(ngx_event_t *ev)
{
    ngx_http_knock_worker_t *worker = ev->data;

    ngx_queue_t           *q;
    ngx_http_knock_env_t  *env;

    if (worker->napplies >= NGX_HTTP_KNOCK_CALLS) {
        return;
    }

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        ngx_http_knock_apply_flush(env);
    }
}


void
ngx_http_knock_apply_flush(ngx_http_knock_env_t *env)
{
    u_char                      token[NGX_HTTP_KNOCK_TOKEN_SIZE];
    ngx_int_t                   rc;
    ngx_str_t                   why;
    ngx_queue_t                *q;
    knock_command_t             command;
    knock_apply_conf_t          conf;
    ngx_http_knock_job_t       *job;
    ngx_http_knock_call_t      *call;
    ngx_http_knock_worker_t    *worker;
    ngx_http_knock_main_conf_t *kmcf;

    if (!env->collecting) {
        return;
    }

    worker = env->worker;
    kmcf = worker->conf;

    env->collecting = 0;

    if (ngx_queue_empty(&env->jobs)) {
        knock_arena_reset(env->arena);
        return;
    }

    conf.window = kmcf->dedupe_window;
    conf.log_length = kmcf->event_log_length;
    conf.catalogue_length = kmcf->catalogue_length;

    conf.token.data = token;
    conf.token.len = (size_t) (ngx_snprintf(token, sizeof(token),
                                            "knock/%xL.%ui", worker->token,
                                            ++worker->calls)
                               - token);

    rc = NGX_ERROR;

    call = ngx_alloc(sizeof(ngx_http_knock_call_t), worker->log);

    if (call == NULL) {
        /* the jobs stand in a queue of the stack for as long as it takes */
        ngx_http_knock_call_t  failed;

        ngx_queue_init(&failed.jobs);
        ngx_queue_add(&failed.jobs, &env->jobs);
        ngx_queue_init(&env->jobs);
        failed.worker = worker;
        failed.njobs = 0;

        knock_arena_reset(env->arena);

        ngx_str_set(&why, "no memory");
        ngx_http_knock_apply_failed(&failed, NGX_HTTP_KNOCK_REDIS_DOWN, &why);

        return;
    }

    call->worker = worker;
    call->njobs = 0;

    ngx_queue_init(&call->jobs);
    ngx_queue_add(&call->jobs, &env->jobs);
    ngx_queue_init(&env->jobs);

    for (q = ngx_queue_head(&call->jobs);
         q != ngx_queue_sentinel(&call->jobs);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_http_knock_job_t, queue);

        job->state = NGX_HTTP_KNOCK_SENT;
        job->env = NULL;
        call->njobs++;
    }

    if (knock_apply_command(&env->apply, &conf, &command) == KNOCK_OK) {
        rc = ngx_http_knock_redis_transaction(worker->redis,
                                              &env->apply.live->base,
                                              command.argc, command.n,
                                              command.argv, command.argvlen,
                                              command.answer,
                                              ngx_http_knock_apply_handler,
                                              call);
    }

    knock_arena_reset(env->arena);

    if (rc == NGX_OK) {
        call->sent = ngx_http_knock_metrics_now();
        worker->ncalls++;
        worker->napplies++;
        return;
    }

    if (rc == NGX_BUSY) {
        ngx_str_set(&why, NGX_HTTP_KNOCK_REDIS_BUSY);

    } else {
        ngx_str_set(&why, "no memory");
    }

    ngx_http_knock_apply_failed(call, NGX_HTTP_KNOCK_REDIS_DOWN, &why);

    ngx_free(call);
}


static void
ngx_http_knock_apply_handler(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_call_t *call = data;

    size_t                    i;
    redisReply               *unit;
    ngx_http_knock_job_t     *job;
    ngx_http_knock_worker_t  *worker;

    worker = call->worker;
    worker->ncalls--;
    worker->napplies--;

    if (status != NGX_HTTP_KNOCK_REDIS_LOST
        && status != NGX_HTTP_KNOCK_REDIS_DOWN)
    {
        ngx_http_knock_metrics_call(worker, call->sent);
    }

    /* Redis gets its next call before this one's requests are answered */

    ngx_http_knock_apply_flush_handler(&worker->flush);

    if (status != NGX_HTTP_KNOCK_REDIS_OK) {
        ngx_http_knock_apply_failed(call, status, why);
        goto done;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1
        && reply->element[0]->type == REDIS_REPLY_STRING)
    {
        if (ngx_strcmp(reply->element[0]->str, "plain") == 0) {
            ngx_http_knock_apply_plain(call);

        } else {
            ngx_http_knock_apply_stale(call);
        }

        goto done;
    }

    for (i = 0; !ngx_queue_empty(&call->jobs); i++) {

        job = ngx_http_knock_apply_next(call);

        unit = reply->type == REDIS_REPLY_ARRAY && i < reply->elements
               ? reply->element[i] : NULL;

        ngx_http_knock_apply_unit(job, unit);
    }

done:

    ngx_free(call);

    ngx_http_knock_worker_check_retired(worker);
}


static ngx_http_knock_job_t *
ngx_http_knock_apply_next(ngx_http_knock_call_t *call)
{
    ngx_http_knock_job_t  *job;

    job = ngx_queue_data(ngx_queue_head(&call->jobs), ngx_http_knock_job_t,
                         queue);

    ngx_queue_remove(&job->queue);
    job->state = NGX_HTTP_KNOCK_IDLE;

    return job;
}


/*
 * An error reply that does not pass may be one request's doing: those that
 * shared the call try again by themselves.  It changed nothing.
 */

static void
ngx_http_knock_apply_failed(ngx_http_knock_call_t *call,
    ngx_http_knock_redis_status_e status, ngx_str_t *why)
{
    ngx_uint_t             split;
    ngx_http_knock_job_t  *job;

    split = status == NGX_HTTP_KNOCK_REDIS_ERROR && call->njobs > 1;

    if (!split) {
        ngx_http_knock_complain(call->worker, why,
                                "Redis did not apply %ui requests, their "
                                "senders are told to retry: %V",
                                call->njobs, why);
    }

    while (!ngx_queue_empty(&call->jobs)) {
        job = ngx_http_knock_apply_next(call);

        if (split && job->request) {
            job->alone = 1;
            ngx_http_knock_job_process(job, NULL);
            continue;
        }

        if (status == NGX_HTTP_KNOCK_REDIS_ERROR) {
            ngx_http_knock_apply_refuse(job, "the server's error log says "
                                        "why");
            continue;
        }

        ngx_http_knock_job_unavailable(job);
    }
}


static void
ngx_http_knock_apply_stale(ngx_http_knock_call_t *call)
{
    ngx_http_knock_job_t  *job;

    while (!ngx_queue_empty(&call->jobs)) {
        job = ngx_http_knock_apply_next(call);

        if (job->request == NULL || ++job->tries > NGX_HTTP_KNOCK_TRIES) {
            ngx_http_knock_apply_tired(job);
            continue;
        }

        ngx_http_knock_live_wait(job);
    }
}


/* all went as expected, which Redis says once for all */

static void
ngx_http_knock_apply_plain(ngx_http_knock_call_t *call)
{
    knock_str_t            statuses;
    ngx_http_knock_job_t  *job;

    while (!ngx_queue_empty(&call->jobs)) {
        job = ngx_http_knock_apply_next(call);
        statuses = job->received.statuses;

        ngx_http_knock_job_applied(job, &statuses, job->received.runs);
    }
}


static void
ngx_http_knock_apply_unit(ngx_http_knock_job_t *job, redisReply *unit)
{
    knock_str_t    statuses;
    knock_error_t  err;

    if (unit && unit->type == REDIS_REPLY_ARRAY && unit->elements == 1) {
        (void) knock_error_set(&err, KNOCK_E_STALE,
                               "it has been changed since: read it again and "
                               "send the new ETag as If-Match");
        ngx_http_knock_job_refuse(job, &err);
        return;
    }

    if (unit == NULL || unit->type != REDIS_REPLY_ARRAY || unit->elements != 3
        || unit->element[0]->type != REDIS_REPLY_STRING
        || unit->element[1]->type != REDIS_REPLY_STRING)
    {
        ngx_http_knock_apply_broken(job, "Redis answered what knock_apply "
                                    "does not: another library is loaded "
                                    "there");
        return;
    }

    if (ngx_strcmp(unit->element[0]->str, "need") == 0) {
        ngx_http_knock_apply_need(job, unit);
        return;
    }

    /* the answer looks up the place of each event in the request */

    if (unit->element[1]->len != (size_t) job->received.nevents) {
        ngx_http_knock_apply_broken(job, "Redis answered for another number "
                                    "of events: another library is loaded "
                                    "there");
        return;
    }

    statuses.len = unit->element[1]->len;
    statuses.data = (u_char *) unit->element[1]->str;

    ngx_http_knock_job_applied(job, &statuses,
                               (uint64_t) unit->element[2]->integer);
}


static void
ngx_http_knock_apply_need(ngx_http_knock_job_t *job, redisReply *unit)
{
    size_t          i;
    redisReply     *bases;
    knock_need_t    need;

    bases = unit->element[2];

    if (bases->type != REDIS_REPLY_ARRAY) {
        ngx_http_knock_apply_broken(job, "Redis answered what knock_apply "
                                    "does not: another library is loaded "
                                    "there");
        return;
    }

    if (job->request == NULL || ++job->tries > NGX_HTTP_KNOCK_TRIES) {
        ngx_http_knock_apply_tired(job);
        return;
    }

    /* the call that is made from it goes out before the request does */

    need.nbases = bases->elements;
    need.bases = ngx_pcalloc(job->request->pool,
                             (bases->elements + 1) * sizeof(knock_str_t));

    need.verdicts.len = unit->element[1]->len;
    need.verdicts.data = ngx_pnalloc(job->request->pool,
                                     need.verdicts.len + 1);

    if (need.bases == NULL || need.verdicts.data == NULL) {
        goto failed;
    }

    ngx_memcpy(need.verdicts.data, unit->element[1]->str, need.verdicts.len);

    for (i = 0; i < bases->elements; i++) {
        if (bases->element[i]->type != REDIS_REPLY_STRING) {
            continue;
        }

        need.bases[i].len = bases->element[i]->len;
        need.bases[i].data = ngx_pnalloc(job->request->pool,
                                         need.bases[i].len + 1);

        if (need.bases[i].data == NULL) {
            goto failed;
        }

        ngx_memcpy(need.bases[i].data, bases->element[i]->str,
                   need.bases[i].len);
    }

    ngx_http_knock_job_process(job, &need);

    return;

failed:

    ngx_http_knock_complain_memory(job->worker, "objects to be merged");
    ngx_http_knock_job_unavailable(job);
}


/* it goes round no more */

static void
ngx_http_knock_apply_tired(ngx_http_knock_job_t *job)
{
    if (job->request) {
        ngx_http_knock_complain(job->worker, NULL,
                                "a request was begun %d times, what it goes by "
                                "in Redis changed each time, its sender is "
                                "told to retry: see who writes there",
                                NGX_HTTP_KNOCK_TRIES);
    }

    ngx_http_knock_job_unavailable(job);
}


static void
ngx_http_knock_apply_broken(ngx_http_knock_job_t *job, const char *why)
{
    ngx_str_t  reason;

    reason.len = ngx_strlen(why);
    reason.data = (u_char *) why;

    ngx_http_knock_complain(job->worker, &reason,
                            "a request was not applied: %s; load the "
                            "module's by FUNCTION LOAD REPLACE", why);

    ngx_http_knock_apply_refuse(job, why);
}


static void
ngx_http_knock_apply_refuse(ngx_http_knock_job_t *job, const char *why)
{
    knock_error_t  err;

    (void) knock_error_set(&err, KNOCK_E_INTERNAL,
                           "nothing was applied: %s", why);

    ngx_http_knock_job_refuse(job, &err);
}

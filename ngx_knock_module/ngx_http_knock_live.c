
#include "ngx_http_knock_worker.h"


#define NGX_HTTP_KNOCK_LIVE_ARENA  4096


static void ngx_http_knock_live_environments_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_live_failed(ngx_http_knock_worker_t *worker,
    ngx_str_t *why);
static ngx_int_t ngx_http_knock_live_ask(ngx_http_knock_env_t *env);
static void ngx_http_knock_live_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static ngx_int_t ngx_http_knock_live_build(ngx_http_knock_env_t *env,
    redisReply *reply);
static ngx_int_t ngx_http_knock_live_strings(knock_arena_t *arena,
    redisReply *reply, knock_str_t **strings, size_t *n);
static void ngx_http_knock_live_done(ngx_http_knock_worker_t *worker);
static ngx_uint_t ngx_http_knock_live_is_read(ngx_http_knock_job_t *job);
static ngx_int_t ngx_http_knock_live_command(ngx_http_knock_worker_t *worker,
    ngx_uint_t n, const knock_str_t *args,
    ngx_http_knock_redis_handler_pt handler, void *data);


static ngx_str_t  ngx_http_knock_live_unasked =
    ngx_string(NGX_HTTP_KNOCK_REDIS_BUSY "; or there is no memory");


void
ngx_http_knock_live_wait(ngx_http_knock_job_t *job)
{
    job->state = NGX_HTTP_KNOCK_WAITING;

    ngx_queue_insert_tail(&job->worker->waiting, &job->queue);

    ngx_http_knock_live_refresh(job->worker);
}


/*
 * The environments that are known are asked in one flight with the list; one
 * that the list then names for the first time costs a second flight.
 */

void
ngx_http_knock_live_refresh(ngx_http_knock_worker_t *worker)
{
    ngx_int_t              rc;
    ngx_queue_t           *q;
    knock_str_t            args[5];
    knock_str_t            account, prefix, base;
    knock_arena_t         *arena;
    ngx_http_knock_env_t  *env;

    if (worker->pending) {
        return;
    }

    if (!ngx_queue_empty(&worker->waiting)) {
        ngx_queue_add(&worker->refreshing, &worker->waiting);
        ngx_queue_init(&worker->waiting);
    }

    worker->refresh_failed = 0;
    worker->refreshes++;

    /* so that an answer that comes while others are asked ends nothing */
    worker->pending = 1;

    arena = knock_arena_create(NGX_HTTP_KNOCK_LIVE_ARENA);
    if (arena == NULL) {
        ngx_http_knock_live_failed(worker, &ngx_http_knock_live_unasked);
        goto done;
    }

    knock_str_set(&account, KNOCK_KEY_ACCOUNT);

    knock_str_set(&args[0], "FCALL");
    knock_str_set(&args[1], "knock_environments");
    knock_str_set(&args[2], "1");
    knock_str_set(&args[4], KNOCK_LIBRARY_VERSION);

    rc = NGX_ERROR;
    prefix = ngx_http_knock_str(&worker->conf->prefix);

    if (knock_keys_base(arena, &prefix, &account, &base) == KNOCK_OK
        && knock_keys_make(arena, &base, KNOCK_KEY_ENVIRONMENTS, NULL,
                           &args[3])
           == KNOCK_OK)
    {
        rc = ngx_http_knock_live_command(worker, 5, args,
                                    ngx_http_knock_live_environments_handler,
                                    worker);
    }

    knock_arena_destroy(arena);

    if (rc != NGX_OK) {
        ngx_http_knock_live_failed(worker, &ngx_http_knock_live_unasked);
        goto done;
    }

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (ngx_http_knock_live_ask(env) != NGX_OK) {
            ngx_http_knock_live_failed(worker, &ngx_http_knock_live_unasked);
        }
    }

done:

    worker->pending--;

    if (worker->pending == 0) {
        ngx_http_knock_live_done(worker);
    }
}


static void
ngx_http_knock_live_environments_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_worker_t *worker = data;

    size_t                 i;
    redisReply            *name;
    ngx_queue_t           *q, *next;
    ngx_http_knock_env_t  *env;

    worker->ncalls--;

    if (status != NGX_HTTP_KNOCK_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY)
    {
        ngx_http_knock_live_failed(worker, why);
        goto done;
    }

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);
        env->listed = 0;
    }

    for (i = 0; i < reply->elements; i++) {
        name = reply->element[i];

        if (name->type != REDIS_REPLY_STRING) {
            continue;
        }

        env = ngx_http_knock_env_get(worker, name->str, name->len);

        if (env == NULL) {
            ngx_http_knock_live_failed(worker, &ngx_http_knock_live_unasked);
            continue;
        }

        /* a new one has not been asked with the others */

        if (env->live == NULL && !env->asked
            && ngx_http_knock_live_ask(env) != NGX_OK)
        {
            ngx_http_knock_live_failed(worker, &ngx_http_knock_live_unasked);
        }

        env->listed = 1;
    }

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = next)
    {
        next = ngx_queue_next(q);
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (!env->listed && !env->asked) {
            ngx_http_knock_env_free(env);
        }
    }

done:

    worker->pending--;

    if (worker->pending == 0) {
        ngx_http_knock_live_done(worker);
    }
}


/* the requests that wait for it will be 503, for which one line will do */

static void
ngx_http_knock_live_failed(ngx_http_knock_worker_t *worker, ngx_str_t *why)
{
    static ngx_str_t  library =
        ngx_string("it answered what the function library does not (see "
                   "FUNCTION LIST), or there is no memory for it");

    if (!worker->refresh_failed && !ngx_queue_empty(&worker->refreshing)) {
        ngx_http_knock_complain(worker, why,
                                "what is live could not be read from Redis, "
                                "the senders of requests that wait for it are "
                                "told to retry: %V",
                                why->len ? why : &library);
    }

    worker->refresh_failed = 1;
}


static ngx_int_t
ngx_http_knock_live_ask(ngx_http_knock_env_t *env)
{
    size_t                    i;
    ngx_int_t                 rc;
    knock_str_t               args[10], base, prefix, name;
    knock_arena_t            *arena;
    ngx_http_knock_worker_t  *worker;

    static const knock_key_e  keys[] = {
        KNOCK_KEY_VERSION, KNOCK_KEY_ENDPOINTS, KNOCK_KEY_WORKFLOWS,
        KNOCK_KEY_ACTIONS, KNOCK_KEY_TOGGLES
    };

    worker = env->worker;

    arena = knock_arena_create(NGX_HTTP_KNOCK_LIVE_ARENA);
    if (arena == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    knock_str_set(&args[0], "FCALL");
    knock_str_set(&args[1], "knock_live");
    knock_str_set(&args[2], "5");

    prefix = ngx_http_knock_str(&worker->conf->prefix);
    name = ngx_http_knock_str(&env->name);

    if (knock_keys_base(arena, &prefix, &name, &base) != KNOCK_OK) {
        goto done;
    }

    for (i = 0; i < 5; i++) {
        if (knock_keys_make(arena, &base, keys[i], NULL, &args[3 + i])
            != KNOCK_OK)
        {
            goto done;
        }
    }

    knock_str_set(&args[8], KNOCK_LIBRARY_VERSION);

    if (env->live) {
        args[9] = env->live->version;

    } else {
        knock_str_set(&args[9], "");
    }

    rc = ngx_http_knock_live_command(worker, 10, args,
                                     ngx_http_knock_live_handler, env);
    if (rc == NGX_OK) {
        env->asked = 1;
    }

done:

    knock_arena_destroy(arena);

    return rc;
}


static void
ngx_http_knock_live_handler(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_env_t *env = data;

    ngx_http_knock_worker_t  *worker;

    worker = env->worker;

    env->asked = 0;
    worker->ncalls--;

    if (status != NGX_HTTP_KNOCK_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
    {
        ngx_http_knock_live_failed(worker, why);

    } else if (reply->elements > 1
               && ngx_http_knock_live_build(env, reply) != NGX_OK)
    {
        ngx_http_knock_live_failed(worker, why);

    } else {
        env->read_at = worker->refreshes;
    }

    worker->pending--;

    if (worker->pending == 0) {
        ngx_http_knock_live_done(worker);
    }
}


static ngx_int_t
ngx_http_knock_live_build(ngx_http_knock_env_t *env, redisReply *reply)
{
    knock_str_t               prefix, name;
    knock_live_t             *live;
    knock_arena_t            *arena, *scratch;
    knock_live_reply_t        lr;
    ngx_http_knock_config_t  *config;

    if (reply->elements != 5 || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    arena = knock_arena_create(NGX_HTTP_KNOCK_LIVE_ARENA);
    scratch = knock_arena_create(NGX_HTTP_KNOCK_LIVE_ARENA);

    if (arena == NULL || scratch == NULL) {
        goto failed;
    }

    config = knock_arena_alloc(arena, sizeof(ngx_http_knock_config_t));
    if (config == NULL) {
        goto failed;
    }

    prefix = ngx_http_knock_str(&env->worker->conf->prefix);
    name = ngx_http_knock_str(&env->name);

    lr.version.len = reply->element[0]->len;
    lr.version.data = (u_char *) reply->element[0]->str;

    if (ngx_http_knock_live_strings(scratch, reply->element[1], &lr.endpoints,
                                    &lr.nendpoints) != NGX_OK
        || ngx_http_knock_live_strings(scratch, reply->element[2],
                                       &lr.workflows, &lr.nworkflows) != NGX_OK
        || ngx_http_knock_live_strings(scratch, reply->element[3],
                                       &lr.actions, &lr.nactions) != NGX_OK
        || ngx_http_knock_live_strings(scratch, reply->element[4],
                                       &lr.toggles, &lr.ntoggles) != NGX_OK
        || knock_live_build(arena, &prefix, &name, env->worker->conf->shards,
                            &lr, &live) != KNOCK_OK)
    {
        goto failed;
    }

    knock_arena_destroy(scratch);

    if (live->nskipped) {
        ngx_log_error(NGX_LOG_ERR, env->worker->log, 0,
                      "knock: %uz live actions of \"%V\" cannot be used, the "
                      "last of them \"%*s\": %s; save it anew and commit",
                      live->nskipped, &env->name, live->skipped.len,
                      live->skipped.data, live->skipped_why);
    }

    /* what has been collected goes by the configuration it was made from */

    ngx_http_knock_call_flush_env(env);

    ngx_http_knock_env_release(env->config);

    config->refs = 1;
    config->arena = arena;
    config->live = live;

    env->config = config;
    env->live = live;

    return NGX_OK;

failed:

    knock_arena_destroy(arena);
    knock_arena_destroy(scratch);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_knock_live_strings(knock_arena_t *arena, redisReply *reply,
    knock_str_t **strings, size_t *n)
{
    size_t        i;
    knock_str_t  *s;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return NGX_ERROR;
    }

    s = knock_arena_calloc(arena, reply->elements, sizeof(knock_str_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return NGX_ERROR;
        }

        s[i].len = reply->element[i]->len;
        s[i].data = (u_char *) reply->element[i]->str;
    }

    *strings = s;
    *n = reply->elements;

    return NGX_OK;
}


/* those that wait are served in the order in which they came */

static void
ngx_http_knock_live_done(ngx_http_knock_worker_t *worker)
{
    unsigned               failed;
    ngx_queue_t            jobs;
    ngx_http_knock_job_t  *job;

    ngx_queue_init(&jobs);

    if (!ngx_queue_empty(&worker->refreshing)) {
        ngx_queue_add(&jobs, &worker->refreshing);
        ngx_queue_init(&worker->refreshing);
    }

    failed = worker->refresh_failed;

    while (!ngx_queue_empty(&jobs)) {
        job = ngx_queue_data(ngx_queue_head(&jobs), ngx_http_knock_job_t,
                             queue);

        ngx_queue_remove(&job->queue);
        job->state = NGX_HTTP_KNOCK_IDLE;

        if (failed && !ngx_http_knock_live_is_read(job)) {
            ngx_http_knock_job_unavailable(job);
            continue;
        }

        job->confirmed = 1;
        ngx_http_knock_job_process(job);
    }

    ngx_http_knock_ready_read(worker);

    if (worker->pending == 0 && !ngx_queue_empty(&worker->waiting)) {
        ngx_http_knock_live_refresh(worker);
        return;
    }

    ngx_http_knock_worker_check_retired(worker);
}


/*
 * Whether the environment of a job has been read, where another one, or the
 * list of them, has not: in a cluster each is on a node that may be away.
 */

static ngx_uint_t
ngx_http_knock_live_is_read(ngx_http_knock_job_t *job)
{
    knock_error_t          err;
    ngx_http_knock_env_t  *env;

    env = job->type->find(job, &err);

    return env && env->read_at == job->worker->refreshes;
}


static ngx_int_t
ngx_http_knock_live_command(ngx_http_knock_worker_t *worker, ngx_uint_t n,
    const knock_str_t *args, ngx_http_knock_redis_handler_pt handler,
    void *data)
{
    size_t       lens[10];
    ngx_int_t    rc;
    ngx_uint_t   i;
    const char  *argv[10];

    for (i = 0; i < n; i++) {
        argv[i] = (const char *) args[i].data;
        lens[i] = args[i].len;
    }

    /* FCALL, the function, the number of keys, the first of them */

    rc = ngx_http_knock_redis_read(worker->redis, &args[3], n, argv, lens,
                                   handler, data);
    if (rc == NGX_OK) {
        worker->pending++;
        worker->ncalls++;
    }

    return rc;
}

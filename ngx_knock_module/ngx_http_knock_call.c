
/* a call of knock_apply: sent, and its reply given to the parts of jobs */

#include "ngx_http_knock_worker.h"


/*
 * While this many calls to a place are under way, what becomes ready for it is
 * collected for the next: an idle worker sends at once, and the busier Redis
 * is, the more events share the price of a call.
 */
#define NGX_HTTP_KNOCK_CALLS        1

#define NGX_HTTP_KNOCK_TOKEN_SIZE   64


/* a call under way, with the parts of jobs in the order of its units */

typedef struct {
    ngx_queue_t              parts;
    ngx_uint_t               nparts;
    uint64_t                 sent;          /* when, in microseconds */
    ngx_http_knock_group_t  *group;
} ngx_http_knock_call_t;


static void ngx_http_knock_call_conf(ngx_http_knock_group_t *group,
    u_char *token, knock_apply_conf_t *conf);
static void ngx_http_knock_call_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_call_failed(ngx_http_knock_call_t *call,
    ngx_http_knock_redis_status_e status, ngx_str_t *why);
static void ngx_http_knock_call_stale(ngx_http_knock_call_t *call,
    redisReply *reply);
static ngx_http_knock_part_t *ngx_http_knock_call_next(
    ngx_http_knock_call_t *call);


void
ngx_http_knock_call_flush_handler(ngx_event_t *ev)
{
    ngx_http_knock_worker_t *worker = ev->data;

    ngx_uint_t             i;
    ngx_queue_t           *q;
    ngx_http_knock_env_t  *env;

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        for (i = 0; i < env->ngroups; i++) {
            if (env->groups[i].ncalls < NGX_HTTP_KNOCK_CALLS) {
                ngx_http_knock_call_flush(&env->groups[i]);
            }
        }
    }
}


void
ngx_http_knock_call_flush_env(ngx_http_knock_env_t *env)
{
    ngx_uint_t  i;

    for (i = 0; i < env->ngroups; i++) {
        ngx_http_knock_call_flush(&env->groups[i]);
    }
}


void
ngx_http_knock_call_flush(ngx_http_knock_group_t *group)
{
    u_char                    token[NGX_HTTP_KNOCK_TOKEN_SIZE];
    ngx_int_t                 rc;
    ngx_str_t                 why;
    ngx_queue_t              *q;
    knock_command_t           command;
    const knock_str_t        *base;
    knock_apply_conf_t        conf;
    ngx_http_knock_part_t    *part;
    ngx_http_knock_call_t    *call, failed;
    ngx_http_knock_worker_t  *worker;

    if (!group->collecting) {
        return;
    }

    worker = group->env->worker;
    group->collecting = 0;

    if (ngx_queue_empty(&group->parts)) {
        group->apply.arena = NULL;
        knock_arena_reset(group->arena);
        return;
    }

    /* without memory the parts stand on the stack for as long as it takes */

    call = ngx_alloc(sizeof(ngx_http_knock_call_t), worker->log);
    if (call == NULL) {
        call = &failed;
    }

    call->group = group;
    call->nparts = 0;

    ngx_queue_init(&call->parts);
    ngx_queue_add(&call->parts, &group->parts);
    ngx_queue_init(&group->parts);

    for (q = ngx_queue_head(&call->parts);
         q != ngx_queue_sentinel(&call->parts);
         q = ngx_queue_next(q))
    {
        part = ngx_queue_data(q, ngx_http_knock_part_t, queue);

        part->collected = 0;
        call->nparts++;
    }

    rc = NGX_ERROR;

    ngx_http_knock_call_conf(group, token, &conf);

    if (call != &failed
        && knock_apply_command(&group->apply, &conf, &command) == KNOCK_OK)
    {
        base = &group->apply.live->places[group->place].base;

        rc = ngx_http_knock_redis_transaction(worker->redis, base,
                                              command.argc, command.n,
                                              command.argv, command.argvlen,
                                              command.answer,
                                              ngx_http_knock_call_handler,
                                              call);
    }

    group->apply.arena = NULL;
    knock_arena_reset(group->arena);

    if (rc == NGX_OK) {
        call->sent = ngx_http_knock_metrics_now();
        worker->ncalls++;
        group->ncalls++;
        return;
    }

    if (rc == NGX_BUSY) {
        ngx_str_set(&why, NGX_HTTP_KNOCK_REDIS_BUSY);

    } else {
        ngx_str_set(&why, "no memory");
    }

    ngx_http_knock_call_failed(call, NGX_HTTP_KNOCK_REDIS_DOWN, &why);

    if (call != &failed) {
        ngx_free(call);
    }
}


static void
ngx_http_knock_call_conf(ngx_http_knock_group_t *group, u_char *token,
    knock_apply_conf_t *conf)
{
    u_char                      *last;
    ngx_http_knock_worker_t     *worker;
    ngx_http_knock_main_conf_t  *kmcf;

    worker = group->env->worker;
    kmcf = worker->conf;

    conf->window = kmcf->dedupe_window;
    conf->log_length = kmcf->event_log_length;
    conf->catalogue_length = kmcf->catalogue_length;

    last = ngx_snprintf(token, NGX_HTTP_KNOCK_TOKEN_SIZE, "knock/%xL.%ui",
                        worker->token, ++worker->calls);

    conf->token.data = token;
    conf->token.len = (size_t) (last - token);

    conf->any_version = group->begun;

    /* what is known now may be newer than what was found at the shard */

    conf->ahead.len = 0;
    conf->ahead.data = group->ahead_data;

    if ((ngx_int_t) (group->env->read_at - group->ahead_at) > 0) {
        conf->ahead.len = group->ahead.len;
    }
}


static void
ngx_http_knock_call_handler(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_call_t *call = data;

    size_t                    i, nparts;
    redisReply               *unit;
    ngx_http_knock_worker_t  *worker;

    worker = call->group->env->worker;
    nparts = call->nparts;
    worker->ncalls--;
    call->group->ncalls--;

    if (status != NGX_HTTP_KNOCK_REDIS_LOST
        && status != NGX_HTTP_KNOCK_REDIS_DOWN)
    {
        ngx_http_knock_metrics_call(worker, call->sent);
    }

    /* Redis gets its next call before this one's requests are answered */

    if (call->group->ncalls < NGX_HTTP_KNOCK_CALLS) {
        ngx_http_knock_call_flush(call->group);
    }

    if (status != NGX_HTTP_KNOCK_REDIS_OK) {
        ngx_http_knock_call_failed(call, status, why);
        goto done;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
        && reply->element[0]->type == REDIS_REPLY_STRING)
    {
        if (ngx_strcmp(reply->element[0]->str, "stale") == 0) {
            ngx_http_knock_call_stale(call, reply);
            goto done;
        }

        /* "plain": all went as expected, which is said once for all */

        while (!ngx_queue_empty(&call->parts)) {
            ngx_http_knock_settle_reply(ngx_http_knock_call_next(call), NULL);
        }

        nparts = 1;
    }

    for (i = 0; !ngx_queue_empty(&call->parts); i++) {

        if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements) {
            ngx_http_knock_settle_broken(ngx_http_knock_call_next(call),
                                         NGX_HTTP_KNOCK_STRANGE);
            continue;
        }

        unit = reply->element[i];

        ngx_http_knock_settle_reply(ngx_http_knock_call_next(call), unit);
    }

    /* begun under what is live no longer: the next ones are not to be */

    if (reply->elements > nparts) {
        ngx_http_knock_live_refresh(worker);
    }

done:

    ngx_free(call);

    ngx_http_knock_worker_check_retired(worker);
}


static ngx_http_knock_part_t *
ngx_http_knock_call_next(ngx_http_knock_call_t *call)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(&call->parts);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_http_knock_part_t, queue);
}


/*
 * An error reply that does not pass may be one request's doing: those that
 * shared the call try again by themselves.  It changed nothing.
 */

static void
ngx_http_knock_call_failed(ngx_http_knock_call_t *call,
    ngx_http_knock_redis_status_e status, ngx_str_t *why)
{
    ngx_uint_t              split;
    ngx_http_knock_part_t  *part;

    split = (status == NGX_HTTP_KNOCK_REDIS_ERROR
             || status == NGX_HTTP_KNOCK_REDIS_TOO_LONG)
            && call->nparts > 1;

    if (!split) {
        ngx_http_knock_complain(call->group->env->worker, why,
                                "Redis did not apply %ui requests, their "
                                "senders are told to retry: %V",
                                call->nparts, why);
    }

    while (!ngx_queue_empty(&call->parts)) {
        part = ngx_http_knock_call_next(call);

        if (split) {
            part->job->alone = 1;
            ngx_http_knock_settle(part, NGX_HTTP_KNOCK_AGAIN, NULL);
            continue;
        }

        if (status == NGX_HTTP_KNOCK_REDIS_ERROR) {
            ngx_http_knock_settle(part, NGX_HTTP_KNOCK_BROKEN,
                                  "the server's error log says why");
            continue;
        }

        ngx_http_knock_settle(part, NGX_HTTP_KNOCK_UNAVAILABLE,
                              status == NGX_HTTP_KNOCK_REDIS_TOO_LONG
                              ? "it is longer than Redis takes a command, see "
                                "its proto-max-bulk-len and "
                                "client-query-buffer-limit"
                              : NULL);
    }
}


static void
ngx_http_knock_call_stale(ngx_http_knock_call_t *call, redisReply *reply)
{
    ngx_http_knock_group_t  *group;

    group = call->group;

    /* a shard may have what the environment has lost: follow() in knock.lua */

    if (reply->elements > 1
        && reply->element[1]->type == REDIS_REPLY_STRING
        && (size_t) reply->element[1]->len <= sizeof(group->ahead_data))
    {
        group->ahead.len = reply->element[1]->len;
        group->ahead.data = group->ahead_data;
        ngx_memcpy(group->ahead.data, reply->element[1]->str,
                   group->ahead.len);

        group->ahead_at = group->env->worker->refreshes;
    }

    while (!ngx_queue_empty(&call->parts)) {
        ngx_http_knock_settle(ngx_http_knock_call_next(call),
                              NGX_HTTP_KNOCK_STALE, NULL);
    }

    /* those that have begun do not wait for it */

    ngx_http_knock_live_refresh(group->env->worker);
}


/* the environments that a worker knows, and what it keeps of each */

#include "ngx_http_knock_worker.h"


#define NGX_HTTP_KNOCK_GROUP_ARENA  (64 * 1024)
#define NGX_HTTP_KNOCK_SHARD_ARENA  (16 * 1024)


static ngx_uint_t ngx_http_knock_env_busy(ngx_http_knock_env_t *env);
static void ngx_http_knock_env_destroy(ngx_http_knock_env_t *env);


ngx_http_knock_env_t *
ngx_http_knock_env_get(ngx_http_knock_worker_t *worker, const char *name,
    size_t len)
{
    ngx_uint_t               i, n, nplaces;
    ngx_queue_t             *q;
    ngx_http_knock_env_t    *env;
    ngx_http_knock_group_t  *group;

    for (q = ngx_queue_head(&worker->envs);
         q != ngx_queue_sentinel(&worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);

        if (env->name.len == len && ngx_memcmp(env->name.data, name, len) == 0)
        {
            return env;
        }
    }

    nplaces = knock_keys_nplaces(worker->conf->shards);
    n = nplaces > 1 ? 2 * nplaces : 1;

    env = ngx_calloc(sizeof(ngx_http_knock_env_t)
                     + n * sizeof(ngx_http_knock_group_t) + len, worker->log);
    if (env == NULL) {
        return NULL;
    }

    env->worker = worker;
    env->ngroups = n;
    env->nplaces = nplaces;
    env->groups = (ngx_http_knock_group_t *)
                  ((u_char *) env + sizeof(ngx_http_knock_env_t));

    for (i = 0; i < n; i++) {
        group = &env->groups[i];

        group->env = env;
        group->begun = i >= nplaces;
        group->place = group->begun ? i - nplaces : i;
        ngx_queue_init(&group->parts);

        group->arena = knock_arena_create(n > 1 ? NGX_HTTP_KNOCK_SHARD_ARENA
                                                : NGX_HTTP_KNOCK_GROUP_ARENA);
        if (group->arena == NULL) {
            ngx_http_knock_env_destroy(env);
            return NULL;
        }
    }

    env->name.len = len;
    env->name.data = (u_char *) &env->groups[n];
    ngx_memcpy(env->name.data, name, len);

    ngx_queue_insert_tail(&worker->envs, &env->queue);

    return env;
}


/* whether there are calls under way, or collected */

static ngx_uint_t
ngx_http_knock_env_busy(ngx_http_knock_env_t *env)
{
    ngx_uint_t  i, n;

    for (n = 0, i = 0; i < env->ngroups; i++) {
        n += env->groups[i].ncalls
             + !ngx_queue_empty(&env->groups[i].parts);
    }

    return n;
}


void
ngx_http_knock_env_free(ngx_http_knock_env_t *env)
{
    /* while it is busy, it waits for the next refresh */

    ngx_http_knock_call_flush_env(env);

    if (ngx_http_knock_env_busy(env)) {
        return;
    }

    ngx_queue_remove(&env->queue);

    ngx_http_knock_env_destroy(env);
}


static void
ngx_http_knock_env_destroy(ngx_http_knock_env_t *env)
{
    ngx_uint_t  i;

    for (i = 0; i < env->ngroups; i++) {
        knock_arena_destroy(env->groups[i].arena);
    }

    ngx_http_knock_env_release(env->config);

    ngx_free(env);
}


void
ngx_http_knock_env_destroy_all(ngx_http_knock_worker_t *worker)
{
    ngx_http_knock_env_t  *env;

    while (!ngx_queue_empty(&worker->envs)) {
        env = ngx_queue_data(ngx_queue_head(&worker->envs),
                             ngx_http_knock_env_t, queue);

        ngx_queue_remove(&env->queue);

        ngx_http_knock_env_destroy(env);
    }
}


void
ngx_http_knock_env_release(ngx_http_knock_config_t *config)
{
    if (config && --config->refs == 0) {
        knock_arena_destroy(config->arena);
    }
}


#include "ngx_http_knock_worker.h"


/*
 * A call is sent early when it has grown to this, so that no turn of the
 * event loop holds Redis for long.
 */
#define NGX_HTTP_KNOCK_CALL_BYTES   (256 * 1024)
#define NGX_HTTP_KNOCK_CALL_EVENTS  128

/* a request that was refused leaves no more than this in a call's arena */
#define NGX_HTTP_KNOCK_CALL_REFUSED  (4 * 1024 * 1024)


static ngx_int_t ngx_http_knock_apply_whole(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_received_t *received, knock_error_t *err);
static ngx_int_t ngx_http_knock_apply_parts(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_received_t *received, knock_error_t *err);
static ngx_int_t ngx_http_knock_apply_keep(ngx_http_knock_job_t *job,
    const knock_received_t *received);


ngx_int_t
ngx_http_knock_apply(ngx_http_knock_job_t *job, ngx_http_knock_env_t *env,
    knock_error_t *err)
{
    ngx_int_t         rc;
    knock_received_t  received;

    if (job->alone) {
        ngx_http_knock_call_flush_env(env);
    }

    job->pending = 0;
    job->result = NGX_HTTP_KNOCK_DONE;

    rc = env->ngroups == 1
         ? ngx_http_knock_apply_whole(job, env, &received, err)
         : ngx_http_knock_apply_parts(job, env, &received, err);

    if (rc == NGX_DECLINED
        && ngx_http_knock_apply_keep(job, &received) != NGX_OK)
    {
        rc = NGX_ERROR;
    }

    if (rc != NGX_OK && env->ngroups == 1
        && knock_arena_size(env->groups[0].arena)
           >= NGX_HTTP_KNOCK_CALL_REFUSED)
    {
        ngx_http_knock_call_flush(&env->groups[0]);
    }

    return rc;
}


/* what a job does at the one place that there is */

static ngx_int_t
ngx_http_knock_apply_whole(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_received_t *received, knock_error_t *err)
{
    knock_part_t             made;
    knock_parts_t            parts;
    ngx_http_knock_part_t   *part;
    ngx_http_knock_group_t  *group;

    group = &env->groups[0];

    if (group->apply.arena == NULL
        && knock_apply_begin(&group->apply, group->arena, env->live, 0)
           != KNOCK_OK)
    {
        knock_arena_reset(group->arena);
        return NGX_ERROR;
    }

    ngx_http_knock_apply_collect(group);

    knock_parts_whole(&parts, &made, &group->apply, group->arena, env->live,
                      job->need);

    if (job->type->receive(job, &parts, received, err) != KNOCK_OK) {
        return err->code == KNOCK_E_INTERNAL ? NGX_ERROR : NGX_DECLINED;
    }

    /* the unit is in the call now, and goes with it whatever becomes of r */

    part = &job->part;
    part->runs = made.runs;

    if (ngx_http_knock_apply_keep(job, received) != NGX_OK
        || ngx_http_knock_job_keep(job, &made.statuses, &part->statuses)
           != NGX_OK)
    {
        /* then Redis has to say what became of each event */
        group->apply.plain = 0;
    }

    ngx_http_knock_apply_join(job, part, group);

    return NGX_OK;
}


/* what a job does at several places, but for what is applied there already */

static ngx_int_t
ngx_http_knock_apply_parts(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, knock_received_t *received, knock_error_t *err)
{
    int                       rc;
    size_t                    i;
    knock_part_t             *made;
    ngx_http_knock_group_t   *groups;
    ngx_http_knock_shards_t  *shards;

    if (job->shards == NULL) {
        job->shards = ngx_http_knock_shards_create(job->worker, env->nplaces);

        if (job->shards == NULL) {
            return NGX_ERROR;
        }
    }

    shards = job->shards;

    knock_arena_reset(shards->arena);

    if (!job->begun) {
        ngx_http_knock_env_release(shards->config);

        shards->config = env->config;
        shards->config->refs++;
    }

    shards->parts.live = shards->config->live;
    shards->env = env;

    groups = ngx_http_knock_apply_groups(job);

    for (i = 0; i < env->nplaces; i++) {
        made = &shards->parts.parts[i];

        ngx_memzero(made, sizeof(knock_part_t));

        made->apply = &groups[i].apply;
        made->arena = groups[i].arena;
        made->need = shards->needs[i];
        made->done = shards->outcomes[i].events != NULL;
    }

    rc = job->type->receive(job, &shards->parts, received, err);

    for (i = 0; i < env->nplaces; i++) {
        ngx_http_knock_apply_collect(&groups[i]);
    }

    if (rc != KNOCK_OK) {
        return err->code == KNOCK_E_INTERNAL ? NGX_ERROR : NGX_DECLINED;
    }

    shards->orders = received->orders;

    (void) ngx_http_knock_apply_keep(job, received);

    /* one that is sent at once may be the last to come back, but not here */

    job->pending = 1;

    for (i = 0; i + 1 < env->nplaces; i++) {
        made = &shards->parts.parts[i];

        if (made->unit.nevents && !made->done) {
            ngx_http_knock_apply_join(job, &shards->links[i], &groups[i]);
        }
    }

    job->state = NGX_HTTP_KNOCK_APPLYING;

    if (--job->pending == 0) {
        ngx_http_knock_settle_job(job);
    }

    return NGX_OK;
}


ngx_http_knock_group_t *
ngx_http_knock_apply_groups(ngx_http_knock_job_t *job)
{
    ngx_http_knock_env_t  *env;

    env = job->shards->env;

    return job->begun ? &env->groups[env->nplaces] : env->groups;
}


void
ngx_http_knock_apply_join(ngx_http_knock_job_t *job,
    ngx_http_knock_part_t *part, ngx_http_knock_group_t *group)
{
    part->job = job;
    part->group = group;
    part->collected = 1;

    job->state = NGX_HTTP_KNOCK_APPLYING;
    job->pending++;

    ngx_queue_insert_tail(&group->parts, &part->queue);

    ngx_http_knock_apply_collect(group);

    if (job->alone || group->apply.bytes >= NGX_HTTP_KNOCK_CALL_BYTES
        || group->apply.nevents >= NGX_HTTP_KNOCK_CALL_EVENTS)
    {
        ngx_http_knock_call_flush(group);
    }
}


void
ngx_http_knock_apply_collect(ngx_http_knock_group_t *group)
{
    if (group->collecting || group->apply.arena == NULL) {
        return;
    }

    group->collecting = 1;
    ngx_post_event(&group->env->worker->flush, &ngx_posted_events);
}


/*
 * What the answer needs is kept with the request: the arena goes.  Without
 * memory nothing is but the number of events.
 */

static ngx_int_t
ngx_http_knock_apply_keep(ngx_http_knock_job_t *job,
    const knock_received_t *received)
{
    size_t  n;

    ngx_memzero(&job->received, sizeof(knock_received_t));

    job->received.nevents = received->nevents;

    if (ngx_http_knock_job_keep(job, &received->errors, &job->received.errors)
        != NGX_OK)
    {
        goto failed;
    }

    if (received->indexes == NULL) {
        return NGX_OK;
    }

    n = received->nevents * sizeof(size_t);

    job->received.indexes = ngx_palloc(job->request->pool, n);
    if (job->received.indexes == NULL) {
        goto failed;
    }

    ngx_memcpy(job->received.indexes, received->indexes, n);

    return NGX_OK;

failed:

    job->received.errors.len = 0;

    return NGX_ERROR;
}

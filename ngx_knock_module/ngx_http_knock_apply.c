
/* a round of a job: what its next events do, in the calls of their places */

#include "ngx_http_knock_worker.h"


/*
 * A round takes no more events than this, nor more bytes of arguments; a call
 * is sent early when it has grown to it, so that none holds Redis for long.
 */
#define NGX_HTTP_KNOCK_CALL_BYTES   (256 * 1024)
#define NGX_HTTP_KNOCK_CALL_EVENTS  128

/* nor more memory, if an event will fit; and as much for the JSON of a body */
#define NGX_HTTP_KNOCK_ROUND_SIZE   (8 * 1024 * 1024)

/* the JSON of a body of this size goes with its first round */
#define NGX_HTTP_KNOCK_SMALL_BODY   (16 * 1024)


static ngx_int_t ngx_http_knock_apply_open(ngx_http_knock_job_t *job,
    knock_error_t *err);
static ngx_int_t ngx_http_knock_apply_elements(ngx_http_knock_job_t *job,
    const knock_json_t *v, size_t n);
static ngx_int_t ngx_http_knock_apply_make(ngx_http_knock_job_t *job,
    knock_error_t *err);
static ngx_int_t ngx_http_knock_apply_parts(ngx_http_knock_job_t *job);
static ngx_int_t ngx_http_knock_apply_part(ngx_http_knock_job_t *job,
    size_t place);
static void ngx_http_knock_apply_add(ngx_http_knock_job_t *job);
static void ngx_http_knock_apply_join(ngx_http_knock_job_t *job,
    ngx_http_knock_part_t *part);


ngx_int_t
ngx_http_knock_apply(ngx_http_knock_job_t *job, knock_error_t *err)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    if (job->elements == NULL) {
        rc = ngx_http_knock_apply_open(job, err);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_knock_apply_make(job, err);
    if (rc != NGX_OK) {
        return rc;
    }

    if (job->tasks->guard.len) {
        job->alone = 1;
    }

    if (job->alone) {
        ngx_http_knock_call_flush_env(job->env);
    }

    if (ngx_http_knock_apply_parts(job) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_knock_apply_add(job);

    /* one that is sent at once may be the last to come back, but not here */

    job->state = NGX_HTTP_KNOCK_APPLYING;
    job->result = NGX_HTTP_KNOCK_DONE;
    job->pending = 1;

    for (i = 0; i < job->env->nplaces; i++) {
        if (job->parts[i]) {
            ngx_http_knock_apply_join(job, job->parts[i]);
        }
    }

    if (--job->pending == 0) {
        ngx_http_knock_settle_job(job);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_apply_open(ngx_http_knock_job_t *job, knock_error_t *err)
{
    size_t               n;
    knock_arena_t       *arena;
    const knock_json_t  *first;

    arena = job->arena;

    if (job->body_bytes > NGX_HTTP_KNOCK_SMALL_BODY) {
        job->json = knock_arena_create(job->body_bytes);

        if (job->json == NULL) {
            return NGX_ERROR;
        }

        arena = job->json;
    }

    if (job->type->open(job, arena, &first, &n, err) != KNOCK_OK) {
        return err->code == KNOCK_E_INTERNAL ? NGX_ERROR : NGX_DECLINED;
    }

    if (ngx_http_knock_apply_elements(job, first, n) != NGX_OK) {
        return NGX_ERROR;
    }

    if (job->json && knock_arena_size(job->json) > NGX_HTTP_KNOCK_ROUND_SIZE) {
        knock_arena_destroy(job->json);
        job->json = NULL;
        job->unread = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_apply_elements(ngx_http_knock_job_t *job,
    const knock_json_t *v, size_t n)
{
    size_t            i;
    knock_json_t     *bad;
    knock_arena_t    *kept;
    knock_element_t  *element;

    job->elements = &job->one;

    if (n > 1) {
        kept = ngx_http_knock_job_kept(job);

        job->elements = kept ? knock_arena_calloc(kept, n,
                                                  sizeof(knock_element_t))
                             : NULL;
        if (job->elements == NULL) {
            return NGX_ERROR;
        }
    }

    job->nelements = n;

    for (i = 0; i < n; i++, v = knock_json_next(v)) {
        element = &job->elements[i];

        element->index = i;
        element->text = knock_json_text(v);
        element->json = v;
        element->bad = (v->type == KNOCK_JSON_BAD);

        if (element->bad) {
            kept = ngx_http_knock_job_kept(job);

            bad = kept ? knock_arena_alloc(kept, sizeof(knock_json_t)) : NULL;
            if (bad == NULL) {
                return NGX_ERROR;
            }

            *bad = *v;

            element->json = bad;
        }
    }

    return NGX_OK;
}


/* makes the next events that are not done; one that is bad is done with that */

static ngx_int_t
ngx_http_knock_apply_make(ngx_http_knock_job_t *job, knock_error_t *err)
{
    int               rc;
    size_t            i, n;
    knock_task_t    **last;
    knock_round_t     round;
    knock_element_t  *element;

    job->tasks = NULL;
    last = &job->tasks;

    round.arena = NULL;

    while (job->first < job->nelements && job->elements[job->first].done) {
        job->first++;
    }

    for (i = job->first, n = 0; i < job->nelements; i++) {
        element = &job->elements[i];

        if (element->done) {
            continue;
        }

        if (n && (n == NGX_HTTP_KNOCK_CALL_EVENTS
                  || round.bytes >= NGX_HTTP_KNOCK_CALL_BYTES))
        {
            break;
        }

        if (knock_arena_size(job->arena) > NGX_HTTP_KNOCK_ROUND_SIZE) {
            if (n) {
                break;
            }

            knock_arena_reset(job->arena);
            round.arena = NULL;
        }

        if (round.arena == NULL
            && knock_round_init(&round, job->arena, job->config->live,
                                &job->flood, job->now)
               != KNOCK_OK)
        {
            return NGX_ERROR;
        }

        if (job->unread && !element->bad) {
            element->json = NULL;
        }

        rc = job->type->make(job, &round, element, last, err);

        if (rc == KNOCK_ERROR) {
            return NGX_ERROR;
        }

        if (rc == KNOCK_DECLINED) {
            element->done = 1;
            ngx_http_knock_job_fault(job, element->index, NULL, err);
            continue;
        }

        last = &(*last)->next;
        n++;
    }

    return n ? NGX_OK : NGX_DONE;
}


/* begins the calls of the places that the round touches */

static ngx_int_t
ngx_http_knock_apply_parts(ngx_http_knock_job_t *job)
{
    knock_task_t  *task;
    knock_unit_t  *unit;

    job->parts = &job->part;
    job->part = NULL;

    if (job->env->nplaces > 1) {
        job->parts = knock_arena_calloc(job->arena, job->env->nplaces,
                                        sizeof(ngx_http_knock_part_t *));
        if (job->parts == NULL) {
            return NGX_ERROR;
        }
    }

    for (task = job->tasks; task; task = task->next) {
        for (unit = task->units; unit; unit = unit->next) {
            if (job->parts[unit->place] == NULL
                && ngx_http_knock_apply_part(job, unit->place) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_apply_part(ngx_http_knock_job_t *job, size_t place)
{
    ngx_http_knock_env_t    *env;
    ngx_http_knock_part_t   *part;
    ngx_http_knock_group_t  *group;

    env = job->env;

    part = knock_arena_calloc(job->arena, 1, sizeof(ngx_http_knock_part_t));
    if (part == NULL) {
        return NGX_ERROR;
    }

    /* under another configuration than the last one it can only go on */

    group = &env->groups[place];

    if (job->pinned || job->config != env->config) {
        group += env->nplaces;
    }

    if (group->apply.arena == NULL
        && knock_apply_begin(&group->apply, group->arena, job->config->live,
                             place)
           != KNOCK_OK)
    {
        knock_arena_reset(group->arena);
        return NGX_ERROR;
    }

    ngx_http_knock_apply_collect(group);

    part->job = job;
    part->group = group;
    part->last = &part->units;

    group->apply.nrequests++;

    part->marked = 1;

    job->parts[place] = part;

    return NGX_OK;
}


static void
ngx_http_knock_apply_add(ngx_http_knock_job_t *job)
{
    knock_task_t            *task;
    knock_unit_t            *unit;
    ngx_http_knock_part_t   *part;
    ngx_http_knock_group_t  *group;

    for (task = job->tasks; task; task = task->next) {
        for (unit = task->units; unit; unit = unit->next) {
            part = job->parts[unit->place];
            group = part->group;

            knock_apply_add(&group->apply, job->arena, unit,
                            ngx_http_knock_call_values(group));

            if (task->guard.len) {
                knock_apply_guard(&group->apply, &task->guard,
                                  &task->guard_etag);
            }

            part->marked &= (unit->mark != NULL || unit->idle);

            *part->last = unit;
            part->last = &unit->follows;
        }
    }
}


/* puts a part that was added to a place's call into its queue */

static void
ngx_http_knock_apply_join(ngx_http_knock_job_t *job,
    ngx_http_knock_part_t *part)
{
    ngx_http_knock_group_t  *group;

    group = part->group;

    part->collected = 1;
    job->pending++;

    ngx_queue_insert_tail(&group->parts, &part->queue);

    if (job->alone || group->apply.bytes >= NGX_HTTP_KNOCK_CALL_BYTES
        || group->apply.nevents >= NGX_HTTP_KNOCK_CALL_EVENTS)
    {
        ngx_http_knock_call_flush(group);
    }
}


void
ngx_http_knock_apply_collect(ngx_http_knock_group_t *group)
{
    if (group->collecting) {
        return;
    }

    group->collecting = 1;
    ngx_post_event(&group->env->worker->flush, &ngx_posted_events);
}

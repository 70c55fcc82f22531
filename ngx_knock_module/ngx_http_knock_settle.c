
/*
 * What comes of a job: the answers of Redis to its parts are put together,
 * and the job is answered, or goes round again.
 */

#include "ngx_http_knock_worker.h"


/* how often a job goes round before Redis is taken to be too busy */
#define NGX_HTTP_KNOCK_TRIES  64


static ngx_int_t ngx_http_knock_settle_need(ngx_http_knock_part_t *part,
    redisReply *unit);
static void ngx_http_knock_settle_done(ngx_http_knock_part_t *part,
    const knock_str_t *statuses, uint64_t runs, const knock_str_t *verdicts);
static ngx_int_t ngx_http_knock_settle_outcome(ngx_http_knock_part_t *part,
    const knock_str_t *statuses, uint64_t runs, const knock_str_t *verdicts);
static void ngx_http_knock_settle_unkept(ngx_http_knock_part_t *part);
static void ngx_http_knock_settle_refuse(ngx_http_knock_job_t *job,
    knock_error_code_e code);
static void ngx_http_knock_settle_again(ngx_http_knock_job_t *job);
static void ngx_http_knock_settle_home(ngx_http_knock_job_t *job);
static uint64_t ngx_http_knock_settle_runs(ngx_http_knock_job_t *job);


void
ngx_http_knock_settle_reply(ngx_http_knock_part_t *part, redisReply *unit)
{
    knock_part_t             *made;
    knock_str_t               statuses, verdicts;
    redisReply              **e;
    ngx_http_knock_shards_t  *shards;

    if (unit == NULL) {
        shards = part->job->shards;
        statuses = part->statuses;
        ngx_memzero(&verdicts, sizeof(knock_str_t));

        if (shards == NULL) {
            ngx_http_knock_settle_done(part, &statuses, part->runs, &verdicts);
            return;
        }

        made = &shards->parts.parts[part - shards->links];

        ngx_http_knock_settle_done(part, &made->statuses, made->runs,
                                   &verdicts);
        return;
    }

    if (unit->type == REDIS_REPLY_ARRAY && unit->elements == 1) {
        ngx_http_knock_settle(part, NGX_HTTP_KNOCK_GUARDED, NULL);
        return;
    }

    e = unit->element;

    if (unit->type != REDIS_REPLY_ARRAY || unit->elements < 3
        || e[0]->type != REDIS_REPLY_STRING
        || e[1]->type != REDIS_REPLY_STRING)
    {
        ngx_http_knock_settle_broken(part, NGX_HTTP_KNOCK_STRANGE);
        return;
    }

    if (ngx_strcmp(e[0]->str, "need") == 0) {

        if (e[2]->type != REDIS_REPLY_ARRAY) {
            ngx_http_knock_settle_broken(part, NGX_HTTP_KNOCK_STRANGE);
            return;
        }

        if (ngx_http_knock_settle_need(part, unit) != NGX_OK) {
            ngx_http_knock_settle_unkept(part);
            return;
        }

        ngx_http_knock_settle(part, NGX_HTTP_KNOCK_AGAIN, NULL);
        return;
    }

    statuses.len = e[1]->len;
    statuses.data = (u_char *) e[1]->str;

    verdicts.len = 0;
    verdicts.data = (u_char *) "";

    if (unit->elements > 3 && e[3]->type == REDIS_REPLY_STRING) {
        verdicts.len = e[3]->len;
        verdicts.data = (u_char *) e[3]->str;
    }

    ngx_http_knock_settle_done(part, &statuses, (uint64_t) e[2]->integer,
                               &verdicts);
}


/* keeps with the request what Redis said of the objects to be merged */

static ngx_int_t
ngx_http_knock_settle_need(ngx_http_knock_part_t *part, redisReply *unit)
{
    size_t                 i;
    ngx_pool_t            *pool;
    knock_str_t            s;
    redisReply            *bases;
    knock_need_t          *need;
    ngx_http_knock_job_t  *job;

    job = part->job;

    if (job->request == NULL) {
        return NGX_ERROR;
    }

    pool = job->request->pool;
    bases = unit->element[2];

    need = ngx_pcalloc(pool, sizeof(knock_need_t));
    if (need == NULL) {
        return NGX_ERROR;
    }

    need->nbases = bases->elements;
    need->bases = ngx_pcalloc(pool,
                              (bases->elements + 1) * sizeof(knock_str_t));

    s.len = unit->element[1]->len;
    s.data = (u_char *) unit->element[1]->str;

    if (need->bases == NULL
        || ngx_http_knock_job_keep(job, &s, &need->verdicts) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < bases->elements; i++) {
        if (bases->element[i]->type != REDIS_REPLY_STRING) {
            continue;
        }

        s.len = bases->element[i]->len;
        s.data = (u_char *) bases->element[i]->str;

        if (ngx_http_knock_job_keep(job, &s, &need->bases[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (job->shards) {
        job->shards->needs[part - job->shards->links] = need;

    } else {
        job->need = need;
    }

    return NGX_OK;
}


/* the part has been applied: the whole job has, or the next part is due */

static void
ngx_http_knock_settle_done(ngx_http_knock_part_t *part,
    const knock_str_t *statuses, uint64_t runs, const knock_str_t *verdicts)
{
    size_t                    nevents, place;
    ngx_http_knock_job_t     *job;
    ngx_http_knock_shards_t  *shards;

    job = part->job;
    shards = job->shards;

    /* the answer looks up the place of each event in the request */

    nevents = job->received.nevents;
    place = 0;

    if (shards) {
        place = (size_t) (part - shards->links);
        nevents = shards->parts.parts[place].unit.nevents;
    }

    if (statuses->len != nevents) {
        ngx_http_knock_settle_broken(part, NGX_HTTP_KNOCK_STRANGE);
        return;
    }

    if (shards && place + 1 < shards->nplaces) {

        if (ngx_http_knock_settle_outcome(part, statuses, runs, verdicts)
            != NGX_OK)
        {
            ngx_http_knock_settle_unkept(part);
            return;
        }

        ngx_http_knock_settle(part, NGX_HTTP_KNOCK_DONE, NULL);
        return;
    }

    job->pending--;
    job->state = NGX_HTTP_KNOCK_IDLE;

    ngx_http_knock_job_applied(job, statuses,
                               shards ? ngx_http_knock_settle_runs(job)
                                      : runs);
}


/* keeps with the request what came of a shard's part */

static ngx_int_t
ngx_http_knock_settle_outcome(ngx_http_knock_part_t *part,
    const knock_str_t *statuses, uint64_t runs, const knock_str_t *verdicts)
{
    size_t                    n, place, *events;
    knock_outcome_t          *outcome;
    ngx_http_knock_job_t     *job;
    ngx_http_knock_shards_t  *shards;

    job = part->job;
    shards = job->shards;
    place = (size_t) (part - shards->links);

    if (job->request == NULL) {
        return NGX_ERROR;
    }

    outcome = &shards->outcomes[place];
    n = statuses->len * sizeof(size_t);

    events = ngx_palloc(job->request->pool, n);

    if (events == NULL
        || ngx_http_knock_job_keep(job, statuses, &outcome->statuses)
           != NGX_OK
        || (verdicts->data
            && ngx_http_knock_job_keep(job, verdicts, &outcome->verdicts)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    ngx_memcpy(events, shards->parts.parts[place].events, n);

    outcome->events = events;
    outcome->runs = runs;

    job->begun = 1;

    return NGX_OK;
}


/* there is nobody to keep it for, or no memory */

static void
ngx_http_knock_settle_unkept(ngx_http_knock_part_t *part)
{
    if (part->job->request) {
        ngx_http_knock_complain_memory(part->job->worker,
                                       "what Redis said of a request");
    }

    ngx_http_knock_settle(part, NGX_HTTP_KNOCK_UNAVAILABLE, NULL);
}


void
ngx_http_knock_settle(ngx_http_knock_part_t *part,
    ngx_http_knock_result_e result, const char *why)
{
    ngx_http_knock_job_t  *job;

    job = part->job;

    if (result > job->result) {
        job->result = result;
        job->why = why;
    }

    if (--job->pending == 0) {
        ngx_http_knock_settle_job(job);
    }
}


void
ngx_http_knock_settle_job(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    job->state = NGX_HTTP_KNOCK_IDLE;

    switch (job->result) {

    case NGX_HTTP_KNOCK_DONE:
        ngx_http_knock_settle_home(job);
        return;

    case NGX_HTTP_KNOCK_AGAIN:
    case NGX_HTTP_KNOCK_STALE:
        ngx_http_knock_settle_again(job);
        return;

    case NGX_HTTP_KNOCK_GUARDED:
        (void) knock_error_set(&err, KNOCK_E_STALE,
                               "it is not what If-Match or If-None-Match "
                               "says: read it again, and repeat the change on "
                               "that");
        ngx_http_knock_job_refuse(job, &err);
        return;

    case NGX_HTTP_KNOCK_UNAVAILABLE:

        if (job->why == NULL) {
            ngx_http_knock_job_unavailable(job);
            return;
        }

        ngx_http_knock_settle_refuse(job, KNOCK_E_UNAVAILABLE);
        return;

    case NGX_HTTP_KNOCK_BROKEN:
        ngx_http_knock_settle_refuse(job, KNOCK_E_INTERNAL);
    }
}


static void
ngx_http_knock_settle_refuse(ngx_http_knock_job_t *job,
    knock_error_code_e code)
{
    knock_error_t  err;

    (void) knock_error_set(&err, code, "%s was applied: %s",
                           job->shards ? "not all of it" : "nothing",
                           job->why);

    ngx_http_knock_job_refuse(job, &err);
}


void
ngx_http_knock_settle_broken(ngx_http_knock_part_t *part, const char *why)
{
    ngx_str_t  reason;

    reason.len = ngx_strlen(why);
    reason.data = (u_char *) why;

    ngx_http_knock_complain(part->job->worker, &reason,
                            "a request was not applied: %s; load the "
                            "module's by FUNCTION LOAD REPLACE", why);

    ngx_http_knock_settle(part, NGX_HTTP_KNOCK_BROKEN, why);
}


static void
ngx_http_knock_settle_again(ngx_http_knock_job_t *job)
{
    if (job->request == NULL) {
        ngx_http_knock_job_unavailable(job);
        return;
    }

    if (++job->tries > NGX_HTTP_KNOCK_TRIES) {
        ngx_http_knock_complain(job->worker, NULL,
                                "a request was begun %d times, what it goes by "
                                "in Redis changed each time, its sender is "
                                "told to retry: see who writes there",
                                NGX_HTTP_KNOCK_TRIES);

        ngx_http_knock_job_unavailable(job);
        return;
    }

    if (job->begun) {
        ngx_http_knock_job_continue(job);
        return;
    }

    if (job->result == NGX_HTTP_KNOCK_STALE) {
        ngx_http_knock_live_wait(job);
        return;
    }

    ngx_http_knock_job_process(job);
}


/* all shards have done their parts; what stands at home follows */

static void
ngx_http_knock_settle_home(ngx_http_knock_job_t *job)
{
    size_t                    home;
    knock_str_t               statuses;
    ngx_http_knock_group_t   *group;
    ngx_http_knock_shards_t  *shards;

    shards = job->shards;
    home = shards->nplaces - 1;

    if (job->request == NULL) {
        ngx_http_knock_job_unavailable(job);
        return;
    }

    if (shards->parts.parts[home].unit.nevents == 0) {

        if (knock_parts_statuses(shards->arena, shards->outcomes, home,
                                 job->received.nevents, &statuses)
            != KNOCK_OK)
        {
            ngx_http_knock_job_memory(job);
            return;
        }

        ngx_http_knock_job_applied(job, &statuses,
                                   ngx_http_knock_settle_runs(job));
        return;
    }

    group = &ngx_http_knock_apply_groups(job)[home];

    shards->parts.parts[home].apply = &group->apply;
    shards->parts.parts[home].arena = group->arena;

    if (knock_parts_add_home(&shards->parts, shards->outcomes, shards->orders)
        != KNOCK_OK)
    {
        ngx_http_knock_apply_collect(group);
        ngx_http_knock_job_memory(job);
        return;
    }

    ngx_http_knock_apply_join(job, &shards->links[home], group);
}


static uint64_t
ngx_http_knock_settle_runs(ngx_http_knock_job_t *job)
{
    size_t    i;
    uint64_t  runs;

    runs = 0;

    for (i = 0; i + 1 < job->shards->nplaces; i++) {
        runs += job->shards->outcomes[i].runs;
    }

    return runs;
}

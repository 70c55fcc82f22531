
/*
 * What comes of a job: what Redis says of its events is put together when all
 * calls of a round are back, and the job is answered, or goes on.
 */

#include "ngx_http_knock_log.h"


/* so many rounds in a row may do nothing before Redis is said to be too busy */
#define NGX_HTTP_KNOCK_TRIES  64


/* the units of a call, by their number, and the reply to it as it is read */

typedef struct {
    knock_unit_t             **units;
    ngx_http_knock_job_t     **jobs;    /* that they are of */
    size_t                     n;

    redisReply               **element;
    size_t                     left;
    ngx_uint_t                 mistaken;
} ngx_http_knock_said_t;


static ngx_int_t ngx_http_knock_settle_units(ngx_http_knock_said_t *said,
    ngx_queue_t *parts);
static ngx_int_t ngx_http_knock_settle_said(ngx_http_knock_said_t *said);
static ngx_int_t ngx_http_knock_settle_event(ngx_http_knock_said_t *said,
    u_char what, size_t index);
static ngx_int_t ngx_http_knock_settle_need(ngx_http_knock_said_t *said,
    size_t unit);
static ngx_int_t ngx_http_knock_settle_run(ngx_http_knock_said_t *said,
    u_char what, size_t index);
static ngx_int_t ngx_http_knock_settle_actor(ngx_http_knock_said_t *said,
    size_t index);
static size_t ngx_http_knock_settle_find(const ngx_http_knock_said_t *said,
    size_t index, size_t first);
static ngx_int_t ngx_http_knock_settle_string(ngx_http_knock_said_t *said,
    knock_str_t *str);
static ngx_int_t ngx_http_knock_settle_number(ngx_http_knock_said_t *said,
    size_t *n);
static ngx_uint_t ngx_http_knock_settle_tasks(ngx_http_knock_job_t *job);
static void ngx_http_knock_settle_task(ngx_http_knock_job_t *job,
    knock_task_t *task);
static void ngx_http_knock_settle_log(ngx_http_knock_job_t *job,
    knock_task_t *task);
static void ngx_http_knock_settle_next(ngx_http_knock_job_t *job,
    ngx_uint_t progress);
static void ngx_http_knock_settle_refuse(ngx_http_knock_job_t *job);
static void ngx_http_knock_settle_broken(ngx_http_knock_job_t *job);


ngx_int_t
ngx_http_knock_settle_reply(ngx_queue_t *parts, redisReply *reply,
    ngx_uint_t *mistaken)
{
    ngx_int_t              rc;
    ngx_http_knock_said_t  said;

    *mistaken = 0;

    if (reply->elements == 1) {
        return NGX_OK;
    }

    said.element = reply->element + 1;
    said.left = reply->elements - 1;
    said.mistaken = 0;

    if (ngx_http_knock_settle_units(&said, parts) != NGX_OK) {
        return NGX_ERROR;
    }

    do {
        rc = ngx_http_knock_settle_said(&said);
    } while (rc == NGX_OK && said.left);

    ngx_free(said.units);

    *mistaken = said.mistaken;

    return rc;
}


static ngx_int_t
ngx_http_knock_settle_units(ngx_http_knock_said_t *said, ngx_queue_t *parts)
{
    size_t                  n;
    ngx_queue_t            *q;
    knock_unit_t           *unit;
    ngx_http_knock_part_t  *part;

    part = ngx_queue_data(ngx_queue_last(parts), ngx_http_knock_part_t, queue);

    n = 0;

    for (unit = part->units; unit; unit = unit->follows) {
        n = unit->event;
    }

    said->n = n;
    said->units = ngx_alloc(n * (sizeof(knock_unit_t *)
                                 + sizeof(ngx_http_knock_job_t *)),
                            part->job->worker->log);
    if (said->units == NULL) {
        return NGX_ERROR;
    }

    said->jobs = (ngx_http_knock_job_t **) &said->units[n];

    for (n = 0, q = ngx_queue_head(parts);
         q != ngx_queue_sentinel(parts);
         q = ngx_queue_next(q))
    {
        part = ngx_queue_data(q, ngx_http_knock_part_t, queue);

        for (unit = part->units; unit; unit = unit->follows) {
            said->units[n] = unit;
            said->jobs[n++] = part->job;
        }
    }

    return NGX_OK;
}


/* one of the things that are not as expected: see redis-schema/knock.lua */

static ngx_int_t
ngx_http_knock_settle_said(ngx_http_knock_said_t *said)
{
    size_t       index;
    knock_str_t  what;

    if (ngx_http_knock_settle_string(said, &what) != NGX_OK || what.len != 1
        || ngx_http_knock_settle_number(said, &index) != NGX_OK || index == 0)
    {
        return NGX_ERROR;
    }

    switch (what.data[0]) {

    case 'u':
    case 'b':
        return ngx_http_knock_settle_run(said, what.data[0], index - 1);

    case 'a':
        return ngx_http_knock_settle_actor(said, index - 1);

    default:
        return ngx_http_knock_settle_event(said, what.data[0], index - 1);
    }
}


static ngx_int_t
ngx_http_knock_settle_event(ngx_http_knock_said_t *said, u_char what,
    size_t index)
{
    ngx_str_t      why;
    knock_str_t    text;
    knock_unit_t  *unit;

    if (index >= said->n) {
        return NGX_ERROR;
    }

    unit = said->units[index];

    /* what others have gone on from did not come to be */

    said->mistaken |= (unit->used != NULL);

    switch (what) {

    case KNOCK_SAID_MERGE:
        return ngx_http_knock_settle_need(said, index);

    case KNOCK_SAID_REFUSED:
        if (ngx_http_knock_settle_string(said, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        why.len = text.len;
        why.data = text.data;

        ngx_http_knock_complain(said->jobs[index]->worker, &why,
                                "Redis did not apply an event, its sender is "
                                "told to retry: %V (see whether another "
                                "program writes to the module's keys)", &why);

        /* fall through */

    case KNOCK_SAID_DUPLICATE:
    case KNOCK_SAID_LARGE:
    case KNOCK_SAID_WAIT:
        unit->said = what;
        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


/* what the unit's objects are to be merged into */

static ngx_int_t
ngx_http_knock_settle_need(ngx_http_knock_said_t *said, size_t index)
{
    size_t                 i;
    ngx_int_t              rc;
    knock_need_t           need;
    knock_arena_t         *kept;
    knock_unit_t          *unit;
    ngx_http_knock_job_t  *job;

    job = said->jobs[index];
    unit = said->units[index];

    if (ngx_http_knock_settle_string(said, &need.verdicts) != NGX_OK
        || ngx_http_knock_settle_number(said, &need.nbases) != NGX_OK
        || need.nbases > said->left)
    {
        return NGX_ERROR;
    }

    unit->said = KNOCK_SAID_MERGE;

    need.bases = ngx_alloc(need.nbases * sizeof(knock_str_t) + 1,
                           job->worker->log);
    rc = NGX_OK;

    for (i = need.nbases; i && rc == NGX_OK; i--) {
        rc = need.bases
             ? ngx_http_knock_settle_string(said,
                                            &need.bases[need.nbases - i])
             : NGX_ERROR;
    }

    if (rc == NGX_OK && job->request) {
        kept = ngx_http_knock_job_kept(job);

        if (kept == NULL || knock_task_need(unit, &need, kept) != KNOCK_OK) {
            rc = NGX_ERROR;
        }
    }

    ngx_free(need.bases);

    return rc;
}


static ngx_int_t
ngx_http_knock_settle_run(ngx_http_knock_said_t *said, u_char what,
    size_t index)
{
    size_t           n;
    knock_unit_t    *unit;
    knock_target_t  *run;

    n = ngx_http_knock_settle_find(said, index, offsetof(knock_unit_t, run));
    unit = said->units[n];

    if (index - unit->run >= unit->nruns) {
        return NGX_ERROR;
    }

    run = &unit->runs[index - unit->run];
    unit->left_out++;

    if (run->verdict) {
        *run->verdict = what == 'b' ? 'l' : 'n';
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_settle_actor(ngx_http_knock_said_t *said, size_t index)
{
    size_t         n;
    knock_unit_t  *unit;

    n = ngx_http_knock_settle_find(said, index, offsetof(knock_unit_t, actor));
    unit = said->units[n];

    if (index - unit->actor >= unit->nactors) {
        return NGX_ERROR;
    }

    *unit->actors[index - unit->actor].verdict = 'u';

    return NGX_OK;
}


/* the last unit whose first run, or actor, is not behind the one at `index` */

static size_t
ngx_http_knock_settle_find(const ngx_http_knock_said_t *said, size_t index,
    size_t first)
{
    size_t  low, high, middle;

    low = 0;
    high = said->n;

    while (high - low > 1) {
        middle = (low + high) / 2;

        if (*(size_t *) ((u_char *) said->units[middle] + first) > index) {
            high = middle;

        } else {
            low = middle;
        }
    }

    return low;
}


static ngx_int_t
ngx_http_knock_settle_string(ngx_http_knock_said_t *said, knock_str_t *str)
{
    redisReply  *reply;

    if (said->left == 0 || (*said->element)->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    reply = *said->element++;
    said->left--;

    str->len = reply->len;
    str->data = (u_char *) reply->str;

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_settle_number(ngx_http_knock_said_t *said, size_t *n)
{
    if (said->left == 0 || (*said->element)->type != REDIS_REPLY_INTEGER
        || (*said->element)->integer < 0)
    {
        return NGX_ERROR;
    }

    *n = (size_t) (*said->element++)->integer;
    said->left--;

    return NGX_OK;
}


void
ngx_http_knock_settle(ngx_http_knock_part_t *part,
    ngx_http_knock_result_e result, const char *why)
{
    knock_unit_t          *unit;
    ngx_http_knock_job_t  *job;

    job = part->job;

    if (result != NGX_HTTP_KNOCK_DONE) {
        for (unit = part->units; unit; unit = unit->follows) {
            unit->said = KNOCK_SAID_NOTHING;
        }
    }

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
    ngx_uint_t     progress;
    knock_error_t  err;

    job->state = NGX_HTTP_KNOCK_IDLE;

    progress = ngx_http_knock_settle_tasks(job);

    if (job->request == NULL) {
        ngx_http_knock_job_free(job);
        return;
    }

    switch (job->result) {

    case NGX_HTTP_KNOCK_STALE:
        if (!job->begun) {
            ngx_http_knock_job_reset(job);
            ngx_http_knock_live_wait(job);
            return;
        }

        job->pinned = 1;

        /* fall through */

    case NGX_HTTP_KNOCK_DONE:
    case NGX_HTTP_KNOCK_AGAIN:
        ngx_http_knock_settle_next(job, progress);
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

        ngx_http_knock_settle_refuse(job);
        return;

    case NGX_HTTP_KNOCK_BROKEN:
        ngx_http_knock_settle_broken(job);
    }
}


/* it is known that what has not been applied will not be */

static void
ngx_http_knock_settle_refuse(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE, "%s was applied: %s",
                           job->begun ? "not all of it" : "nothing", job->why);

    ngx_http_knock_job_refuse(job, &err);
}


/* gives whether any of the round's events is done */

static ngx_uint_t
ngx_http_knock_settle_tasks(ngx_http_knock_job_t *job)
{
    ngx_uint_t      progress;
    knock_task_t   *task;
    knock_unit_t   *unit;
    knock_arena_t  *kept;

    progress = 0;

    for (task = job->tasks; task; task = task->next) {

        for (unit = task->units; unit; unit = unit->next) {
            job->begun |= (unit->said == KNOCK_SAID_APPLIED
                           || unit->said == KNOCK_SAID_DUPLICATE
                           || unit->said == KNOCK_SAID_LARGE
                           || unit->said == KNOCK_SAID_REFUSED);
        }

        if (knock_task_settle(task) == KNOCK_OK) {
            ngx_http_knock_settle_task(job, task);
            progress = 1;

        } else if (job->request) {
            kept = ngx_http_knock_job_kept(job);

            if (kept == NULL || knock_task_keep(task, kept) != KNOCK_OK) {
                ngx_http_knock_complain_memory(job->worker, "what Redis said "
                                               "of a request");
                job->result = NGX_HTTP_KNOCK_UNAVAILABLE;
            }
        }

        job->applied.runs += task->runs;

        if (job->endpoint && task->runs) {
            ngx_http_knock_metrics_add(&job->worker->metrics, KNOCK_CELL_RUNS,
                                       task->runs);
        }
    }

    job->tasks = NULL;
    knock_arena_reset(job->arena);

    if (job->endpoint && job->json == NULL) {
        job->unread = 1;
    }

    return progress;
}


/* an event is done */

static void
ngx_http_knock_settle_task(ngx_http_knock_job_t *job, knock_task_t *task)
{
    knock_error_t         err;
    const knock_fault_t  *fault;

    task->element->done = 1;
    knock_element_clear(task->element);

    if (task->refused) {
        job->lost = 1;
        return;
    }

    switch (task->status) {

    case KNOCK_STATUS_DUPLICATE:
        job->applied.duplicates++;
        break;

    case KNOCK_STATUS_IGNORED:
        job->applied.ignored++;
        break;

    case KNOCK_STATUS_LARGE:
        (void) knock_error_set(&err, KNOCK_E_USER_TOO_LARGE,
                               "with these %s the user would hold more than "
                               "%d bytes: send fewer or shorter ones",
                               job->endpoint ? "traits" : "properties",
                               KNOCK_MAX_USER_BYTES);

        ngx_http_knock_job_fault(job, task->element->index, NULL, &err);
        break;

    default:
        job->applied.accepted++;
    }

    for (fault = task->faults; fault; fault = fault->next) {
        ngx_http_knock_job_fault(job, task->element->index, fault->action,
                                 fault->error);
    }

    if (job->endpoint) {
        ngx_http_knock_settle_log(job, task);
    }
}


static void
ngx_http_knock_settle_log(ngx_http_knock_job_t *job, knock_task_t *task)
{
    knock_record_t  record;

    ngx_http_knock_metrics_add(&job->worker->metrics,
                               knock_metrics_event(task->type, task->status),
                               1);

    ngx_memzero(&record, sizeof(knock_record_t));

    record.key = task->key;
    record.text = task->text;
    record.doc = task->doc;
    record.verdicts = task->verdicts;
    record.status = task->status;
    record.now = job->now;

    if (task->status != KNOCK_STATUS_PROCESSED) {
        record.verdicts.len = 0;
    }

    if (record.doc.len == 0) {
        record.sampled = (ngx_http_knock_log_sampled(job->worker) != 0);
    }

    ngx_http_knock_log_add(job->env, job->endpoint, &record);
}


static void
ngx_http_knock_settle_next(ngx_http_knock_job_t *job, ngx_uint_t progress)
{
    if (progress) {
        job->tries = 0;

    } else if (++job->tries > NGX_HTTP_KNOCK_TRIES) {
        ngx_http_knock_complain(job->worker, NULL,
                                "a request was begun %d times, what it goes by "
                                "in Redis changed each time, its sender is "
                                "told to retry: see who writes there",
                                NGX_HTTP_KNOCK_TRIES);

        ngx_http_knock_job_unavailable(job);
        return;
    }

    ngx_http_knock_job_process(job);
}


static void
ngx_http_knock_settle_broken(ngx_http_knock_job_t *job)
{
    knock_error_t  err;

    (void) knock_error_set(&err, KNOCK_E_INTERNAL,
                           "whether %s of this was applied is not known: %s",
                           job->begun ? "all" : "any", job->why);

    ngx_http_knock_job_refuse(job, &err);
}


void
ngx_http_knock_settle_done(ngx_http_knock_job_t *job)
{
    const knock_applied_t  *applied;

    if (job->lost) {
        ngx_http_knock_job_unavailable(job);
        return;
    }

    applied = &job->applied;

    if (applied->accepted + applied->duplicates + applied->ignored == 0
        && job->faults)
    {
        ngx_http_knock_job_refuse(job, &job->faults->first);
        return;
    }

    job->type->applied(job);
}

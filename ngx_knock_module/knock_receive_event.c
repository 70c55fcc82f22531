
#include "knock_receive_internal.h"
#include "knock_time.h"


static int knock_receive_resolve(knock_work_t *work);
static int knock_receive_mark(knock_work_t *work);
static int knock_receive_user(knock_work_t *work, const char **reason);
static int knock_receive_identify(knock_work_t *work);
static int knock_receive_identified_at(knock_work_t *work, knock_str_t *time);
static int knock_receive_actions(knock_work_t *work);
static int knock_receive_message(knock_work_t *work);
static int knock_receive_verdicts(knock_work_t *work);
static int knock_receive_fault(knock_work_t *work,
    const knock_resolved_t *resolved);
static int knock_receive_action(knock_work_t *work,
    const knock_resolved_t *resolved);
static int knock_receive_runs(knock_work_t *work,
    const knock_resolved_t *resolved);
static int knock_receive_too_large(knock_work_t *work,
    const knock_resolved_t *resolved);
static int knock_receive_ref(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_t **unit, knock_str_t *key);
static unsigned char *knock_receive_verdict(knock_work_t *work, char expected);


int
knock_receive_event(knock_round_t *round, knock_receive_t *in,
    knock_element_t *element, knock_task_t **task, knock_error_t *err)
{
    int            rc;
    const char    *reason;
    knock_work_t   work;
    knock_event_t  event;

    rc = knock_receive_read(round, in, element, &event, err);
    if (rc != KNOCK_OK) {
        return rc;
    }

    memset(&work, 0, sizeof(knock_work_t));

    work.arena = round->arena;
    work.round = round;
    work.in = in;
    work.err = err;
    work.event = &event;

    work.task = knock_task_create(round, element);
    if (work.task == NULL) {
        return KNOCK_ERROR;
    }

    work.task->type = event.type;
    work.task->key = event.key;
    work.task->text = knock_json_text(event.root);
    work.task->status = KNOCK_STATUS_IGNORED;

    work.actions = knock_live_actions(in->endpoint, &event.key);
    work.nactions = work.actions ? work.actions->n : 0;

    reason = work.actions ? NULL
                          : knock_live_idle(in->endpoint, &event.key);

    if (knock_receive_mark(&work) != KNOCK_OK
        || knock_receive_resolve(&work) != KNOCK_OK
        || (event.type == KNOCK_EVENT_IDENTIFY
            && knock_receive_user(&work, &reason) != KNOCK_OK))
    {
        return KNOCK_ERROR;
    }

    rc = knock_receive_check(&work);
    if (rc != KNOCK_OK) {
        return rc;
    }

    if (work.user.nupserts && knock_receive_identify(&work) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (work.nactions) {
        rc = knock_receive_actions(&work);
        if (rc != KNOCK_OK) {
            return rc;
        }
    }

    if (work.logged
        && knock_log_build(work.arena, &event,
                           work.task->status == KNOCK_STATUS_IGNORED ? reason
                                                                     : NULL,
                           work.resolved, work.nactions, in->now,
                           &work.task->doc)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    *task = work.task;

    return knock_task_finish(round, work.task);
}


/* the parameters of its actions, and whether the event is to be logged */

static int
knock_receive_resolve(knock_work_t *work)
{
    size_t  i, failed;

    failed = 0;

    if (work->nactions) {
        work->resolved = knock_arena_calloc(work->arena, work->nactions,
                                            sizeof(knock_resolved_t));
        if (work->resolved == NULL) {
            return KNOCK_ERROR;
        }

        for (i = 0; i < work->nactions; i++) {
            if (knock_mapping_resolve(work->arena, work->actions->items[i],
                                      work->event, work->in->limits,
                                      &work->resolved[i])
                != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            failed += work->resolved[i].error.code != KNOCK_E_NONE;
        }

        work->task->status = failed < work->nactions ? KNOCK_STATUS_PROCESSED
                                                     : KNOCK_STATUS_FAILED;
    }

    work->logged = work->in->log == KNOCK_LOG_ON
                   || (work->in->log == KNOCK_LOG_ERRORS && failed);

    return KNOCK_OK;
}


/*
 * What has been seen is told by the message id, and by the event key, since
 * the ids of different calls may come from different generators.
 */

static int
knock_receive_mark(knock_work_t *work)
{
    knock_str_t  parts[3];

    if (!work->in->endpoint->idempotency_enabled
        || work->event->message_id.data == NULL)
    {
        return KNOCK_OK;
    }

    parts[0] = work->in->endpoint->source;
    parts[1] = work->event->key;
    parts[2] = work->event->message_id;

    knock_digest_mark(parts, 3, work->task->mark);
    work->task->marked = 1;

    return KNOCK_OK;
}


/* whom an identify event makes, or why it makes none */

static int
knock_receive_user(knock_work_t *work, const char **reason)
{
    knock_ref_t  *user;

    if (!work->in->endpoint->identify_enabled) {
        *reason = "identify_disabled";
        return KNOCK_OK;
    }

    if (work->event->user_id.data == NULL) {
        *reason = "no_user_id";
        return KNOCK_OK;
    }

    work->task->status = KNOCK_STATUS_PROCESSED;

    user = &work->user;
    user->upserts = knock_arena_alloc(work->arena, sizeof(knock_upsert_t));

    if (user->upserts == NULL
        || knock_entity_identify(work->arena, work->event, user->upserts)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    user->collection = user->upserts->collection;
    user->id = user->upserts->id;
    user->nupserts = 1;

    return KNOCK_OK;
}


static int
knock_receive_identify(knock_work_t *work)
{
    int            rc;
    knock_str_t    key, time;
    knock_unit_t  *unit;

    rc = knock_task_unit(work->round, work->task, &work->user.id, &unit);
    if (rc != KNOCK_OK) {
        return rc == KNOCK_DECLINED ? KNOCK_OK : KNOCK_ERROR;
    }

    if (knock_task_key(work->round, unit, &work->user.collection,
                       &work->user.id, &key)
        != KNOCK_OK
        || knock_receive_identified_at(work, &time) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_task_upsert(work->round, unit, &key, KNOCK_OP_EVENT,
                             work->user.upserts, time.len ? &time : NULL);
}


/*
 * The time that an identify event has its place by: its own, unless that is
 * none or still to come.
 */

static int
knock_receive_identified_at(knock_work_t *work, knock_str_t *time)
{
    uint64_t     ms;
    knock_str_t  text;

    time->len = 0;

    if (work->in->endpoint->identify_on_arrival) {
        return KNOCK_OK;
    }

    *time = work->round->updated_at;

    if (work->event->timestamp == NULL) {
        return KNOCK_OK;
    }

    if (knock_json_string(work->arena, work->event->timestamp, &text)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (knock_time_parse(&text, &ms) != KNOCK_OK || ms > work->in->now) {
        return KNOCK_OK;
    }

    time->data = knock_arena_alloc(work->arena, KNOCK_TIME_LEN + 2);
    if (time->data == NULL) {
        return KNOCK_ERROR;
    }

    time->data[0] = '"';
    knock_time_format(ms, time->data + 1);
    time->data[KNOCK_TIME_LEN + 1] = '"';

    return KNOCK_OK;
}


static int
knock_receive_actions(knock_work_t *work)
{
    int                rc;
    size_t             i;
    knock_resolved_t  *resolved;

    if (knock_receive_message(work) != KNOCK_OK
        || (work->logged && knock_receive_verdicts(work) != KNOCK_OK))
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < work->nactions; i++) {
        resolved = &work->resolved[i];

        /* an action that failed stands empty, the log counts on the order */

        rc = resolved->error.code == KNOCK_E_NONE
             ? knock_receive_action(work, resolved)
             : knock_receive_fault(work, resolved);

        if (rc != KNOCK_OK) {
            return rc;
        }

        (void) knock_receive_verdict(work, ';');
    }

    return KNOCK_OK;
}


/* the same in each round: the ids of runs are, too */

static int
knock_receive_message(knock_work_t *work)
{
    size_t            index;
    knock_receive_t  *in;

    in = work->in;
    work->message = work->event->message_id;

    if (work->message.data) {
        return KNOCK_OK;
    }

    if (!in->seeded && knock_digest_random(in->seed, KNOCK_SEED_LEN)
                       != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    in->seeded = 1;
    index = work->task->element->index;

    work->message.len = KNOCK_SEED_LEN + sizeof(size_t);
    work->message.data = knock_arena_alloc(work->arena, work->message.len);

    if (work->message.data == NULL) {
        return KNOCK_ERROR;
    }

    memcpy(work->message.data, in->seed, KNOCK_SEED_LEN);
    memcpy(work->message.data + KNOCK_SEED_LEN, &index, sizeof(size_t));

    return KNOCK_OK;
}


/* room for what the log says of each actor, recipient and action */

static int
knock_receive_verdicts(knock_work_t *work)
{
    size_t        i, n;
    knock_str_t  *verdicts;

    for (n = 0, i = 0; i < work->nactions; i++) {
        n += 1 + work->resolved[i].nrecipients
             + (work->resolved[i].actor != NULL);
    }

    verdicts = &work->task->verdicts;
    verdicts->data = knock_arena_alloc(work->arena, n);

    return verdicts->data ? KNOCK_OK : KNOCK_ERROR;
}


static int
knock_receive_fault(knock_work_t *work, const knock_resolved_t *resolved)
{
    knock_fault_t  *fault, **last;

    fault = knock_arena_alloc(work->arena, sizeof(knock_fault_t));
    if (fault == NULL) {
        return KNOCK_ERROR;
    }

    fault->action = &resolved->action->key;
    fault->error = &resolved->error;
    fault->next = NULL;

    for (last = &work->task->faults; *last; last = &(*last)->next) {
        /* void */
    }

    *last = fault;

    return KNOCK_OK;
}


static int
knock_receive_action(knock_work_t *work, const knock_resolved_t *resolved)
{
    int             rc;
    knock_ref_t    *ref;
    knock_str_t     key;
    knock_unit_t   *unit;
    unsigned char  *verdict;

    ref = resolved->actor;

    /* that a bare actor is not identified is only for the log to say */

    if (ref && (work->logged || ref->nupserts)) {
        verdict = knock_receive_verdict(work, 'a');

        rc = knock_receive_ref(work, ref, &unit, &key);

        if (rc == KNOCK_ERROR
            || (rc == KNOCK_OK && verdict
                && knock_task_actor(work->round, unit, &key, verdict)
                   != KNOCK_OK))
        {
            return KNOCK_ERROR;
        }

        if (rc == KNOCK_OK && verdict) {
            *verdict = 'a';
        }
    }

    if (resolved->nrecipients) {
        rc = knock_receive_runs(work, resolved);
        if (rc != KNOCK_OK) {
            return rc;
        }
    }

    ref = resolved->tenant;

    if (ref && ref->nupserts
        && knock_receive_ref(work, ref, &unit, &key) == KNOCK_ERROR)
    {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/*
 * Each run has the event's properties whole: whether there is room for all of
 * them is asked before the first one is built.
 */

static int
knock_receive_runs(knock_work_t *work, const knock_resolved_t *resolved)
{
    int             rc;
    size_t          i, n;
    knock_run_t     run;
    knock_str_t     key, doc;
    knock_unit_t   *unit;
    unsigned char  *verdict;

    if (knock_run_prepare(work->arena, &work->round->live->environment,
                          &work->in->endpoint->source, work->event,
                          &work->message, resolved, work->in->now, &run)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    n = resolved->nrecipients;

    if (knock_run_count(&run, n, work->in->limits->max_run_bytes,
                        &work->run_bytes)
        != KNOCK_OK)
    {
        return knock_receive_too_large(work, resolved);
    }

    for (i = 0; i < n; i++) {
        verdict = knock_receive_verdict(work, 'r');

        rc = knock_receive_ref(work, &resolved->recipients[i], &unit, &key);

        if (rc == KNOCK_DECLINED) {
            continue;
        }

        if (rc != KNOCK_OK
            || knock_run_build(work->arena, &run, &resolved->recipients[i],
                               &doc)
               != KNOCK_OK
            || knock_task_run(work->round, unit, n - i, &key, &doc, verdict)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static int
knock_receive_too_large(knock_work_t *work, const knock_resolved_t *resolved)
{
    size_t              properties;
    const knock_str_t  *key;

    key = &resolved->action->key;
    properties = work->event->properties
                 ? knock_json_text(work->event->properties).len : 0;

    (void) knock_error_set(work->err, KNOCK_E_EVENT_TOO_LARGE,
                           "the runs of this event would take more than %zu "
                           "bytes: it has %zu of action \"%.*s\", each with "
                           "the event's %zu bytes of properties; send smaller "
                           "properties or fewer recipients, or raise "
                           "knock_max_run_bytes",
                           work->in->limits->max_run_bytes,
                           resolved->nrecipients, (int) key->len,
                           (char *) key->data, properties);

    return KNOCK_DECLINED;
}


/*
 * What identifies somebody inline, and the unit at his place, with his key
 * there.  KNOCK_OK; KNOCK_DECLINED: that has been done there already;
 * KNOCK_ERROR: no memory.
 */

static int
knock_receive_ref(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_t **unit, knock_str_t *key)
{
    int     rc;
    size_t  i;

    rc = knock_task_unit(work->round, work->task, &ref->id, unit);
    if (rc != KNOCK_OK) {
        return rc;
    }

    if (knock_task_key(work->round, *unit, &ref->collection, &ref->id, key)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < ref->nupserts; i++) {
        if (knock_task_upsert(work->round, *unit, key, KNOCK_OP_RECIPIENT,
                              &ref->upserts[i], NULL)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


/*
 * The next character of the log's verdicts, as expected, or as it was told in
 * an earlier round of a place that is not asked again.  NULL: not logged.
 */

static unsigned char *
knock_receive_verdict(knock_work_t *work, char expected)
{
    size_t                  n;
    knock_task_t           *task;
    const knock_element_t  *element;

    if (!work->logged) {
        return NULL;
    }

    task = work->task;
    element = task->element;
    n = task->verdicts.len++;

    task->verdicts.data[n] = (unsigned char) expected;

    if (n < element->verdicts.len) {
        task->verdicts.data[n] = element->verdicts.data[n];
    }

    return &task->verdicts.data[n];
}

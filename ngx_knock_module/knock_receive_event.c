
#include "knock_receive_internal.h"
#include "knock_answer.h"
#include "knock_run.h"


#define KNOCK_RANDOM  16


static int knock_receive_identify(knock_work_t *work,
    const knock_event_t *event, knock_status_e *status, const char **reason);
static int knock_receive_actions(knock_work_t *work,
    const knock_event_t *event, const knock_resolved_t *resolved, int logged);
static int knock_receive_action(knock_work_t *work,
    const knock_event_t *event, const knock_str_t *message,
    const knock_resolved_t *resolved, size_t i, int logged);
static int knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved, size_t i,
    int logged);
static int knock_receive_too_large(knock_work_t *work,
    const knock_event_t *event, const knock_resolved_t *resolved);
static int knock_receive_recipient(knock_work_t *work, const knock_run_t *run,
    const knock_ref_t *ref, size_t i, size_t room);
static int knock_receive_actor(knock_work_t *work, const knock_ref_t *ref,
    size_t i);
static int knock_receive_ref(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_event_t **out, size_t *entity);
static knock_unit_event_t *knock_receive_at(knock_work_t *work, size_t place);
static void knock_receive_order(knock_work_t *work, size_t who);
static int knock_receive_mark(knock_work_t *work, const knock_event_t *event,
    knock_unit_event_t *out);


int
knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index)
{
    int                     logged;
    size_t                  i, n, nok;
    const char             *reason;
    knock_log_e             log;
    knock_status_e          status;
    knock_resolved_t       *resolved;
    knock_unit_event_t     *out;
    const knock_actions_t  *actions;

    status = KNOCK_STATUS_IGNORED;

    actions = knock_live_actions(work->in->endpoint, &event->key);
    n = actions ? actions->n : 0;

    work->indexes[work->nevents] = index;
    work->nactions = n;
    knock_buf_init(&work->order, work->arena, 0);

    out = knock_receive_at(work, work->parts->live->home);

    if (out == NULL || knock_receive_mark(work, event, out) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    out->key = event->key;

    resolved = NULL;
    nok = 0;

    if (n) {
        resolved = knock_arena_calloc(work->arena, n,
                                      sizeof(knock_resolved_t));
        if (resolved == NULL) {
            return KNOCK_ERROR;
        }
    }

    for (i = 0; i < n; i++) {
        if (knock_mapping_resolve(work->arena, actions->items[i], event,
                                  work->in->limits, &resolved[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        nok += resolved[i].error.code == KNOCK_E_NONE;
    }

    log = work->in->log;
    logged = log == KNOCK_LOG_ON || (log == KNOCK_LOG_ERRORS && nok < n);

    reason = n ? NULL : knock_live_idle(work->in->endpoint, &event->key);

    if (event->type == KNOCK_EVENT_IDENTIFY
        && knock_receive_identify(work, event, &status, &reason) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (n) {
        if (knock_receive_actions(work, event, resolved, logged) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (nok) {
            status = KNOCK_STATUS_PROCESSED;

        } else if (status == KNOCK_STATUS_IGNORED) {
            status = KNOCK_STATUS_FAILED;
        }
    }

    out->status = status;

    if (*work->in->samples && event->root->len <= KNOCK_MAX_SAMPLE) {
        (*work->in->samples)--;
        out->sample = knock_json_text(event->root);
    }

    if (!logged) {
        return KNOCK_OK;
    }

    if (work->orders
        && knock_buf_str(&work->order, &work->orders[work->nevents])
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_log_build(work->arena, event,
                           status == KNOCK_STATUS_IGNORED ? reason : NULL,
                           resolved, n, work->in->now, &out->log);
}


/*
 * The event at a place.  At a shard it is there only for what is applied: it
 * has the mark of the one at home, and as many actions.
 */

static knock_unit_event_t *
knock_receive_at(knock_work_t *work, size_t place)
{
    size_t               n, home;
    knock_unit_event_t  *out, *whole;

    home = work->parts->live->home;
    n = work->parts->parts[place].unit.nevents;

    out = knock_parts_event(work->parts, place, work->nevents);

    if (out == NULL || n == work->parts->parts[place].unit.nevents) {
        return out;
    }

    if (place != home) {
        whole = knock_parts_event(work->parts, home, work->nevents);
        *out = *whole;
    }

    if (work->nactions && (place != home || work->orders == NULL)) {
        out->actions = knock_arena_calloc(work->arena, work->nactions,
                                          sizeof(knock_unit_action_t));
        if (out->actions == NULL) {
            return NULL;
        }

        out->nactions = work->nactions;
    }

    out->index = work->indexes[work->nevents];
    out->status = KNOCK_STATUS_PROCESSED;

    return out;
}


/*
 * What has been seen is told by the message id, and by the event key, since
 * the ids of different calls may come from different generators.
 */

static int
knock_receive_mark(knock_work_t *work, const knock_event_t *event,
    knock_unit_event_t *out)
{
    knock_str_t  parts[3];

    if (!work->in->endpoint->idempotency_enabled
        || event->message_id.data == NULL)
    {
        return KNOCK_OK;
    }

    parts[0] = work->in->endpoint->source;
    parts[1] = event->key;
    parts[2] = event->message_id;

    knock_digest_mark(parts, 3, out->mark);
    out->marked = 1;

    return KNOCK_OK;
}


static int
knock_receive_identify(knock_work_t *work, const knock_event_t *event,
    knock_status_e *status, const char **reason)
{
    size_t           place, entity;
    knock_upsert_t  *upsert;

    if (!work->in->endpoint->identify_enabled) {
        *reason = "identify_disabled";
        return KNOCK_OK;
    }

    if (event->user_id.data == NULL) {
        *reason = "no_user_id";
        return KNOCK_OK;
    }

    *status = KNOCK_STATUS_PROCESSED;

    place = knock_parts_place(work->parts, &event->user_id);

    if (work->parts->parts[place].done) {
        return KNOCK_OK;
    }

    upsert = knock_arena_alloc(work->arena, sizeof(knock_upsert_t));

    if (upsert == NULL
        || knock_entity_identify(work->arena, event, upsert) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    entity = knock_parts_entity(work->parts, place, &upsert->collection,
                                &upsert->id);

    if (entity == 0 || knock_receive_at(work, place) == NULL) {
        return KNOCK_ERROR;
    }

    return knock_parts_upsert(work->parts, place, entity, KNOCK_OP_EVENT,
                              upsert, &work->updated_at);
}


static int
knock_receive_actions(knock_work_t *work, const knock_event_t *event,
    const knock_resolved_t *resolved, int logged)
{
    size_t       i;
    knock_str_t  message;

    message = event->message_id;

    if (message.data == NULL) {
        message.len = KNOCK_RANDOM;
        message.data = knock_arena_alloc(work->arena, KNOCK_RANDOM);

        if (message.data == NULL
            || knock_digest_random(message.data, KNOCK_RANDOM) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    for (i = 0; i < work->nactions; i++) {

        /* an action that failed stands empty, the log counts on the order */

        if (resolved[i].error.code != KNOCK_E_NONE) {
            knock_answer_add_error(&work->errors, work->indexes[work->nevents],
                                   &resolved[i].action->key,
                                   &resolved[i].error);

        } else if (knock_receive_action(work, event, &message, &resolved[i],
                                        i, logged)
                   != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (logged) {
            knock_receive_order(work, KNOCK_PARTS_ACTION_END);
        }
    }

    return KNOCK_OK;
}


static int
knock_receive_action(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved, size_t i,
    int logged)
{
    size_t               entity;
    knock_ref_t         *ref;
    knock_unit_event_t  *out;

    ref = resolved->actor;

    if (ref && logged) {
        knock_receive_order(work, knock_parts_place(work->parts, &ref->id)
                                  | KNOCK_PARTS_ACTOR);
    }

    if (resolved->nrecipients
        && knock_receive_runs(work, event, message, resolved, i, logged)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    /* that a bare actor is not identified is only for the log to say */

    if (ref && (logged || ref->nupserts || work->orders == NULL)
        && knock_receive_actor(work, ref, i) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    ref = resolved->tenant;

    if (ref && ref->nupserts
        && knock_receive_ref(work, ref, &out, &entity) == KNOCK_ERROR)
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
knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved, size_t i,
    int logged)
{
    size_t        j, n;
    knock_run_t   run;
    knock_ref_t  *ref;

    if (knock_run_prepare(work->arena, &work->parts->live->environment,
                          &work->in->endpoint->source, event, message,
                          resolved, work->in->now, &run)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    n = resolved->nrecipients;

    if (knock_run_count(&run, n, work->in->limits->max_run_bytes,
                        &work->run_bytes)
        != KNOCK_OK)
    {
        return knock_receive_too_large(work, event, resolved);
    }

    for (j = 0; j < n; j++) {
        ref = &resolved->recipients[j];

        if (knock_receive_recipient(work, &run, ref, i, n - j) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (logged) {
            knock_receive_order(work, knock_parts_place(work->parts,
                                                        &ref->id));
        }
    }

    return KNOCK_OK;
}


static int
knock_receive_too_large(knock_work_t *work, const knock_event_t *event,
    const knock_resolved_t *resolved)
{
    size_t              properties;
    const knock_str_t  *key;

    work->refused = 1;

    key = &resolved->action->key;
    properties = event->properties ? knock_json_text(event->properties).len
                                   : 0;

    return knock_error_set(work->err, KNOCK_E_BATCH_TOO_LARGE,
                           "the runs of this request would take more than %zu "
                           "bytes: event %zu has %zu of action \"%.*s\", each "
                           "with the event's %zu bytes of properties; send "
                           "fewer events at a time, smaller properties or "
                           "fewer recipients, or raise max_pending_bytes= of "
                           "knock_redis",
                           work->in->limits->max_run_bytes,
                           work->indexes[work->nevents],
                           resolved->nrecipients, (int) key->len,
                           (char *) key->data, properties);
}


/* `room`: so many more may come to the i-th action */

static int
knock_receive_recipient(knock_work_t *work, const knock_run_t *run,
    const knock_ref_t *ref, size_t i, size_t room)
{
    int                   rc;
    size_t                entity, n;
    knock_enqueue_t      *enqueue;
    knock_unit_event_t   *out;
    knock_unit_action_t  *action;

    rc = knock_receive_ref(work, ref, &out, &entity);

    if (rc != KNOCK_OK) {
        return rc == KNOCK_DECLINED ? KNOCK_OK : KNOCK_ERROR;
    }

    action = &out->actions[i];
    n = action->nenqueues;

    if (n == action->room) {
        if (work->orders) {
            room = n ? n : 1;
        }

        enqueue = knock_arena_realloc(work->arena, action->enqueues,
                                      n * sizeof(knock_enqueue_t),
                                      (n + room) * sizeof(knock_enqueue_t));
        if (enqueue == NULL) {
            return KNOCK_ERROR;
        }

        action->enqueues = enqueue;
        action->room = n + room;
    }

    enqueue = &action->enqueues[n];
    enqueue->entity = entity;

    if (knock_run_build(work->arena, run, ref, &enqueue->run) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    action->nenqueues++;

    return KNOCK_OK;
}


static int
knock_receive_actor(knock_work_t *work, const knock_ref_t *ref, size_t i)
{
    int                  rc;
    size_t               entity;
    knock_unit_event_t  *out;

    rc = knock_receive_ref(work, ref, &out, &entity);

    if (rc == KNOCK_OK) {
        out->actions[i].actor = entity;
    }

    return rc == KNOCK_ERROR ? KNOCK_ERROR : KNOCK_OK;
}


/*
 * What identifies somebody inline, and the event at his place, with his index
 * in KEYS there.  KNOCK_OK; KNOCK_DECLINED: that has been done there already;
 * KNOCK_ERROR: no memory.
 */

static int
knock_receive_ref(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_event_t **out, size_t *entity)
{
    size_t          i, place;
    knock_parts_t  *parts;

    parts = work->parts;
    place = knock_parts_place(parts, &ref->id);

    if (parts->parts[place].done) {
        return KNOCK_DECLINED;
    }

    *out = knock_receive_at(work, place);
    *entity = knock_parts_entity(parts, place, &ref->collection, &ref->id);

    if (*out == NULL || *entity == 0) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < ref->nupserts; i++) {
        if (knock_parts_upsert(parts, place, *entity, KNOCK_OP_RECIPIENT,
                               &ref->upserts[i], &work->updated_at)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


/* the next verdict of the event's is told by a place */

static void
knock_receive_order(knock_work_t *work, size_t who)
{
    uint16_t  bits;

    if (work->orders) {
        bits = (uint16_t) who;
        knock_buf_add(&work->order, &bits, sizeof(uint16_t));
    }
}

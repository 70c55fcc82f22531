
#include "knock_receive_internal.h"
#include "knock_answer.h"


static int knock_receive_identify(knock_work_t *work,
    const knock_event_t *event, knock_status_e *status, const char **reason);
static int knock_receive_actions(knock_work_t *work, int logged);
static int knock_receive_action(knock_work_t *work, size_t i, int logged);
static int knock_receive_recipient(knock_work_t *work, const knock_run_t *run,
    const knock_ref_t *ref, size_t i, size_t room);
static int knock_receive_actor(knock_work_t *work, const knock_ref_t *ref,
    size_t i);
static int knock_receive_ref(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_event_t **out, size_t *entity);
static knock_unit_event_t *knock_receive_at(knock_work_t *work, size_t place);
static void knock_receive_order(knock_work_t *work, size_t who);


int
knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index, knock_error_t *err)
{
    int                     rc, logged;
    const char             *reason;
    knock_log_e             log;
    knock_status_e          status;
    knock_unit_event_t     *out;
    const knock_actions_t  *actions;

    actions = knock_live_actions(work->in->endpoint, &event->key);

    rc = knock_receive_check(work, event, actions, index, err);
    if (rc != KNOCK_OK) {
        return rc;
    }

    status = KNOCK_STATUS_IGNORED;

    work->indexes[work->nevents] = index;
    knock_buf_init(&work->order, work->arena, 0);

    out = knock_receive_at(work, work->parts->live->home);

    if (out == NULL) {
        return KNOCK_ERROR;
    }

    out->key = event->key;
    out->marked = work->marked;
    memcpy(out->mark, work->mark, KNOCK_MARK_LEN);

    log = work->in->log;
    logged = log == KNOCK_LOG_ON
             || (log == KNOCK_LOG_ERRORS && work->nresolved < work->nactions);

    reason = work->nactions ? NULL
                            : knock_live_idle(work->in->endpoint, &event->key);

    if (event->type == KNOCK_EVENT_IDENTIFY
        && knock_receive_identify(work, event, &status, &reason) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (work->nactions) {
        if (knock_receive_actions(work, logged) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (work->nresolved) {
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
                           work->resolved, work->nactions, work->in->now,
                           &out->log);
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

    if (work->user.nupserts == 0) {
        return KNOCK_OK;
    }

    upsert = work->user.upserts;
    place = knock_parts_place(work->parts, &upsert->id);
    entity = knock_parts_entity(work->parts, place, &upsert->collection,
                                &upsert->id);

    if (entity == 0 || knock_receive_at(work, place) == NULL) {
        return KNOCK_ERROR;
    }

    return knock_parts_upsert(work->parts, place, entity, KNOCK_OP_EVENT,
                              upsert, &work->updated_at);
}


static int
knock_receive_actions(knock_work_t *work, int logged)
{
    size_t             i;
    knock_resolved_t  *resolved;

    for (i = 0; i < work->nactions; i++) {
        resolved = &work->resolved[i];

        /* an action that failed stands empty, the log counts on the order */

        if (resolved->error.code != KNOCK_E_NONE) {
            knock_answer_add_error(&work->errors, work->indexes[work->nevents],
                                   &resolved->action->key, &resolved->error);

        } else if (knock_receive_action(work, i, logged) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (logged) {
            knock_receive_order(work, KNOCK_PARTS_ACTION_END);
        }
    }

    return KNOCK_OK;
}


static int
knock_receive_action(knock_work_t *work, size_t i, int logged)
{
    size_t                   j, n, entity;
    knock_ref_t             *ref;
    knock_unit_event_t      *out;
    const knock_resolved_t  *resolved;

    resolved = &work->resolved[i];
    ref = resolved->actor;

    if (ref && logged) {
        knock_receive_order(work, knock_parts_place(work->parts, &ref->id)
                                  | KNOCK_PARTS_ACTOR);
    }

    n = resolved->nrecipients;

    for (j = 0; j < n; j++) {
        ref = &resolved->recipients[j];

        if (knock_receive_recipient(work, &work->runs[i], ref, i, n - j)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (logged) {
            knock_receive_order(work, knock_parts_place(work->parts,
                                                        &ref->id));
        }
    }

    /* that a bare actor is not identified is only for the log to say */

    ref = resolved->actor;

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


#include "knock_receive.h"
#include "knock_answer.h"
#include "knock_run.h"
#include "knock_time.h"


#define KNOCK_RANDOM  16


/* the work on one body */

typedef struct {
    knock_arena_t          *arena;
    knock_apply_t          *apply;
    const knock_receive_t  *in;
    knock_error_t          *err;

    knock_unit_t            unit;
    knock_buf_t             errors;
    knock_str_t             updated_at;     /* now, as JSON */
    size_t                  run_bytes;      /* of the runs, up to now */
    unsigned                refused:1;      /* for a reason that *err tells */
} knock_work_t;


static int knock_receive_events(knock_work_t *work, const knock_json_t **first,
    size_t *n);
static int knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index);
static int knock_receive_identify(knock_work_t *work,
    const knock_event_t *event, knock_unit_event_t *out, const char **reason);
static int knock_receive_actions(knock_work_t *work,
    const knock_event_t *event, const knock_resolved_t *resolved, size_t n,
    knock_unit_event_t *out);
static int knock_receive_action(knock_work_t *work,
    const knock_event_t *event, const knock_str_t *message,
    const knock_resolved_t *resolved, knock_unit_event_t *out);
static int knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    knock_unit_event_t *out);
static int knock_receive_too_large(knock_work_t *work,
    const knock_event_t *event, const knock_resolved_t *resolved,
    size_t index);
static int knock_receive_ops(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_event_t *out, size_t *entity);
static int knock_receive_op(knock_work_t *work, const knock_upsert_t *upsert,
    knock_op_kind_e kind, size_t entity, knock_unit_event_t *out);
static size_t knock_receive_entity(knock_work_t *work,
    const knock_str_t *collection, const knock_str_t *id);
static int knock_receive_mark(knock_work_t *work, const knock_event_t *event,
    knock_unit_event_t *out);
static size_t knock_receive_nops(const knock_resolved_t *resolved);


int
knock_receive(knock_apply_t *apply, const knock_receive_t *in,
    knock_received_t *received, knock_error_t *err)
{
    size_t               i, n, info;
    knock_work_t         work;
    knock_event_t        event;
    knock_error_t        bad, first_bad;
    const knock_json_t  *v;

    memset(received, 0, sizeof(knock_received_t));
    memset(&work, 0, sizeof(knock_work_t));

    work.arena = apply->arena;
    work.apply = apply;
    work.in = in;
    work.err = err;

    if (!in->endpoint->enabled) {
        return knock_error_set(err, KNOCK_E_ENDPOINT_DISABLED,
                               "this endpoint is switched off: set its "
                               "\"enabled\" to take events here");
    }

    if (in->endpoint->signing_secret.len
        && knock_signature_check(&in->endpoint->signing_secret, &in->signature,
                                 &in->body, in->signature_mode, err)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    v = NULL;
    n = 0;

    if (knock_receive_events(&work, &v, &n) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    /* knock.lua finds a catalogue's second key behind its first */

    work.unit.catalogue = knock_apply_key(apply, &in->endpoint->catalogue);
    info = knock_apply_key(apply, &in->endpoint->catalogue_info);
    work.unit.log = knock_apply_key(apply, &in->endpoint->log);

    work.unit.events = knock_arena_calloc(work.arena, n,
                                          sizeof(knock_unit_event_t));

    received->types = knock_arena_alloc(work.arena, n);

    work.updated_at.len = KNOCK_TIME_LEN + 2;
    work.updated_at.data = knock_arena_alloc(work.arena, KNOCK_TIME_LEN + 2);

    if (work.unit.catalogue == 0 || info != work.unit.catalogue + 1
        || work.unit.log == 0
        || work.unit.events == NULL || received->types == NULL
        || work.updated_at.data == NULL)
    {
        return knock_error_memory(err);
    }

    work.updated_at.data[0] = '"';
    knock_time_format(in->now, work.updated_at.data + 1);
    work.updated_at.data[KNOCK_TIME_LEN + 1] = '"';

    knock_buf_init(&work.errors, work.arena, 0);

    first_bad.code = KNOCK_E_NONE;

    for (i = 0; i < n; i++, v = knock_json_next(v)) {

        if (knock_event_read(work.arena, v, &event, &bad) != KNOCK_OK) {
            if (bad.code == KNOCK_E_INTERNAL) {
                *err = bad;
                return KNOCK_ERROR;
            }

            if (first_bad.code == KNOCK_E_NONE) {
                first_bad = bad;
            }

            knock_answer_add_error(&work.errors, i, NULL, &bad);
            continue;
        }

        received->types[work.unit.nevents] = (unsigned char) event.type;

        if (knock_receive_event(&work, &event, i) != KNOCK_OK) {
            return work.refused ? KNOCK_ERROR : knock_error_memory(err);
        }
    }

    if (knock_buf_str(&work.errors, &received->errors) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (work.unit.nevents == 0) {
        *err = first_bad;
        return KNOCK_ERROR;
    }

    if (in->need
        && knock_unit_fold(work.arena, &work.unit, in->need, apply->values)
           != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    received->nevents = work.unit.nevents;

    if (work.unit.nevents < n) {
        received->indexes = knock_arena_alloc(work.arena, work.unit.nevents
                                                          * sizeof(size_t));
        if (received->indexes == NULL) {
            return knock_error_memory(err);
        }

        for (i = 0; i < work.unit.nevents; i++) {
            received->indexes[i] = work.unit.events[i].index;
        }
    }

    if (knock_unit_expect(work.arena, &work.unit, &received->statuses,
                          &received->runs)
        != KNOCK_OK
        || knock_apply_add(apply, &work.unit) != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


/* the events of a body: one, an array of them, or {"batch":[...]} */

static int
knock_receive_events(knock_work_t *work, const knock_json_t **first, size_t *n)
{
    size_t                  i, depth;
    knock_json_t           *root;
    const knock_json_t     *batch;
    const knock_receive_t  *in;

    in = work->in;

    for (i = 0; i < in->body.len && strchr(" \t\r\n", in->body.data[i])
                && in->body.data[i] != '\0'; i++)
    {
        /* void */
    }

    if (i == in->body.len) {
        return knock_error_set(work->err, KNOCK_E_INVALID_JSON,
                               "the body is empty: look at the destination's "
                               "mapping, what it sends resolved to nothing");
    }

    /* the array around a batch is no part of any event's nesting */

    depth = in->limits->max_depth + (in->body.data[i] == '[');

    if (knock_json_parse(work->arena, &in->body, depth, &root, work->err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    batch = root;

    if (root->type == KNOCK_JSON_OBJECT
        && knock_json_get(root, "type") == NULL)
    {
        batch = knock_json_get(root, "batch");

        if (batch == NULL || batch->type != KNOCK_JSON_ARRAY) {
            batch = root;
        }
    }

    if (batch->type != KNOCK_JSON_ARRAY) {
        *first = batch;
        *n = 1;
        return KNOCK_OK;
    }

    if (batch->count > in->limits->max_batch) {
        return knock_error_set(work->err, KNOCK_E_BATCH_TOO_LARGE,
                               "the batch holds %u events, the limit is %zu: "
                               "send smaller batches or raise knock_max_batch",
                               batch->count, in->limits->max_batch);
    }

    if (batch->count == 0) {
        return knock_error_set(work->err, KNOCK_E_INVALID_EVENT,
                               "the batch holds no event: look at the "
                               "destination's mapping");
    }

    *first = knock_json_first(batch);
    *n = batch->count;

    return KNOCK_OK;
}


static int
knock_receive_event(knock_work_t *work, const knock_event_t *event,
    size_t index)
{
    size_t                  i, n, nops, nok;
    const char             *reason;
    knock_log_e             log;
    knock_resolved_t       *resolved;
    knock_unit_event_t     *out;
    const knock_actions_t  *actions;

    out = &work->unit.events[work->unit.nevents++];

    out->index = index;
    out->key = event->key;
    out->status = KNOCK_STATUS_IGNORED;

    if (knock_receive_mark(work, event, out) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    actions = knock_live_actions(work->in->endpoint, &event->key);
    n = actions ? actions->n : 0;

    resolved = NULL;
    nops = event->type == KNOCK_EVENT_IDENTIFY;
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

        if (resolved[i].error.code == KNOCK_E_NONE) {
            nok++;
            nops += knock_receive_nops(&resolved[i]);
        }
    }

    out->ops = knock_arena_alloc(work->arena, nops * sizeof(knock_op_t));
    if (out->ops == NULL) {
        return KNOCK_ERROR;
    }

    reason = n ? NULL : knock_live_idle(work->in->endpoint, &event->key);

    if (event->type == KNOCK_EVENT_IDENTIFY
        && knock_receive_identify(work, event, out, &reason) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (n) {
        if (knock_receive_actions(work, event, resolved, n, out) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (nok) {
            out->status = KNOCK_STATUS_PROCESSED;

        } else if (out->status == KNOCK_STATUS_IGNORED) {
            out->status = KNOCK_STATUS_FAILED;
        }
    }

    if (*work->in->samples && event->root->len <= KNOCK_MAX_SAMPLE) {
        (*work->in->samples)--;
        out->sample = knock_json_text(event->root);
    }

    log = work->in->log;

    if (log == KNOCK_LOG_ON || (log == KNOCK_LOG_ERRORS && nok < n)) {
        return knock_log_build(work->arena, event,
                               out->status == KNOCK_STATUS_IGNORED ? reason
                                                                   : NULL,
                               resolved, n, work->in->now, &out->log);
    }

    return KNOCK_OK;
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
    knock_unit_event_t *out, const char **reason)
{
    size_t           entity;
    knock_upsert_t  *upsert;

    if (!work->in->endpoint->identify_enabled) {
        *reason = "identify_disabled";
        return KNOCK_OK;
    }

    if (event->user_id.data == NULL) {
        *reason = "no_user_id";
        return KNOCK_OK;
    }

    upsert = knock_arena_alloc(work->arena, sizeof(knock_upsert_t));

    if (upsert == NULL
        || knock_entity_identify(work->arena, event, upsert) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    entity = knock_receive_entity(work, &upsert->collection, &upsert->id);
    if (entity == 0) {
        return KNOCK_ERROR;
    }

    out->status = KNOCK_STATUS_PROCESSED;

    return knock_receive_op(work, upsert, KNOCK_OP_EVENT, entity, out);
}


static int
knock_receive_actions(knock_work_t *work, const knock_event_t *event,
    const knock_resolved_t *resolved, size_t n, knock_unit_event_t *out)
{
    size_t         i;
    knock_str_t    message;

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

    out->actions = knock_arena_calloc(work->arena, n,
                                      sizeof(knock_unit_action_t));
    if (out->actions == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (resolved[i].error.code != KNOCK_E_NONE) {
            knock_answer_add_error(&work->errors, out->index,
                                   &resolved[i].action->key,
                                   &resolved[i].error);

        } else if (knock_receive_action(work, event, &message, &resolved[i],
                                        out)
                   != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        /* an action that failed stands empty, the log counts on the order */

        out->nactions++;
    }

    return KNOCK_OK;
}


static int
knock_receive_action(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    knock_unit_event_t *out)
{
    size_t  entity;

    if (resolved->nrecipients
        && knock_receive_runs(work, event, message, resolved, out) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (resolved->actor) {
        if (knock_receive_ops(work, resolved->actor, out, &entity)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        out->actions[out->nactions].actor = entity;
    }

    if (resolved->tenant && resolved->tenant->nupserts) {
        return knock_receive_ops(work, resolved->tenant, out, &entity);
    }

    return KNOCK_OK;
}


/*
 * Each run has the event's properties whole: whether there is room for all of
 * them is asked before the first one is built.
 */

static int
knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    const knock_str_t *message, const knock_resolved_t *resolved,
    knock_unit_event_t *out)
{
    size_t                i, entity;
    knock_run_t           run;
    knock_enqueue_t      *enqueue;
    knock_unit_action_t  *action;

    if (knock_run_prepare(work->arena, &work->apply->live->environment,
                          &work->in->endpoint->source, event, message,
                          resolved, work->in->now, &run)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (knock_run_count(&run, resolved->nrecipients,
                        work->in->limits->max_run_bytes, &work->run_bytes)
        != KNOCK_OK)
    {
        return knock_receive_too_large(work, event, resolved, out->index);
    }

    action = &out->actions[out->nactions];

    action->enqueues = knock_arena_alloc(work->arena, resolved->nrecipients
                                                    * sizeof(knock_enqueue_t));
    if (action->enqueues == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < resolved->nrecipients; i++) {
        enqueue = &action->enqueues[i];

        if (knock_receive_ops(work, &resolved->recipients[i], out, &entity)
            != KNOCK_OK
            || knock_run_build(work->arena, &run, &resolved->recipients[i],
                               &enqueue->run)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        enqueue->entity = entity;
        action->nenqueues++;
    }

    return KNOCK_OK;
}


static int
knock_receive_too_large(knock_work_t *work, const knock_event_t *event,
    const knock_resolved_t *resolved, size_t index)
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
                           work->in->limits->max_run_bytes, index,
                           resolved->nrecipients, (int) key->len,
                           (char *) key->data, properties);
}


static int
knock_receive_ops(knock_work_t *work, const knock_ref_t *ref,
    knock_unit_event_t *out, size_t *entity)
{
    size_t  i;

    *entity = knock_receive_entity(work, &ref->collection, &ref->id);
    if (*entity == 0) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < ref->nupserts; i++) {
        if (knock_receive_op(work, &ref->upserts[i], KNOCK_OP_RECIPIENT,
                             *entity, out)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static int
knock_receive_op(knock_work_t *work, const knock_upsert_t *upsert,
    knock_op_kind_e kind, size_t entity, knock_unit_event_t *out)
{
    knock_op_t  *op;

    op = &out->ops[out->nops];

    if (knock_entity_stored(work->arena, upsert, &work->updated_at,
                            &op->upsert)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    op->entity = entity;
    op->kind = kind;

    out->nops++;

    return KNOCK_OK;
}


static size_t
knock_receive_entity(knock_work_t *work, const knock_str_t *collection,
    const knock_str_t *id)
{
    knock_str_t  key;

    if (knock_keys_entity(work->arena, &work->apply->live->base, collection,
                          id, &key)
        != KNOCK_OK)
    {
        return 0;
    }

    return knock_apply_key(work->apply, &key);
}


static size_t
knock_receive_nops(const knock_resolved_t *resolved)
{
    size_t  i, n;

    n = resolved->actor ? resolved->actor->nupserts : 0;
    n += resolved->tenant ? resolved->tenant->nupserts : 0;

    for (i = 0; i < resolved->nrecipients; i++) {
        n += resolved->recipients[i].nupserts;
    }

    return n;
}

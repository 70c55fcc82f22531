
/*
 * What an event resolves to, and what it is refused for by itself, before
 * anything is made of it: strings that collide in Redis' Lua, and runs that are
 * too large.
 */

#include "knock_receive_internal.h"
#include "knock_keys.h"


/* of each upsert as it is stored: the id's JSON, and the collection's */
#define KNOCK_RECEIVE_OWN  2

#define KNOCK_RANDOM  16


static int knock_receive_resolve(knock_work_t *work,
    const knock_event_t *event, const knock_actions_t *actions);
static int knock_receive_upsert(knock_work_t *work,
    const knock_event_t *event);
static int knock_receive_collides(knock_work_t *work,
    const knock_event_t *event);
static const knock_ref_t *knock_receive_tenant(
    const knock_resolved_t *resolved);
static size_t knock_receive_strings(const knock_ref_t *ref);
static int knock_receive_look(knock_work_t *work, const knock_ref_t *ref);
static int knock_receive_look_quoted(knock_work_t *work,
    const knock_str_t *str);
static int knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    size_t index, knock_error_t *err);
static int knock_receive_too_large(knock_work_t *work,
    const knock_event_t *event, size_t index, const knock_resolved_t *resolved,
    knock_error_t *err);


int
knock_receive_check(knock_work_t *work, const knock_event_t *event,
    const knock_actions_t *actions, size_t index, knock_error_t *err)
{
    int  rc;

    if (knock_receive_resolve(work, event, actions) != KNOCK_OK
        || knock_receive_upsert(work, event) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    rc = knock_receive_collides(work, event);

    if (rc == KNOCK_DECLINED) {
        (void) knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "names, values or ids were chosen to collide "
                               "in a hash table of Redis: send them in "
                               "smaller batches if they were not");
    }

    return rc == KNOCK_OK ? knock_receive_runs(work, event, index, err) : rc;
}


static int
knock_receive_resolve(knock_work_t *work, const knock_event_t *event,
    const knock_actions_t *actions)
{
    size_t        i, n;
    knock_str_t   parts[3];

    n = actions ? actions->n : 0;

    work->nactions = n;
    work->nresolved = 0;
    work->resolved = NULL;
    work->runs = NULL;

    /*
     * What has been seen is told by the message id, and by the event key,
     * since the ids of different calls may come from different generators.
     */

    work->marked = work->in->endpoint->idempotency_enabled
                   && event->message_id.data;

    if (work->marked) {
        parts[0] = work->in->endpoint->source;
        parts[1] = event->key;
        parts[2] = event->message_id;

        knock_digest_mark(parts, 3, work->mark);
    }

    if (n == 0) {
        return KNOCK_OK;
    }

    work->resolved = knock_arena_calloc(work->arena, n,
                                        sizeof(knock_resolved_t));
    work->runs = knock_arena_calloc(work->arena, n, sizeof(knock_run_t));

    if (work->resolved == NULL || work->runs == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (knock_mapping_resolve(work->arena, actions->items[i], event,
                                  work->in->limits, &work->resolved[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        work->nresolved += work->resolved[i].error.code == KNOCK_E_NONE;
    }

    return KNOCK_OK;
}


/* whom an identify event makes, where that is switched on, or is yet to make */

static int
knock_receive_upsert(knock_work_t *work, const knock_event_t *event)
{
    size_t        place;
    knock_ref_t  *user;

    user = &work->user;
    user->nupserts = 0;

    if (event->type != KNOCK_EVENT_IDENTIFY
        || !work->in->endpoint->identify_enabled
        || event->user_id.data == NULL)
    {
        return KNOCK_OK;
    }

    place = knock_parts_place(work->parts, &event->user_id);

    if (work->parts->parts[place].done) {
        return KNOCK_OK;
    }

    user->upserts = knock_arena_alloc(work->arena, sizeof(knock_upsert_t));

    if (user->upserts == NULL
        || knock_entity_identify(work->arena, event, user->upserts)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    user->collection = user->upserts->collection;
    user->id = user->upserts->id;
    user->nupserts = 1;

    return KNOCK_OK;
}


/*
 * An event on which nothing acts brings Lua its key and its mark.
 * KNOCK_DECLINED: its strings collide.
 */

static int
knock_receive_collides(knock_work_t *work, const knock_event_t *event)
{
    int                      rc;
    size_t                   i, j, n;
    knock_str_t              mark;
    const knock_resolved_t  *resolved;

    n = 2 + (work->user.nupserts ? knock_receive_strings(&work->user) : 0);

    for (i = 0; i < work->nactions; i++) {
        resolved = &work->resolved[i];

        n += knock_receive_strings(resolved->actor)
             + knock_receive_strings(knock_receive_tenant(resolved));

        for (j = 0; j < resolved->nrecipients; j++) {
            n += knock_receive_strings(&resolved->recipients[j]);
        }
    }

    if (!knock_flood_expect(&work->flood, n)) {
        return KNOCK_OK;
    }

    mark.len = KNOCK_MARK_LEN;
    mark.data = work->mark;

    rc = knock_flood_string(&work->flood, &event->key);

    if (rc == KNOCK_OK && work->marked) {
        rc = knock_flood_string(&work->flood, &mark);
    }

    if (rc == KNOCK_OK && work->user.nupserts) {
        rc = knock_receive_look(work, &work->user);
    }

    for (i = 0; rc == KNOCK_OK && i < work->nactions; i++) {
        resolved = &work->resolved[i];

        rc = knock_receive_look(work, resolved->actor);

        if (rc == KNOCK_OK) {
            rc = knock_receive_look(work, knock_receive_tenant(resolved));
        }

        for (j = 0; rc == KNOCK_OK && j < resolved->nrecipients; j++) {
            rc = knock_receive_look(work, &resolved->recipients[j]);
        }
    }

    return rc;
}


/* a bare one stands in its runs only */

static const knock_ref_t *
knock_receive_tenant(const knock_resolved_t *resolved)
{
    return resolved->tenant && resolved->tenant->nupserts ? resolved->tenant
                                                          : NULL;
}


/* how many strings somebody is at the most */

static size_t
knock_receive_strings(const knock_ref_t *ref)
{
    size_t  i, n;

    if (ref == NULL) {
        return 0;
    }

    for (n = 1, i = 0; i < ref->nupserts; i++) {
        n += KNOCK_RECEIVE_OWN + 2 * ref->upserts[i].nfields;
    }

    return n;
}


/* his key, and names and values of his fields */

static int
knock_receive_look(knock_work_t *work, const knock_ref_t *ref)
{
    int                   rc;
    size_t                i, j, place;
    knock_str_t           key;
    const knock_field_t  *field;

    if (ref == NULL) {
        return KNOCK_OK;
    }

    place = knock_parts_place(work->parts, &ref->id);

    if (knock_keys_entity(work->arena, &work->parts->live->places[place].base,
                          &ref->collection, &ref->id, &key)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    rc = knock_flood_string(&work->flood, &key);

    if (rc == KNOCK_OK && ref->nupserts) {
        rc = knock_receive_look_quoted(work, &ref->id);
    }

    if (rc == KNOCK_OK && ref->nupserts) {
        rc = knock_receive_look_quoted(work, &ref->collection);
    }

    for (i = 0; i < ref->nupserts; i++) {
        field = ref->upserts[i].fields;

        for (j = 0; rc == KNOCK_OK && j < ref->upserts[i].nfields; j++) {
            rc = knock_flood_string(&work->flood, &field[j].name);

            if (rc == KNOCK_OK) {
                rc = knock_flood_string(&work->flood, &field[j].json);
            }
        }
    }

    return rc;
}


static int
knock_receive_look_quoted(knock_work_t *work, const knock_str_t *str)
{
    knock_buf_t  buf;
    knock_str_t  json;

    knock_buf_init(&buf, work->arena, str->len + 2);
    knock_buf_add_json(&buf, str);

    return knock_buf_str(&buf, &json) == KNOCK_OK
           ? knock_flood_string(&work->flood, &json) : KNOCK_ERROR;
}


/*
 * Each run has the event's properties whole: whether there is room for all of
 * them is asked before the first one is built.  KNOCK_DECLINED: there is none.
 */

static int
knock_receive_runs(knock_work_t *work, const knock_event_t *event,
    size_t index, knock_error_t *err)
{
    size_t                   i, bytes;
    knock_str_t              message;
    const knock_resolved_t  *resolved;

    message = event->message_id;

    if (work->nresolved && message.data == NULL) {
        message.len = KNOCK_RANDOM;
        message.data = knock_arena_alloc(work->arena, KNOCK_RANDOM);

        if (message.data == NULL
            || knock_digest_random(message.data, KNOCK_RANDOM) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    bytes = work->run_bytes;

    for (i = 0; i < work->nactions; i++) {
        resolved = &work->resolved[i];

        if (resolved->nrecipients == 0) {
            continue;
        }

        if (knock_run_prepare(work->arena, &work->parts->live->environment,
                              &work->in->endpoint->source, event, &message,
                              resolved, work->in->now, &work->runs[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (knock_run_count(&work->runs[i], resolved->nrecipients,
                            work->in->limits->max_run_bytes, &bytes)
            != KNOCK_OK)
        {
            return knock_receive_too_large(work, event, index, resolved, err);
        }
    }

    work->run_bytes = bytes;

    return KNOCK_OK;
}


static int
knock_receive_too_large(knock_work_t *work, const knock_event_t *event,
    size_t index, const knock_resolved_t *resolved, knock_error_t *err)
{
    size_t              properties;
    const knock_str_t  *key;

    key = &resolved->action->key;
    properties = event->properties ? event->properties->len : 0;

    (void) knock_error_set(err, KNOCK_E_RUNS_TOO_LARGE,
                           "the runs of this request would take more than %zu "
                           "bytes: event %zu has %zu of action \"%.*s\", each "
                           "with the event's %zu bytes of properties; send "
                           "fewer events at a time, smaller properties or "
                           "fewer recipients, or raise max_pending_bytes= of "
                           "knock_redis",
                           work->in->limits->max_run_bytes, index,
                           resolved->nrecipients, (int) key->len,
                           (char *) key->data, properties);

    return KNOCK_DECLINED;
}


#include "knock_test_run.h"
#include "knock_keys.h"
#include "knock_map.h"
#include "knock_run.h"


#define KNOCK_RANDOM  16


static int knock_test_run_trigger(knock_arena_t *arena,
    const knock_test_run_in_t *in, knock_trigger_t *trigger,
    knock_ref_t *actor, knock_error_t *err);
static int knock_test_run_recipients(knock_arena_t *arena,
    const knock_test_run_in_t *in, knock_test_runs_t *runs,
    knock_error_t *err);
static int knock_test_run_id(knock_arena_t *arena, const char *name,
    const knock_json_t *v, knock_str_t *id, knock_error_t *err);
static int knock_test_run_each(knock_arena_t *arena,
    const knock_test_run_in_t *in, const knock_trigger_t *trigger,
    knock_test_runs_t *runs, knock_error_t *err);


int
knock_test_run_build(knock_arena_t *arena, const knock_test_run_in_t *in,
    knock_test_runs_t *runs, knock_error_t *err)
{
    knock_ref_t      actor;
    knock_trigger_t  trigger;

    memset(runs, 0, sizeof(knock_test_runs_t));

    if (knock_test_run_recipients(arena, in, runs, err) != KNOCK_OK
        || knock_test_run_trigger(arena, in, &trigger, &actor, err)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_test_run_each(arena, in, &trigger, runs, err);
}


static int
knock_test_run_recipients(knock_arena_t *arena, const knock_test_run_in_t *in,
    knock_test_runs_t *runs, knock_error_t *err)
{
    size_t               i, n;
    knock_str_t         *id;
    knock_map_t         *known;
    const knock_json_t  *list, *v;

    list = in->recipients;

    if (list == NULL || list->type != KNOCK_JSON_ARRAY || list->count == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "\"recipients\": expected a list of one or "
                               "more ids of users");
    }

    n = list->count < in->limits->max_recipients ? list->count
                                                 : in->limits->max_recipients;

    known = knock_map_create(arena, n);

    /* one more, where an id stands until it is known to be new */

    runs->ids = knock_arena_alloc(arena, (n + 1) * sizeof(knock_str_t));

    if (known == NULL || runs->ids == NULL) {
        return knock_error_memory(err);
    }

    v = knock_json_first(list);

    for (i = 0; i < list->count; i++, v = knock_json_next(v)) {

        id = &runs->ids[runs->n];

        if (knock_test_run_id(arena, "recipients", v, id, err) != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        if (knock_map_get(known, id)) {
            continue;
        }

        if (runs->n == n) {
            return knock_error_set(err, KNOCK_E_INVALID_BODY,
                                   "\"recipients\": more than %zu, send fewer "
                                   "or raise knock_max_recipients", n);
        }

        if (knock_map_set(known, id, id) != KNOCK_OK) {
            return knock_error_memory(err);
        }

        runs->n++;
    }

    return KNOCK_OK;
}


static int
knock_test_run_trigger(knock_arena_t *arena, const knock_test_run_in_t *in,
    knock_trigger_t *trigger, knock_ref_t *actor, knock_error_t *err)
{
    memset(actor, 0, sizeof(knock_ref_t));
    memset(trigger, 0, sizeof(knock_trigger_t));

    trigger->workflow = in->workflow;
    trigger->environment = in->environment;
    trigger->now = in->now;
    trigger->test = 1;

    if (in->actor && in->actor->type != KNOCK_JSON_NULL) {
        if (knock_test_run_id(arena, "actor", in->actor, &actor->id, err)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        knock_str_set(&actor->collection, "$users");
        trigger->actor = actor;
    }

    if (in->tenant && in->tenant->type != KNOCK_JSON_NULL
        && knock_test_run_id(arena, "tenant", in->tenant, &trigger->tenant,
                             err)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (in->data && in->data->type != KNOCK_JSON_NULL) {
        if (in->data->type != KNOCK_JSON_OBJECT) {
            return knock_error_set(err, KNOCK_E_INVALID_BODY,
                                   "\"data\": expected an object");
        }

        trigger->data = knock_json_text(in->data);
    }

    return KNOCK_OK;
}


static int
knock_test_run_id(knock_arena_t *arena, const char *name,
    const knock_json_t *v, knock_str_t *id, knock_error_t *err)
{
    if (v->type == KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "\"%s\": a test run identifies nobody inline, "
                               "expected an id and not an object", name);
    }

    switch (knock_event_id(arena, v, id)) {

    case KNOCK_OK:
        return KNOCK_OK;

    case KNOCK_DECLINED:
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "\"%s\": an id is a string or an integer of 1 "
                               "to %d bytes without control characters", name,
                               KNOCK_MAX_ID);

    default:
        return knock_error_memory(err);
    }
}


static int
knock_test_run_each(knock_arena_t *arena, const knock_test_run_in_t *in,
    const knock_trigger_t *trigger, knock_test_runs_t *runs,
    knock_error_t *err)
{
    size_t         i, shard, bytes;
    knock_run_t    run;
    knock_ref_t    recipient;
    knock_str_t    message;
    unsigned char  random[KNOCK_RANDOM];

    message.len = KNOCK_RANDOM;
    message.data = random;

    runs->keys = knock_arena_alloc(arena, runs->n * sizeof(knock_str_t));
    runs->shards = knock_arena_alloc(arena, runs->n * sizeof(size_t));
    runs->runs = knock_arena_alloc(arena, runs->n * sizeof(knock_str_t));

    if (runs->keys == NULL || runs->shards == NULL || runs->runs == NULL
        || knock_digest_random(random, KNOCK_RANDOM) != KNOCK_OK
        || knock_run_start(arena, trigger, &message, &run) != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    bytes = 0;

    if (knock_run_count(&run, runs->n, in->limits->max_run_bytes, &bytes)
        != KNOCK_OK)
    {
        return knock_error_set(err, KNOCK_E_RUNS_TOO_LARGE,
                               "%zu runs, each with %zu bytes of \"data\", "
                               "would take more than %zu bytes: send less "
                               "data or fewer recipients, or raise "
                               "max_pending_bytes= of knock_redis", runs->n,
                               trigger->data.len, in->limits->max_run_bytes);
    }

    memset(&recipient, 0, sizeof(knock_ref_t));
    knock_str_set(&recipient.collection, "$users");

    for (i = 0; i < runs->n; i++) {
        recipient.id = runs->ids[i];

        shard = knock_keys_shard(&recipient.id, in->nshards);
        runs->shards[i] = shard;

        if (knock_keys_entity(arena, &in->bases[shard], &recipient.collection,
                              &recipient.id, &runs->keys[i])
            != KNOCK_OK
            || knock_run_build(arena, &run, &recipient, &runs->runs[i])
               != KNOCK_OK)
        {
            return knock_error_memory(err);
        }
    }

    return KNOCK_OK;
}


int
knock_test_run_json(knock_arena_t *arena, const knock_test_runs_t *runs,
    const knock_str_t *verdicts, knock_str_t *json)
{
    int          first;
    size_t       i, n;
    knock_buf_t  buf;

    if (verdicts->len != runs->n) {
        return KNOCK_DECLINED;
    }

    for (i = 0, n = 0; i < runs->n; i++) {
        if (verdicts->data[i] == 'r') {
            n++;

        } else if (verdicts->data[i] != 'n') {
            return KNOCK_DECLINED;
        }
    }

    knock_buf_init(&buf, arena, 256);

    knock_buf_add_lit(&buf, "{\"runs\":");
    knock_buf_add_uint(&buf, n);
    knock_buf_add_lit(&buf, ",\"skipped\":[");

    first = 1;

    for (i = 0; i < runs->n; i++) {
        if (verdicts->data[i] == 'r') {
            continue;
        }

        if (!first) {
            knock_buf_add_char(&buf, ',');
        }

        first = 0;

        knock_buf_add_lit(&buf, "{\"recipient\":");
        knock_buf_add_json(&buf, &runs->ids[i]);
        knock_buf_add_lit(&buf, ",\"reason\":\"recipient_not_identified\"}");
    }

    knock_buf_add_lit(&buf, "]}");

    return knock_buf_str(&buf, json);
}


#include "knock_receive_internal.h"
#include "knock_answer.h"
#include "knock_time.h"


static int knock_receive_signed(const knock_receive_t *in, knock_error_t *err);
static int knock_receive_start(knock_work_t *work, size_t n);
static int knock_receive_element(knock_work_t *work, const knock_json_t *v,
    size_t index, knock_error_t *err);
static int knock_receive_events(knock_work_t *work, const knock_json_t **first,
    size_t *n);


int
knock_receive(knock_parts_t *parts, const knock_receive_t *in,
    knock_received_t *received, knock_error_t *err)
{
    size_t               i, n;
    knock_work_t         work;
    knock_error_t        bad, first_bad;
    const knock_json_t  *v;

    memset(received, 0, sizeof(knock_received_t));
    memset(&work, 0, sizeof(knock_work_t));

    work.arena = parts->arena;
    work.parts = parts;
    work.in = in;
    work.err = err;

    parts->endpoint = in->endpoint;
    parts->told = (in->log != KNOCK_LOG_OFF);

    if (!in->endpoint->enabled) {
        return knock_error_set(err, KNOCK_E_ENDPOINT_DISABLED,
                               "this endpoint is switched off: set its "
                               "\"enabled\" to take events here");
    }

    if (knock_receive_signed(in, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    v = NULL;
    n = 0;

    if (knock_receive_events(&work, &v, &n) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (knock_receive_start(&work, n) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    first_bad.code = KNOCK_E_NONE;

    for (i = 0; i < n; i++, v = knock_json_next(v)) {

        if (knock_receive_element(&work, v, i, &bad) == KNOCK_OK) {
            work.nevents++;
            continue;
        }

        if (bad.code == KNOCK_E_INTERNAL) {
            *err = bad;
            return KNOCK_ERROR;
        }

        if (first_bad.code == KNOCK_E_NONE) {
            first_bad = bad;
        }

        knock_answer_add_error(&work.errors, i, NULL, &bad);
    }

    if (knock_buf_str(&work.errors, &received->errors) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (work.nevents == 0) {
        *err = first_bad;
        return KNOCK_ERROR;
    }

    received->types = work.types;
    received->nevents = work.nevents;
    received->indexes = work.nevents < n ? work.indexes : NULL;
    received->orders = work.orders;

    return knock_parts_add(parts) == KNOCK_OK ? KNOCK_OK
                                              : knock_error_memory(err);
}


/* a secret that was replaced counts for what came before its end */

static int
knock_receive_signed(const knock_receive_t *in, knock_error_t *err)
{
    size_t       n;
    knock_str_t  secrets[2];

    if (in->endpoint->signing_secret.len == 0) {
        return KNOCK_OK;
    }

    n = 0;
    secrets[n++] = in->endpoint->signing_secret;

    if (in->endpoint->previous_secret.len
        && in->received < in->endpoint->previous_secret_until)
    {
        secrets[n++] = in->endpoint->previous_secret;
    }

    return knock_signature_check(secrets, n, &in->signature, &in->body,
                                 in->signature_mode, err);
}


/* what is made for each of the `n` events of a body */

static int
knock_receive_start(knock_work_t *work, size_t n)
{
    work->types = knock_arena_alloc(work->arena, n);
    work->indexes = knock_arena_alloc(work->arena, n * sizeof(size_t));

    work->updated_at.len = KNOCK_TIME_LEN + 2;
    work->updated_at.data = knock_arena_alloc(work->arena, KNOCK_TIME_LEN + 2);

    if (work->types == NULL || work->indexes == NULL
        || work->updated_at.data == NULL)
    {
        return KNOCK_ERROR;
    }

    work->updated_at.data[0] = '"';
    knock_time_format(work->in->now, work->updated_at.data + 1);
    work->updated_at.data[KNOCK_TIME_LEN + 1] = '"';

    knock_buf_init(&work->errors, work->arena, 0);
    knock_flood_init(&work->flood, work->arena);

    if (work->parts->live->nshards > 1) {
        work->orders = knock_arena_calloc(work->arena, n, sizeof(knock_str_t));

        if (work->orders == NULL) {
            return KNOCK_ERROR;
        }

    } else if (knock_parts_home(work->parts) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_parts_reserve(work->parts, work->parts->live->home, n);
}


/* one of the events; what is wrong with it is not for the others to bear */

static int
knock_receive_element(knock_work_t *work, const knock_json_t *v, size_t index,
    knock_error_t *err)
{
    int            rc;
    knock_event_t  event;

    if (v->type == KNOCK_JSON_BAD) {
        return knock_json_why(&work->in->body, v, work->in->limits->max_depth,
                              err);
    }

    if (knock_event_read(work->arena, v, &event, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (work->replaced) {
        knock_event_note_replaced(&event);
    }

    work->types[work->nevents] = (unsigned char) event.type;

    rc = knock_receive_event(work, &event, index, err);

    return rc == KNOCK_ERROR ? knock_error_memory(err) : rc;
}


/* the events of a body: one, an array of them, or {"batch":[...]} */

static int
knock_receive_events(knock_work_t *work, const knock_json_t **first, size_t *n)
{
    static const knock_str_t  member = knock_string("batch");

    size_t                  i, depth;
    knock_json_batch_t      read;
    const knock_json_t     *batch;
    const knock_receive_t  *in;

    in = work->in;
    depth = in->limits->max_depth;

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

    if (knock_json_parse_batch(work->arena, &in->body, depth, &member, &read,
                               work->err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    batch = read.root;

    if (batch->type == KNOCK_JSON_OBJECT
        && knock_json_get(batch, "type") == NULL)
    {
        batch = knock_json_get(batch, "batch");

        if (batch == NULL || batch->type != KNOCK_JSON_ARRAY) {
            batch = read.root;
        }
    }

    work->replaced = read.replaced;

    if (batch->type != KNOCK_JSON_ARRAY) {

        /* an event's own member of that name is no batch */

        if (read.loose
            && knock_json_parse_batch(work->arena, &in->body, depth, NULL,
                                      &read, work->err)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        *first = read.root;
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

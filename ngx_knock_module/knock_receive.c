
#include "knock_receive.h"


static int knock_receive_signed(const knock_receive_t *in, knock_error_t *err);
static int knock_receive_events(knock_arena_t *arena,
    knock_receive_t *in, const knock_json_t **first, size_t *n,
    knock_error_t *err);


int
knock_receive(knock_arena_t *arena, knock_receive_t *in,
    const knock_json_t **first, size_t *n, knock_error_t *err)
{
    if (!in->endpoint->enabled) {
        return knock_error_set(err, KNOCK_E_ENDPOINT_DISABLED,
                               "this endpoint is switched off: set its "
                               "\"enabled\" to take events here");
    }

    if (knock_receive_signed(in, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_receive_events(arena, in, first, n, err);
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
        && in->now < in->endpoint->previous_secret_until)
    {
        secrets[n++] = in->endpoint->previous_secret;
    }

    return knock_signature_check(secrets, n, &in->signature, &in->body,
                                 in->signature_mode, err);
}


/* the events of a body: one, an array of them, or {"batch":[...]} */

static int
knock_receive_events(knock_arena_t *arena, knock_receive_t *in,
    const knock_json_t **first, size_t *n, knock_error_t *err)
{
    static const knock_str_t  member = knock_string("batch");

    size_t               i, depth;
    knock_json_batch_t   read;
    const knock_json_t  *batch;

    depth = in->limits->max_depth;

    for (i = 0; i < in->body.len && strchr(" \t\r\n", in->body.data[i])
                && in->body.data[i] != '\0'; i++)
    {
        /* void */
    }

    if (i == in->body.len) {
        return knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "the body is empty: look at the destination's "
                               "mapping, what it sends resolved to nothing");
    }

    if (knock_json_parse_batch(arena, &in->body, depth, &member, &read, err)
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

    in->lone = read.lone;

    if (batch->type != KNOCK_JSON_ARRAY) {

        /* an event's own member of that name is no batch */

        if (read.loose
            && knock_json_parse_batch(arena, &in->body, depth, NULL, &read,
                                      err)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        *first = read.root;
        *n = 1;

        return KNOCK_OK;
    }

    if (batch->count > in->limits->max_batch) {
        return knock_error_set(err, KNOCK_E_BATCH_TOO_LARGE,
                               "the batch holds %u events, the limit is %zu: "
                               "send smaller batches or raise knock_max_batch",
                               batch->count, in->limits->max_batch);
    }

    if (batch->count == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_EVENT,
                               "the batch holds no event: look at the "
                               "destination's mapping");
    }

    *first = knock_json_first(batch);
    *n = batch->count;

    return KNOCK_OK;
}

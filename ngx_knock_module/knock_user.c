
#include "knock_user.h"
#include "knock_answer.h"
#include "knock_time.h"


/* the work on one batch */

typedef struct {
    knock_arena_t             *arena;
    knock_parts_t             *parts;
    const knock_user_batch_t  *in;

    size_t                     nevents;         /* valid ones, up to now */
    size_t                    *indexes;         /* of each in the list */
    knock_buf_t                errors;
    knock_str_t                updated_at;      /* now, as JSON */
} knock_user_work_t;


static int knock_user_list(const knock_user_batch_t *in,
    const knock_json_t **first, size_t *n, knock_error_t *err);
static int knock_user_start(knock_user_work_t *work, size_t n);
static int knock_user_all(knock_user_work_t *work, const knock_json_t *v,
    size_t n, knock_error_t *err);
static int knock_user_read(knock_user_work_t *work, const knock_json_t *v,
    knock_upsert_t *upsert, knock_error_t *err);
static int knock_user_read_id(knock_user_work_t *work, const knock_json_t *v,
    knock_str_t *id, knock_error_t *err);
static int knock_user_event(knock_user_work_t *work,
    const knock_upsert_t *upsert, size_t index);
static int knock_user_finish(knock_user_work_t *work, size_t n,
    knock_received_t *received);


int
knock_user_add(knock_parts_t *parts, const knock_user_batch_t *in,
    knock_received_t *received, knock_error_t *err)
{
    size_t               n;
    knock_user_work_t    work;
    const knock_json_t  *first;

    memset(received, 0, sizeof(knock_received_t));
    memset(&work, 0, sizeof(knock_user_work_t));

    work.arena = parts->arena;
    work.parts = parts;
    work.in = in;

    first = NULL;
    n = 0;

    if (knock_user_list(in, &first, &n, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (knock_user_start(&work, n) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (knock_user_all(&work, first, n, err) != KNOCK_OK) {
        if (knock_buf_str(&work.errors, &received->errors) != KNOCK_OK) {
            return knock_error_memory(err);
        }

        return KNOCK_ERROR;
    }

    if (knock_user_finish(&work, n, received) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static int
knock_user_list(const knock_user_batch_t *in, const knock_json_t **first,
    size_t *n, knock_error_t *err)
{
    if (in->id.data) {
        *first = in->users;
        *n = 1;
        return KNOCK_OK;
    }

    if (in->users->type != KNOCK_JSON_ARRAY || in->users->count == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "expected a list of one or more users");
    }

    if (in->users->count > in->limits->max_batch) {
        return knock_error_set(err, KNOCK_E_BATCH_TOO_LARGE,
                               "the list holds %u users, the limit is %zu: "
                               "send smaller ones or raise knock_max_batch",
                               in->users->count, in->limits->max_batch);
    }

    *first = knock_json_first(in->users);
    *n = in->users->count;

    return KNOCK_OK;
}


static int
knock_user_start(knock_user_work_t *work, size_t n)
{
    knock_str_t  *time;

    knock_buf_init(&work->errors, work->arena, 0);

    work->indexes = knock_arena_alloc(work->arena, n * sizeof(size_t));

    time = &work->updated_at;

    time->len = KNOCK_TIME_LEN + 2;
    time->data = knock_arena_alloc(work->arena, time->len);

    if (work->indexes == NULL || time->data == NULL) {
        return KNOCK_ERROR;
    }

    time->data[0] = '"';
    knock_time_format(work->in->now, time->data + 1);
    time->data[time->len - 1] = '"';

    return KNOCK_OK;
}


/* an event for each user that is valid; none is an error, that of the first */

static int
knock_user_all(knock_user_work_t *work, const knock_json_t *v, size_t n,
    knock_error_t *err)
{
    size_t          i;
    knock_error_t   bad;
    knock_upsert_t  upsert;

    err->code = KNOCK_E_NONE;

    for (i = 0; i < n; i++, v = knock_json_next(v)) {

        if (knock_user_read(work, v, &upsert, &bad) != KNOCK_OK) {

            if (bad.code == KNOCK_E_INTERNAL || work->in->id.data) {
                *err = bad;
                return KNOCK_ERROR;
            }

            if (err->code == KNOCK_E_NONE) {
                *err = bad;
            }

            knock_answer_add_error(&work->errors, i, NULL, &bad);
            continue;
        }

        if (knock_user_event(work, &upsert, i) != KNOCK_OK) {
            return knock_error_memory(err);
        }
    }

    return work->nevents ? KNOCK_OK : KNOCK_ERROR;
}


static int
knock_user_read(knock_user_work_t *work, const knock_json_t *v,
    knock_upsert_t *upsert, knock_error_t *err)
{
    const knock_json_t  *collection;

    if (v->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_USER,
                               "a user must be an object of its properties");
    }

    knock_str_set(&upsert->collection, "$users");

    if (knock_user_read_id(work, v, &upsert->id, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    collection = knock_json_get(v, "collection");

    if (collection
        && collection->type != KNOCK_JSON_NULL
        && (collection->type != KNOCK_JSON_STRING
            || !knock_json_string_eq(collection, &upsert->collection)))
    {
        return knock_error_set(err, KNOCK_E_INVALID_USER,
                               "\"collection\" is not a property of a user: "
                               "leave it out");
    }

    if (knock_entity_properties(work->arena, v, upsert) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static int
knock_user_read_id(knock_user_work_t *work, const knock_json_t *v,
    knock_str_t *id, knock_error_t *err)
{
    int                  rc;
    const knock_json_t  *member;

    member = knock_json_get(v, "id");

    if (work->in->id.data == NULL) {
        rc = member ? knock_event_id(work->arena, member, id)
                    : KNOCK_DECLINED;

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(err, KNOCK_E_INVALID_USER,
                                   "a user needs an \"id\": a string or an "
                                   "integer of 1 to %d bytes without control "
                                   "characters", KNOCK_MAX_ID);
        }

        return rc == KNOCK_OK ? KNOCK_OK : knock_error_memory(err);
    }

    if (knock_user_id_check(work->arena, &work->in->id, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (member) {
        rc = knock_event_id(work->arena, member, id);

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED || !knock_str_eq(id, &work->in->id)) {
            return knock_error_set(err, KNOCK_E_INVALID_USER,
                                   "\"id\" is not the one in the path: leave "
                                   "it out");
        }
    }

    *id = work->in->id;

    return KNOCK_OK;
}


static int
knock_user_event(knock_user_work_t *work, const knock_upsert_t *upsert,
    size_t index)
{
    size_t               place, entity, n;
    knock_unit_t        *unit;
    knock_unit_event_t  *out;

    n = work->nevents++;
    work->indexes[n] = index;

    place = knock_parts_place(work->parts, &upsert->id);

    if (work->parts->parts[place].done) {
        return KNOCK_OK;
    }

    out = knock_parts_event(work->parts, place, n);
    entity = knock_parts_entity(work->parts, place, &upsert->collection,
                                &upsert->id);

    if (out == NULL || entity == 0) {
        return KNOCK_ERROR;
    }

    if (knock_parts_upsert(work->parts, place, entity, KNOCK_OP_EVENT, upsert,
                           &work->updated_at)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (work->in->id.data && work->in->guard_etag.len) {
        unit = &work->parts->parts[place].unit;
        unit->guard = entity;
        unit->guard_etag = work->in->guard_etag;
    }

    out->index = index;
    out->status = KNOCK_STATUS_PROCESSED;

    return KNOCK_OK;
}


static int
knock_user_finish(knock_user_work_t *work, size_t n,
    knock_received_t *received)
{
    if (knock_buf_str(&work->errors, &received->errors) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    received->nevents = work->nevents;
    received->indexes = work->nevents < n ? work->indexes : NULL;

    return knock_parts_add(work->parts);
}


int
knock_user_id_check(knock_arena_t *arena, const knock_str_t *id,
    knock_error_t *err)
{
    int            rc;
    knock_buf_t    buf;
    knock_str_t    text, decoded;
    knock_json_t  *v;

    /* as JSON it is held against the rules of all other ids, UTF-8 first */

    knock_buf_init(&buf, arena, id->len + 2);
    knock_buf_add_json(&buf, id);

    if (knock_buf_str(&buf, &text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    rc = knock_json_parse(arena, &text, 1, &v, err);

    if (rc != KNOCK_OK && err->code == KNOCK_E_INTERNAL) {
        return KNOCK_ERROR;
    }

    if (rc == KNOCK_OK) {
        rc = knock_event_id(arena, v, &decoded);

        if (rc == KNOCK_OK) {
            return KNOCK_OK;
        }

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }
    }

    return knock_error_set(err, KNOCK_E_INVALID_USER,
                           "an id has 1 to %d bytes of UTF-8 without control "
                           "characters", KNOCK_MAX_ID);
}

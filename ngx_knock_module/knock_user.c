
#include "knock_user.h"


static int knock_user_read(knock_arena_t *arena, const knock_user_batch_t *in,
    const knock_json_t *v, knock_upsert_t *upsert, knock_error_t *err);
static int knock_user_read_id(knock_arena_t *arena,
    const knock_user_batch_t *in, const knock_json_t *v, knock_str_t *id,
    knock_error_t *err);


int
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


int
knock_user_receive(knock_round_t *round, const knock_user_batch_t *in,
    knock_element_t *element, knock_task_t **out, knock_error_t *err)
{
    knock_str_t      key;
    knock_task_t    *task;
    knock_unit_t    *unit;
    knock_upsert_t   upsert;

    if (knock_user_read(round->arena, in, element->json, &upsert, err)
        != KNOCK_OK)
    {
        return err->code == KNOCK_E_INTERNAL ? KNOCK_ERROR : KNOCK_DECLINED;
    }

    task = knock_task_create(round, element);

    if (task == NULL
        || knock_task_unit(round, task, &upsert.id, &unit) != KNOCK_OK
        || knock_task_key(round, unit, &upsert.collection, &upsert.id, &key)
           != KNOCK_OK
        || knock_task_upsert(round, unit, &key, KNOCK_OP_EVENT, &upsert, NULL)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (in->id.data && in->guard_etag.len) {
        task->guard = key;
        task->guard_etag = in->guard_etag;
    }

    *out = task;

    return KNOCK_OK;
}


static int
knock_user_read(knock_arena_t *arena, const knock_user_batch_t *in,
    const knock_json_t *v, knock_upsert_t *upsert, knock_error_t *err)
{
    const knock_json_t  *collection;

    if (v->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_USER,
                               "a user must be an object of its properties");
    }

    knock_str_set(&upsert->collection, "$users");

    if (knock_user_read_id(arena, in, v, &upsert->id, err) != KNOCK_OK) {
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

    if (knock_entity_properties(arena, v, upsert) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static int
knock_user_read_id(knock_arena_t *arena, const knock_user_batch_t *in,
    const knock_json_t *v, knock_str_t *id, knock_error_t *err)
{
    int                  rc;
    const knock_json_t  *member;

    member = knock_json_get(v, "id");

    if (in->id.data == NULL) {
        rc = member ? knock_event_id(arena, member, id)
                    : KNOCK_DECLINED;

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(err, KNOCK_E_INVALID_USER,
                                   "a user needs an \"id\": a string or an "
                                   "integer of 1 to %d bytes without control "
                                   "characters", KNOCK_MAX_ID);
        }

        return rc == KNOCK_OK ? KNOCK_OK : knock_error_memory(err);
    }

    if (knock_user_id_check(arena, &in->id, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (member) {
        rc = knock_event_id(arena, member, id);

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED || !knock_str_eq(id, &in->id)) {
            return knock_error_set(err, KNOCK_E_INVALID_USER,
                                   "\"id\" is not the one in the path: leave "
                                   "it out");
        }
    }

    *id = in->id;

    return KNOCK_OK;
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

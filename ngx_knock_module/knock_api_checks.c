
/*
 * The checks of a field's value, as the tables of fields name them.
 */

#include "knock_api_internal.h"
#include "knock_action.h"
#include "knock_event.h"
#include "knock_time.h"


static int knock_api_decoded(knock_api_body_t *b, const knock_json_t *v,
    knock_str_t *str);
static int knock_api_id(knock_api_body_t *b, const knock_json_t *v);
static int knock_api_inline(knock_api_body_t *b, const char *name);


static const knock_api_field_t  knock_api_resource_fields[] = {

    { "type", knock_api_is_resource_type, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(resource_type),
      "\"workflow\" or \"action\"" },

    { "key", knock_api_is_key, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_STRING,
      KNOCK_API_TO(resource_key), KNOCK_API_EXPECTED_KEY },

    KNOCK_API_FIELD_END
};


int
knock_api_is_string(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    rc = knock_api_decoded(b, v, str);

    return (rc == KNOCK_OK && str->len > field->max) ? KNOCK_DECLINED : rc;
}


static int
knock_api_decoded(knock_api_body_t *b, const knock_json_t *v,
    knock_str_t *str)
{
    if (v->type != KNOCK_JSON_STRING) {
        return KNOCK_DECLINED;
    }

    return knock_json_string(b->arena, v, str) == KNOCK_OK
           ? KNOCK_OK : knock_error_memory(b->err);
}


int
knock_api_is_key(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    (void) field;

    rc = knock_api_decoded(b, v, str);

    return (rc == KNOCK_OK && !knock_key_valid(str)) ? KNOCK_DECLINED : rc;
}


int
knock_api_is_environment(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    (void) field;

    rc = knock_api_decoded(b, v, str);

    return (rc == KNOCK_OK && !knock_api_environment_valid(str))
           ? KNOCK_DECLINED : rc;
}


int
knock_api_is_key_of_path(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_STRING
           && knock_json_string_eq(v, &b->req->key) ? KNOCK_OK
                                                    : KNOCK_DECLINED;
}


int
knock_api_is_kind(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    static const knock_str_t  segment = knock_string("segment");

    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_STRING && knock_json_string_eq(v, &segment)
           ? KNOCK_OK : KNOCK_DECLINED;
}


int
knock_api_is_secret(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    if (v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    rc = knock_api_is_string(b, field, v, str);

    return (rc == KNOCK_OK && str->len == 0) ? KNOCK_DECLINED : rc;
}


int
knock_api_is_grace(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    size_t    i;
    uint64_t  n;

    (void) b;

    if (v->type != KNOCK_JSON_NUMBER) {
        return KNOCK_DECLINED;
    }

    *str = knock_json_text(v);

    for (n = 0, i = 0; i < str->len; i++) {

        if (str->data[i] < '0' || str->data[i] > '9') {
            return KNOCK_DECLINED;
        }

        n = n * 10 + (uint64_t) (str->data[i] - '0');

        if (n > field->max) {
            return KNOCK_DECLINED;
        }
    }

    return KNOCK_OK;
}


int
knock_api_is_end_of_grace(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int          rc;
    uint64_t     ms;
    knock_buf_t  buf;

    rc = knock_api_decoded(b, v, str);

    if (rc != KNOCK_OK) {
        return rc;
    }

    if (knock_time_parse(str, &ms) != KNOCK_OK
        || ms <= b->now || ms - b->now > (uint64_t) field->max * 1000)
    {
        return KNOCK_DECLINED;
    }

    knock_buf_init(&buf, b->arena, 32);
    knock_buf_add_uint(&buf, ms);

    return knock_buf_str(&buf, str) == KNOCK_OK ? KNOCK_OK
                                                : knock_error_memory(b->err);
}


int
knock_api_is_boolean(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_TRUE || v->type == KNOCK_JSON_FALSE
           ? KNOCK_OK : KNOCK_DECLINED;
}


int
knock_api_is_object(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_OBJECT ? KNOCK_OK : KNOCK_DECLINED;
}


int
knock_api_is_resource(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) field;
    (void) str;

    if (v->type != KNOCK_JSON_OBJECT) {
        return KNOCK_DECLINED;
    }

    return knock_api_fields(b, "resource.", knock_api_resource_fields, v);
}


int
knock_api_is_resource_type(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    (void) field;

    rc = knock_api_decoded(b, v, str);

    if (rc != KNOCK_OK) {
        return rc;
    }

    return knock_str_is(str, "workflow") || knock_str_is(str, "action")
           ? KNOCK_OK : KNOCK_DECLINED;
}


int
knock_api_is_existing(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) str;

    if (v->type == KNOCK_JSON_OBJECT) {
        return knock_api_inline(b, field->name);
    }

    return knock_api_id(b, v);
}


int
knock_api_is_recipients(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int                  rc;
    uint32_t             i;
    const knock_json_t  *element;

    (void) str;

    if (v->type != KNOCK_JSON_ARRAY || v->count == 0 || v->count > field->max)
    {
        return KNOCK_DECLINED;
    }

    element = knock_json_first(v);

    for (i = 0; i < v->count; i++, element = knock_json_next(element)) {

        if (element->type == KNOCK_JSON_OBJECT) {
            return knock_api_inline(b, field->name);
        }

        rc = knock_api_id(b, element);

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "\"recipients[%u]\": expected "
                                   KNOCK_API_EXPECTED_ID, (unsigned) i);
        }

        if (rc != KNOCK_OK) {
            return rc;
        }
    }

    return KNOCK_OK;
}


int
knock_api_is_users(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int                  rc;
    uint32_t             i;
    const knock_json_t  *user, *member;

    (void) str;

    if (v->type != KNOCK_JSON_ARRAY || v->count == 0 || v->count > field->max)
    {
        return KNOCK_DECLINED;
    }

    user = knock_json_first(v);

    for (i = 0; i < v->count; i++, user = knock_json_next(user)) {

        if (user->type != KNOCK_JSON_OBJECT) {
            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "\"users[%u]\": expected an object with "
                                   "an \"id\"", (unsigned) i);
        }

        member = knock_json_get(user, "id");
        rc = member ? knock_api_id(b, member) : KNOCK_DECLINED;

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "\"users[%u].id\"%s expected "
                                   KNOCK_API_EXPECTED_ID, (unsigned) i,
                                   member ? ":" : " is required:");
        }

        if (rc != KNOCK_OK) {
            return rc;
        }

        member = knock_json_get(user, "collection");

        if (member && member->type != KNOCK_JSON_NULL) {
            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "\"users[%u].collection\": a user has "
                                   "none, remove it", (unsigned) i);
        }
    }

    return KNOCK_OK;
}


static int
knock_api_id(knock_api_body_t *b, const knock_json_t *v)
{
    int          rc;
    knock_str_t  id;

    rc = knock_event_id(b->arena, v, &id);

    return rc == KNOCK_ERROR ? knock_error_memory(b->err) : rc;
}


static int
knock_api_inline(knock_api_body_t *b, const char *name)
{
    return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                           "\"%s\": the test runner takes existing ones by id "
                           "only and does not identify inline: identify it "
                           "first, then give its id", name);
}

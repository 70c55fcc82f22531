
/*
 * An object read by a table of its fields: what is required, unknown, null,
 * of a wrong type, and where in the request the value goes.
 */

#include "knock_api_internal.h"


static int knock_api_collect(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object,
    const knock_json_t **values);
static void knock_api_set(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, const knock_str_t *str);


int
knock_api_fields(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object)
{
    int                       rc;
    size_t                    i;
    knock_str_t               str;
    const knock_json_t       *v, *values[KNOCK_API_MAX_FIELDS] = { NULL };
    const knock_api_field_t  *field;

    if (knock_api_collect(b, prefix, fields, object, values) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    for (i = 0; fields[i].name; i++) {
        field = &fields[i];
        v = values[i];

        if (v == NULL) {
            if (field->flags & KNOCK_API_REQUIRED) {
                return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                       "\"%s%s\" is required: expected %s",
                                       prefix, field->name, field->expected);
            }

            continue;
        }

        str.len = 0;
        str.data = NULL;

        rc = field->check(b, field, v, &str);

        if (rc == KNOCK_DECLINED) {
            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "\"%s%s\": expected %s", prefix,
                                   field->name, field->expected);
        }

        if (rc != KNOCK_OK) {
            return KNOCK_ERROR;
        }

        knock_api_set(b, field, v, &str);
    }

    return KNOCK_OK;
}


/* the value of each field, the last one of a duplicated */

static int
knock_api_collect(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object,
    const knock_json_t **values)
{
    int                  len;
    size_t               i, n;
    knock_str_t          name;
    const knock_json_t  *key, *v;

    key = knock_json_first(object);

    for (n = object->count; n; n--) {

        v = knock_json_next(key);

        for (i = 0; fields[i].name; i++) {
            name.len = strlen(fields[i].name);
            name.data = (unsigned char *) fields[i].name;

            if (knock_json_string_eq(key, &name)) {
                break;
            }
        }

        if (fields[i].name == NULL) {
            len = (key->len < KNOCK_ERROR_MESSAGE) ? (int) key->len
                                                   : KNOCK_ERROR_MESSAGE;

            return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                                   "there is no such field, remove it: "
                                   "%s%.*s", prefix, len, (char *) key->data);
        }

        values[i] = (v->type == KNOCK_JSON_NULL
                     && (fields[i].flags & KNOCK_API_NULLABLE) == 0)
                    ? NULL : v;

        key = knock_json_next(v);
    }

    return KNOCK_OK;
}


static void
knock_api_set(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, const knock_str_t *str)
{
    void  *to;

    to = (char *) b->req + field->offset;

    switch (field->set) {

    case KNOCK_API_SET_STRING:
        *(knock_str_t *) to = *str;
        break;

    case KNOCK_API_SET_TEXT:
        *(knock_str_t *) to = knock_json_text(v);
        break;

    case KNOCK_API_SET_VALUE:
        *(const knock_json_t **) to = v;
        break;

    case KNOCK_API_SET_TRUTH:
        *(int *) to = (v->type == KNOCK_JSON_TRUE);
        break;

    case KNOCK_API_SET_NOTHING:
        break;
    }
}

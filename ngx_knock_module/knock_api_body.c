
#include "knock_api.h"
#include "knock_action.h"
#include "knock_event.h"
#include "knock_time.h"


#define KNOCK_API_STR_(x)     #x
#define KNOCK_API_STR(x)      KNOCK_API_STR_(x)

#define KNOCK_API_MAX_FIELDS  8     /* of one object */

#define KNOCK_API_REQUIRED    1
#define KNOCK_API_NULLABLE    2     /* null is a value, not an absence */


typedef struct knock_api_body_s   knock_api_body_t;
typedef struct knock_api_field_s  knock_api_field_t;


/*
 * Of one value.  KNOCK_OK, with *str the decoded string of a string;
 * KNOCK_DECLINED: not what is expected; KNOCK_ERROR with the error filled.
 */

typedef int knock_api_check_t(knock_api_body_t *b,
    const knock_api_field_t *field, const knock_json_t *v, knock_str_t *str);

/* what is left to do when the fields are right */

typedef int knock_api_read_t(knock_api_body_t *b);


/* a body under examination */

struct knock_api_body_s {
    knock_arena_t        *arena;
    uint64_t              now;
    knock_api_request_t  *req;
    knock_error_t        *err;
    const knock_json_t   *root;
};


/* where in the request a value goes: its string, text, token or truth */

typedef enum {
    KNOCK_API_SET_NOTHING = 0,
    KNOCK_API_SET_STRING,
    KNOCK_API_SET_TEXT,
    KNOCK_API_SET_VALUE,
    KNOCK_API_SET_TRUTH
} knock_api_set_e;


struct knock_api_field_s {
    const char           *name;
    knock_api_check_t    *check;
    size_t                max;      /* bytes of a string, elements */
    unsigned              flags;
    knock_api_set_e       set;
    size_t                offset;   /* in the request */
    const char           *expected; /* what stands after "expected" */
};


typedef struct {
    const knock_api_field_t  *fields;
    knock_api_read_t         *read;
    unsigned                  put:1;    /* no body is no document */
    unsigned                  open:1;   /* the fields are checked by read() */
} knock_api_form_t;


static int knock_api_fields(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object);
static int knock_api_collect(knock_api_body_t *b, const char *prefix,
    const knock_api_field_t *fields, const knock_json_t *object,
    const knock_json_t **values);
static void knock_api_set(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, const knock_str_t *str);
static int knock_api_decoded(knock_api_body_t *b, const knock_json_t *v,
    knock_str_t *str);

static knock_api_check_t  knock_api_string;
static knock_api_check_t  knock_api_key;
static knock_api_check_t  knock_api_key_of_path;
static knock_api_check_t  knock_api_environment;
static knock_api_check_t  knock_api_kind;
static knock_api_check_t  knock_api_secret;
static knock_api_check_t  knock_api_boolean;
static knock_api_check_t  knock_api_object;
static knock_api_check_t  knock_api_resource;
static knock_api_check_t  knock_api_resource_type;
static knock_api_check_t  knock_api_existing;
static knock_api_check_t  knock_api_recipients;
static knock_api_check_t  knock_api_users;
static int knock_api_id(knock_api_body_t *b, const knock_json_t *v);

static knock_api_read_t  knock_api_read_named;
static knock_api_read_t  knock_api_read_workflow;
static knock_api_read_t  knock_api_read_endpoint;
static knock_api_read_t  knock_api_read_action;
static knock_api_read_t  knock_api_read_preview;
static knock_api_read_t  knock_api_read_commit;
static knock_api_read_t  knock_api_read_user;
static void knock_api_default_name(knock_api_body_t *b, knock_buf_t *buf,
    const knock_str_t *key);
static int knock_api_inline(knock_api_body_t *b, const char *name);


#define KNOCK_API_TO(member)  offsetof(knock_api_request_t, member)

#define KNOCK_API_EXPECTED_KEY                                               \
    "1 to " KNOCK_API_STR(KNOCK_MAX_KEY) " of the characters A-Z, a-z, "     \
    "0-9, \"_\" and \"-\""

#define KNOCK_API_EXPECTED_ENVIRONMENT                                       \
    "an environment's key: 1 to " KNOCK_API_STR(KNOCK_MAX_KEY) " of the "    \
    "characters a-z, 0-9, \"_\" and \"-\""

#define KNOCK_API_EXPECTED_STRING(max)                                       \
    "a string of at most " KNOCK_API_STR(max) " bytes"

#define KNOCK_API_EXPECTED_ID                                                \
    "an id: a string of 1 to " KNOCK_API_STR(KNOCK_MAX_ID) " bytes without " \
    "control characters, or an integer"


#define KNOCK_API_FIELD_NAME                                                 \
    { "name", knock_api_string, KNOCK_API_MAX_NAME, 0, KNOCK_API_SET_TEXT,   \
      KNOCK_API_TO(name), KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_NAME) }

#define KNOCK_API_FIELD_MESSAGE                                              \
    { "message", knock_api_string, KNOCK_API_MAX_MESSAGE, 0,                 \
      KNOCK_API_SET_TEXT, KNOCK_API_TO(message),                             \
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_MESSAGE) }

#define KNOCK_API_FIELD_AUTHOR                                               \
    { "author", knock_api_string, KNOCK_API_MAX_AUTHOR, 0,                   \
      KNOCK_API_SET_TEXT, KNOCK_API_TO(author),                              \
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_AUTHOR) }

#define KNOCK_API_FIELD_RESOURCE                                             \
    { "resource", knock_api_resource, 0, 0, KNOCK_API_SET_NOTHING, 0,        \
      "{\"type\": \"workflow\" or \"action\", \"key\": ...}" }

#define KNOCK_API_FIELD_SWITCH(name)                                         \
    { name, knock_api_boolean, 0, 0, KNOCK_API_SET_NOTHING, 0,               \
      "true or false" }

#define KNOCK_API_FIELD_EXISTING(name)                                       \
    { #name, knock_api_existing, 0, 0, KNOCK_API_SET_VALUE,                  \
      KNOCK_API_TO(name), KNOCK_API_EXPECTED_ID }

#define KNOCK_API_FIELD_END                                                  \
    { NULL, NULL, 0, 0, KNOCK_API_SET_NOTHING, 0, NULL }


static const knock_api_field_t  knock_api_no_fields[] = {
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_environment_fields[] = {

    { "key", knock_api_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(new_key),
      KNOCK_API_EXPECTED_ENVIRONMENT },

    KNOCK_API_FIELD_NAME,

    { "after", knock_api_environment, 0, 0, KNOCK_API_SET_STRING,
      KNOCK_API_TO(after), KNOCK_API_EXPECTED_ENVIRONMENT },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_source_fields[] = {

    { "key", knock_api_key, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_STRING,
      KNOCK_API_TO(new_key), KNOCK_API_EXPECTED_KEY },

    { "kind", knock_api_kind, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "\"segment\"" },

    KNOCK_API_FIELD_NAME,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_source_patch_fields[] = {

    { "name", knock_api_string, KNOCK_API_MAX_NAME, KNOCK_API_REQUIRED,
      KNOCK_API_SET_TEXT, KNOCK_API_TO(name),
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_NAME) },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_endpoint_fields[] = {

    KNOCK_API_FIELD_SWITCH("enabled"),
    KNOCK_API_FIELD_SWITCH("identify_enabled"),
    KNOCK_API_FIELD_SWITCH("idempotency_enabled"),

    { "signing_secret", knock_api_secret, KNOCK_API_MAX_SECRET,
      KNOCK_API_NULLABLE, KNOCK_API_SET_NOTHING, 0,
      "a string of 1 to " KNOCK_API_STR(KNOCK_API_MAX_SECRET) " bytes, or "
      "null to remove it" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_workflow_fields[] = {

    { "key", knock_api_key_of_path, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "the key of the path, or leave it out" },

    KNOCK_API_FIELD_NAME,

    { "definition", knock_api_object, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_preview_fields[] = {

    { "event", knock_api_object, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_VALUE,
      KNOCK_API_TO(event), "an event, as an object" },

    { "environment", knock_api_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(preview_environment),
      KNOCK_API_EXPECTED_ENVIRONMENT },

    { "action", knock_api_object, 0, 0, KNOCK_API_SET_VALUE,
      KNOCK_API_TO(action), "an action that is not saved, as an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_active_fields[] = {

    { "active", knock_api_boolean, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_TRUTH,
      KNOCK_API_TO(active), "true or false" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_test_fields[] = {

    { "recipients", knock_api_recipients, KNOCK_API_MAX_ELEMENTS,
      KNOCK_API_REQUIRED, KNOCK_API_SET_VALUE, KNOCK_API_TO(recipients),
      "an array of 1 to " KNOCK_API_STR(KNOCK_API_MAX_ELEMENTS) " ids of "
      "users" },

    KNOCK_API_FIELD_EXISTING(actor),
    KNOCK_API_FIELD_EXISTING(tenant),

    { "data", knock_api_object, 0, 0, KNOCK_API_SET_VALUE, KNOCK_API_TO(data),
      "an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_commit_fields[] = {
    KNOCK_API_FIELD_MESSAGE,
    KNOCK_API_FIELD_AUTHOR,
    KNOCK_API_FIELD_RESOURCE,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_publish_fields[] = {

    { "to", knock_api_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(to),
      KNOCK_API_EXPECTED_ENVIRONMENT },

    KNOCK_API_FIELD_MESSAGE,
    KNOCK_API_FIELD_AUTHOR,
    KNOCK_API_FIELD_RESOURCE,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_revert_fields[] = {
    KNOCK_API_FIELD_MESSAGE,
    KNOCK_API_FIELD_AUTHOR,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_resource_fields[] = {

    { "type", knock_api_resource_type, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(resource_type),
      "\"workflow\" or \"action\"" },

    { "key", knock_api_key, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_STRING,
      KNOCK_API_TO(resource_key), KNOCK_API_EXPECTED_KEY },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_bulk_fields[] = {

    { "users", knock_api_users, KNOCK_API_MAX_ELEMENTS, KNOCK_API_REQUIRED,
      KNOCK_API_SET_VALUE, KNOCK_API_TO(users),
      "an array of 1 to " KNOCK_API_STR(KNOCK_API_MAX_ELEMENTS) " users, "
      "objects with an \"id\"" },

    KNOCK_API_FIELD_END
};


/* a call that is not in it takes no fields */

static const knock_api_form_t  knock_api_forms[KNOCK_API_OP_COUNT] = {

    [KNOCK_API_ENVIRONMENT_CREATE] = { knock_api_environment_fields,
                                       knock_api_read_named, 0, 0 },

    [KNOCK_API_SOURCE_CREATE] = { knock_api_source_fields,
                                  knock_api_read_named, 0, 0 },

    [KNOCK_API_SOURCE_PATCH] = { knock_api_source_patch_fields, NULL, 0, 0 },

    [KNOCK_API_ENDPOINT_PATCH] = { knock_api_endpoint_fields,
                                   knock_api_read_endpoint, 0, 0 },

    [KNOCK_API_WORKFLOW_PUT] = { knock_api_workflow_fields,
                                 knock_api_read_workflow, 1, 0 },

    [KNOCK_API_ACTION_PUT] = { NULL, knock_api_read_action, 1, 1 },

    [KNOCK_API_ACTION_PREVIEW] = { knock_api_preview_fields,
                                   knock_api_read_preview, 0, 0 },

    [KNOCK_API_ENV_WORKFLOW_PATCH] = { knock_api_active_fields, NULL, 0, 0 },

    [KNOCK_API_ENV_ACTION_PATCH] = { knock_api_active_fields, NULL, 0, 0 },

    [KNOCK_API_WORKFLOW_TEST] = { knock_api_test_fields, NULL, 0, 0 },

    [KNOCK_API_COMMIT_CREATE] = { knock_api_commit_fields,
                                  knock_api_read_commit, 0, 0 },

    [KNOCK_API_COMMIT_PUBLISH] = { knock_api_publish_fields,
                                   knock_api_read_commit, 0, 0 },

    [KNOCK_API_COMMIT_REVERT] = { knock_api_revert_fields,
                                  knock_api_read_commit, 0, 0 },

    [KNOCK_API_USER_PUT] = { NULL, knock_api_read_user, 1, 1 },

    [KNOCK_API_USER_BULK] = { knock_api_bulk_fields, NULL, 0, 0 }
};


int
knock_api_body(knock_arena_t *arena, const knock_str_t *body, uint64_t now,
    knock_api_request_t *req, knock_error_t *err)
{
    knock_json_t            *root;
    knock_api_body_t         b;
    const knock_str_t       *text;
    const knock_api_form_t  *form;

    static const knock_str_t  empty = knock_string("{}");

    form = &knock_api_forms[req->op];
    text = (body->len == 0 && !form->put) ? &empty : body;

    if (knock_json_parse(arena, text, KNOCK_API_MAX_DEPTH, &root, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (root->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "the body must be a JSON object");
    }

    b.arena = arena;
    b.now = now;
    b.req = req;
    b.err = err;
    b.root = root;

    if (!form->open
        && knock_api_fields(&b, "", form->fields ? form->fields
                                                 : knock_api_no_fields, root)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return form->read ? form->read(&b) : KNOCK_OK;
}


/* checks an object's members and puts into the request what goes there */

static int
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


/* the checks */

static int
knock_api_string(knock_api_body_t *b, const knock_api_field_t *field,
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


static int
knock_api_key(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    (void) field;

    rc = knock_api_decoded(b, v, str);

    return (rc == KNOCK_OK && !knock_key_valid(str)) ? KNOCK_DECLINED : rc;
}


static int
knock_api_environment(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    (void) field;

    rc = knock_api_decoded(b, v, str);

    return (rc == KNOCK_OK && !knock_api_environment_valid(str))
           ? KNOCK_DECLINED : rc;
}


static int
knock_api_key_of_path(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_STRING
           && knock_json_string_eq(v, &b->req->key) ? KNOCK_OK
                                                    : KNOCK_DECLINED;
}


static int
knock_api_kind(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    static const knock_str_t  segment = knock_string("segment");

    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_STRING && knock_json_string_eq(v, &segment)
           ? KNOCK_OK : KNOCK_DECLINED;
}


static int
knock_api_secret(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    int  rc;

    if (v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    rc = knock_api_string(b, field, v, str);

    return (rc == KNOCK_OK && str->len == 0) ? KNOCK_DECLINED : rc;
}


static int
knock_api_boolean(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_TRUE || v->type == KNOCK_JSON_FALSE
           ? KNOCK_OK : KNOCK_DECLINED;
}


static int
knock_api_object(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) b;
    (void) field;
    (void) str;

    return v->type == KNOCK_JSON_OBJECT ? KNOCK_OK : KNOCK_DECLINED;
}


static int
knock_api_resource(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) field;
    (void) str;

    if (v->type != KNOCK_JSON_OBJECT) {
        return KNOCK_DECLINED;
    }

    return knock_api_fields(b, "resource.", knock_api_resource_fields, v);
}


static int
knock_api_resource_type(knock_api_body_t *b, const knock_api_field_t *field,
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


static int
knock_api_existing(knock_api_body_t *b, const knock_api_field_t *field,
    const knock_json_t *v, knock_str_t *str)
{
    (void) str;

    if (v->type == KNOCK_JSON_OBJECT) {
        return knock_api_inline(b, field->name);
    }

    return knock_api_id(b, v);
}


static int
knock_api_recipients(knock_api_body_t *b, const knock_api_field_t *field,
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


static int
knock_api_users(knock_api_body_t *b, const knock_api_field_t *field,
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


static int
knock_api_read_named(knock_api_body_t *b)
{
    knock_buf_t           buf;
    unsigned char         time[KNOCK_TIME_LEN];
    knock_api_request_t  *req;

    req = b->req;

    knock_time_format(b->now, time);

    knock_buf_init(&buf, b->arena, 256);

    knock_buf_add_lit(&buf, "{\"key\":");
    knock_buf_add_json(&buf, &req->new_key);

    if (req->op == KNOCK_API_SOURCE_CREATE) {
        knock_buf_add_lit(&buf, ",\"kind\":\"segment\"");
    }

    knock_buf_add_lit(&buf, ",\"name\":");
    knock_api_default_name(b, &buf, &req->new_key);
    knock_buf_add_lit(&buf, ",\"created_at\":\"");
    knock_buf_add(&buf, time, KNOCK_TIME_LEN);
    knock_buf_add_lit(&buf, "\"}");

    if (knock_buf_str(&buf, &req->text) != KNOCK_OK) {
        return knock_error_memory(b->err);
    }

    return KNOCK_OK;
}


static int
knock_api_read_workflow(knock_api_body_t *b)
{
    knock_buf_t           buf;
    knock_str_t           text;
    const knock_json_t   *definition;
    knock_api_request_t  *req;

    req = b->req;

    knock_str_set(&text, "{}");

    definition = knock_json_get(b->root, "definition");

    if (definition && definition->type != KNOCK_JSON_NULL) {
        text = knock_json_text(definition);
    }

    knock_buf_init(&buf, b->arena, text.len + 256);

    knock_buf_add_lit(&buf, "{\"key\":");
    knock_buf_add_json(&buf, &req->key);
    knock_buf_add_lit(&buf, ",\"name\":");
    knock_api_default_name(b, &buf, &req->key);
    knock_buf_add_lit(&buf, ",\"definition\":");
    knock_buf_add_str(&buf, &text);
    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &req->text) != KNOCK_OK) {
        return knock_error_memory(b->err);
    }

    if (req->text.len > KNOCK_API_MAX_DOCUMENT) {
        return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                               "the workflow takes %zu bytes of the %zu that "
                               "one may have: make \"definition\" shorter",
                               req->text.len,
                               (size_t) KNOCK_API_MAX_DOCUMENT);
    }

    return KNOCK_OK;
}


static void
knock_api_default_name(knock_api_body_t *b, knock_buf_t *buf,
    const knock_str_t *key)
{
    if (b->req->name.len != 0) {
        knock_buf_add_str(buf, &b->req->name);

    } else {
        knock_buf_add_json(buf, key);
    }
}


static int
knock_api_read_endpoint(knock_api_body_t *b)
{
    size_t                    i, n;
    knock_str_t               name, *fields;
    const knock_json_t       *v;
    const knock_api_field_t  *field;

    n = sizeof(knock_api_endpoint_fields) / sizeof(knock_api_field_t) - 1;

    fields = knock_arena_calloc(b->arena, n * 2, sizeof(knock_str_t));
    if (fields == NULL) {
        return knock_error_memory(b->err);
    }

    b->req->fields = fields;

    for (i = 0; i < n; i++) {
        field = &knock_api_endpoint_fields[i];

        name.len = strlen(field->name);
        name.data = (unsigned char *) field->name;

        v = knock_json_member(b->root, &name);

        if (v == NULL
            || (v->type == KNOCK_JSON_NULL
                && (field->flags & KNOCK_API_NULLABLE) == 0))
        {
            continue;
        }

        *fields++ = name;

        if (v->type == KNOCK_JSON_TRUE) {
            knock_str_set(fields, "1");

        } else if (v->type == KNOCK_JSON_FALSE) {
            knock_str_set(fields, "0");

        } else if (v->type == KNOCK_JSON_STRING
                   && knock_json_string(b->arena, v, fields) != KNOCK_OK)
        {
            return knock_error_memory(b->err);
        }

        fields++;
    }

    b->req->nfields = (size_t) (fields - b->req->fields);

    if (b->req->nfields == 0) {
        return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                               "there is nothing to change: give at least one "
                               "of \"enabled\", \"identify_enabled\", "
                               "\"idempotency_enabled\" and "
                               "\"signing_secret\"");
    }

    return KNOCK_OK;
}


static int
knock_api_read_action(knock_api_body_t *b)
{
    knock_api_action_t  action;

    if (knock_api_action(b->arena, b->root, &b->req->key, &action, b->err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    b->req->text = action.text;
    b->req->action_source = action.source;

    return KNOCK_OK;
}


static int
knock_api_read_preview(knock_api_body_t *b)
{
    knock_api_action_t  action;

    if (b->req->action == NULL) {
        return KNOCK_OK;
    }

    if (knock_api_action(b->arena, b->req->action, &b->req->key, &action,
                         b->err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    b->req->action = action.root;
    b->req->action_source = action.source;

    return KNOCK_OK;
}


static int
knock_api_read_commit(knock_api_body_t *b)
{
    if (b->req->message.len == 0) {
        knock_str_set(&b->req->message, "null");
    }

    if (b->req->author.len == 0) {
        knock_str_set(&b->req->author, "null");
    }

    return KNOCK_OK;
}


static int
knock_api_read_user(knock_api_body_t *b)
{
    return knock_api_user(b->arena, b->root, &b->req->key, &b->req->user,
                          b->err);
}

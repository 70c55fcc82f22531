
/*
 * The bodies of the control API: the fields that each call takes, and what is
 * made of them.
 */

#include "knock_api_internal.h"
#include "knock_time.h"


/* what is left to do when the fields are right */

typedef int knock_api_read_t(knock_api_body_t *b);


typedef struct {
    const knock_api_field_t  *fields;
    knock_api_read_t         *read;
    unsigned                  put:1;    /* no body is no document */
    unsigned                  open:1;   /* the fields are checked by read() */
} knock_api_form_t;


static knock_api_read_t  knock_api_read_named;
static knock_api_read_t  knock_api_read_workflow;
static knock_api_read_t  knock_api_read_endpoint;
static knock_api_read_t  knock_api_read_action;
static knock_api_read_t  knock_api_read_preview;
static knock_api_read_t  knock_api_read_commit;
static knock_api_read_t  knock_api_read_user;
static int knock_api_graces(knock_api_body_t *b);
static void knock_api_default_name(knock_api_body_t *b, knock_buf_t *buf,
    const knock_str_t *key);


#define KNOCK_API_EXPECTED_ENV_KEY                                           \
    "an environment's key: " KNOCK_API_EXPECTED_ENVIRONMENT

#define KNOCK_API_EXPECTED_STRING(max)                                       \
    "a string of at most " KNOCK_API_STR(max) " bytes"


#define KNOCK_API_FIELD_NAME                                                 \
    { "name", knock_api_is_string, KNOCK_API_MAX_NAME, 0,                    \
      KNOCK_API_SET_TEXT, KNOCK_API_TO(name),                                \
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_NAME) }

#define KNOCK_API_FIELD_MESSAGE                                              \
    { "message", knock_api_is_string, KNOCK_API_MAX_MESSAGE, 0,              \
      KNOCK_API_SET_TEXT, KNOCK_API_TO(message),                             \
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_MESSAGE) }

#define KNOCK_API_FIELD_AUTHOR                                               \
    { "author", knock_api_is_string, KNOCK_API_MAX_AUTHOR, 0,                \
      KNOCK_API_SET_TEXT, KNOCK_API_TO(author),                              \
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_AUTHOR) }

#define KNOCK_API_FIELD_RESOURCE                                             \
    { "resource", knock_api_is_resource, 0, 0, KNOCK_API_SET_NOTHING, 0,     \
      "{\"type\": \"workflow\" or \"action\", \"key\": ...}" }

#define KNOCK_API_FIELD_SWITCH(name)                                         \
    { name, knock_api_is_boolean, 0, 0, KNOCK_API_SET_NOTHING, 0,            \
      "true or false" }

#define KNOCK_API_FIELD_GRACE                                                \
    { "grace_seconds", knock_api_is_grace, KNOCK_API_MAX_GRACE, 0,           \
      KNOCK_API_SET_STRING, KNOCK_API_TO(grace),                             \
      "a whole number of seconds from 0 to "                                 \
      KNOCK_API_STR(KNOCK_API_MAX_GRACE) " (30 days)" }

#define KNOCK_API_FIELD_SECRET(name)                                         \
    { name, knock_api_is_secret, KNOCK_API_MAX_SECRET,                       \
      KNOCK_API_NULLABLE, KNOCK_API_SET_NOTHING, 0,                          \
      "a string of 1 to " KNOCK_API_STR(KNOCK_API_MAX_SECRET) " bytes, or "  \
      "null to remove it" }

#define KNOCK_API_FIELD_EXISTING(name)                                       \
    { #name, knock_api_is_existing, 0, 0, KNOCK_API_SET_VALUE,               \
      KNOCK_API_TO(name), KNOCK_API_EXPECTED_ID }


static const knock_api_field_t  knock_api_no_fields[] = {
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_environment_fields[] = {

    { "key", knock_api_is_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(new_key),
      KNOCK_API_EXPECTED_ENV_KEY },

    KNOCK_API_FIELD_NAME,

    { "after", knock_api_is_environment, 0, 0, KNOCK_API_SET_STRING,
      KNOCK_API_TO(after), KNOCK_API_EXPECTED_ENV_KEY },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_source_fields[] = {

    { "key", knock_api_is_key, 0, KNOCK_API_REQUIRED, KNOCK_API_SET_STRING,
      KNOCK_API_TO(new_key), KNOCK_API_EXPECTED_KEY },

    { "kind", knock_api_is_kind, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "\"segment\"" },

    KNOCK_API_FIELD_NAME,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_source_patch_fields[] = {

    { "name", knock_api_is_string, KNOCK_API_MAX_NAME, KNOCK_API_REQUIRED,
      KNOCK_API_SET_TEXT, KNOCK_API_TO(name),
      KNOCK_API_EXPECTED_STRING(KNOCK_API_MAX_NAME) },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_endpoint_fields[] = {

    KNOCK_API_FIELD_SWITCH("enabled"),
    KNOCK_API_FIELD_SWITCH("identify_enabled"),
    KNOCK_API_FIELD_SWITCH("idempotency_enabled"),

    KNOCK_API_FIELD_SECRET("signing_secret"),
    KNOCK_API_FIELD_SECRET("previous_signing_secret"),
    KNOCK_API_FIELD_GRACE,

    { "previous_signing_secret_valid_until", knock_api_is_end_of_grace,
      KNOCK_API_MAX_GRACE, 0, KNOCK_API_SET_STRING, KNOCK_API_TO(valid_until),
      "an RFC 3339 time that is to come, in at most "
      KNOCK_API_STR(KNOCK_API_MAX_GRACE) " seconds (30 days)" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_rotate_fields[] = {
    KNOCK_API_FIELD_GRACE,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_workflow_fields[] = {

    { "key", knock_api_is_key_of_path, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "the key of the path, or leave it out" },

    KNOCK_API_FIELD_NAME,

    { "definition", knock_api_is_object, 0, 0, KNOCK_API_SET_NOTHING, 0,
      "an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_preview_fields[] = {

    { "event", knock_api_is_object, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_VALUE, KNOCK_API_TO(event), "an event, as an object" },

    { "environment", knock_api_is_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(preview_environment),
      KNOCK_API_EXPECTED_ENV_KEY },

    { "action", knock_api_is_object, 0, 0, KNOCK_API_SET_VALUE,
      KNOCK_API_TO(action), "an action that is not saved, as an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_active_fields[] = {

    { "active", knock_api_is_boolean, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_TRUTH, KNOCK_API_TO(active), "true or false" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_test_fields[] = {

    { "recipients", knock_api_is_recipients, KNOCK_API_MAX_ELEMENTS,
      KNOCK_API_REQUIRED, KNOCK_API_SET_VALUE, KNOCK_API_TO(recipients),
      "an array of 1 to " KNOCK_API_STR(KNOCK_API_MAX_ELEMENTS) " ids of "
      "users" },

    KNOCK_API_FIELD_EXISTING(actor),
    KNOCK_API_FIELD_EXISTING(tenant),

    { "data", knock_api_is_object, 0, 0, KNOCK_API_SET_VALUE,
      KNOCK_API_TO(data), "an object" },

    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_commit_fields[] = {
    KNOCK_API_FIELD_MESSAGE,
    KNOCK_API_FIELD_AUTHOR,
    KNOCK_API_FIELD_RESOURCE,
    KNOCK_API_FIELD_END
};


static const knock_api_field_t  knock_api_publish_fields[] = {

    { "to", knock_api_is_environment, 0, KNOCK_API_REQUIRED,
      KNOCK_API_SET_STRING, KNOCK_API_TO(to),
      KNOCK_API_EXPECTED_ENV_KEY },

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


static const knock_api_field_t  knock_api_bulk_fields[] = {

    { "users", knock_api_is_users, KNOCK_API_MAX_ELEMENTS, KNOCK_API_REQUIRED,
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

    [KNOCK_API_ENDPOINT_ROTATE] = { knock_api_rotate_fields, NULL, 0, 0 },

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

        if (field->set == KNOCK_API_SET_STRING) {
            *fields = *(knock_str_t *) ((char *) b->req + field->offset);

        } else if (v->type == KNOCK_JSON_TRUE) {
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
                               "\"idempotency_enabled\", "
                               "\"signing_secret\" and "
                               "\"previous_signing_secret\"");
    }

    return knock_api_graces(b);
}


/* a secret that is kept is the one that is replaced, or one that is given */

static int
knock_api_graces(knock_api_body_t *b)
{
    const knock_json_t  *secret, *previous;

    secret = knock_json_get(b->root, "signing_secret");
    previous = knock_json_get(b->root, "previous_signing_secret");

    if (b->req->grace.len
        && (secret == NULL || secret->type != KNOCK_JSON_STRING || previous))
    {
        return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                               "\"grace_seconds\": it keeps the secret that "
                               "a new \"signing_secret\" replaces: give it "
                               "with that, and without "
                               "\"previous_signing_secret\"");
    }

    if ((previous && previous->type == KNOCK_JSON_STRING)
        != (b->req->valid_until.len != 0))
    {
        return knock_error_set(b->err, KNOCK_E_INVALID_BODY,
                               "\"previous_signing_secret\" and "
                               "\"previous_signing_secret_valid_until\": "
                               "give both of them");
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

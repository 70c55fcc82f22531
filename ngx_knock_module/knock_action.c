
#include <stdio.h>

#include "knock_action.h"
#include "knock_event.h"
#include "knock_limits.h"


#define KNOCK_ACTION_STR_(x)  #x
#define KNOCK_ACTION_STR(x)   KNOCK_ACTION_STR_(x)


enum {
    KNOCK_ACTION_F_KEY = 0,
    KNOCK_ACTION_F_SOURCE,
    KNOCK_ACTION_F_EVENT,
    KNOCK_ACTION_F_TYPE,
    KNOCK_ACTION_F_WORKFLOW,
    KNOCK_ACTION_F_RECIPIENTS,
    KNOCK_ACTION_F_ACTOR,
    KNOCK_ACTION_F_TENANT,
    KNOCK_ACTION_F_CANCELLATION_KEY,
    KNOCK_ACTION_F_COUNT
};


#define KNOCK_ACTION_EXPECTED_KEY                                            \
    "1 to " KNOCK_ACTION_STR(KNOCK_MAX_KEY) " of the characters A-Z, a-z, "  \
    "0-9, \"_\" and \"-\""

#define KNOCK_ACTION_EXPECTED_PARAM                                          \
    "a path (a string) or {\"literal\": value}"


typedef struct {
    const char  *name;
    const char  *expected;      /* what stands after "expected" */
} knock_action_field_t;


static int knock_action_fields(const knock_json_t *doc,
    const knock_json_t **values, knock_error_t *err);
static int knock_action_string(knock_arena_t *arena,
    const knock_json_t **values, size_t field, knock_str_t *str,
    knock_error_t *err);
static int knock_action_key(knock_arena_t *arena, const knock_json_t **values,
    size_t field, knock_str_t *key, knock_error_t *err);
static int knock_action_recipients(knock_arena_t *arena,
    const knock_json_t **values, knock_action_t *action, knock_error_t *err);
static int knock_action_single(knock_arena_t *arena,
    const knock_json_t **values, size_t field, knock_param_t **param,
    knock_error_t *err);
static int knock_action_param(knock_arena_t *arena, const char *name,
    const knock_json_t *v, knock_param_t *param, knock_error_t *err);
static int knock_action_literal(const char *name, const knock_json_t *object,
    const knock_json_t **literal, knock_error_t *err);
static int knock_action_unexpected(size_t field, const knock_json_t *v,
    knock_error_t *err);
static int knock_action_precision(const knock_json_t *key);


static const knock_action_field_t  knock_action_table[] = {
    { "key", KNOCK_ACTION_EXPECTED_KEY },
    { "source", KNOCK_ACTION_EXPECTED_KEY },
    { "event", "\"track/<event name>\" (a name of 1 to "
               KNOCK_ACTION_STR(KNOCK_MAX_EVENT_NAME) " bytes), \"identify\", "
               "\"page\", \"screen\", \"group\" or \"alias\"" },
    { "type", "\"workflows_trigger\"" },
    { "workflow", KNOCK_ACTION_EXPECTED_KEY },
    { "recipients", "a path (a string), {\"literal\": value} or a non-empty "
                    "array of these" },
    { "actor", KNOCK_ACTION_EXPECTED_PARAM },
    { "tenant", KNOCK_ACTION_EXPECTED_PARAM },
    { "cancellation_key", KNOCK_ACTION_EXPECTED_PARAM }
};


int
knock_action_compile(knock_arena_t *arena, const knock_json_t *doc,
    knock_action_t *action, knock_error_t *err)
{
    knock_str_t          type = knock_null_string;
    const knock_json_t  *values[KNOCK_ACTION_F_COUNT] = { NULL };

    memset(action, 0, sizeof(knock_action_t));

    if (doc->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                               "an action must be a JSON object");
    }

    if (knock_action_fields(doc, values, err) != KNOCK_OK
        || knock_action_key(arena, values, KNOCK_ACTION_F_KEY, &action->key,
                            err) != KNOCK_OK
        || knock_action_key(arena, values, KNOCK_ACTION_F_SOURCE,
                            &action->source, err) != KNOCK_OK
        || knock_action_string(arena, values, KNOCK_ACTION_F_EVENT,
                               &action->event, err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (!knock_event_key_valid(&action->event)) {
        return knock_action_unexpected(KNOCK_ACTION_F_EVENT,
                                       values[KNOCK_ACTION_F_EVENT], err);
    }

    if (knock_action_string(arena, values, KNOCK_ACTION_F_TYPE, &type, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (!knock_str_is(&type, "workflows_trigger")) {
        return knock_action_unexpected(KNOCK_ACTION_F_TYPE,
                                       values[KNOCK_ACTION_F_TYPE], err);
    }

    if (knock_action_key(arena, values, KNOCK_ACTION_F_WORKFLOW,
                         &action->workflow, err) != KNOCK_OK
        || knock_action_recipients(arena, values, action, err) != KNOCK_OK
        || knock_action_single(arena, values, KNOCK_ACTION_F_ACTOR,
                               &action->actor, err) != KNOCK_OK
        || knock_action_single(arena, values, KNOCK_ACTION_F_TENANT,
                               &action->tenant, err) != KNOCK_OK
        || knock_action_single(arena, values, KNOCK_ACTION_F_CANCELLATION_KEY,
                               &action->cancellation_key, err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/* the value of each field, the last one of a duplicated; null is not given */

static int
knock_action_fields(const knock_json_t *doc, const knock_json_t **values,
    knock_error_t *err)
{
    size_t               i, n;
    knock_str_t          name;
    const knock_json_t  *key, *value;

    key = knock_json_first(doc);

    for (n = doc->count; n; n--) {

        value = knock_json_next(key);

        for (i = 0; i < KNOCK_ACTION_F_COUNT; i++) {
            name.len = strlen(knock_action_table[i].name);
            name.data = (unsigned char *) knock_action_table[i].name;

            if (knock_json_string_eq(key, &name)) {
                values[i] = (value->type == KNOCK_JSON_NULL) ? NULL : value;
                break;
            }
        }

        if (i == KNOCK_ACTION_F_COUNT) {
            return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                                   "an action has no such field, remove it: "
                                   "%.*s", knock_action_precision(key),
                                   (char *) key->data);
        }

        key = knock_json_next(value);
    }

    return KNOCK_OK;
}


static int
knock_action_string(knock_arena_t *arena, const knock_json_t **values,
    size_t field, knock_str_t *str, knock_error_t *err)
{
    const knock_json_t  *v;

    v = values[field];

    if (v == NULL || v->type != KNOCK_JSON_STRING) {
        return knock_action_unexpected(field, v, err);
    }

    if (knock_json_string(arena, v, str) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


static int
knock_action_key(knock_arena_t *arena, const knock_json_t **values,
    size_t field, knock_str_t *key, knock_error_t *err)
{
    if (knock_action_string(arena, values, field, key, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (!knock_key_valid(key)) {
        return knock_action_unexpected(field, values[field], err);
    }

    return KNOCK_OK;
}


static int
knock_action_recipients(knock_arena_t *arena, const knock_json_t **values,
    knock_action_t *action, knock_error_t *err)
{
    char                 name[sizeof("recipients[4294967295]")];
    uint32_t             i;
    const knock_json_t  *v;

    v = values[KNOCK_ACTION_F_RECIPIENTS];

    if (v == NULL
        || (v->type != KNOCK_JSON_STRING && v->type != KNOCK_JSON_OBJECT
            && (v->type != KNOCK_JSON_ARRAY || v->count == 0)))
    {
        return knock_action_unexpected(KNOCK_ACTION_F_RECIPIENTS, v, err);
    }

    action->nrecipients = (v->type == KNOCK_JSON_ARRAY) ? v->count : 1;
    action->recipients = knock_arena_calloc(arena, action->nrecipients,
                                            sizeof(knock_param_t));

    if (action->recipients == NULL) {
        return knock_error_memory(err);
    }

    if (v->type != KNOCK_JSON_ARRAY) {
        return knock_action_param(arena, "recipients", v, action->recipients,
                                  err);
    }

    v = knock_json_first(v);

    for (i = 0; i < action->nrecipients; i++) {
        (void) snprintf(name, sizeof(name), "recipients[%u]", (unsigned) i);

        if (knock_action_param(arena, name, v, &action->recipients[i], err)
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        v = knock_json_next(v);
    }

    return KNOCK_OK;
}


static int
knock_action_single(knock_arena_t *arena, const knock_json_t **values,
    size_t field, knock_param_t **param, knock_error_t *err)
{
    const char  *name;

    if (values[field] == NULL) {
        return KNOCK_OK;
    }

    *param = knock_arena_calloc(arena, 1, sizeof(knock_param_t));
    if (*param == NULL) {
        return knock_error_memory(err);
    }

    name = knock_action_table[field].name;

    if (knock_action_param(arena, name, values[field], *param, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if ((*param)->path.many) {
        return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                               "\"%s\": it has one value, and [*] finds many: "
                               "take one of them, such as [0]", name);
    }

    return KNOCK_OK;
}


static int
knock_action_param(knock_arena_t *arena, const char *name,
    const knock_json_t *v, knock_param_t *param, knock_error_t *err)
{
    knock_str_t    text;
    knock_error_t  error;

    if (v->type == KNOCK_JSON_OBJECT) {
        return knock_action_literal(name, v, &param->literal, err);
    }

    if (v->type != KNOCK_JSON_STRING) {
        return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                               "\"%s\": expected " KNOCK_ACTION_EXPECTED_PARAM,
                               name);
    }

    if (knock_json_string(arena, v, &text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (knock_path_compile(arena, &text, &param->path, &error) == KNOCK_OK) {
        return KNOCK_OK;
    }

    if (error.code != KNOCK_E_INVALID_ACTION) {
        *err = error;
        return KNOCK_ERROR;
    }

    (void) knock_error_set(err, error.code, "\"%s\": %s", name,
                           error.message);
    err->offset = error.offset;

    return KNOCK_ERROR;
}


static int
knock_action_literal(const char *name, const knock_json_t *object,
    const knock_json_t **literal, knock_error_t *err)
{
    size_t               n;
    const knock_json_t  *key;

    static const knock_str_t  expected = knock_string("literal");

    key = knock_json_first(object);

    for (n = object->count; n; n--) {

        if (!knock_json_string_eq(key, &expected)) {
            return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                                   "\"%s\": expected {\"literal\": value} and "
                                   "nothing beside it, remove %.*s", name,
                                   knock_action_precision(key),
                                   (char *) key->data);
        }

        *literal = knock_json_next(key);
        key = knock_json_next(*literal);
    }

    if (*literal == NULL) {
        return knock_error_set(err, KNOCK_E_INVALID_ACTION,
                               "\"%s\": expected {\"literal\": value}, it is "
                               "empty", name);
    }

    return KNOCK_OK;
}


static int
knock_action_unexpected(size_t field, const knock_json_t *v,
    knock_error_t *err)
{
    return knock_error_set(err, KNOCK_E_INVALID_ACTION, "\"%s\"%s expected %s",
                           knock_action_table[field].name,
                           v ? ":" : " is required:",
                           knock_action_table[field].expected);
}


/* of a name at the end of a sentence, where the message cuts it to fit */

static int
knock_action_precision(const knock_json_t *key)
{
    return key->len < KNOCK_ERROR_MESSAGE ? (int) key->len
                                          : KNOCK_ERROR_MESSAGE;
}


int
knock_key_valid(const knock_str_t *key)
{
    size_t         i;
    unsigned char  c;

    if (key->len == 0 || key->len > KNOCK_MAX_KEY) {
        return 0;
    }

    for (i = 0; i < key->len; i++) {
        c = key->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '_' || c == '-'))
        {
            return 0;
        }
    }

    return 1;
}


#include "knock_api.h"
#include "knock_action.h"
#include "knock_event.h"
#include "knock_json_merge.h"


static int knock_api_own_key(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *key, knock_error_t *err);
static knock_json_t *knock_api_with(knock_arena_t *arena,
    const knock_json_t *doc, const char *name, const knock_str_t *value,
    knock_error_t *err);
static void knock_api_add_value(knock_buf_t *buf, const knock_json_t *v);


int
knock_api_action(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *key, knock_api_action_t *action, knock_error_t *err)
{
    knock_buf_t      buf;
    knock_json_t    *root;
    knock_action_t   compiled;

    if (doc->type != KNOCK_JSON_OBJECT) {
        return knock_action_compile(arena, doc, &compiled, err);
    }

    if (knock_api_own_key(arena, doc, key, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    root = knock_api_with(arena, doc, "key", key, err);

    if (root == NULL
        || knock_action_compile(arena, root, &compiled, err) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    knock_buf_init(&buf, arena, (size_t) root->len + 64);

    knock_buf_add_lit(&buf, "{\"key\":");
    knock_buf_add_json(&buf, &compiled.key);
    knock_buf_add_lit(&buf, ",\"source\":");
    knock_buf_add_json(&buf, &compiled.source);
    knock_buf_add_lit(&buf, ",\"event\":");
    knock_buf_add_json(&buf, &compiled.event);
    knock_buf_add_lit(&buf, ",\"type\":\"workflows_trigger\",\"workflow\":");
    knock_buf_add_json(&buf, &compiled.workflow);
    knock_buf_add_lit(&buf, ",\"recipients\":");
    knock_api_add_value(&buf, knock_json_get(root, "recipients"));
    knock_buf_add_lit(&buf, ",\"actor\":");
    knock_api_add_value(&buf, knock_json_get(root, "actor"));
    knock_buf_add_lit(&buf, ",\"tenant\":");
    knock_api_add_value(&buf, knock_json_get(root, "tenant"));
    knock_buf_add_lit(&buf, ",\"cancellation_key\":");
    knock_api_add_value(&buf, knock_json_get(root, "cancellation_key"));
    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &action->text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (action->text.len > KNOCK_API_MAX_DOCUMENT) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "the action takes %zu bytes of the %zu that "
                               "one may have: make its literals shorter",
                               action->text.len,
                               (size_t) KNOCK_API_MAX_DOCUMENT);
    }

    if (knock_json_parse(arena, &action->text, KNOCK_API_MAX_DEPTH, &root, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    action->root = root;
    action->source = compiled.source;

    return KNOCK_OK;
}


int
knock_api_user(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *id, const knock_json_t **user, knock_error_t *err)
{
    int                  rc;
    knock_str_t          own;
    const knock_json_t  *v;

    if (doc->type != KNOCK_JSON_OBJECT) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "a user must be a JSON object");
    }

    v = knock_json_get(doc, "id");

    if (v && v->type != KNOCK_JSON_NULL) {
        rc = knock_event_id(arena, v, &own);

        if (rc == KNOCK_ERROR) {
            return knock_error_memory(err);
        }

        if (rc == KNOCK_DECLINED || !knock_str_eq(&own, id)) {
            return knock_error_set(err, KNOCK_E_INVALID_BODY,
                                   "\"id\": expected the id of the path, or "
                                   "leave it out");
        }
    }

    v = knock_json_get(doc, "collection");

    if (v && v->type != KNOCK_JSON_NULL) {
        return knock_error_set(err, KNOCK_E_INVALID_BODY,
                               "\"collection\": a user has none, remove it");
    }

    *user = knock_api_with(arena, doc, "id", id, err);

    return *user ? KNOCK_OK : KNOCK_ERROR;
}


static int
knock_api_own_key(knock_arena_t *arena, const knock_json_t *doc,
    const knock_str_t *key, knock_error_t *err)
{
    knock_str_t          own;
    const knock_json_t  *v;

    v = knock_json_get(doc, "key");

    if (v == NULL || v->type == KNOCK_JSON_NULL) {
        return KNOCK_OK;
    }

    if (v->type == KNOCK_JSON_STRING) {

        if (knock_json_string(arena, v, &own) != KNOCK_OK) {
            return knock_error_memory(err);
        }

        if (knock_str_eq(&own, key)) {
            return KNOCK_OK;
        }
    }

    return knock_error_set(err, KNOCK_E_INVALID_BODY,
                           "\"key\": expected the key of the path, or leave "
                           "it out");
}


/*
 * The document with a string member set: first, and the only one of its name.
 * NULL with the error filled: no memory.
 */

static knock_json_t *
knock_api_with(knock_arena_t *arena, const knock_json_t *doc,
    const char *name, const knock_str_t *value, knock_error_t *err)
{
    size_t               n;
    knock_str_t          str;
    knock_buf_t          buf;
    knock_json_t        *root;
    const knock_json_t  *key, *member;

    str.len = strlen(name);
    str.data = (unsigned char *) name;

    knock_buf_init(&buf, arena, doc->len + value->len + 32);

    knock_buf_add_char(&buf, '{');
    knock_buf_add_json(&buf, &str);
    knock_buf_add_char(&buf, ':');
    knock_buf_add_json(&buf, value);

    key = knock_json_first(doc);

    for (n = doc->count; n; n--) {

        member = knock_json_next(key);

        if (!knock_json_string_eq(key, &str)) {
            knock_buf_add_char(&buf, ',');
            knock_api_add_value(&buf, key);
            knock_buf_add_char(&buf, ':');
            knock_api_add_value(&buf, member);
        }

        key = knock_json_next(member);
    }

    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &str) != KNOCK_OK) {
        (void) knock_error_memory(err);
        return NULL;
    }

    return knock_json_parse(arena, &str, KNOCK_API_MAX_DEPTH, &root, err)
           == KNOCK_OK ? root : NULL;
}


static void
knock_api_add_value(knock_buf_t *buf, const knock_json_t *v)
{
    if (v == NULL) {
        knock_buf_add_lit(buf, "null");

    } else {
        knock_buf_add(buf, v->data, v->len);
    }
}


int
knock_api_rename(knock_arena_t *arena, const knock_str_t *doc,
    const knock_str_t *name, knock_str_t *text, knock_error_t *err)
{
    knock_buf_t    buf;
    knock_str_t    over;
    knock_json_t  *base_root, *over_root;

    knock_buf_init(&buf, arena, name->len + 16);
    knock_buf_add_lit(&buf, "{\"name\":");
    knock_buf_add_str(&buf, name);
    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &over) != KNOCK_OK
        || knock_json_parse(arena, &over, KNOCK_API_MAX_DEPTH, &over_root, err)
           != KNOCK_OK)
    {
        return knock_error_memory(err);
    }

    if (knock_json_parse(arena, doc, KNOCK_API_MAX_DEPTH, &base_root, err)
        != KNOCK_OK
        || base_root->type != KNOCK_JSON_OBJECT)
    {
        return knock_error_set(err, KNOCK_E_INTERNAL,
                               "the stored document is no JSON object: "
                               "delete it and save it anew");
    }

    if (knock_json_merge(arena, base_root, over_root, text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    return KNOCK_OK;
}


int
knock_api_saved_action(knock_arena_t *arena, const knock_json_t *answer,
    const knock_str_t *key, knock_api_action_t *action, knock_error_t *err)
{
    size_t               i;
    knock_buf_t          buf;
    knock_str_t          text, uncommitted;
    knock_json_t        *root;
    const knock_json_t  *name, *value;

    if (answer->type != KNOCK_JSON_OBJECT) {
        return knock_api_action(arena, answer, key, action, err);
    }

    knock_str_set(&uncommitted, "uncommitted");

    knock_buf_init(&buf, arena, answer->len);
    knock_buf_add_char(&buf, '{');

    name = knock_json_first(answer);

    for (i = 0; i < answer->count; i++) {
        value = name + 1;

        if (!knock_json_string_eq(name, &uncommitted)) {
            if (buf.len > 1) {
                knock_buf_add_char(&buf, ',');
            }

            knock_buf_add(&buf, name->data, name->len);
            knock_buf_add_char(&buf, ':');
            knock_buf_add(&buf, value->data, value->len);
        }

        name = knock_json_next(value);
    }

    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    if (knock_json_parse(arena, &text, KNOCK_API_MAX_DEPTH, &root, err)
        != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return knock_api_action(arena, root, key, action, err);
}


#include "knock_live.h"
#include "knock_limits.h"

#include <stdlib.h>


/* an action may be as deep as the API takes one */
#define KNOCK_LIVE_DEPTH  (KNOCK_MAX_DEPTH + 2)


static int knock_live_places(knock_arena_t *arena, knock_live_t *live,
    const knock_str_t *prefix, size_t nshards);
static int knock_live_endpoints(knock_arena_t *arena, knock_live_t *live,
    const knock_live_reply_t *reply);
static int knock_live_field(knock_arena_t *arena, knock_endpoint_t *endpoint,
    const knock_str_t *name, const knock_str_t *value);
static uint64_t knock_live_ms(const knock_str_t *value);
static int knock_live_add_actions(knock_arena_t *arena, knock_live_t *live,
    const knock_live_reply_t *reply, knock_map_t *sources);
static const char *knock_live_why_idle(const knock_live_reply_t *reply,
    knock_map_t *workflows, const knock_action_t *action);
static int knock_live_add_action(knock_arena_t *arena,
    knock_endpoint_t *endpoint, knock_action_t *action);
static int knock_live_is_on(const knock_live_reply_t *reply, const char *type,
    const knock_str_t *key);
static int knock_live_action_cmp(const void *one, const void *two);


int
knock_live_build(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, size_t nshards,
    const knock_live_reply_t *reply, knock_live_t **out)
{
    size_t             i;
    knock_map_t       *sources;
    knock_live_t      *live;
    knock_endpoint_t  *endpoint;

    live = knock_arena_calloc(arena, 1, sizeof(knock_live_t));
    if (live == NULL) {
        return KNOCK_ERROR;
    }

    if (knock_arena_dup(arena, environment, &live->environment) != KNOCK_OK
        || knock_arena_dup(arena, &reply->version, &live->version) != KNOCK_OK
        || knock_live_places(arena, live, prefix, nshards) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    if (knock_live_endpoints(arena, live, reply) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    live->tokens = knock_map_create(arena, live->nendpoints);
    sources = knock_map_create(arena, live->nendpoints);

    if (live->tokens == NULL || sources == NULL) {
        return KNOCK_ERROR;
    }

    /* before the tokens, which go over those of others */

    for (i = 0; i < live->nendpoints; i++) {
        endpoint = &live->endpoints[i];

        if (endpoint->token.len && endpoint->previous_token.len
            && knock_map_set(live->tokens, &endpoint->previous_token, endpoint)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    for (i = 0; i < live->nendpoints; i++) {
        endpoint = &live->endpoints[i];

        if (endpoint->token.len == 0) {
            continue;
        }

        if (knock_map_set(live->tokens, &endpoint->token, endpoint) != KNOCK_OK
            || knock_map_set(sources, &endpoint->source, endpoint) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    if (knock_live_add_actions(arena, live, reply, sources) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    *out = live;

    return KNOCK_OK;
}


static int
knock_live_places(knock_arena_t *arena, knock_live_t *live,
    const knock_str_t *prefix, size_t nshards)
{
    size_t          i, key;
    knock_str_t    *bases;
    knock_place_t  *place;

    live->nshards = nshards;
    live->nplaces = knock_keys_nplaces(nshards);
    live->home = live->nplaces - 1;

    live->places = knock_arena_calloc(arena, live->nplaces,
                                      sizeof(knock_place_t));

    if (live->places == NULL
        || knock_keys_places(arena, prefix, &live->environment, nshards,
                             &bases)
           != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    for (i = 0; i < live->nplaces; i++) {
        place = &live->places[i];
        place->base = bases[i];

        for (key = 0; key < KNOCK_KEY_CATALOGUE; key++) {
            if (knock_keys_make(arena, &place->base, (knock_key_e) key, NULL,
                                &place->keys[key])
                != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }
        }
    }

    return KNOCK_OK;
}


static int
knock_live_endpoints(knock_arena_t *arena, knock_live_t *live,
    const knock_live_reply_t *reply)
{
    size_t              i, len;
    knock_map_t        *map;
    knock_str_t         source, name;
    unsigned char      *slash;
    knock_endpoint_t   *endpoint;
    const knock_str_t  *base;

    base = &live->places[live->home].base;
    map = knock_map_create(arena, reply->nendpoints / 4);

    live->endpoints = knock_arena_calloc(arena, reply->nendpoints / 2 + 1,
                                         sizeof(knock_endpoint_t));

    if (map == NULL || live->endpoints == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i + 1 < reply->nendpoints; i += 2) {
        name = reply->endpoints[i];

        slash = name.len ? memchr(name.data, '/', name.len) : NULL;
        if (slash == NULL) {
            continue;
        }

        len = (size_t) (slash - name.data);

        source.data = name.data;
        source.len = len;

        name.data += len + 1;
        name.len -= len + 1;

        endpoint = knock_map_get(map, &source);

        if (endpoint == NULL) {
            endpoint = &live->endpoints[live->nendpoints++];

            endpoint->enabled = 1;
            endpoint->idempotency_enabled = 1;

            endpoint->actions = knock_map_create(arena, 16);
            endpoint->idle = knock_map_create(arena, 4);

            if (endpoint->actions == NULL
                || endpoint->idle == NULL
                || knock_arena_dup(arena, &source, &endpoint->source)
                   != KNOCK_OK
                || knock_keys_make(arena, base, KNOCK_KEY_CATALOGUE,
                                   &source, &endpoint->catalogue) != KNOCK_OK
                || knock_keys_make(arena, base,
                                   KNOCK_KEY_CATALOGUE_INFO, &source,
                                   &endpoint->catalogue_info) != KNOCK_OK
                || knock_keys_make(arena, base, KNOCK_KEY_LOG, &source,
                                   &endpoint->log) != KNOCK_OK
                || knock_map_set(map, &endpoint->source, endpoint)
                   != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }
        }

        if (knock_live_field(arena, endpoint, &name, &reply->endpoints[i + 1])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


static int
knock_live_field(knock_arena_t *arena, knock_endpoint_t *endpoint,
    const knock_str_t *name, const knock_str_t *value)
{
    unsigned  on;

    on = !knock_str_is(value, "0");

    if (knock_str_is(name, "token")) {
        return knock_arena_dup(arena, value, &endpoint->token);
    }

    if (knock_str_is(name, "signing_secret")) {
        return knock_arena_dup(arena, value, &endpoint->signing_secret);
    }

    if (knock_str_is(name, "previous_token")) {
        return knock_arena_dup(arena, value, &endpoint->previous_token);
    }

    if (knock_str_is(name, "previous_signing_secret")) {
        return knock_arena_dup(arena, value, &endpoint->previous_secret);
    }

    if (knock_str_is(name, "previous_token_valid_until")) {
        endpoint->previous_token_until = knock_live_ms(value);
        return KNOCK_OK;
    }

    if (knock_str_is(name, "previous_signing_secret_valid_until")) {
        endpoint->previous_secret_until = knock_live_ms(value);
        return KNOCK_OK;
    }

    if (knock_str_is(name, "enabled")) {
        endpoint->enabled = on & 1;

    } else if (knock_str_is(name, "identify_enabled")) {
        endpoint->identify_enabled = on & 1;

    } else if (knock_str_is(name, "idempotency_enabled")) {
        endpoint->idempotency_enabled = on & 1;
    }

    return KNOCK_OK;
}


/* a time as Redis has it; 0, long over, if it is none */

static uint64_t
knock_live_ms(const knock_str_t *value)
{
    size_t    i;
    uint64_t  ms;

    ms = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9' || i > 14) {
            return 0;
        }

        ms = ms * 10 + (uint64_t) (value->data[i] - '0');
    }

    return ms;
}


static int
knock_live_add_actions(knock_arena_t *arena, knock_live_t *live,
    const knock_live_reply_t *reply, knock_map_t *sources)
{
    size_t             i, j, n;
    knock_str_t        text;
    const char        *why;
    knock_map_t       *workflows;
    knock_json_t      *doc;
    knock_error_t      err;
    knock_action_t    *action;
    knock_action_t   **sorted;
    knock_endpoint_t  *endpoint;

    workflows = knock_map_create(arena, reply->nworkflows);

    sorted = knock_arena_alloc(arena, (reply->nactions / 2 + 1)
                                      * sizeof(knock_action_t *));

    if (workflows == NULL || sorted == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < reply->nworkflows; i++) {
        if (knock_map_set(workflows, &reply->workflows[i],
                          &reply->workflows[i])
            != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    n = 0;

    for (i = 0; i + 1 < reply->nactions; i += 2) {

        action = knock_arena_alloc(arena, sizeof(knock_action_t));

        if (action == NULL
            || knock_arena_dup(arena, &reply->actions[i + 1], &text)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (knock_json_parse(arena, &text, KNOCK_LIVE_DEPTH, &doc, &err)
            != KNOCK_OK
            || knock_action_compile(arena, doc, action, &err) != KNOCK_OK)
        {
            if (err.code == KNOCK_E_INTERNAL
                || knock_arena_dup(arena, &reply->actions[i], &live->skipped)
                   != KNOCK_OK)
            {
                return KNOCK_ERROR;
            }

            live->nskipped++;
            memcpy(live->skipped_why, err.message, KNOCK_ERROR_MESSAGE);

            continue;
        }

        sorted[n++] = action;
    }

    qsort(sorted, n, sizeof(knock_action_t *), knock_live_action_cmp);

    for (j = 0; j < n; j++) {
        action = sorted[j];
        endpoint = knock_map_get(sources, &action->source);

        if (endpoint == NULL) {
            continue;
        }

        why = knock_live_why_idle(reply, workflows, action);

        if (why == NULL) {
            if (knock_live_add_action(arena, endpoint, action) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

        } else if (knock_map_get(endpoint->idle, &action->event) == NULL
                   && knock_map_set(endpoint->idle, &action->event,
                                    (char *) why)
                      != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    return KNOCK_OK;
}


/* NULL: it acts */

static const char *
knock_live_why_idle(const knock_live_reply_t *reply, knock_map_t *workflows,
    const knock_action_t *action)
{
    if (knock_map_get(workflows, &action->workflow) == NULL) {
        return "workflow_not_live";
    }

    if (!knock_live_is_on(reply, "action/", &action->key)) {
        return "action_inactive";
    }

    return knock_live_is_on(reply, "workflow/", &action->workflow)
           ? NULL : "workflow_inactive";
}


static int
knock_live_add_action(knock_arena_t *arena, knock_endpoint_t *endpoint,
    knock_action_t *action)
{
    knock_actions_t   *actions;
    knock_action_t   **items;

    actions = knock_map_get(endpoint->actions, &action->event);

    if (actions == NULL) {
        actions = knock_arena_calloc(arena, 1, sizeof(knock_actions_t));

        if (actions == NULL
            || knock_map_set(endpoint->actions, &action->event, actions)
               != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }
    }

    items = knock_arena_realloc(arena, actions->items,
                                actions->n * sizeof(knock_action_t *),
                                (actions->n + 1) * sizeof(knock_action_t *));
    if (items == NULL) {
        return KNOCK_ERROR;
    }

    items[actions->n++] = action;
    actions->items = items;

    return KNOCK_OK;
}


/* what has no toggle is on; toggles are few, so they are walked */

static int
knock_live_is_on(const knock_live_reply_t *reply, const char *type,
    const knock_str_t *key)
{
    size_t        i, len;
    knock_str_t  *name;

    len = strlen(type);

    for (i = 0; i + 1 < reply->ntoggles; i += 2) {
        name = &reply->toggles[i];

        if (name->len == len + key->len
            && memcmp(name->data, type, len) == 0
            && memcmp(name->data + len, key->data, key->len) == 0)
        {
            return !knock_str_is(&reply->toggles[i + 1], "0");
        }
    }

    return 1;
}


static int
knock_live_action_cmp(const void *one, const void *two)
{
    int                    rc;
    size_t                 n;
    const knock_action_t  *a, *b;

    a = *(knock_action_t * const *) one;
    b = *(knock_action_t * const *) two;

    n = a->key.len < b->key.len ? a->key.len : b->key.len;

    rc = n ? memcmp(a->key.data, b->key.data, n) : 0;
    if (rc != 0) {
        return rc;
    }

    return a->key.len < b->key.len ? -1 : a->key.len > b->key.len;
}


knock_endpoint_t *
knock_live_endpoint(const knock_live_t *live, const knock_str_t *token,
    uint64_t now)
{
    knock_endpoint_t  *endpoint;

    endpoint = knock_map_get(live->tokens, token);

    if (endpoint && !knock_str_eq(&endpoint->token, token)
        && now >= endpoint->previous_token_until)
    {
        return NULL;
    }

    return endpoint;
}


const knock_actions_t *
knock_live_actions(const knock_endpoint_t *endpoint,
    const knock_str_t *event_key)
{
    return knock_map_get(endpoint->actions, event_key);
}


const char *
knock_live_idle(const knock_endpoint_t *endpoint, const knock_str_t *event_key)
{
    const char  *why;

    why = knock_map_get(endpoint->idle, event_key);

    return why ? why : "no_action";
}

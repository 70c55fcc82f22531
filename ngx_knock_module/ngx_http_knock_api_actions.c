
#include "ngx_http_knock_api.h"
#include "knock_preview.h"


static ngx_uint_t ngx_http_knock_api_is_action(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_drafts(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_live(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_live_key(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_type(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_preview(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_preview_saved(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_preview_endpoint(ngx_http_knock_api_t *api,
    const knock_json_t *action);
static void ngx_http_knock_api_preview_resolve(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_preview_done(ngx_http_knock_api_t *api);


void
ngx_http_knock_api_actions(ngx_http_knock_api_t *api)
{
    const knock_str_t  *base;

    switch (api->req.op) {

    case KNOCK_API_ACTION_PREVIEW:
        ngx_http_knock_api_preview(api);
        return;

    case KNOCK_API_ENV_WORKFLOW_LIST:
    case KNOCK_API_ENV_WORKFLOW_GET:
    case KNOCK_API_ENV_WORKFLOW_PATCH:
    case KNOCK_API_ENV_ACTION_LIST:
    case KNOCK_API_ENV_ACTION_GET:
    case KNOCK_API_ENV_ACTION_PATCH:
        base = ngx_http_knock_api_base(api, &api->req.environment);

        if (base) {
            ngx_http_knock_api_live(api, base);
        }

        return;

    default:
        ngx_http_knock_api_drafts(api);
    }
}


static ngx_uint_t
ngx_http_knock_api_is_action(ngx_http_knock_api_t *api)
{
    switch (api->req.op) {

    case KNOCK_API_ACTION_LIST:
    case KNOCK_API_ACTION_GET:
    case KNOCK_API_ACTION_PUT:
    case KNOCK_API_ACTION_DELETE:
    case KNOCK_API_ACTION_PREVIEW:
    case KNOCK_API_ENV_ACTION_LIST:
    case KNOCK_API_ENV_ACTION_GET:
    case KNOCK_API_ENV_ACTION_PATCH:
        return 1;

    default:
        return 0;
    }
}


/* drafts stand beside what they become live in: the first environment */

static void
ngx_http_knock_api_drafts(ngx_http_knock_api_t *api)
{
    const knock_str_t    *base;
    knock_api_request_t  *req;

    req = &api->req;
    base = &api->bases[0];

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    switch (req->op) {

    case KNOCK_API_WORKFLOW_LIST:
    case KNOCK_API_ACTION_LIST:
        ngx_http_knock_api_function(api, "knock_draft_list");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
        ngx_http_knock_api_live_key(api, base);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
        break;

    case KNOCK_API_WORKFLOW_GET:
    case KNOCK_API_ACTION_GET:
        ngx_http_knock_api_function(api, "knock_draft_get");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
        ngx_http_knock_api_live_key(api, base);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_arg(api, &req->key);
        break;

    case KNOCK_API_WORKFLOW_PUT:
    case KNOCK_API_ACTION_PUT:
        ngx_http_knock_api_function(api, "knock_draft_put");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
        ngx_http_knock_api_live_key(api, base);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ENDPOINTS, NULL);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_arg(api, &req->key);
        ngx_http_knock_api_arg(api, &req->text);
        ngx_http_knock_api_arg(api, &req->action_source);
        ngx_http_knock_api_arg(api, &api->if_match);
        break;

    default: /* KNOCK_API_WORKFLOW_DELETE, KNOCK_API_ACTION_DELETE */
        ngx_http_knock_api_function(api, "knock_draft_delete");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_DRAFTS, NULL);
        ngx_http_knock_api_live_key(api, base);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_arg(api, &req->key);
        ngx_http_knock_api_arg(api, &api->if_match);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_live(ngx_http_knock_api_t *api, const knock_str_t *base)
{
    knock_api_request_t  *req;

    req = &api->req;

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    switch (req->op) {

    case KNOCK_API_ENV_WORKFLOW_PATCH:
    case KNOCK_API_ENV_ACTION_PATCH:
        ngx_http_knock_api_function(api, "knock_toggle_set");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_VERSION, NULL);
        ngx_http_knock_api_live_key(api, base);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_TOGGLES, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_arg(api, &req->key);
        ngx_http_knock_api_text(api, req->active ? "1" : "0");
        ngx_http_knock_api_arg(api, &req->environment);
        break;

    case KNOCK_API_ENV_WORKFLOW_LIST:
    case KNOCK_API_ENV_ACTION_LIST:
        ngx_http_knock_api_function(api, "knock_env_list");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_TOGGLES, NULL);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
        break;

    default: /* KNOCK_API_ENV_WORKFLOW_GET, KNOCK_API_ENV_ACTION_GET */
        ngx_http_knock_api_function(api, "knock_env_get");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_ACTIONS, NULL);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_TOGGLES, NULL);
        ngx_http_knock_api_type(api);
        ngx_http_knock_api_arg(api, &req->key);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_live_key(ngx_http_knock_api_t *api, const knock_str_t *base)
{
    ngx_http_knock_api_key(api, base, ngx_http_knock_api_is_action(api)
                                      ? KNOCK_KEY_ACTIONS
                                      : KNOCK_KEY_WORKFLOWS, NULL);
}


static void
ngx_http_knock_api_type(ngx_http_knock_api_t *api)
{
    ngx_http_knock_api_text(api, ngx_http_knock_api_is_action(api)
                                 ? "action" : "workflow");
}


/* of the document in the body or, without one, of the saved action */

static void
ngx_http_knock_api_preview(ngx_http_knock_api_t *api)
{
    if (api->req.preview_environment.len == 0) {
        api->req.preview_environment = api->environments[0];
    }

    if (api->req.action) {
        ngx_http_knock_api_preview_endpoint(api, api->req.action);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_preview_saved);

    ngx_http_knock_api_function(api, "knock_draft_get");
    ngx_http_knock_api_key(api, &api->bases[0], KNOCK_KEY_DRAFTS, NULL);
    ngx_http_knock_api_key(api, &api->bases[0], KNOCK_KEY_ACTIONS, NULL);
    ngx_http_knock_api_type(api);
    ngx_http_knock_api_arg(api, &api->req.key);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_preview_saved(ngx_http_knock_api_t *api)
{
    knock_json_t        *root;
    knock_error_t        err;
    knock_api_action_t  *action;

    if (ngx_http_knock_api_status(api->replies) != NGX_HTTP_OK) {
        ngx_http_knock_api_relay(api);
        return;
    }

    action = knock_arena_calloc(api->arena, 1, sizeof(knock_api_action_t));
    if (action == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    if (knock_json_parse(api->arena, &api->replies->elements[1].str,
                         KNOCK_API_MAX_DEPTH, &root, &err)
        != KNOCK_OK
        || knock_api_saved_action(api->arena, root, &api->req.key, action,
                                  &err)
           != KNOCK_OK)
    {
        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_api_preview_endpoint(api, action->root);
}


/* whether an identify identifies there is a setting of the endpoint */

static void
ngx_http_knock_api_preview_endpoint(ngx_http_knock_api_t *api,
    const knock_json_t *action)
{
    knock_str_t                 source;
    knock_preview_in_t         *in;
    const knock_json_t         *v;
    ngx_http_knock_loc_conf_t  *klcf;

    if (ngx_http_knock_api_places_of(api, &api->req.preview_environment)
        != NGX_OK)
    {
        return;
    }

    klcf = ngx_http_get_module_loc_conf(api->request, ngx_http_knock_module);

    in = knock_arena_calloc(api->arena, 1, sizeof(knock_preview_in_t));
    v = knock_json_get(action, "source");

    if (in == NULL || v == NULL
        || knock_json_string(api->arena, v, &source) != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    in->limits = &klcf->limits;
    in->action = action;
    in->event = api->req.event;
    in->bases = api->places;
    in->nshards = api->nshards;

    api->data = in;

    ngx_http_knock_api_step(api, ngx_http_knock_api_preview_resolve);

    ngx_http_knock_api_function(api, "knock_endpoint_get");
    ngx_http_knock_api_key(api, api->home, KNOCK_KEY_ENDPOINTS, NULL);
    ngx_http_knock_api_key(api, api->home, KNOCK_KEY_CATALOGUE, &source);
    ngx_http_knock_api_arg(api, &source);
    ngx_http_knock_api_arg(api, &api->req.preview_environment);
    ngx_http_knock_api_arg(api, &api->url);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_preview_resolve(ngx_http_knock_api_t *api)
{
    size_t               shard;
    knock_json_t        *endpoint;
    knock_error_t        err;
    knock_preview_t     *preview;
    knock_preview_in_t  *in;
    const knock_json_t  *v;

    in = api->data;

    preview = knock_arena_calloc(api->arena, 1, sizeof(knock_preview_t));
    if (preview == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    /* an action that is not saved may name a source that there is not */

    if (ngx_http_knock_api_status(api->replies) == NGX_HTTP_OK) {

        if (knock_json_parse(api->arena, &api->replies->elements[1].str,
                             KNOCK_API_MAX_DEPTH, &endpoint, &err)
            != KNOCK_OK)
        {
            ngx_http_knock_api_error(api, &err);
            return;
        }

        v = knock_json_get(endpoint, "identify_enabled");
        in->identify_enabled = v && v->type == KNOCK_JSON_TRUE;
    }

    if (knock_preview_resolve(api->arena, in, preview, &err) != KNOCK_OK) {

        if (err.code == KNOCK_E_INVALID_EVENT) {
            err.code = KNOCK_E_INVALID_BODY;
        }

        ngx_http_knock_api_error(api, &err);
        return;
    }

    api->data = preview;

    ngx_http_knock_api_step(api, ngx_http_knock_api_preview_done);

    for (shard = 0; shard < api->nshards; shard++) {

        if (!ngx_http_knock_api_any(preview->shards, preview->nkeys, shard)) {
            continue;
        }

        ngx_http_knock_api_function(api, "knock_exists");
        ngx_http_knock_api_add(api, ngx_http_knock_api_raw_key, preview->keys,
                               preview->shards, preview->nkeys, shard);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_preview_done(ngx_http_knock_api_t *api)
{
    size_t            i;
    knock_str_t       json, *given, exists;
    knock_preview_t  *preview;

    preview = api->data;

    given = knock_arena_calloc(api->arena, api->nreplies + 1,
                               sizeof(knock_str_t));
    if (given == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    for (i = 0; i < api->nreplies; i++) {
        given[i] = api->replies[i].str;
    }

    if (ngx_http_knock_api_gather(api, preview->shards, preview->nkeys, given,
                                  &exists)
        != NGX_OK
        || knock_preview_json(api->arena, preview, &exists, &json) != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}

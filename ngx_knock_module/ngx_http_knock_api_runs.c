
/* the runs of an environment: those that wait, and test runs */

#include "ngx_http_knock_api.h"
#include "knock_run_list.h"
#include "knock_test_run.h"


static void ngx_http_knock_api_run_page(ngx_http_knock_api_t *api);
static ngx_int_t ngx_http_knock_api_run_slice(ngx_http_knock_api_t *api,
    const ngx_http_knock_reply_t *reply, knock_run_slice_t *slice);
static void ngx_http_knock_api_test_enqueue(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_test_done(ngx_http_knock_api_t *api);


void
ngx_http_knock_api_run_list(ngx_http_knock_api_t *api)
{
    size_t              i, wanted;
    knock_error_t       err;
    knock_run_slice_t  *slices;

    slices = knock_arena_calloc(api->arena, api->nshards,
                                sizeof(knock_run_slice_t));
    if (slices == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    if (knock_run_cursor(&api->req.cursor, slices, api->nshards, &err)
        != KNOCK_OK)
    {
        ngx_http_knock_api_error(api, &err);
        return;
    }

    api->data = slices;
    wanted = knock_run_wanted(api->req.limit, api->nshards);

    ngx_http_knock_api_step(api, ngx_http_knock_api_run_page);

    for (i = 0; i < api->nshards; i++) {
        ngx_http_knock_api_function(api, "knock_run_page");
        ngx_http_knock_api_key(api, &api->places[i], KNOCK_KEY_RUNS, NULL);
        ngx_http_knock_api_number(api, wanted);
        ngx_http_knock_api_number(api, slices[i].offset);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_run_page(ngx_http_knock_api_t *api)
{
    size_t              i;
    knock_str_t         json;
    knock_run_slice_t  *slices;

    slices = api->data;

    for (i = 0; i < api->nshards; i++) {
        if (ngx_http_knock_api_run_slice(api, &api->replies[i], &slices[i])
            != NGX_OK)
        {
            ngx_http_knock_api_memory(api);
            return;
        }
    }

    if (knock_run_list(api->arena, slices, api->nshards, api->req.limit, &json)
        != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}


/* a length, when the oldest was enqueued, and two strings for each run */

static ngx_int_t
ngx_http_knock_api_run_slice(ngx_http_knock_api_t *api,
    const ngx_http_knock_reply_t *reply, knock_run_slice_t *slice)
{
    size_t  i;

    if (reply->elements == NULL || reply->n < 2 || reply->n % 2
        || !reply->elements[0].integer)
    {
        return NGX_ERROR;
    }

    slice->length = reply->elements[0].n;
    slice->oldest = reply->elements[1].str;
    slice->n = reply->n / 2 - 1;

    slice->runs = knock_arena_calloc(api->arena, slice->n + 1,
                                     sizeof(knock_listed_run_t));
    if (slice->runs == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < slice->n; i++) {
        slice->runs[i].at = reply->elements[2 * i + 2].str;
        slice->runs[i].text = reply->elements[2 * i + 3].str;
    }

    return NGX_OK;
}


void
ngx_http_knock_api_test(ngx_http_knock_api_t *api)
{
    knock_error_t               err;
    knock_test_runs_t          *runs;
    knock_test_run_in_t         in;
    knock_api_request_t        *req;
    ngx_http_knock_loc_conf_t  *klcf;

    req = &api->req;
    klcf = ngx_http_get_module_loc_conf(api->request, ngx_http_knock_module);

    runs = knock_arena_calloc(api->arena, 1, sizeof(knock_test_runs_t));
    if (runs == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    in.limits = &klcf->limits;
    in.bases = api->places;
    in.nshards = api->nshards;
    in.environment = req->environment;
    in.workflow = req->key;
    in.now = api->now;
    in.recipients = req->recipients;
    in.actor = req->actor;
    in.tenant = req->tenant;
    in.data = req->data;

    if (knock_test_run_build(api->arena, &in, runs, &err) != KNOCK_OK) {
        ngx_http_knock_api_error(api, &err);
        return;
    }

    api->data = runs;

    ngx_http_knock_api_step(api, ngx_http_knock_api_test_enqueue);

    ngx_http_knock_api_function(api, "knock_workflow_live");
    ngx_http_knock_api_key(api, api->home, KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_arg(api, &req->key);
    ngx_http_knock_api_arg(api, &req->environment);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


/* a command for each shard that recipients stand in */

static void
ngx_http_knock_api_test_enqueue(ngx_http_knock_api_t *api)
{
    size_t              shard;
    knock_test_runs_t  *runs;

    if (ngx_http_knock_api_status(api->replies) != NGX_HTTP_OK) {
        ngx_http_knock_api_relay(api);
        return;
    }

    runs = api->data;

    ngx_http_knock_api_step(api, ngx_http_knock_api_test_done);

    for (shard = 0; shard < api->nshards; shard++) {

        if (!ngx_http_knock_api_any(runs->shards, runs->n, shard)) {
            continue;
        }

        ngx_http_knock_api_function(api, "knock_test_run");
        ngx_http_knock_api_key(api, &api->places[shard], KNOCK_KEY_RUNS, NULL);

        ngx_http_knock_api_add(api, ngx_http_knock_api_raw_key, runs->keys,
                               runs->shards, runs->n, shard);
        ngx_http_knock_api_add(api, ngx_http_knock_api_arg, runs->runs,
                               runs->shards, runs->n, shard);
        ngx_http_knock_api_send(api);
    }

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_test_done(ngx_http_knock_api_t *api)
{
    size_t                   i;
    knock_str_t              json, *given, verdicts;
    knock_test_runs_t       *runs;
    ngx_http_knock_reply_t  *reply;

    runs = api->data;

    given = knock_arena_alloc(api->arena, api->nreplies * sizeof(knock_str_t));
    if (given == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    for (i = 0; i < api->nreplies; i++) {
        reply = &api->replies[i];

        if (ngx_http_knock_api_status(reply) != NGX_HTTP_OK) {
            ngx_http_knock_api_relay(api);
            return;
        }

        given[i] = reply->elements[1].str;
    }

    if (ngx_http_knock_api_gather(api, runs->shards, runs->n, given, &verdicts)
        != NGX_OK
        || knock_test_run_json(api->arena, runs, &verdicts, &json) != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}


#include "ngx_http_knock_api.h"
#include "knock_answer.h"
#include "knock_user.h"


static const knock_str_t *ngx_http_knock_api_user_base(
    ngx_http_knock_api_t *api);
static void ngx_http_knock_api_user_get(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next);
static void ngx_http_knock_api_user_delete(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_user_put(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_user_write(ngx_http_knock_api_t *api);
static ngx_http_knock_env_t *ngx_http_knock_api_user_find(
    ngx_http_knock_job_t *job, knock_error_t *err);
static int ngx_http_knock_api_user_receive(ngx_http_knock_job_t *job,
    knock_parts_t *parts, knock_received_t *received, knock_error_t *err);
static void ngx_http_knock_api_user_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs);
static void ngx_http_knock_api_user_refused(ngx_http_knock_job_t *job,
    const knock_error_t *err);
static void ngx_http_knock_api_user_written(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_bulk_answer(ngx_http_knock_api_t *api,
    const knock_str_t *statuses, const knock_received_t *received);


static ngx_http_knock_job_type_t  ngx_http_knock_api_user_type = {
    ngx_http_knock_api_user_find,
    ngx_http_knock_api_user_receive,
    ngx_http_knock_api_user_applied,
    ngx_http_knock_api_user_refused
};


void
ngx_http_knock_api_users(ngx_http_knock_api_t *api)
{
    if (ngx_http_knock_api_places(api) != NGX_OK) {
        return;
    }

    switch (api->req.op) {

    case KNOCK_API_WORKFLOW_TEST:
        ngx_http_knock_api_test(api);
        return;

    case KNOCK_API_RUN_LIST:
        ngx_http_knock_api_run_list(api);
        return;

    case KNOCK_API_USER_LIST:
        ngx_http_knock_api_user_list(api);
        return;

    case KNOCK_API_USER_GET:
        ngx_http_knock_api_user_get(api, ngx_http_knock_api_relay);
        return;

    case KNOCK_API_USER_PUT:

        /* whether it is there already says 200 or 201 */

        ngx_http_knock_api_user_get(api, ngx_http_knock_api_user_put);
        return;

    case KNOCK_API_USER_BULK:
        ngx_http_knock_api_user_write(api);
        return;

    default: /* KNOCK_API_USER_DELETE */
        ngx_http_knock_api_user_delete(api);
    }
}


/* where the user that the call is about stands */

static const knock_str_t *
ngx_http_knock_api_user_base(ngx_http_knock_api_t *api)
{
    return &api->places[knock_keys_shard(&api->req.key, api->nshards)];
}


static void
ngx_http_knock_api_user_get(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next)
{
    ngx_http_knock_api_step(api, next);

    ngx_http_knock_api_function(api, "knock_user_get");
    ngx_http_knock_api_key(api, ngx_http_knock_api_user_base(api),
                           KNOCK_KEY_USER, &api->req.key);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_user_delete(ngx_http_knock_api_t *api)
{
    const knock_str_t  *base;

    base = ngx_http_knock_api_user_base(api);

    ngx_http_knock_api_step(api, ngx_http_knock_api_relay);

    ngx_http_knock_api_function(api, "knock_user_delete");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_USER, &api->req.key);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_LARGE, NULL);
    ngx_http_knock_api_arg(api, &api->if_match);
    ngx_http_knock_api_send(api);

    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_user_put(ngx_http_knock_api_t *api)
{
    static ngx_uint_t  created = NGX_HTTP_CREATED, ok = NGX_HTTP_OK;

    api->data = ngx_http_knock_api_status(api->replies) == NGX_HTTP_OK
                ? &ok : &created;

    ngx_http_knock_api_user_write(api);
}


/* by the call that applies events, and so by the rules of an identify */

static void
ngx_http_knock_api_user_write(ngx_http_knock_api_t *api)
{
    ngx_http_knock_job_t  *job;

    job = ngx_http_knock_job_create(api->request, api->worker,
                                    &ngx_http_knock_api_user_type, api);
    if (job == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_job_process(job);
}


static ngx_http_knock_env_t *
ngx_http_knock_api_user_find(ngx_http_knock_job_t *job, knock_error_t *err)
{
    knock_str_t            name;
    ngx_queue_t           *q;
    ngx_http_knock_api_t  *api;
    ngx_http_knock_env_t  *env;

    api = job->data;

    for (q = ngx_queue_head(&job->worker->envs);
         q != ngx_queue_sentinel(&job->worker->envs);
         q = ngx_queue_next(q))
    {
        env = ngx_queue_data(q, ngx_http_knock_env_t, queue);
        name = ngx_http_knock_str(&env->name);

        if (env->listed && env->live
            && knock_str_eq(&name, &api->req.environment))
        {
            return env;
        }
    }

    (void) knock_error_set(err, KNOCK_E_NOT_FOUND,
                           "there is no such environment: GET "
                           "/v1/environments lists those there are");
    return NULL;
}


static int
ngx_http_knock_api_user_receive(ngx_http_knock_job_t *job,
    knock_parts_t *parts, knock_received_t *received, knock_error_t *err)
{
    knock_user_batch_t          in;
    ngx_http_knock_api_t       *api;
    ngx_http_knock_loc_conf_t  *klcf;

    api = job->data;
    klcf = ngx_http_get_module_loc_conf(job->request, ngx_http_knock_module);

    ngx_memzero(&in, sizeof(knock_user_batch_t));

    in.limits = &klcf->limits;
    in.now = api->now;

    if (api->req.op == KNOCK_API_USER_PUT) {
        in.users = api->req.user;
        in.id = api->req.key;
        in.guard_etag = api->if_match;

    } else {
        in.users = api->req.users;
    }

    return knock_user_add(parts, &in, received, err);
}


static void
ngx_http_knock_api_user_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    knock_str_t            kept;
    knock_error_t          err;
    knock_received_t       received;
    ngx_http_knock_api_t  *api;

    api = job->data;
    received = job->received;

    /* they may be the job's own, and go with it */

    if (knock_arena_dup(api->arena, statuses, &kept) != KNOCK_OK) {
        ngx_http_knock_job_free(job);
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_job_free(job);

    if (api->req.op == KNOCK_API_USER_BULK) {
        ngx_http_knock_api_bulk_answer(api, &kept, &received);
        return;
    }

    if (kept.len && kept.data[0] == KNOCK_STATUS_LARGE) {
        (void) knock_error_set(&err, KNOCK_E_INVALID_USER,
                               "with these properties the user would hold "
                               "more than %d bytes: send fewer or shorter "
                               "ones", KNOCK_MAX_USER_BYTES);
        ngx_http_knock_api_error(api, &err);
        return;
    }

    ngx_http_knock_api_user_get(api, ngx_http_knock_api_user_written);
}


static void
ngx_http_knock_api_user_written(ngx_http_knock_api_t *api)
{
    ngx_uint_t              *status;
    ngx_http_knock_reply_t  *reply;

    reply = api->replies;
    status = api->data;

    if (ngx_http_knock_api_status(reply) != NGX_HTTP_OK || reply->n < 3) {
        ngx_http_knock_api_relay(api);
        return;
    }

    ngx_http_knock_api_answer(api, *status, &reply->elements[1].str,
                              &reply->elements[2].str);
}


static void
ngx_http_knock_api_user_refused(ngx_http_knock_job_t *job,
    const knock_error_t *err)
{
    knock_str_t            json;
    knock_received_t       received;
    ngx_http_knock_api_t  *api;

    api = job->data;
    received = job->received;

    ngx_http_knock_job_free(job);

    if (knock_answer_refused(api->arena, err, &received.errors, &json)
        != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, knock_error_status(err->code), &json, NULL);
}


static void
ngx_http_knock_api_bulk_answer(ngx_http_knock_api_t *api,
    const knock_str_t *statuses, const knock_received_t *received)
{
    size_t         i, n;
    knock_buf_t    buf, errors;
    knock_str_t    json;
    knock_error_t  err;

    n = 0;

    knock_buf_init(&errors, api->arena, received->errors.len + 256);
    knock_buf_add_str(&errors, &received->errors);

    for (i = 0; i < statuses->len; i++) {

        if (statuses->data[i] != KNOCK_STATUS_LARGE) {
            n++;
            continue;
        }

        (void) knock_error_set(&err, KNOCK_E_USER_TOO_LARGE,
                               "with these properties the user would hold "
                               "more than %d bytes", KNOCK_MAX_USER_BYTES);

        knock_answer_add_error(&errors, received->indexes
                                        ? received->indexes[i] : i,
                               NULL, &err);
    }

    knock_buf_init(&buf, api->arena, errors.len + 64);

    knock_buf_add_lit(&buf, "{\"upserted\":");
    knock_buf_add_uint(&buf, n);
    knock_buf_add_lit(&buf, ",\"errors\":[");
    knock_buf_add(&buf, errors.data, errors.len);
    knock_buf_add_lit(&buf, "]}\n");

    if (errors.failed || knock_buf_str(&buf, &json) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}


#include "ngx_http_knock_api.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"
#include "knock_test_run.h"
#include "knock_user.h"


/* rounds for a page, where most keys are no users */
#define NGX_HTTP_KNOCK_SCANS  100


/* a page of users: SCAN's cursor, and how many of its keys went before */

typedef struct {
    knock_str_t         cursor;
    size_t              skip;
    ngx_uint_t          rounds;
    const knock_str_t  *base;
    knock_str_t         next;       /* cursor of the answer, len 0: the end */
} ngx_http_knock_scan_t;


static void ngx_http_knock_api_user_get(ngx_http_knock_api_t *api,
    const knock_str_t *base, ngx_http_knock_api_step_pt next);
static void ngx_http_knock_api_user_put(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_user_write(ngx_http_knock_api_t *api);
static ngx_http_knock_env_t *ngx_http_knock_api_user_find(
    ngx_http_knock_job_t *job, knock_error_t *err);
static int ngx_http_knock_api_user_receive(ngx_http_knock_job_t *job,
    ngx_http_knock_env_t *env, const knock_need_t *need,
    knock_received_t *received, knock_error_t *err);
static void ngx_http_knock_api_user_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs);
static void ngx_http_knock_api_user_refused(ngx_http_knock_job_t *job,
    const knock_error_t *err);
static void ngx_http_knock_api_user_written(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_bulk_answer(ngx_http_knock_api_t *api,
    const knock_str_t *statuses, const knock_received_t *received);
static void ngx_http_knock_api_user_list(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_scan(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_scanned(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_user_page(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_test(ngx_http_knock_api_t *api,
    const knock_str_t *base);
static void ngx_http_knock_api_test_done(ngx_http_knock_api_t *api);


static ngx_http_knock_job_type_t  ngx_http_knock_api_user_type = {
    ngx_http_knock_api_user_find,
    ngx_http_knock_api_user_receive,
    ngx_http_knock_api_user_applied,
    ngx_http_knock_api_user_refused
};


void
ngx_http_knock_api_users(ngx_http_knock_api_t *api)
{
    const knock_str_t    *base;
    knock_api_request_t  *req;

    req = &api->req;

    base = ngx_http_knock_api_base(api, &req->environment);
    if (base == NULL) {
        return;
    }

    switch (req->op) {

    case KNOCK_API_WORKFLOW_TEST:
        ngx_http_knock_api_test(api, base);
        return;

    case KNOCK_API_USER_LIST:
        ngx_http_knock_api_user_list(api, base);
        return;

    case KNOCK_API_USER_GET:
        ngx_http_knock_api_user_get(api, base, ngx_http_knock_api_relay);
        return;

    case KNOCK_API_USER_PUT:

        /* whether it is there already says 200 or 201 */

        ngx_http_knock_api_user_get(api, base, ngx_http_knock_api_user_put);
        return;

    case KNOCK_API_USER_BULK:
        ngx_http_knock_api_user_write(api);
        return;

    case KNOCK_API_USER_DELETE:
        ngx_http_knock_api_step(api, ngx_http_knock_api_relay);
        ngx_http_knock_api_function(api, "knock_user_delete");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_USER, &req->key);
        ngx_http_knock_api_key(api, base, KNOCK_KEY_LARGE, NULL);
        ngx_http_knock_api_arg(api, &api->if_match);
        break;

    default: /* KNOCK_API_RUN_LIST */
        ngx_http_knock_api_step(api, ngx_http_knock_api_relay);
        ngx_http_knock_api_function(api, "knock_run_page");
        ngx_http_knock_api_key(api, base, KNOCK_KEY_RUNS, NULL);
        ngx_http_knock_api_number(api, req->limit);
        ngx_http_knock_api_arg(api, &req->cursor);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_user_get(ngx_http_knock_api_t *api, const knock_str_t *base,
    ngx_http_knock_api_step_pt next)
{
    ngx_http_knock_api_step(api, next);

    ngx_http_knock_api_function(api, "knock_user_get");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_USER, &api->req.key);
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

    ngx_http_knock_job_process(job, NULL);
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
    ngx_http_knock_env_t *env, const knock_need_t *need,
    knock_received_t *received, knock_error_t *err)
{
    knock_user_batch_t          in;
    ngx_http_knock_api_t       *api;
    ngx_http_knock_loc_conf_t  *klcf;

    api = job->data;
    klcf = ngx_http_get_module_loc_conf(job->request, ngx_http_knock_module);

    ngx_memzero(&in, sizeof(knock_user_batch_t));

    in.limits = &klcf->limits;
    in.now = api->now;
    in.need = need;

    if (api->req.op == KNOCK_API_USER_PUT) {
        in.users = api->req.user;
        in.id = api->req.key;
        in.guard_etag = api->if_match;

    } else {
        in.users = api->req.users;
    }

    return knock_user_add(&env->apply, &in, received, err);
}


static void
ngx_http_knock_api_user_applied(ngx_http_knock_job_t *job,
    const knock_str_t *statuses, uint64_t runs)
{
    knock_error_t          err;
    knock_received_t       received;
    const knock_str_t     *base;
    ngx_http_knock_api_t  *api;

    api = job->data;
    received = job->received;

    ngx_http_knock_job_free(job);

    if (api->req.op == KNOCK_API_USER_BULK) {
        ngx_http_knock_api_bulk_answer(api, statuses, &received);
        return;
    }

    if (statuses->len && statuses->data[0] == KNOCK_STATUS_LARGE) {
        (void) knock_error_set(&err, KNOCK_E_INVALID_USER,
                               "with these properties the user would hold "
                               "more than %d bytes: send fewer or shorter "
                               "ones", KNOCK_MAX_USER_BYTES);
        ngx_http_knock_api_error(api, &err);
        return;
    }

    base = ngx_http_knock_api_base(api, &api->req.environment);

    if (base) {
        ngx_http_knock_api_user_get(api, base,
                                    ngx_http_knock_api_user_written);
    }
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


/*
 * Users stand in no index: it would cost every event that makes one.  A page
 * is what SCAN finds; a cursor "C.k" is SCAN's own, and the k keys of what it
 * gives there that earlier pages had.
 */

static void
ngx_http_knock_api_user_list(ngx_http_knock_api_t *api,
    const knock_str_t *base)
{
    u_char                 *dot, *p, *last;
    ngx_int_t               skip;
    knock_error_t           err;
    ngx_http_knock_scan_t  *scan;

    scan = knock_arena_calloc(api->arena, 1, sizeof(ngx_http_knock_scan_t));
    if (scan == NULL) {
        ngx_http_knock_api_memory(api);
        return;
    }

    api->data = scan;
    scan->base = base;

    knock_str_set(&scan->cursor, "0");

    if (api->req.cursor.len) {
        last = api->req.cursor.data + api->req.cursor.len;
        dot = ngx_strlchr(api->req.cursor.data, last, '.');

        skip = dot ? ngx_atoi(dot + 1, (size_t) (last - (dot + 1)))
                   : NGX_ERROR;

        for (p = api->req.cursor.data; dot && p < dot; p++) {
            if (*p < '0' || *p > '9') {
                skip = NGX_ERROR;
            }
        }

        if (skip == NGX_ERROR || dot == api->req.cursor.data
            || (size_t) (dot - api->req.cursor.data) > NGX_INT64_LEN)
        {
            (void) knock_error_set(&err, KNOCK_E_INVALID_PARAMETER,
                                   "\"cursor\" is none that a page of users "
                                   "gave: begin without one");
            ngx_http_knock_api_error(api, &err);
            return;
        }

        scan->cursor = api->req.cursor;
        scan->cursor.len = (size_t) (dot - api->req.cursor.data);
        scan->skip = (size_t) skip;
    }

    ngx_http_knock_api_scan(api);
}


static void
ngx_http_knock_api_scan(ngx_http_knock_api_t *api)
{
    knock_buf_t             buf;
    knock_str_t             words[6];
    ngx_http_knock_scan_t  *scan;

    scan = api->data;

    /* neither a prefix nor an environment holds what a pattern would take
       for more than itself */

    knock_buf_init(&buf, api->arena, scan->base->len + 8);
    knock_buf_add_str(&buf, scan->base);
    knock_buf_add_lit(&buf, "user:*");

    knock_str_set(&words[0], "SCAN");
    words[1] = scan->cursor;
    knock_str_set(&words[2], "MATCH");
    knock_str_set(&words[4], "COUNT");
    knock_str_set(&words[5], "1000");

    if (knock_buf_str(&buf, &words[3]) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_scanned);
    ngx_http_knock_api_command(api, scan->base, words, 6);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_scanned(ngx_http_knock_api_t *api)
{
    size_t                   i, n;
    knock_buf_t              buf;
    knock_str_t              cursor;
    ngx_http_knock_scan_t   *scan;
    ngx_http_knock_reply_t  *reply, *keys;

    scan = api->data;
    reply = api->replies;

    if (reply->elements == NULL || reply->n != 2) {
        ngx_http_knock_api_memory(api);
        return;
    }

    cursor = reply->elements[0].str;
    keys = &reply->elements[1];

    if (keys->n <= scan->skip && !knock_str_is(&cursor, "0")
        && ++scan->rounds < NGX_HTTP_KNOCK_SCANS)
    {
        scan->cursor = cursor;
        scan->skip = 0;
        ngx_http_knock_api_scan(api);
        return;
    }

    n = keys->n > scan->skip ? keys->n - scan->skip : 0;

    knock_buf_init(&buf, api->arena, 64);

    if (n > api->req.limit) {
        n = api->req.limit;
        knock_buf_add_str(&buf, &scan->cursor);
        knock_buf_add_char(&buf, '.');
        knock_buf_add_uint(&buf, scan->skip + n);

    } else if (!knock_str_is(&cursor, "0")) {
        knock_buf_add_str(&buf, &cursor);
        knock_buf_add_lit(&buf, ".0");
    }

    if (knock_buf_str(&buf, &scan->next) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_step(api, ngx_http_knock_api_user_page);

    ngx_http_knock_api_function(api, "knock_user_list");

    for (i = 0; i < n; i++) {
        ngx_http_knock_api_raw_key(api, &keys->elements[scan->skip + i].str);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_user_page(ngx_http_knock_api_t *api)
{
    size_t                   i;
    knock_buf_t              buf;
    knock_str_t              json;
    ngx_http_knock_scan_t   *scan;
    ngx_http_knock_reply_t  *users;

    scan = api->data;
    users = api->replies;

    knock_buf_init(&buf, api->arena, 4096);
    knock_buf_add_lit(&buf, "{\"items\":[");

    for (i = 0; i < users->n; i++) {
        if (i) {
            knock_buf_add_char(&buf, ',');
        }

        knock_buf_add_str(&buf, &users->elements[i].str);
    }

    knock_buf_add_lit(&buf, "],\"cursor\":");

    if (scan->next.len) {
        knock_buf_add_json(&buf, &scan->next);

    } else {
        knock_buf_add_lit(&buf, "null");
    }

    knock_buf_add_lit(&buf, "}\n");

    if (knock_buf_str(&buf, &json) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}


static void
ngx_http_knock_api_test(ngx_http_knock_api_t *api, const knock_str_t *base)
{
    size_t                      i;
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
    in.base = *base;
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

    ngx_http_knock_api_step(api, ngx_http_knock_api_test_done);

    ngx_http_knock_api_function(api, "knock_test_run");
    ngx_http_knock_api_key(api, base, KNOCK_KEY_WORKFLOWS, NULL);
    ngx_http_knock_api_key(api, base, KNOCK_KEY_RUNS, NULL);

    for (i = 0; i < runs->n; i++) {
        ngx_http_knock_api_raw_key(api, &runs->keys[i]);
    }

    ngx_http_knock_api_arg(api, &req->key);
    ngx_http_knock_api_arg(api, &req->environment);

    for (i = 0; i < runs->n; i++) {
        ngx_http_knock_api_arg(api, &runs->runs[i]);
    }

    ngx_http_knock_api_send(api);
    ngx_http_knock_api_sent(api);
}


static void
ngx_http_knock_api_test_done(ngx_http_knock_api_t *api)
{
    knock_str_t              json;
    ngx_http_knock_reply_t  *reply;

    reply = api->replies;

    if (ngx_http_knock_api_status(reply) != NGX_HTTP_OK) {
        ngx_http_knock_api_relay(api);
        return;
    }

    if (knock_test_run_json(api->arena, api->data, &reply->elements[1].str,
                            &json)
        != KNOCK_OK)
    {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}

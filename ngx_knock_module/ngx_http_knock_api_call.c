
#include "ngx_http_knock_api.h"
#include "ngx_http_knock_send.h"
#include "knock_answer.h"


#define NGX_HTTP_KNOCK_REPLY_DEPTH  4


/* where the reply of a command goes, in the call's arena */

typedef struct {
    ngx_http_knock_api_t  *api;
    size_t                 index;
} ngx_http_knock_slot_t;


static void ngx_http_knock_api_push(ngx_http_knock_api_t *api,
    const knock_str_t *arg);
static void ngx_http_knock_api_reply_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static ngx_int_t ngx_http_knock_api_copy(knock_arena_t *arena,
    const redisReply *reply, ngx_uint_t depth, ngx_http_knock_reply_t *copy);
static void ngx_http_knock_api_done(ngx_http_knock_api_t *api);
static void ngx_http_knock_api_unavailable(ngx_http_knock_api_t *api);


#define NGX_HTTP_KNOCK_API_REPLIES  64


void
ngx_http_knock_api_step(ngx_http_knock_api_t *api,
    ngx_http_knock_api_step_pt next)
{
    api->next = next;
    api->failed = 0;
    api->nreplies = 0;

    /* until ngx_http_knock_api_sent() */
    api->pending = 1;
}


void
ngx_http_knock_api_function(ngx_http_knock_api_t *api, const char *name)
{
    knock_str_t  str;

    api->args.n = 0;
    api->nkeys = 0;

    knock_str_set(&str, "FCALL");
    ngx_http_knock_api_push(api, &str);

    ngx_http_knock_api_text(api, name);

    /* the number of keys, then the version that stands behind them */

    ngx_http_knock_api_text(api, "");
}


void
ngx_http_knock_api_key(ngx_http_knock_api_t *api, const knock_str_t *base,
    knock_key_e name, const knock_str_t *of)
{
    knock_str_t  key;

    if (knock_keys_make(api->arena, base, name, of, &key) != KNOCK_OK) {
        api->failed = 1;
        return;
    }

    ngx_http_knock_api_raw_key(api, &key);
}


void
ngx_http_knock_api_account_key(ngx_http_knock_api_t *api, const char *name)
{
    knock_buf_t  buf;
    knock_str_t  key, account, prefix;

    prefix = ngx_http_knock_str(&api->worker->conf->prefix);
    knock_str_set(&account, KNOCK_KEY_ACCOUNT);

    if (knock_keys_base(api->arena, &prefix, &account, &key) != KNOCK_OK) {
        api->failed = 1;
        return;
    }

    knock_buf_init(&buf, api->arena, key.len + 32);
    knock_buf_add_str(&buf, &key);
    knock_buf_add(&buf, name, ngx_strlen(name));

    if (knock_buf_str(&buf, &key) != KNOCK_OK) {
        api->failed = 1;
        return;
    }

    ngx_http_knock_api_raw_key(api, &key);
}


void
ngx_http_knock_api_raw_key(ngx_http_knock_api_t *api, const knock_str_t *key)
{
    ngx_http_knock_api_push(api, key);
    api->nkeys++;
}


/* the version is the first argument, so the keys end where one is added */

void
ngx_http_knock_api_arg(ngx_http_knock_api_t *api, const knock_str_t *arg)
{
    knock_str_t  version;

    if (api->args.n == 3 + api->nkeys) {
        knock_str_set(&version, KNOCK_LIBRARY_VERSION);
        ngx_http_knock_api_push(api, &version);
    }

    ngx_http_knock_api_push(api, arg);
}


void
ngx_http_knock_api_text(ngx_http_knock_api_t *api, const char *arg)
{
    knock_str_t  str;

    str.data = (u_char *) arg;
    str.len = ngx_strlen(arg);

    if (api->args.n < 3) {
        ngx_http_knock_api_push(api, &str);
        return;
    }

    ngx_http_knock_api_arg(api, &str);
}


void
ngx_http_knock_api_number(ngx_http_knock_api_t *api, size_t n)
{
    knock_buf_t  buf;
    knock_str_t  str;

    knock_buf_init(&buf, api->arena, NGX_SIZE_T_LEN);
    knock_buf_add_uint(&buf, n);

    if (knock_buf_str(&buf, &str) != KNOCK_OK) {
        api->failed = 1;
        return;
    }

    ngx_http_knock_api_arg(api, &str);
}


static void
ngx_http_knock_api_push(ngx_http_knock_api_t *api, const knock_str_t *arg)
{
    size_t        cap;
    knock_str_t  *items;

    if (api->args.n == api->args.cap) {
        cap = api->args.cap ? api->args.cap * 2 : 32;

        items = knock_arena_realloc(api->arena, api->args.items,
                                    api->args.cap * sizeof(knock_str_t),
                                    cap * sizeof(knock_str_t));
        if (items == NULL) {
            api->failed = 1;
            return;
        }

        api->args.items = items;
        api->args.cap = cap;
    }

    api->args.items[api->args.n++] = *arg;
}


void
ngx_http_knock_api_send(ngx_http_knock_api_t *api)
{
    knock_buf_t  buf;
    knock_str_t  version;

    if (api->args.n == 3 + api->nkeys) {
        knock_str_set(&version, KNOCK_LIBRARY_VERSION);
        ngx_http_knock_api_push(api, &version);
    }

    knock_buf_init(&buf, api->arena, NGX_SIZE_T_LEN);
    knock_buf_add_uint(&buf, api->nkeys);

    if (api->failed
        || knock_buf_str(&buf, &api->args.items[2]) != KNOCK_OK)
    {
        api->failed = 1;
        return;
    }

    ngx_http_knock_api_command(api, api->nkeys ? &api->args.items[3] : NULL,
                               api->args.items, api->args.n);
}


void
ngx_http_knock_api_command(ngx_http_knock_api_t *api, const knock_str_t *key,
    const knock_str_t *words, size_t n)
{
    size_t                   i;
    size_t                  *lens;
    ngx_int_t                rc;
    const char             **argv;
    ngx_http_knock_slot_t   *slot;
    ngx_http_knock_reply_t  *replies;

    if (api->nreplies % NGX_HTTP_KNOCK_API_REPLIES == 0) {
        replies = knock_arena_calloc(api->arena, api->nreplies
                                                 + NGX_HTTP_KNOCK_API_REPLIES,
                                     sizeof(ngx_http_knock_reply_t));
        if (replies == NULL) {
            ngx_http_knock_complain_memory(api->worker, "a call of the API");
            api->failed = 1;
            return;
        }

        if (api->nreplies) {
            ngx_memcpy(replies, api->replies,
                       api->nreplies * sizeof(ngx_http_knock_reply_t));
        }

        api->replies = replies;
    }

    slot = knock_arena_alloc(api->arena, sizeof(ngx_http_knock_slot_t));
    argv = knock_arena_alloc(api->arena, n * sizeof(char *));
    lens = knock_arena_alloc(api->arena, n * sizeof(size_t));

    if (slot == NULL || argv == NULL || lens == NULL) {
        ngx_http_knock_complain_memory(api->worker, "a call of the API");
        api->failed = 1;
        return;
    }

    for (i = 0; i < n; i++) {
        argv[i] = words[i].len ? (const char *) words[i].data : "";
        lens[i] = words[i].len;
    }

    slot->api = api;
    slot->index = api->nreplies;

    rc = api->reads
         ? ngx_http_knock_redis_read(api->worker->redis, key, n, argv, lens,
                                     ngx_http_knock_api_reply_handler, slot)
         : ngx_http_knock_redis_command(api->worker->redis, key, n, argv, lens,
                                        ngx_http_knock_api_reply_handler, slot);

    if (rc != NGX_OK) {
        ngx_http_knock_complain(api->worker, NULL,
                                "Redis cannot be asked for a call of the API: "
                                NGX_HTTP_KNOCK_REDIS_BUSY);
        api->failed = 1;
        return;
    }

    api->nreplies++;
    api->pending++;
    api->worker->ncalls++;
}


void
ngx_http_knock_api_sent(ngx_http_knock_api_t *api)
{
    api->pending--;

    if (api->pending == 0) {
        ngx_http_knock_api_done(api);
    }
}


static void
ngx_http_knock_api_reply_handler(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_slot_t *slot = data;

    ngx_http_knock_api_t     *api;
    ngx_http_knock_worker_t  *worker;

    api = slot->api;
    worker = api->worker;

    worker->ncalls--;
    api->pending--;

    if (status != NGX_HTTP_KNOCK_REDIS_OK) {
        api->failed = 1;

        ngx_http_knock_complain(worker, why, "Redis did not carry out a call "
                                "of the API: %V", why);

    } else if (ngx_http_knock_api_copy(api->arena, reply, 0,
                                       &api->replies[slot->index])
               != NGX_OK)
    {
        ngx_http_knock_complain_memory(worker, "a reply to a call of the "
                                       "API");
        api->failed = 1;
    }

    if (api->pending == 0) {
        ngx_http_knock_api_done(api);
    }

    ngx_http_knock_worker_check_retired(worker);
}


static ngx_int_t
ngx_http_knock_api_copy(knock_arena_t *arena, const redisReply *reply,
    ngx_uint_t depth, ngx_http_knock_reply_t *copy)
{
    size_t       i;
    knock_str_t  str;

    ngx_memzero(copy, sizeof(ngx_http_knock_reply_t));

    switch (reply->type) {

    case REDIS_REPLY_INTEGER:
        copy->integer = 1;
        copy->n = (size_t) reply->integer;
        return NGX_OK;

    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        str.len = reply->len;
        str.data = (u_char *) reply->str;

        return knock_arena_dup(arena, &str, &copy->str) == KNOCK_OK
               ? NGX_OK : NGX_ERROR;

    case REDIS_REPLY_ARRAY:
        if (depth == NGX_HTTP_KNOCK_REPLY_DEPTH) {
            return NGX_ERROR;
        }

        copy->n = reply->elements;
        copy->elements = knock_arena_calloc(arena, copy->n ? copy->n : 1,
                                            sizeof(ngx_http_knock_reply_t));
        if (copy->elements == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < copy->n; i++) {
            if (ngx_http_knock_api_copy(arena, reply->element[i], depth + 1,
                                        &copy->elements[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_knock_api_done(ngx_http_knock_api_t *api)
{
    if (api->request == NULL) {
        ngx_http_knock_api_release(api);
        return;
    }

    if (api->failed) {
        ngx_http_knock_api_unavailable(api);
        return;
    }

    api->next(api);
}


ngx_uint_t
ngx_http_knock_api_status(const ngx_http_knock_reply_t *reply)
{
    if (reply->elements == NULL || reply->n < 2
        || !reply->elements[0].integer)
    {
        return 0;
    }

    return reply->elements[0].n;
}


void
ngx_http_knock_api_relay(ngx_http_knock_api_t *api)
{
    size_t                   i;
    ngx_uint_t               status;
    knock_str_t              none = knock_null_string;
    ngx_http_knock_reply_t  *reply;

    reply = &api->replies[api->nreplies - 1];

    for (i = 0; i < api->nreplies; i++) {
        if (ngx_http_knock_api_status(&api->replies[i])
            >= NGX_HTTP_BAD_REQUEST)
        {
            reply = &api->replies[i];
            break;
        }
    }

    status = ngx_http_knock_api_status(reply);

    if (status == 0) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, status, &reply->elements[1].str,
                              reply->n > 2 ? &reply->elements[2].str : &none);
}


void
ngx_http_knock_api_answer(ngx_http_knock_api_t *api, ngx_uint_t status,
    const knock_str_t *json, const knock_str_t *etag)
{
    u_char              *p;
    ngx_int_t            rc;
    knock_str_t          none = knock_string("");
    ngx_http_request_t  *r;

    switch (ngx_http_knock_api_tell(api, status, json, etag)) {

    case NGX_OK:
        return;

    case NGX_ERROR:
        ngx_http_knock_api_memory(api);
        return;
    }

    r = api->request;

    if (etag && etag->len) {
        p = ngx_pnalloc(r->pool, etag->len + 3);

        if (p) {
            ngx_sprintf(p, "\"%*s\"%Z", etag->len, etag->data);
            (void) ngx_http_knock_add_header(r, "ETag", (char *) p);
        }

        if (knock_api_condition_names(&api->if_none_match, etag)) {
            status = NGX_HTTP_NOT_MODIFIED;
            json = &none;
        }
    }

    rc = ngx_http_knock_send(r, status, json);

    *api->cleanup = NULL;
    ngx_http_knock_api_release(api);

    ngx_http_knock_finalize(r, rc);
}


void
ngx_http_knock_api_list(ngx_http_knock_api_t *api, knock_buf_t *buf,
    const knock_str_t *cursor)
{
    knock_str_t  json;

    knock_buf_add_lit(buf, "],\"cursor\":");

    if (cursor->len) {
        knock_buf_add_json(buf, cursor);

    } else {
        knock_buf_add_lit(buf, "null");
    }

    knock_buf_add_lit(buf, "}\n");

    if (knock_buf_str(buf, &json) != KNOCK_OK) {
        ngx_http_knock_api_memory(api);
        return;
    }

    ngx_http_knock_api_answer(api, NGX_HTTP_OK, &json, NULL);
}


void
ngx_http_knock_api_error(ngx_http_knock_api_t *api, const knock_error_t *err)
{
    knock_str_t  json, none = knock_null_string;

    if (knock_answer_refused(api->arena, err, &none, &json) != KNOCK_OK) {
        knock_str_set(&json, "{\"error\":{\"code\":\"internal_error\","
                             "\"message\":\"no memory\"}}\n");
    }

    ngx_http_knock_api_answer(api, knock_error_status(err->code), &json, NULL);
}


void
ngx_http_knock_api_memory(ngx_http_knock_api_t *api)
{
    knock_error_t  err;

    ngx_http_knock_complain(api->worker, NULL,
                            "a call of the API was answered 500: Redis "
                            "answered what the function library does not (see "
                            "FUNCTION LIST, load the module's by FUNCTION LOAD "
                            "REPLACE), or there was no memory");

    (void) knock_error_set(&err, KNOCK_E_INTERNAL,
                           "this was not carried out: the server's error log "
                           "says why");
    ngx_http_knock_api_error(api, &err);
}


static void
ngx_http_knock_api_unavailable(ngx_http_knock_api_t *api)
{
    const char     *why;
    knock_error_t   err;

    why = ngx_http_knock_redis_unfit(api->worker->redis);

    (void) knock_error_set(&err, KNOCK_E_UNAVAILABLE,
                           "%s: look at what is there, then send it again",
                           why ? why : "Redis did not carry this out");

    ngx_http_knock_api_error(api, &err);
}


void
ngx_http_knock_api_release(ngx_http_knock_api_t *api)
{
    ngx_http_knock_worker_t  *worker;

    worker = api->worker;

    knock_arena_destroy(api->arena);
    ngx_free(api);

    worker->njobs--;

    ngx_http_knock_worker_check_retired(worker);
}


const knock_str_t *
ngx_http_knock_api_base(ngx_http_knock_api_t *api,
    const knock_str_t *environment)
{
    size_t         i;
    knock_error_t  err;

    for (i = 0; i < api->nenvironments; i++) {
        if (knock_str_eq(&api->environments[i], environment)) {
            return &api->bases[i];
        }
    }

    (void) knock_error_set(&err, KNOCK_E_NOT_FOUND,
                           "there is no environment \"%.*s\": GET "
                           "/v1/environments lists those there are",
                           (int) environment->len, environment->data);

    ngx_http_knock_api_error(api, &err);

    return NULL;
}


knock_str_t
ngx_http_knock_api_random(ngx_http_knock_api_t *api, size_t n)
{
    u_char       *bytes;
    knock_str_t   hex = knock_null_string;

    bytes = knock_arena_alloc(api->arena, 3 * n);

    if (bytes == NULL || knock_digest_random(bytes, n) != KNOCK_OK) {
        return hex;
    }

    hex.data = bytes + n;
    hex.len = (size_t) (ngx_hex_dump(hex.data, bytes, n) - hex.data);

    return hex;
}

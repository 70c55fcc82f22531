
/*
 * What of Redis' settings decides how far it can be relied on: whether it
 * throws away what it has acknowledged, and how much it takes at a time.  They
 * can be changed while it runs, so they are asked for at each log-in and, in
 * place of a PING, now and then.
 */

#include "ngx_http_knock_redis_internal.h"


#define NGX_HTTP_KNOCK_REDIS_EVICTS                                          \
    "the maxmemory-policy of Redis lets it throw away what it has "          \
    "acknowledged: set it to noeviction"


static void ngx_http_knock_redis_memory(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_judge_memory(
    ngx_http_knock_redis_node_t *node, redisReply *reply);
static void ngx_http_knock_redis_info(redisReply *reply, const char *name,
    ngx_str_t *value);
static void ngx_http_knock_redis_limits(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);
static void ngx_http_knock_redis_judge_limits(
    ngx_http_knock_redis_node_t *node, redisReply *reply);
static size_t ngx_http_knock_redis_limit(redisReply *reply, const char *name);
static ngx_int_t ngx_http_knock_redis_answered(
    ngx_http_knock_redis_node_t *node, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why);


ngx_int_t
ngx_http_knock_redis_ask_settings(ngx_http_knock_redis_node_t *node)
{
    static const char    *memory[] = { "INFO", "memory" };
    static const size_t   memory_len[] = { sizeof("INFO") - 1,
                                           sizeof("memory") - 1 };

    static const char    *limits[] = { "CONFIG", "GET", "proto-max-bulk-len",
                                       "client-query-buffer-limit" };
    static const size_t   limits_len[] = { sizeof("CONFIG") - 1,
                                           sizeof("GET") - 1,
                                           sizeof("proto-max-bulk-len") - 1,
                                     sizeof("client-query-buffer-limit") - 1 };

    if (ngx_http_knock_redis_question(node, 2, memory, memory_len,
                                      ngx_http_knock_redis_memory)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_knock_redis_question(node, 4, limits, limits_len,
                                         ngx_http_knock_redis_limits);
}


const char *
ngx_http_knock_redis_unfit(ngx_http_knock_redis_t *redis)
{
    return redis->cluster ? ngx_http_knock_redis_cluster_unfit(redis->cluster)
                          : redis->node->unfit;
}


static void
ngx_http_knock_redis_memory(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    switch (ngx_http_knock_redis_answered(node, status, reply, why)) {

    case NGX_OK:
        ngx_http_knock_redis_judge_memory(node, reply);
        break;

    case NGX_DECLINED:
        ngx_http_knock_redis_remark(node, NGX_HTTP_KNOCK_REDIS_ON_MEMORY,
                                    NGX_LOG_WARN,
                                    "refuses INFO, so that it is not known "
                                    "whether its maxmemory-policy is "
                                    "noeviction, as it must be; see to that, "
                                    "and allow it by ACL SETUSER: +info");
        ngx_http_knock_redis_passed(node);
    }
}


static void
ngx_http_knock_redis_judge_memory(ngx_http_knock_redis_node_t *node,
    redisReply *reply)
{
    ngx_str_t  bytes, policy;

    ngx_http_knock_redis_info(reply, "\nmaxmemory:", &bytes);
    ngx_http_knock_redis_info(reply, "\nmaxmemory_policy:", &policy);

    if (bytes.len == 0 || (bytes.len == 1 && bytes.data[0] == '0')
        || policy.len == 0
        || ngx_strncmp(policy.data, "noeviction", sizeof("noeviction") - 1)
           == 0)
    {
        ngx_http_knock_redis_unremark(node, NGX_HTTP_KNOCK_REDIS_ON_MEMORY);
        ngx_http_knock_redis_passed(node);
        return;
    }

    if (ngx_strncmp(policy.data, "volatile-", sizeof("volatile-") - 1) == 0) {

        ngx_http_knock_redis_remark(node, NGX_HTTP_KNOCK_REDIS_ON_MEMORY,
                                    NGX_LOG_WARN,
                                    "has the maxmemory-policy \"%V\": when its "
                                    "maxmemory is used up it throws away the "
                                    "marks of events, which expire, and "
                                    "repeats are applied again; set it to "
                                    "noeviction", &policy);
        ngx_http_knock_redis_passed(node);
        return;
    }

    node->unfit = NGX_HTTP_KNOCK_REDIS_EVICTS;

    ngx_http_knock_redis_why(node, "its maxmemory is %V, its maxmemory-policy "
                             "\"%V\": it would throw away users, marks and "
                             "runs; set it to noeviction", &bytes, &policy);

    if (node->state == NGX_HTTP_KNOCK_REDIS_GREETING) {
        ngx_http_knock_redis_not_let_in(node, &node->why);
        return;
    }

    /* what is on its way is waited for; the next log-in says it */

    node->draining = 1;
}


/* a field of INFO; empty: there is none */

static void
ngx_http_knock_redis_info(redisReply *reply, const char *name,
    ngx_str_t *value)
{
    char  *p;

    ngx_str_null(value);

    if (reply->type != REDIS_REPLY_STRING) {
        return;
    }

    p = ngx_strstr(reply->str, name);

    if (p) {
        value->data = (u_char *) p + ngx_strlen(name);
        value->len = strcspn((char *) value->data, CRLF);
    }
}


static void
ngx_http_knock_redis_limits(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    ngx_http_knock_redis_node_t *node = data;

    switch (ngx_http_knock_redis_answered(node, status, reply, why)) {

    case NGX_OK:
        ngx_http_knock_redis_judge_limits(node, reply);
        ngx_http_knock_redis_passed(node);
        break;

    case NGX_DECLINED:
        ngx_http_knock_redis_remark(node, NGX_HTTP_KNOCK_REDIS_ON_LIMITS,
                                    NGX_LOG_NOTICE,
                                    "refuses CONFIG GET, so that it is not "
                                    "known how long a command may be; allow "
                                    "it by ACL SETUSER: +config|get");
        ngx_http_knock_redis_passed(node);
    }
}


/*
 * An argument is read whole into the query buffer, with CR LF behind it.  The
 * commands of a transaction count as a part of that from Redis 7.2 on.
 */

static void
ngx_http_knock_redis_judge_limits(ngx_http_knock_redis_node_t *node,
    redisReply *reply)
{
    size_t  bulk, buffer, most;

    bulk = ngx_http_knock_redis_limit(reply, "proto-max-bulk-len");
    buffer = ngx_http_knock_redis_limit(reply, "client-query-buffer-limit");

    node->max_arg = ngx_min(bulk, buffer - (sizeof(CRLF) - 1));
    node->max_len = buffer;

    most = node->conf->max_pending_bytes;

    if (bulk >= most && buffer >= most) {
        ngx_http_knock_redis_unremark(node, NGX_HTTP_KNOCK_REDIS_ON_LIMITS);
        return;
    }

    ngx_http_knock_redis_remark(node, NGX_HTTP_KNOCK_REDIS_ON_LIMITS,
                                NGX_LOG_WARN,
                                "has proto-max-bulk-len %uz and "
                                "client-query-buffer-limit %uz, less than "
                                "max_pending_bytes= allows for, %uz: what is "
                                "longer gets 503; raise them", bulk, buffer,
                                most);
}


/* a setting that CONFIG GET told; where it did not, there is no limit */

static size_t
ngx_http_knock_redis_limit(redisReply *reply, const char *name)
{
    size_t       i;
    ssize_t      n;
    redisReply  *value;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return NGX_MAX_SIZE_T_VALUE;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {

        value = reply->element[i + 1];

        if (reply->element[i]->type != REDIS_REPLY_STRING
            || value->type != REDIS_REPLY_STRING
            || ngx_strcmp(reply->element[i]->str, name) != 0)
        {
            continue;
        }

        n = ngx_atosz((u_char *) value->str, (size_t) value->len);

        return n > 0 ? (size_t) n : NGX_MAX_SIZE_T_VALUE;
    }

    return NGX_MAX_SIZE_T_VALUE;
}


/*
 * NGX_OK: there is an answer; NGX_DECLINED: it may not be asked; NGX_ERROR:
 * another time, and where it was to be let in, it has failed.
 */

static ngx_int_t
ngx_http_knock_redis_answered(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why)
{
    if (status == NGX_HTTP_KNOCK_REDIS_OK) {
        return NGX_OK;
    }

    if (ngx_http_knock_redis_is_denied(status, reply)) {
        return NGX_DECLINED;
    }

    if (node->state == NGX_HTTP_KNOCK_REDIS_GREETING && reply) {
        ngx_http_knock_redis_not_let_in(node, why);
    }

    return NGX_ERROR;
}


ngx_uint_t
ngx_http_knock_redis_is_denied(ngx_http_knock_redis_status_e status,
    redisReply *reply)
{
    return status == NGX_HTTP_KNOCK_REDIS_ERROR
           || (status == NGX_HTTP_KNOCK_REDIS_RETRY
               && ngx_strncmp(reply->str, "NOPERM", sizeof("NOPERM") - 1)
                  == 0);
}


ngx_int_t
ngx_http_knock_redis_refuse_long(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_str_t  why;

    if ((node->max_arg == 0 || cmd->longest <= node->max_arg)
        && (node->max_len == 0 || cmd->parts == 1
            || cmd->len <= node->max_len))
    {
        return NGX_DECLINED;
    }

    ngx_str_set(&why, "it is longer than Redis takes a command: raise its "
                "proto-max-bulk-len and client-query-buffer-limit");

    ngx_http_knock_redis_done(node, cmd, NGX_HTTP_KNOCK_REDIS_TOO_LONG, NULL,
                              &why);

    return NGX_OK;
}


void ngx_cdecl
ngx_http_knock_redis_remark(ngx_http_knock_redis_node_t *node, ngx_uint_t on,
    ngx_uint_t level, const char *fmt, ...)
{
    va_list    args;
    u_char     text[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];
    ngx_str_t  remark;

    va_start(args, fmt);
    remark.len = (size_t) (ngx_vslprintf(text, text + sizeof(text), fmt, args)
                           - text);
    va_end(args);

    remark.data = text;

    if (ngx_http_knock_redis_is_news(node, on, &remark)) {
        ngx_log_error(level, node->cycle->log, 0, "Redis \"%V\" %V",
                      &node->server.url, &remark);
    }
}


void
ngx_http_knock_redis_unremark(ngx_http_knock_redis_node_t *node, ngx_uint_t on)
{
    node->remarks[on] = 0;
}


ngx_uint_t
ngx_http_knock_redis_is_news(ngx_http_knock_redis_node_t *node, ngx_uint_t on,
    ngx_str_t *text)
{
    uint32_t  last;

    last = node->remarks[on];
    node->remarks[on] = ngx_crc32_long(text->data, text->len);

    return node->remarks[on] != last;
}

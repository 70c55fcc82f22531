
/*
 * The text of a command, written in the protocol of Redis: "*", the number of
 * arguments, then each as "$", its length and its bytes.  That of a
 * transaction is the texts of its commands.  A record that is free keeps its
 * memory for the next command, as there is one all the time.
 */

#include "ngx_http_knock_redis_internal.h"


/* what is kept of all free records together */
#define NGX_HTTP_KNOCK_REDIS_KEEP       (512 * 1024)

#define NGX_HTTP_KNOCK_REDIS_TEXT_UNIT  ((size_t) 4096)


static ngx_http_knock_redis_command_t *ngx_http_knock_redis_record(
    ngx_http_knock_redis_t *redis, size_t size);
static u_char *ngx_http_knock_redis_count(u_char *p, u_char type, size_t n);


ngx_http_knock_redis_command_t *
ngx_http_knock_redis_format(ngx_http_knock_redis_t *redis,
    const size_t *argc, ngx_uint_t n, const char **argv,
    const size_t *argvlen)
{
    u_char                          *p;
    size_t                           size;
    ngx_uint_t                       i, j, arg;
    ngx_http_knock_redis_command_t  *cmd;

    size = n * NGX_HTTP_KNOCK_REDIS_OVERHEAD;

    for (arg = 0, i = 0; i < n; i++) {
        for (j = 0; j < argc[i]; j++, arg++) {
            size += argvlen[arg] + NGX_HTTP_KNOCK_REDIS_OVERHEAD;
        }
    }

    cmd = ngx_http_knock_redis_record(redis, size);
    if (cmd == NULL) {
        return NULL;
    }

    p = cmd->text;

    for (arg = 0, i = 0; i < n; i++) {
        p = ngx_http_knock_redis_count(p, '*', argc[i]);

        for (j = 0; j < argc[i]; j++, arg++) {
            p = ngx_http_knock_redis_count(p, '$', argvlen[arg]);
            p = ngx_cpymem(p, argv[arg], argvlen[arg]);
            *p++ = CR;
            *p++ = LF;
        }
    }

    cmd->len = (size_t) (p - cmd->text);
    cmd->resent = 0;
    cmd->hops = 0;
    cmd->asking = 0;
    cmd->parts = n;
    cmd->answer = 0;

    ngx_http_knock_redis_rewind(redis, cmd);

    return cmd;
}


void
ngx_http_knock_redis_rewind(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    ngx_memzero(&cmd->buf, sizeof(ngx_buf_t));

    cmd->buf.pos = cmd->text;
    cmd->buf.last = cmd->buf.pos + cmd->len;
    cmd->buf.start = cmd->buf.pos;
    cmd->buf.end = cmd->buf.last;
    cmd->buf.memory = 1;
    cmd->buf.flush = 1;

    cmd->part = 0;

    cmd->deadline = ngx_current_msec + redis->conf->timeout;
}


void
ngx_http_knock_redis_release(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd)
{
    if (cmd->size > NGX_HTTP_KNOCK_REDIS_KEEP - redis->kept) {
        ngx_free(cmd->text);
        cmd->text = NULL;
        cmd->size = 0;
    }

    redis->kept += cmd->size;

    ngx_queue_insert_head(&redis->free, &cmd->queue);
}


void
ngx_http_knock_redis_release_all(ngx_http_knock_redis_t *redis)
{
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    for (q = ngx_queue_head(&redis->free);
         q != ngx_queue_sentinel(&redis->free);
         q = ngx_queue_next(q))
    {
        cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

        if (cmd->text) {
            ngx_free(cmd->text);
        }
    }

    ngx_queue_init(&redis->free);
}


/* a record whose text has room for `size` bytes */

static ngx_http_knock_redis_command_t *
ngx_http_knock_redis_record(ngx_http_knock_redis_t *redis, size_t size)
{
    u_char                          *text;
    ngx_queue_t                     *q;
    ngx_http_knock_redis_command_t  *cmd;

    if (ngx_queue_empty(&redis->free)) {

        cmd = ngx_pcalloc(redis->pool, sizeof(ngx_http_knock_redis_command_t));
        if (cmd == NULL) {
            return NULL;
        }

        ngx_queue_insert_head(&redis->free, &cmd->queue);
    }

    q = ngx_queue_head(&redis->free);
    cmd = ngx_queue_data(q, ngx_http_knock_redis_command_t, queue);

    if (cmd->size < size) {

        size = ngx_align(size, NGX_HTTP_KNOCK_REDIS_TEXT_UNIT);

        text = ngx_alloc(size, redis->cycle->log);
        if (text == NULL) {
            return NULL;
        }

        if (cmd->text) {
            ngx_free(cmd->text);
        }

        redis->kept += size - cmd->size;

        cmd->text = text;
        cmd->size = size;
    }

    redis->kept -= cmd->size;

    ngx_queue_remove(q);

    return cmd;
}


static u_char *
ngx_http_knock_redis_count(u_char *p, u_char type, size_t n)
{
    size_t   rest;
    u_char  *last;

    *p++ = type;

    last = p + 1;

    for (rest = n; rest >= 10; rest /= 10) {
        last++;
    }

    p = last;

    do {
        *--p = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    *last++ = CR;
    *last++ = LF;

    return last;
}

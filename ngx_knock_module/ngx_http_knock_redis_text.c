
/*
 * The text of a command, written in the protocol of Redis: "*", the number of
 * arguments, then each as "$", its length and its bytes.  That of a
 * transaction is the texts of its commands, with a gate behind MULTI.  A record
 * that is free keeps its memory for the next command, as there is one all the
 * time.
 *
 * Where MULTI is refused, Redis would do one by one what comes behind it, and
 * it has that in its buffers already.  So the next command waits for something
 * that never comes, unless it is in a transaction, where nothing waits: Redis
 * stands there until the connection is closed, and what is behind is lost
 * with it.
 */

#include "ngx_http_knock_redis_internal.h"
#include "knock_keys.h"


/* what is kept of all free records together */
#define NGX_HTTP_KNOCK_REDIS_KEEP       (512 * 1024)

#define NGX_HTTP_KNOCK_REDIS_TEXT_UNIT  ((size_t) 4096)

/* what the gate of a transaction takes, but for what its key begins with */
#define NGX_HTTP_KNOCK_REDIS_GATE_SIZE                                       \
    (4 * NGX_HTTP_KNOCK_REDIS_OVERHEAD + sizeof("BLPOP:gate0"))


static ngx_http_knock_redis_command_t *ngx_http_knock_redis_record(
    ngx_http_knock_redis_t *redis, size_t size);
static u_char *ngx_http_knock_redis_gate(u_char *p, const knock_str_t *key);
static u_char *ngx_http_knock_redis_arg(u_char *p, const char *data,
    size_t len);
static u_char *ngx_http_knock_redis_count(u_char *p, u_char type, size_t n);


ngx_http_knock_redis_command_t *
ngx_http_knock_redis_format(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, const size_t *argc, ngx_uint_t n,
    const char **argv, const size_t *argvlen)
{
    u_char                          *p;
    size_t                           size, longest;
    ngx_uint_t                       i, j, arg;
    ngx_http_knock_redis_command_t  *cmd;

    longest = 0;
    size = n * NGX_HTTP_KNOCK_REDIS_OVERHEAD;

    if (n > 1) {
        size += NGX_HTTP_KNOCK_REDIS_GATE_SIZE + key->len;
    }

    for (arg = 0, i = 0; i < n; i++) {
        for (j = 0; j < argc[i]; j++, arg++) {
            size += argvlen[arg] + NGX_HTTP_KNOCK_REDIS_OVERHEAD;
            longest = ngx_max(longest, argvlen[arg]);
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
            p = ngx_http_knock_redis_arg(p, argv[arg], argvlen[arg]);
        }

        if (i == 0 && n > 1) {
            p = ngx_http_knock_redis_gate(p, key);
        }
    }

    cmd->len = (size_t) (p - cmd->text);
    cmd->longest = longest;
    cmd->resent = 0;
    cmd->hops = 0;
    cmd->asking = 0;
    cmd->question = 0;
    cmd->parts = n > 1 ? n + 1 : n;
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
ngx_http_knock_redis_gate(u_char *p, const knock_str_t *key)
{
    knock_str_t         base;
    const knock_str_t  *name;

    base = ngx_http_knock_redis_base(key);
    name = knock_keys_text(KNOCK_KEY_GATE);

    p = ngx_http_knock_redis_count(p, '*', 3);
    p = ngx_http_knock_redis_arg(p, "BLPOP", sizeof("BLPOP") - 1);
    p = ngx_http_knock_redis_count(p, '$', base.len + 1 + name->len);
    p = ngx_sprintf(p, "%*s:%*s" CRLF, base.len, base.data, name->len,
                    name->data);

    return ngx_http_knock_redis_arg(p, "0", 1);
}


knock_str_t
ngx_http_knock_redis_base(const knock_str_t *key)
{
    u_char       *p;
    knock_str_t   base;

    p = ngx_strlchr(key->data, key->data + key->len, '}');

    base.data = key->data;
    base.len = p ? (size_t) (p - key->data) + 1 : key->len;

    return base;
}


static u_char *
ngx_http_knock_redis_arg(u_char *p, const char *data, size_t len)
{
    p = ngx_http_knock_redis_count(p, '$', len);
    p = ngx_cpymem(p, data, len);
    *p++ = CR;
    *p++ = LF;

    return p;
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

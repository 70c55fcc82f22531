
#include "redis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>


#define REDIS_OUT_SIZE   65536
#define REDIS_WORDS_MAX  32


static void redis_write(redis_t *redis, const char *data, size_t len);
static void redis_put(redis_t *redis, const char *data, size_t len);
static void redis_read(redis_t *redis);
static void redis_die(redis_t *redis, const char *what)
    __attribute__((noreturn));


void
redis_connect(redis_t *redis, const char *path)
{
    struct sockaddr_un  addr;

    memset(redis, 0, sizeof(redis_t));
    memset(&addr, 0, sizeof(addr));

    redis->path = path;
    redis->in_size = 1024 * 1024;
    redis->out = malloc(REDIS_OUT_SIZE);
    redis->in = malloc(redis->in_size);

    if (redis->out == NULL || redis->in == NULL) {
        redis_die(redis, "no memory");
    }

    addr.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        redis_die(redis, "the path is too long for a socket");
    }

    memcpy(addr.sun_path, path, strlen(path));

    redis->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (redis->fd == -1
        || connect(redis->fd, (struct sockaddr *) &addr, sizeof(addr)) == -1)
    {
        redis_die(redis, strerror(errno));
    }
}


void
redis_add(redis_t *redis, ...)
{
    int          n, i;
    char         head[32];
    va_list      args;
    const char  *word, *words[REDIS_WORDS_MAX];

    va_start(args, redis);

    for (n = 0; n < REDIS_WORDS_MAX; n++) {
        word = va_arg(args, const char *);

        if (word == NULL) {
            break;
        }

        words[n] = word;
    }

    va_end(args);

    redis_put(redis, head, (size_t) snprintf(head, sizeof(head), "*%d\r\n", n));

    for (i = 0; i < n; i++) {
        redis_put(redis, head, (size_t) snprintf(head, sizeof(head),
                                                 "$%zu\r\n",
                                                 strlen(words[i])));
        redis_put(redis, words[i], strlen(words[i]));
        redis_put(redis, "\r\n", 2);
    }
}


void
redis_flush(redis_t *redis)
{
    redis_write(redis, redis->out, redis->out_len);
    redis->out_len = 0;
}


int64_t
redis_reply(redis_t *redis, json_slice_t *text)
{
    char     *line, *end, type;
    size_t    len;
    int64_t   n;

    for ( ;; ) {
        line = redis->in + redis->in_pos;
        end = memchr(line, '\n', redis->in_len - redis->in_pos);

        if (end) {
            break;
        }

        redis_read(redis);
    }

    type = *line;

    if (type == '-') {
        end[-1] = '\0';
        redis_die(redis, line);
    }

    n = strtoll(line + 1, NULL, 10);

    redis->in_pos += (size_t) (end + 1 - line);

    if (type != '$' || n < 0) {
        return n;
    }

    len = (size_t) n + 2;

    while (redis->in_len - redis->in_pos < len) {
        redis_read(redis);
    }

    if (text) {
        text->data = redis->in + redis->in_pos;
        text->len = (size_t) n;
    }

    redis->in_pos += len;

    return n;
}


static void
redis_put(redis_t *redis, const char *data, size_t len)
{
    if (redis->out_len + len > REDIS_OUT_SIZE) {
        redis_flush(redis);
    }

    if (len > REDIS_OUT_SIZE) {
        redis_write(redis, data, len);
        return;
    }

    memcpy(redis->out + redis->out_len, data, len);
    redis->out_len += len;
}


static void
redis_write(redis_t *redis, const char *data, size_t len)
{
    ssize_t  n;

    while (len) {
        n = send(redis->fd, data, len, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            redis_die(redis, strerror(errno));
        }

        data += n;
        len -= (size_t) n;
    }
}


/* Reads more, behind what has not been taken. */

static void
redis_read(redis_t *redis)
{
    char     *in;
    size_t    left;
    ssize_t   n;

    left = redis->in_len - redis->in_pos;

    memmove(redis->in, redis->in + redis->in_pos, left);

    redis->in_pos = 0;
    redis->in_len = left;

    if (redis->in_len == redis->in_size) {
        in = realloc(redis->in, redis->in_size * 2);

        if (in == NULL) {
            redis_die(redis, "no memory");
        }

        redis->in = in;
        redis->in_size *= 2;
    }

    do {
        n = recv(redis->fd, redis->in + redis->in_len,
                 redis->in_size - redis->in_len, 0);

    } while (n == -1 && errno == EINTR);

    if (n <= 0) {
        redis_die(redis, n ? strerror(errno) : "it closed the connection");
    }

    redis->in_len += (size_t) n;
}


static void
redis_die(redis_t *redis, const char *what)
{
    (void) fprintf(stderr, "Redis at %s: %s\n", redis->path, what);
    exit(2);
}

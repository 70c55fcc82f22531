
#define _GNU_SOURCE

#include "load_run.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


#define LOAD_EVENTS     256
#define LOAD_IN_SIZE    4096
#define LOAD_IN_MAX     (16 * 1024 * 1024)
#define LOAD_LOST_MAX   100
#define LOAD_BODY_MAX   128         /* of an answer without errors in it */
#define LOAD_USER_CONN  0xffffff


static int load_wait_uring(load_t *load, int64_t ns);
static int load_receive(load_t *load, load_conn_t *c);
static uint64_t load_user(load_t *load, load_conn_t *c, load_state_e done);
static int load_connect(load_t *load, load_conn_t *c);
static int load_poll_out(load_t *load, load_conn_t *c, int on);
static int load_read(load_t *load, load_conn_t *c);
static int load_received(load_t *load, load_conn_t *c, ssize_t n);
static int load_room(load_conn_t *c);
static int load_lost(load_t *load, load_conn_t *c);
static int load_answer(load_t *load, load_conn_t *c);
static void load_judge(load_t *load, load_conn_t *c, unsigned status,
    const char *body, size_t len);


int
load_conns_open(load_t *load)
{
    unsigned      i, n;
    load_conn_t  *c;

    n = load->conf->connections;

    /* a send and a receive on each */

    load->use_uring = load->conf->uring
                      && load_uring_init(&load->uring,
                                         n < 2048 ? 2 * n : 4096) == 0;

    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->conns = calloc(n, sizeof(load_conn_t));
    load->idle = calloc(n, sizeof(load_conn_t *));

    if (load->epoll == -1 || load->conns == NULL || load->idle == NULL) {
        perror("load: epoll or memory");
        return -1;
    }

    for (i = 0; i < n; i++) {
        c = &load->conns[i];

        if (load_connect(load, c) != 0) {
            return -1;
        }

        load->idle[n - 1 - i] = c;
    }

    load->nidle = n;

    return 0;
}


int
load_send(load_t *load, load_conn_t *c)
{
    ssize_t   n;

    if (load->use_uring) {

        if (load_uring_send(&load->uring, c->fd, c->out, c->out_len,
                            load_user(load, c, LOAD_SENDING))
            != 0)
        {
            perror("load: io_uring");
            return -1;
        }

        c->state = LOAD_WAITING;

        return load_receive(load, c);
    }

    for ( ;; ) {
        n = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            if (errno != EAGAIN) {
                return load_lost(load, c);
            }

            n = 0;
        }

        c->out += n;
        c->out_len -= (size_t) n;

        if (c->out_len == 0) {
            c->state = LOAD_WAITING;
            return c->polled_out ? load_poll_out(load, c, 0) : 0;
        }

        if (n == 0) {
            break;
        }
    }

    return c->polled_out ? 0 : load_poll_out(load, c, 1);
}


int
load_conns_wait(load_t *load, int64_t ns)
{
    int                  i, n;
    load_conn_t         *c;
    struct timespec      ts;
    struct epoll_event   events[LOAD_EVENTS];

    if (load->use_uring) {
        return load_wait_uring(load, ns);
    }

    ts.tv_sec = ns / 1000000000;
    ts.tv_nsec = ns % 1000000000;

    n = epoll_pwait2(load->epoll, events, LOAD_EVENTS, &ts, NULL);

    if (n == -1 && errno != EINTR) {
        perror("load: epoll_pwait2");
        return -1;
    }

    for (i = 0; i < n; i++) {
        c = events[i].data.ptr;

        if ((events[i].events & EPOLLOUT) && c->state == LOAD_SENDING
            && load_send(load, c) != 0)
        {
            return -1;
        }

        if ((events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
            && load_read(load, c) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
load_wait_uring(load_t *load, int64_t ns)
{
    int32_t       result;
    uint64_t      user;
    load_conn_t  *c;

    if (load_uring_wait(&load->uring, ns) != 0) {
        perror("load: io_uring");
        return -1;
    }

    while (load_uring_next(&load->uring, &user, &result)) {

        c = &load->conns[user & LOAD_USER_CONN];

        if (user != load_user(load, c, LOAD_SENDING)
            && user != load_user(load, c, LOAD_WAITING))
        {
            /* of a connection that is gone */
            continue;
        }

        if (user == load_user(load, c, LOAD_SENDING)) {

            /* only failures are reported */

            if (load_lost(load, c) != 0) {
                return -1;
            }

            continue;
        }

        c->receiving = 0;

        if (load_received(load, c, result) != 0) {
            return -1;
        }

        /* more of the same answer */

        if (c->state == LOAD_WAITING && !c->receiving
            && load_receive(load, c) != 0)
        {
            return -1;
        }
    }

    return 0;
}


/* Asks io_uring for what comes on a connection. */

static int
load_receive(load_t *load, load_conn_t *c)
{
    if (load_room(c) != 0) {
        return -1;
    }

    if (load_uring_recv(&load->uring, c->fd, c->in + c->in_len,
                        c->in_size - c->in_len,
                        load_user(load, c, LOAD_WAITING))
        != 0)
    {
        perror("load: io_uring");
        return -1;
    }

    c->receiving = 1;

    return 0;
}


/* What a completion is told by: connection, its generation, what was done. */

static uint64_t
load_user(load_t *load, load_conn_t *c, load_state_e done)
{
    return (uint64_t) (c - load->conns) | (uint64_t) done << 24
           | (uint64_t) c->generation << 32;
}


/* Blocking: on one machine this is done at once. */

static int
load_connect(load_t *load, load_conn_t *c)
{
    int                 fd, on;
    struct epoll_event  ev;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1 || connect(fd, (struct sockaddr *) &load->addr,
                            sizeof(load->addr)) == -1)
    {
        (void) fprintf(stderr, "load: cannot connect to %s:%u: %s\n",
                       load->conf->host, load->conf->port, strerror(errno));

        if (fd != -1) {
            (void) close(fd);
        }

        return -1;
    }

    on = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    /* one that paces itself, as the system's may, is out of place here */

    (void) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);

    memset(&ev, 0, sizeof(ev));
    ev.events = EPOLLIN;
    ev.data.ptr = c;

    if (!load->use_uring
        && epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
    {
        perror("load: epoll_ctl");
        (void) close(fd);
        return -1;
    }

    c->fd = fd;
    c->state = LOAD_IDLE;
    c->polled_out = 0;
    c->receiving = 0;
    c->generation++;
    c->in_len = 0;

    return 0;
}


static int
load_poll_out(load_t *load, load_conn_t *c, int on)
{
    struct epoll_event  ev;

    memset(&ev, 0, sizeof(ev));
    ev.events = EPOLLIN | (on ? EPOLLOUT : 0);
    ev.data.ptr = c;

    c->polled_out = on;

    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, c->fd, &ev) == -1) {
        perror("load: epoll_ctl");
        return -1;
    }

    return 0;
}


static int
load_read(load_t *load, load_conn_t *c)
{
    ssize_t   n;

    if (load_room(c) != 0) {
        return -1;
    }

    n = recv(c->fd, c->in + c->in_len, c->in_size - c->in_len, MSG_DONTWAIT);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    return load_received(load, c, n);
}


/* What has come: n octets, an end (0), or a failure. */

static int
load_received(load_t *load, load_conn_t *c, ssize_t n)
{
    if (n > 0 && c->state != LOAD_IDLE) {
        c->in_len += (size_t) n;

        return load_answer(load, c);
    }

    if (n == 0 && c->state == LOAD_IDLE) {

        /* kept long enough, it thinks */

        (void) close(c->fd);

        return load_connect(load, c);
    }

    return load_lost(load, c);
}


/* Makes room for more of an answer. */

static int
load_room(load_conn_t *c)
{
    char    *in;
    size_t   size;

    if (c->in_len < c->in_size) {
        return 0;
    }

    size = c->in_size ? c->in_size * 2 : LOAD_IN_SIZE;
    in = size <= LOAD_IN_MAX ? realloc(c->in, size) : NULL;

    if (in == NULL) {
        (void) fprintf(stderr, "load: an answer is longer than %zu bytes\n",
                       c->in_size);
        return -1;
    }

    c->in = in;
    c->in_size = size;

    return 0;
}


/* A connection ended with a request under way, or said what none asked. */

static int
load_lost(load_t *load, load_conn_t *c)
{
    load_result_t  *result;

    result = load->result;
    result->lost++;

    if (result->first_bad[0] == '\0') {
        (void) snprintf(result->first_bad, sizeof(result->first_bad),
                        "the server closed a connection with a request under "
                        "way, or answered none");
    }

    if (result->lost > LOAD_LOST_MAX) {
        (void) fprintf(stderr, "load: the server has closed more than %d "
                               "connections with a request under way\n",
                       LOAD_LOST_MAX);
        return -1;
    }

    /* what io_uring still does with it is of the generation that ends here */

    (void) shutdown(c->fd, SHUT_RDWR);
    (void) close(c->fd);

    if (c->state != LOAD_IDLE) {
        load->idle[load->nidle++] = c;
    }

    return load_connect(load, c);
}


/* Looks whether an answer is complete; if so judges it. */

static int
load_answer(load_t *load, load_conn_t *c)
{
    int          closes;
    char        *body, *p, *end;
    size_t       head, len;
    unsigned     status;
    const char  *line;

    body = memmem(c->in, c->in_len, "\r\n\r\n", 4);

    if (body == NULL) {
        return 0;
    }

    body += 4;
    head = (size_t) (body - c->in);

    if (head < 16 || memcmp(c->in, "HTTP/1.1 ", 9) != 0) {
        return load_lost(load, c);
    }

    status = (unsigned) strtoul(c->in + 9, NULL, 10);
    len = SIZE_MAX;
    closes = 0;

    for (p = c->in; p < body - 2; p = end + 1) {
        end = memchr(p, '\n', (size_t) (body - p));
        line = p;

        if (end - p > 16 && strncasecmp(line, "content-length: ", 16) == 0) {
            len = strtoul(line + 16, NULL, 10);

        } else if (end - p > 17
                   && strncasecmp(line, "connection: close", 17) == 0)
        {
            closes = 1;
        }
    }

    if (len == SIZE_MAX || status >= LOAD_STATUSES) {
        (void) fprintf(stderr, "load: an answer has no Content-Length, or an "
                               "odd status: %.*s\n", (int) head, c->in);
        return -1;
    }

    if (c->in_len < head + len) {
        return 0;
    }

    load_judge(load, c, status, body, len);

    if (c->in_len > head + len || c->state != LOAD_WAITING) {

        /* more than was asked for, or before it was */

        return load_lost(load, c);
    }

    c->in_len = 0;

    if (closes) {
        (void) close(c->fd);

        if (load_connect(load, c) != 0) {
            return -1;
        }
    }

    return load_free(load, c);
}


static void
load_judge(load_t *load, load_conn_t *c, unsigned status, const char *body,
    size_t len)
{
    int             n, right;
    char            want[LOAD_BODY_MAX];
    uint64_t        now;
    load_result_t  *result;

    result = load->result;
    now = load_now();
    load->last = now;

    result->statuses[status]++;

    right = (status == 200);

    if (right && load->conf->expect != LOAD_ANY) {

        n = load->conf->expect == LOAD_EXACT
            ? snprintf(want, sizeof(want),
                       "{\"accepted\":%u,\"duplicates\":%u,\"ignored\":%u,"
                       "\"runs\":%u,\"errors\":[]}",
                       c->events - c->repeats - c->ignored, c->repeats,
                       c->ignored, c->runs)
            : snprintf(want, sizeof(want),
                       "{\"accepted\":0,\"duplicates\":%u,\"ignored\":0,"
                       "\"runs\":0,\"errors\":[]}", c->events);

        /* a line's end may follow */

        right = (len >= (size_t) n && len <= (size_t) n + 2
                 && memcmp(body, want, (size_t) n) == 0);

        result->wrong += !right;
    }

    if (right) {
        result->ok++;

    } else if (result->first_bad[0] == '\0') {
        (void) snprintf(result->first_bad, sizeof(result->first_bad),
                        "%u: %.*s", status, (int) (len < 400 ? len : 400),
                        body);
    }

    /* in a closed loop what comes after its time does not count */

    if (load->measuring
        && (load->total ? c->due >= load->begin : !load->stopped))
    {
        result->requests++;
        result->done += c->events;
        bench_hist_add(&result->hist, now - c->due);
    }
}

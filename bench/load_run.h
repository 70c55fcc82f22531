/*
 * A run of the load generator: load_run.c has its course, load_request.c makes
 * the requests, load_conn.c sends them and judges the answers.
 *
 * The generator may have to share a processor with the server's Redis, so it
 * has to be cheap: what it sends and receives goes by io_uring, all that is
 * ready in one system call.  Where the kernel has none it goes by epoll.
 */

#ifndef BENCH_LOAD_RUN_H
#define BENCH_LOAD_RUN_H


#include <netinet/in.h>
#include <time.h>

#include "load.h"
#include "load_uring.h"


#define LOAD_NO_EVENT  UINT64_MAX


typedef enum {
    LOAD_IDLE = 0,
    LOAD_SENDING,
    LOAD_WAITING
} load_state_e;


typedef struct {
    int                  fd;
    load_state_e         state;
    int                  polled_out;    /* epoll */
    int                  receiving;     /* io_uring */
    uint32_t             generation;    /* of the connection, io_uring */

    const char          *out;           /* what is still to be sent */
    size_t               out_len;
    char                *own;           /* the memory of requests */
    size_t               own_size;

    char                *in;
    size_t               in_len;
    size_t               in_size;

    uint64_t             due;           /* ns */
    uint64_t             first;         /* event of the request under way */
    uint32_t             events;        /* in it */
    uint32_t             repeats;
    uint32_t             ignored;       /* no repeats */
    uint32_t             runs;
} load_conn_t;


typedef struct {
    load_conf_t         *conf;
    load_result_t       *result;

    int                  use_uring;
    load_uring_t         uring;
    int                  epoll;
    struct sockaddr_in   addr;
    load_conn_t         *conns;
    load_conn_t        **idle;
    unsigned             nidle;

    uint64_t             total;         /* requests to send, 0: until end */
    uint64_t             made;          /* events */
    uint64_t             start;
    uint64_t             begin;         /* of what is measured */
    uint64_t             end;
    uint64_t             last;          /* when an answer came */
    double               interval;      /* ns between, 0: closed loop */
    int                  measuring;
    int                  stopped;       /* nothing more is to be sent */
    struct timespec      own_begin;
} load_t;


/* Sends the next request on a connection that is free. */
int load_next(load_t *load, load_conn_t *c, uint64_t due);

/* What follows when a request is answered. */
int load_free(load_t *load, load_conn_t *c);

/* Opens all connections. */
int load_conns_open(load_t *load);

/* Sends what a connection has been given. */
int load_send(load_t *load, load_conn_t *c);

/* Waits, at most so many ns, and works on what has come. */
int load_conns_wait(load_t *load, int64_t ns);


#endif /* BENCH_LOAD_RUN_H */


/*
 * One pipelined connection to Redis per worker: an nginx connection with
 * hiredis' protocol reader.  Commands go in by argv and length, each handler
 * is called exactly once with the reply or with the reason why there is none.
 * Nothing here knows about HTTP requests or about what the commands mean.
 *
 * The connection looks after itself: it connects, authenticates, loads the
 * function library when Redis misses it, notices a dead peer, reconnects with
 * a growing and jittered delay, and lets a worker that shuts down go.  With
 * mode=sentinel it asks where the master is, and follows it.  With
 * mode=cluster there are several, and each command goes to the one that has
 * its key.
 */

#ifndef _NGX_HTTP_KNOCK_REDIS_H_INCLUDED_
#define _NGX_HTTP_KNOCK_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <hiredis/hiredis.h>

#include "knock_str.h"


typedef struct ngx_http_knock_redis_s  ngx_http_knock_redis_t;


typedef enum {
    NGX_HTTP_KNOCK_REDIS_SINGLE = 0,
    NGX_HTTP_KNOCK_REDIS_SENTINEL,
    NGX_HTTP_KNOCK_REDIS_CLUSTER
} ngx_http_knock_redis_mode_e;


/* where a server is */

typedef struct {
    ngx_str_t          url;            /* for logs: without user, password */

    ngx_str_t          host;           /* a name, an address or unix:/path */
    in_port_t          port;
    ngx_addr_t        *addrs;          /* those known so far */
    ngx_uint_t         naddrs;

    ngx_str_t          ssl_name;       /* for SNI and verification */

    unsigned           resolve:1;      /* host is a name */
    unsigned           ssl_name_ip:1;  /* ssl_name is an address */
} ngx_http_knock_redis_server_t;


/* what "knock_redis" says; lives in cf->pool */

typedef struct {
    ngx_uint_t         mode;           /* ngx_http_knock_redis_mode_e */

    /* one for each URL: of Redis, of the Sentinels, of nodes of a cluster */
    ngx_array_t        servers;

    ngx_str_t          master;             /* its name, for the Sentinels */
    ngx_str_t          sentinel_user;
    ngx_str_t          sentinel_password;

    /* a copy of the http block's resolver, where one is configured */
    ngx_resolver_t    *resolver;
    ngx_msec_t         resolver_timeout;

    ngx_str_t          user;
    ngx_str_t          password;
    ngx_uint_t         db;

    ngx_msec_t         connect_timeout;    /* to resolve, connect, log in */
    ngx_msec_t         timeout;            /* to a reply */
    ngx_msec_t         reconnect_min;      /* first delay after a failure */
    ngx_msec_t         reconnect_max;      /* the delay doubles up to this */
    ngx_msec_t         ping;               /* an idle connection is tried */

    ngx_uint_t         min_replicas;       /* that have it before an OK */
    ngx_msec_t         min_replicas_timeout;

    ngx_uint_t         max_pending;        /* commands per worker */
    size_t             max_pending_bytes;

#if (NGX_SSL)
    ngx_ssl_t         *ssl;
#endif
    ngx_str_t          ssl_name;           /* for each, if not its host */
    ngx_str_t          ssl_ca;
    ngx_str_t          ssl_certificate;
    ngx_str_t          ssl_certificate_key;
    ngx_flag_t         ssl_verify;

    unsigned           tls:1;
} ngx_http_knock_redis_conf_t;


typedef enum {
    /* reply is not an error */
    NGX_HTTP_KNOCK_REDIS_OK = 0,

    /* reply is an error: the same command would fail again */
    NGX_HTTP_KNOCK_REDIS_ERROR,

    /* reply is an error that passes: out of memory, loading, read-only... */
    NGX_HTTP_KNOCK_REDIS_RETRY,

    /* sent, but the connection went away before a reply: outcome unknown */
    NGX_HTTP_KNOCK_REDIS_LOST,

    /* Redis did not run it: it was not or not wholly sent */
    NGX_HTTP_KNOCK_REDIS_DOWN,

    /* not sent: Redis takes nothing as long as this, by its settings */
    NGX_HTTP_KNOCK_REDIS_TOO_LONG
} ngx_http_knock_redis_status_e;


/*
 * Called exactly once for each command that was accepted, and never from
 * inside ngx_http_knock_redis_command().  The reply is NULL for LOST, DOWN and
 * TOO_LONG, and for a RETRY because of replicas.
 * The reply and why, a sentence for logs that is empty for OK, are valid
 * during the call only.  The handler may queue other commands, after a LOST
 * or DOWN too; it must not destroy the client.
 */

typedef void (*ngx_http_knock_redis_handler_pt)(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);


typedef struct {
    ngx_uint_t         up;             /* connections that take commands */
    ngx_uint_t         connects;       /* attempts to connect */
    ngx_uint_t         failures;       /* attempts failed, connections lost */
    ngx_uint_t         reconnects;     /* connections made after a failure */
    ngx_uint_t         commands;       /* accepted */
    ngx_uint_t         refused;        /* NGX_BUSY */
    ngx_uint_t         errors;         /* answered by ERROR or RETRY */
    ngx_uint_t         lost;           /* LOST, DOWN or TOO_LONG */
    ngx_uint_t         timeouts;       /* connections closed for no reply */
    ngx_uint_t         in_flight;      /* accepted and not yet answered */
    size_t             bytes;          /* of the commands in flight */
    ngx_uint_t         library_loads;
    ngx_uint_t         strays;         /* replies that nobody asked for */
} ngx_http_knock_redis_stats_t;


/*
 * Parses the arguments of "knock_redis" from args[1] on into conf, which is to
 * be zeroed.  Returns NGX_CONF_OK, or NGX_CONF_ERROR after logging what is
 * wrong; the password is never logged.  conf->resolver and resolver_timeout
 * are left to the caller: the http block's resolver may be read later.
 */

char *ngx_http_knock_redis_parse(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);


/*
 * Creates the client of this process and starts connecting; for init_process
 * in NGX_PROCESS_WORKER and NGX_PROCESS_SINGLE only.  conf and the text of
 * the function library have to outlive the client; an empty library is never
 * loaded.  Returns NULL if there is no memory; Redis being away is no error.
 */

ngx_http_knock_redis_t *ngx_http_knock_redis_create(ngx_cycle_t *cycle,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *library);


/*
 * For exit_process: closes, answers what is in flight by LOST or DOWN,
 * refuses what the handlers then ask for, and frees the client.
 */

void ngx_http_knock_redis_destroy(ngx_http_knock_redis_t *redis);


/* why NGX_BUSY, for a log */
#define NGX_HTTP_KNOCK_REDIS_BUSY                                            \
    "it is away, as was said before, or max_pending= or max_pending_bytes= " \
    "are reached: see what keeps it (SLOWLOG GET), or raise them"


/*
 * Queues a command; all that are queued in one turn of the event loop are
 * written together.  The arguments are copied.  `key` is one of the keys that
 * it touches, or anything with the same hash tag: in a cluster the command
 * goes to the node that has that slot.  NULL: any node will do.
 *
 * NGX_OK     accepted: the handler will be called
 * NGX_BUSY   refused: Redis is away and the next attempt is not yet due, or
 *            max_pending or max_pending_bytes are reached
 * NGX_ERROR  no memory
 *
 * A command waits up to "timeout" for its reply, counted from here or, if
 * Redis is being connected to, from the moment it is.  Replies come in order,
 * but FCALLs that had to wait for the function library to be loaded are
 * overtaken by the commands behind them.  With "min_replicas" an OK says that
 * as many replicas have what was written until then; without them it is a
 * RETRY, and so is what was written before.
 *
 * In a cluster it is those for one slot whose replies come in order, unless the
 * slot moves; a command waits also for the map of the slots to be had, and its
 * time begins anew with each node that it is sent to, of which there are 6 at
 * most.
 */

ngx_int_t ngx_http_knock_redis_command(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t argc, const char **argv,
    const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler, void *data);


/*
 * The same for a command that only reads: no replica is waited for, and of
 * what it tells there may be something that none has yet.
 */

ngx_int_t ngx_http_knock_redis_read(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, ngx_uint_t argc, const char **argv,
    const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler, void *data);


/*
 * Queues a transaction of n commands, MULTI the first and EXEC the last, each
 * of as many arguments as argc says, one command's behind the other's.  The
 * handler is called once, as of a command: with the reply to the one of the
 * transaction (from 0) whose place is `answer`, or with the first error that
 * one before it, or MULTI or EXEC, was answered with.
 */

ngx_int_t ngx_http_knock_redis_transaction(ngx_http_knock_redis_t *redis,
    const knock_str_t *key, const size_t *argc, ngx_uint_t n,
    const char **argv, const size_t *argvlen, ngx_uint_t answer,
    ngx_http_knock_redis_handler_pt handler, void *data);


/*
 * Why the settings of Redis keep what is sent from it, a sentence for an answer
 * that names the setting; NULL: they do not.
 */

const char *ngx_http_knock_redis_unfit(ngx_http_knock_redis_t *redis);


/* counters, valid as long as the client */

const ngx_http_knock_redis_stats_t *ngx_http_knock_redis_stats(
    ngx_http_knock_redis_t *redis);


#endif /* _NGX_HTTP_KNOCK_REDIS_H_INCLUDED_ */

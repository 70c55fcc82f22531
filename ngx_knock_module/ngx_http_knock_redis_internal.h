
/*
 * What the files of the Redis client share; nobody else includes this.
 *
 *   ngx_http_knock_redis.c        the client: which commands it takes
 *   ngx_http_knock_redis_node.c   a node: their queues and time limits
 *   ngx_http_knock_redis_text.c   their text in Redis' protocol, and records
 *   ngx_http_knock_redis_reply.c  replies, error replies
 *   ngx_http_knock_redis_library.c  the function library, when it is missing
 *   ngx_http_knock_redis_wait.c   replicas that are waited for
 *   ngx_http_knock_redis_object.c the objects that a reply is read into
 *   ngx_http_knock_redis_conn.c   connection, back-off
 *   ngx_http_knock_redis_server.c  addresses that are told
 *   ngx_http_knock_redis_greet.c  log-in
 *   ngx_http_knock_redis_settings.c  Redis' settings, and remarks on it
 *   ngx_http_knock_redis_sentinel.c  where the master is
 *   ngx_http_knock_redis_cluster.c   the nodes of a cluster, and with it
 *   ngx_http_knock_redis_map.c, _slots.c, _redirect.c
 *   ngx_http_knock_redis_tls.c    TLS context, handshake and verification
 *   ngx_http_knock_redis_conf.c   the arguments of "knock_redis"
 *   ngx_http_knock_redis_url.c    the first of them, the URLs
 *
 * A node is one server with its connection.  The client has one, that of the
 * master, and with Sentinel a second of another sort, which asks for it.  Of a
 * cluster it has as many as there are, and its own one is without a server:
 * see ngx_http_knock_redis_cluster.h.
 *
 * A command is in exactly one place at a time:
 *
 *   waiting   not yet handed to the connection, so not known to Redis
 *   sent      handed over, in the order in which replies will come; what is
 *             not yet written of it hangs in the chain "out" as well
 *   parked    answered "no such function", waits for the library to be loaded
 *   held      answered, waits for replicas to have what it wrote
 *   free      a struct to be used again
 *
 * A free one is any node's next: nothing in it may point into a node.
 */

#ifndef _NGX_HTTP_KNOCK_REDIS_INTERNAL_H_INCLUDED_
#define _NGX_HTTP_KNOCK_REDIS_INTERNAL_H_INCLUDED_


#include "ngx_http_knock_redis.h"
#include "knock_arena.h"

#include <ngx_event_connect.h>


#define NGX_HTTP_KNOCK_REDIS_WHY_SIZE     512
#define NGX_HTTP_KNOCK_REDIS_BUFFER_SIZE  16384
#define NGX_HTTP_KNOCK_REDIS_REPLY_SIZE   16384

/* what an argument takes besides its bytes; a body is no longer than 4 GB */
#define NGX_HTTP_KNOCK_REDIS_OVERHEAD                                        \
    (sizeof("$4294967295" CRLF CRLF) - 1)

/* larger strings and arrays in a reply are taken for garbage */
#define NGX_HTTP_KNOCK_REDIS_MAX_STRING   (64 * 1024 * 1024)
#define NGX_HTTP_KNOCK_REDIS_MAX_ARRAY    (1024 * 1024)
/* so are arrays in more arrays; hiredis 0.14 goes no deeper by itself */
#define NGX_HTTP_KNOCK_REDIS_MAX_DEPTH    8


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_http_knock_redis_nelts_t;
#else
typedef int     ngx_http_knock_redis_nelts_t;
#endif


typedef struct {
    ngx_queue_t                      queue;

    u_char                          *text;
    size_t                           len;
    size_t                           size;      /* of its memory */
    size_t                           longest;   /* of its arguments */
    ngx_buf_t                        buf;       /* what is left to write */
    ngx_chain_t                      link;

    ngx_msec_t                       deadline;
    ngx_uint_t                       resent;

    /* in a cluster: of its key, how often it has been redirected */

    ngx_uint_t                       slot;
    ngx_uint_t                       hops;

    /* its replies, those that came, which of a transaction's is the answer */

    ngx_uint_t                       parts;
    ngx_uint_t                       part;
    ngx_uint_t                       answer;

    /* where replicas are waited for: what its keys begin with */

    knock_str_t                      base;
    size_t                           base_size;

    redisReply                      *reply;     /* while it is held */

    ngx_http_knock_redis_handler_pt  handler;
    void                            *data;

    unsigned                         internal:1;    /* the client's own */
    unsigned                         question:1;    /* see below */
    unsigned                         asking:1;      /* to go behind ASKING */
    unsigned                         waits:1;       /* for replicas */
} ngx_http_knock_redis_command_t;


typedef enum {
    NGX_HTTP_KNOCK_REDIS_CLOSED = 0,    /* maybe the back-off timer runs */
    NGX_HTTP_KNOCK_REDIS_ASKING,        /* where it is, or a cluster's map */
    NGX_HTTP_KNOCK_REDIS_RESOLVING,
    NGX_HTTP_KNOCK_REDIS_CONNECTING,
    NGX_HTTP_KNOCK_REDIS_HANDSHAKE,     /* of TLS */
    NGX_HTTP_KNOCK_REDIS_GREETING,      /* logging in */
    NGX_HTTP_KNOCK_REDIS_READY
} ngx_http_knock_redis_state_e;


/* what is said of a node once, until there is something else to say */

typedef enum {
    NGX_HTTP_KNOCK_REDIS_ON_LOG_IN = 0,
    NGX_HTTP_KNOCK_REDIS_ON_NAME,
    NGX_HTTP_KNOCK_REDIS_ON_MEMORY,
    NGX_HTTP_KNOCK_REDIS_ON_LIMITS,
    NGX_HTTP_KNOCK_REDIS_REMARKS
} ngx_http_knock_redis_remark_e;


/*
 * A connection to one server, which makes itself anew, and the commands that
 * go over it.
 */

typedef struct ngx_http_knock_redis_node_s  ngx_http_knock_redis_node_t;

struct ngx_http_knock_redis_node_s {
    ngx_pool_t                      *pool;
    ngx_http_knock_redis_t          *client;
    ngx_http_knock_redis_conf_t     *conf;

    /* event ident must be after 3 pointers as in ngx_connection_t */
    ngx_socket_t                     ident;

    ngx_cycle_t                     *cycle;
    ngx_http_knock_redis_server_t    server;    /* where it is */
    ngx_pool_t                      *server_pool;   /* of what was told */
    ngx_pool_t                      *resolved_pool;

    ngx_log_t                        log;       /* of connections */

    ngx_http_knock_redis_state_e     state;
    ngx_connection_t                *connection;
    redisReader                     *reader;
    knock_arena_t                   *replies;   /* the one being read */
    ngx_msec_t                       ping;      /* when idle for so long */

    ngx_queue_t                      waiting;
    ngx_queue_t                      sent;
    ngx_queue_t                      parked;
    ngx_queue_t                      held;
    ngx_uint_t                       in_flight; /* of users' commands */
    ngx_chain_t                     *out;
    ngx_chain_t                    **out_last;

    ngx_event_t                      flush;     /* posted */
    ngx_event_t                      connect_timer;
    ngx_event_t                      backoff_timer;
    ngx_event_t                      reply_timer;
    ngx_event_t                      ping_timer;

    ngx_resolver_ctx_t              *resolving;
    ngx_uint_t                       addr;      /* the one in use */
    ngx_uint_t                       tries;     /* in this attempt */

    ngx_uint_t                       failed;    /* attempts in a row */
    ngx_uint_t                       greetings; /* replies to come */
    ngx_msec_t                       ready_at;
    ngx_msec_t                       active_at; /* the last reply came */

    const void                      *complaint; /* last logged error reply */
    ngx_msec_t                       complained_at;
    uint32_t                   remarks[NGX_HTTP_KNOCK_REDIS_REMARKS];

    const char                      *unfit;     /* its settings are, why */
    size_t                           max_arg;   /* that it takes; 0: unknown */
    size_t                           max_len;   /* the same, a transaction */

    ngx_http_knock_redis_stats_t    *stats;     /* the client's */

    /* in a cluster */

    ngx_queue_t                      queue;     /* of its nodes */
    ngx_uint_t                       slots;     /* which it owns */
    ngx_uint_t                       attempt;   /* it was last asked in */

    ngx_str_t                        why;
    u_char                           why_data[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];

    /* of the transaction whose replies come: why a part was not queued */

    ngx_str_t                        refused;
    u_char                       refused_data[NGX_HTTP_KNOCK_REDIS_WHY_SIZE];

    unsigned                         is_sentinel:1; /* not a Redis */
    unsigned                         told:1;        /* need not ask where */
    unsigned                         outage:1;      /* has been logged */
    unsigned                         unresolved:1;  /* so has that */
    unsigned                         loading:1;     /* the library */
    unsigned                         draining:1;    /* then reconnect */
    unsigned                         awaiting:1;    /* the reply to WAIT */
};


typedef struct ngx_http_knock_redis_sentinel_s
    ngx_http_knock_redis_sentinel_t;

typedef struct ngx_http_knock_redis_cluster_s
    ngx_http_knock_redis_cluster_t;

struct ngx_http_knock_redis_s {
    ngx_pool_t                      *pool;
    ngx_http_knock_redis_conf_t     *conf;
    ngx_cycle_t                     *cycle;
    ngx_pool_cleanup_t              *cleanup;   /* of the cycle's pool */
    ngx_str_t                        library;

    u_char                          *buffer;    /* to read into */
    ngx_queue_t                      free;      /* records of commands */
    size_t                           kept;      /* memory of their texts */

    ngx_http_knock_redis_node_t     *node;
    ngx_http_knock_redis_sentinel_t *sentinel;  /* or NULL */
    ngx_http_knock_redis_cluster_t  *cluster;   /* or NULL */

    ngx_http_knock_redis_stats_t     stats;

    unsigned                         destroyed:1;
};


/* ngx_http_knock_redis_node.c */

/*
 * A node that is not connected to anything yet.  `server` is copied, what it
 * points to must outlive the node; NULL: the address is yet to be told.
 * Returns NULL if there is no memory.
 */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_node_create(
    ngx_http_knock_redis_t *redis, ngx_http_knock_redis_server_t *server);

/* closes, answers what is in flight, frees */
void ngx_http_knock_redis_node_destroy(ngx_http_knock_redis_node_t *node);

/* takes a command of a user's, in no queue, to be sent at the end of a turn */
void ngx_http_knock_redis_node_queue(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd);

/* queues one of the client's own commands straight to the connection */
ngx_int_t ngx_http_knock_redis_internal(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler);

/* the same, where the handler says itself what Redis has against it */
ngx_int_t ngx_http_knock_redis_question(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler);

/* its handler where it is enough that there was a reply */
void ngx_http_knock_redis_ignored(void *data,
    ngx_http_knock_redis_status_e status, redisReply *reply, ngx_str_t *why);

/* hands over what waits, writes what the socket takes; may close */
void ngx_http_knock_redis_write(ngx_http_knock_redis_node_t *node);

/* takes the command out of its place, calls its handler, frees it */
void ngx_http_knock_redis_done(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why);

/* answers each command by LOST or DOWN */
void ngx_http_knock_redis_drop_all(ngx_http_knock_redis_node_t *node,
    ngx_str_t *why);

/* whether somebody waits for it, which keeps a worker from going */
ngx_uint_t ngx_http_knock_redis_busy(ngx_http_knock_redis_node_t *node);

/*
 * Sets timers and flags to fit the state.  Each event handler ends with it,
 * so that nothing else has to think of timers or of a worker's shutdown.
 */
void ngx_http_knock_redis_settle(ngx_http_knock_redis_node_t *node);


/* ngx_http_knock_redis_text.c */

/*
 * A record that holds n commands, whose arguments follow each other, in no
 * queue yet; NULL: no memory.  Several are a transaction, which has a key.
 */
ngx_http_knock_redis_command_t *ngx_http_knock_redis_format(
    ngx_http_knock_redis_t *redis, const knock_str_t *key, const size_t *argc,
    ngx_uint_t n, const char **argv, const size_t *argvlen);

/* what the keys begin with that stand where this one does, but for its ":" */
knock_str_t ngx_http_knock_redis_base(const knock_str_t *key);

/* puts a command's time limit and its bytes back to the start */
void ngx_http_knock_redis_rewind(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd);

/* makes a record free */
void ngx_http_knock_redis_release(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd);

/* gives back what the free ones keep */
void ngx_http_knock_redis_release_all(ngx_http_knock_redis_t *redis);


/* ngx_http_knock_redis_object.c */

ngx_int_t ngx_http_knock_redis_create_reader(ngx_http_knock_redis_node_t *node);


/* ngx_http_knock_redis_reply.c */

void ngx_http_knock_redis_read_handler(ngx_event_t *rev);

/* logs what Redis does and why: about the same thing now and then only */
void ngx_http_knock_redis_complain(ngx_http_knock_redis_node_t *node,
    const void *about, const char *what, ngx_str_t *why);


/* ngx_http_knock_redis_library.c */

/*
 * Sets a command, answered that its function is missing, aside until the
 * library is loaded.  NGX_OK; NGX_DECLINED: that would be, or was, in vain;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_redis_park(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd);


/* ngx_http_knock_redis_wait.c */

/*
 * Notes a key of a command that replicas are waited for, for what is written
 * in front of WAIT.  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_redis_set_base(ngx_http_knock_redis_t *redis,
    ngx_http_knock_redis_command_t *cmd, const knock_str_t *key);

/*
 * Has what was handed over, the last such command of which is cmd, followed by
 * WAIT.  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_redis_wait(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd);

/* keeps a command and its reply, in node->replies, until WAIT is answered */
void ngx_http_knock_redis_hold(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply);


/* ngx_http_knock_redis_conn.c */

void ngx_http_knock_redis_connect(ngx_http_knock_redis_node_t *node);

/* goes on with the address that a node that was ASKING has been given */
void ngx_http_knock_redis_resolve_and_connect(
    ngx_http_knock_redis_node_t *node);

/* has it connect again after a delay, which grows with each failure */
void ngx_http_knock_redis_back_off(ngx_http_knock_redis_node_t *node);

/* connects again at once, not after the delay that is under way */
void ngx_http_knock_redis_hurry(ngx_http_knock_redis_node_t *node);

/*
 * The connection or the attempt to connect has failed: logs it once an
 * outage, closes, starts the back-off, answers each command.
 */
void ngx_cdecl ngx_http_knock_redis_fail(ngx_http_knock_redis_node_t *node,
    ngx_err_t err, const char *fmt, ...);

/* what is to run where a node is, for messages */
#define ngx_http_knock_redis_program(node)                                   \
    ((node)->is_sentinel ? "redis-sentinel" : "redis-server")

/* closes, in good order */
void ngx_http_knock_redis_close(ngx_http_knock_redis_node_t *node);

/* formats into node->why, without control characters */
ngx_str_t *ngx_cdecl ngx_http_knock_redis_why(ngx_http_knock_redis_node_t *node,
    const char *fmt, ...);

/* whether nginx' own lines about the connection are kept out of the log */
void ngx_http_knock_redis_hush(ngx_http_knock_redis_node_t *node,
    ngx_uint_t hush);


/* ngx_http_knock_redis_server.c */

/* whether it was told that a node is there */
ngx_uint_t ngx_http_knock_redis_is_at(ngx_http_knock_redis_node_t *node,
    const knock_str_t *host, in_port_t port);

/*
 * Gives a node that is closed, or ASKING, an address that a server told:
 * NGX_OK; NGX_DECLINED: a name, and there is no resolver; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_knock_redis_set_server(ngx_http_knock_redis_node_t *node,
    const knock_str_t *host, in_port_t port);

/* keeps the addresses that a name has been resolved to; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_knock_redis_keep_addrs(ngx_http_knock_redis_node_t *node,
    ngx_resolver_ctx_t *ctx);


/* ngx_http_knock_redis_greet.c */

/* logs in over the connection, or over TLS once its handshake is done */
void ngx_http_knock_redis_greet(ngx_http_knock_redis_node_t *node);

/* a question of the log-in has its answer; after the last one it is ready */
void ngx_http_knock_redis_passed(ngx_http_knock_redis_node_t *node);

/* the log-in fails: logged once for each reason, in an outage too */
void ngx_http_knock_redis_not_let_in(ngx_http_knock_redis_node_t *node,
    ngx_str_t *why);


/* ngx_http_knock_redis_settings.c */

/* puts two questions over the connection: NGX_OK, or NGX_ERROR: no memory */
ngx_int_t ngx_http_knock_redis_ask_settings(ngx_http_knock_redis_node_t *node);

/* whether an error says that the user, or nobody, may give the command */
ngx_uint_t ngx_http_knock_redis_is_denied(ngx_http_knock_redis_status_e status,
    redisReply *reply);

/*
 * Answers a command with which Redis would close the connection rather than
 * take it: NGX_OK, or NGX_DECLINED: it may be sent.
 */
ngx_int_t ngx_http_knock_redis_refuse_long(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd);

/* logs what there is to say on something, unless it was the last said on it */
void ngx_cdecl ngx_http_knock_redis_remark(ngx_http_knock_redis_node_t *node,
    ngx_uint_t on, ngx_uint_t level, const char *fmt, ...);

/* there is nothing to say on it any more */
void ngx_http_knock_redis_unremark(ngx_http_knock_redis_node_t *node,
    ngx_uint_t on);

/* whether this is not what was last said on it; it is from now on */
ngx_uint_t ngx_http_knock_redis_is_news(ngx_http_knock_redis_node_t *node,
    ngx_uint_t on, ngx_str_t *text);


/* ngx_http_knock_redis_sentinel.c */

/* creates what asks the Sentinels, or NULL: no memory */
ngx_http_knock_redis_sentinel_t *ngx_http_knock_redis_sentinel_create(
    ngx_http_knock_redis_t *redis);
void ngx_http_knock_redis_sentinel_destroy(
    ngx_http_knock_redis_sentinel_t *sentinel);

/* asks for the master, which is ASKING: it goes on, or fails */
void ngx_http_knock_redis_sentinel_ask(
    ngx_http_knock_redis_sentinel_t *sentinel);

/*
 * The master is not where it was said to be: another one is asked next, as
 * one that is cut off from the others would say the same again.
 */
void ngx_http_knock_redis_sentinel_doubt(
    ngx_http_knock_redis_sentinel_t *sentinel);

/* puts the question over a connection that is ready, unless it is under way */
void ngx_http_knock_redis_sentinel_question(
    ngx_http_knock_redis_sentinel_t *sentinel);

/* the connection to a Sentinel is lost, or was not to be had */
void ngx_http_knock_redis_sentinel_failed(ngx_http_knock_redis_node_t *node);


/* ngx_http_knock_redis_cluster.c */

/* creates what knows the nodes of a cluster, or NULL: no memory */
ngx_http_knock_redis_cluster_t *ngx_http_knock_redis_cluster_create(
    ngx_http_knock_redis_t *redis);
void ngx_http_knock_redis_cluster_destroy(
    ngx_http_knock_redis_cluster_t *cluster);

/*
 * The node that a command goes to, and the slot of its key.  Where the owner
 * is not known it is the client's own one, in which it waits.
 */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_cluster_route(
    ngx_http_knock_redis_cluster_t *cluster, const knock_str_t *key,
    ngx_uint_t *slot);

/* of one of the nodes, see ngx_http_knock_redis_unfit() */
const char *ngx_http_knock_redis_cluster_unfit(
    ngx_http_knock_redis_cluster_t *cluster);


/* ngx_http_knock_redis_map.c */

/* asks for the map on behalf of the client's own node, which is ASKING */
void ngx_http_knock_redis_map_ask(ngx_http_knock_redis_cluster_t *cluster);

/* asks for it again, as it seems to be wrong: soon, once for all who want it */
void ngx_http_knock_redis_map_refresh(
    ngx_http_knock_redis_cluster_t *cluster);

/* events of a node's connection: logged in, lost or not to be had */
void ngx_http_knock_redis_map_ready(ngx_http_knock_redis_node_t *node);
void ngx_http_knock_redis_map_failed(ngx_http_knock_redis_node_t *node);


/* ngx_http_knock_redis_redirect.c */

/*
 * Sends a command, which a node has answered by MOVED or ASK, to where it
 * says: NGX_OK, or NGX_DECLINED: it cannot be, the command stays as it is.
 */
ngx_int_t ngx_http_knock_redis_redirect(ngx_http_knock_redis_node_t *node,
    ngx_http_knock_redis_command_t *cmd, redisReply *reply);

/* says ASKING, for the command that is handed over next */
void ngx_http_knock_redis_asking(ngx_http_knock_redis_node_t *node);


/* ngx_http_knock_redis_url.c */

/* whether an argument is a URL */
ngx_int_t ngx_http_knock_redis_is_url(ngx_str_t *arg);

/*
 * Adds the server that a URL names to conf->servers, and fills in what else
 * it says: user, password, database, TLS or not; those before it must agree.
 */
char *ngx_http_knock_redis_parse_url(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf, ngx_str_t *url);

/* 1 if the host is an IP address, not a name, else 0 */
ngx_int_t ngx_http_knock_redis_is_address(ngx_str_t *host);


#if (NGX_SSL)

/* ngx_http_knock_redis_tls.c */

char *ngx_http_knock_redis_tls_conf(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf);
void ngx_http_knock_redis_tls_connect(ngx_http_knock_redis_node_t *node);

/*
 * Sets what TLS calls the server, in pool: conf->ssl_name, else its host; it
 * wants that without brackets, and with a terminating zero.  NGX_OK, or
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_redis_tls_name(ngx_pool_t *pool,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server);

#endif


#endif /* _NGX_HTTP_KNOCK_REDIS_INTERNAL_H_INCLUDED_ */

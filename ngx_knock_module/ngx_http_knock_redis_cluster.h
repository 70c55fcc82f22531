
/*
 * What the files of a cluster's layer share; nobody else includes this.
 *
 *   ngx_http_knock_redis_cluster.c   the nodes, and whose a command is
 *   ngx_http_knock_redis_map.c       the map: when and whom to ask for it
 *   ngx_http_knock_redis_slots.c     what CLUSTER SLOTS answers
 *   ngx_http_knock_redis_redirect.c  MOVED and ASK
 *
 * A command goes to the node that owns its slot.  Where none is known it waits
 * in the client's own node, which has no server: that is ASKING while the map
 * is being asked for, and when it has come, hands on what waits.
 */

#ifndef _NGX_HTTP_KNOCK_REDIS_CLUSTER_H_INCLUDED_
#define _NGX_HTTP_KNOCK_REDIS_CLUSTER_H_INCLUDED_


#include "ngx_http_knock_redis_internal.h"
#include "knock_slot.h"


struct ngx_http_knock_redis_cluster_s {
    ngx_http_knock_redis_t       *client;
    ngx_queue_t                   nodes;    /* all that have a server */

    ngx_http_knock_redis_node_t **owners;   /* of each slot, or NULL */
    ngx_uint_t                    owned;    /* slots that have one */
    ngx_msec_t                    mapped_at;

    ngx_http_knock_redis_node_t  *asked;    /* its answer is to come */
    ngx_uint_t                    attempt;  /* the number of this one */
    ngx_uint_t                    seed;     /* of conf->servers, the next */
    ngx_uint_t                    seeds;    /* tried in this attempt */

    ngx_event_t                   timer;
    ngx_msec_t                    complained_at;

    unsigned                      stale:1;  /* another map is wanted */
};


/* ngx_http_knock_redis_cluster.c */

/* the node there, or NULL */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_cluster_find(
    ngx_http_knock_redis_cluster_t *cluster, const knock_str_t *host,
    in_port_t port);

/* a new node; see ngx_http_knock_redis_node_create() */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_cluster_add(
    ngx_http_knock_redis_cluster_t *cluster,
    ngx_http_knock_redis_server_t *server);

/* the node there, made where there is none; NULL: it cannot be, see the log */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_cluster_node(
    ngx_http_knock_redis_cluster_t *cluster, const knock_str_t *host,
    in_port_t port);

/* a node that is connected, or NULL */
ngx_http_knock_redis_node_t *ngx_http_knock_redis_cluster_any(
    ngx_http_knock_redis_cluster_t *cluster);

/* whether a node takes no commands until it is connected again */
ngx_uint_t ngx_http_knock_redis_cluster_away(
    ngx_http_knock_redis_node_t *node);

/* takes a command from a node, or from where it waits, to another one */
void ngx_http_knock_redis_cluster_pass(ngx_http_knock_redis_node_t *from,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_node_t *to);

/*
 * Ends the nodes that own no slots and that nobody uses; the number of those
 * that are in use.  Not to be called from within a node's business.
 */
ngx_uint_t ngx_http_knock_redis_cluster_sweep(
    ngx_http_knock_redis_cluster_t *cluster);


/* ngx_http_knock_redis_map.c */

/* of the cluster's timer: asks the next one, or again; sweeps */
void ngx_http_knock_redis_map_timer_handler(ngx_event_t *ev);


/* ngx_http_knock_redis_slots.c */

/* makes a node, or NULL: nobody, a slot's owner */
void ngx_http_knock_redis_slots_set(ngx_http_knock_redis_cluster_t *cluster,
    ngx_uint_t slot, ngx_http_knock_redis_node_t *node);

/*
 * Takes the reply of a node to CLUSTER SLOTS for the map: NGX_OK, or
 * NGX_DECLINED: it is none, and the map stays as it was.
 */
ngx_int_t ngx_http_knock_redis_slots_take(
    ngx_http_knock_redis_cluster_t *cluster, ngx_http_knock_redis_node_t *node,
    redisReply *reply);

/*
 * What a node means where it names no host: its own, which is written into
 * text, of NGX_SOCKADDR_STRLEN bytes, where it has to be.
 */
void ngx_http_knock_redis_slots_host(ngx_http_knock_redis_node_t *node,
    u_char *text, knock_str_t *host);


#endif /* _NGX_HTTP_KNOCK_REDIS_CLUSTER_H_INCLUDED_ */


/*
 * What the files of the module share: its configuration and its contexts.
 */

#ifndef _NGX_HTTP_KNOCK_MODULE_H_INCLUDED_
#define _NGX_HTTP_KNOCK_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "knock_limits.h"
#include "knock_str.h"
#include "ngx_http_knock_redis.h"


typedef struct ngx_http_knock_worker_s  ngx_http_knock_worker_t;
typedef struct ngx_http_knock_job_s  ngx_http_knock_job_t;


typedef struct {
    ngx_pool_t                   *pool;             /* the cycle's */
    ngx_http_knock_redis_conf_t  *redis;            /* NULL: not configured */
    ngx_str_t                     prefix;
    ngx_uint_t                    shards;           /* of an environment */
    ngx_msec_t                    dedupe_window;
    ngx_uint_t                    event_log_length;
    ngx_uint_t                    catalogue_length;
    ngx_uint_t                    max_in_flight;    /* requests of a worker */
    size_t                        max_body_bytes;   /* of all of these */
    ngx_shm_zone_t               *metrics;

    /*
     * This process's state, made at its start, or at the first request where
     * a process without a master has read a new configuration.
     */
    ngx_http_knock_worker_t      *worker;
    unsigned                      retired:1;        /* a newer cycle serves */
} ngx_http_knock_main_conf_t;


typedef struct {
    ngx_http_complex_value_t     *token;            /* NULL: no knock_webhook */
    ngx_flag_t                    api;              /* knock_api */
    ngx_flag_t                    metrics;          /* knock_metrics */
    ngx_flag_t                    ready;            /* knock_ready */
    ngx_array_t                  *api_keys;         /* of hashes; NULL: none */
    ngx_http_complex_value_t     *webhook_url;
    ngx_uint_t                    batch_signature;
    ngx_uint_t                    event_log;
    knock_limits_t                limits;
} ngx_http_knock_loc_conf_t;


/* of a request: set once the module itself answers it */

typedef struct {
    unsigned                      answered:1;
    unsigned                      replaced:1;
    ngx_str_t                     text;             /* instead of nginx's page */
} ngx_http_knock_ctx_t;


extern ngx_module_t  ngx_http_knock_module;

/* the Redis function library, generated from redis-schema/knock.lua */
extern const char    ngx_http_knock_library[];
extern const size_t  ngx_http_knock_library_len;


/* nginx's slice as one of the pure layer; the bytes are the same */

static ngx_inline knock_str_t
ngx_http_knock_str(const ngx_str_t *s)
{
    knock_str_t  str;

    str.len = s->len;
    str.data = s->data;

    return str;
}


/* ngx_http_knock_webhook.c: the content handler of knock_webhook */
ngx_int_t ngx_http_knock_webhook_handler(ngx_http_request_t *r);

/* ngx_http_knock_api.c: the content handler of knock_api */
ngx_int_t ngx_http_knock_api_handler(ngx_http_request_t *r);

/* ngx_http_knock_metrics_scrape.c: the content handler of knock_metrics */
ngx_int_t ngx_http_knock_metrics_handler(ngx_http_request_t *r);

/* ngx_http_knock_ready.c: the content handler of knock_ready */
ngx_int_t ngx_http_knock_ready_handler(ngx_http_request_t *r);

/*
 * ngx_http_knock_filter.c: in a location of the module, errors that nginx
 * itself answers (413, a bad chunk) get a JSON body as the module's own have.
 */
ngx_int_t ngx_http_knock_filter_init(ngx_conf_t *cf);

/*
 * ngx_http_knock_secret.c: what nginx logs of a request to a webhook leaves
 * out its URL.  NGX_OK or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_knock_secret_init(ngx_conf_t *cf);

/* ... and what it logs of a head that it has not read whole, as well */
void ngx_http_knock_secret_listen(ngx_cycle_t *cycle);


#endif /* _NGX_HTTP_KNOCK_MODULE_H_INCLUDED_ */

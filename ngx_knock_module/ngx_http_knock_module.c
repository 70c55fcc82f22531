
#include "ngx_http_knock_module.h"
#include "ngx_http_knock_conf.h"
#include "ngx_http_knock_worker.h"
#include "knock_digest.h"
#include "knock_log.h"
#include "knock_map.h"
#include "knock_signature.h"


static ngx_int_t ngx_http_knock_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_knock_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_knock_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_knock_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_knock_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_knock_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_knock_init_process(ngx_cycle_t *cycle);
static void ngx_http_knock_exit_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_knock_default_url(ngx_conf_t *cf,
    ngx_http_complex_value_t **value);


#define NGX_HTTP_KNOCK_MAX_IN_FLIGHT   8192
#define NGX_HTTP_KNOCK_MAX_BODY_BYTES  (256 * 1024 * 1024)


static ngx_conf_enum_t  ngx_http_knock_batch_signatures[] = {
    { ngx_string("first"), KNOCK_SIGNATURE_FIRST },
    { ngx_string("whole"), KNOCK_SIGNATURE_WHOLE },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_knock_event_logs[] = {
    { ngx_string("off"), KNOCK_LOG_OFF },
    { ngx_string("on"), KNOCK_LOG_ON },
    { ngx_string("errors"), KNOCK_LOG_ERRORS },
    { ngx_null_string, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_knock_shards_bounds = {
    ngx_conf_check_num_bounds, 1, KNOCK_MAX_SHARDS
};


static ngx_command_t  ngx_http_knock_commands[] = {

    { ngx_string("knock_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_knock_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_knock_main_conf_t, prefix),
      &ngx_http_knock_prefix_post },

    { ngx_string("knock_shards"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_knock_main_conf_t, shards),
      &ngx_http_knock_shards_bounds },

    { ngx_string("knock_dedupe_window"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_knock_main_conf_t, dedupe_window),
      &ngx_http_knock_window_post },

    { ngx_string("knock_event_log_length"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_knock_main_conf_t, event_log_length),
      &ngx_http_knock_positive_post },

    { ngx_string("knock_catalogue_length"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_knock_main_conf_t, catalogue_length),
      &ngx_http_knock_positive_post },

    { ngx_string("knock_max_in_flight"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_knock_max_in_flight,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_webhook"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_knock_webhook,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_knock_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_api_keys"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_knock_api_keys,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_knock_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_ready"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_knock_ready,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("knock_webhook_url"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, webhook_url),
      NULL },

    { ngx_string("knock_batch_signature"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, batch_signature),
      ngx_http_knock_batch_signatures },

    { ngx_string("knock_event_log"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, event_log),
      ngx_http_knock_event_logs },

    { ngx_string("knock_max_batch"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, limits.max_batch),
      &ngx_http_knock_positive_post },

    { ngx_string("knock_max_recipients"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, limits.max_recipients),
      &ngx_http_knock_positive_post },

    { ngx_string("knock_max_depth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_knock_loc_conf_t, limits.max_depth),
      &ngx_http_knock_positive_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_knock_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_knock_postconfiguration,      /* postconfiguration */

    ngx_http_knock_create_main_conf,       /* create main configuration */
    ngx_http_knock_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_knock_create_loc_conf,        /* create location configuration */
    ngx_http_knock_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_knock_module = {
    NGX_MODULE_V1,
    &ngx_http_knock_module_ctx,            /* module context */
    ngx_http_knock_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_knock_init_module,            /* init module */
    ngx_http_knock_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_knock_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_knock_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_knock_module);

    if (kmcf->redis) {

        if (ngx_http_knock_metrics_zone(cf) != NGX_OK
            || ngx_http_knock_secret_init(cf) != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* names are resolved by the resolver of the http block, if any */

        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        if (clcf->resolver && clcf->resolver->connections.nelts) {
            kmcf->redis->resolver = clcf->resolver;
            kmcf->redis->resolver_timeout = clcf->resolver_timeout;
        }
    }

    return ngx_http_knock_filter_init(cf);
}


static void *
ngx_http_knock_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_knock_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_knock_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->pool = cf->pool;
    conf->shards = NGX_CONF_UNSET_UINT;
    conf->dedupe_window = NGX_CONF_UNSET_MSEC;
    conf->event_log_length = NGX_CONF_UNSET_UINT;
    conf->catalogue_length = NGX_CONF_UNSET_UINT;
    conf->max_in_flight = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_knock_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_knock_main_conf_t *kmcf = conf;

    if (kmcf->prefix.data == NULL) {
        ngx_str_set(&kmcf->prefix, "knock");
    }

    ngx_conf_init_uint_value(kmcf->shards, 1);
    ngx_conf_init_msec_value(kmcf->dedupe_window, 24 * 60 * 60 * 1000);
    ngx_conf_init_uint_value(kmcf->event_log_length, 1000);
    ngx_conf_init_uint_value(kmcf->catalogue_length, 1000);
    ngx_conf_init_uint_value(kmcf->max_in_flight,
                             NGX_HTTP_KNOCK_MAX_IN_FLIGHT);

    if (kmcf->max_body_bytes == 0) {
        kmcf->max_body_bytes = NGX_HTTP_KNOCK_MAX_BODY_BYTES;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_knock_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_knock_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_knock_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->api_keys = NGX_CONF_UNSET_PTR;
    conf->batch_signature = NGX_CONF_UNSET_UINT;
    conf->event_log = NGX_CONF_UNSET_UINT;
    conf->limits.max_batch = NGX_CONF_UNSET_SIZE;
    conf->limits.max_recipients = NGX_CONF_UNSET_SIZE;
    conf->limits.max_depth = NGX_CONF_UNSET_SIZE;

    return conf;
}


static char *
ngx_http_knock_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_knock_loc_conf_t *prev = parent;
    ngx_http_knock_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_knock_main_conf_t  *kmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    kmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_knock_module);

    /* an "if" or "limit_except" block has the handler of its location */

    if (clcf->noname) {

        if (conf->token == NULL) {
            conf->token = prev->token;
        }

        if (!conf->api) {
            conf->api = prev->api;
        }

        if (!conf->metrics) {
            conf->metrics = prev->metrics;
        }

        if (!conf->ready) {
            conf->ready = prev->ready;
        }
    }

    if (clcf->lmt_excpt && clcf->handler == NULL) {

        if (conf->token) {
            clcf->handler = ngx_http_knock_webhook_handler;

        } else if (conf->api) {
            clcf->handler = ngx_http_knock_api_handler;

        } else if (conf->metrics) {
            clcf->handler = ngx_http_knock_metrics_handler;

        } else if (conf->ready) {
            clcf->handler = ngx_http_knock_ready_handler;
        }
    }

    ngx_conf_merge_ptr_value(conf->api_keys, prev->api_keys, NULL);

    if (conf->webhook_url == NULL) {
        conf->webhook_url = prev->webhook_url;
    }

    if (conf->api && conf->webhook_url == NULL
        && ngx_http_knock_default_url(cf, &conf->webhook_url) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_conf_merge_uint_value(conf->batch_signature, prev->batch_signature,
                              KNOCK_SIGNATURE_FIRST);
    ngx_conf_merge_uint_value(conf->event_log, prev->event_log, KNOCK_LOG_ON);
    ngx_conf_merge_size_value(conf->limits.max_batch, prev->limits.max_batch,
                              KNOCK_MAX_BATCH);
    ngx_conf_merge_size_value(conf->limits.max_recipients,
                              prev->limits.max_recipients,
                              KNOCK_MAX_RECIPIENTS);
    ngx_conf_merge_size_value(conf->limits.max_depth, prev->limits.max_depth,
                              KNOCK_MAX_DEPTH);

    /* runs that fill a connection's room could never be sent: 503 for ever */

    if (kmcf->redis) {
        conf->limits.max_run_bytes = kmcf->redis->max_pending_bytes / 4 * 3;
    }

    return NGX_CONF_OK;
}


/*
 * Without a master a new configuration is read by the process that serves:
 * what it made for the old one goes once nothing is in flight there.
 */

static ngx_int_t
ngx_http_knock_init_module(ngx_cycle_t *cycle)
{
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_knock_module);

    if (kmcf && kmcf->redis) {
        ngx_http_knock_secret_listen(cycle);
    }

    if (ngx_process != NGX_PROCESS_SINGLE || ngx_is_init_cycle(ngx_cycle)) {
        return NGX_OK;
    }

    kmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_knock_module);
    if (kmcf) {
        ngx_http_knock_worker_retire(kmcf);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_init_process(ngx_cycle_t *cycle)
{
    uint64_t                     seed;
    ngx_http_knock_main_conf_t  *kmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    kmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_knock_module);

    if (kmcf == NULL || kmcf->redis == NULL) {
        return NGX_OK;
    }

    if (knock_digest_init() != KNOCK_OK
        || knock_digest_random((u_char *) &seed, sizeof(seed)) != KNOCK_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "knock: libcrypto has no SHA-1, SHA-256 or random "
                      "numbers to give: check the OpenSSL configuration");
        return NGX_ERROR;
    }

    knock_map_seed(seed);

    return ngx_http_knock_worker_get(kmcf) ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_knock_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_knock_main_conf_t  *kmcf;

    kmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_knock_module);

    if (kmcf) {
        ngx_http_knock_worker_destroy(kmcf);
    }
}


/* where the shipped configuration receives, on the host that is asked */

static ngx_int_t
ngx_http_knock_default_url(ngx_conf_t *cf, ngx_http_complex_value_t **value)
{
    ngx_http_compile_complex_value_t  ccv;

    static ngx_str_t  text =
        ngx_string("$scheme://$http_host/integrations/receive/");

    *value = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*value == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &text;
    ccv.complex_value = *value;

    return ngx_http_compile_complex_value(&ccv);
}

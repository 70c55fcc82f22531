
/*
 * What directives are set by, where nginx has no function for it, and what
 * their values are checked by.  The directives stand in
 * ngx_http_knock_module.c.
 */

#ifndef _NGX_HTTP_KNOCK_CONF_H_INCLUDED_
#define _NGX_HTTP_KNOCK_CONF_H_INCLUDED_


#include "ngx_http_knock_module.h"


/*
 * Set a directive, as nginx's own slots do: NGX_CONF_OK; or NGX_CONF_ERROR,
 * which is logged; or what is wrong, for nginx to log.
 */

char *ngx_http_knock_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_knock_webhook(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_knock_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_knock_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_knock_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_knock_max_in_flight(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_knock_api_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* a name that keys begin with; a number from 1; a time that is not zero */

extern ngx_conf_post_t  ngx_http_knock_prefix_post;
extern ngx_conf_post_t  ngx_http_knock_positive_post;
extern ngx_conf_post_t  ngx_http_knock_window_post;


#endif /* _NGX_HTTP_KNOCK_CONF_H_INCLUDED_ */

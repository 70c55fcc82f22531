
/* The keys of the control API: a file of SHA-256 hashes. */

#ifndef _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_
#define _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_KNOCK_HASH_LEN  32


/*
 * Reads a file with one hash in hex a line; what follows it on the line after
 * a space, empty lines and lines that begin with "#" are for people.  Returns
 * an array of NGX_HTTP_KNOCK_HASH_LEN bytes each, in cf->pool, or NULL after
 * logging the line that is wrong.
 */
ngx_array_t *ngx_http_knock_api_keys_read(ngx_conf_t *cf, ngx_str_t *file);

/*
 * Whether the request's "Authorization: Bearer KEY" holds a key whose hash is
 * among them.  Every hash is compared, each in constant time.
 */
ngx_uint_t ngx_http_knock_api_keys_check(ngx_array_t *keys,
    ngx_http_request_t *r);


#endif /* _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_ */

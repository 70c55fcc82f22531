
/* The keys of the control API: a file of SHA-256 hashes, and their scopes. */

#ifndef _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_
#define _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_KNOCK_HASH_LEN  32


typedef struct {
    u_char        hash[NGX_HTTP_KNOCK_HASH_LEN];
    ngx_uint_t    scopes;           /* KNOCK_API_SCOPE_... */
    ngx_array_t  *environments;     /* of knock_str_t; NULL: all */
} ngx_http_knock_api_key_t;


/*
 * Reads a file with one hash in hex a line.  Behind it may stand, after spaces,
 * "scope=" and "environments=", which say what the key may do, and what is for
 * people, as empty lines and lines that begin with "#" are.  Returns an array
 * of ngx_http_knock_api_key_t in cf->pool, or NULL after logging the line that
 * is wrong.
 */
ngx_array_t *ngx_http_knock_api_keys_read(ngx_conf_t *cf, ngx_str_t *file);

/*
 * The one among the keys that the request's "Authorization: Bearer KEY" holds,
 * or NULL.  Every hash is compared, each in constant time.
 */
const ngx_http_knock_api_key_t *ngx_http_knock_api_keys_find(ngx_array_t *keys,
    ngx_http_request_t *r);


#endif /* _NGX_HTTP_KNOCK_API_KEYS_H_INCLUDED_ */

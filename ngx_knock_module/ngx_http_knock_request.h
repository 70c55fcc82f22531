
/* What the module's handlers read of a request. */

#ifndef _NGX_HTTP_KNOCK_REQUEST_H_INCLUDED_
#define _NGX_HTTP_KNOCK_REQUEST_H_INCLUDED_


#include "ngx_http_knock_module.h"
#include "knock_error.h"


/*
 * Whether the body may be read as it is: JSON (or no content type), without a
 * content encoding.  NGX_OK, or NGX_ERROR with *err filled in.
 */
ngx_int_t ngx_http_knock_check_body_type(ngx_http_request_t *r,
    knock_error_t *err);

/*
 * The whole body, which has been read, in one piece: a slice of nginx's
 * buffer, or a copy in r->pool if it is in several or in a file; data NULL if
 * there is none.  NGX_OK, or NGX_ERROR: no memory, or the file cannot be read
 * (which is logged).
 */
ngx_int_t ngx_http_knock_body(ngx_http_request_t *r, ngx_str_t *body);

/*
 * For as long as a request whose body is here waits for its answer: finalizes
 * it if its connection is reset.  A client that has only ended its sending
 * side waits for the answer.
 */
void ngx_http_knock_watch_client(ngx_http_request_t *r);

/* the first header of a name (in lower case), or NULL */
ngx_table_elt_t *ngx_http_knock_header(ngx_http_request_t *r,
    const char *lowcase, size_t len);


#endif /* _NGX_HTTP_KNOCK_REQUEST_H_INCLUDED_ */

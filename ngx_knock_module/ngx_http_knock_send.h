
/* Sending the module's answers, which are JSON but for the metrics. */

#ifndef _NGX_HTTP_KNOCK_SEND_H_INCLUDED_
#define _NGX_HTTP_KNOCK_SEND_H_INCLUDED_


#include "ngx_http_knock_module.h"
#include "knock_error.h"


/* the first block of the arena that an answer is built in */
#define NGX_HTTP_KNOCK_ANSWER_ARENA  4096


/*
 * Sends an answer, which is copied, with the headers that it asks for.  What
 * it returns finalizes the request.
 */
ngx_int_t ngx_http_knock_send(ngx_http_request_t *r, ngx_uint_t status,
    const knock_str_t *json);

/* the same for an error, whose code says the status */
ngx_int_t ngx_http_knock_send_error(ngx_http_request_t *r,
    const knock_error_t *err);

/*
 * Sends a text of another type, which is copied, without any of that; `type`
 * must live as long as r.  What it returns finalizes the request.
 */
ngx_int_t ngx_http_knock_send_text(ngx_http_request_t *r, ngx_uint_t status,
    const ngx_str_t *type, const knock_str_t *text);

/*
 * Finalizes a request with what one of these returned, from wherever that is:
 * nginx's own call of a handler, or an event of Redis or of a timer.  The
 * request may be gone afterwards.
 */
void ngx_http_knock_finalize(ngx_http_request_t *r, ngx_int_t rc);

/*
 * Refuses a request whose body has not been read: discards that and sends the
 * error, for a 405 with `allow`.  What it returns is what a content handler
 * returns.
 */
ngx_int_t ngx_http_knock_send_refusal(ngx_http_request_t *r,
    const knock_error_t *err, const char *allow);

/* adds the headers that JSON of this status has: how to keep and to retry it */
ngx_int_t ngx_http_knock_add_headers(ngx_http_request_t *r,
    ngx_uint_t status);

/* adds a header to the answer; both strings must live as long as r */
ngx_int_t ngx_http_knock_add_header(ngx_http_request_t *r, const char *name,
    const char *value);


#endif /* _NGX_HTTP_KNOCK_SEND_H_INCLUDED_ */

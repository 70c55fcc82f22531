
#include "ngx_http_knock_request.h"


static ngx_int_t ngx_http_knock_is_json(ngx_str_t *type);
static void ngx_http_knock_reading(ngx_http_request_t *r);


ngx_int_t
ngx_http_knock_check_body_type(ngx_http_request_t *r, knock_error_t *err)
{
    ngx_str_t         type;
    ngx_table_elt_t  *h;

    if (r->headers_in.content_type) {
        type = r->headers_in.content_type->value;

        if (ngx_http_knock_is_json(&type) != NGX_OK) {
            (void) knock_error_set(err, KNOCK_E_UNSUPPORTED_MEDIA,
                                   "the content type is not JSON: send it as "
                                   "application/json");
            return NGX_ERROR;
        }
    }

    h = ngx_http_knock_header(r, "content-encoding",
                              sizeof("content-encoding") - 1);

    /* an empty one names none */

    if (h && h->value.len
        && (h->value.len != sizeof("identity") - 1
            || ngx_strncasecmp(h->value.data, (u_char *) "identity",
                               sizeof("identity") - 1)
               != 0))
    {
        (void) knock_error_set(err, KNOCK_E_UNSUPPORTED_ENCODING,
                               "the body is compressed: send it without a "
                               "content encoding");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* application/json, text/json or any +json, whatever the parameters */

static ngx_int_t
ngx_http_knock_is_json(ngx_str_t *type)
{
    size_t   len;
    u_char  *p;

    p = ngx_strlchr(type->data, type->data + type->len, ';');
    len = p ? (size_t) (p - type->data) : type->len;

    while (len && (type->data[len - 1] == ' ' || type->data[len - 1] == '\t'))
    {
        len--;
    }

    if (len == 0) {
        return NGX_OK;
    }

    if ((len == sizeof("application/json") - 1
         && ngx_strncasecmp(type->data, (u_char *) "application/json", len)
            == 0)
        || (len == sizeof("text/json") - 1
            && ngx_strncasecmp(type->data, (u_char *) "text/json", len) == 0))
    {
        return NGX_OK;
    }

    if (len > sizeof("+json") - 1
        && ngx_strncasecmp(type->data + len - (sizeof("+json") - 1),
                           (u_char *) "+json", sizeof("+json") - 1)
           == 0)
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_knock_body(ngx_http_request_t *r, ngx_str_t *body)
{
    off_t         size;
    size_t        len;
    u_char       *p;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;
    b = cl->buf;

    if (cl->next == NULL && ngx_buf_in_memory(b)) {
        body->data = b->pos;
        body->len = (size_t) (b->last - b->pos);
        return NGX_OK;
    }

    len = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        len += (size_t) ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, len ? len : 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, (size_t) (b->last - b->pos));
            continue;
        }

        if (!b->in_file) {
            continue;
        }

        size = b->file_last - b->file_pos;

        n = ngx_read_file(b->file, p, (size_t) size, b->file_pos);

        if (n != (ssize_t) size) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                          "knock: read %z of the %O bytes of a request body "
                          "from \"%V\": is the disk full or failing?",
                          n, size, &b->file->name);
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


void
ngx_http_knock_watch_client(ngx_http_request_t *r)
{
    if (r == r->main) {
        r->read_event_handler = ngx_http_knock_reading;
    }
}


/*
 * ngx_http_test_reading() takes an end for a client that has gone, and so does
 * epoll's word for it, pending_eof.  Only a reset leaves an error; it is asked
 * for, as reading would not tell of one behind an end.  A stream of HTTP/2 has
 * no such end.
 */

static void
ngx_http_knock_reading(ngx_http_request_t *r)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (r->http_version >= NGX_HTTP_VERSION_20
        || getsockopt(r->connection->fd, SOL_SOCKET, SO_ERROR, (void *) &err,
                      &len)
           == -1
        || err)
    {
        ngx_http_test_reading(r);
        return;
    }

    ngx_http_block_reading(r);
}


ngx_table_elt_t *
ngx_http_knock_header(ngx_http_request_t *r, const char *lowcase, size_t len)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncmp(h[i].lowcase_key, lowcase, len) == 0)
        {
            return &h[i];
        }
    }
}

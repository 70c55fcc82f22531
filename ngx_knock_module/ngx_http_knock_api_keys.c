
#include "ngx_http_knock_api_keys.h"
#include "knock_digest.h"

#include <openssl/sha.h>


/* a file of keys is short: a larger one is something else */
#define NGX_HTTP_KNOCK_KEYS_SIZE  (1024 * 1024)


static ngx_int_t ngx_http_knock_api_keys_line(ngx_array_t *keys,
    u_char *line, u_char *end);
static ngx_int_t ngx_http_knock_hex(u_char c);


ngx_array_t *
ngx_http_knock_api_keys_read(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char       *buf, *p, *end, *last;
    ssize_t       n;
    ngx_fd_t      fd;
    ngx_uint_t    line;
    ngx_array_t  *keys;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NULL;
    }

    keys = ngx_array_create(cf->pool, 4, NGX_HTTP_KNOCK_HASH_LEN);
    buf = ngx_palloc(cf->temp_pool, NGX_HTTP_KNOCK_KEYS_SIZE);

    if (keys == NULL || buf == NULL) {
        return NULL;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NULL;
    }

    n = ngx_read_fd(fd, buf, NGX_HTTP_KNOCK_KEYS_SIZE);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", name);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    if (n == -1) {
        return NULL;
    }

    if (n == NGX_HTTP_KNOCK_KEYS_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is too long to be a file of API keys",
                           name);
        return NULL;
    }

    last = buf + n;
    line = 0;

    for (p = buf; p < last; p = end + 1) {
        line++;

        end = ngx_strlchr(p, last, '\n');
        if (end == NULL) {
            end = last;
        }

        if (ngx_http_knock_api_keys_line(keys, p, end) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" line %ui: put the SHA-256 of a key "
                               "there, 64 hex digits", name, line);
            return NULL;
        }
    }

    if (keys->nelts == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" holds no key: every call of the API will "
                           "be refused", name);
    }

    return keys;
}


static ngx_int_t
ngx_http_knock_api_keys_line(ngx_array_t *keys, u_char *line, u_char *end)
{
    u_char      *hash;
    ngx_int_t    high, low;
    ngx_uint_t   i;

    if (end > line && end[-1] == '\r') {
        end--;
    }

    if (line == end || line[0] == '#') {
        return NGX_OK;
    }

    if (end - line < 2 * NGX_HTTP_KNOCK_HASH_LEN
        || (end - line > 2 * NGX_HTTP_KNOCK_HASH_LEN
            && line[2 * NGX_HTTP_KNOCK_HASH_LEN] != ' '))
    {
        return NGX_ERROR;
    }

    hash = ngx_array_push(keys);
    if (hash == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_KNOCK_HASH_LEN; i++) {
        high = ngx_http_knock_hex(line[2 * i]);
        low = ngx_http_knock_hex(line[2 * i + 1]);

        if (high == NGX_ERROR || low == NGX_ERROR) {
            return NGX_ERROR;
        }

        hash[i] = (u_char) (high * 16 + low);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_hex(u_char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : NGX_ERROR;
}


ngx_uint_t
ngx_http_knock_api_keys_check(ngx_array_t *keys, ngx_http_request_t *r)
{
    u_char            *p, *last, *hashes;
    ngx_uint_t         i, found;
    ngx_table_elt_t   *h;
    unsigned char      hash[NGX_HTTP_KNOCK_HASH_LEN];

    h = r->headers_in.authorization;

    if (h == NULL || h->value.len <= sizeof("Bearer ") - 1
        || ngx_strncasecmp(h->value.data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return 0;
    }

    p = h->value.data + sizeof("Bearer ") - 1;
    last = h->value.data + h->value.len;

    while (p < last && *p == ' ') {
        p++;
    }

    (void) SHA256(p, (size_t) (last - p), hash);

    hashes = keys->elts;
    found = 0;

    for (i = 0; i < keys->nelts; i++) {
        found |= (ngx_uint_t)
                 knock_digest_eq(hashes + i * NGX_HTTP_KNOCK_HASH_LEN, hash,
                                 NGX_HTTP_KNOCK_HASH_LEN);
    }

    return found;
}

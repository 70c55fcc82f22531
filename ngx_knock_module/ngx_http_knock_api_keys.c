
#include "ngx_http_knock_api_keys.h"
#include "ngx_http_knock_module.h"
#include "knock_api.h"
#include "knock_digest.h"

#include <openssl/sha.h>


/* a file of keys is short: a larger one is something else */
#define NGX_HTTP_KNOCK_KEYS_SIZE  (1024 * 1024)


static const char *ngx_http_knock_api_keys_line(ngx_array_t *keys,
    u_char *line, u_char *end);
static const char *ngx_http_knock_api_keys_word(ngx_array_t *keys,
    ngx_http_knock_api_key_t *key, ngx_str_t *word);
static ngx_uint_t ngx_http_knock_api_keys_meant(ngx_str_t *word,
    const char *setting);
static const char *ngx_http_knock_api_keys_scope(ngx_http_knock_api_key_t *key,
    ngx_str_t *name);
static const char *ngx_http_knock_api_keys_environment(ngx_array_t *keys,
    ngx_http_knock_api_key_t *key, ngx_str_t *name);
static ngx_int_t ngx_http_knock_hex(u_char c);


static const struct {
    ngx_str_t   name;
    ngx_uint_t  scope;
} ngx_http_knock_api_scopes[] = {
    { ngx_string("read"), KNOCK_API_SCOPE_READ },
    { ngx_string("send"), KNOCK_API_SCOPE_SEND },
    { ngx_string("consume"), KNOCK_API_SCOPE_CONSUME },
    { ngx_string("write"), KNOCK_API_SCOPE_WRITE },
    { ngx_null_string, 0 }
};


ngx_array_t *
ngx_http_knock_api_keys_read(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char       *buf, *p, *end, *last;
    ssize_t       n;
    ngx_fd_t      fd;
    ngx_uint_t    line;
    ngx_array_t  *keys;
    const char   *wrong;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NULL;
    }

    keys = ngx_array_create(cf->pool, 4, sizeof(ngx_http_knock_api_key_t));
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

        wrong = ngx_http_knock_api_keys_line(keys, p, end);

        if (wrong) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" line %ui: %s",
                               name, line, wrong);
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


/* what is wrong with a line, or NULL */

static const char *
ngx_http_knock_api_keys_line(ngx_array_t *keys, u_char *line, u_char *end)
{
    u_char                    *p;
    ngx_int_t                  high, low;
    ngx_str_t                  word;
    ngx_uint_t                 i;
    const char                *wrong;
    ngx_http_knock_api_key_t  *key, *known;

    static const char  no_hash[] = "put the SHA-256 of a key there, 64 hex "
                                   "digits";

    if (end > line && end[-1] == '\r') {
        end--;
    }

    if (line == end || line[0] == '#') {
        return NULL;
    }

    p = line + 2 * NGX_HTTP_KNOCK_HASH_LEN;

    if (p > end || (p < end && *p != ' ' && *p != '\t')) {
        return no_hash;
    }

    key = ngx_array_push(keys);
    if (key == NULL) {
        return "there is no memory for it";
    }

    ngx_memzero(key, sizeof(ngx_http_knock_api_key_t));

    for (i = 0; i < NGX_HTTP_KNOCK_HASH_LEN; i++) {
        high = ngx_http_knock_hex(line[2 * i]);
        low = ngx_http_knock_hex(line[2 * i + 1]);

        if (high == NGX_ERROR || low == NGX_ERROR) {
            return no_hash;
        }

        key->hash[i] = (u_char) (high * 16 + low);
    }

    for (known = keys->elts; known < key; known++) {
        if (ngx_memcmp(known->hash, key->hash, NGX_HTTP_KNOCK_HASH_LEN) == 0) {
            return "this key stands on a line before, leave one of them";
        }
    }

    for ( ;; ) {

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (p == end || *p == '#') {
            break;
        }

        word.data = p;

        while (p < end && *p != ' ' && *p != '\t') {
            p++;
        }

        word.len = (size_t) (p - word.data);

        wrong = ngx_http_knock_api_keys_word(keys, key, &word);

        if (wrong) {
            return wrong;
        }
    }

    if (key->scopes == 0) {
        key->scopes = KNOCK_API_SCOPE_ALL;
    }

    return NULL;
}


/*
 * A word behind a hash: a setting, or for people.  What may have been meant to
 * be a setting is refused: it would leave the key with more than it should have.
 */

static const char *
ngx_http_knock_api_keys_word(ngx_array_t *keys, ngx_http_knock_api_key_t *key,
    ngx_str_t *word)
{
    u_char      *p, *end, *last;
    ngx_str_t    name, value;
    const char  *wrong;

    last = word->data + word->len;

    for (p = word->data; p < last && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z';
         p++)
    {
        /* void */
    }

    name.data = word->data;
    name.len = (size_t) (p - word->data);

    if (p == last || *p != '=') {
        return ngx_http_knock_api_keys_meant(word, "scope")
               || ngx_http_knock_api_keys_meant(word, "environment")
               ? "write scope= and environments= without spaces, or a # "
                 "before what is for people" : NULL;
    }

    for (p++; /* void */ ; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        value.data = p;
        value.len = (size_t) (end - p);

        if (name.len == sizeof("scope") - 1
            && ngx_strncmp(name.data, "scope", name.len) == 0)
        {
            wrong = ngx_http_knock_api_keys_scope(key, &value);

        } else if (name.len == sizeof("environments") - 1
                   && ngx_strncmp(name.data, "environments", name.len) == 0)
        {
            wrong = ngx_http_knock_api_keys_environment(keys, key, &value);

        } else {
            wrong = "behind a key stand scope= and environments=, write a # "
                    "before what is for people";
        }

        if (wrong || end == last) {
            return wrong;
        }
    }
}


static ngx_uint_t
ngx_http_knock_api_keys_meant(ngx_str_t *word, const char *setting)
{
    size_t  len;

    len = ngx_strlen(setting);

    return word->len >= len
           && ngx_strncasecmp(word->data, (u_char *) setting, len) == 0;
}


static const char *
ngx_http_knock_api_keys_scope(ngx_http_knock_api_key_t *key, ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; ngx_http_knock_api_scopes[i].scope; i++) {

        if (ngx_http_knock_api_scopes[i].name.len == name->len
            && ngx_strncmp(ngx_http_knock_api_scopes[i].name.data, name->data,
                           name->len)
               == 0)
        {
            key->scopes |= ngx_http_knock_api_scopes[i].scope;
            return NULL;
        }
    }

    return "a scope is read, send, consume or write";
}


static const char *
ngx_http_knock_api_keys_environment(ngx_array_t *keys,
    ngx_http_knock_api_key_t *key, ngx_str_t *name)
{
    knock_str_t   str;
    knock_str_t  *environment;

    str = ngx_http_knock_str(name);

    if (!knock_api_environment_valid(&str)) {
        return "an environment has 1 to 64 of the characters a-z, 0-9, _ "
               "and -";
    }

    if (key->environments == NULL) {
        key->environments = ngx_array_create(keys->pool, 2,
                                             sizeof(knock_str_t));
        if (key->environments == NULL) {
            return "there is no memory for it";
        }
    }

    environment = ngx_array_push(key->environments);

    if (environment == NULL) {
        return "there is no memory for it";
    }

    environment->len = str.len;
    environment->data = ngx_pnalloc(keys->pool, str.len);

    if (environment->data == NULL) {
        return "there is no memory for it";
    }

    ngx_memcpy(environment->data, str.data, str.len);

    return NULL;
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


const ngx_http_knock_api_key_t *
ngx_http_knock_api_keys_find(ngx_array_t *keys, ngx_http_request_t *r)
{
    u_char                          *p, *last;
    ngx_uint_t                       i;
    unsigned char                    hash[NGX_HTTP_KNOCK_HASH_LEN];
    ngx_table_elt_t                 *h;
    const ngx_http_knock_api_key_t  *key, *found;

    h = r->headers_in.authorization;

    if (h == NULL || h->value.len <= sizeof("Bearer ") - 1
        || ngx_strncasecmp(h->value.data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NULL;
    }

    p = h->value.data + sizeof("Bearer ") - 1;
    last = h->value.data + h->value.len;

    while (p < last && *p == ' ') {
        p++;
    }

    (void) SHA256(p, (size_t) (last - p), hash);

    key = keys->elts;
    found = NULL;

    for (i = 0; i < keys->nelts; i++) {
        if (knock_digest_eq(key[i].hash, hash, NGX_HTTP_KNOCK_HASH_LEN)) {
            found = &key[i];
        }
    }

    return found;
}

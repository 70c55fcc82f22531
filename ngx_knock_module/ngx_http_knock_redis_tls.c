
/*
 * TLS to Redis: the context made at configuration, the handshake, and the
 * verification of who answers.
 */

#include "ngx_http_knock_redis_internal.h"


#if (NGX_SSL)

static void ngx_http_knock_redis_tls_handler(ngx_connection_t *c);
static ngx_int_t ngx_http_knock_redis_tls_verify(
    ngx_http_knock_redis_node_t *node);
static ngx_int_t ngx_http_knock_redis_tls_check_name(ngx_connection_t *c,
    ngx_http_knock_redis_server_t *server);


char *
ngx_http_knock_redis_tls_conf(ngx_conf_t *cf,
    ngx_http_knock_redis_conf_t *conf)
{
    ngx_pool_cleanup_t  *cln;

    conf->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (conf->ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->ssl->log = cf->log;

    if (ngx_ssl_create(conf->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(conf->ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = conf->ssl;

    if (conf->ssl_certificate.len
        && ngx_ssl_certificate(cf, conf->ssl, &conf->ssl_certificate,
                               &conf->ssl_certificate_key, NULL)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!conf->ssl_verify) {
        return NGX_CONF_OK;
    }

    if (conf->ssl_ca.len) {

        if (ngx_ssl_trusted_certificate(cf, conf->ssl, &conf->ssl_ca, 100)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

    } else if (SSL_CTX_set_default_verify_paths(conf->ssl->ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_knock_redis_tls_name(ngx_pool_t *pool,
    ngx_http_knock_redis_conf_t *conf, ngx_http_knock_redis_server_t *server)
{
    u_char     *p;
    ngx_str_t   name;

    name = conf->ssl_name.len ? conf->ssl_name : server->host;

    if (name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }

    p = ngx_pnalloc(pool, name.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(p, name.data, name.len + 1);

    server->ssl_name.data = p;
    server->ssl_name.len = name.len;
    server->ssl_name_ip =
        ngx_http_knock_redis_is_address(&server->ssl_name) ? 1 : 0;

    return NGX_OK;
}


void
ngx_http_knock_redis_tls_connect(ngx_http_knock_redis_node_t *node)
{
    ngx_connection_t             *c;
    ngx_http_knock_redis_conf_t  *conf;

    c = node->connection;
    conf = node->conf;

    /* the buffer makes one record of many small commands */

    if (ngx_ssl_create_connection(conf->ssl, c, NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_knock_redis_fail(node, 0, "no memory for TLS");
        return;
    }

    /* an address is not a name to indicate: RFC 6066, section 3 */

    if (!node->server.ssl_name_ip
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) node->server.ssl_name.data)
           == 0)
    {
        ngx_http_knock_redis_fail(node, 0, "the server name \"%V\" could not "
                                  "be set for TLS", &node->server.ssl_name);
        return;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_http_knock_redis_tls_handler;
        return;
    }

    ngx_http_knock_redis_tls_handler(c);
}


static void
ngx_http_knock_redis_tls_handler(ngx_connection_t *c)
{
    ngx_http_knock_redis_node_t  *node;

    node = c->data;

    if (!c->ssl->handshaked) {
        ngx_http_knock_redis_fail(node, 0,
                                  "the TLS handshake failed; check that Redis "
                                  "expects TLS on this port, and cert= and "
                                  "key= if it asks for a certificate");

    } else if (ngx_http_knock_redis_tls_verify(node) == NGX_OK) {
        ngx_http_knock_redis_greet(node);
    }

    ngx_http_knock_redis_settle(node);
}


/* NGX_DECLINED: has failed and been closed */

static ngx_int_t
ngx_http_knock_redis_tls_verify(ngx_http_knock_redis_node_t *node)
{
    long                          rc;
    ngx_connection_t             *c;
    ngx_http_knock_redis_conf_t  *conf;

    c = node->connection;
    conf = node->conf;

    if (!conf->ssl_verify) {
        return NGX_OK;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_http_knock_redis_fail(node, 0,
                                  "its certificate is not trusted: %s; give "
                                  "the file of its authority by ca=",
                                  X509_verify_cert_error_string(rc));
        return NGX_DECLINED;
    }

    if (ngx_http_knock_redis_tls_check_name(c, &node->server) != NGX_OK) {
        ngx_http_knock_redis_fail(node, 0,
                                  "its certificate is not for \"%V\"; give "
                                  "the name it is for by name=",
                                  &node->server.ssl_name);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_knock_redis_tls_check_name(ngx_connection_t *c,
    ngx_http_knock_redis_server_t *server)
{
    int    rc;
    X509  *cert;

    if (!server->ssl_name_ip) {
        return ngx_ssl_check_host(c, &server->ssl_name);
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    rc = X509_check_ip_asc(cert, (char *) server->ssl_name.data, 0);

    X509_free(cert);

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}

#endif

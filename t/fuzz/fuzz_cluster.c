
/*
 * What the nodes of a cluster say of each other: CLUSTER SLOTS, MOVED and ASK.
 * The first byte of the input holds FLAGS, what follows is what a connection
 * brings.  Each reply is taken for a map, and if it is a redirect, followed;
 * which nodes own which slots, and where a command is sent, is what a plain
 * reading of the reply gives, and a reply that is no map changes none.
 *
 * The client is not here: what slots and redirects ask of it is done by this
 * file, with a table of nodes.
 */

#include "ngx_http_knock_redis_cluster.h"

#include "fuzz.h"


#define BY_NAME     0x01    /* the node that speaks was told by its name */
#define AWAY        0x02    /* nodes take no commands */
#define INTERNAL    0x04    /* the command is the client's own */
#define WEARY       0x08    /* it has been redirected often */
#define UNROUTED    0x10    /* it has no key */

#define NODES       64
#define HOST        "redis-1"
#define ADDRESS     "192.0.2.7"

/* a name that cannot be reached, as there is no resolver */
#define UNKNOWN     '!'


typedef struct {
    char                         host[4096];
    size_t                       len;
    long long                    port;
    ngx_http_knock_redis_node_t  node;
} known_t;


static ngx_http_knock_redis_node_t     *owners[KNOCK_SLOTS];
static ngx_http_knock_redis_node_t     *wanted[KNOCK_SLOTS];
static ngx_http_knock_redis_cluster_t   cluster;
static ngx_http_knock_redis_t           client;
static ngx_http_knock_redis_conf_t      conf;
static ngx_http_knock_redis_node_t      speaker;
static ngx_connection_t                 connection;

static known_t                          nodes[NODES];
static size_t                           nnodes;
static ngx_http_knock_redis_node_t     *passed_to;
static size_t                           refreshed;
static uint8_t                          flags;


static void cluster_reset(void);
static void cluster_slots(redisReply *reply);
static int slots_valid(const redisReply *reply);
static void slots_read(const redisReply *reply);
static ngx_http_knock_redis_node_t *slots_master(const redisReply *master);
static void cluster_counts(void);
static void cluster_redirect(redisReply *reply);
static int redirect_read(const redisReply *reply, knock_str_t *host,
    long long *port);
static knock_str_t own_host(void);
static ngx_http_knock_redis_node_t *known(const knock_str_t *host,
    long long port);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void  *reply;

    if (size == 0) {
        return 0;
    }

    flags = data[0];
    cluster_reset();

    check(ngx_http_knock_redis_create_reader(&speaker) == NGX_OK);
    redisReaderFeed(speaker.reader, (const char *) data + 1, size - 1);

    while (redisReaderGetReply(speaker.reader, &reply) == REDIS_OK
           && reply != NULL)
    {
        cluster_slots(reply);
        cluster_redirect(reply);
        knock_arena_reset(speaker.replies);
    }

    redisReaderFree(speaker.reader);
    knock_arena_destroy(speaker.replies);

    return 0;
}


static void
cluster_reset(void)
{
    size_t  i;

    for (i = 0; i < nnodes; i++) {
        memset(&nodes[i].node, 0, sizeof(ngx_http_knock_redis_node_t));
    }

    nnodes = 0;

    memset(owners, 0, sizeof(owners));
    memset(&cluster, 0, sizeof(cluster));
    memset(&speaker, 0, sizeof(speaker));

    client.cluster = &cluster;
    cluster.client = &client;
    cluster.owners = owners;

    speaker.client = &client;
    speaker.conf = &conf;
    speaker.connection = &connection;
    speaker.server.host.data = (u_char *) HOST;
    speaker.server.host.len = sizeof(HOST) - 1;

    if (flags & BY_NAME) {
        speaker.server.resolve = 1;
    }

    speaker.replies = knock_arena_create(256);
    check(speaker.replies != NULL);
}


static void
cluster_slots(redisReply *reply)
{
    ngx_int_t  rc;

    memcpy(wanted, owners, sizeof(owners));

    rc = ngx_http_knock_redis_slots_take(&cluster, &speaker, reply);

    if (slots_valid(reply)) {
        check(rc == NGX_OK);
        slots_read(reply);

    } else {
        check(rc == NGX_DECLINED);
    }

    check(memcmp(wanted, owners, sizeof(owners)) == 0);

    cluster_counts();
}


static int
slots_valid(const redisReply *reply)
{
    size_t             i;
    long long          first, last, port;
    const redisReply  *range, *master;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return 0;
    }

    for (i = 0; i < reply->elements; i++) {
        range = reply->element[i];

        if (range->type != REDIS_REPLY_ARRAY || range->elements < 3
            || range->element[0]->type != REDIS_REPLY_INTEGER
            || range->element[1]->type != REDIS_REPLY_INTEGER
            || range->element[2]->type != REDIS_REPLY_ARRAY)
        {
            return 0;
        }

        first = range->element[0]->integer;
        last = range->element[1]->integer;
        master = range->element[2];

        if (first < 0 || first > last || last > 16383
            || master->elements < 2
            || (master->element[0]->type != REDIS_REPLY_STRING
                && master->element[0]->type != REDIS_REPLY_NIL)
            || master->element[1]->type != REDIS_REPLY_INTEGER)
        {
            return 0;
        }

        port = master->element[1]->integer;

        if (port < 1 || port > 65535) {
            return 0;
        }
    }

    return 1;
}


/* a slot's owner is the master of the last range that has it: backwards */

static void
slots_read(const redisReply *reply)
{
    char                          read[KNOCK_SLOTS];
    size_t                        i;
    long long                     slot;
    const redisReply             *range;
    ngx_http_knock_redis_node_t  *master;

    memset(read, 0, sizeof(read));
    memset(wanted, 0, sizeof(wanted));

    for (i = reply->elements; i--; /* void */ ) {
        range = reply->element[i];
        master = slots_master(range->element[2]);

        for (slot = range->element[1]->integer;
             slot >= range->element[0]->integer;
             slot--)
        {
            if (!read[slot]) {
                read[slot] = 1;
                wanted[slot] = master;
            }
        }
    }
}


/* the node that it was made, or NULL: it cannot be reached */

static ngx_http_knock_redis_node_t *
slots_master(const redisReply *master)
{
    size_t             k;
    knock_str_t        host;
    const redisReply  *more;

    host.data = (unsigned char *) master->element[0]->str;
    host.len = master->element[0]->type == REDIS_REPLY_NIL
               ? 0 : (size_t) master->element[0]->len;

    if (host.len == 1 && host.data[0] == '?') {

        /* it may be told elsewhere, as the value of "ip" */

        more = master->elements > 3 ? master->element[3] : NULL;

        if (more == NULL || more->type != REDIS_REPLY_ARRAY) {
            return NULL;
        }

        for (k = 0; /* void */ ; k += 2) {

            if (k + 1 >= more->elements) {
                return NULL;
            }

            if (more->element[k]->type == REDIS_REPLY_STRING
                && more->element[k + 1]->type == REDIS_REPLY_STRING
                && strcmp(more->element[k]->str, "ip") == 0)
            {
                break;
            }
        }

        host.data = (unsigned char *) more->element[k + 1]->str;
        host.len = (size_t) more->element[k + 1]->len;
    }

    if (host.len == 0) {
        host = own_host();
    }

    return known(&host, master->element[1]->integer);
}


/* what is counted of owners is how many there are */

static void
cluster_counts(void)
{
    size_t                        i, slot, owned, slots[NODES];
    ngx_http_knock_redis_node_t  *owner;

    owned = 0;
    memset(slots, 0, sizeof(slots));

    for (slot = 0; slot < KNOCK_SLOTS; slot++) {
        owner = owners[slot];

        if (owner) {
            owned++;
            slots[ngx_queue_data(owner, known_t, node) - nodes]++;
        }
    }

    check(cluster.owned == owned);

    for (i = 0; i < nnodes; i++) {
        check(nodes[i].node.slots == slots[i]);
    }
}


static void
cluster_redirect(redisReply *reply)
{
    int                              ask;
    long long                        port;
    ngx_int_t                        rc;
    ngx_uint_t                       slot;
    knock_str_t                      host;
    ngx_http_knock_redis_node_t     *target;
    ngx_http_knock_redis_command_t   cmd;

    if (reply->type != REDIS_REPLY_ERROR
        || (strncmp(reply->str, "MOVED ", 6) != 0
            && strncmp(reply->str, "ASK ", 4) != 0))
    {
        return;
    }

    ask = reply->str[0] == 'A';
    slot = (flags & UNROUTED) ? KNOCK_SLOTS : 5;

    memset(&cmd, 0, sizeof(cmd));
    cmd.slot = slot;
    cmd.hops = (flags & WEARY) ? 5 : 0;

    if (flags & INTERNAL) {
        cmd.internal = 1;
    }

    memcpy(wanted, owners, sizeof(owners));
    passed_to = NULL;
    refreshed = 0;

    rc = ngx_http_knock_redis_redirect(&speaker, &cmd, reply);

    target = NULL;

    if (!(flags & (INTERNAL | WEARY)) && redirect_read(reply, &host, &port)) {
        target = known(&host, port);
    }

    if (target && !ask && slot < KNOCK_SLOTS) {
        check(owners[slot] == target);
        wanted[slot] = target;
    }

    check(memcmp(wanted, owners, sizeof(owners)) == 0);
    check(refreshed == !ask);

    if (flags & AWAY) {
        target = NULL;
    }

    check(rc == (target ? NGX_OK : NGX_DECLINED));
    check(passed_to == target);
    check(cmd.hops == (target ? 1 : (flags & WEARY) ? 5 : 0));
    check(cmd.asking == (target && ask));

    cluster_counts();
}


/* "... HOST:PORT", the port in digits: 1, or 0: it is none */

static int
redirect_read(const redisReply *reply, knock_str_t *host, long long *port)
{
    size_t       space, colon, i;
    const char  *text;

    text = reply->str;
    space = colon = 0;

    for (i = 0; i < (size_t) reply->len; i++) {

        if (text[i] == ' ') {
            space = i;
            colon = 0;

        } else if (text[i] == ':') {
            colon = i;
        }
    }

    if (colon == 0 || colon + 1 == (size_t) reply->len) {
        return 0;
    }

    *port = 0;

    for (i = colon + 1; i < (size_t) reply->len; i++) {

        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }

        *port = *port * 10 + (text[i] - '0');

        if (*port > 65535) {
            return 0;
        }
    }

    host->data = (unsigned char *) text + space + 1;
    host->len = colon - space - 1;

    if (host->len == 0) {
        *host = own_host();
    }

    return *port > 0 && !(host->len == 1 && host->data[0] == '?');
}


static knock_str_t
own_host(void)
{
    knock_str_t  name = knock_string(HOST);
    knock_str_t  address = knock_string(ADDRESS);

    return (flags & BY_NAME) ? address : name;
}


static ngx_http_knock_redis_node_t *
known(const knock_str_t *host, long long port)
{
    size_t  i;

    for (i = 0; i < nnodes; i++) {

        if (nodes[i].port == port && nodes[i].len == host->len
            && memcmp(nodes[i].host, host->data, host->len) == 0)
        {
            return &nodes[i].node;
        }
    }

    return NULL;
}


/* what the client does for them */

ngx_http_knock_redis_node_t *
ngx_http_knock_redis_cluster_node(ngx_http_knock_redis_cluster_t *c,
    const knock_str_t *host, in_port_t port)
{
    known_t                      *new;
    ngx_http_knock_redis_node_t  *node;

    check(c == &cluster);
    check(host->len > 0 && host->len < sizeof(new->host));
    check(port > 0);

    node = known(host, port);

    if (node || host->data[0] == UNKNOWN || nnodes == NODES) {
        return node;
    }

    new = &nodes[nnodes++];

    memcpy(new->host, host->data, host->len);
    new->len = host->len;
    new->port = port;

    return &new->node;
}


ngx_uint_t
ngx_http_knock_redis_cluster_away(ngx_http_knock_redis_node_t *node)
{
    check(node != NULL);

    return (flags & AWAY) != 0;
}


void
ngx_http_knock_redis_cluster_pass(ngx_http_knock_redis_node_t *from,
    ngx_http_knock_redis_command_t *cmd, ngx_http_knock_redis_node_t *to)
{
    check(from == &speaker && passed_to == NULL);

    passed_to = to;
}


void
ngx_http_knock_redis_map_refresh(ngx_http_knock_redis_cluster_t *c)
{
    check(c == &cluster);

    refreshed++;
}


/* ASKING is written by the client alone */

ngx_int_t
ngx_http_knock_redis_internal(ngx_http_knock_redis_node_t *node,
    ngx_uint_t argc, const char **argv, const size_t *argvlen,
    ngx_http_knock_redis_handler_pt handler)
{
    check(0);
}


void
ngx_http_knock_redis_ignored(void *data, ngx_http_knock_redis_status_e status,
    redisReply *reply, ngx_str_t *why)
{
    check(0);
}


/* and what nginx does */

size_t
ngx_sock_ntop(struct sockaddr *sa, socklen_t socklen, u_char *text, size_t len,
    ngx_uint_t port)
{
    check(sa == connection.sockaddr && len >= sizeof(ADDRESS) && !port);

    memcpy(text, ADDRESS, sizeof(ADDRESS) - 1);

    return sizeof(ADDRESS) - 1;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        if (*line < '0' || *line > '9'
            || __builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, *line - '0', &value))
        {
            return NGX_ERROR;
        }
    }

    return value;
}

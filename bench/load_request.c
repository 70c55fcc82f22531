
#include "load_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int load_make(load_t *load, load_conn_t *c);
static uint64_t load_event(load_t *load, load_conn_t *c, uint64_t i);
static char *load_head(load_conf_t *conf, char *text, size_t len);


int
load_next(load_t *load, load_conn_t *c, uint64_t due)
{
    c->due = due;
    c->state = LOAD_SENDING;
    load->result->sent++;

    if (load_make(load, c) != 0) {
        return -1;
    }

    return load_send(load, c);
}


/* Makes an event, or an array of them, and a head before it. */

static int
load_make(load_t *load, load_conn_t *c)
{
    char              *text, *p;
    size_t             size;
    uint64_t           i, event;
    unsigned           k, events;
    load_conf_t       *conf;
    bench_kind_e       kind;
    bench_template_t  *t;

    conf = load->conf;
    events = conf->batch ? conf->batch : 1;

    /* with --count the last one may be shorter */

    if (conf->count && conf->count - load->made < events) {
        events = (unsigned) (conf->count - load->made);
    }

    load->made += events;
    size = BENCH_HEAD_ROOM + 2 + events * (conf->events.longest + 1);

    if (size > c->own_size) {
        free(c->own);
        c->own = malloc(size);
        c->own_size = size;

        if (c->own == NULL) {
            (void) fprintf(stderr, "load: no memory for a request of %zu "
                                   "bytes\n", size);
            return -1;
        }
    }

    text = c->own + BENCH_HEAD_ROOM;
    p = text;
    c->first = load->result->next;
    c->events = events;
    c->runs = 0;
    c->repeats = 0;
    c->ignored = 0;

    for (k = 0; k < events; /* void */ ) {
        i = load->result->next++;
        event = load_event(load, c, i);

        if (event == LOAD_NO_EVENT) {
            continue;
        }

        if (conf->batch) {
            *p++ = k ? ',' : '[';
        }

        t = bench_template(&conf->events, event);
        memcpy(p, t->text, t->len);
        bench_fill(&conf->events, event, t, p);
        p += t->len;
        k++;

        if (event != i) {
            c->repeats++;
            continue;
        }

        kind = bench_kind(&conf->events, i);

        c->ignored += kind == BENCH_OTHER || kind == BENCH_PAGE;
        c->runs += bench_runs(&conf->events, i);
    }

    if (conf->batch) {
        *p++ = ']';
    }

    c->out = load_head(conf, text, (size_t) (p - text));

    if (c->out == NULL) {
        return -1;
    }

    c->out_len = (size_t) (p - c->out);

    return 0;
}


/*
 * Which event goes out as number i: itself, or for a repeat one of those that
 * have been answered, or that stand before it in the same array, for what is
 * under way elsewhere may come in after its repeat.  Where there is none yet
 * the number is left out.
 */

static uint64_t
load_event(load_t *load, load_conn_t *c, uint64_t i)
{
    unsigned         n;
    uint64_t         original, answered, own;
    load_conn_t     *other;
    bench_events_t  *events;

    events = &load->conf->events;

    if (bench_kind(events, i) != BENCH_REPEAT) {
        return i;
    }

    original = bench_original(events, i);

    if (original >= c->first) {
        return original;
    }

    own = i - c->first < BENCH_CYCLE ? i - c->first : BENCH_CYCLE - 1;

    answered = c->first;

    for (n = 0; n < load->conf->connections; n++) {
        other = &load->conns[n];

        if (other != c && other->state != LOAD_IDLE && other->first < answered)
        {
            answered = other->first;
        }
    }

    while (original >= answered) {

        if (original < load->conf->first + BENCH_CYCLE) {
            return own ? i - 1 - original % own : LOAD_NO_EVENT;
        }

        original -= BENCH_CYCLE;
    }

    return original;
}


/* Writes a head that ends where `text` begins; gives where it begins. */

static char *
load_head(load_conf_t *conf, char *text, size_t len)
{
    int     n;
    char   *p;

    if (conf->head_len == 0) {
        n = snprintf(conf->head, sizeof(conf->head),
                     "POST %s HTTP/1.1\r\nHost: %s:%u\r\n"
                     "User-Agent: Segment (Actions)\r\n"
                     "Content-Type: application/json\r\n"
                     "Content-Length: ", conf->path, conf->host, conf->port);

        if (n < 0 || (size_t) n >= sizeof(conf->head) - 32) {
            (void) fprintf(stderr, "load: --path is too long: %zu bytes are "
                                   "for the whole head of a request\n",
                           sizeof(conf->head));
            return NULL;
        }

        conf->head_len = (size_t) n;
    }

    /* from behind, with the length of the body in between */

    p = text - 4;
    memcpy(p, "\r\n\r\n", 4);

    do {
        *--p = (char) ('0' + len % 10);
        len /= 10;
    } while (len);

    p -= conf->head_len;
    memcpy(p, conf->head, conf->head_len);

    return p;
}

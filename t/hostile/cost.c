
/*
 * What a body costs: makes one of a kind and a size and receives it as a
 * worker does, in a function of its own, cost_measured(), whose instructions
 * linear.t has counted.
 *
 *   cost KIND N
 *
 * Prints the bytes of the body, those taken for it, and those of the command.
 */

#include <stdio.h>
#include <stdlib.h>

#include "live.h"
#include "knock_digest.h"
#include "knock_receive.h"


#define NOW  1704164645678u

#define N(a)  (sizeof(a) / sizeof((a)[0]))


typedef struct {
    const char  *name;
    const char  *begin;
    const char  *each;          /* its %zu is a number; n times, with commas */
    const char  *end;
    const char  *base;          /* of a merge: a member of what is stored */
} cost_kind_t;


/* not static and not inlined: callgrind looks for its name */

int cost_measured(knock_parts_t *parts, knock_receive_t *in,
    knock_command_t *command, knock_error_t *err);

static const cost_kind_t *cost_find(const char *name);
static void cost_make(knock_buf_t *buf, const cost_kind_t *kind, size_t n);
static void cost_need(knock_arena_t *arena, const cost_kind_t *kind, size_t n,
    knock_need_t *need);
static void cost_repeat(knock_buf_t *buf, const char *format, size_t n);
static size_t cost_sent(const knock_command_t *command);
static int cost_fail(const char *what);


#define EVENT     "{\"type\":\"track\",\"event\":\"Order Shipped\","
#define IDENTIFY  "{\"type\":\"identify\",\"userId\":\"u1\",\"traits\":"
#define DEEP      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[" \
                  "7]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"

static const cost_kind_t  cost_kinds[] = {

    { "equal-keys", IDENTIFY "{", "\"key\":%zu", "}}", NULL },
    { "distinct-keys", IDENTIFY "{", "\"key%zu\":1", "}}", NULL },
    { "nested-equal-keys", IDENTIFY "{\"o\":{", "\"key\":%zu", "}}}", NULL },
    { "deep-arrays", IDENTIFY "{\"a\":[", DEEP, "]}}", NULL },
    { "escapes", IDENTIFY "{\"a\":[",
      "\"\\ud83d\\ude00\\u0000\\\\\\\"\\u00e9%zu\"", "]}}", NULL },
    { "escaped-keys", IDENTIFY "{", "\"\\u006b\\u0065%zu\":1", "}}", NULL },
    { "numbers", IDENTIFY "{\"a\":[", "-%zu.5e-300", "]}}", NULL },
    { "spaces", IDENTIFY "{\"a\":[", " \n\t\r  %zu      ", "]}}", NULL },
    { "every-element", EVENT "\"properties\":{\"lines\":[",
      "{\"watchers\":[\"u1\",[],{},null,\"v%zu\"]}", "]}}", NULL },
    { "one-recipient", EVENT "\"properties\":{\"lines\":[{\"watchers\":[",
      "{\"id\":\"u\",\"n\":%zu}", "]}]}}", NULL },
    { "recipients", EVENT "\"properties\":{\"lines\":[{\"watchers\":[",
      "{\"id\":\"u%zu\",\"o\":{\"p\":1}}", "]}]}}", NULL },
    { "left-out", EVENT "\"properties\":{\"lines\":[{\"watchers\":[",
      "{\"no\":%zu}", "]}]}}", NULL },
    { "batch", "[", IDENTIFY "{\"n\":%zu}}", "]", NULL },
    { "batch-of-tracks", "[",
      EVENT "\"messageId\":\"m%zu\",\"properties\":{\"lines\":[]}}", "]",
      NULL },
    { "batch-of-kinds", "{\"batch\":[",
      "{\"type\":\"track\",\"event\":\"e%zu\"}", "]}", NULL },
    { "batch-of-one-id", "[",
      "{\"type\":\"page\",\"n\":%zu,\"messageId\":\"m\"}", "]", NULL },
    { "batch-of-ids", "[",
      EVENT "\"properties\":{\"lines\":[{\"watchers\":[\"u%zu\"]}]}}", "]",
      NULL },
    { "bad-batch", "[{\"type\":\"page\"},", "{\"type\":%zu}", "]", NULL },
    { "broken-batch", "[{\"type\":\"page\"},", "{\"n\":[%zu,{}],}", "]",
      NULL },
    { "broken-late", "[{\"type\":\"page\"},{\"a\":[", "{\"k%zu\":\"]\"}",
      "],}]", NULL },
    { "too-deep", "[{\"type\":\"page\"},", "[[[[[[[[" DEEP "]]]]]]]]", "]",
      NULL },
    { "surrogates", IDENTIFY "{\"a\":[", "\"\\ud83d%zu\"", "]}}", NULL },
    { "chain", "[", IDENTIFY "{\"o\":{\"k%zu\":1}}}", "]", "\"s%zu\":1" },
    { "chain-of-one-key", "[", IDENTIFY "{\"o\":{\"k\":%zu}}}", "]",
      "\"s%zu\":1" },
    { "chain-of-deep-keys", "[", IDENTIFY "{\"o\":{\"a\":{\"b\":{\"k%zu\":1}"
      "}}}}", "]", "\"s%zu\":1" }
};


int
main(int argc, char **argv)
{
    size_t              n;
    unsigned            samples;
    knock_buf_t         buf;
    knock_str_t         token = knock_string(LIVE_TOKEN);
    knock_need_t        need;
    knock_live_t       *live;
    knock_error_t       err;
    knock_arena_t      *arena, *call;
    knock_part_t        part;
    knock_parts_t       parts;
    knock_apply_t       apply;
    knock_limits_t      limits;
    knock_command_t     command;
    knock_receive_t     in;
    const cost_kind_t  *kind;

    kind = argc == 3 ? cost_find(argv[1]) : NULL;

    if (kind == NULL) {
        return cost_fail("usage: cost KIND N");
    }

    n = strtoul(argv[2], NULL, 10);

    knock_map_seed(42);

    arena = knock_arena_create(4096);
    call = knock_arena_create(4096);

    if (arena == NULL || call == NULL || knock_digest_init() != KNOCK_OK) {
        return cost_fail("no memory");
    }

    live = live_build(arena);

    cost_make(&buf, kind, n);
    memset(&in, 0, sizeof(knock_receive_t));

    if (knock_buf_str(&buf, &in.body) != KNOCK_OK) {
        return cost_fail("no memory");
    }

    limits.max_batch = n + 1;
    limits.max_recipients = n + 2;
    limits.max_depth = KNOCK_MAX_DEPTH;
    limits.max_run_bytes = (size_t) 1 << 30;
    samples = 64;

    in.limits = &limits;
    in.log = KNOCK_LOG_ON;
    in.samples = &samples;
    in.now = NOW;
    in.endpoint = knock_live_endpoint(live, &token, NOW);

    if (kind->base) {
        cost_need(arena, kind, n, &need);
    }

    knock_parts_whole(&parts, &part, &apply, call, live,
                      kind->base ? &need : NULL);

    if (knock_apply_begin(&apply, call, live, 0) != KNOCK_OK) {
        return cost_fail("no memory");
    }

    err.message[0] = '\0';

    if (cost_measured(&parts, &in, &command, &err) != KNOCK_OK) {
        return cost_fail(err.message[0] ? err.message : "no memory");
    }

    printf("%zu %zu %zu\n", in.body.len, knock_arena_size(call),
           cost_sent(&command));

    return 0;
}


int __attribute__((noinline))
cost_measured(knock_parts_t *parts, knock_receive_t *in,
    knock_command_t *command, knock_error_t *err)
{
    knock_received_t    received;
    knock_apply_conf_t  conf;

    memset(&conf, 0, sizeof(knock_apply_conf_t));
    knock_str_set(&conf.token, "a token");

    if (knock_receive(parts, in, &received, err) != KNOCK_OK
        || knock_apply_command(parts->parts->apply, &conf, command) != KNOCK_OK)
    {
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


static const cost_kind_t *
cost_find(const char *name)
{
    size_t  i;

    for (i = 0; i < N(cost_kinds); i++) {
        if (strcmp(cost_kinds[i].name, name) == 0) {
            return &cost_kinds[i];
        }
    }

    return NULL;
}


static void
cost_make(knock_buf_t *buf, const cost_kind_t *kind, size_t n)
{
    knock_buf_init(buf, knock_arena_create(4096), 4096);

    knock_buf_add(buf, kind->begin, strlen(kind->begin));
    cost_repeat(buf, kind->each, n);
    knock_buf_add(buf, kind->end, strlen(kind->end));
}


/* one object field of one user, stored with n members, set by each event */

static void
cost_need(knock_arena_t *arena, const cost_kind_t *kind, size_t n,
    knock_need_t *need)
{
    knock_buf_t  buf;

    need->nbases = 1;
    need->bases = knock_arena_calloc(arena, 1, sizeof(knock_str_t));
    need->verdicts.len = n;
    need->verdicts.data = knock_arena_alloc(arena, n);

    if (need->bases == NULL || need->verdicts.data == NULL) {
        exit(cost_fail("no memory"));
    }

    memset(need->verdicts.data, KNOCK_VERDICT_APPLY, n);

    knock_buf_init(&buf, arena, 4096);
    knock_buf_add_char(&buf, '{');
    cost_repeat(&buf, kind->base, n);
    knock_buf_add_char(&buf, '}');

    if (knock_buf_str(&buf, &need->bases[0]) != KNOCK_OK) {
        exit(cost_fail("no memory"));
    }
}


/* a number has eight digits, whichever it is */

static void
cost_repeat(knock_buf_t *buf, const char *format, size_t n)
{
    size_t       i;
    const char  *at;

    at = strstr(format, "%zu");

    for (i = 0; i < n; i++) {

        if (i) {
            knock_buf_add_char(buf, ',');
        }

        if (at == NULL) {
            knock_buf_add(buf, format, strlen(format));
            continue;
        }

        knock_buf_add(buf, format, (size_t) (at - format));
        knock_buf_add_uint(buf, 10000000 + i);
        knock_buf_add(buf, at + 3, strlen(at + 3));
    }
}


static size_t
cost_sent(const knock_command_t *command)
{
    size_t  i, n, sent;

    n = 0;
    sent = 0;

    for (i = 0; i < command->n; i++) {
        n += command->argc[i];
    }

    for (i = 0; i < n; i++) {
        sent += command->argvlen[i];
    }

    return sent;
}


static int
cost_fail(const char *what)
{
    (void) fprintf(stderr, "%s\n", what);

    return 1;
}

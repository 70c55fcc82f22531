
#include "knock_apply.h"
#include "knock_limits.h"


/* with as many bytes of runs in a call it pays to push them outside of Lua */
#define KNOCK_APPLY_PUSH   4096

/*
 * Takes off the token, if that is still there, and the runs that were pushed
 * in front of it.  It has no command that knock_apply does without, so that
 * nobody may be allowed the one and not the other.
 */
#define KNOCK_APPLY_GUARD                                                    \
    "if redis.call('LINDEX',KEYS[1],-1)==ARGV[1] then "                      \
    "redis.call('RPOP',KEYS[1],ARGV[2]) end"


/* keys that each call has */
#define KNOCK_APPLY_FIXED  5

/* bytes of the plan's head, and of an op in it */
#define KNOCK_APPLY_HEAD   (9 * 4)
#define KNOCK_APPLY_OP     10

/* bytes of a heavy op in the details */
#define KNOCK_APPLY_HEAVY  8


static int knock_apply_check(const knock_apply_t *apply);
static void knock_apply_end(knock_command_t *command,
    const knock_strs_t *args);
static void knock_apply_call(knock_apply_t *apply,
    const knock_apply_conf_t *conf, int pushed, knock_strs_t *args);
static int knock_apply_version(const knock_apply_t *apply,
    const knock_apply_conf_t *conf, knock_str_t *version);
static void knock_apply_plan(knock_apply_t *apply, knock_strs_t *args);
static size_t knock_apply_heavy(const knock_apply_t *apply,
    const knock_apply_op_t *ops, size_t n, size_t *heavy);
static void knock_apply_details(knock_apply_t *apply, knock_strs_t *args);
static unsigned char *knock_apply_heavies(const knock_apply_t *apply,
    unsigned char *p);
static size_t knock_apply_index(const knock_apply_t *apply, uint32_t entity);
static void knock_apply_text(knock_strs_t *args, const knock_buf_t *buf);
static unsigned char *knock_apply_column(unsigned char *p,
    const knock_buf_t *numbers, unsigned bytes);
static inline unsigned char *knock_apply_uint(unsigned char *p, size_t n,
    unsigned bytes);


/*
 * Each byte that an FCALL brings is copied twice and hashed by Lua.  Runs are
 * most of the bytes, and the script has no use for them but to push them.  So
 * they are pushed in front of it, with a token behind them, in a transaction
 * with it: the script takes the token off, and with it the runs unless they
 * are to stay.  Where it could not run (it may be missing, or fail) the token
 * is still there, and EVAL, which brings its script with it, takes all of
 * them off again.  A call with few runs is cheaper without.
 */

int
knock_apply_command(knock_apply_t *apply, const knock_apply_conf_t *conf,
    knock_command_t *command)
{
    int                 pushed;
    size_t              i;
    knock_strs_t        args;
    const knock_str_t  *runs;

    memset(command, 0, sizeof(knock_command_t));
    knock_strs_init(&args, apply->arena);

    runs = &apply->live->places[apply->place].keys[KNOCK_KEY_RUNS];
    pushed = apply->run_bytes >= KNOCK_APPLY_PUSH;

    if (knock_apply_check(apply) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (pushed) {
        knock_strs_add_lit(&args, "MULTI");
        knock_apply_end(command, &args);

        knock_strs_add_lit(&args, "RPUSH");
        knock_strs_add(&args, runs);
        knock_strs_join(&args, &apply->runs);
        knock_strs_add(&args, &conf->token);
        knock_apply_end(command, &args);

        command->answer = 1;
    }

    knock_apply_call(apply, conf, pushed, &args);
    knock_apply_end(command, &args);

    if (pushed) {
        knock_strs_add_lit(&args, "EVAL");
        knock_strs_add_lit(&args, KNOCK_APPLY_GUARD);
        knock_strs_add_lit(&args, "1");
        knock_strs_add(&args, runs);
        knock_strs_add(&args, &conf->token);
        knock_strs_add_uint(&args, apply->runs.n + 1);
        knock_apply_end(command, &args);

        knock_strs_add_lit(&args, "EXEC");
        knock_apply_end(command, &args);
    }

    command->argv = knock_arena_alloc(apply->arena, args.n * sizeof(char *));
    command->argvlen = knock_arena_alloc(apply->arena,
                                         args.n * sizeof(size_t));

    if (args.failed || command->argv == NULL || command->argvlen == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0; i < args.n; i++) {
        command->argv[i] = (const char *) args.items[i].data;
        command->argvlen[i] = args.items[i].len;
    }

    return KNOCK_OK;
}


static int
knock_apply_check(const knock_apply_t *apply)
{
    return apply->failed || apply->marks.failed || apply->looked.failed
           || apply->packs.failed || apply->runs.failed || apply->texts.failed
           || apply->mark_events.failed || apply->looked_events.failed
           || apply->twins.failed || apply->first_runs.failed
           || apply->requests.failed
           || apply->run_entities.failed || apply->actors.failed
           || apply->ops.failed
           ? KNOCK_ERROR : KNOCK_OK;
}


/* what has come since the last command is one */

static void
knock_apply_end(knock_command_t *command, const knock_strs_t *args)
{
    size_t  i, n;

    n = args->n;

    for (i = 0; i < command->n; i++) {
        n -= command->argc[i];
    }

    command->argc[command->n++] = n;
}


/* the FCALL; runs that were pushed are not among its arguments */

static void
knock_apply_call(knock_apply_t *apply, const knock_apply_conf_t *conf,
    int pushed, knock_strs_t *args)
{
    static const knock_key_e  fixed[KNOCK_APPLY_FIXED] = {
        KNOCK_KEY_VERSION, KNOCK_KEY_RUNS, KNOCK_KEY_SEEN_0, KNOCK_KEY_SEEN_1,
        KNOCK_KEY_LARGE
    };

    size_t       i;
    knock_str_t  version;

    knock_strs_add_lit(args, "FCALL");
    knock_strs_add_lit(args, "knock_apply");
    knock_strs_add_uint(args, KNOCK_APPLY_FIXED + apply->asked.n
                              + apply->brought.n);

    for (i = 0; i < KNOCK_APPLY_FIXED; i++) {
        knock_strs_add(args, &apply->live->places[apply->place]
                                  .keys[fixed[i]]);
    }

    knock_strs_join(args, &apply->asked);
    knock_strs_join(args, &apply->brought);

    knock_strs_add_lit(args, KNOCK_LIBRARY_VERSION);

    if (knock_apply_version(apply, conf, &version) != KNOCK_OK) {
        args->failed = 1;
        return;
    }

    knock_strs_add(args, &version);
    knock_strs_add_uint(args, conf->window);

    if (pushed) {
        knock_strs_add(args, &conf->token);

    } else {
        knock_strs_add_lit(args, "");
    }

    knock_apply_plan(apply, args);
    knock_apply_details(apply, args);

    knock_strs_add_lit(args, "");
    knock_strs_join(args, &apply->marks);
    knock_strs_join(args, &apply->looked);
    knock_strs_join(args, &apply->packs);

    if (!pushed) {
        knock_strs_join(args, &apply->runs);
    }

    knock_strs_join(args, &apply->texts);

    if (apply->guard) {
        knock_strs_add(args, &apply->guard_etag);
    }
}


/* "V", or "+V X" for a shard, which follows what home has; "=V": in any case */

static int
knock_apply_version(const knock_apply_t *apply, const knock_apply_conf_t *conf,
    knock_str_t *version)
{
    knock_buf_t  buf;

    if (apply->place == apply->live->home && !conf->any_version) {
        *version = apply->live->version;
        return KNOCK_OK;
    }

    knock_buf_init(&buf, apply->arena, 64);

    knock_buf_add_char(&buf, conf->any_version ? '=' : '+');
    knock_buf_add_str(&buf, &apply->live->version);

    if (!conf->any_version) {
        knock_buf_add_char(&buf, ' ');
        knock_buf_add_str(&buf, &conf->ahead);
    }

    return knock_buf_str(&buf, version);
}


/*
 * How many there are of everything, and the ops; those of an event stand
 * together, and if one is heavy all are.
 */

static void
knock_apply_plan(knock_apply_t *apply, knock_strs_t *args)
{
    size_t                   i, n, nops, heavy, nheavy;
    knock_buf_t              plan;
    unsigned char           *p;
    const knock_apply_op_t  *op;

    nops = apply->ops.len / sizeof(knock_apply_op_t);
    op = (knock_apply_op_t *) apply->ops.data;

    knock_buf_init(&plan, apply->arena, 0);

    p = knock_buf_grow(&plan, KNOCK_APPLY_HEAD + KNOCK_APPLY_OP * nops);
    if (p == NULL) {
        args->failed = 1;
        return;
    }

    p = knock_apply_uint(p, apply->asked.n, 4);
    p = knock_apply_uint(p, apply->marks.n + apply->looked.n, 4);
    p = knock_apply_uint(p, apply->marks.n, 4);
    p = knock_apply_uint(p, apply->packs.n, 4);
    p = knock_apply_uint(p, apply->runs.n, 4);
    p = knock_apply_uint(p, apply->nevents, 4);
    p = knock_apply_uint(p, apply->guard
                            ? knock_apply_index(apply, (uint32_t) apply->guard)
                            : 0, 4);
    p = knock_apply_uint(p, apply->twins.len / (2 * sizeof(uint32_t)), 4);
    p = knock_apply_uint(p, apply->nactors, 4);

    for (nheavy = 0; nops; nops -= n) {
        n = knock_apply_heavy(apply, op, nops, &heavy);

        for (i = 0; i < n; i++, op++) {
            nheavy += heavy;

            p = knock_apply_uint(p, knock_apply_index(apply, op->entity), 3);
            p = knock_apply_uint(p, op->event, 2);
            p = knock_apply_uint(p, op->packs, 2);
            p = knock_apply_uint(p, heavy ? nheavy : 0, 3);
        }
    }

    plan.len = (size_t) (p - plan.data);

    knock_apply_text(args, &plan);
}


/* gives how many of the n ops are of the first one's event */

static size_t
knock_apply_heavy(const knock_apply_t *apply, const knock_apply_op_t *ops,
    size_t n, size_t *heavy)
{
    size_t                       i;
    const knock_apply_entity_t  *entities;

    entities = (knock_apply_entity_t *) apply->entities.data;

    *heavy = 0;

    for (i = 0; i < n && ops[i].event == ops[0].event; i++) {
        *heavy |= ops[i].heavy
                  || entities[ops[i].entity - 1].bytes >= KNOCK_CHECK_BYTES;
    }

    return i;
}


static void
knock_apply_details(knock_apply_t *apply, knock_strs_t *args)
{
    size_t           i, nops;
    uint32_t        *number;
    knock_buf_t      details;
    unsigned char   *p;

    nops = apply->ops.len / sizeof(knock_apply_op_t);

    knock_buf_init(&details, apply->arena, 0);

    p = knock_buf_grow(&details, 2 * (apply->marks.n + apply->looked.n)
                                 + 2 * apply->twins.len / sizeof(uint32_t)
                                 + 3 * (apply->nevents + 1 + apply->runs.n)
                                 + 2 * apply->nevents
                                 + 5 * apply->nactors
                                 + KNOCK_APPLY_HEAVY * nops);
    if (p == NULL) {
        args->failed = 1;
        return;
    }

    p = knock_apply_column(p, &apply->mark_events, 2);
    p = knock_apply_column(p, &apply->looked_events, 2);
    p = knock_apply_column(p, &apply->twins, 2);
    p = knock_apply_column(p, &apply->first_runs, 3);
    p = knock_apply_uint(p, apply->runs.n + 1, 3);
    p = knock_apply_column(p, &apply->requests, 2);

    number = (uint32_t *) apply->run_entities.data;

    for (i = 0; i < apply->runs.n; i++) {
        p = knock_apply_uint(p, knock_apply_index(apply, number[i]), 3);
    }

    number = (uint32_t *) apply->actors.data;

    for (i = 0; i < apply->nactors; i++) {
        p = knock_apply_uint(p, number[2 * i], 2);
        p = knock_apply_uint(p, knock_apply_index(apply, number[2 * i + 1]),
                             3);
    }

    p = knock_apply_heavies(apply, p);

    details.len = (size_t) (p - details.data);

    knock_apply_text(args, &details);
}


static unsigned char *
knock_apply_heavies(const knock_apply_t *apply, unsigned char *p)
{
    size_t                       i, n, nops, heavy;
    const knock_apply_op_t      *op;
    const knock_apply_entity_t  *entities;

    entities = (knock_apply_entity_t *) apply->entities.data;

    nops = apply->ops.len / sizeof(knock_apply_op_t);
    op = (knock_apply_op_t *) apply->ops.data;

    for ( /* void */ ; nops; nops -= n, op += n) {
        n = knock_apply_heavy(apply, op, nops, &heavy);

        for (i = 0; heavy && i < n; i++) {
            p = knock_apply_uint(p, entities[op[i].entity - 1].bytes, 4);
            p = knock_apply_uint(p, op[i].resent, 1);
            p = knock_apply_uint(p, op[i].text, 3);
        }
    }

    return p;
}


/* where an entity stands in KEYS */

static size_t
knock_apply_index(const knock_apply_t *apply, uint32_t entity)
{
    const knock_apply_entity_t  *e;

    e = &((knock_apply_entity_t *) apply->entities.data)[entity - 1];

    return KNOCK_APPLY_FIXED + 1 + e->place + (e->asked ? 0 : apply->asked.n);
}


static void
knock_apply_text(knock_strs_t *args, const knock_buf_t *buf)
{
    knock_str_t  text;

    if (knock_buf_str(buf, &text) != KNOCK_OK) {
        args->failed = 1;
        return;
    }

    knock_strs_add(args, &text);
}


static unsigned char *
knock_apply_column(unsigned char *p, const knock_buf_t *numbers,
    unsigned bytes)
{
    size_t     i;
    uint32_t  *number;

    number = (uint32_t *) numbers->data;

    for (i = 0; i < numbers->len / sizeof(uint32_t); i++) {
        p = knock_apply_uint(p, number[i], bytes);
    }

    return p;
}


static inline unsigned char *
knock_apply_uint(unsigned char *p, size_t n, unsigned bytes)
{
    while (bytes--) {
        *p++ = (unsigned char) (n >> 8 * bytes);
    }

    return p;
}

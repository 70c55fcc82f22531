
#include "knock_apply.h"


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


static void knock_apply_end(knock_command_t *command,
    const knock_strs_t *args);
static void knock_apply_call(const knock_apply_t *apply,
    const knock_apply_conf_t *conf, int pushed, knock_strs_t *args);
static int knock_apply_version(const knock_apply_t *apply,
    const knock_apply_conf_t *conf, knock_str_t *version);
static void knock_apply_plan(const knock_apply_t *apply, knock_buf_t *plan);


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
knock_apply_call(const knock_apply_t *apply, const knock_apply_conf_t *conf,
    int pushed, knock_strs_t *args)
{
    knock_buf_t           plan;
    knock_str_t           s;
    const knock_count_t  *count;

    knock_strs_add_lit(args, "FCALL");
    knock_strs_add_lit(args, "knock_apply");
    knock_strs_add_uint(args, apply->keys.n);
    knock_strs_join(args, &apply->keys);

    knock_strs_add_lit(args, KNOCK_LIBRARY_VERSION);

    if (knock_apply_version(apply, conf, &s) != KNOCK_OK) {
        args->failed = 1;
        return;
    }

    knock_strs_add(args, &s);
    knock_strs_add_uint(args, conf->window);
    knock_strs_add_uint(args, conf->log_length);
    knock_strs_add_uint(args, conf->catalogue_length);

    if (pushed) {
        knock_strs_add(args, &conf->token);

    } else {
        knock_strs_add_lit(args, "");
    }

    knock_buf_init(&plan, apply->arena, 256);
    knock_apply_plan(apply, &plan);

    if (knock_buf_str(&plan, &s) != KNOCK_OK) {
        args->failed = 1;
        return;
    }

    knock_strs_add(args, &s);

    s.len = apply->numbers.len;
    s.data = apply->numbers.data;
    knock_strs_add(args, &s);

    knock_strs_add_lit(args, "");
    knock_strs_join(args, &apply->marks);
    knock_strs_join(args, &apply->packs);

    if (!pushed) {
        knock_strs_join(args, &apply->runs);
    }

    knock_strs_join(args, &apply->logs);

    for (count = apply->counts.first; count; count = count->next) {
        knock_strs_add(args, &count->key);
        knock_strs_add(args, &count->sample);
    }

    knock_strs_join(args, &apply->texts);
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


static void
knock_apply_plan(const knock_apply_t *apply, knock_buf_t *plan)
{
    const knock_count_t  *count;

    knock_buf_add_bits(plan, apply->plain, 32);
    knock_buf_add_bits(plan, apply->marks.n, 32);
    knock_buf_add_bits(plan, apply->packs.n, 32);
    knock_buf_add_bits(plan, apply->runs.n, 32);
    knock_buf_add_bits(plan, apply->logs.n / 2, 32);
    knock_buf_add_bits(plan, apply->counts.n, 32);
    knock_buf_add_bits(plan, apply->must.len / 2, 32);
    knock_buf_add_bits(plan, apply->ops.len / 2, 32);

    for (count = apply->counts.first; count; count = count->next) {
        knock_buf_add_bits(plan, count->catalogue, 32);
        knock_buf_add_bits(plan, count->events, 32);
        knock_buf_add_bits(plan, count->sampled, 32);
    }

    if (apply->plain) {
        knock_buf_add(plan, apply->must.data, apply->must.len);
        knock_buf_add(plan, apply->ops.data, apply->ops.len);
        knock_buf_add(plan, apply->log_keys.data, apply->log_keys.len);
    }
}


/*
 * A body, the whole way to the command for Redis.  The first byte of the input
 * chooses switches, the second what Redis answers of objects that are stored;
 * what follows is the body.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE                 /* memmem() */
#endif

#include "fuzz.h"
#include "live.h"
#include "strict.h"
#include "knock_answer.h"
#include "knock_apply.h"
#include "knock_receive.h"


#define NOW     1704164645678u
#define EVENTS  8


static knock_live_t         *live;
static const knock_limits_t  limits = { EVENTS, 5, 8, 1 << 20 };

static const char  *bases[] = {
    "", "{}", "{\"a\":{\"b\":1}}", "7", "{\"city\":\"x\",\"p\":[{}]}", "{\"",
    "[1]", "{\"a\":1,\"a\":{\"b\":{\"c\":null}}}"
};


/* a body, as it is received */

typedef struct {
    knock_receive_t     in;
    knock_arena_t      *arena;
    knock_apply_t       apply;
    knock_element_t     elements[EVENTS];
    knock_task_t       *tasks[EVENTS];     /* NULL: it is refused */
    size_t              n;
    size_t              good;
    knock_faults_t     *faults;
} receive_t;


static int receive_body(receive_t *r, knock_error_t *err);
static void receive_tasks(receive_t *r);
static void receive_again(receive_t *r, unsigned choice);
static void receive_refused(knock_arena_t *arena, const knock_faults_t *faults,
    const knock_error_t *err);
static void receive_call(receive_t *r);
static void receive_runs(const knock_apply_t *apply, const knock_str_t *body);
static void receive_keys(const knock_strs_t *keys, const knock_strs_t *others);
static void receive_packs(const knock_apply_t *apply);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    knock_arena_t  *arena;

    (void) argc;
    (void) argv;

    if (fuzz_begin() != 0) {
        return -1;
    }

    arena = knock_arena_create(4096);
    check(arena != NULL);

    live = live_build(arena);

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    knock_str_t      token;
    receive_t        r;
    knock_error_t    err;
    strict_batch_t   batch;
    knock_receive_t *in;

    if (size < 2) {
        return 0;
    }

    memset(&r, 0, sizeof(receive_t));
    in = &r.in;

    knock_str_set(&token, LIVE_TOKEN);

    if (data[0] & 1) {
        knock_str_set(&token, LIVE_PLAIN);
    }

    in->limits = &limits;
    in->log = (data[0] >> 1) % 3;
    in->now = NOW;
    in->endpoint = knock_live_endpoint(live, &token, NOW);
    in->body.len = size - 2;
    in->body.data = malloc(in->body.len ? in->body.len : 1);

    check(in->endpoint != NULL && in->body.data != NULL);

    memcpy(in->body.data, data + 2, in->body.len);

    r.arena = knock_arena_create(1024);
    check(r.arena != NULL);

    if (receive_body(&r, &err) != KNOCK_OK) {
        receive_refused(r.arena, NULL, &err);

    } else {
        check(strict_batch(in->body.data, in->body.len, limits.max_depth,
                           &batch) != 0);
        receive_tasks(&r);
        receive_again(&r, data[1]);
    }

    knock_arena_destroy(r.arena);
    free(in->body.data);

    return 0;
}


static int
receive_body(receive_t *r, knock_error_t *err)
{
    size_t               i;
    const knock_json_t  *v;

    err->code = KNOCK_E_NONE;
    v = NULL;

    if (knock_receive(r->arena, &r->in, &v, &r->n, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    check(r->n > 0 && r->n <= EVENTS);

    for (i = 0; i < r->n; i++, v = knock_json_next(v)) {
        r->elements[i].index = i;
        r->elements[i].text = knock_json_text(v);
        r->elements[i].json = v;
        r->elements[i].bad = (v->type == KNOCK_JSON_BAD);
    }

    return KNOCK_OK;
}


/* a round with all events, and its call */

static void
receive_tasks(receive_t *r)
{
    int             rc;
    size_t          i;
    knock_error_t   err;
    knock_flood_t   flood;
    knock_round_t   round;
    knock_unit_t   *unit;

    r->good = 0;
    r->faults = knock_faults_create(r->arena);
    check(r->faults != NULL);
    knock_flood_init(&flood);
    check(knock_round_init(&round, r->arena, live, &flood, NOW) == KNOCK_OK);
    check(knock_apply_begin(&r->apply, r->arena, live, 0) == KNOCK_OK);

    for (i = 0; i < r->n; i++) {
        r->tasks[i] = NULL;

        rc = knock_receive_event(&round, &r->in, &r->elements[i],
                                 &r->tasks[i], &err);

        check(rc == KNOCK_OK || rc == KNOCK_DECLINED);

        if (rc == KNOCK_DECLINED) {
            knock_faults_add(r->faults, i, NULL, &err);
            continue;
        }

        unit = r->tasks[i]->units;
        check(unit != NULL && unit->next == NULL);

        knock_apply_add(&r->apply, r->arena, unit, NULL);
        check(unit->event == ++r->good);
    }

    knock_flood_clear(&flood);

    if (r->good == 0) {
        receive_refused(r->arena, r->faults, &r->faults->first);
        return;
    }

    receive_call(r);
}


/*
 * The same events with what Redis says of stored objects: more or less values
 * and verdicts than they need, of any kind, and each read by itself.
 */

static void
receive_again(receive_t *r, unsigned choice)
{
    size_t          i;
    knock_need_t    need;
    knock_str_t     values[8];
    unsigned char   verdicts[8];

    memset(values, 0, sizeof(values));

    for (i = 0; i < 8; i++) {
        verdicts[i] = (unsigned char) ((choice >> i) & 1 ? 'y'
                                       : choice & 64 ? 'o' : 'l');
        values[i].data = (unsigned char *) (uintptr_t)
                         bases[(choice + i) % 8];
        values[i].len = strlen(bases[(choice + i) % 8]);
    }

    /* as many verdicts as it has ops, mostly */

    for (i = 0; i < r->n; i++) {
        if (r->tasks[i] == NULL) {
            continue;
        }

        need.verdicts.data = verdicts;
        need.verdicts.len = choice % 16 ? r->tasks[i]->units->nops % 8
                                        : choice / 32;
        need.bases = values;
        need.nbases = choice % 4 + 1;

        check(knock_task_need(r->tasks[i]->units, &need, r->arena)
              == KNOCK_OK);
    }

    for (i = 0; i < r->n; i++) {
        if (!r->elements[i].bad) {
            r->elements[i].json = NULL;
        }
    }

    receive_tasks(r);

    for (i = 0; i < r->n; i++) {
        knock_element_clear(&r->elements[i]);
    }
}


static void
receive_refused(knock_arena_t *arena, const knock_faults_t *faults,
    const knock_error_t *err)
{
    knock_str_t  json;

    check(err->code != KNOCK_E_NONE && err->code != KNOCK_E_INTERNAL);
    check(err->message[0] != '\0');
    check(knock_answer_refused(arena, err, faults, &json) == KNOCK_OK);
    check(strict_json(json.data, json.len, 8));
}


/* of each run the "data" stands in the body, but for lone surrogates */

static void
receive_runs(const knock_apply_t *apply, const knock_str_t *body)
{
    size_t               i;
    knock_str_t          run;
    knock_json_t        *root;
    knock_error_t        err;
    const knock_json_t  *v;

    for (i = 0; i < apply->runs.n; i++) {
        run = apply->runs.items[i];

        check(strict_json(run.data, run.len, 64));
        check(knock_json_parse(apply->arena, &run, 64, &root, &err)
              == KNOCK_OK);

        v = knock_json_get(root, "data");
        check(v != NULL && v->type == KNOCK_JSON_OBJECT);
        check(v->len == 2 || memmem(body->data, body->len, v->data, v->len)
              || memmem(v->data, v->len, "\\ufffd", 6));

        v = knock_json_get(root, "recipient");
        check(v != NULL && knock_json_get(v, "id") != NULL);
        check(knock_json_get(v, "id")->type == KNOCK_JSON_STRING);
        check(knock_json_get(v, "collection") != NULL);

        v = knock_json_get(root, "id");
        check(v != NULL && v->len == KNOCK_UUID_LEN + 2);
    }
}


/* what a call holds fits together, its command and the answer are whole */

static void
receive_call(receive_t *r)
{
    size_t               i, n;
    knock_str_t          json;
    knock_apply_t       *apply;
    knock_applied_t      applied;
    knock_command_t      command;
    knock_apply_conf_t   conf;

    apply = &r->apply;

    check(apply->nevents == r->good);

    receive_keys(&apply->asked, &apply->brought);
    receive_packs(apply);
    receive_runs(apply, &r->in.body);

    for (i = 0; i < r->n; i++) {
        if (r->tasks[i] && r->tasks[i]->doc.len) {
            check(strict_json(r->tasks[i]->doc.data, r->tasks[i]->doc.len,
                              64));
        }
    }

    memset(&conf, 0, sizeof(knock_apply_conf_t));

    conf.window = 1000;
    knock_str_set(&conf.token, "a token");

    check(knock_apply_command(apply, &conf, &command) == KNOCK_OK);
    check(command.n == 1 || command.n == KNOCK_APPLY_COMMANDS);
    check(command.answer < command.n);

    for (n = 0, i = 0; i < command.n; i++) {
        check(command.argc[i] > 0);
        n += command.argc[i];
    }

    for (i = 0; i < n; i++) {
        check(command.argvlen[i] == 0 || command.argv[i] != NULL);
    }

    memset(&applied, 0, sizeof(knock_applied_t));

    check(knock_answer_applied(r->arena, &applied, r->faults, &json)
          == KNOCK_OK);
    check(strict_json(json.data, json.len, 8));
}


/* every key is of the environment, without control characters, once */

static void
receive_keys(const knock_strs_t *keys, const knock_strs_t *others)
{
    size_t       i, j;
    knock_str_t  key;

    for (i = 0; i < keys->n + others->n; i++) {
        key = i < keys->n ? keys->items[i] : others->items[i - keys->n];

        check(key.len > 6 && memcmp(key.data, "k:{e}:", 6) == 0);
        check(strict_utf8(key.data, key.len));

        for (j = 0; j < key.len; j++) {
            check(key.data[j] >= 0x20 && key.data[j] != 0x7f);
        }

        for (j = 0; j < i; j++) {
            check(!knock_str_eq(&key, j < keys->n ? &keys->items[j]
                                      : &others->items[j - keys->n]));
        }
    }
}


/* fields of upserts: pairs of a name and JSON, as MessagePack's raw strings */

static void
receive_packs(const knock_apply_t *apply)
{
    size_t          i, n, len, bytes;
    unsigned char  *p, *end;

    for (i = 0; i < apply->packs.n; i++) {
        p = apply->packs.items[i].data;
        end = p + apply->packs.items[i].len;

        for (n = 0; p < end; n++) {
            check((*p & 0xe0) == 0xa0 || *p == 0xda || *p == 0xdb);

            bytes = *p == 0xda ? 2 : *p == 0xdb ? 4 : 0;
            len = bytes ? 0 : *p & 0x1f;

            check((size_t) (end - p) > bytes);

            for (p++; bytes; bytes--) {
                len = len << 8 | *p++;
            }

            check((size_t) (end - p) >= len);
            check(n % 2 ? strict_json(p, len, 1024) : strict_utf8(p, len));

            p += len;
        }

        check(n % 2 == 0);
    }
}

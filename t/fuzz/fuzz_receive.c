
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
#include "knock_receive.h"


#define NOW      1704164645678u
#define SAMPLES  2


static knock_live_t         *live;
static const knock_limits_t  limits = { 8, 5, 8, 1 << 20 };

static const char  *bases[] = {
    "", "{}", "{\"a\":{\"b\":1}}", "7", "{\"city\":\"x\",\"p\":[{}]}", "{\"",
    "[1]", "{\"a\":1,\"a\":{\"b\":{\"c\":null}}}"
};


static knock_part_t  part;


static int receive_once(knock_arena_t *arena, knock_apply_t *apply,
    knock_receive_t *in, const knock_need_t *need, knock_received_t *received,
    knock_error_t *err);
static void receive_merged(knock_apply_t *apply, knock_receive_t *in,
    unsigned choice);
static void receive_refused(knock_arena_t *arena,
    const knock_received_t *received, const knock_error_t *err);
static void receive_call(knock_apply_t *apply,
    const knock_received_t *received);
static void receive_answer(knock_arena_t *arena,
    const knock_received_t *received);
static void receive_runs(const knock_apply_t *apply, const knock_str_t *body);
static void receive_keys(const knock_apply_t *apply);
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
    int               rc;
    knock_str_t       token;
    knock_apply_t     apply;
    knock_error_t     err;
    knock_arena_t    *arena;
    strict_batch_t    batch;
    knock_receive_t   in;
    knock_received_t  received;

    if (size < 2) {
        return 0;
    }

    memset(&in, 0, sizeof(knock_receive_t));

    knock_str_set(&token, LIVE_TOKEN);

    if (data[0] & 1) {
        knock_str_set(&token, LIVE_PLAIN);
    }

    in.limits = &limits;
    in.log = (data[0] >> 1) % 3;
    in.now = NOW;
    in.endpoint = knock_live_endpoint(live, &token, NOW);
    in.body.len = size - 2;
    in.body.data = malloc(in.body.len ? in.body.len : 1);

    check(in.endpoint != NULL && in.body.data != NULL);

    memcpy(in.body.data, data + 2, in.body.len);

    arena = knock_arena_create(1024);
    check(arena != NULL);

    rc = receive_once(arena, &apply, &in, NULL, &received, &err);

    if (rc != KNOCK_OK) {
        receive_refused(arena, &received, &err);
        check(apply.nunits == 0 && apply.nevents == 0);

    } else {
        check(strict_batch(in.body.data, in.body.len, limits.max_depth,
                           &batch) != 0);
        receive_answer(arena, &received);
        receive_runs(&apply, &in.body);
        receive_call(&apply, &received);
        receive_merged(&apply, &in, data[1]);
    }

    knock_arena_destroy(arena);
    free(in.body.data);

    return 0;
}


static int
receive_once(knock_arena_t *arena, knock_apply_t *apply, knock_receive_t *in,
    const knock_need_t *need, knock_received_t *received, knock_error_t *err)
{
    int            rc;
    unsigned       samples;
    knock_parts_t  parts;

    samples = SAMPLES;
    in->samples = &samples;
    err->code = KNOCK_E_NONE;

    check(knock_apply_begin(apply, arena, live, 0) == KNOCK_OK);

    knock_parts_whole(&parts, &part, apply, arena, live, need);

    rc = knock_receive(&parts, in, received, err);

    in->samples = NULL;

    check(rc != KNOCK_OK || part.unit.nevents == received->nevents);

    return rc;
}


/*
 * The same body with what Redis says of stored objects: more or less values
 * and verdicts than it needs, of any kind.
 */

static void
receive_merged(knock_apply_t *apply, knock_receive_t *in, unsigned choice)
{
    size_t            i, n;
    knock_need_t      need;
    knock_str_t       values[32];
    knock_arena_t    *arena;
    knock_error_t     err;
    knock_apply_t     again;
    unsigned char     verdicts[32];
    knock_received_t  received;

    n = apply->packs.n;

    if (n == 0 || n > 32) {
        return;
    }

    memset(values, 0, sizeof(values));

    for (i = 0; i < 32; i++) {
        verdicts[i] = (unsigned char) ((choice >> i % 8) & 1 ? 'y'
                                       : choice & 64 ? 'n' : 'l');
        values[i].data = (unsigned char *) (uintptr_t)
                         bases[(choice + i) % 8];
        values[i].len = strlen(bases[(choice + i) % 8]);
    }

    /* there is no telling here how many are right: all counts are tried */

    for (i = 1; i <= 8; i++) {
        need.verdicts.data = verdicts;
        need.verdicts.len = i;
        need.bases = values;
        need.nbases = choice % 4 + 1;

        arena = knock_arena_create(1024);
        check(arena != NULL);

        check(receive_once(arena, &again, in, &need, &received, &err)
              == KNOCK_OK);
        receive_call(&again, &received);

        knock_arena_destroy(arena);
    }
}


static void
receive_refused(knock_arena_t *arena, const knock_received_t *received,
    const knock_error_t *err)
{
    knock_str_t  json;

    check(err->code != KNOCK_E_NONE && err->code != KNOCK_E_INTERNAL);
    check(err->message[0] != '\0');
    check(knock_answer_refused(arena, err, &received->errors, &json)
          == KNOCK_OK);
    check(strict_json(json.data, json.len, 8));
}


static void
receive_answer(knock_arena_t *arena, const knock_received_t *received)
{
    size_t           i;
    knock_str_t      json;
    knock_error_t    err;
    knock_applied_t  applied;

    check(received->nevents > 0 && received->nevents <= limits.max_batch);
    check(part.statuses.len == received->nevents);

    for (i = 0; received->indexes && i < received->nevents; i++) {
        check(received->indexes[i] < limits.max_batch);
        check(i == 0 || received->indexes[i] > received->indexes[i - 1]);
    }

    applied.statuses = part.statuses;
    applied.runs = part.runs;
    applied.indexes = received->indexes;
    applied.errors = received->errors;

    check(knock_answer_applied(arena, &applied, &json, &err) == KNOCK_OK);
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


/* what a call holds fits together, and its command is whole */

static void
receive_call(knock_apply_t *apply, const knock_received_t *received)
{
    size_t              i, n;
    knock_command_t     command;
    knock_apply_conf_t  conf;

    check(apply->nunits == 1 && apply->nevents == received->nevents);
    check(apply->runs.n == part.runs);

    receive_keys(apply);
    receive_packs(apply);

    /* in turn: what is expected of an event, and its document */

    for (i = 1; i < apply->logs.n; i += 2) {
        check(strict_json(apply->logs.items[i].data,
                          apply->logs.items[i].len, 64));
    }

    memset(&conf, 0, sizeof(knock_apply_conf_t));

    conf.window = 1000;
    conf.log_length = 10;
    conf.catalogue_length = 10;
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
}


/* every key is of the environment, without control characters, once */

static void
receive_keys(const knock_apply_t *apply)
{
    size_t       i, j;
    knock_str_t  key;

    for (i = 0; i < apply->keys.n; i++) {
        key = apply->keys.items[i];

        check(key.len > 6 && memcmp(key.data, "k:{e}:", 6) == 0);
        check(strict_utf8(key.data, key.len));

        for (j = 0; j < key.len; j++) {
            check(key.data[j] >= 0x20 && key.data[j] != 0x7f);
        }

        for (j = 0; j < i; j++) {
            check(!knock_str_eq(&key, &apply->keys.items[j]));
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

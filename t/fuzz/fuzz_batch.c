
/*
 * The parser on what senders made: a batch, whose elements may be bad by
 * themselves, and escapes of lone surrogates.  Another reading of the rules
 * has its say on what is taken, and where each element stands.
 */

#include "fuzz.h"
#include "strict.h"


#define DEPTH  8


static void batch_single(knock_arena_t *arena, const knock_str_t *text,
    const knock_json_batch_t *batch);
static void batch_elements(const knock_str_t *text,
    const knock_json_batch_t *batch, const strict_batch_t *expected);
static size_t batch_value(knock_arena_t *arena, const knock_json_t *v);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                  rc, kind;
    size_t               replaced;
    knock_str_t          text, copy;
    knock_arena_t       *arena;
    knock_error_t        err;
    strict_batch_t       expected;
    knock_json_batch_t   batch;
    const knock_json_t  *v, *end;

    static const knock_str_t  member = knock_string("batch");

    text.len = size;
    text.data = (unsigned char *) (uintptr_t) data;

    arena = knock_arena_create(1024);
    check(arena != NULL && knock_arena_dup(arena, &text, &copy) == KNOCK_OK);

    rc = knock_json_parse_batch(arena, &text, DEPTH, &member, &batch, &err);
    kind = strict_batch(data, size, DEPTH, &expected);

    check((rc == KNOCK_OK) == (kind != 0));
    check(size == 0 || memcmp(copy.data, data, size) == 0);

    if (rc != KNOCK_OK) {
        check(err.code == KNOCK_E_INVALID_JSON && err.offset <= size);
        check(strict_utf8((unsigned char *) err.message, strlen(err.message)));
        knock_arena_destroy(arena);
        return 0;
    }

    batch_single(arena, &text, &batch);

    if (kind == 1) {
        batch_elements(&text, &batch, &expected);
    }

    replaced = 0;
    end = knock_json_next(batch.root);

    for (v = batch.root; v < end; v++) {
        replaced += batch_value(arena, v);
    }

    /* strings of an element that is bad are none of any token */

    check(batch.replaced || replaced == 0);
    check(batch.loose || (replaced != 0) == batch.replaced);

    knock_arena_destroy(arena);

    return 0;
}


/* whether it is a value of its own */

static void
batch_single(knock_arena_t *arena, const knock_str_t *text,
    const knock_json_batch_t *batch)
{
    int                 rc;
    knock_error_t       err;
    knock_json_batch_t  single;

    rc = knock_json_parse_batch(arena, text, DEPTH, NULL, &single, &err);

    check((rc == KNOCK_OK) == strict_sent(text->data, text->len, DEPTH));
    check((rc == KNOCK_OK) == !batch->loose);
}


static void
batch_elements(const knock_str_t *text, const knock_json_batch_t *batch,
    const strict_batch_t *expected)
{
    size_t               i, before;
    knock_error_t        err;
    const knock_json_t  *v, *array;

    array = batch->root->type == KNOCK_JSON_OBJECT
            ? knock_json_get(batch->root, "batch") : batch->root;

    check(array && array->type == KNOCK_JSON_ARRAY);
    check(array->count == expected->n);

    for (before = 0; strchr(" \t\r\n", text->data[before]); before++) {
        check(text->data[before] != '\0');
    }

    v = array + 1;

    for (i = 0; i < expected->n && i < STRICT_ELEMENTS; i++) {
        check((size_t) (v->data - batch->root->data) + before
              == expected->from[i]);
        check(v->len == expected->to[i] - expected->from[i]);
        check((v->type == KNOCK_JSON_BAD) == expected->bad[i]);

        if (v->type == KNOCK_JSON_BAD) {
            check(knock_json_why(text, v, DEPTH, &err) == KNOCK_ERROR);
            check(err.code == KNOCK_E_INVALID_JSON);
            check(err.offset >= expected->from[i]
                  && err.offset <= expected->to[i]);

        } else {
            check(strict_json(v->data, v->len, DEPTH));
        }

        v = knock_json_next(v);
    }

    check(i < expected->n || v == knock_json_next(array));
}


/* a string decodes to UTF-8, whatever was written; 1 if that was replaced */

static size_t
batch_value(knock_arena_t *arena, const knock_json_t *v)
{
    knock_str_t  s;

    if (v->type != KNOCK_JSON_STRING) {
        return 0;
    }

    check(knock_json_string(arena, v, &s) == KNOCK_OK);
    check(strict_utf8(s.data, s.len));

    return (v->escaped & KNOCK_JSON_REPLACED) != 0;
}

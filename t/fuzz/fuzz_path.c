
/*
 * Paths: the first line of the input is a path, what follows a document.  What
 * the path finds is what a walk by recursion finds; written with quotes, it is
 * the same path.
 */

#include "fuzz.h"
#include "knock_limits.h"
#include "knock_path.h"
#include "strict.h"


static size_t path_walk(knock_arena_t *arena, const knock_path_t *path,
    size_t step, const knock_json_t *v, const knock_path_found_t *found,
    size_t n);
static const knock_json_t *path_member(knock_arena_t *arena,
    const knock_json_t *v, const knock_str_t *key);
static void path_again(knock_arena_t *arena, const knock_path_t *path);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t              i;
    knock_str_t         input, text, document;
    knock_path_t        path;
    knock_json_t       *root;
    knock_arena_t      *arena;
    knock_error_t       err;
    knock_path_found_t  found;

    input.len = size;
    input.data = (unsigned char *) (uintptr_t) data;

    text = fuzz_piece(&input, '\n');
    document = fuzz_piece(&input, '\0');

    arena = knock_arena_create(1024);
    check(arena != NULL);

    /* it is a string of a JSON document, or of a query that is checked */

    if (!strict_utf8(text.data, text.len)) {
        goto done;
    }

    if (knock_path_compile(arena, &text, &path, &err) != KNOCK_OK) {
        check(err.code == KNOCK_E_INVALID_ACTION && err.message[0] != '\0');
        check(err.offset <= text.len);
        goto done;
    }

    check(knock_str_eq(&path.text, &text));
    check(path.nsteps <= KNOCK_MAX_PATH_STEPS);

    for (i = 0; i < path.nsteps && path.steps[i].type != KNOCK_PATH_ALL; i++) {
        /* void */
    }

    check(path.many == (i < path.nsteps));

    path_again(arena, &path);

    if (knock_json_parse(arena, &document, 64, &root, &err) != KNOCK_OK) {
        goto done;
    }

    check(knock_path_find(arena, &path, root, &found) == KNOCK_OK);
    check(path.many || found.n <= 1);
    check(path_walk(arena, &path, 0, root, &found, 0) == found.n);

done:

    knock_arena_destroy(arena);
    free(text.data);
    free(document.data);

    return 0;
}


/* counts on from n what is found from this step on, and compares it */

static size_t
path_walk(knock_arena_t *arena, const knock_path_t *path, size_t step,
    const knock_json_t *v, const knock_path_found_t *found, size_t n)
{
    size_t                    i;
    const knock_json_t       *child;
    const knock_path_step_t  *s;

    if (v == NULL) {
        return n;
    }

    if (step == path->nsteps) {
        check(n < found->n && found->values[n] == v);
        return n + 1;
    }

    s = &path->steps[step];

    if (s->type == KNOCK_PATH_KEY) {
        return path_walk(arena, path, step + 1, path_member(arena, v, &s->key),
                         found, n);
    }

    if (v->type != KNOCK_JSON_ARRAY) {
        return n;
    }

    child = v + 1;

    for (i = 0; i < v->count; i++, child += child->span) {
        if (s->type == KNOCK_PATH_ALL || s->index == i) {
            n = path_walk(arena, path, step + 1, child, found, n);
        }
    }

    return n;
}


static const knock_json_t *
path_member(knock_arena_t *arena, const knock_json_t *v,
    const knock_str_t *key)
{
    size_t               i;
    knock_str_t          name;
    const knock_json_t  *p, *last;

    if (v->type != KNOCK_JSON_OBJECT) {
        return NULL;
    }

    last = NULL;
    p = v + 1;

    for (i = 0; i < v->count; i++) {
        check(knock_json_string(arena, p, &name) == KNOCK_OK);

        if (knock_str_eq(&name, key)) {
            last = p + 1;
        }

        p = p + 1 + p[1].span;
    }

    return last;
}


/* the steps written out, with every key in quotes, are the same steps */

static void
path_again(knock_arena_t *arena, const knock_path_t *path)
{
    size_t                    i;
    knock_buf_t               buf;
    knock_str_t               text;
    knock_path_t              again;
    knock_error_t             err;
    const knock_path_step_t  *s;

    if (path->nsteps == 0) {
        return;
    }

    knock_buf_init(&buf, arena, 0);

    for (i = 0; i < path->nsteps; i++) {
        s = &path->steps[i];

        knock_buf_add_char(&buf, '[');

        switch (s->type) {

        case KNOCK_PATH_KEY:
            knock_buf_add_json(&buf, &s->key);
            break;

        case KNOCK_PATH_INDEX:
            knock_buf_add_uint(&buf, s->index);
            break;

        case KNOCK_PATH_ALL:
            knock_buf_add_char(&buf, '*');
        }

        knock_buf_add_char(&buf, ']');
    }

    check(knock_buf_str(&buf, &text) == KNOCK_OK);

    if (text.len > KNOCK_MAX_PATH) {
        return;
    }

    check(knock_path_compile(arena, &text, &again, &err) == KNOCK_OK);
    check(again.nsteps == path->nsteps);
    check(again.many == path->many);

    for (i = 0; i < path->nsteps; i++) {
        check(again.steps[i].type == path->steps[i].type);
        check(again.steps[i].type != KNOCK_PATH_INDEX
              || again.steps[i].index == path->steps[i].index);
        check(again.steps[i].type != KNOCK_PATH_KEY
              || knock_str_eq(&again.steps[i].key, &path->steps[i].key));
    }
}

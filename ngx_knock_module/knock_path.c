
#include "knock_path.h"
#include "knock_limits.h"


#define KNOCK_PATH_STR_(x)  #x
#define KNOCK_PATH_STR(x)   KNOCK_PATH_STR_(x)


typedef struct {
    knock_arena_t      *arena;
    knock_str_t         text;
    size_t              pos;
    size_t              nsteps;
    knock_path_step_t   steps[KNOCK_MAX_PATH_STEPS];
    knock_error_t      *err;
} knock_path_parser_t;


static int knock_path_bare_key(knock_path_parser_t *p);
static int knock_path_bracket(knock_path_parser_t *p);
static int knock_path_index(knock_path_parser_t *p, size_t *index);
static int knock_path_quoted_key(knock_path_parser_t *p, knock_str_t *key);
static int knock_path_add(knock_path_parser_t *p, size_t pos,
    const knock_path_step_t *step);
static int knock_path_fail(knock_path_parser_t *p, size_t pos,
    const char *sentence);
static const knock_json_t *knock_path_step(const knock_path_step_t *step,
    const knock_json_t *v);
static int knock_path_all(knock_arena_t *arena, knock_path_found_t *found);


int
knock_path_compile(knock_arena_t *arena, const knock_str_t *text,
    knock_path_t *path, knock_error_t *err)
{
    int                  rc;
    size_t               i;
    knock_path_parser_t  p;

    p.arena = arena;
    p.text = *text;
    p.pos = 0;
    p.nsteps = 0;
    p.err = err;

    if (text->len == 0) {
        return knock_path_fail(&p, 0, "expected a path, such as "
                                      "properties.recipients");
    }

    if (text->len > KNOCK_MAX_PATH) {
        return knock_path_fail(&p, KNOCK_MAX_PATH,
                               "a path has at most "
                               KNOCK_PATH_STR(KNOCK_MAX_PATH) " bytes");
    }

    if (knock_arena_dup(arena, text, &p.text) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    rc = (p.text.data[0] == '[') ? KNOCK_OK : knock_path_bare_key(&p);

    while (rc == KNOCK_OK && p.pos < p.text.len) {

        switch (p.text.data[p.pos]) {

        case '.':
            p.pos++;
            rc = knock_path_bare_key(&p);
            break;

        case '[':
            rc = knock_path_bracket(&p);
            break;

        default:
            rc = knock_path_fail(&p, p.pos,
                                 "expected \".\" or \"[\" after \"]\"");
        }
    }

    if (rc != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    path->text = p.text;
    path->nsteps = p.nsteps;
    path->many = 0;
    path->properties = p.nsteps && p.steps[0].type == KNOCK_PATH_KEY
                       && knock_str_is(&p.steps[0].key, "properties");
    path->steps = knock_arena_alloc(arena,
                                    p.nsteps * sizeof(knock_path_step_t));

    if (path->steps == NULL) {
        return knock_error_memory(err);
    }

    for (i = 0; i < p.nsteps; i++) {
        path->steps[i] = p.steps[i];

        if (p.steps[i].type == KNOCK_PATH_ALL) {
            path->many = 1;
        }
    }

    return KNOCK_OK;
}


/*
 * A key without quotes ends at "." or "[".  What is more likely a slip of the
 * pen than part of a name has to be quoted.
 */

static int
knock_path_bare_key(knock_path_parser_t *p)
{
    size_t             start;
    unsigned char      c;
    knock_path_step_t  step;

    start = p->pos;

    for ( /* void */ ; p->pos < p->text.len; p->pos++) {

        c = p->text.data[p->pos];

        if (c == '.' || c == '[') {
            break;
        }

        if (c < 0x20 || c == 0x7f || c == '"' || c == ']') {
            return knock_path_fail(p, p->pos,
                                   "a key with control characters, quotes or "
                                   "brackets is to be quoted: [\"key\"]");
        }
    }

    if (p->pos == start) {
        return knock_path_fail(p, start, start ? "expected a key after \".\""
                                               : "expected a key");
    }

    if (p->text.data[start] == ' ' || p->text.data[p->pos - 1] == ' ') {
        return knock_path_fail(p, p->text.data[start] == ' ' ? start
                                                             : p->pos - 1,
                               "a key that starts or ends with a space is to "
                               "be quoted: [\" key\"]");
    }

    step.type = KNOCK_PATH_KEY;
    step.key.len = p->pos - start;
    step.key.data = p->text.data + start;
    step.index = 0;

    if (start == 0) {
        if (knock_str_is(&step.key, "body")) {
            return KNOCK_OK;
        }

        if (knock_str_is(&step.key, "data")) {
            knock_str_set(&step.key, "properties");
        }
    }

    return knock_path_add(p, start, &step);
}


static int
knock_path_bracket(knock_path_parser_t *p)
{
    int                rc;
    size_t             start;
    unsigned char      c;
    knock_path_step_t  step;

    start = p->pos++;

    memset(&step, 0, sizeof(knock_path_step_t));

    c = (p->pos < p->text.len) ? p->text.data[p->pos] : '\0';

    if (c == '*') {
        step.type = KNOCK_PATH_ALL;
        p->pos++;
        rc = KNOCK_OK;

    } else if (c == '"') {
        step.type = KNOCK_PATH_KEY;
        rc = knock_path_quoted_key(p, &step.key);

    } else if (c >= '0' && c <= '9') {
        step.type = KNOCK_PATH_INDEX;
        rc = knock_path_index(p, &step.index);

    } else {
        rc = knock_path_fail(p, p->pos, "expected a number, * or a quoted key "
                                        "after \"[\"");
    }

    if (rc != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (p->pos == p->text.len || p->text.data[p->pos] != ']') {
        return knock_path_fail(p, p->pos, "expected \"]\"");
    }

    p->pos++;

    return knock_path_add(p, start, &step);
}


static int
knock_path_index(knock_path_parser_t *p, size_t *index)
{
    size_t         start, n;
    unsigned char  c;

    start = p->pos;

    for (n = 0; p->pos < p->text.len; p->pos++) {

        c = p->text.data[p->pos];

        if (c < '0' || c > '9') {
            break;
        }

        n = n * 10 + (size_t) (c - '0');

        if (n >= KNOCK_MAX_VALUES) {
            return knock_path_fail(p, start,
                                   "an index is below "
                                   KNOCK_PATH_STR(KNOCK_MAX_VALUES));
        }
    }

    *index = n;

    return KNOCK_OK;
}


static int
knock_path_quoted_key(knock_path_parser_t *p, knock_str_t *key)
{
    size_t         end;
    knock_str_t    text;
    knock_json_t  *string;

    for (end = p->pos + 1;
         end < p->text.len && p->text.data[end] != '"';
         end++)
    {
        if (p->text.data[end] == '\\') {
            end++;
        }
    }

    if (end >= p->text.len) {
        return knock_path_fail(p, p->text.len,
                               "expected the quote that ends the key");
    }

    text.len = end + 1 - p->pos;
    text.data = p->text.data + p->pos;

    if (knock_json_parse(p->arena, &text, 1, &string, p->err) != KNOCK_OK) {

        if (p->err->code != KNOCK_E_INVALID_JSON) {
            return KNOCK_ERROR;
        }

        return knock_path_fail(p, p->pos + p->err->offset,
                               "a quoted key is a JSON string, and this is "
                               "not allowed in one");
    }

    if (knock_json_string(p->arena, string, key) != KNOCK_OK) {
        return knock_error_memory(p->err);
    }

    p->pos = end + 1;

    return KNOCK_OK;
}


static int
knock_path_add(knock_path_parser_t *p, size_t pos,
    const knock_path_step_t *step)
{
    if (p->nsteps == KNOCK_MAX_PATH_STEPS) {
        return knock_path_fail(p, pos,
                               "a path has at most "
                               KNOCK_PATH_STR(KNOCK_MAX_PATH_STEPS) " steps");
    }

    p->steps[p->nsteps++] = *step;

    return KNOCK_OK;
}


/* a column is what a person counts: characters, not bytes */

static int
knock_path_fail(knock_path_parser_t *p, size_t pos, const char *sentence)
{
    size_t  i, column;

    for (i = 0, column = 0; i < pos; i++) {
        column += (p->text.data[i] & 0xc0) != 0x80;
    }

    (void) knock_error_set(p->err, KNOCK_E_INVALID_ACTION, "column %zu: %s",
                           column + 1, sentence);
    p->err->offset = column;

    return KNOCK_ERROR;
}


int
knock_path_find(knock_arena_t *arena, const knock_path_t *path,
    const knock_json_t *event, knock_path_found_t *found)
{
    size_t               i, s, n;
    const knock_json_t  *v;

    found->values = knock_arena_alloc(arena, sizeof(knock_json_t *));
    if (found->values == NULL) {
        return KNOCK_ERROR;
    }

    found->values[0] = event;
    found->n = 1;

    for (s = 0; s < path->nsteps && found->n; s++) {

        if (path->steps[s].type == KNOCK_PATH_ALL) {
            if (knock_path_all(arena, found) != KNOCK_OK) {
                return KNOCK_ERROR;
            }

            continue;
        }

        for (i = 0, n = 0; i < found->n; i++) {
            v = knock_path_step(&path->steps[s], found->values[i]);

            if (v) {
                found->values[n++] = v;
            }
        }

        found->n = n;
    }

    return KNOCK_OK;
}


static const knock_json_t *
knock_path_step(const knock_path_step_t *step, const knock_json_t *v)
{
    if (step->type == KNOCK_PATH_KEY) {
        return knock_json_member(v, &step->key);
    }

    return v->type == KNOCK_JSON_ARRAY ? knock_json_element(v, step->index)
                                       : NULL;
}


/* replaces the arrays among the values by their elements, drops the others */

static int
knock_path_all(knock_arena_t *arena, knock_path_found_t *found)
{
    size_t                i, n, left;
    const knock_json_t   *v, **values;

    for (i = 0, n = 0; i < found->n; i++) {
        v = found->values[i];
        n += (v->type == KNOCK_JSON_ARRAY) ? v->count : 0;
    }

    values = knock_arena_alloc(arena, n * sizeof(knock_json_t *));
    if (values == NULL) {
        return KNOCK_ERROR;
    }

    for (i = 0, n = 0; i < found->n; i++) {

        if (found->values[i]->type != KNOCK_JSON_ARRAY) {
            continue;
        }

        v = knock_json_first(found->values[i]);

        for (left = found->values[i]->count; left; left--) {
            values[n++] = v;
            v = knock_json_next(v);
        }
    }

    found->values = values;
    found->n = n;

    return KNOCK_OK;
}

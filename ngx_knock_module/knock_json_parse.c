
/*
 * The parser keeps no stack of its own: while an array or object is open, the
 * span of its token holds the index of the one around it.
 */

#include "knock_json_scan.h"
#include "knock_limits.h"


#define knock_json_set_type(token, t)                                        \
    (token)->type = (uint8_t) (t); (token)->escaped = 0

#define knock_json_bytes(from, to)                                           \
    ((size_t) ((to) - (from)) * sizeof(knock_json_t))


static int knock_json_start(knock_json_parser_t *ps, const knock_str_t *text,
    knock_error_t *err);
static int knock_json_run(knock_json_parser_t *ps);
static inline unsigned char *knock_json_key(knock_json_parser_t *ps,
    unsigned char *p);
static inline unsigned char *knock_json_open(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token, knock_json_type_e type);
static int knock_json_too_deep(knock_json_parser_t *ps, unsigned char *p);
static unsigned char *knock_json_recover(knock_json_parser_t *ps);
static inline unsigned char *knock_json_follow(knock_json_parser_t *ps,
    unsigned char *p);
static inline knock_json_t *knock_json_push(knock_json_parser_t *ps,
    unsigned char *p);
static int knock_json_grow(knock_json_parser_t *ps, unsigned char *p);
static unsigned char *knock_json_skip_space(unsigned char *p,
    const unsigned char *end);
static inline unsigned char *knock_json_scan_string(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static unsigned char *knock_json_scan_number(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static unsigned char *knock_json_scan_digits(knock_json_parser_t *ps,
    unsigned char *p);
static inline unsigned char *knock_json_scan_literal(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);


/* the byte behind white space, which is rare in what machines send */

static inline int
knock_json_ahead(const knock_json_parser_t *ps, unsigned char **p)
{
    int  c;

    c = knock_json_peek(ps, *p);

    if (knock_json_unlikely(c <= ' ')) {
        *p = knock_json_skip_space(*p, ps->end);
        c = knock_json_peek(ps, *p);
    }

    return c;
}


/* 1 if the byte there is c, which is no white space and not NUL */

static inline int
knock_json_sees(const knock_json_parser_t *ps, unsigned char **p, int c)
{
    return knock_json_likely(*p < ps->end && **p == c)
           || knock_json_ahead(ps, p) == c;
}


int
knock_json_parse(knock_arena_t *arena, const knock_str_t *text,
    size_t max_depth, knock_json_t **root, knock_error_t *err)
{
    knock_json_parser_t  ps;

    memset(&ps, 0, sizeof(knock_json_parser_t));

    ps.arena = arena;
    ps.max_depth = max_depth;

    if (knock_json_start(&ps, text, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    *root = ps.tokens;

    return KNOCK_OK;
}


int
knock_json_parse_batch(knock_arena_t *arena, const knock_str_t *text,
    size_t max_depth, const knock_str_t *member, knock_json_batch_t *batch,
    knock_error_t *err)
{
    knock_json_parser_t  ps;

    memset(&ps, 0, sizeof(knock_json_parser_t));

    ps.arena = arena;
    ps.max_depth = max_depth;
    ps.member = member;
    ps.lone = 1;

    if (knock_json_start(&ps, text, err) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (ps.replaced && knock_json_replace(&ps) != KNOCK_OK) {
        return knock_error_memory(err);
    }

    batch->root = ps.tokens;
    batch->loose = ps.loose;
    batch->replaced = ps.replaced;

    return KNOCK_OK;
}


static int
knock_json_start(knock_json_parser_t *ps, const knock_str_t *text,
    knock_error_t *err)
{
    size_t  cap;

    if (text->len > UINT32_MAX) {
        return knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "the text is longer than 4 GB");
    }

    if (text->len == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "byte 0: the text is empty, "
                               "expected a JSON value");
    }

    if (text->len >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0) {
        return knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "byte 0: JSON must not begin with a byte "
                               "order mark");
    }

    ps->start = text->data;
    ps->end = text->data + text->len;
    ps->fence = (text->len < 16) ? ps->start : ps->end - 15;
    ps->index = KNOCK_JSON_TOP;
    ps->batch = KNOCK_JSON_TOP;

    cap = text->len / 8 + 16;

    if (cap > KNOCK_MAX_VALUES) {
        cap = KNOCK_MAX_VALUES;
    }

    ps->tokens = knock_arena_alloc(ps->arena, cap * sizeof(knock_json_t));
    if (ps->tokens == NULL) {
        return knock_error_memory(err);
    }

    ps->next = ps->tokens;
    ps->last = ps->tokens + cap;

    if (knock_json_run(ps) != KNOCK_OK) {
        return knock_json_say(text, (size_t) (ps->at - ps->start), ps->fault,
                              ps->max_depth, err);
    }

    cap = (size_t) (ps->next - ps->tokens);

    ps->tokens = knock_arena_realloc(ps->arena, ps->tokens,
                                     knock_json_bytes(ps->tokens, ps->last),
                                     knock_json_bytes(ps->tokens, ps->next));
    ps->next = ps->tokens + cap;

    return KNOCK_OK;
}


static int
knock_json_run(knock_json_parser_t *ps)
{
    int             c;
    knock_json_t   *token;
    unsigned char  *p;

    p = ps->start;

    /* each turn begins where the root, an element or a member must stand */

    for ( ;; ) {

        if (ps->type == KNOCK_JSON_OBJECT) {
            p = knock_json_key(ps, p);
            if (knock_json_unlikely(p == NULL)) {
                goto next;
            }
        }

        c = knock_json_ahead(ps, &p);

        token = knock_json_push(ps, p);
        if (knock_json_unlikely(token == NULL)) {
            return KNOCK_ERROR;
        }

        if (c == '"') {
            p = knock_json_scan_string(ps, p, token);

        } else if (c == '{') {
            p = knock_json_open(ps, p, token, KNOCK_JSON_OBJECT);

            if (p != NULL && knock_json_ahead(ps, &p) != '}') {
                token->count = 1;
                continue;
            }

        } else if (c == '[') {
            if (ps->depth < 2 && ps->member) {
                knock_json_begin_batch(ps, token);
            }

            p = knock_json_open(ps, p, token, KNOCK_JSON_ARRAY);

            if (p != NULL && knock_json_ahead(ps, &p) != ']') {
                token->count = 1;
                continue;
            }

        } else if (c == '-' || (c >= '0' && c <= '9')) {
            p = knock_json_scan_number(ps, p, token);

        } else {
            p = knock_json_scan_literal(ps, p, token);
        }

        if (knock_json_likely(p != NULL)) {
            p = knock_json_follow(ps, p);
        }

    next:

        if (knock_json_unlikely(p == NULL)) {
            p = knock_json_recover(ps);
            if (p == NULL) {
                return KNOCK_ERROR;
            }
        }

        if (ps->type == 0) {
            break;
        }
    }

    if (p != ps->end) {
        (void) knock_json_refuse(ps, p, KNOCK_JSON_NO_END);
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/* the start of an array or object; returns what stands behind its bracket */

static inline unsigned char *
knock_json_open(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token, knock_json_type_e type)
{
    if (knock_json_unlikely(ps->depth >= ps->max_depth)
        && knock_json_too_deep(ps, p))
    {
        return NULL;
    }

    ps->depth++;
    knock_json_set_type(token, type);
    token->span = ps->index;

    ps->type = (uint8_t) type;
    ps->index = (uint32_t) (token - ps->tokens);
    ps->open = token;

    return p + 1;
}


/* the levels around an event of a batch are none of its own */

static int knock_json_slow
knock_json_too_deep(knock_json_parser_t *ps, unsigned char *p)
{
    if (ps->depth == ps->max_depth + ps->more) {
        (void) knock_json_refuse(ps, p, KNOCK_JSON_DEPTH);
        return 1;
    }

    ps->loose = 1;

    return 0;
}


/* goes on behind what was refused, as knock_json_follow() */

static unsigned char * knock_json_cold
knock_json_recover(knock_json_parser_t *ps)
{
    unsigned char  *p;

    do {
        p = knock_json_pass_over(ps);
        if (p == NULL) {
            return NULL;
        }

        p = knock_json_follow(ps, p);

    } while (p == NULL);

    return p;
}


/* a key and its colon; returns what stands behind them */

static inline unsigned char *
knock_json_key(knock_json_parser_t *ps, unsigned char *p)
{
    knock_json_t  *token;

    if (knock_json_unlikely(!knock_json_sees(ps, &p, '"'))) {
        return knock_json_refuse(ps, p, KNOCK_JSON_NO_KEY);
    }

    token = knock_json_push(ps, p);
    if (knock_json_unlikely(token == NULL)) {
        return NULL;
    }

    p = knock_json_scan_string(ps, p, token);
    if (knock_json_unlikely(p == NULL)) {
        return NULL;
    }

    if (knock_json_unlikely(!knock_json_sees(ps, &p, ':'))) {
        return knock_json_refuse(ps, p, KNOCK_JSON_NO_COLON);
    }

    return p + 1;
}


/*
 * What follows a value: the ends of the arrays and objects that it is the
 * last of, then a comma.  Returns what stands behind the comma; if nothing is
 * open any more, what stands behind the root and white space.
 */

static inline unsigned char *
knock_json_follow(knock_json_parser_t *ps, unsigned char *p)
{
    int            c;
    knock_json_t  *token;

    for ( ;; ) {
        c = knock_json_ahead(ps, &p);

        if (ps->type == 0) {
            return p;
        }

        token = ps->open;

        if (c == ',') {
            token->count++;
            return p + 1;
        }

        if (ps->type == KNOCK_JSON_OBJECT) {

            if (c != '}') {
                return knock_json_refuse(ps, p, KNOCK_JSON_NO_BRACE);
            }

        } else if (c != ']') {
            return knock_json_refuse(ps, p, KNOCK_JSON_NO_BRACKET);
        }

        p++;

        ps->depth--;
        ps->index = token->span;

        if (ps->index != KNOCK_JSON_TOP) {
            ps->open = &ps->tokens[ps->index];
            ps->type = ps->open->type;

        } else {
            ps->type = 0;
        }

        token->span = (uint32_t) (ps->next - token);
        token->len = (uint32_t) (p - token->data);
    }
}


static inline knock_json_t *
knock_json_push(knock_json_parser_t *ps, unsigned char *p)
{
    knock_json_t  *token;

    if (knock_json_unlikely(ps->next == ps->last)
        && knock_json_grow(ps, p) != KNOCK_OK)
    {
        return NULL;
    }

    token = ps->next++;

    token->data = p;
    token->span = 1;
    token->count = 0;

    return token;
}


static int knock_json_slow
knock_json_grow(knock_json_parser_t *ps, unsigned char *p)
{
    size_t         n, cap;
    knock_json_t  *tokens;

    n = (size_t) (ps->last - ps->tokens);

    if (n == KNOCK_MAX_VALUES) {
        (void) knock_json_refuse(ps, p, KNOCK_JSON_VALUES);
        return KNOCK_ERROR;
    }

    cap = (n > KNOCK_MAX_VALUES / 2) ? KNOCK_MAX_VALUES : n * 2;

    tokens = knock_arena_realloc(ps->arena, ps->tokens,
                                 n * sizeof(knock_json_t),
                                 cap * sizeof(knock_json_t));
    if (tokens == NULL) {
        (void) knock_json_refuse(ps, p, KNOCK_JSON_MEMORY);
        return KNOCK_ERROR;
    }

    ps->tokens = tokens;
    ps->next = tokens + n;
    ps->last = tokens + cap;

    if (ps->type != 0) {
        ps->open = tokens + ps->index;
    }

    return KNOCK_OK;
}


static unsigned char * knock_json_slow
knock_json_skip_space(unsigned char *p, const unsigned char *end)
{
    while (p < end && knock_json_is_space(*p)) {
        p++;
    }

    return p;
}


/* the scanners take the first byte of something and return what follows it */

static inline unsigned char *
knock_json_scan_string(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    knock_json_set_type(token, KNOCK_JSON_STRING);

    p = knock_json_scan_plain(ps, p + 1);

    if (knock_json_unlikely(p == ps->end || *p != '"')) {
        p = knock_json_scan_special(ps, p, token);
        if (p == NULL) {
            return NULL;
        }
    }

    p++;

    token->len = (uint32_t) (p - token->data);

    return p;
}


static unsigned char *
knock_json_scan_number(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    unsigned char  *zero;

    if (*p == '-') {
        p++;
    }

    zero = (knock_json_peek(ps, p) == '0') ? p : NULL;

    p = knock_json_scan_digits(ps, p);

    if (p != NULL && zero != NULL && p - zero > 1) {
        return knock_json_refuse(ps, zero, KNOCK_JSON_ZERO);
    }

    if (p != NULL && knock_json_peek(ps, p) == '.') {
        p = knock_json_scan_digits(ps, p + 1);
    }

    if (p != NULL && (knock_json_peek(ps, p) | 0x20) == 'e') {
        p++;

        if (knock_json_peek(ps, p) == '+' || knock_json_peek(ps, p) == '-') {
            p++;
        }

        p = knock_json_scan_digits(ps, p);
    }

    if (p == NULL) {
        return NULL;
    }

    knock_json_set_type(token, KNOCK_JSON_NUMBER);
    token->len = (uint32_t) (p - token->data);

    return p;
}


static unsigned char *
knock_json_scan_digits(knock_json_parser_t *ps, unsigned char *p)
{
    unsigned char  *first;

    for (first = p; p < ps->end && knock_json_is_digit(*p); p++) {
        /* void */
    }

    return p > first ? p : knock_json_refuse(ps, p, KNOCK_JSON_NO_DIGIT);
}


static inline unsigned char *
knock_json_scan_literal(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    const char  *text;

    switch (knock_json_peek(ps, p)) {

    case 't':
        knock_json_set_type(token, KNOCK_JSON_TRUE);
        text = "true";
        break;

    case 'f':
        knock_json_set_type(token, KNOCK_JSON_FALSE);
        text = "false";
        break;

    case 'n':
        knock_json_set_type(token, KNOCK_JSON_NULL);
        text = "null";
        break;

    default:
        return knock_json_refuse(ps, p, KNOCK_JSON_NO_VALUE);
    }

    for ( /* void */ ; *text != '\0'; text++, p++) {
        if (knock_json_peek(ps, p) != *text) {
            return knock_json_refuse(ps, p, KNOCK_JSON_NO_LITERAL);
        }
    }

    token->len = (uint32_t) (p - token->data);

    return p;
}


/*
 * The parser keeps no stack of its own: while an array or object is open, the
 * span of its token holds the index of the one around it.
 *
 * Most of a Segment event is plain bytes of strings, so these are passed over
 * 16 or 8 at a time; everything else is decided by one byte.
 */

#include <stdio.h>
#include "knock_json.h"
#include "knock_limits.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif


#define KNOCK_JSON_TOP  UINT32_MAX  /* what is around the root */

#define knock_json_likely(x)    __builtin_expect((x) != 0, 1)
#define knock_json_unlikely(x)  __builtin_expect((x) != 0, 0)

#define knock_json_cold         __attribute__((cold, noinline))
#define knock_json_slow         __attribute__((noinline))

#define knock_json_set_type(token, t)                                        \
    (token)->type = (uint8_t) (t); (token)->escaped = 0

#define knock_json_bytes(from, to)                                           \
    ((size_t) ((to) - (from)) * sizeof(knock_json_t))

#define knock_json_text_of(limit)  knock_json_quote(limit)
#define knock_json_quote(limit)    #limit


typedef struct {
    knock_arena_t  *arena;
    knock_error_t  *err;

    unsigned char  *start;
    unsigned char  *end;
    unsigned char  *fence;          /* before it, 16 bytes can be read */

    knock_json_t   *tokens;
    knock_json_t   *next;           /* the first free one */
    knock_json_t   *last;           /* behind the last one */

    size_t          depth;
    size_t          max_depth;

    uint8_t         type;           /* of what is open, the innermost; or 0 */
    uint32_t        index;          /* of its token */
    knock_json_t   *open;           /* its token */
} knock_json_parser_t;


static int knock_json_run(knock_json_parser_t *ps);
static inline unsigned char *knock_json_key(knock_json_parser_t *ps,
    unsigned char *p);
static inline unsigned char *knock_json_open(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token, knock_json_type_e type);
static inline unsigned char *knock_json_follow(knock_json_parser_t *ps,
    unsigned char *p);
static inline knock_json_t *knock_json_push(knock_json_parser_t *ps,
    unsigned char *p);
static int knock_json_grow(knock_json_parser_t *ps, unsigned char *p);
static unsigned char *knock_json_skip_space(unsigned char *p,
    const unsigned char *end);
static inline unsigned char *knock_json_scan_string(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static unsigned char *knock_json_scan_special(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static inline unsigned char *knock_json_scan_plain(
    const knock_json_parser_t *ps, unsigned char *p);
static unsigned char *knock_json_scan_escape(knock_json_parser_t *ps,
    unsigned char *p);
static unsigned char *knock_json_scan_utf8(knock_json_parser_t *ps,
    unsigned char *p);
static unsigned char *knock_json_scan_number(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static unsigned char *knock_json_scan_digits(knock_json_parser_t *ps,
    unsigned char *p);
static inline unsigned char *knock_json_scan_literal(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token);
static unsigned char *knock_json_expected(knock_json_parser_t *ps,
    unsigned char *p, const char *what);
static unsigned char *knock_json_refuse(knock_json_parser_t *ps,
    unsigned char *p, const char *why);
static int knock_json_unit(const unsigned char *p, const unsigned char *end,
    uint32_t *unit);
static unsigned char *knock_json_unescape(unsigned char *p,
    const unsigned char *end, unsigned char *out, size_t *n);


/* classes of bytes */

#define S  1                        /* white space */
#define D  2                        /* a digit */
#define P  4                        /* in a string, stands for itself: ASCII */
#define B  (D|P)

static const uint8_t  knock_json_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, 0, 0, S, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S|P, P, 0, P, P, P, P, P, P, P, P, P, P, P, P, P,   /*  !"#$%&'()*+,-./ */
    B, B, B, B, B, B, B, B, B, B, P, P, P, P, P, P,     /* 0123456789:;<=>? */
    P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,     /* @ABCDEFGHIJKLMNO */
    P, P, P, P, P, P, P, P, P, P, P, P, 0, P, P, P,     /* PQRSTUVWXYZ[\]^_ */
    P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,     /* `abcdefghijklmno */
    P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P      /* pqrstuvwxyz{|}~  */
};

#undef S
#undef D
#undef P
#undef B

#define knock_json_is_space(c)  (knock_json_class[c] & 1)
#define knock_json_is_digit(c)  (knock_json_class[c] & 2)
#define knock_json_is_plain(c)  (knock_json_class[c] & 4)


/* the byte at p, 0 at the end; a NUL is refused wherever it is looked at */

static inline int
knock_json_peek(const knock_json_parser_t *ps, const unsigned char *p)
{
    return knock_json_likely(p < ps->end) ? *p : 0;
}


/* the same behind white space, which is rare in what machines send */

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
    size_t               cap;
    knock_json_parser_t  ps;

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

    ps.arena = arena;
    ps.err = err;
    ps.start = text->data;
    ps.end = text->data + text->len;
    ps.fence = (text->len < 16) ? ps.start : ps.end - 15;
    ps.depth = 0;
    ps.max_depth = max_depth;
    ps.type = 0;
    ps.index = KNOCK_JSON_TOP;
    ps.open = NULL;

    cap = text->len / 8 + 16;

    if (cap > KNOCK_MAX_VALUES) {
        cap = KNOCK_MAX_VALUES;
    }

    ps.tokens = knock_arena_alloc(arena, cap * sizeof(knock_json_t));
    if (ps.tokens == NULL) {
        return knock_error_memory(err);
    }

    ps.next = ps.tokens;
    ps.last = ps.tokens + cap;

    if (knock_json_run(&ps) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    *root = knock_arena_realloc(arena, ps.tokens,
                                knock_json_bytes(ps.tokens, ps.last),
                                knock_json_bytes(ps.tokens, ps.next));
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
                return KNOCK_ERROR;
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

        if (knock_json_unlikely(p == NULL)) {
            return KNOCK_ERROR;
        }

        p = knock_json_follow(ps, p);
        if (knock_json_unlikely(p == NULL)) {
            return KNOCK_ERROR;
        }

        if (ps->type == 0) {
            break;
        }
    }

    if (p != ps->end) {
        (void) knock_json_expected(ps, p, "the end of the text");
        return KNOCK_ERROR;
    }

    return KNOCK_OK;
}


/* the start of an array or object; returns what stands behind its bracket */

static inline unsigned char *
knock_json_open(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token, knock_json_type_e type)
{
    if (ps->depth == ps->max_depth) {
        return knock_json_refuse(ps, p,
                                 "arrays and objects are nested too deeply");
    }

    ps->depth++;
    knock_json_set_type(token, type);
    token->span = ps->index;

    ps->type = (uint8_t) type;
    ps->index = (uint32_t) (token - ps->tokens);
    ps->open = token;

    return p + 1;
}


/* a key and its colon; returns what stands behind them */

static inline unsigned char *
knock_json_key(knock_json_parser_t *ps, unsigned char *p)
{
    knock_json_t  *token;

    if (knock_json_unlikely(!knock_json_sees(ps, &p, '"'))) {
        return knock_json_expected(ps, p, "a key in double quotes");
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
        return knock_json_expected(ps, p, "':'");
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
                return knock_json_expected(ps, p, "',' or '}'");
            }

        } else if (c != ']') {
            return knock_json_expected(ps, p, "',' or ']'");
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
        (void) knock_json_refuse(ps, p, "the text has more than "
                                 knock_json_text_of(KNOCK_MAX_VALUES)
                                 " values and keys");
        return KNOCK_ERROR;
    }

    cap = (n > KNOCK_MAX_VALUES / 2) ? KNOCK_MAX_VALUES : n * 2;

    tokens = knock_arena_realloc(ps->arena, ps->tokens,
                                 n * sizeof(knock_json_t),
                                 cap * sizeof(knock_json_t));
    if (tokens == NULL) {
        return knock_error_memory(ps->err);
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


/* the rest of a string from its first byte that is not plain; to its quote */

static unsigned char * knock_json_slow
knock_json_scan_special(knock_json_parser_t *ps, unsigned char *p,
    knock_json_t *token)
{
    for ( ;; ) {

        if (p == ps->end) {
            return knock_json_expected(ps, p, "the end of a string");
        }

        if (*p == '"') {
            return p;
        }

        if (*p == '\\') {
            token->escaped = 1;
            p = knock_json_scan_escape(ps, p);

        } else if (*p >= 0x80) {
            p = knock_json_scan_utf8(ps, p);

        } else {
            p = knock_json_refuse(ps, p, "a control character in a string "
                                  "must be escaped");
        }

        if (p == NULL) {
            return NULL;
        }

        p = knock_json_scan_plain(ps, p);
    }
}


/* passes over the bytes of a string that stand for themselves */

static inline unsigned char *
knock_json_scan_plain(const knock_json_parser_t *ps, unsigned char *p)
{
#if defined(__SSE2__)

    __m128i   bytes, special;
    unsigned  mask;

    const __m128i  quote = _mm_set1_epi8('"');
    const __m128i  backslash = _mm_set1_epi8('\\');
    const __m128i  control = _mm_set1_epi8(0x20);

    while (knock_json_likely(p < ps->fence)) {
        bytes = _mm_loadu_si128((const __m128i *) (void *) p);

        /* compared as signed, bytes from 0x80 on are less than a space too */

        special = _mm_cmplt_epi8(bytes, control);
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, quote));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, backslash));

        mask = (unsigned) _mm_movemask_epi8(special);

        if (mask != 0) {
            p += __builtin_ctz(mask);

            /* said to the compiler, so that callers need not look again */

            if (p >= ps->end) {
                __builtin_unreachable();
            }

            return p;
        }

        p += 16;
    }

#else

    uint64_t  bytes, quote, backslash, special;

    const uint64_t  ones = 0x0101010101010101;
    const uint64_t  highs = 0x8080808080808080;

    while (knock_json_likely(p < ps->fence)) {
        memcpy(&bytes, p, 8);

        /* x - ones borrows into the high bit of a byte where x has a zero */

        quote = bytes ^ (ones * '"');
        backslash = bytes ^ (ones * '\\');

        special = ((bytes - ones * 0x20) & ~bytes)
                  | ((quote - ones) & ~quote)
                  | ((backslash - ones) & ~backslash)
                  | bytes;

        if (special & highs) {
            break;
        }

        p += 8;
    }

#endif

    while (p < ps->end && knock_json_is_plain(*p)) {
        p++;
    }

    return p;
}


static unsigned char *
knock_json_scan_escape(knock_json_parser_t *ps, unsigned char *p)
{
    uint32_t  unit;

    switch (knock_json_peek(ps, p + 1)) {

    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;

    case 'u':
        break;

    default:
        return knock_json_expected(ps, p + 1, "one of \"\\/bfnrtu after '\\'");
    }

    if (knock_json_unit(p, ps->end, &unit) != KNOCK_OK) {
        return knock_json_refuse(ps, p, "expected four hex digits "
                                 "after '\\u'");
    }

    if (unit < 0xd800 || unit > 0xdfff) {
        return p + 6;
    }

    /* a high surrogate, and a low one right behind it */

    if (unit > 0xdbff
        || knock_json_unit(p + 6, ps->end, &unit) != KNOCK_OK
        || unit < 0xdc00 || unit > 0xdfff)
    {
        return knock_json_refuse(ps, p, "a surrogate escape without its pair "
                                 "is no character");
    }

    return p + 12;
}


/* passes over a run of UTF-8 sequences: RFC 3629, section 4 */

static unsigned char *
knock_json_scan_utf8(knock_json_parser_t *ps, unsigned char *p)
{
    size_t         i, n;
    unsigned char  c, low, high;

    for ( /* void */ ; p < ps->end && *p >= 0x80; p += n) {
        c = *p;

        /* the second byte's range excludes overlong forms and surrogates */

        low = 0x80;
        high = 0xbf;

        if (c < 0xc2 || c > 0xf4) {
            n = 0;

        } else if (c < 0xe0) {
            n = 2;

        } else if (c < 0xf0) {
            n = 3;
            low = (c == 0xe0) ? 0xa0 : low;
            high = (c == 0xed) ? 0x9f : high;

        } else {
            n = 4;
            low = (c == 0xf0) ? 0x90 : low;
            high = (c == 0xf4) ? 0x8f : high;
        }

        if (n == 0 || (size_t) (ps->end - p) < n || p[1] < low || p[1] > high) {
            return knock_json_refuse(ps, p, "a string must be valid UTF-8");
        }

        for (i = 2; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return knock_json_refuse(ps, p,
                                         "a string must be valid UTF-8");
            }
        }
    }

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
        return knock_json_refuse(ps, zero, "a number must not start with 0 "
                                 "followed by digits");
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

    return p > first ? p : knock_json_expected(ps, p, "a digit");
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
        return knock_json_expected(ps, p, "a value");
    }

    for ( /* void */ ; *text != '\0'; text++, p++) {
        if (knock_json_peek(ps, p) != *text) {
            return knock_json_expected(ps, p, "true, false or null");
        }
    }

    token->len = (uint32_t) (p - token->data);

    return p;
}


/* refuses the byte at p; always NULL, for a scanner to end with */

static unsigned char * knock_json_cold
knock_json_expected(knock_json_parser_t *ps, unsigned char *p,
    const char *what)
{
    char    found[sizeof("the end of the text")];
    size_t  offset;

    if (p == ps->end) {
        (void) snprintf(found, sizeof(found), "the end of the text");

    } else if (*p > 0x20 && *p < 0x7f) {
        (void) snprintf(found, sizeof(found), "'%c'", *p);

    } else {
        (void) snprintf(found, sizeof(found), "byte 0x%02x", *p);
    }

    offset = (size_t) (p - ps->start);

    (void) knock_error_set(ps->err, KNOCK_E_INVALID_JSON,
                           "byte %zu: expected %s, found %s",
                           offset, what, found);

    ps->err->offset = offset;

    return NULL;
}


static unsigned char * knock_json_cold
knock_json_refuse(knock_json_parser_t *ps, unsigned char *p, const char *why)
{
    size_t  offset;

    offset = (size_t) (p - ps->start);

    (void) knock_error_set(ps->err, KNOCK_E_INVALID_JSON, "byte %zu: %s",
                           offset, why);

    ps->err->offset = offset;

    return NULL;
}


/* the 16 bits of an escape \uXXXX at p, or KNOCK_ERROR if there is none */

static int
knock_json_unit(const unsigned char *p, const unsigned char *end,
    uint32_t *unit)
{
    size_t         i;
    uint32_t       n;
    unsigned char  c;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return KNOCK_ERROR;
    }

    n = 0;

    for (i = 2; i < 6; i++) {
        c = p[i];

        if (knock_json_is_digit(c)) {
            n = n * 16 + (uint32_t) (c - '0');
            continue;
        }

        c |= 0x20;

        if (c < 'a' || c > 'f') {
            return KNOCK_ERROR;
        }

        n = n * 16 + (uint32_t) (c - 'a' + 10);
    }

    *unit = n;

    return KNOCK_OK;
}


const knock_json_t *
knock_json_member(const knock_json_t *obj, const knock_str_t *key)
{
    size_t               i;
    const knock_json_t  *name, *found;

    if (obj == NULL || obj->type != KNOCK_JSON_OBJECT) {
        return NULL;
    }

    found = NULL;
    name = obj + 1;

    for (i = 0; i < obj->count; i++) {
        if (knock_json_string_eq(name, key)) {
            found = name + 1;
        }

        name = knock_json_next(name + 1);
    }

    return found;
}


const knock_json_t *
knock_json_first(const knock_json_t *v)
{
    return v->count != 0 ? v + 1 : NULL;
}


const knock_json_t *
knock_json_element(const knock_json_t *array, size_t n)
{
    const knock_json_t  *v;

    if (array->type != KNOCK_JSON_ARRAY || n >= array->count) {
        return NULL;
    }

    for (v = array + 1; n != 0; n--) {
        v = knock_json_next(v);
    }

    return v;
}


int
knock_json_string(knock_arena_t *arena, const knock_json_t *v,
    knock_str_t *str)
{
    size_t          n, len;
    unsigned char  *p, *end, *out;

    p = v->data + 1;
    end = v->data + v->len - 1;
    len = v->len - 2;

    if (!v->escaped) {
        str->len = len;
        str->data = p;

        return KNOCK_OK;
    }

    /* what an escape stands for is never longer than the escape */

    out = knock_arena_alloc(arena, len);
    if (out == NULL) {
        return KNOCK_ERROR;
    }

    str->data = out;

    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }

        p = knock_json_unescape(p, end, out, &n);
        out += n;
    }

    str->len = (size_t) (out - str->data);
    str->data = knock_arena_realloc(arena, str->data, len, str->len);

    return KNOCK_OK;
}


int
knock_json_string_eq(const knock_json_t *v, const knock_str_t *str)
{
    size_t          n, at;
    unsigned char  *p, *end, bytes[4];

    if (!v->escaped) {
        return v->len - 2 == str->len
               && (str->len == 0
                   || memcmp(v->data + 1, str->data, str->len) == 0);
    }

    p = v->data + 1;
    end = v->data + v->len - 1;

    for (at = 0; p < end; at += n) {

        if (*p != '\\') {
            bytes[0] = *p++;
            n = 1;

        } else {
            p = knock_json_unescape(p, end, bytes, &n);
        }

        if (str->len - at < n || memcmp(str->data + at, bytes, n) != 0) {
            return 0;
        }
    }

    return at == str->len;
}


/*
 * Decodes the escape at p, which the parser has accepted, into at most 4
 * bytes; returns what follows it.
 */

static unsigned char *
knock_json_unescape(unsigned char *p, const unsigned char *end,
    unsigned char *out, size_t *n)
{
    uint32_t  c, low;

    *n = 1;

    switch (p[1]) {

    case 'b':
        *out = '\b';
        return p + 2;

    case 'f':
        *out = '\f';
        return p + 2;

    case 'n':
        *out = '\n';
        return p + 2;

    case 'r':
        *out = '\r';
        return p + 2;

    case 't':
        *out = '\t';
        return p + 2;

    case 'u':
        break;

    default:
        *out = p[1];
        return p + 2;
    }

    c = 0;
    low = 0;

    (void) knock_json_unit(p, end, &c);
    p += 6;

    if (c < 0x80) {
        out[0] = (unsigned char) c;
        return p;
    }

    if (c < 0x800) {
        out[0] = (unsigned char) (0xc0 | c >> 6);
        out[1] = (unsigned char) (0x80 | (c & 0x3f));
        *n = 2;
        return p;
    }

    if (c < 0xd800 || c > 0xdfff) {
        out[0] = (unsigned char) (0xe0 | c >> 12);
        out[1] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
        out[2] = (unsigned char) (0x80 | (c & 0x3f));
        *n = 3;
        return p;
    }

    (void) knock_json_unit(p, end, &low);
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);

    out[0] = (unsigned char) (0xf0 | c >> 18);
    out[1] = (unsigned char) (0x80 | (c >> 12 & 0x3f));
    out[2] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
    out[3] = (unsigned char) (0x80 | (c & 0x3f));
    *n = 4;

    return p + 6;
}


int
knock_json_is_integer(const knock_json_t *v)
{
    size_t  i;

    if (v->type != KNOCK_JSON_NUMBER) {
        return 0;
    }

    for (i = 0; i < v->len; i++) {
        if (v->data[i] != '-' && !knock_json_is_digit(v->data[i])) {
            return 0;
        }
    }

    return 1;
}

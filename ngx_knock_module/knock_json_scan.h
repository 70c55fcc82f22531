
/*
 * What the files of the JSON reader share; nobody else includes this.
 *
 *   knock_json_parse.c  the parser: values, arrays, objects and their ends
 *   knock_json_scan.c   strings that are more than plain bytes
 *   knock_json_batch.c  elements that are bad by themselves, and refusals
 *   knock_json.c        what is asked of the tokens
 *
 * Most of a Segment event is plain bytes of strings, so these are passed over
 * 16 or 8 at a time; everything else is decided by one byte.  What runs for
 * every byte or token is inline, here and in the parser.
 */

#ifndef KNOCK_JSON_SCAN_H
#define KNOCK_JSON_SCAN_H


#include "knock_json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif


#define knock_json_likely(x)    __builtin_expect((x) != 0, 1)
#define knock_json_unlikely(x)  __builtin_expect((x) != 0, 0)

#define knock_json_cold         __attribute__((cold, noinline))
#define knock_json_slow         __attribute__((noinline))


/*
 * What the parser refuses, X(name, text).  A text that does not say so itself
 * says what was expected where something else is found.
 */

#define KNOCK_JSON_FAULTS(X)                                                 \
    X(MEMORY,     NULL)                                                      \
    X(VALUES,     NULL)                                                      \
    X(DEPTH,      NULL)                                                      \
    X(ZERO,       "a number must not start with 0 followed by digits")       \
    X(CONTROL,    "a control character in a string must be escaped")         \
    X(HEX,        "expected four hex digits after '\\u'")                    \
    X(SURROGATE,  "a surrogate escape without its pair is no character")     \
    X(UTF8,       "a string must be valid UTF-8")                            \
    X(NO_ESCAPE,  "one of \"\\/bfnrtu after '\\'")                           \
    X(NO_QUOTE,   "the end of a string")                                     \
    X(NO_KEY,     "a key in double quotes")                                  \
    X(NO_COLON,   "':'")                                                     \
    X(NO_DIGIT,   "a digit")                                                 \
    X(NO_LITERAL, "true, false or null")                                     \
    X(NO_VALUE,   "a value")                                                 \
    X(NO_BRACE,   "',' or '}'")                                              \
    X(NO_BRACKET, "',' or ']'")                                              \
    X(NO_END,     "the end of the text")


typedef enum {
#define KNOCK_JSON_FAULT_ENUM(name, text)  KNOCK_JSON_##name,
    KNOCK_JSON_FAULTS(KNOCK_JSON_FAULT_ENUM)
#undef KNOCK_JSON_FAULT_ENUM
    KNOCK_JSON_NFAULTS
} knock_json_fault_e;

#define KNOCK_JSON_EXPECTED  KNOCK_JSON_NO_ESCAPE   /* from here on */

#define KNOCK_JSON_TOP  UINT32_MAX      /* what is around the root: no token */


typedef struct {
    knock_arena_t  *arena;

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

    unsigned char  *at;             /* what is refused, and why */
    knock_json_fault_e  fault;

    /* of knock_json_parse_batch() */

    const knock_str_t  *member;     /* NULL: there is no batch */
    uint32_t            batch;      /* token of the array; KNOCK_JSON_TOP */
    size_t              more;       /* levels around its elements */
    unsigned            lone:1;     /* surrogates are taken */
    unsigned            loose:1;
    unsigned            replaced:1;
} knock_json_parser_t;


/* hidden, so that a shared object calls them directly */

#pragma GCC visibility push(hidden)

/* knock_json_scan.c */

/*
 * The rest of a string from its first byte that is not plain: returns its
 * closing quote, or NULL if it is refused.  Sets token->escaped.
 */
unsigned char *knock_json_scan_special(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token) knock_json_slow;

/* the 16 bits of an escape \uXXXX at p, or KNOCK_ERROR if there is none */
int knock_json_unit(const unsigned char *p, const unsigned char *end,
    uint32_t *unit);

/*
 * Has the tokens point into a copy of the text in which each escape of a lone
 * surrogate is \ufffd.  KNOCK_OK, or KNOCK_ERROR: no memory.
 */
int knock_json_replace(knock_json_parser_t *ps) knock_json_cold;

/* knock_json_batch.c */

/* an array begins, with at most one level around it: is it a batch? */
void knock_json_begin_batch(knock_json_parser_t *ps, const knock_json_t *array)
    knock_json_slow;

/*
 * After a refusal: makes what was refused a bad element, where the batch has
 * an element there whose end can be told.  Returns that end, or NULL.
 */
unsigned char *knock_json_pass_over(knock_json_parser_t *ps) knock_json_cold;

/* refuses the byte at p; always NULL, for a scanner to end with */
unsigned char *knock_json_refuse(knock_json_parser_t *ps, unsigned char *p,
    knock_json_fault_e fault) knock_json_cold;

/* fills the error of a fault at a byte of the text; always KNOCK_ERROR */
int knock_json_say(const knock_str_t *text, size_t offset,
    knock_json_fault_e fault, size_t max_depth, knock_error_t *err)
    knock_json_cold;

#pragma GCC visibility pop


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


#endif /* KNOCK_JSON_SCAN_H */

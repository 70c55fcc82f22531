
/*
 * What the files of the JSON reader share; nobody else includes this.
 *
 *   knock_json_parse.c  the parser: values, arrays, objects and their ends
 *   knock_json_scan.c   strings that are more than plain bytes, and refusals
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


/* knock_json_scan.c; hidden, so that a shared object calls them directly */

#pragma GCC visibility push(hidden)

/*
 * The rest of a string from its first byte that is not plain: returns its
 * closing quote, or NULL with the error filled.  Sets token->escaped.
 */
unsigned char *knock_json_scan_special(knock_json_parser_t *ps,
    unsigned char *p, knock_json_t *token) knock_json_slow;

/* the 16 bits of an escape \uXXXX at p, or KNOCK_ERROR if there is none */
int knock_json_unit(const unsigned char *p, const unsigned char *end,
    uint32_t *unit);

/* these refuse the byte at p; always NULL, for a scanner to end with */
unsigned char *knock_json_expected(knock_json_parser_t *ps, unsigned char *p,
    const char *what) knock_json_cold;
unsigned char *knock_json_refuse(knock_json_parser_t *ps, unsigned char *p,
    const char *why) knock_json_cold;

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

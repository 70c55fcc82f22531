
/*
 * Strict JSON (RFC 8259 in UTF-8), read into an array of tokens that point
 * into the text.  One pass validates and indexes; a value's text stays as it
 * was written, so numbers, empty arrays, escapes and the order of keys are
 * carried through untouched, and no string is copied before somebody asks
 * for it.
 *
 * A value is a pointer to its token; the tokens of its children follow it, an
 * object's as key, value, key, value.  `span` counts them all, the value
 * itself included: the next sibling stands at `value + value->span`.
 */

#ifndef KNOCK_JSON_H
#define KNOCK_JSON_H


#include "knock_arena.h"
#include "knock_buf.h"
#include "knock_error.h"


typedef enum {
    KNOCK_JSON_NULL = 1,
    KNOCK_JSON_FALSE,
    KNOCK_JSON_TRUE,
    KNOCK_JSON_NUMBER,
    KNOCK_JSON_STRING,
    KNOCK_JSON_ARRAY,
    KNOCK_JSON_OBJECT,
    KNOCK_JSON_BAD              /* an element of a batch: knock_json_why() */
} knock_json_type_e;


/* what may be told of a string */

#define KNOCK_JSON_ESCAPED   1  /* it has a backslash */
#define KNOCK_JSON_REPLACED  2  /* a lone surrogate's escape is now \ufffd */


typedef struct {
    unsigned char  *data;       /* first byte of the text, a quote included */
    uint32_t        len;        /* bytes of the text, both quotes included */
    uint32_t        span;       /* tokens of the value, itself included */
    uint32_t        count;      /* elements of an array, members of an object */
    uint8_t         type;       /* knock_json_type_e */
    uint8_t         escaped;    /* of a string: 0, or the above */
} knock_json_t;


/* what a body of events is read as */

typedef struct {
    knock_json_t   *root;
    unsigned        loose:1;    /* it is no value of its own */
    unsigned        replaced:1; /* some strings are KNOCK_JSON_REPLACED */
} knock_json_batch_t;


/*
 * Reads the one value that `text` must consist of (white space around it is
 * allowed).  At most max_depth arrays and objects may be open at a time, and
 * the text may be up to 4 GB with KNOCK_MAX_VALUES values, keys counted.  The
 * tokens are taken from the arena; they point into `text`, which must outlive
 * them.  Linear in time and in memory, no recursion.
 *
 * KNOCK_OK, or KNOCK_ERROR with KNOCK_E_INVALID_JSON, the byte offset in
 * err->offset and in the message.  Refused is all that RFC 8259 refuses:
 * leading zeros, bare control characters, bad escapes, lone surrogate
 * escapes (they have no UTF-8), malformed, overlong or surrogate UTF-8, a
 * byte order mark, bytes after the value.  Accepted: "\u0000", numbers of
 * any size, duplicated keys.
 */
int knock_json_parse(knock_arena_t *arena, const knock_str_t *text,
    size_t max_depth, knock_json_t **root, knock_error_t *err);

/*
 * Reads what senders made less strictly.  The escape of a lone surrogate is
 * replaced by \ufffd; the tokens may point into a copy of the text for it.
 * The root may be a batch, an array or an object with an array `member`: an
 * element of that which is refused by itself becomes KNOCK_JSON_BAD, where its
 * end can be told by its strings and brackets.  Each element may nest as deep
 * as the text.  Only what the others cannot be told without is refused as a
 * whole.  Linear, as the above.
 *
 * Where batch->loose is set the text is not taken as one value: `member` NULL
 * then says why.
 */
int knock_json_parse_batch(knock_arena_t *arena, const knock_str_t *text,
    size_t max_depth, const knock_str_t *member, knock_json_batch_t *batch,
    knock_error_t *err);

/* fills the error of an element that is bad; always KNOCK_ERROR */
int knock_json_why(const knock_str_t *text, const knock_json_t *bad,
    size_t max_depth, knock_error_t *err);

/*
 * The value of the last member named `key` (decoded bytes, case-sensitive)
 * of an object; NULL if there is none or `obj` is NULL or not an object.
 */
const knock_json_t *knock_json_member(const knock_json_t *obj,
    const knock_str_t *key);

/* the same for a C string literal */
#define knock_json_get(obj, name)                                            \
    knock_json_member(obj,                                                   \
        &(knock_str_t) { sizeof(name) - 1, (unsigned char *) (name) })

/* the first child of an array or object (an object's: a key); NULL: empty */
const knock_json_t *knock_json_first(const knock_json_t *v);

/* the element at index n of an array, or NULL */
const knock_json_t *knock_json_element(const knock_json_t *array, size_t n);

/* the sibling after v; the caller counts, there is no end mark */
#define knock_json_next(v)  ((v) + (v)->span)

/* the value's text as it was written, quotes included */
#define knock_json_text(v)  ((knock_str_t) { (v)->len, (v)->data })

/*
 * The bytes of a string or key, decoded; they may hold NULs.  Without a
 * backslash it is a slice of the text, else it is taken from the arena.
 * KNOCK_OK, or KNOCK_ERROR: no memory.  `v` must be a KNOCK_JSON_STRING.
 */
int knock_json_string(knock_arena_t *arena, const knock_json_t *v,
    knock_str_t *str);

/* knock_json_string_eq() of a string with a backslash */
int knock_json_escaped_eq(const knock_json_t *v, const knock_str_t *str);

/*
 * 1 if the string token `v` decodes to exactly the bytes of `str`, else 0.
 * Inline: of the keys that one is looked up among most differ in length.
 */
static inline int
knock_json_string_eq(const knock_json_t *v, const knock_str_t *str)
{
    if (v->escaped) {
        return knock_json_escaped_eq(v, str);
    }

    return v->len - 2 == str->len
           && (str->len == 0
               || (v->data[1] == str->data[0]
                   && memcmp(v->data + 1, str->data, str->len) == 0));
}

/* 1 if the number's text is an integer: no fraction, no exponent; else 0 */
int knock_json_is_integer(const knock_json_t *v);


#endif /* KNOCK_JSON_H */

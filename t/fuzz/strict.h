
/*
 * RFC 8259 once more, by recursion and byte by byte, to compare the module's
 * parser with: it shares no line with it.
 */

#ifndef STRICT_H
#define STRICT_H


#include <stddef.h>


/*
 * 1 if the text is one JSON value in UTF-8, with white space around it, in
 * which at most `depth` arrays and objects are open at a time; escapes of
 * lone surrogates are refused.  Else 0.
 */
int strict_json(const unsigned char *text, size_t len, size_t depth);

/* the same, but that escapes of lone surrogates are allowed */
int strict_sent(const unsigned char *text, size_t len, size_t depth);


/* a batch, and of its first elements where they stand, and whether bad */

#define STRICT_ELEMENTS  64

typedef struct {
    size_t  n;
    size_t  from[STRICT_ELEMENTS];
    size_t  to[STRICT_ELEMENTS];
    int     bad[STRICT_ELEMENTS];
} strict_batch_t;

/*
 * As strict_sent(), but for the elements of the text itself, if it is an array,
 * or of the last member "batch" of an object: each may nest as deep, and be
 * anything whose strings and brackets close.  1: it is a batch; 2: it is JSON
 * without one; else 0.
 */
int strict_batch(const unsigned char *text, size_t len, size_t depth,
    strict_batch_t *batch);

/* 1 if the bytes are UTF-8, else 0 */
int strict_utf8(const unsigned char *text, size_t len);


#endif /* STRICT_H */

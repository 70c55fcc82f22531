
/*
 * What the fuzz targets share.  A target asserts properties of what it gets
 * from the module's files, by means that are not the module's where there are
 * any; a sanitizer watches beside it.
 */

#ifndef FUZZ_H
#define FUZZ_H


#include <stdio.h>
#include <stdlib.h>

#include "knock_digest.h"
#include "knock_json.h"
#include "knock_map.h"


/* a property that does not hold is a finding, as a crash is */

#define check(condition)                                                     \
    ((condition) ? (void) 0 : fuzz_fail(__FILE__, __LINE__, #condition))


int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void __attribute__((noreturn))
fuzz_fail(const char *file, int line, const char *condition)
{
    (void) fprintf(stderr, "%s:%d: does not hold: %s\n", file, line,
                   condition);
    abort();
}


/* what each target does once; begin.c for those that need no more */

static inline int
fuzz_begin(void)
{
    knock_map_seed(42);

    return knock_digest_init() == KNOCK_OK ? 0 : -1;
}


/*
 * Takes what stands in front of the next separator off the input, or all of
 * it.  The piece is a copy of its own, so that a read past its end is seen:
 * the caller frees it.
 */

static inline knock_str_t
fuzz_piece(knock_str_t *input, unsigned char separator)
{
    size_t          len;
    knock_str_t     piece;
    unsigned char  *p;

    p = input->len ? memchr(input->data, separator, input->len) : NULL;
    len = p ? (size_t) (p - input->data) : input->len;

    piece.len = len;
    piece.data = malloc(len ? len : 1);
    check(piece.data != NULL);

    if (len) {
        memcpy(piece.data, input->data, len);
    }

    input->data += len + (p != NULL);
    input->len -= len + (p != NULL);

    return piece;
}


/* 1 if the slice lies within the other one */

static inline int
fuzz_within(const knock_str_t *part, const knock_str_t *whole)
{
    return part->data >= whole->data
           && part->data + part->len <= whole->data + whole->len;
}


#endif /* FUZZ_H */

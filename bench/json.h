/*
 * As much of JSON as it takes to look at documents whose writers may put their
 * keys in any order and escape what they like.  The text is trusted to be JSON
 * as far as its structure is concerned: where it is not, nothing is found.
 */

#ifndef BENCH_JSON_H
#define BENCH_JSON_H


#include <stddef.h>


typedef struct {
    const char  *data;
    size_t       len;
} json_slice_t;


/*
 * Takes the next member of an object: `rest` begins at its brace, or behind
 * the member that was taken last.  Gives 1; 0 at the end; -1 if that is none.
 */
int json_member(json_slice_t *rest, json_slice_t *key, json_slice_t *value);

/* Whether a value is a string, and says this. */
int json_is_string(json_slice_t value, const char *text);

/* Copies the text of a string; -1 if it is none or too long. */
int json_string(json_slice_t value, char *text, size_t size);


#endif /* BENCH_JSON_H */

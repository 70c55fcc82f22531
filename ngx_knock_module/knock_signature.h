
/*
 * Segment's signature: X-Signature is the lower-case hex HMAC-SHA1 of the
 * body under the endpoint's secret.  Segment signs a batch over its first
 * event only, and only the raw bytes of that count, so they are found in the
 * body before it is parsed.
 */

#ifndef KNOCK_SIGNATURE_H
#define KNOCK_SIGNATURE_H


#include "knock_str.h"
#include "knock_error.h"


typedef enum {
    KNOCK_SIGNATURE_FIRST = 0,  /* an array: its first element, or the whole */
    KNOCK_SIGNATURE_WHOLE       /* the whole body only */
} knock_signature_mode_e;


/*
 * Checks `header` (the X-Signature value, len 0 if there is none) against the
 * raw body, under any of the n secrets.  KNOCK_OK, or KNOCK_ERROR with KNOCK_E_INVALID_SIGNATURE and a
 * sentence that says whether it is missing, malformed or wrong (never what it
 * should be).  All are compared, each in constant time.
 */
int knock_signature_check(const knock_str_t *secrets, size_t n,
    const knock_str_t *header, const knock_str_t *body,
    knock_signature_mode_e mode, knock_error_t *err);

/*
 * The raw bytes of the first element of the array that `body` holds, without
 * white space around them.  KNOCK_OK, or KNOCK_DECLINED if the body is not an
 * array, is an empty one, has nothing before its first comma, or ends before
 * the element does.  The element need not be valid JSON.  Linear, no
 * recursion.
 */
int knock_signature_first(const knock_str_t *body, knock_str_t *first);


#endif /* KNOCK_SIGNATURE_H */

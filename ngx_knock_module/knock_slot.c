
#include "knock_crc16.h"
#include "knock_slot.h"


/*
 * The hash tag is what stands between the first "{" and the next "}" behind
 * it; a key without one, or with nothing in it, counts as a whole.
 */

unsigned
knock_slot(const knock_str_t *key)
{
    size_t                len;
    const unsigned char  *p, *start, *end;

    p = key->data;
    len = key->len;

    start = len ? memchr(p, '{', len) : NULL;

    if (start) {
        start++;
        end = memchr(start, '}', len - (size_t) (start - p));

        if (end && end > start) {
            p = start;
            len = (size_t) (end - start);
        }
    }

    return knock_crc16(p, len) % KNOCK_SLOTS;
}

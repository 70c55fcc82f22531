
/*
 * Texts changed at random, the same ones on every machine: what a test feeds
 * to a parser that must take or refuse whatever it gets.
 */

#ifndef MUTATE_H
#define MUTATE_H


#include <stddef.h>
#include <stdint.h>
#include <string.h>


/* xorshift */

static inline uint32_t
random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;

    return *seed;
}


/*
 * changes some bytes to likely ones, cuts or repeats a piece of at most `most`
 * bytes; the new length
 */

static inline size_t
mutate(char *text, size_t len, size_t cap, const char *likely, size_t nlikely,
    uint32_t most, uint32_t *seed)
{
    size_t  at, n, times;

    for (times = random_next(seed) % 4; times; times--) {

        at = len ? random_next(seed) % len : 0;
        n = random_next(seed) % (most + 1);

        switch (random_next(seed) % 3) {

        case 0:
            if (len) {
                text[at] = likely[random_next(seed) % nlikely];
            }

            break;

        case 1:
            n = (n > len - at) ? len - at : n;
            memmove(text + at, text + at + n, len - at - n);
            len -= n;
            break;

        default:
            n = (n > len - at) ? len - at : n;
            n = (n > cap - len) ? cap - len : n;
            memmove(text + at + n, text + at, len - at);
            len += n;
        }
    }

    return len;
}


#endif /* MUTATE_H */

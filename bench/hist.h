/*
 * A histogram of times in nanoseconds: linear within a power of two, 256
 * parts each, so that what is read from it is within 0.4 %.
 */

#ifndef BENCH_HIST_H
#define BENCH_HIST_H


#include <stdint.h>
#include <string.h>


#define BENCH_HIST_BITS   8
#define BENCH_HIST_PARTS  (1 << BENCH_HIST_BITS)
#define BENCH_HIST_SIZE   (BENCH_HIST_PARTS / 2 * (64 - BENCH_HIST_BITS + 2))


typedef struct {
    uint64_t  n;
    uint64_t  max;
    uint64_t  counts[BENCH_HIST_SIZE];
} bench_hist_t;


static inline void
bench_hist_reset(bench_hist_t *hist)
{
    memset(hist, 0, sizeof(bench_hist_t));
}


static inline void
bench_hist_add(bench_hist_t *hist, uint64_t value)
{
    unsigned  shift;

    shift = 0;

    if (value >= BENCH_HIST_PARTS) {
        shift = 64 - BENCH_HIST_BITS - (unsigned) __builtin_clzll(value);
    }

    /* a shifted value's top bit is set: the rows overlap by half */

    hist->counts[shift * (BENCH_HIST_PARTS / 2) + (value >> shift)]++;
    hist->n++;

    if (value > hist->max) {
        hist->max = value;
    }
}


/* The value that a share of all are not above: the middle of its part. */

static inline uint64_t
bench_hist_at(const bench_hist_t *hist, double share)
{
    double    rank;
    uint64_t  i, seen, shift, low;

    if (hist->n == 0) {
        return 0;
    }

    rank = share * (double) hist->n;
    seen = 0;

    for (i = 0; i < BENCH_HIST_SIZE - 1; i++) {
        seen += hist->counts[i];

        if (seen > 0 && (double) seen >= rank) {
            break;
        }
    }

    if (i < BENCH_HIST_PARTS) {
        return i;
    }

    shift = i / (BENCH_HIST_PARTS / 2) - 1;
    low = (i - shift * (BENCH_HIST_PARTS / 2)) << shift;
    low += (1ULL << shift) / 2;

    return low < hist->max ? low : hist->max;
}


#endif /* BENCH_HIST_H */

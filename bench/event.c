
#include "event.h"

#include <stdio.h>
#include <string.h>


static void bench_digits(char *to, uint64_t n, size_t width);
static void bench_time(char *to, uint64_t i);


/* of ten events in a row: exactly the shares of the mix */

static const bench_kind_e  bench_kinds[10] = {
    BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
    BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY
};


bench_kind_e
bench_kind(const bench_events_t *events, uint64_t i)
{
    if (events->only >= 0) {
        return (bench_kind_e) events->only;
    }

    return bench_kinds[i % 10];
}


bench_template_t *
bench_template(const bench_events_t *events, uint64_t i)
{
    uint64_t  n;

    n = bench_mix(events->seed + i) % BENCH_TEMPLATES;

    return &events->templates[bench_kind(events, i)][n];
}


uint32_t
bench_target(const bench_events_t *events, uint64_t i, uint32_t index)
{
    uint64_t  random;

    random = bench_mix(events->seed * 3 + i);

    return (uint32_t) ((((random >> 32) * events->users >> 32) + index)
                       % events->users);
}


uint32_t
bench_actor(const bench_events_t *events, uint64_t i)
{
    uint64_t  random;

    random = bench_mix(events->seed * 3 + i);

    return (uint32_t) ((random & 0xffffffff) * events->users >> 32);
}


uint32_t
bench_runs(const bench_events_t *events, uint64_t i)
{
    switch (bench_kind(events, i)) {

    case BENCH_BARE:
        return events->recipients;

    case BENCH_INLINE:
        return 1;

    default:
        return 0;
    }
}


void
bench_fill(const bench_events_t *events, uint64_t i,
    const bench_template_t *t, char *text)
{
    char                 number[BENCH_NUMBER_WIDTH], time[BENCH_TIME_WIDTH];
    uint32_t             actor, target;
    const bench_hole_t  *hole, *end;

    bench_digits(number, i, BENCH_NUMBER_WIDTH);
    bench_time(time, i);

    actor = bench_actor(events, i);
    target = bench_target(events, i, 0);

    end = t->holes + t->nholes;

    for (hole = t->holes; hole < end; hole++) {

        switch (hole->what) {

        case BENCH_NUMBER:
            memcpy(text + hole->offset, number, BENCH_NUMBER_WIDTH);
            break;

        case BENCH_TIME:
            memcpy(text + hole->offset, time, BENCH_TIME_WIDTH);
            break;

        case BENCH_ACTOR:
            bench_digits(text + hole->offset, actor, BENCH_USER_WIDTH);
            break;

        default:
            bench_digits(text + hole->offset,
                         (target + hole->index) % events->users,
                         BENCH_USER_WIDTH);
        }
    }
}


void
bench_message_id(const bench_events_t *events, uint64_t i, char *id)
{
    (void) snprintf(id, BENCH_MESSAGE_SIZE,
                    "ajs-next-1781520000000-%08x-4b1d-4c8e-9c0b-%012llu",
                    (unsigned) (events->seed & 0xffffffff),
                    (unsigned long long) i);
}


void
bench_timestamp(const bench_template_t *t, uint64_t i, char *time)
{
    char  clock[BENCH_TIME_WIDTH];

    bench_time(clock, i);

    (void) snprintf(time, BENCH_TIME_SIZE, BENCH_DATE "%.8s.%03uZ", clock,
                    t->msec);
}


void
bench_user_id(uint32_t user, char *id)
{
    id[0] = 'u';
    bench_digits(id + 1, user, BENCH_USER_WIDTH);
    id[BENCH_ID_SIZE - 1] = '\0';
}


uint64_t
bench_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}


static void
bench_digits(char *to, uint64_t n, size_t width)
{
    static const char  pairs[] =
        "00010203040506070809101112131415161718192021222324"
        "25262728293031323334353637383940414243444546474849"
        "50515253545556575859606162636465666768697071727374"
        "75767778798081828384858687888990919293949596979899";

    while (width > 1) {
        width -= 2;
        memcpy(to + width, pairs + n % 100 * 2, 2);
        n /= 100;
    }

    if (width) {
        to[0] = (char) ('0' + n % 10);
    }
}


/* HH:MM:SS: a thousand events a second, from midnight on. */

static void
bench_time(char *to, uint64_t i)
{
    uint64_t  sec;

    sec = i / 1000 % 86400;

    memcpy(to, "00:00:00", BENCH_TIME_WIDTH);

    bench_digits(to, sec / 3600, 2);
    bench_digits(to + 3, sec / 60 % 60, 2);
    bench_digits(to + 6, sec % 60, 2);
}

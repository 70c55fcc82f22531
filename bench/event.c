
#include "event.h"

#include <stdio.h>
#include <string.h>


static void bench_digits(char *to, uint64_t n, size_t width);
static void bench_time(char *to, uint64_t i);


/* of twenty events in a row: exactly the shares of the mix */

static const bench_kind_e  bench_kinds[BENCH_MIXES][BENCH_CYCLE] = {

    { BENCH_BARE, BENCH_OTHER, BENCH_INLINE, BENCH_BARE, BENCH_NESTED,
      BENCH_THREE, BENCH_BARE, BENCH_PAGE, BENCH_IDENTIFY, BENCH_INLINE,
      BENCH_BARE, BENCH_OTHER, BENCH_INLINE, BENCH_BARE, BENCH_NESTED,
      BENCH_THREE, BENCH_BARE, BENCH_PAGE, BENCH_IDENTIFY, BENCH_REPEAT },

    { BENCH_BARE, BENCH_OTHER, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
      BENCH_THREE, BENCH_BARE, BENCH_PAGE, BENCH_IDENTIFY, BENCH_INLINE,
      BENCH_BARE, BENCH_OTHER, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
      BENCH_THREE, BENCH_BARE, BENCH_PAGE, BENCH_IDENTIFY, BENCH_REPEAT },

    { BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
      BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
      BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY,
      BENCH_BARE, BENCH_BARE, BENCH_INLINE, BENCH_BARE, BENCH_IDENTIFY }
};

static const char  *bench_mix_names[BENCH_MIXES] = {
    "usual", "flat", "former"
};

static const struct {
    const char  *name;
    const char  *key;           /* in the catalogue */
} bench_kind_table[BENCH_KINDS] = {
    { "bare",     "track/" BENCH_EVENT },
    { "three",    "track/" BENCH_EVENT },
    { "inline",   "track/" BENCH_EVENT },
    { "identify", "identify" },
    { "nested",   "identify" },
    { "other",    "track/" BENCH_OTHER_EVENT },
    { "page",     "page" }
};


int
bench_kind_named(const char *name)
{
    int  kind;

    for (kind = 0; kind < BENCH_KINDS; kind++) {
        if (strcmp(name, bench_kind_table[kind].name) == 0) {
            return kind;
        }
    }

    return -1;
}


int
bench_mix_named(const char *name)
{
    int  mix;

    for (mix = 0; mix < BENCH_MIXES; mix++) {
        if (strcmp(name, bench_mix_names[mix]) == 0) {
            return mix;
        }
    }

    return -1;
}


bench_kind_e
bench_kind(const bench_events_t *events, uint64_t i)
{
    if (events->only >= 0) {
        return (bench_kind_e) events->only;
    }

    return bench_kinds[events->mix][i % BENCH_CYCLE];
}


const char *
bench_key(bench_kind_e kind)
{
    return bench_kind_table[kind].key;
}


int
bench_stores(bench_kind_e kind)
{
    return kind == BENCH_INLINE || kind == BENCH_IDENTIFY
           || kind == BENCH_NESTED;
}


/* One of the thousand before it, and never a repeat itself. */

uint64_t
bench_original(const bench_events_t *events, uint64_t i)
{
    uint64_t  random, cycles;

    random = bench_mix(events->seed * 5 + i);
    cycles = (random >> 32) % 50;

    if (cycles > i / BENCH_CYCLE) {
        cycles = i / BENCH_CYCLE;
    }

    return i - cycles * BENCH_CYCLE - 1
           - (random & 0xffffffff) % (BENCH_CYCLE - 1);
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

    case BENCH_THREE:
        return BENCH_THREE_COUNT;

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
bench_timestamp(uint64_t i, char *time)
{
    char  clock[BENCH_TIME_WIDTH];

    bench_time(clock, i);

    (void) snprintf(time, BENCH_TIME_SIZE, BENCH_DATE "%.*sZ",
                    BENCH_TIME_WIDTH, clock);
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


/* HH:MM:SS.mmm: a thousand events a second, from midnight on. */

static void
bench_time(char *to, uint64_t i)
{
    uint64_t  sec;

    sec = i / 1000 % 86400;

    memcpy(to, "00:00:00.000", BENCH_TIME_WIDTH);

    bench_digits(to, sec / 3600, 2);
    bench_digits(to + 3, sec / 60 % 60, 2);
    bench_digits(to + 6, sec % 60, 2);
    bench_digits(to + 9, i % 1000, 3);
}

/*
 * The effects that the benchmark's events must have had in Redis: exactly the
 * runs of a range of events, and the users as these events leave them.  Since
 * an event is a function of its number, each run says by its message id what
 * has to be in it.
 */

#include "effects.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static void effects_options(effects_t *effects, int argc, char **argv,
    const char **path, int *prepare);
static int effects_named(int n);
static int effects_report(const effects_t *effects);


int
main(int argc, char **argv)
{
    int               prepare;
    const char       *path;
    static effects_t  effects;

    effects_options(&effects, argc, argv, &path, &prepare);

    if (!prepare && bench_events_init(&effects.events) != 0) {
        (void) fprintf(stderr, "effects: no memory for the events\n");
        return 2;
    }

    redis_connect(&effects.redis, path);

    if (prepare) {
        effects_prepare(&effects);
        return 0;
    }

    effects_verify_runs(&effects);
    effects_verify_users(&effects);

    return effects_report(&effects);
}


static void
effects_options(effects_t *effects, int argc, char **argv, const char **path,
    int *prepare)
{
    int       option;
    uint64_t  n;

    static const struct option  options[] = {
        { "redis",       required_argument, NULL, 'r' },
        { "prepare",     no_argument,       NULL, 'p' },
        { "seed",        required_argument, NULL, 's' },
        { "users",       required_argument, NULL, 'u' },
        { "recipients",  required_argument, NULL, 'm' },
        { "mix",         required_argument, NULL, 'i' },
        { "only",        required_argument, NULL, 'o' },
        { "first",       required_argument, NULL, 'f' },
        { "count",       required_argument, NULL, 'c' },
        { "users-first", required_argument, NULL, 'x' },
        { "batch",       required_argument, NULL, 'b' },
        { NULL,          0,                 NULL, 0 }
    };

    *path = NULL;
    *prepare = 0;

    effects->events.seed = 1;
    effects->events.users = 10000;
    effects->events.recipients = 1;
    effects->events.only = -1;
    effects->users_first = UINT64_MAX;
    effects->batch = 1;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {

        n = optarg ? strtoull(optarg, NULL, 10) : 0;

        switch (option) {

        case 'r':
            *path = optarg;
            break;

        case 'p':
            *prepare = 1;
            break;

        case 's':
            effects->events.seed = n;
            break;

        case 'u':
            effects->events.users = (uint32_t) n;
            break;

        case 'm':
            effects->events.recipients = (uint32_t) n;
            break;

        case 'i':
            effects->events.mix = (bench_mix_e)
                                  effects_named(bench_mix_named(optarg));
            break;

        case 'o':
            effects->events.only = effects_named(bench_kind_named(optarg));
            break;

        case 'f':
            effects->first = n;
            break;

        case 'c':
            effects->count = n;
            break;

        case 'x':
            effects->users_first = n;
            break;

        case 'b':
            effects->batch = n ? n : 1;
            break;

        default:
            exit(2);
        }
    }

    if (*path == NULL || effects->events.users == 0
        || effects->events.recipients == 0)
    {
        (void) fprintf(stderr,
"effects --redis SOCKET --prepare [--users N]\n"
"effects --redis SOCKET --first N --count N [--batch N] [--users-first N]\n"
"        [--seed N] [--users N] [--recipients N] [--mix NAME] [--only KIND]\n"
"\n"
"Stores the known users; or holds what is in Redis against the events of a\n"
"range (--users-first: which began to change users at this one), prints a JSON\n"
"object, and exits 1 if anything is not as it must be.  Kinds and mixes are\n"
"those of load --help.\n");
        exit(2);
    }

    if (effects->users_first > effects->first) {
        effects->users_first = effects->first;
    }
}


static int
effects_named(int n)
{
    if (n == -1) {
        (void) fprintf(stderr, "effects: no such kind or mix\n");
        exit(2);
    }

    return n;
}


void
effects_fault(effects_t *effects, const char *fmt, ...)
{
    va_list  args;

    if (effects->faults < EFFECTS_TOLD) {
        va_start(args, fmt);
        (void) vsnprintf(effects->told[effects->faults],
                         sizeof(effects->told[0]), fmt, args);
        va_end(args);
    }

    effects->faults++;
}


static int
effects_report(const effects_t *effects)
{
    int          n, kind;
    uint64_t     i, counts[BENCH_KINDS];
    const char  *p;

    memset(counts, 0, sizeof(counts));

    for (i = effects->users_first; i < effects->first + effects->count; i++) {
        kind = bench_kind(&effects->events, i);

        if (kind == BENCH_REPEAT) {
            continue;
        }

        for (n = 0; strcmp(bench_key(n), bench_key(kind)) != 0; n++) {
            /* void */
        }

        counts[n]++;
    }

    (void) printf("{\"catalogue\":{");

    for (n = 0, kind = 0; kind < BENCH_KINDS; kind++) {
        if (counts[kind]) {
            (void) printf("%s\"%s\":%llu", n++ ? "," : "", bench_key(kind),
                          (unsigned long long) counts[kind]);
        }
    }

    (void) printf("},\"runs\":%llu,\"users_changed\":%llu,\"faults\":%llu,"
                  "\"told\":[",
                  (unsigned long long) effects->runs,
                  (unsigned long long) effects->changed,
                  (unsigned long long) effects->faults);

    for (i = 0; i < effects->faults && i < EFFECTS_TOLD; i++) {
        (void) printf(i ? ",\"" : "\"");

        for (p = effects->told[i]; *p; p++) {
            if (*p == '"' || *p == '\\') {
                (void) putchar('\\');
            }

            if ((unsigned char) *p >= 0x20 && (unsigned char) *p < 0x7f) {
                (void) putchar(*p);
            }
        }

        (void) putchar('"');
    }

    (void) printf("]}\n");

    return effects->faults ? 1 : 0;
}

/*
 * The load generator: sends the benchmark's events over HTTP/1.1 and holds
 * every answer against what it must be.  See usage().
 */

#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int load_options(load_conf_t *conf, int argc, char **argv,
    char **print, char **runs);
static void load_set_cpu(load_conf_t *conf, char *text);
static double load_number(const char *name, const char *text);
static int load_named(const char *option, const char *text,
    int (*named)(const char *name), const char *names);
static int load_print(const bench_events_t *events, const char *ranges,
    void (*print)(const bench_events_t *, uint64_t));
static void load_print_event(const bench_events_t *events, uint64_t i);
static void load_print_run(const bench_events_t *events, uint64_t i);
static void load_report(const load_conf_t *conf, const load_result_t *result);
static void load_report_text(const char *text);


enum {
    LOAD_OPT_HOST = 256, LOAD_OPT_PORT, LOAD_OPT_PATH, LOAD_OPT_CONNECTIONS,
    LOAD_OPT_BATCH, LOAD_OPT_RATE, LOAD_OPT_SECONDS, LOAD_OPT_WARMUP,
    LOAD_OPT_TIMEOUT, LOAD_OPT_COUNT, LOAD_OPT_FIRST, LOAD_OPT_SEED,
    LOAD_OPT_USERS, LOAD_OPT_RECIPIENTS, LOAD_OPT_MIX, LOAD_OPT_ONLY,
    LOAD_OPT_AGAIN, LOAD_OPT_ANY, LOAD_OPT_CPU, LOAD_OPT_EPOLL, LOAD_OPT_PRINT, LOAD_OPT_RUNS,
    LOAD_OPT_HELP
};


static const struct option  load_long_options[] = {
    { "host",        required_argument, NULL, LOAD_OPT_HOST },
    { "port",        required_argument, NULL, LOAD_OPT_PORT },
    { "path",        required_argument, NULL, LOAD_OPT_PATH },
    { "connections", required_argument, NULL, LOAD_OPT_CONNECTIONS },
    { "batch",       required_argument, NULL, LOAD_OPT_BATCH },
    { "rate",        required_argument, NULL, LOAD_OPT_RATE },
    { "seconds",     required_argument, NULL, LOAD_OPT_SECONDS },
    { "warmup",      required_argument, NULL, LOAD_OPT_WARMUP },
    { "timeout",     required_argument, NULL, LOAD_OPT_TIMEOUT },
    { "count",       required_argument, NULL, LOAD_OPT_COUNT },
    { "first",       required_argument, NULL, LOAD_OPT_FIRST },
    { "seed",        required_argument, NULL, LOAD_OPT_SEED },
    { "users",       required_argument, NULL, LOAD_OPT_USERS },
    { "recipients",  required_argument, NULL, LOAD_OPT_RECIPIENTS },
    { "mix",         required_argument, NULL, LOAD_OPT_MIX },
    { "only",        required_argument, NULL, LOAD_OPT_ONLY },
    { "again",       no_argument,       NULL, LOAD_OPT_AGAIN },
    { "any-body",    no_argument,       NULL, LOAD_OPT_ANY },
    { "cpu",         required_argument, NULL, LOAD_OPT_CPU },
    { "epoll",       no_argument,       NULL, LOAD_OPT_EPOLL },
    { "print",       required_argument, NULL, LOAD_OPT_PRINT },
    { "runs",        required_argument, NULL, LOAD_OPT_RUNS },
    { "help",        no_argument,       NULL, LOAD_OPT_HELP },
    { NULL,          0,                 NULL, 0 }
};


static void
usage(void)
{
    (void) puts(
"load --port N --path PATH [option ...]       sends events\n"
"load --print FIRST..LAST [option ...]        prints events, a line each\n"
"load --runs FIRST..LAST [option ...]         prints runs, a line each\n"
"\n"
"  --host ADDRESS     127.0.0.1\n"
"  --connections N    kept open, a request at a time on each (64)\n"
"  --batch N          events in an array; 0, an event by itself (0)\n"
"  --rate N           requests a second, whose times count from when each was\n"
"                     due; 0, the next as soon as one is answered (0)\n"
"  --seconds N        for how long it measures (4)\n"
"  --count N          how many events instead, with no warm-up\n"
"  --warmup N         seconds of load before it measures (0)\n"
"  --timeout N        seconds without an answer after which it gives up (20)\n"
"  --first N          number of the first event (0)\n"
"  --seed N           of the events (1)\n"
"  --users N          known ones, u0000000 and on (10000)\n"
"  --recipients N     of a track to bare ids (1)\n"
"  --mix NAME         usual, flat (no object in a trait) or former (usual)\n"
"  --only KIND        bare, three, inline, identify, nested, other or page\n"
"                     instead of a mix\n"
"  --again            the events were sent before: all must be duplicates\n"
"  --any-body         looks at the status of an answer only\n"
"  --epoll            instead of io_uring, which takes less CPU\n"
"  --cpu NAME=PID,... measures the CPU of these processes\n"
"\n"
"Prints one JSON object.  Exits 1 if any answer was not as it had to be, 2 if\n"
"it could not work at all.");
}


int
main(int argc, char **argv)
{
    char                  *print, *runs;
    static load_conf_t     conf;
    static load_result_t   result;

    if (load_options(&conf, argc, argv, &print, &runs) != 0) {
        return 2;
    }

    if (bench_events_init(&conf.events) != 0) {
        (void) fprintf(stderr, "load: no memory for the events\n");
        return 2;
    }

    if (print) {
        return load_print(&conf.events, print, load_print_event);
    }

    if (runs) {
        return load_print(&conf.events, runs, load_print_run);
    }

    if (load_run(&conf, &result) != 0) {
        return 2;
    }

    load_report(&conf, &result);

    return result.ok == result.sent ? 0 : 1;
}


static int
load_options(load_conf_t *conf, int argc, char **argv, char **print,
    char **runs)
{
    int     option;
    double  n;

    conf->host = "127.0.0.1";
    conf->path = NULL;
    conf->connections = 64;
    conf->seconds = 4;
    conf->timeout = 20;
    conf->uring = 1;
    conf->events.seed = 1;
    conf->events.users = 10000;
    conf->events.recipients = 1;
    conf->events.only = -1;

    *print = NULL;
    *runs = NULL;

    while ((option = getopt_long(argc, argv, "", load_long_options, NULL))
           != -1)
    {
        n = 0;

        switch (option) {

        case LOAD_OPT_HOST:
        case LOAD_OPT_PATH:
        case LOAD_OPT_MIX:
        case LOAD_OPT_ONLY:
        case LOAD_OPT_AGAIN:
        case LOAD_OPT_ANY:
        case LOAD_OPT_EPOLL:
        case LOAD_OPT_CPU:
        case LOAD_OPT_PRINT:
        case LOAD_OPT_RUNS:
        case LOAD_OPT_HELP:
        case '?':
            break;

        default:
            n = load_number(argv[optind - 1], optarg);
        }

        switch (option) {

        case LOAD_OPT_HOST:
            conf->host = optarg;
            break;

        case LOAD_OPT_PORT:
            conf->port = (unsigned) n;
            break;

        case LOAD_OPT_PATH:
            conf->path = optarg;
            break;

        case LOAD_OPT_CONNECTIONS:
            conf->connections = (unsigned) n;
            break;

        case LOAD_OPT_BATCH:
            conf->batch = (unsigned) n;
            break;

        case LOAD_OPT_RATE:
            conf->rate = n;
            break;

        case LOAD_OPT_SECONDS:
            conf->seconds = n;
            break;

        case LOAD_OPT_WARMUP:
            conf->warmup = n;
            break;

        case LOAD_OPT_TIMEOUT:
            conf->timeout = n;
            break;

        case LOAD_OPT_COUNT:
            conf->count = (uint64_t) n;
            break;

        case LOAD_OPT_FIRST:
            conf->first = (uint64_t) n;
            break;

        case LOAD_OPT_SEED:
            conf->events.seed = (uint64_t) n;
            break;

        case LOAD_OPT_USERS:
            conf->events.users = (uint32_t) n;
            break;

        case LOAD_OPT_RECIPIENTS:
            conf->events.recipients = (uint32_t) n;
            break;

        case LOAD_OPT_MIX:
            conf->events.mix = (bench_mix_e)
                               load_named("--mix", optarg, bench_mix_named,
                                          "usual, flat or former");
            break;

        case LOAD_OPT_ONLY:
            conf->events.only = load_named("--only", optarg, bench_kind_named,
                                           "a kind of event");
            break;

        case LOAD_OPT_AGAIN:
            conf->expect = LOAD_AGAIN;
            break;

        case LOAD_OPT_ANY:
            conf->expect = LOAD_ANY;
            break;

        case LOAD_OPT_CPU:
            load_set_cpu(conf, optarg);
            break;

        case LOAD_OPT_EPOLL:
            conf->uring = 0;
            break;

        case LOAD_OPT_PRINT:
            *print = optarg;
            break;

        case LOAD_OPT_RUNS:
            *runs = optarg;
            break;

        case LOAD_OPT_HELP:
            usage();
            exit(0);

        default:
            return -1;
        }
    }

    if (conf->events.users < BENCH_THREE_COUNT
        || conf->events.users > BENCH_USERS_MAX
        || conf->events.recipients < 1
        || conf->events.recipients > BENCH_RECIPIENTS
        || conf->events.recipients > conf->events.users
        || conf->connections < 1 || conf->first >= BENCH_NUMBERS)
    {
        (void) fprintf(stderr, "load: a number is out of its range: users from "
                               "%d to %d, recipients to %d and no more than "
                               "users, at least one connection\n",
                       BENCH_THREE_COUNT, BENCH_USERS_MAX, BENCH_RECIPIENTS);
        return -1;
    }

    if (!*print && !*runs && (conf->port == 0 || conf->path == NULL)) {
        (void) fprintf(stderr, "load: where to? --port and --path are "
                               "missing (--help)\n");
        return -1;
    }

    return 0;
}


static void
load_set_cpu(load_conf_t *conf, char *text)
{
    char  *equals;

    equals = strchr(text, '=');

    if (equals == NULL || conf->ncpus == LOAD_CPUS) {
        (void) fprintf(stderr, "load: --cpu %s: NAME=PID,... at most %d "
                               "times\n", text, LOAD_CPUS);
        exit(2);
    }

    *equals = '\0';

    conf->cpus[conf->ncpus].name = text;
    conf->cpus[conf->ncpus].pids = equals + 1;
    conf->ncpus++;
}


static double
load_number(const char *name, const char *text)
{
    char    *end;
    double   n;

    n = strtod(text, &end);

    if (end == text || *end != '\0' || !(n >= 0) || n > 1e15) {
        (void) fprintf(stderr, "load: %s: not a number that it may be\n",
                       name);
        exit(2);
    }

    return n;
}


static int
load_named(const char *option, const char *text,
    int (*named)(const char *name), const char *names)
{
    int  n;

    n = named(text);

    if (n == -1) {
        (void) fprintf(stderr, "load: %s %s: not %s (--help)\n", option, text,
                       names);
        exit(2);
    }

    return n;
}


static int
load_print(const bench_events_t *events, const char *ranges,
    void (*print)(const bench_events_t *, uint64_t))
{
    char        *end;
    uint64_t     i, last;
    const char  *p;

    for (p = ranges; *p; p = *end == ',' ? end + 1 : end) {

        i = strtoull(p, &end, 10);
        last = i;

        if (end != p && strncmp(end, "..", 2) == 0) {
            last = strtoull(end + 2, &end, 10);
        }

        if (end == p || (*end != '\0' && *end != ',')
            || last >= BENCH_NUMBERS)
        {
            (void) fprintf(stderr, "load: \"%s\": FIRST..LAST, two numbers, "
                                   "or several of these with commas\n",
                           ranges);
            return 2;
        }

        for (/* void */ ; i <= last; i++) {
            print(events, i);
        }
    }

    return fflush(stdout) == 0 ? 0 : 2;
}


static void
load_print_event(const bench_events_t *events, uint64_t i)
{
    bench_template_t  *t;

    if (bench_kind(events, i) == BENCH_REPEAT) {
        i = bench_original(events, i);
    }

    t = bench_template(events, i);
    bench_fill(events, i, t, t->text);

    (void) fwrite(t->text, 1, t->len, stdout);
    (void) putchar('\n');
}


/* As an event's run stands in Redis; the ids are only shaped like them. */

static void
load_print_run(const bench_events_t *events, uint64_t i)
{
    char               message[BENCH_MESSAGE_SIZE], time[BENCH_TIME_SIZE];
    char               target[BENCH_ID_SIZE], actor[BENCH_ID_SIZE];
    uint32_t           n, runs;
    bench_template_t  *t;

    runs = bench_runs(events, i);

    if (runs == 0) {
        return;
    }

    t = bench_template(events, i);
    bench_fill(events, i, t, t->text);

    bench_message_id(events, i, message);
    bench_timestamp(i, time);
    bench_user_id(bench_actor(events, i), actor);

    for (n = 0; n < runs; n++) {
        bench_user_id(bench_target(events, i, n), target);

        (void) printf("{\"id\":\"%08x-5a54-5e8e-8c0b-%012llu\","
                      "\"trigger_id\":\"00000000-5a54-5e8e-9c0b-%012llu\","
                      "\"workflow\":\"" BENCH_WORKFLOW "\","
                      "\"environment\":\"" BENCH_ENVIRONMENT "\","
                      "\"source\":\"" BENCH_SOURCE "\","
                      "\"event\":\"track/" BENCH_EVENT "\","
                      "\"message_id\":\"%s\",\"action\":\"" BENCH_ACTION "\","
                      "\"recipient\":{\"collection\":\"$users\",\"id\":\"%s\"},"
                      "\"actor\":{\"collection\":\"$users\",\"id\":\"%s\"},"
                      "\"tenant\":\"%s\",\"cancellation_key\":\"c%012llu\","
                      "\"data\":%.*s,\"timestamp\":\"%s\","
                      "\"enqueued_at\":\"%s\",\"test\":false}\n",
                      n, (unsigned long long) i, (unsigned long long) i,
                      message, target, actor, t->org, (unsigned long long) i,
                      (int) t->properties_len, t->text + t->properties, time,
                      time);
    }
}


static void
load_report(const load_conf_t *conf, const load_result_t *result)
{
    int       comma;
    unsigned  i;
    double    events;

    events = result->done ? (double) result->done : 1;

    (void) printf("{\"first\":%llu,\"last\":%lld,\"sent\":%llu,"
                  "\"ok\":%llu,\"wrong\":%llu,\"lost\":%llu,\"other\":{",
                  (unsigned long long) conf->first,
                  (long long) result->next - 1,
                  (unsigned long long) result->sent,
                  (unsigned long long) result->ok,
                  (unsigned long long) result->wrong,
                  (unsigned long long) result->lost);

    comma = 0;

    for (i = 0; i < LOAD_STATUSES; i++) {
        if (i != 200 && result->statuses[i]) {
            (void) printf("%s\"%u\":%llu", comma ? "," : "", i,
                          (unsigned long long) result->statuses[i]);
            comma = 1;
        }
    }

    (void) printf("},\"seconds\":%.6f,\"requests\":%llu,\"events\":%llu,"
                  "\"events_per_second\":%.1f,\"requests_per_second\":%.1f,",
                  result->time, (unsigned long long) result->requests,
                  (unsigned long long) result->done,
                  (double) result->done / result->time,
                  (double) result->requests / result->time);

    (void) printf("\"latency_us\":{\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,"
                  "\"p99.9\":%.2f,\"max\":%.2f},\"cpu_us_per_event\":{",
                  (double) bench_hist_at(&result->hist, 0.5) / 1000,
                  (double) bench_hist_at(&result->hist, 0.9) / 1000,
                  (double) bench_hist_at(&result->hist, 0.99) / 1000,
                  (double) bench_hist_at(&result->hist, 0.999) / 1000,
                  (double) result->hist.max / 1000);

    for (i = 0; i < conf->ncpus; i++) {
        (void) printf("\"%s\":%.4f,", conf->cpus[i].name,
                      (double) (conf->cpus[i].end - conf->cpus[i].begin)
                      / 1000 / events);
    }

    (void) printf("\"load\":%.4f},\"first_bad\":",
                  result->own * 1000000 / events);

    load_report_text(result->first_bad);

    (void) printf("}\n");
}


static void
load_report_text(const char *text)
{
    if (*text == '\0') {
        (void) printf("null");
        return;
    }

    (void) putchar('"');

    for (/* void */ ; *text; text++) {

        if (*text == '"' || *text == '\\') {
            (void) printf("\\%c", *text);

        } else if ((unsigned char) *text < 0x20
                   || (unsigned char) *text > 0x7e)
        {
            (void) printf("\\u%04x", (unsigned char) *text);

        } else {
            (void) putchar(*text);
        }
    }

    (void) putchar('"');
}

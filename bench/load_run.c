
#define _GNU_SOURCE

#include "load_run.h"

#include <arpa/inet.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>


static int load_start(load_t *load);
static int load_loop(load_t *load);
static void load_tick(load_t *load, uint64_t now);
static void load_begin(load_t *load, uint64_t now);
static void load_end(load_t *load, uint64_t now);
static int64_t load_fill_idle(load_t *load, uint64_t now);


int
load_run(load_conf_t *conf, load_result_t *result)
{
    int      rc;
    load_t   load;

    memset(&load, 0, sizeof(load_t));

    load.conf = conf;
    load.result = result;
    result->next = conf->first;

    /* a timer that comes 50 us late, as they do by default, would show */

    (void) prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);

    if (load_start(&load) != 0) {
        return -1;
    }

    rc = load_loop(&load);

    if (load.measuring) {
        load_end(&load, load_now());
    }

    if (result->time <= 0) {
        result->time = 1e-9;
    }

    return rc;
}


uint64_t
load_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


uint64_t
load_cpu(const char *pids)
{
    FILE      *file;
    char      *end, pattern[64], line[128];
    long       pid;
    glob_t     tasks;
    size_t     i;
    uint64_t   ns;

    ns = 0;

    while (*pids) {
        pid = strtol(pids, &end, 10);

        if (end == pids) {
            break;
        }

        pids = *end == ',' ? end + 1 : end;

        (void) snprintf(pattern, sizeof(pattern),
                        "/proc/%ld/task/*/schedstat", pid);

        if (glob(pattern, GLOB_NOSORT, NULL, &tasks) != 0) {
            continue;
        }

        for (i = 0; i < tasks.gl_pathc; i++) {
            file = fopen(tasks.gl_pathv[i], "re");
            if (file == NULL) {
                continue;
            }

            if (fgets(line, sizeof(line), file)) {
                ns += strtoull(line, NULL, 10);
            }

            (void) fclose(file);
        }

        globfree(&tasks);
    }

    return ns;
}


int
load_free(load_t *load, load_conn_t *c)
{
    c->state = LOAD_IDLE;

    if (!load->stopped && load->interval == 0
        && !(load->total && load->result->sent == load->total)
        && load->last < load->end)
    {
        return load_next(load, c, load_now());
    }

    load->idle[load->nidle++] = c;

    return 0;
}


static int
load_start(load_t *load)
{
    unsigned      n;
    load_conf_t  *conf;

    conf = load->conf;

    load->addr.sin_family = AF_INET;
    load->addr.sin_port = htons((uint16_t) conf->port);

    if (inet_pton(AF_INET, conf->host, &load->addr.sin_addr) != 1) {
        (void) fprintf(stderr, "load: --host %s: an IPv4 address\n",
                       conf->host);
        return -1;
    }

    if (load_conns_open(load) != 0) {
        return -1;
    }

    if (conf->rate > 0) {
        load->interval = 1e9 / conf->rate;
        load->total = (uint64_t) (conf->rate
                                  * (conf->warmup + conf->seconds));
    }

    if (conf->count) {
        n = conf->batch ? conf->batch : 1;
        load->total = (conf->count + n - 1) / n;
    }

    load->start = load_now();
    load->last = load->start;
    load->begin = load->start;
    load->end = UINT64_MAX;

    if (!conf->count) {
        load->begin += (uint64_t) (conf->warmup * 1e9);

        if (!load->total) {
            load->end = load->begin + (uint64_t) (conf->seconds * 1e9);
        }
    }

    return 0;
}


static int
load_loop(load_t *load)
{
    int64_t   wait;
    uint64_t  now;
    unsigned  busy;

    for ( ;; ) {
        now = load_now();

        load_tick(load, now);

        wait = load_fill_idle(load, now);

        if (wait == -1) {
            return -1;
        }

        busy = load->conf->connections - load->nidle;

        if (load->stopped && busy == 0) {

            /* it may be the last answer that has ended the time */

            load_tick(load, load_now());
            return 0;
        }

        if (load_conns_wait(load, wait) != 0) {
            return -1;
        }

        now = load_now();
        busy = load->conf->connections - load->nidle;

        if (busy > 0
            && (double) (now - load->last) > load->conf->timeout * 1e9)
        {
            load->result->lost += busy;

            if (load->result->first_bad[0] == '\0') {
                (void) snprintf(load->result->first_bad,
                                sizeof(load->result->first_bad),
                                "%u requests had no answer in %.0f s",
                                busy, load->conf->timeout);
            }

            return 0;
        }
    }
}


static void
load_tick(load_t *load, uint64_t now)
{
    if (!load->measuring && load->result->time == 0 && now >= load->begin) {
        load_begin(load, now);
    }

    if (now >= load->end) {
        load->stopped = 1;
    }

    /* in a closed loop when the time is over, else with the last answer */

    if (load->measuring && load->stopped
        && (!load->total || load->nidle == load->conf->connections))
    {
        load_end(load, load->total ? load->last : now);
    }
}


static void
load_begin(load_t *load, uint64_t now)
{
    unsigned      i;
    load_conf_t  *conf;

    conf = load->conf;

    for (i = 0; i < conf->ncpus; i++) {
        conf->cpus[i].begin = load_cpu(conf->cpus[i].pids);
    }

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &load->own_begin);

    load->measuring = 1;

    /* the reading of /proc took a moment */

    if (!load->total) {
        load->begin = load_now();
        load->end += load->begin - now;
    }
}


static void
load_end(load_t *load, uint64_t now)
{
    unsigned          i;
    load_conf_t      *conf;
    struct timespec   ts;

    conf = load->conf;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    for (i = 0; i < conf->ncpus; i++) {
        conf->cpus[i].end = load_cpu(conf->cpus[i].pids);
    }

    load->result->own = (double) (ts.tv_sec - load->own_begin.tv_sec)
                        + (double) (ts.tv_nsec - load->own_begin.tv_nsec)
                          / 1e9;
    load->result->time = (double) (now - load->begin) / 1e9;
    load->measuring = 0;
}


/*
 * Gives what is due to the connections that are free.  Gives how long to wait
 * for what is due next, ns; -1 if it failed.
 */

static int64_t
load_fill_idle(load_t *load, uint64_t now)
{
    uint64_t  due;

    while (!load->stopped) {

        if (load->total && load->result->sent == load->total) {
            load->stopped = 1;
            break;
        }

        due = now;

        if (load->interval > 0) {
            due = load->start + (uint64_t) ((double) load->result->sent
                                            * load->interval);

            if (due > now) {
                now = load_now();

                if (due > now) {
                    return (int64_t) (due - now);
                }
            }
        }

        if (load->nidle == 0) {
            break;
        }

        if (load_next(load, load->idle[--load->nidle], due) != 0) {
            return -1;
        }
    }

    if (load->end != UINT64_MAX && !load->stopped && load->end > now
        && load->end - now < 100000000)
    {
        return (int64_t) (load->end - now);
    }

    return 100000000;
}

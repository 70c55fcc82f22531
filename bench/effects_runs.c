/*
 * The runs: each must say what its event says, and all together must be those
 * of all events, each once.
 */

#include "effects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define EFFECTS_PAGE  1000

/* the members of a run, each of which must be there once */

enum {
    RUN_ID = 0, RUN_TRIGGER_ID, RUN_WORKFLOW, RUN_ENVIRONMENT, RUN_SOURCE,
    RUN_EVENT, RUN_MESSAGE_ID, RUN_ACTION, RUN_RECIPIENT, RUN_ACTOR,
    RUN_TENANT, RUN_CANCELLATION_KEY, RUN_DATA, RUN_TIMESTAMP,
    RUN_ENQUEUED_AT, RUN_TEST, RUN_MEMBERS
};


static const char  *run_members[RUN_MEMBERS] = {
    "id", "trigger_id", "workflow", "environment", "source", "event",
    "message_id", "action", "recipient", "actor", "tenant",
    "cancellation_key", "data", "timestamp", "enqueued_at", "test"
};


typedef struct {
    uint64_t  high;
    uint64_t  low;
} uuid_t;


typedef struct {
    uint64_t  expected;
    uint8_t  *seen;             /* a bit for each recipient of each event */
    uuid_t   *ids;
    uuid_t   *triggers;         /* of each event */
    uint64_t *latest;           /* of each array, the event that came last */
} runs_t;


static uint64_t effects_recipients(const effects_t *effects);
static void effects_verify_run(effects_t *effects, runs_t *runs,
    json_slice_t text);
static int effects_members(json_slice_t text, json_slice_t *members);
static int effects_number(effects_t *effects, json_slice_t message_id,
    uint64_t *i);
static int effects_entity(json_slice_t value, char *id);
static const char *effects_compare(effects_t *effects, uint64_t i,
    const json_slice_t *members);
static const char *effects_place(effects_t *effects, runs_t *runs, uint64_t i,
    const json_slice_t *members);
static int effects_uuid(json_slice_t value, uuid_t *uuid);
static int effects_uuid_cmp(const void *one, const void *two);
static uint64_t effects_distinct(uuid_t *uuids, uint64_t n);
static void *effects_alloc(uint64_t n, size_t size);


void
effects_verify_runs(effects_t *effects)
{
    runs_t         runs;
    int64_t        len, n;
    uint64_t       i, k, per, bit, events, got, last, number, triggers;
    json_slice_t   text;
    char           from[32], to[32];

    memset(&runs, 0, sizeof(runs_t));

    per = effects_recipients(effects);
    events = 0;

    for (i = 0; i < effects->count; i++) {
        k = bench_runs(&effects->events, effects->first + i);
        runs.expected += k;
        events += k > 0;
    }

    runs.seen = effects_alloc(effects->count * per / 8 + 1, 1);
    runs.ids = effects_alloc(runs.expected + 1, sizeof(uuid_t));
    runs.triggers = effects_alloc(effects->count + 1, sizeof(uuid_t));
    runs.latest = effects_alloc(effects->count / effects->batch + 1,
                                sizeof(uint64_t));

    redis_add(&effects->redis, "LLEN", BENCH_TAG "runs", (char *) NULL);
    redis_flush(&effects->redis);
    len = redis_reply(&effects->redis, NULL);

    if ((uint64_t) len != runs.expected) {
        effects_fault(effects, "there are %lld runs where there must be %llu",
                      (long long) len, (unsigned long long) runs.expected);
    }

    for (got = 0; got < (uint64_t) len; got += EFFECTS_PAGE) {
        last = got + EFFECTS_PAGE - 1;

        (void) snprintf(from, sizeof(from), "%llu", (unsigned long long) got);
        (void) snprintf(to, sizeof(to), "%llu",
                        (unsigned long long) last);

        redis_add(&effects->redis, "LRANGE", BENCH_TAG "runs", from, to,
                  (char *) NULL);
        redis_flush(&effects->redis);

        for (n = redis_reply(&effects->redis, NULL); n > 0; n--) {
            (void) redis_reply(&effects->redis, &text);
            effects_verify_run(effects, &runs, text);
        }
    }

    for (i = 0; i < effects->count; i++) {
        n = bench_runs(&effects->events, effects->first + i);

        for (k = 0; k < (uint64_t) n; k++) {
            bit = i * per + k;

            if (!(runs.seen[bit / 8] & 1 << bit % 8)) {
                number = effects->first + i;
                effects_fault(effects, "event %llu has no run for its "
                              "recipient %llu", (unsigned long long) number,
                              (unsigned long long) k);
            }
        }
    }

    if (effects->faults) {
        return;
    }

    if (effects_distinct(runs.ids, effects->runs) != effects->runs) {
        effects_fault(effects, "two runs have the same id");
    }

    /* events without a run have an empty one in common */

    triggers = effects_distinct(runs.triggers, effects->count);

    if (triggers != events + (events < effects->count)) {
        effects_fault(effects, "two events have the same trigger_id");
    }

    free(runs.seen);
    free(runs.ids);
    free(runs.triggers);
    free(runs.latest);
}


/* The most that an event has. */

static uint64_t
effects_recipients(const effects_t *effects)
{
    return effects->events.recipients > BENCH_THREE_COUNT
           ? effects->events.recipients : BENCH_THREE_COUNT;
}


static void
effects_verify_run(effects_t *effects, runs_t *runs, json_slice_t text)
{
    uint64_t       i;
    const char    *fault;
    json_slice_t   members[RUN_MEMBERS];

    i = 0;
    fault = NULL;

    if (effects_members(text, members) != 0) {
        fault = "does not have the members of a run";

    } else if (effects_number(effects, members[RUN_MESSAGE_ID], &i) != 0) {
        fault = "has a message_id that was not sent";

    } else if (bench_runs(&effects->events, i) == 0) {
        fault = "is of an event that has none";

    } else {
        fault = effects_compare(effects, i, members);

        if (fault == NULL) {
            fault = effects_place(effects, runs, i, members);
        }
    }

    if (fault) {
        effects_fault(effects, "a run %s: %.*s", fault,
                      (int) (text.len < 180 ? text.len : 180), text.data);
        return;
    }

    effects->runs++;
}


/* Finds the members of a run; -1 if they are not just those of a run. */

static int
effects_members(json_slice_t text, json_slice_t *members)
{
    int           rc, n, i;
    json_slice_t  key, value;

    memset(members, 0, RUN_MEMBERS * sizeof(json_slice_t));

    n = 0;

    for ( ;; ) {
        rc = json_member(&text, &key, &value);

        if (rc != 1) {
            return rc == 0 && n == RUN_MEMBERS ? 0 : -1;
        }

        for (i = 0; i < RUN_MEMBERS; i++) {
            if (members[i].data == NULL && json_is_string(key, run_members[i]))
            {
                break;
            }
        }

        if (i == RUN_MEMBERS) {
            return -1;
        }

        members[i] = value;
        n++;
    }
}


/* The event's number in a message id, if such an event was sent. */

static int
effects_number(effects_t *effects, json_slice_t message_id, uint64_t *i)
{
    char  id[BENCH_MESSAGE_SIZE], want[BENCH_MESSAGE_SIZE];

    if (json_string(message_id, id, sizeof(id)) != 0
        || strlen(id) < BENCH_NUMBER_WIDTH)
    {
        return -1;
    }

    *i = strtoull(id + strlen(id) - BENCH_NUMBER_WIDTH, NULL, 10);

    bench_message_id(&effects->events, *i, want);

    return strcmp(id, want) == 0 && *i >= effects->first
           && *i < effects->first + effects->count
           ? 0 : -1;
}


/* The id of a user in a run. */

static int
effects_entity(json_slice_t value, char *id)
{
    int           n, rc;
    json_slice_t  key, member;

    n = 0;
    id[0] = '\0';

    while ((rc = json_member(&value, &key, &member)) == 1) {
        n++;

        if (json_is_string(key, "collection")) {
            if (!json_is_string(member, "$users")) {
                return -1;
            }

        } else if (!json_is_string(key, "id")
                   || json_string(member, id, BENCH_ID_SIZE + 4) != 0)
        {
            return -1;
        }
    }

    return rc == 0 && n == 2 ? 0 : -1;
}


/* What of a run is not as its event says, if anything. */

static const char *
effects_compare(effects_t *effects, uint64_t i, const json_slice_t *members)
{
    char               id[BENCH_ID_SIZE + 4], actor[BENCH_ID_SIZE];
    char               time[BENCH_TIME_SIZE], comment[32];
    unsigned           k;
    bench_template_t  *t;

    static const struct {
        int          member;
        const char  *text;
    } always[] = {
        { RUN_WORKFLOW,    BENCH_WORKFLOW },
        { RUN_ENVIRONMENT, BENCH_ENVIRONMENT },
        { RUN_SOURCE,      BENCH_SOURCE },
        { RUN_EVENT,       "track/" BENCH_EVENT },
        { RUN_ACTION,      BENCH_ACTION }
    };

    for (k = 0; k < sizeof(always) / sizeof(always[0]); k++) {
        if (!json_is_string(members[always[k].member], always[k].text)) {
            return "has a wrong workflow, environment, source, event or "
                   "action";
        }
    }

    t = bench_template(&effects->events, i);

    bench_user_id(bench_actor(&effects->events, i), actor);
    bench_timestamp(i, time);
    (void) snprintf(comment, sizeof(comment), "c%012llu",
                    (unsigned long long) i);

    if (effects_entity(members[RUN_ACTOR], id) != 0
        || strcmp(id, actor) != 0)
    {
        return "has another actor than its event";
    }

    if (!json_is_string(members[RUN_TENANT], t->org)) {
        return "has another tenant than its event";
    }

    if (!json_is_string(members[RUN_CANCELLATION_KEY], comment)) {
        return "has another cancellation_key than its event";
    }

    if (!json_is_string(members[RUN_TIMESTAMP], time)) {
        return "has another timestamp than its event";
    }

    if (json_string(members[RUN_ENQUEUED_AT], time, sizeof(time)) != 0
        || strlen(time) < 20 || time[10] != 'T')
    {
        return "has no time in enqueued_at";
    }

    if (members[RUN_DATA].len < 2 || members[RUN_DATA].data[0] != '{') {
        return "has no object in data";
    }

    if (members[RUN_TEST].len != 5
        || memcmp(members[RUN_TEST].data, "false", 5) != 0)
    {
        return "claims to be a test's";
    }

    return NULL;
}


/* Whether a run is one that its event has, and is there for the first time. */

static const char *
effects_place(effects_t *effects, runs_t *runs, uint64_t i,
    const json_slice_t *members)
{
    char       id[BENCH_ID_SIZE + 4], want[BENCH_ID_SIZE];
    uuid_t     trigger;
    uint32_t   k, n;
    uint64_t   bit, *latest;

    n = bench_runs(&effects->events, i);

    if (effects_entity(members[RUN_RECIPIENT], id) != 0) {
        return "has no user for a recipient";
    }

    for (k = 0; k < n; k++) {
        bench_user_id(bench_target(&effects->events, i, k), want);

        if (strcmp(id, want) == 0) {
            break;
        }
    }

    if (k == n) {
        return "has a recipient whom its event does not name";
    }

    i -= effects->first;
    bit = i * effects_recipients(effects) + k;

    if (runs->seen[bit / 8] & 1 << bit % 8) {
        return "is there twice";
    }

    runs->seen[bit / 8] |= (uint8_t) (1 << bit % 8);

    if (effects_uuid(members[RUN_ID], &runs->ids[effects->runs]) != 0
        || effects_uuid(members[RUN_TRIGGER_ID], &trigger) != 0)
    {
        return "has an id or trigger_id that is no uuid";
    }

    if (runs->triggers[i].high == 0) {
        runs->triggers[i] = trigger;

    } else if (effects_uuid_cmp(&runs->triggers[i], &trigger) != 0) {
        return "has another trigger_id than another of its event";
    }

    latest = &runs->latest[i / effects->batch];

    if (*latest > i) {
        return "stands behind one of a later event of the same array";
    }

    *latest = i;

    return NULL;
}


static int
effects_uuid(json_slice_t value, uuid_t *uuid)
{
    int         i, digits;
    char        c;
    uint64_t    half[2];

    if (value.len != 38) {
        return -1;
    }

    half[0] = 0;
    half[1] = 0;
    digits = 0;

    for (i = 1; i < 37; i++) {
        c = value.data[i];

        if (i == 9 || i == 14 || i == 19 || i == 24) {
            if (c != '-') {
                return -1;
            }

            continue;
        }

        if (c >= '0' && c <= '9') {
            c = (char) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            c = (char) (c - 'a' + 10);

        } else {
            return -1;
        }

        half[digits / 16] = half[digits / 16] << 4 | (uint64_t) c;
        digits++;
    }

    uuid->high = half[0];
    uuid->low = half[1];

    return 0;
}


static int
effects_uuid_cmp(const void *one, const void *two)
{
    const uuid_t  *a, *b;

    a = one;
    b = two;

    if (a->high != b->high) {
        return a->high < b->high ? -1 : 1;
    }

    return a->low == b->low ? 0 : a->low < b->low ? -1 : 1;
}


static uint64_t
effects_distinct(uuid_t *uuids, uint64_t n)
{
    uint64_t  i, distinct;

    qsort(uuids, n, sizeof(uuid_t), effects_uuid_cmp);

    distinct = n > 0;

    for (i = 1; i < n; i++) {
        distinct += effects_uuid_cmp(&uuids[i - 1], &uuids[i]) != 0;
    }

    return distinct;
}


static void *
effects_alloc(uint64_t n, size_t size)
{
    void  *p;

    p = calloc(n, size);

    if (p == NULL) {
        (void) fprintf(stderr, "effects: no memory\n");
        exit(2);
    }

    return p;
}

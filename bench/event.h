/*
 * The events of the benchmark.  Event number i is a pure function of a seed
 * and i, so that who sends it and who looks for its effects need no list.
 * The one exception is a repeat: it sends an earlier event once more, and has
 * no effect whichever that is.
 *
 * Texts come from a fixed number of templates, made once, with holes of a
 * fixed width for what differs between two events of the same template: the
 * event's number, the time of day, users.  An event costs its sender only the
 * filling of these.
 */

#ifndef BENCH_EVENT_H
#define BENCH_EVENT_H


#include <stddef.h>
#include <stdint.h>


#define BENCH_ENVIRONMENT   "development"
#define BENCH_SOURCE        "segment"
#define BENCH_ACTION        "comment-created"
#define BENCH_WORKFLOW      "new-comment"
#define BENCH_EVENT         "Comment Created"
#define BENCH_OTHER_EVENT   "Document Opened"   /* has no action */
#define BENCH_TAG           "knock:{" BENCH_ENVIRONMENT "}:"

#define BENCH_TEMPLATES     1024    /* of each kind */
#define BENCH_NUMBER_WIDTH  12      /* digits of an event's number */
#define BENCH_USER_WIDTH    7       /* digits of a user's id */
#define BENCH_TIME_WIDTH    12      /* HH:MM:SS.mmm */
#define BENCH_DATE          "2026-06-15T"
#define BENCH_NUMBERS       1000000000000ULL
#define BENCH_USERS_MAX     10000000
#define BENCH_RECIPIENTS    1000
#define BENCH_THREE_COUNT   3
#define BENCH_CYCLE         20      /* a mix repeats itself after so many */
#define BENCH_ID_SIZE       9       /* "u0000000" and its end */
#define BENCH_MESSAGE_SIZE  64
#define BENCH_TIME_SIZE     32
#define BENCH_HEAD_ROOM     512     /* for a request's head before its body */


typedef enum {
    BENCH_BARE = 0,                 /* a track to known users' bare ids */
    BENCH_THREE,                    /* ... to three of them */
    BENCH_INLINE,                   /* a track that identifies its recipient */
    BENCH_IDENTIFY,
    BENCH_NESTED,                   /* an identify with objects in its traits */
    BENCH_OTHER,                    /* a track that no action is for */
    BENCH_PAGE,                     /* likewise */
    BENCH_KINDS,
    BENCH_REPEAT = BENCH_KINDS      /* an earlier event, once more */
} bench_kind_e;


typedef enum {
    BENCH_USUAL = 0,                /* what is sent to users of the module */
    BENCH_FLAT,                     /* ... with no object in any trait */
    BENCH_FORMER,                   /* what was measured before there was one */
    BENCH_MIXES
} bench_mix_e;


/* what goes into a hole; an edge is none, but where properties begin or end */

enum {
    BENCH_NUMBER = 1, BENCH_TIME, BENCH_ACTOR, BENCH_TARGET, BENCH_EDGE
};


typedef struct {
    uint32_t             offset;
    uint16_t             what;
    uint16_t             index;     /* which of the recipients */
} bench_hole_t;


typedef struct {
    char                *text;
    size_t               len;
    size_t               properties;    /* offset; 0 in an identify */
    size_t               properties_len;

    bench_hole_t        *holes;
    size_t               nholes;

    /* what the effects of an event are told by */

    const char          *first;
    const char          *last;
    const char          *plan;
    const char          *company;
    const char          *title;
    const char          *timezone;
    const char          *locale;
    const char          *tags;
    char                 name[64];
    char                 created[BENCH_TIME_SIZE];
    char                 org[16];
    char                 employer[160];     /* the object in `company` */
    char                 address[160];      /* up to its number */
    unsigned             seats;
} bench_template_t;


typedef struct {
    uint64_t             seed;
    uint32_t             users;         /* known ones: u0000000 and on */
    uint32_t             recipients;    /* of a track to bare ids */
    int                  only;          /* a kind, or -1 for the mix */
    bench_mix_e          mix;
    size_t               longest;       /* of the templates' texts */
    bench_template_t    *templates[BENCH_KINDS];
} bench_events_t;


/* Makes the templates; -1 if there is no memory. */
int bench_events_init(bench_events_t *events);

/* The kind, or the mix, of a name; -1 if there is none. */
int bench_kind_named(const char *name);
int bench_mix_named(const char *name);

bench_kind_e bench_kind(const bench_events_t *events, uint64_t i);

/* Of a kind: the event's key in the catalogue, and whether it stores a user. */
const char *bench_key(bench_kind_e kind);
int bench_stores(bench_kind_e kind);

/* The event that a repeat is of, if that was answered by then. */
uint64_t bench_original(const bench_events_t *events, uint64_t i);

/* Not of a repeat. */
bench_template_t *bench_template(const bench_events_t *events, uint64_t i);

/* The recipient `index`, or the user who is identified. */
uint32_t bench_target(const bench_events_t *events, uint64_t i,
    uint32_t index);
uint32_t bench_actor(const bench_events_t *events, uint64_t i);

/* How many runs an event gives. */
uint32_t bench_runs(const bench_events_t *events, uint64_t i);

/* Fills the holes of a copy of the template's text, or of the text itself. */
void bench_fill(const bench_events_t *events, uint64_t i,
    const bench_template_t *t, char *text);

/* Parts of an event, as strings. */
void bench_message_id(const bench_events_t *events, uint64_t i, char *id);
void bench_timestamp(uint64_t i, char *time);
void bench_user_id(uint32_t user, char *id);

/* A number's random bits (splitmix64). */
uint64_t bench_mix(uint64_t x);


#endif /* BENCH_EVENT_H */

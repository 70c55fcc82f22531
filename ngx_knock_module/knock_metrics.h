
/*
 * The metrics: one table of them, the numbers that a worker keeps for it, and
 * the text that Prometheus reads.  docs/metrics.md documents the same table.
 *
 * A number is a cell.  A metric has as many cells, one behind the other, as
 * its labels have values; the cells of all metrics make one array.  Where
 * that stands, who counts and what is added up is none of this file's
 * business.
 */

#ifndef KNOCK_METRICS_H
#define KNOCK_METRICS_H


#include "knock_buf.h"
#include "knock_error.h"
#include "knock_event.h"
#include "knock_unit.h"


#define KNOCK_METRICS_TYPES     6       /* as knock_event_type_e */
#define KNOCK_METRICS_OUTCOMES  4
#define KNOCK_METRICS_CODES     23      /* HTTP statuses, the last: others */
#define KNOCK_METRICS_BUCKETS   17      /* the last: +Inf */


/* X(name, metric, type, labels, cells, help) */

#define KNOCK_METRICS_TABLE(X)                                               \
    X(EVENTS, "knock_events_total", COUNTER, EVENT,                          \
      KNOCK_METRICS_TYPES * KNOCK_METRICS_OUTCOMES,                          \
      "Events that Redis has taken a decision on.")                          \
    X(RUNS, "knock_runs_total", COUNTER, NONE, 1,                            \
      "Workflow runs put on the lists of runs.")                             \
    X(REQUESTS, "knock_requests_total", COUNTER, CODE, KNOCK_METRICS_CODES,  \
      "Answers of knock_webhook, by HTTP status; 499: the sender had gone.") \
    X(API_REQUESTS, "knock_api_requests_total", COUNTER, CODE,               \
      KNOCK_METRICS_CODES,                                                   \
      "Answers of knock_api, by HTTP status; 499: the client had gone.")     \
    X(ERRORS, "knock_errors_total", COUNTER, ERROR, KNOCK_E_COUNT,           \
      "Errors answered, by code: of whole requests and of single events.")   \
    X(CALL, "knock_redis_call_seconds", HISTOGRAM, NONE,                     \
      KNOCK_METRICS_BUCKETS + 1,                                             \
      "Time from sending a call of knock_apply to its reply.")               \
    X(UP, "knock_redis_up", GAUGE, NONE, 1,                                  \
      "1 if the worker that answers has just had its replies from Redis.")       \
    X(CONNECTIONS, "knock_redis_connections", GAUGE, NONE, 1,                \
      "Connections to Redis that are ready for commands.")                                \
    X(CONNECTS, "knock_redis_connects_total", COUNTER, NONE, 1,              \
      "Attempts to connect to Redis.")                                       \
    X(FAILURES, "knock_redis_failures_total", COUNTER, NONE, 1,              \
      "Attempts that failed, and connections lost.")                         \
    X(RECONNECTS, "knock_redis_reconnects_total", COUNTER, NONE, 1,          \
      "Connections made after a failure.")                                   \
    X(TIMEOUTS, "knock_redis_timeouts_total", COUNTER, NONE, 1,              \
      "Connections closed because a reply did not come in time.")            \
    X(COMMANDS, "knock_redis_commands_total", COUNTER, NONE, 1,              \
      "Commands accepted to be sent to Redis.")                              \
    X(REFUSED, "knock_redis_refused_total", COUNTER, NONE, 1,                \
      "Commands refused: Redis is away, or too much waits for it.")          \
    X(REPLY_ERRORS, "knock_redis_error_replies_total", COUNTER, NONE, 1,     \
      "Commands that Redis answered with an error.")                         \
    X(LOST, "knock_redis_lost_total", COUNTER, NONE, 1,                      \
      "Commands without a reply: the connection went away.")                 \
    X(LOADS, "knock_redis_library_loads_total", COUNTER, NONE, 1,            \
      "Times that the function library was loaded into Redis.")              \
    X(STRAYS, "knock_redis_strays_total", COUNTER, NONE, 1,                  \
      "Replies that came unasked for.")                                      \
    X(IN_FLIGHT, "knock_in_flight", GAUGE, NONE, 1,                          \
      "Requests whose body is here and whose answer is not.")                \
    X(PENDING_COMMANDS, "knock_pending_commands", GAUGE, NONE, 1,            \
      "Commands that wait to be sent to Redis or answered by it.")           \
    X(PENDING_BYTES, "knock_pending_bytes", GAUGE, NONE, 1,                  \
      "Bytes of these commands.")                                            \
    X(BODY_BYTES, "knock_body_bytes", GAUGE, NONE, 1,                        \
      "Bytes of the bodies of the requests in flight.")                      \
    X(WORKERS, "knock_workers", GAUGE, NONE, 1,                              \
      "Worker processes, those included that are shutting down.")            \
    X(QUEUE, "knock_queue_length", GAUGE, ENVIRONMENT, 0,                    \
      "Runs on the list of an environment that no consumer has taken.")


/* the first cell of each metric, and the number of all cells */

typedef enum {
#define KNOCK_METRICS_CELL(name, metric, type, labels, cells, help)          \
    KNOCK_CELL_##name, KNOCK_CELL_##name##_LAST                              \
                           = KNOCK_CELL_##name + (cells) - 1,
    KNOCK_METRICS_TABLE(KNOCK_METRICS_CELL)
#undef KNOCK_METRICS_CELL
    KNOCK_CELL_COUNT
} knock_cell_e;


/* how many runs wait in an environment */

typedef struct {
    knock_str_t  environment;
    uint64_t     length;
} knock_queue_length_t;


/* a number that differs wherever the cells of another table would not fit */
uint32_t knock_metrics_layout(void);

/* the cell of knock_events_total for an event of this type and outcome */
size_t knock_metrics_event(knock_event_type_e type, knock_status_e status);

/* the place of an HTTP status among the cells of a metric of answers */
size_t knock_metrics_code(unsigned status);

/* the cell of knock_redis_call_seconds that a time belongs to */
size_t knock_metrics_bucket(uint64_t microseconds);

/*
 * Counts the errors that an answer names, at their cells, from KNOCK_E_NONE
 * on.  Of a request that was refused it is the first: what answers all of it.
 */
void knock_metrics_refused(const knock_str_t *json, uint64_t *errors);

/* of one that was applied, `list` is the text of the answer's "errors" */
void knock_metrics_listed(const knock_str_t *list, uint64_t *errors);

/*
 * Appends the whole text.  The cells of a histogram hold how many times fell
 * into each of its buckets, alone, then the sum of all in microseconds.
 */
void knock_metrics_format(knock_buf_t *buf, const uint64_t *cells,
    const knock_queue_length_t *queues, size_t nqueues);


#endif /* KNOCK_METRICS_H */


#include <stdio.h>
#include "knock_metrics.h"


#define KNOCK_METRICS_CODE  "\"code\":\""


typedef enum {
    KNOCK_LABELS_NONE = 0,
    KNOCK_LABELS_EVENT,
    KNOCK_LABELS_CODE,
    KNOCK_LABELS_ERROR,
    KNOCK_LABELS_ENVIRONMENT
} knock_labels_e;


typedef enum {
    KNOCK_METRIC_COUNTER = 0,
    KNOCK_METRIC_GAUGE,
    KNOCK_METRIC_HISTOGRAM
} knock_metric_e;


typedef struct {
    const char      *name;
    const char      *help;
    knock_metric_e   type;
    knock_labels_e   labels;
    size_t           cell;
    size_t           n;
} knock_metric_t;


static const char *knock_metrics_error(const char *p, const char *end,
    uint64_t *errors);
static void knock_metrics_one(knock_buf_t *buf, const knock_metric_t *metric,
    const uint64_t *cells);
static void knock_metrics_histogram(knock_buf_t *buf,
    const knock_metric_t *metric, const uint64_t *cells);
static void knock_metrics_queues(knock_buf_t *buf,
    const knock_metric_t *metric, const knock_queue_length_t *queues,
    size_t n);
static void knock_metrics_value(knock_buf_t *buf, const char *label,
    const char *value);
static void knock_metrics_number(knock_buf_t *buf, uint64_t n);
static void knock_metrics_text(knock_buf_t *buf, const char *text);


static const knock_metric_t  knock_metrics[] = {
#define KNOCK_METRICS_ROW(name, metric, type, labels, cells, help)           \
    { metric, help, KNOCK_METRIC_##type, KNOCK_LABELS_##labels,              \
      KNOCK_CELL_##name, cells },
    KNOCK_METRICS_TABLE(KNOCK_METRICS_ROW)
#undef KNOCK_METRICS_ROW
};


static const char  *knock_metrics_kinds[] = { "counter", "gauge",
                                              "histogram" };


static const char  *knock_metrics_types[KNOCK_METRICS_TYPES] = {
    [KNOCK_EVENT_TRACK] = "track",
    [KNOCK_EVENT_IDENTIFY] = "identify",
    [KNOCK_EVENT_PAGE] = "page",
    [KNOCK_EVENT_SCREEN] = "screen",
    [KNOCK_EVENT_GROUP] = "group",
    [KNOCK_EVENT_ALIAS] = "alias"
};


static const char  *knock_metrics_outcomes[KNOCK_METRICS_OUTCOMES] = {
    "processed", "ignored", "duplicate", "failed"
};


static const struct {
    unsigned     status;
    const char  *text;
} knock_metrics_codes[KNOCK_METRICS_CODES] = {
    { 200, "200" }, { 201, "201" }, { 204, "204" }, { 304, "304" },
    { 400, "400" }, { 401, "401" }, { 403, "403" }, { 404, "404" },
    { 405, "405" }, { 408, "408" }, { 409, "409" }, { 411, "411" },
    { 412, "412" }, { 413, "413" }, { 415, "415" }, { 422, "422" },
    { 429, "429" }, { 499, "499" }, { 500, "500" }, { 502, "502" },
    { 503, "503" }, { 504, "504" },
    { 0, "other" }
};


static const struct {
    uint64_t     microseconds;      /* as long or shorter */
    const char  *seconds;
} knock_metrics_buckets[KNOCK_METRICS_BUCKETS] = {
    { 50, "5e-05" }, { 100, "0.0001" }, { 250, "0.00025" }, { 500, "0.0005" },
    { 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" }, { 25000, "0.025" }, { 50000, "0.05" },
    { 100000, "0.1" }, { 250000, "0.25" }, { 500000, "0.5" },
    { 1000000, "1" }, { 2500000, "2.5" }, { 5000000, "5" },
    { UINT64_MAX, "+Inf" }
};


/* FNV-1a over the names of the metrics and the numbers of their cells */

uint32_t
knock_metrics_layout(void)
{
    size_t       i;
    uint32_t     hash;
    const char  *p;

    hash = 2166136261u;

    for (i = 0; i < sizeof(knock_metrics) / sizeof(knock_metrics[0]); i++) {

        for (p = knock_metrics[i].name; *p; p++) {
            hash = (hash ^ (unsigned char) *p) * 16777619u;
        }

        hash = (hash ^ (uint32_t) knock_metrics[i].n) * 16777619u;
    }

    return hash;
}


size_t
knock_metrics_event(knock_event_type_e type, knock_status_e status)
{
    size_t  outcome;

    switch (status) {

    case KNOCK_STATUS_PROCESSED:
        outcome = 0;
        break;

    case KNOCK_STATUS_IGNORED:
        outcome = 1;
        break;

    case KNOCK_STATUS_DUPLICATE:
        outcome = 2;
        break;

    default: /* KNOCK_STATUS_FAILED, KNOCK_STATUS_LARGE */
        outcome = 3;
    }

    return KNOCK_CELL_EVENTS + (size_t) type * KNOCK_METRICS_OUTCOMES
           + outcome;
}


size_t
knock_metrics_code(unsigned status)
{
    size_t  i;

    for (i = 0; i < KNOCK_METRICS_CODES - 1; i++) {
        if (knock_metrics_codes[i].status == status) {
            break;
        }
    }

    return i;
}


size_t
knock_metrics_bucket(uint64_t microseconds)
{
    size_t  i;

    for (i = 0; microseconds > knock_metrics_buckets[i].microseconds; i++) {
        /* void */
    }

    return KNOCK_CELL_CALL + i;
}


void
knock_metrics_refused(const knock_str_t *json, uint64_t *errors)
{
    const char  *p;

    p = (const char *) json->data;

    if (json->len) {
        (void) knock_metrics_error(p, p + json->len, errors);
    }
}


void
knock_metrics_listed(const knock_str_t *list, uint64_t *errors)
{
    const char  *p, *end;

    if (list->len == 0) {
        return;
    }

    p = (const char *) list->data;
    end = p + list->len;

    do {
        p = knock_metrics_error(p, end, errors);
    } while (p);
}


/*
 * Counts the next code in the text, which is our own: a quote inside a string
 * is escaped there, so that no message can be mistaken for a code.  Returns
 * what is behind it, or NULL: there is none.
 */

static const char *
knock_metrics_error(const char *p, const char *end, uint64_t *errors)
{
    int          i;
    size_t       len;
    const char  *name;

    len = sizeof(KNOCK_METRICS_CODE) - 1;

    for ( ;; ) {
        p = memchr(p, '"', (size_t) (end - p));

        if (p == NULL || (size_t) (end - p) < len) {
            return NULL;
        }

        if (memcmp(p, KNOCK_METRICS_CODE, len) == 0) {
            break;
        }

        p++;
    }

    p += len;

    for (i = KNOCK_E_NONE + 1; i < KNOCK_E_COUNT; i++) {
        name = knock_error_name((knock_error_code_e) i);
        len = strlen(name);

        if ((size_t) (end - p) > len && memcmp(p, name, len) == 0
            && p[len] == '"')
        {
            errors[i]++;
            break;
        }
    }

    return p;
}


void
knock_metrics_format(knock_buf_t *buf, const uint64_t *cells,
    const knock_queue_length_t *queues, size_t nqueues)
{
    size_t                 i;
    const knock_metric_t  *metric;

    for (i = 0; i < sizeof(knock_metrics) / sizeof(knock_metrics[0]); i++) {
        metric = &knock_metrics[i];

        knock_buf_add_lit(buf, "# HELP ");
        knock_metrics_text(buf, metric->name);
        knock_buf_add_char(buf, ' ');
        knock_metrics_text(buf, metric->help);
        knock_buf_add_lit(buf, "\n# TYPE ");
        knock_metrics_text(buf, metric->name);
        knock_buf_add_char(buf, ' ');
        knock_metrics_text(buf, knock_metrics_kinds[metric->type]);
        knock_buf_add_char(buf, '\n');

        if (metric->type == KNOCK_METRIC_HISTOGRAM) {
            knock_metrics_histogram(buf, metric, cells);

        } else if (metric->labels == KNOCK_LABELS_ENVIRONMENT) {
            knock_metrics_queues(buf, metric, queues, nqueues);

        } else {
            knock_metrics_one(buf, metric, cells);
        }
    }
}


static void
knock_metrics_one(knock_buf_t *buf, const knock_metric_t *metric,
    const uint64_t *cells)
{
    size_t  i;

    for (i = 0; i < metric->n; i++) {

        if (metric->labels == KNOCK_LABELS_ERROR && i == KNOCK_E_NONE) {
            continue;
        }

        knock_metrics_text(buf, metric->name);

        switch (metric->labels) {

        case KNOCK_LABELS_EVENT:
            knock_metrics_value(buf, "{type",
                           knock_metrics_types[i / KNOCK_METRICS_OUTCOMES]);
            knock_metrics_value(buf, ",outcome",
                         knock_metrics_outcomes[i % KNOCK_METRICS_OUTCOMES]);
            knock_buf_add_char(buf, '}');
            break;

        case KNOCK_LABELS_CODE:
            knock_metrics_value(buf, "{code", knock_metrics_codes[i].text);
            knock_buf_add_char(buf, '}');
            break;

        case KNOCK_LABELS_ERROR:
            knock_metrics_value(buf, "{code",
                                knock_error_name((knock_error_code_e) i));
            knock_buf_add_char(buf, '}');
            break;

        default:
            break;
        }

        knock_metrics_number(buf, cells[metric->cell + i]);
    }
}


/* Prometheus wants each bucket to hold those before it as well */

static void
knock_metrics_histogram(knock_buf_t *buf, const knock_metric_t *metric,
    const uint64_t *cells)
{
    char       seconds[32];
    size_t     i;
    uint64_t   count, sum;

    count = 0;

    for (i = 0; i < KNOCK_METRICS_BUCKETS; i++) {
        count += cells[metric->cell + i];

        knock_metrics_text(buf, metric->name);
        knock_metrics_value(buf, "_bucket{le",
                            knock_metrics_buckets[i].seconds);
        knock_buf_add_char(buf, '}');
        knock_metrics_number(buf, count);
    }

    sum = cells[metric->cell + KNOCK_METRICS_BUCKETS];

    (void) snprintf(seconds, sizeof(seconds), "%llu.%06u",
                    (unsigned long long) (sum / 1000000),
                    (unsigned) (sum % 1000000));

    knock_metrics_text(buf, metric->name);
    knock_buf_add_lit(buf, "_sum ");
    knock_metrics_text(buf, seconds);
    knock_buf_add_char(buf, '\n');

    knock_metrics_text(buf, metric->name);
    knock_buf_add_lit(buf, "_count");
    knock_metrics_number(buf, count);
}


static void
knock_metrics_queues(knock_buf_t *buf, const knock_metric_t *metric,
    const knock_queue_length_t *queues, size_t n)
{
    size_t  i, k;
    char    c;

    for (i = 0; i < n; i++) {
        knock_metrics_text(buf, metric->name);
        knock_buf_add_lit(buf, "{environment=\"");

        for (k = 0; k < queues[i].environment.len; k++) {
            c = (char) queues[i].environment.data[k];

            if (c == '"' || c == '\\') {
                knock_buf_add_char(buf, '\\');

            } else if (c == '\n') {
                knock_buf_add_char(buf, '\\');
                c = 'n';
            }

            knock_buf_add_char(buf, c);
        }

        knock_buf_add_lit(buf, "\"}");
        knock_metrics_number(buf, queues[i].length);
    }
}


/* a label, behind what stands before it, and its value */

static void
knock_metrics_value(knock_buf_t *buf, const char *label, const char *value)
{
    knock_metrics_text(buf, label);
    knock_buf_add_lit(buf, "=\"");
    knock_metrics_text(buf, value);
    knock_buf_add_char(buf, '"');
}


static void
knock_metrics_number(knock_buf_t *buf, uint64_t n)
{
    knock_buf_add_char(buf, ' ');
    knock_buf_add_uint(buf, n);
    knock_buf_add_char(buf, '\n');
}


static void
knock_metrics_text(knock_buf_t *buf, const char *text)
{
    knock_buf_add(buf, text, strlen(text));
}


/* knock_metrics: cells, codes, buckets, and the text that Prometheus reads */

#include "fixture.h"

#include "knock_metrics.h"


static uint64_t  cells[KNOCK_CELL_COUNT];
static uint64_t  errors[KNOCK_E_COUNT];


static int
begin(void **state)
{
    memset(cells, 0, sizeof(cells));
    memset(errors, 0, sizeof(errors));

    return setup(state);
}


/* the text of the cells, and of these queues */

static const char *
format(const knock_queue_length_t *queues, size_t n)
{
    knock_buf_t  buf;
    knock_str_t  s;

    knock_buf_init(&buf, arena, 64);
    knock_metrics_format(&buf, cells, queues, n);
    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


/* the text has this line, once */

static void
has_line(const char *all, const char *line)
{
    size_t       n;
    const char  *whole, *p;

    whole = repeat("\n", line, 1, "\n");
    n = 0;

    for (p = strstr(all, whole); p; p = strstr(p + 1, whole)) {
        n++;
    }

    if (n != 1) {
        fail_msg("\"%s\" stands %zu times in %s", line, n, all);
    }
}


static size_t
lines(const char *all, const char *prefix)
{
    size_t       n;
    const char  *start, *p;

    start = repeat("\n", prefix, 1, "");
    n = 0;

    for (p = strstr(all, start); p; p = strstr(p + 1, start)) {
        n++;
    }

    return n;
}


static void
each_type_and_outcome_has_a_cell_of_its_own(void **state)
{
    size_t  type, i, cell;

    static const knock_status_e  statuses[] = {
        KNOCK_STATUS_PROCESSED, KNOCK_STATUS_IGNORED, KNOCK_STATUS_DUPLICATE,
        KNOCK_STATUS_FAILED
    };

    (void) state;

    for (type = 0; type < KNOCK_METRICS_TYPES; type++) {
        for (i = 0; i < N(statuses); i++) {
            cell = knock_metrics_event((knock_event_type_e) type,
                                       statuses[i]);

            assert_in_range(cell, KNOCK_CELL_EVENTS, KNOCK_CELL_EVENTS_LAST);
            assert_int_equal(cells[cell], 0);
            cells[cell] = 1;
        }

        /* a user who would be too large is a failure as any other */

        assert_int_equal(knock_metrics_event((knock_event_type_e) type,
                                             KNOCK_STATUS_LARGE),
                         knock_metrics_event((knock_event_type_e) type,
                                             KNOCK_STATUS_FAILED));
    }

    assert_int_equal(KNOCK_CELL_EVENTS_LAST - KNOCK_CELL_EVENTS + 1,
                     KNOCK_METRICS_TYPES * N(statuses));
}


static void
events_are_named_by_type_and_outcome(void **state)
{
    const char  *all;

    (void) state;

    cells[knock_metrics_event(KNOCK_EVENT_TRACK, KNOCK_STATUS_PROCESSED)] = 1;
    cells[knock_metrics_event(KNOCK_EVENT_IDENTIFY, KNOCK_STATUS_IGNORED)] = 2;
    cells[knock_metrics_event(KNOCK_EVENT_PAGE, KNOCK_STATUS_DUPLICATE)] = 3;
    cells[knock_metrics_event(KNOCK_EVENT_ALIAS, KNOCK_STATUS_LARGE)] = 4;
    cells[KNOCK_CELL_RUNS] = UINT64_MAX;

    all = format(NULL, 0);

    has_line(all, "knock_events_total{type=\"track\",outcome=\"processed\"} 1");
    has_line(all,
             "knock_events_total{type=\"identify\",outcome=\"ignored\"} 2");
    has_line(all, "knock_events_total{type=\"page\",outcome=\"duplicate\"} 3");
    has_line(all, "knock_events_total{type=\"alias\",outcome=\"failed\"} 4");
    has_line(all, "knock_events_total{type=\"group\",outcome=\"failed\"} 0");
    has_line(all, "knock_runs_total 18446744073709551615");
    assert_int_equal(lines(all, "knock_events_total{"), 24);
}


static void
each_metric_has_its_help_and_type_once(void **state)
{
    size_t       i;
    const char  *all;

    static const struct {
        const char  *name;
        const char  *help;
        const char  *type;
    } table[] = {
#define LOWER_COUNTER    "counter"
#define LOWER_GAUGE      "gauge"
#define LOWER_HISTOGRAM  "histogram"
#define ROW(name, metric, type, labels, cells, help)                         \
        { metric, help, LOWER_##type },
        KNOCK_METRICS_TABLE(ROW)
#undef ROW
    };

    (void) state;

    all = repeat("\n", format(NULL, 0), 1, "");

    for (i = 0; i < N(table); i++) {
        has_line(all, repeat("# HELP ", table[i].name, 1,
                             repeat(" ", table[i].help, 1, "")));
        has_line(all, repeat("# TYPE ", table[i].name, 1,
                             repeat(" ", table[i].type, 1, "")));
    }

    assert_int_equal(lines(all, "# HELP "), N(table));
    assert_int_equal(lines(all, "# TYPE "), N(table));
    assert_int_equal(all[strlen(all) - 1], '\n');
}


static void
answers_are_counted_by_status_and_rare_ones_together(void **state)
{
    const char  *all;

    (void) state;

    cells[KNOCK_CELL_REQUESTS + knock_metrics_code(200)] = 1;
    cells[KNOCK_CELL_REQUESTS + knock_metrics_code(503)] = 2;
    cells[KNOCK_CELL_API_REQUESTS + knock_metrics_code(499)] = 3;

    assert_int_equal(knock_metrics_code(0), KNOCK_METRICS_CODES - 1);
    assert_int_equal(knock_metrics_code(418), KNOCK_METRICS_CODES - 1);
    assert_int_equal(knock_metrics_code(599), KNOCK_METRICS_CODES - 1);
    cells[KNOCK_CELL_API_REQUESTS + knock_metrics_code(418)] = 4;

    all = format(NULL, 0);

    has_line(all, "knock_requests_total{code=\"200\"} 1");
    has_line(all, "knock_requests_total{code=\"503\"} 2");
    has_line(all, "knock_requests_total{code=\"other\"} 0");
    has_line(all, "knock_api_requests_total{code=\"499\"} 3");
    has_line(all, "knock_api_requests_total{code=\"other\"} 4");
    assert_int_equal(lines(all, "knock_requests_total{"),
                     KNOCK_METRICS_CODES);
}


/* what the module itself answers with has a code of its own */

static void
no_status_of_an_error_is_a_rare_one(void **state)
{
    int  code;

    (void) state;

    for (code = 0; code < KNOCK_E_COUNT; code++) {
        if (knock_metrics_code(knock_error_status((knock_error_code_e) code))
            == KNOCK_METRICS_CODES - 1)
        {
            fail_msg("%s", knock_error_name((knock_error_code_e) code));
        }
    }
}


static void
errors_are_named_by_code(void **state)
{
    int          code;
    const char  *all, *line;

    (void) state;

    for (code = KNOCK_E_NONE + 1; code < KNOCK_E_COUNT; code++) {
        cells[KNOCK_CELL_ERRORS + code] = 7;
    }

    all = format(NULL, 0);

    for (code = KNOCK_E_NONE + 1; code < KNOCK_E_COUNT; code++) {
        line = repeat("knock_errors_total{code=\"",
                      knock_error_name((knock_error_code_e) code), 1,
                      "\"} 7");
        has_line(all, line);
    }

    assert_int_equal(lines(all, "knock_errors_total{"), KNOCK_E_COUNT - 1);
}


static void
a_time_falls_into_the_first_bucket_that_holds_it(void **state)
{
    (void) state;

    assert_int_equal(knock_metrics_bucket(0), KNOCK_CELL_CALL);
    assert_int_equal(knock_metrics_bucket(50), KNOCK_CELL_CALL);
    assert_int_equal(knock_metrics_bucket(51), KNOCK_CELL_CALL + 1);
    assert_int_equal(knock_metrics_bucket(1000), KNOCK_CELL_CALL + 4);
    assert_int_equal(knock_metrics_bucket(1001), KNOCK_CELL_CALL + 5);
    assert_int_equal(knock_metrics_bucket(5000000),
                     KNOCK_CELL_CALL + KNOCK_METRICS_BUCKETS - 2);
    assert_int_equal(knock_metrics_bucket(5000001),
                     KNOCK_CELL_CALL + KNOCK_METRICS_BUCKETS - 1);
    assert_int_equal(knock_metrics_bucket(UINT64_MAX),
                     KNOCK_CELL_CALL_LAST - 1);
}


static void
a_bucket_is_written_with_those_before_it(void **state)
{
    size_t       i;
    const char  *all;

    static const uint64_t  times[] = { 1, 50, 60, 999, 6000000, 123456789 };

    (void) state;

    for (i = 0; i < N(times); i++) {
        cells[knock_metrics_bucket(times[i])]++;
        cells[KNOCK_CELL_CALL_LAST] += times[i];
    }

    all = format(NULL, 0);

    has_line(all, "knock_redis_call_seconds_bucket{le=\"5e-05\"} 2");
    has_line(all, "knock_redis_call_seconds_bucket{le=\"0.0001\"} 3");
    has_line(all, "knock_redis_call_seconds_bucket{le=\"0.0005\"} 3");
    has_line(all, "knock_redis_call_seconds_bucket{le=\"0.001\"} 4");
    has_line(all, "knock_redis_call_seconds_bucket{le=\"5\"} 4");
    has_line(all, "knock_redis_call_seconds_bucket{le=\"+Inf\"} 6");
    has_line(all, "knock_redis_call_seconds_count 6");
    has_line(all, "knock_redis_call_seconds_sum 129.457899");
    assert_int_equal(lines(all, "knock_redis_call_seconds_bucket{"),
                     KNOCK_METRICS_BUCKETS);
}


static void
a_queue_is_named_by_its_environment(void **state)
{
    const char            *all;
    knock_queue_length_t   queues[2];

    (void) state;

    assert_int_equal(lines(format(NULL, 0), "knock_queue_length{"), 0);

    queues[0].environment = str("development");
    queues[0].length = 0;
    queues[1].environment = str("a\"b\\c\nd");
    queues[1].length = 12345;

    all = format(queues, 2);

    has_line(all, "knock_queue_length{environment=\"development\"} 0");
    has_line(all, "knock_queue_length{environment=\"a\\\"b\\\\c\\nd\"} 12345");
}


static void
refuse(const char *json)
{
    knock_str_t  s;

    s = str(json);
    memset(errors, 0, sizeof(errors));
    knock_metrics_refused(&s, errors);
}


static uint64_t
sum_of_errors(void)
{
    size_t    i;
    uint64_t  sum;

    for (sum = 0, i = 0; i < KNOCK_E_COUNT; i++) {
        sum += errors[i];
    }

    return sum;
}


static void
of_a_refused_request_the_first_code_counts(void **state)
{
    size_t  i;

    static const char  *none[] = {
        "", "\"", "{\"accepted\":1}", "{\"code\":\"",
        "{\"code\":\"invalid_json",
        "{\"error\":{\"code\":\"invalid_eventual\",\"message\":\"m\"}}"
    };

    (void) state;

    refuse("{\"error\":{\"code\":\"invalid_event\",\"message\":\"m\"},"
           "\"errors\":[{\"index\":0,\"code\":\"invalid_json\"}]}\n");
    assert_int_equal(errors[KNOCK_E_INVALID_EVENT], 1);
    assert_int_equal(sum_of_errors(), 1);

    for (i = 0; i < N(none); i++) {
        refuse(none[i]);
        assert_int_equal(sum_of_errors(), 0);
    }
}


static void
of_a_list_all_codes_count_and_no_message_is_one(void **state)
{
    knock_str_t  list;

    (void) state;

    list = str("{\"accepted\":2,\"errors\":["
               "{\"index\":0,\"code\":\"invalid_event\",\"message\":"
               "\"\\\"code\\\":\\\"overloaded\\\"\"},"
               "{\"index\":1,\"action\":\"code\",\"code\":"
               "\"recipients_missing\",\"message\":\"m\"},"
               "{\"index\":2,\"code\":\"invalid_event\",\"message\":\"m\"},"
               "{\"index\":3,\"code\":\"unheard_of\",\"message\":\"m\"}]}\n");

    knock_metrics_listed(&list, errors);

    assert_int_equal(errors[KNOCK_E_INVALID_EVENT], 2);
    assert_int_equal(errors[KNOCK_E_RECIPIENTS_MISSING], 1);
    assert_int_equal(sum_of_errors(), 3);

    list = str("");
    knock_metrics_listed(&list, errors);
    assert_int_equal(sum_of_errors(), 3);
}


#undef t
#define t(name)  cmocka_unit_test_setup_teardown(name, begin, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(each_type_and_outcome_has_a_cell_of_its_own),
        t(events_are_named_by_type_and_outcome),
        t(each_metric_has_its_help_and_type_once),
        t(answers_are_counted_by_status_and_rare_ones_together),
        t(no_status_of_an_error_is_a_rare_one),
        t(errors_are_named_by_code),
        t(a_time_falls_into_the_first_bucket_that_holds_it),
        t(a_bucket_is_written_with_those_before_it),
        t(a_queue_is_named_by_its_environment),
        t(of_a_refused_request_the_first_code_counts),
        t(of_a_list_all_codes_count_and_no_message_is_one)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

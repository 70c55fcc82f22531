
/* knock_time: RFC 3339 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_time.h"


/* the time that a text is, -1 if it is none */

static int64_t
parsed(const char *text)
{
    uint64_t     ms;
    knock_str_t  str;

    str.len = strlen(text);
    str.data = (unsigned char *) text;

    return knock_time_parse(&str, &ms) == KNOCK_OK ? (int64_t) ms : -1;
}


static void
test_known_times(void **state)
{
    size_t         i;
    unsigned char  out[KNOCK_TIME_LEN + 1];

    static const struct {
        uint64_t     ms;
        const char  *text;
    } rows[] = {
        { 0,                "1970-01-01T00:00:00.000Z" },
        { 1,                "1970-01-01T00:00:00.001Z" },
        { 86399999,         "1970-01-01T23:59:59.999Z" },
        { 86400000,         "1970-01-02T00:00:00.000Z" },
        { 951782399000,     "2000-02-28T23:59:59.000Z" },
        { 951782400000,     "2000-02-29T00:00:00.000Z" },
        { 951868800000,     "2000-03-01T00:00:00.000Z" },
        { 978307199999,     "2000-12-31T23:59:59.999Z" },
        { 1709164800000,    "2024-02-29T00:00:00.000Z" },
        { 1767323045678,    "2026-01-02T03:04:05.678Z" },
        { 2147483648000,    "2038-01-19T03:14:08.000Z" },
        { 4107542400000,    "2100-03-01T00:00:00.000Z" },
        { 13574563200000,   "2400-02-29T00:00:00.000Z" },
        { 253402300799999,  "9999-12-31T23:59:59.999Z" },
        { 253402300800000,  "9999-12-31T23:59:59.999Z" },
        { UINT64_MAX,       "9999-12-31T23:59:59.999Z" }
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(out, '#', sizeof(out));
        knock_time_format(rows[i].ms, out);

        assert_memory_equal(out, rows[i].text, KNOCK_TIME_LEN);
        assert_int_equal(out[KNOCK_TIME_LEN], '#');
    }
}


static void
test_times_are_parsed(void **state)
{
    size_t  i;

    static const struct {
        const char  *text;
        int64_t      ms;
    } rows[] = {
        { "1970-01-01T00:00:00Z",             0 },
        { "1970-01-01T00:00:00.001Z",         1 },
        { "1970-01-01t00:00:00.001z",         1 },
        { "1970-01-01 00:00:00.001Z",         1 },
        { "2026-01-02T03:04:05.678Z",         1767323045678 },
        { "2026-01-02T03:04:05.6Z",           1767323045600 },
        { "2026-01-02T03:04:05.6789999Z",     1767323045678 },
        { "2026-01-02T05:34:05.678+02:30",    1767323045678 },
        { "2026-01-01T20:04:05.678-07:00",    1767323045678 },
        { "2026-01-02T03:04:05-00:00",        1767323045000 },
        { "2024-02-29T00:00:00Z",             1709164800000 },
        { "2000-02-29T00:00:00Z",             951782400000 },
        { "2016-12-31T23:59:60Z",             1483228800000 },
        { "1970-01-01T01:00:00+01:00",        0 },
        { "9999-12-31T23:59:59.999Z",         253402300799999 },

        { "1970-01-01T00:59:59.999+01:00",    -1 },
        { "1969-12-31T23:59:59Z",             -1 },
        { "0000-01-01T00:00:00Z",             -1 },
        { "2023-02-29T00:00:00Z",             -1 },
        { "2100-02-29T00:00:00Z",             -1 },
        { "2026-00-01T00:00:00Z",             -1 },
        { "2026-13-01T00:00:00Z",             -1 },
        { "2026-01-00T00:00:00Z",             -1 },
        { "2026-04-31T00:00:00Z",             -1 },
        { "2026-01-01T24:00:00Z",             -1 },
        { "2026-01-01T00:60:00Z",             -1 },
        { "2026-01-01T00:00:61Z",             -1 },
        { "2026-01-01T00:00:00+24:00",        -1 },
        { "2026-01-01T00:00:00+00:60",        -1 },
        { "2026-01-01T00:00:00+0000",         -1 },
        { "2026-01-01T00:00:00+00",           -1 },
        { "2026-01-01T00:00:00.Z",            -1 },
        { "2026-01-01T00:00:00,5Z",           -1 },
        { "2026-01-01T00:00:00",              -1 },
        { "2026-01-01T00:00:00.5",            -1 },
        { "2026-01-01T00:00:00ZZ",            -1 },
        { "2026-01-01T00:00:00Z ",            -1 },
        { " 2026-01-01T00:00:00Z",            -1 },
        { "2026-01-01T00:00Z",                -1 },
        { "2026-01-01",                       -1 },
        { "2026-1-01T00:00:00Z",              -1 },
        { "20260101T000000Z",                 -1 },
        { "+026-01-01T00:00:00Z",             -1 },
        { "2026-01-01X00:00:00Z",             -1 },
        { "1767323045678",                    -1 },
        { "",                                 -1 }
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(parsed(rows[i].text) == rows[i].ms);
    }
}


static void
test_every_day_of_the_calendar(void **state)
{
    char           text[32];
    unsigned       year, month, day, days;
    uint64_t       ms;
    unsigned char  out[KNOCK_TIME_LEN];

    static const unsigned  months[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    (void) state;

    ms = 0;

    for (year = 1970; year <= 9999; year++) {
        for (month = 1; month <= 12; month++) {
            days = months[month - 1];

            if (month == 2 && year % 4 == 0
                && (year % 100 != 0 || year % 400 == 0))
            {
                days++;
            }

            for (day = 1; day <= days; day++) {
                (void) snprintf(text, sizeof(text),
                                "%04u-%02u-%02uT00:00:00.000Z",
                                year, month, day);
                knock_time_format(ms, out);
                assert_memory_equal(out, text, KNOCK_TIME_LEN);
                assert_true(parsed(text) == (int64_t) ms);

                ms += 86400000;
            }
        }
    }
}


static void
test_numbers(void **state)
{
    size_t       i;
    uint64_t     ms;
    knock_str_t  number;

    static const struct {
        const char  *text;
        uint64_t     ms;
    } rows[] = {
        { "0", 0 },
        { "0.0", 0 },
        { "17", 17000 },
        { "1767323045", 1767323045000 },
        { "1767323045.678", 1767323045678 },
        { "1767323045.6789999999999999999999999", 1767323045678 },
        { "1767323045678", 1767323045678 },
        { "1767323045678.9", 1767323045678 },
        { "1.767323045678e9", 1767323045678 },
        { "1.767323045678E+12", 1767323045678 },
        { "17673230456780000e-7", 1767323045678 },
        { "17673230456780000000000000000e-19", 1767323045678 },
        { "0.00000000001e20", 1000000000000 },
        { "99999999999", 99999999999000 },
        { "99999999999.999", 99999999999999 },
        { "100000000000", 100000000000 },
        { "253402300799999", 253402300799999 },
        { "0.0000000000000000000000000000000000000001", 0 },
        { "1e-9999999999", 0 },
        { "0e9999999999", 0 },
    };

    static const char  *none[] = {
        "-1", "-0", "253402300800000", "1767323045678000", "1e15", "1e16",
        "1e30", "1e9999999999999999999999", "18446744073709551616",
        "99999999999999999999999999999999999999999999999999999999999999999999"
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        number.len = strlen(rows[i].text);
        number.data = (unsigned char *) rows[i].text;

        if (knock_time_number(&number, &ms) != KNOCK_OK || ms != rows[i].ms) {
            fail_msg("%s: %ju", rows[i].text, (uintmax_t) ms);
        }
    }

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        number.len = strlen(none[i]);
        number.data = (unsigned char *) none[i];

        if (knock_time_number(&number, &ms) != KNOCK_DECLINED) {
            fail_msg("%s: %ju", none[i], (uintmax_t) ms);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_known_times),
        cmocka_unit_test(test_times_are_parsed),
        cmocka_unit_test(test_every_day_of_the_calendar),
        cmocka_unit_test(test_numbers)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

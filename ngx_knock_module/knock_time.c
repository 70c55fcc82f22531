
#include "knock_time.h"


#define KNOCK_TIME_MAX  253402300799999     /* the last of the year 9999 */


static void knock_time_digits(unsigned char *out, uint32_t n, size_t width);


void
knock_time_format(uint64_t ms, unsigned char *out)
{
    uint32_t  days, rest, era, day, year, month;

    if (ms > KNOCK_TIME_MAX) {
        ms = KNOCK_TIME_MAX;
    }

    days = (uint32_t) (ms / 86400000);
    rest = (uint32_t) (ms % 86400000);

    /*
     * The Gregorian calendar repeats every 400 years, 146097 days.  Years are
     * counted from March, so that the leap day is a year's last one, and days
     * from 0000-03-01.
     */

    days += 719468;

    era = days / 146097;
    day = days % 146097;

    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;

    /* months from March on begin at day (153 * month + 2) / 5 */

    month = (5 * day + 2) / 153;
    day = day - (153 * month + 2) / 5 + 1;

    year += era * 400;

    if (month < 10) {
        month += 3;

    } else {
        month -= 9;
        year++;
    }

    memcpy(out, "0000-00-00T00:00:00.000Z", KNOCK_TIME_LEN);

    knock_time_digits(out, year, 4);
    knock_time_digits(out + 5, month, 2);
    knock_time_digits(out + 8, day, 2);
    knock_time_digits(out + 11, rest / 3600000, 2);
    knock_time_digits(out + 14, rest / 60000 % 60, 2);
    knock_time_digits(out + 17, rest / 1000 % 60, 2);
    knock_time_digits(out + 20, rest % 1000, 3);
}


static void
knock_time_digits(unsigned char *out, uint32_t n, size_t width)
{
    while (width-- > 0) {
        out[width] = (unsigned char) ('0' + n % 10);
        n /= 10;
    }
}

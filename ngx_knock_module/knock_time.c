
#include "knock_time.h"


#define KNOCK_TIME_MAX       253402300799999    /* the last of the year 9999 */
#define KNOCK_TIME_SECONDS   100000000000       /* there are fewer than this */
#define KNOCK_TIME_EXPONENT  1000               /* a larger one is as large */


static int knock_time_exponent(const unsigned char *p,
    const unsigned char *end);
static inline void knock_time_digits(unsigned char *out, uint32_t n);


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

    knock_time_digits(out, year / 100);
    knock_time_digits(out + 2, year % 100);
    knock_time_digits(out + 5, month);
    knock_time_digits(out + 8, day);
    knock_time_digits(out + 11, rest / 3600000);
    knock_time_digits(out + 14, rest / 60000 % 60);
    knock_time_digits(out + 17, rest / 1000 % 60);

    rest %= 1000;

    out[20] = (unsigned char) ('0' + rest / 100);
    knock_time_digits(out + 21, rest % 100);
}


/*
 * By integers: what is written is exact, and strtod() goes by the locale.
 * `scale` is what the digits taken so far have to be multiplied by, as a power
 * of ten, to be milliseconds if the number is seconds.
 */

int
knock_time_number(const knock_str_t *number, uint64_t *ms)
{
    long                  scale, after;
    uint64_t              n;
    const unsigned char  *p, *end;

    p = number->data;
    end = p + number->len;

    n = 0;
    after = 0;
    scale = 3;

    for ( /* void */ ; p < end && *p != 'e' && *p != 'E'; p++) {

        if (*p == '-') {
            return KNOCK_DECLINED;
        }

        if (*p == '.') {
            after = 1;

        } else if (n <= UINT64_MAX / 100) {
            n = n * 10 + (uint64_t) (*p - '0');
            scale -= after;

        } else {
            scale += 1 - after;
        }
    }

    if (p < end) {
        scale += knock_time_exponent(p + 1, end);
    }

    for ( /* void */ ; scale > 0 && n; scale--) {
        if (n > UINT64_MAX / 10) {
            return KNOCK_DECLINED;
        }

        n *= 10;
    }

    for ( /* void */ ; scale < 0 && n; scale++) {
        n /= 10;
    }

    if (n >= KNOCK_TIME_SECONDS * 1000) {
        n /= 1000;
    }

    *ms = n;

    return n > KNOCK_TIME_MAX ? KNOCK_DECLINED : KNOCK_OK;
}


static int
knock_time_exponent(const unsigned char *p, const unsigned char *end)
{
    int  n, sign;

    sign = (*p == '-') ? -1 : 1;

    if (*p == '-' || *p == '+') {
        p++;
    }

    for (n = 0; p < end && n < KNOCK_TIME_EXPONENT; p++) {
        n = n * 10 + (*p - '0');
    }

    return sign * n;
}


static inline void
knock_time_digits(unsigned char *out, uint32_t n)
{
    out[0] = (unsigned char) ('0' + n / 10);
    out[1] = (unsigned char) ('0' + n % 10);
}

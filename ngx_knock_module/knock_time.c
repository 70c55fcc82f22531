
#include "knock_time.h"


#define KNOCK_TIME_MAX       253402300799999    /* the last of the year 9999 */
#define KNOCK_TIME_SECONDS   100000000000       /* there are fewer than this */
#define KNOCK_TIME_EXPONENT  1000               /* a larger one is as large */


static int knock_time_exponent(const unsigned char *p,
    const unsigned char *end);
static inline void knock_time_digits(unsigned char *out, uint32_t n);
static int64_t knock_time_days(int64_t year, int64_t month, int64_t day);
static int64_t knock_time_field(const unsigned char **p,
    const unsigned char *end, const char *format);


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


int
knock_time_parse(const knock_str_t *text, uint64_t *ms)
{
    int64_t               year, month, day, hour, minute, second, time, ahead;
    int64_t               sign, unit;
    const unsigned char  *p, *end;

    static const unsigned char  lengths[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    p = text->data;
    end = p + text->len;

    year = knock_time_field(&p, end, "0000-");
    month = knock_time_field(&p, end, "00-");
    day = knock_time_field(&p, end, "00T");
    hour = knock_time_field(&p, end, "00:");
    minute = knock_time_field(&p, end, "00:");
    second = knock_time_field(&p, end, "00");

    if (year < 0 || month < 1 || month > 12 || day < 1
        || day > lengths[month - 1]
                 + (month == 2 && year % 4 == 0
                    && (year % 100 != 0 || year % 400 == 0))
        || hour < 0 || hour > 23 || minute < 0 || minute > 59
        || second < 0 || second > 60)
    {
        return KNOCK_DECLINED;
    }

    time = ((knock_time_days(year, month, day) * 24 + hour) * 60 + minute) * 60
           + second;
    time *= 1000;

    if (end - p > 1 && *p == '.' && p[1] >= '0' && p[1] <= '9') {

        for (unit = 100, p++; p < end && *p >= '0' && *p <= '9'; p++) {
            time += unit * (*p - '0');
            unit /= 10;
        }
    }

    if (p == end) {
        return KNOCK_DECLINED;
    }

    ahead = 0;

    if (*p == 'Z' || *p == 'z') {
        p++;

    } else if (*p == '+' || *p == '-') {
        sign = (*p++ == '-') ? -1 : 1;

        hour = knock_time_field(&p, end, "00:");
        minute = knock_time_field(&p, end, "00");

        if (hour < 0 || hour > 23 || minute < 0 || minute > 59) {
            return KNOCK_DECLINED;
        }

        ahead = sign * (hour * 60 + minute) * 60 * 1000;
    }

    if (p != end || time < ahead) {
        return KNOCK_DECLINED;
    }

    *ms = (uint64_t) (time - ahead);

    return KNOCK_OK;
}


/* days since 1970, counted as above */

static int64_t
knock_time_days(int64_t year, int64_t month, int64_t day)
{
    if (month < 3) {
        year--;
        month += 12;
    }

    return 365 * year + year / 4 - year / 100 + year / 400
           + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}


/*
 * The number at *p, which goes past it, in a format of zeros, one for each
 * digit, and what stands behind them; -1 if it is not so.
 */

static int64_t
knock_time_field(const unsigned char **p, const unsigned char *end,
    const char *format)
{
    int64_t               n;
    const unsigned char  *c;

    c = *p;

    for (n = 0; *format; format++, c++) {

        if (c == end) {
            return -1;
        }

        if (*format == '0' && *c >= '0' && *c <= '9') {
            n = n * 10 + (*c - '0');

        } else if (*c != (unsigned char) *format
                   && !(*format == 'T' && (*c == 't' || *c == ' ')))
        {
            return -1;
        }
    }

    *p = c;

    return n;
}


/* RFC 3339 timestamps, always UTC with milliseconds. */

#ifndef KNOCK_TIME_H
#define KNOCK_TIME_H


#include "knock_str.h"


#define KNOCK_TIME_LEN  (sizeof("2026-01-02T03:04:05.678Z") - 1)


/*
 * Writes KNOCK_TIME_LEN bytes, no NUL, for `ms` milliseconds since 1970,
 * valid up to the year 9999.
 */
void knock_time_format(uint64_t ms, unsigned char *out);

/*
 * The milliseconds since 1970 of an RFC 3339 time, with any offset and any
 * fraction, which is cut to milliseconds; a leap second is the next one.
 * KNOCK_OK, or KNOCK_DECLINED: it is none, or lies before 1970.
 */
int knock_time_parse(const knock_str_t *text, uint64_t *ms);

/*
 * The milliseconds since 1970 that the text of a JSON number stands for:
 * seconds, or milliseconds, as which seconds would be past the year 5138.
 * KNOCK_OK, or KNOCK_DECLINED: before 1970, or after the year 9999.
 */
int knock_time_number(const knock_str_t *number, uint64_t *ms);


#endif /* KNOCK_TIME_H */


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


#endif /* KNOCK_TIME_H */

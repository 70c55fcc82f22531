
#include <stdarg.h>
#include <stdio.h>
#include "knock_error.h"


static void knock_error_trim(char *message, size_t len);


static const struct {
    const char  *name;
    unsigned     status;
} knock_errors[KNOCK_E_COUNT] = {
    { "none", 200 },
#define KNOCK_ERROR_ROW(name, code, status)  { code, status },
    KNOCK_ERROR_TABLE(KNOCK_ERROR_ROW)
#undef KNOCK_ERROR_ROW
};


int
knock_error_set(knock_error_t *err, knock_error_code_e code,
    const char *fmt, ...)
{
    int      n;
    va_list  args;

    err->code = code;
    err->offset = 0;

    va_start(args, fmt);
    n = vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);

    if (n < 0) {
        err->message[0] = '\0';

    } else if ((size_t) n >= sizeof(err->message)) {
        knock_error_trim(err->message, sizeof(err->message) - 1);
    }

    return KNOCK_ERROR;
}


int
knock_error_memory(knock_error_t *err)
{
    return knock_error_set(err, KNOCK_E_INTERNAL, "out of memory");
}


const char *
knock_error_name(knock_error_code_e code)
{
    return knock_errors[code].name;
}


unsigned
knock_error_status(knock_error_code_e code)
{
    return knock_errors[code].status;
}


/* ends a message that was cut short before a UTF-8 sequence that was cut */

static void
knock_error_trim(char *message, size_t len)
{
    size_t         lead, need;
    unsigned char  c;

    for (lead = len; lead > 0 && len - lead < 4; /* void */ ) {
        c = (unsigned char) message[--lead];

        if (c < 0x80) {
            return;
        }

        if (c >= 0xc0) {
            need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

            if (len - lead < need) {
                message[lead] = '\0';
            }

            return;
        }
    }
}


/*
 * The errors of the outside world: one table of codes with their HTTP status,
 * and the object that carries a code and a sentence from where something went
 * wrong to where it is answered.  docs/errors.md documents the same table.
 */

#ifndef KNOCK_ERROR_H
#define KNOCK_ERROR_H


#include "knock_str.h"


/* X(name, code, http status) */

#define KNOCK_ERROR_TABLE(X)                                                 \
    X(INVALID_REQUEST,       "invalid_request",       400)                   \
    X(INVALID_JSON,          "invalid_json",          400)                   \
    X(INVALID_EVENT,         "invalid_event",         400)                   \
    X(INVALID_SIGNATURE,     "invalid_signature",     401)                   \
    X(ENDPOINT_DISABLED,     "endpoint_disabled",     403)                   \
    X(UNKNOWN_ENDPOINT,      "unknown_endpoint",      404)                   \
    X(METHOD_NOT_ALLOWED,    "method_not_allowed",    405)                   \
    X(LENGTH,                "body_too_large",        413)                   \
    X(BATCH_TOO_LARGE,       "batch_too_large",       413)                   \
    X(RUNS_TOO_LARGE,        "runs_too_large",        413)                   \
    X(UNSUPPORTED_MEDIA,     "unsupported_media_type", 415)                  \
    X(UNSUPPORTED_ENCODING,  "unsupported_encoding",  415)                   \
    X(INTERNAL,              "internal_error",        500)                   \
    X(UNAVAILABLE,           "redis_unavailable",     503)                   \
    X(OVERLOADED,            "overloaded",            503)                   \
    /* nginx's own, in a location of the module */                           \
    X(REQUEST_TIMEOUT,       "request_timeout",       408)                   \
    X(TOO_MANY_REQUESTS,     "too_many_requests",     429)                   \
    X(BAD_GATEWAY,           "bad_gateway",           502)                   \
    X(SERVICE_UNAVAILABLE,   "service_unavailable",   503)                   \
    X(GATEWAY_TIMEOUT,       "gateway_timeout",       504)                   \
    /* of one event or action, listed in the answer's "errors" */            \
    X(USER_TOO_LARGE,        "user_too_large",        400)                   \
    X(RECIPIENTS_MISSING,    "recipients_missing",    200)                   \
    X(TOO_MANY_RECIPIENTS,   "too_many_recipients",   200)                   \
    /* of a document that is saved */                                        \
    X(INVALID_ACTION,        "invalid_action",        422)                   \
    X(INVALID_BODY,          "invalid_body",          422)                   \
    X(INVALID_USER,          "invalid_user",          422)                   \
    /* of the control API */                                                 \
    X(INVALID_PARAMETER,     "invalid_parameter",     422)                   \
    X(INVALID_CURSOR,        "invalid_cursor",        422)                   \
    X(UNAUTHORIZED,          "unauthorized",          401)                   \
    X(FORBIDDEN,             "forbidden",             403)                   \
    X(NOT_FOUND,             "not_found",             404)                   \
    X(EXISTS,                "exists",                409)                   \
    X(STALE,                 "stale",                 412)


typedef enum {
    KNOCK_E_NONE = 0,
#define KNOCK_ERROR_ENUM(name, code, status)  KNOCK_E_##name,
    KNOCK_ERROR_TABLE(KNOCK_ERROR_ENUM)
#undef KNOCK_ERROR_ENUM
    KNOCK_E_COUNT
} knock_error_code_e;


#define KNOCK_ERROR_MESSAGE  512


typedef struct {
    knock_error_code_e  code;
    size_t              offset;     /* byte, or column of a path; from 0 */
    char                message[KNOCK_ERROR_MESSAGE];
} knock_error_t;


/*
 * Fills the error with a code and a printf-formatted sentence (cut short to
 * fit, never inside a UTF-8 sequence) and returns KNOCK_ERROR, so that a
 * function can end with `return knock_error_set(...)`.
 */
int knock_error_set(knock_error_t *err, knock_error_code_e code,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* the same for memory that was not to be had: KNOCK_E_INTERNAL */
int knock_error_memory(knock_error_t *err);

/* a code's name as the outside sees it ("invalid_json"), and HTTP status */
const char *knock_error_name(knock_error_code_e code);
unsigned knock_error_status(knock_error_code_e code);


#endif /* KNOCK_ERROR_H */

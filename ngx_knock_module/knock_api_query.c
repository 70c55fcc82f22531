
/* the query of a call of the control API */

#include "knock_api_internal.h"


typedef struct {
    const char          *name;
    int                (*set)(knock_api_request_t *req,
                              const knock_str_t *value, knock_error_t *err);
} knock_api_parameter_t;


static int knock_api_parameter(knock_arena_t *arena, const knock_str_t *pair,
    knock_api_request_t *req, knock_error_t *err);
static int knock_api_set_limit(knock_api_request_t *req,
    const knock_str_t *value, knock_error_t *err);
static int knock_api_set_cursor(knock_api_request_t *req,
    const knock_str_t *value, knock_error_t *err);
static int knock_api_set_status(knock_api_request_t *req,
    const knock_str_t *value, knock_error_t *err);
static int knock_api_set_environment(knock_api_request_t *req,
    const knock_str_t *value, knock_error_t *err);
static int knock_api_decode(knock_arena_t *arena, const knock_str_t *raw,
    knock_str_t *value);


static const knock_api_parameter_t  knock_api_parameter_table[] = {
    { "limit", knock_api_set_limit },
    { "cursor", knock_api_set_cursor },
    { "status", knock_api_set_status },
    { "environment", knock_api_set_environment },
    { NULL, NULL }
};


static const char *const  knock_api_statuses[] = {
    "processed", "ignored", "duplicate", "failed", NULL
};


int
knock_api_query(knock_arena_t *arena, const knock_str_t *query,
    knock_api_request_t *req, knock_error_t *err)
{
    knock_str_t     pair;
    unsigned char  *p, *end;

    p = query->data;
    end = query->len ? p + query->len : p;

    while (p < end) {

        pair.data = p;

        while (p < end && *p != '&') {
            p++;
        }

        pair.len = (size_t) (p - pair.data);

        if (pair.len != 0
            && knock_api_parameter(arena, &pair, req, err) != KNOCK_OK)
        {
            return KNOCK_ERROR;
        }

        if (p < end) {
            p++;
        }
    }

    return KNOCK_OK;
}


static int
knock_api_parameter(knock_arena_t *arena, const knock_str_t *pair,
    knock_api_request_t *req, knock_error_t *err)
{
    int                           rc;
    unsigned char                *p;
    knock_str_t                   raw, name, value;
    knock_json_t                 *token;
    const knock_api_parameter_t  *parameter;

    p = memchr(pair->data, '=', pair->len);

    raw.data = pair->data;
    raw.len = p ? (size_t) (p - pair->data) : pair->len;

    rc = knock_api_decode(arena, &raw, &name);

    if (rc == KNOCK_OK) {
        raw.data = p ? p + 1 : pair->data + pair->len;
        raw.len = (size_t) (pair->data + pair->len - raw.data);

        rc = knock_api_decode(arena, &raw, &value);
    }

    if (rc == KNOCK_OK) {
        rc = knock_api_json(arena, &value, &token);
    }

    if (rc == KNOCK_ERROR) {
        return knock_error_memory(err);
    }

    if (rc == KNOCK_DECLINED) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "a parameter of the query: expected UTF-8, "
                               "percent-encoded");
    }

    for (parameter = knock_api_parameter_table; parameter->name; parameter++) {
        if (knock_str_is(&name, parameter->name)) {
            return parameter->set(req, &value, err);
        }
    }

    return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                           "the query takes \"limit\", \"cursor\" and "
                           "\"status\", that of commits \"environment\" "
                           "too, remove its other parameters");
}


static int
knock_api_set_limit(knock_api_request_t *req, const knock_str_t *value,
    knock_error_t *err)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < value->len && n <= KNOCK_API_MAX_LIMIT; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            n = 0;
            break;
        }

        n = n * 10 + (size_t) (value->data[i] - '0');
    }

    if (n == 0 || n > KNOCK_API_MAX_LIMIT) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "\"limit\": expected a number from 1 to "
                               KNOCK_API_STR(KNOCK_API_MAX_LIMIT));
    }

    req->limit = n;

    return KNOCK_OK;
}


static int
knock_api_set_cursor(knock_api_request_t *req, const knock_str_t *value,
    knock_error_t *err)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            break;
        }
    }

    if (i < value->len || value->len > KNOCK_API_MAX_CURSOR) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "\"cursor\": expected the \"cursor\" of the "
                               "page before, as it was answered");
    }

    req->cursor = *value;

    return KNOCK_OK;
}


static int
knock_api_set_status(knock_api_request_t *req, const knock_str_t *value,
    knock_error_t *err)
{
    size_t  i;

    req->status = *value;

    if (value->len == 0) {
        return KNOCK_OK;
    }

    for (i = 0; knock_api_statuses[i]; i++) {
        if (knock_str_is(value, knock_api_statuses[i])) {
            return KNOCK_OK;
        }
    }

    return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                           "\"status\": expected processed, ignored, "
                           "duplicate or failed");
}


static int
knock_api_set_environment(knock_api_request_t *req, const knock_str_t *value,
    knock_error_t *err)
{
    if (req->op != KNOCK_API_COMMIT_LIST) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "\"environment\": only the list of commits "
                               "takes it, remove it");
    }

    if (value->len != 0 && !knock_api_environment_valid(value)) {
        return knock_error_set(err, KNOCK_E_INVALID_PARAMETER,
                               "\"environment\": expected "
                               KNOCK_API_EXPECTED_ENVIRONMENT);
    }

    req->environment = *value;

    return KNOCK_OK;
}


/*
 * Percent-decodes; a '+' is a space.  KNOCK_OK; KNOCK_DECLINED: a '%' without
 * two hex digits; KNOCK_ERROR: no memory.
 */

static int
knock_api_decode(knock_arena_t *arena, const knock_str_t *raw,
    knock_str_t *value)
{
    int             high, low;
    unsigned char  *p, *end, *out;

    out = knock_arena_alloc(arena, raw->len);
    if (out == NULL) {
        return KNOCK_ERROR;
    }

    value->data = out;

    p = raw->data;
    end = p + raw->len;

    while (p < end) {

        if (*p == '%') {
            if (end - p < 3) {
                return KNOCK_DECLINED;
            }

            high = knock_api_hex(p[1]);
            low = knock_api_hex(p[2]);

            if (high < 0 || low < 0) {
                return KNOCK_DECLINED;
            }

            *out++ = (unsigned char) (high << 4 | low);
            p += 3;

        } else {
            *out++ = (*p == '+') ? ' ' : *p;
            p++;
        }
    }

    value->len = (size_t) (out - value->data);

    return KNOCK_OK;
}


int
knock_api_hex(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


int
knock_api_json(knock_arena_t *arena, const knock_str_t *value,
    knock_json_t **token)
{
    knock_buf_t    buf;
    knock_str_t    text;
    knock_error_t  err;

    knock_buf_init(&buf, arena, value->len + 2);
    knock_buf_add_json(&buf, value);

    if (knock_buf_str(&buf, &text) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    if (knock_json_parse(arena, &text, KNOCK_MAX_DEPTH, token, &err)
        == KNOCK_OK)
    {
        return KNOCK_OK;
    }

    return err.code == KNOCK_E_INVALID_JSON ? KNOCK_DECLINED : KNOCK_ERROR;
}

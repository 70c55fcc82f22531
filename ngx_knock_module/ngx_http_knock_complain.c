
#include "ngx_http_knock_worker.h"


static ngx_http_knock_complaint_t *ngx_http_knock_complain_find(
    ngx_http_knock_worker_t *worker, uint32_t key);


void ngx_cdecl
ngx_http_knock_complain(ngx_http_knock_worker_t *worker, const ngx_str_t *why,
    const char *fmt, ...)
{
    u_char                       text[NGX_MAX_ERROR_STR];
    u_char                      *p;
    time_t                       now;
    va_list                      args;
    uint32_t                     key;
    ngx_http_knock_complaint_t  *complaint;

    now = ngx_time();

    key = ngx_crc32_short((u_char *) fmt, ngx_strlen(fmt));

    if (why) {
        key ^= ngx_crc32_short(why->data, why->len);
    }

    complaint = ngx_http_knock_complain_find(worker, key);

    if (complaint == NULL) {
        return;
    }

    if (complaint->key == key && complaint->sec == now) {
        complaint->more++;
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(text), fmt, args);
    va_end(args);

    if (complaint->key == key && complaint->more) {
        ngx_log_error(NGX_LOG_ERR, worker->log, 0,
                      "knock: %*s (%ui lines like this one were left out)",
                      (size_t) (p - text), text, complaint->more);

    } else {
        ngx_log_error(NGX_LOG_ERR, worker->log, 0, "knock: %*s",
                      (size_t) (p - text), text);
    }

    complaint->key = key;
    complaint->sec = now;
    complaint->more = 0;
}


void
ngx_http_knock_complain_memory(ngx_http_knock_worker_t *worker,
    const char *what)
{
    ngx_http_knock_complain(worker, NULL,
                            "no memory for %s, answered 500: see what the "
                            "worker has used it up for, or lower "
                            "knock_max_in_flight", what);
}


/*
 * The place of a complaint: its own, or that of the one longest ago.  NULL:
 * all were made this second, there are too many of them.
 */

static ngx_http_knock_complaint_t *
ngx_http_knock_complain_find(ngx_http_knock_worker_t *worker, uint32_t key)
{
    ngx_uint_t                   i;
    ngx_http_knock_complaint_t  *complaint, *oldest;

    oldest = &worker->complaints[0];

    for (i = 0; i < NGX_HTTP_KNOCK_COMPLAINTS; i++) {
        complaint = &worker->complaints[i];

        if (complaint->sec && complaint->key == key) {
            return complaint;
        }

        if (complaint->sec < oldest->sec) {
            oldest = complaint;
        }
    }

    return oldest->sec == ngx_time() ? NULL : oldest;
}

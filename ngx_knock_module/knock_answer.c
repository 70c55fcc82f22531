
#include "knock_answer.h"
#include "knock_limits.h"
#include "knock_unit.h"


static void knock_answer_add_text(knock_buf_t *buf, const char *text);


void
knock_answer_add_error(knock_buf_t *buf, size_t index,
    const knock_str_t *action, const knock_error_t *err)
{
    if (buf->len) {
        knock_buf_add_char(buf, ',');
    }

    knock_buf_add_lit(buf, "{\"index\":");
    knock_buf_add_uint(buf, index);

    if (action) {
        knock_buf_add_lit(buf, ",\"action\":");
        knock_buf_add_json(buf, action);
    }

    knock_buf_add_lit(buf, ",\"code\":");
    knock_answer_add_text(buf, knock_error_name(err->code));
    knock_buf_add_lit(buf, ",\"message\":");
    knock_answer_add_text(buf, err->message);
    knock_buf_add_char(buf, '}');
}


int
knock_answer_refused(knock_arena_t *arena, const knock_error_t *err,
    const knock_str_t *errors, knock_str_t *json)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, 256 + errors->len);

    knock_buf_add_lit(&buf, "{\"error\":{\"code\":");
    knock_answer_add_text(&buf, knock_error_name(err->code));
    knock_buf_add_lit(&buf, ",\"message\":");
    knock_answer_add_text(&buf, err->message);
    knock_buf_add_char(&buf, '}');

    if (errors->len) {
        knock_buf_add_lit(&buf, ",\"errors\":[");
        knock_buf_add_str(&buf, errors);
        knock_buf_add_char(&buf, ']');
    }

    knock_buf_add_lit(&buf, "}\n");

    return knock_buf_str(&buf, json);
}


int
knock_answer_applied(knock_arena_t *arena, const knock_applied_t *applied,
    knock_str_t *json, knock_error_t *err)
{
    size_t       i, accepted, duplicates, ignored;
    knock_buf_t  buf, errors;

    accepted = 0;
    duplicates = 0;
    ignored = 0;

    knock_buf_init(&errors, arena, applied->errors.len + 128);
    knock_buf_add_str(&errors, &applied->errors);

    err->code = KNOCK_E_NONE;

    for (i = 0; i < applied->statuses.len; i++) {

        switch (applied->statuses.data[i]) {

        case KNOCK_STATUS_DUPLICATE:
            duplicates++;
            break;

        case KNOCK_STATUS_IGNORED:
            ignored++;
            break;

        case KNOCK_STATUS_LARGE:
            (void) knock_error_set(err, KNOCK_E_USER_TOO_LARGE,
                                   "with these traits the user would hold "
                                   "more than %d bytes: send fewer or "
                                   "shorter ones", KNOCK_MAX_USER_BYTES);

            knock_answer_add_error(&errors, applied->indexes
                                            ? applied->indexes[i] : i,
                                   NULL, err);
            break;

        default:
            accepted++;
        }
    }

    if (accepted + duplicates + ignored == 0) {
        return KNOCK_DECLINED;
    }

    knock_buf_init(&buf, arena, 128 + errors.len);

    knock_buf_add_lit(&buf, "{\"accepted\":");
    knock_buf_add_uint(&buf, accepted);
    knock_buf_add_lit(&buf, ",\"duplicates\":");
    knock_buf_add_uint(&buf, duplicates);
    knock_buf_add_lit(&buf, ",\"ignored\":");
    knock_buf_add_uint(&buf, ignored);
    knock_buf_add_lit(&buf, ",\"runs\":");
    knock_buf_add_uint(&buf, applied->runs);
    knock_buf_add_lit(&buf, ",\"errors\":[");
    knock_buf_add(&buf, errors.data, errors.len);
    knock_buf_add_lit(&buf, "]}\n");

    buf.failed |= errors.failed;

    return knock_buf_str(&buf, json);
}


static void
knock_answer_add_text(knock_buf_t *buf, const char *text)
{
    knock_str_t  str;

    str.data = (unsigned char *) text;
    str.len = strlen(text);

    knock_buf_add_json(buf, &str);
}

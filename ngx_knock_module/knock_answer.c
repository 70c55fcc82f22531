
#include "knock_answer.h"


static void knock_answer_add_text(knock_buf_t *buf, const char *text);


knock_faults_t *
knock_faults_create(knock_arena_t *arena)
{
    knock_faults_t  *faults;

    faults = knock_arena_calloc(arena, 1, sizeof(knock_faults_t));

    if (faults) {
        knock_buf_init(&faults->entries, arena, 256);
    }

    return faults;
}


void
knock_faults_add(knock_faults_t *faults, size_t index,
    const knock_str_t *action, const knock_error_t *err)
{
    size_t        len;
    knock_buf_t  *buf;

    buf = &faults->entries;
    len = buf->len;

    faults->codes[err->code]++;

    if (faults->first.code == KNOCK_E_NONE) {
        faults->first = *err;
    }

    if (faults->omitted) {
        faults->omitted++;
        faults->omitted_codes[err->code]++;
        return;
    }

    if (len) {
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

    if (buf->len > KNOCK_ANSWER_ERRORS) {
        buf->len = len;
        faults->omitted++;
        faults->omitted_codes[err->code]++;
    }
}


void
knock_faults_write(const knock_faults_t *faults, knock_buf_t *buf)
{
    size_t  i, n;

    knock_buf_add_lit(buf, "\"errors\":[");

    if (faults == NULL) {
        knock_buf_add_char(buf, ']');
        return;
    }

    knock_buf_add(buf, faults->entries.data, faults->entries.len);
    knock_buf_add_char(buf, ']');

    buf->failed |= faults->entries.failed;

    if (faults->omitted == 0) {
        return;
    }

    knock_buf_add_lit(buf, ",\"errors_omitted\":{");

    for (n = 0, i = 0; i < KNOCK_E_COUNT; i++) {

        if (faults->omitted_codes[i] == 0) {
            continue;
        }

        if (n++) {
            knock_buf_add_char(buf, ',');
        }

        knock_answer_add_text(buf, knock_error_name((knock_error_code_e) i));
        knock_buf_add_char(buf, ':');
        knock_buf_add_uint(buf, faults->omitted_codes[i]);
    }

    knock_buf_add_char(buf, '}');
}


int
knock_answer_refused(knock_arena_t *arena, const knock_error_t *err,
    const knock_faults_t *faults, knock_str_t *json)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, 256 + (faults ? faults->entries.len : 0));

    knock_buf_add_lit(&buf, "{\"error\":{\"code\":");
    knock_answer_add_text(&buf, knock_error_name(err->code));
    knock_buf_add_lit(&buf, ",\"message\":");
    knock_answer_add_text(&buf, err->message);
    knock_buf_add_char(&buf, '}');

    if (faults) {
        knock_buf_add_char(&buf, ',');
        knock_faults_write(faults, &buf);
    }

    knock_buf_add_lit(&buf, "}\n");

    return knock_buf_str(&buf, json);
}


int
knock_answer_applied(knock_arena_t *arena, const knock_applied_t *applied,
    const knock_faults_t *faults, knock_str_t *json)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, 128 + (faults ? faults->entries.len : 0));

    knock_buf_add_lit(&buf, "{\"accepted\":");
    knock_buf_add_uint(&buf, applied->accepted);
    knock_buf_add_lit(&buf, ",\"duplicates\":");
    knock_buf_add_uint(&buf, applied->duplicates);
    knock_buf_add_lit(&buf, ",\"ignored\":");
    knock_buf_add_uint(&buf, applied->ignored);
    knock_buf_add_lit(&buf, ",\"runs\":");
    knock_buf_add_uint(&buf, applied->runs);
    knock_buf_add_char(&buf, ',');
    knock_faults_write(faults, &buf);
    knock_buf_add_lit(&buf, "}\n");

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

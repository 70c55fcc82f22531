
/*
 * A batch: an array whose elements stand for themselves.  What is refused in
 * one of them is passed over by its strings and brackets alone, and the parser
 * goes on behind it; so each byte is looked at twice at the most.  How the
 * reader words what it refuses is here too.
 */

#include <stdio.h>
#include "knock_json_scan.h"
#include "knock_limits.h"


static knock_json_t *knock_json_refused(const knock_json_parser_t *ps);
static unsigned char *knock_json_element_end(knock_json_parser_t *ps,
    unsigned char *p);
static unsigned char *knock_json_string_end(unsigned char *p,
    const unsigned char *end);


static const char  *knock_json_faults[KNOCK_JSON_NFAULTS] = {
#define KNOCK_JSON_FAULT_TEXT(name, text)  text,
    KNOCK_JSON_FAULTS(KNOCK_JSON_FAULT_TEXT)
#undef KNOCK_JSON_FAULT_TEXT
};


void
knock_json_begin_batch(knock_json_parser_t *ps, const knock_json_t *array)
{
    if (ps->type == KNOCK_JSON_ARRAY
        || (ps->type == KNOCK_JSON_OBJECT
            && !knock_json_string_eq(array - 1, ps->member)))
    {
        return;
    }

    ps->batch = (uint32_t) (array - ps->tokens);
    ps->more = ps->depth + 1;
}


unsigned char *
knock_json_pass_over(knock_json_parser_t *ps)
{
    knock_json_t   *token;
    unsigned char  *end;

    token = knock_json_refused(ps);
    if (token == NULL) {
        return NULL;
    }

    end = knock_json_element_end(ps, token->data);

    if (end == NULL || end == token->data) {
        return NULL;
    }

    token->type = KNOCK_JSON_BAD;
    token->escaped = (uint8_t) ps->fault;
    token->count = (uint32_t) (ps->at - ps->start);
    token->len = (uint32_t) (end - token->data);
    token->span = 1;

    ps->loose = 1;
    ps->next = token + 1;

    ps->depth = ps->more;
    ps->type = KNOCK_JSON_ARRAY;
    ps->index = ps->batch;
    ps->open = &ps->tokens[ps->batch];

    return end;
}


/* the element that was refused, or NULL: it was not in one */

static knock_json_t *
knock_json_refused(const knock_json_parser_t *ps)
{
    uint32_t  index;

    if (ps->batch == KNOCK_JSON_TOP || ps->type == 0
        || ps->fault == KNOCK_JSON_MEMORY || ps->fault == KNOCK_JSON_VALUES)
    {
        return NULL;
    }

    if (ps->index == ps->batch) {
        return ps->fault == KNOCK_JSON_NO_BRACKET ? NULL : ps->next - 1;
    }

    for (index = ps->index; index != KNOCK_JSON_TOP;
         index = ps->tokens[index].span)
    {
        if (ps->tokens[index].span == ps->batch) {
            return &ps->tokens[index];
        }
    }

    return NULL;
}


/*
 * What follows the element that begins at p, up to white space in front of a
 * comma or of the batch's bracket; NULL if it has no end.  Brackets must be
 * closed by their own kind, or the next elements might be taken for its parts.
 */

static unsigned char *
knock_json_element_end(knock_json_parser_t *ps, unsigned char *p)
{
    knock_buf_t     open;
    unsigned char  *last;

    knock_buf_init(&open, ps->arena, 0);

    for (last = p; p < ps->end; /* void */) {

        switch (*p) {

        case '"':
            p = knock_json_string_end(p, ps->end);
            last = p;
            continue;

        case '[':
        case '{':
            knock_buf_add_char(&open, *p == '[' ? ']' : '}');

            if (open.failed) {
                ps->fault = KNOCK_JSON_MEMORY;
                return NULL;
            }

            break;

        case ']':
        case '}':
            if (open.len == 0) {
                return *p == ']' ? last : NULL;
            }

            if (open.data[--open.len] != *p) {
                return NULL;
            }

            break;

        case ',':
            if (open.len == 0) {
                return last;
            }

            break;

        default:
            if (knock_json_is_space(*p)) {
                p++;
                continue;
            }
        }

        last = ++p;
    }

    return NULL;
}


/* what follows the string that begins at p; the end if it does not close */

static unsigned char *
knock_json_string_end(unsigned char *p, const unsigned char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\' && end - p > 1) {
            p++;
        }
    }

    return p < end ? p + 1 : p;
}


unsigned char *
knock_json_refuse(knock_json_parser_t *ps, unsigned char *p,
    knock_json_fault_e fault)
{
    ps->at = p;
    ps->fault = fault;

    return NULL;
}


int
knock_json_why(const knock_str_t *text, const knock_json_t *bad,
    size_t max_depth, knock_error_t *err)
{
    return knock_json_say(text, bad->count, bad->escaped, max_depth, err);
}


int
knock_json_say(const knock_str_t *text, size_t offset,
    knock_json_fault_e fault, size_t max_depth, knock_error_t *err)
{
    char  found[sizeof("the end of the text")];

    switch (fault) {

    case KNOCK_JSON_MEMORY:
        return knock_error_memory(err);

    case KNOCK_JSON_VALUES:
        (void) knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "byte %zu: the text has more than %d values "
                               "and keys", offset, KNOCK_MAX_VALUES);
        break;

    case KNOCK_JSON_DEPTH:
        (void) knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "byte %zu: arrays and objects are nested "
                               "deeper than the limit of %zu levels", offset,
                               max_depth);
        break;

    default:
        if (fault < KNOCK_JSON_EXPECTED) {
            (void) knock_error_set(err, KNOCK_E_INVALID_JSON, "byte %zu: %s",
                                   offset, knock_json_faults[fault]);
            break;
        }

        if (offset == text->len) {
            (void) snprintf(found, sizeof(found), "the end of the text");

        } else if (text->data[offset] > 0x20 && text->data[offset] < 0x7f) {
            (void) snprintf(found, sizeof(found), "'%c'", text->data[offset]);

        } else {
            (void) snprintf(found, sizeof(found), "byte 0x%02x",
                            text->data[offset]);
        }

        (void) knock_error_set(err, KNOCK_E_INVALID_JSON,
                               "byte %zu: expected %s, found %s", offset,
                               knock_json_faults[fault], found);
    }

    err->offset = offset;

    return KNOCK_ERROR;
}

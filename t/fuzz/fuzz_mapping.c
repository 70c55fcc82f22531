
/*
 * Mappings: the first line of the input is an action's document, what follows
 * an event.  What the action resolves to keeps the rules of its header.
 */

#include "fuzz.h"
#include "strict.h"
#include "knock_log.h"
#include "knock_run.h"


#define NOW  1704164645678u


static const knock_limits_t  limits = { 8, 5, 64, 1 << 20 };


static void mapping_check(knock_arena_t *arena, const knock_event_t *event,
    const knock_resolved_t *resolved);
static void mapping_ref(const knock_ref_t *ref);
static void mapping_runs(knock_arena_t *arena, const knock_event_t *event,
    const knock_resolved_t *resolved);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    knock_str_t       input, document, text;
    knock_json_t     *doc, *root;
    knock_event_t     event;
    knock_arena_t    *arena;
    knock_error_t     err;
    knock_action_t    action;
    knock_resolved_t  resolved;

    input.len = size;
    input.data = (unsigned char *) (uintptr_t) data;

    document = fuzz_piece(&input, '\n');
    text = fuzz_piece(&input, '\0');

    arena = knock_arena_create(1024);
    check(arena != NULL);

    if (knock_json_parse(arena, &document, 64, &doc, &err) != KNOCK_OK) {
        goto done;
    }

    if (knock_action_compile(arena, doc, &action, &err) != KNOCK_OK) {
        check(err.code == KNOCK_E_INVALID_ACTION && err.message[0] != '\0');
        goto done;
    }

    check(knock_key_valid(&action.key) && knock_key_valid(&action.workflow));
    check(action.nrecipients > 0);

    if (knock_json_parse(arena, &text, 64, &root, &err) != KNOCK_OK) {
        goto done;
    }

    if (knock_event_read(arena, root, &event, &err) != KNOCK_OK) {
        check(err.code == KNOCK_E_INVALID_EVENT && err.message[0] != '\0');
        goto done;
    }

    check(knock_event_key_valid(&event.key));

    memset(&resolved, 0, sizeof(knock_resolved_t));

    check(knock_mapping_resolve(arena, &action, &event, &limits, &resolved)
          == KNOCK_OK);

    mapping_check(arena, &event, &resolved);

done:

    knock_arena_destroy(arena);
    free(document.data);
    free(text.data);

    return 0;
}


static void
mapping_check(knock_arena_t *arena, const knock_event_t *event,
    const knock_resolved_t *resolved)
{
    size_t              i, j;
    knock_str_t         log;
    const knock_ref_t  *a, *b;

    check(knock_log_build(arena, event, NULL, resolved, 1, NOW, &log)
          == KNOCK_OK);
    check(strict_json(log.data, log.len, 64));

    if (resolved->error.code != KNOCK_E_NONE) {
        check(resolved->error.code == KNOCK_E_RECIPIENTS_MISSING
              || resolved->error.code == KNOCK_E_TOO_MANY_RECIPIENTS);
        check(resolved->nrecipients == 0 && resolved->actor == NULL);
        return;
    }

    check(resolved->nrecipients <= limits.max_recipients);

    for (i = 0; i < resolved->nrecipients; i++) {
        a = &resolved->recipients[i];
        mapping_ref(a);

        for (j = 0; j < i; j++) {
            b = &resolved->recipients[j];
            check(!knock_str_eq(&a->id, &b->id)
                  || !knock_str_eq(&a->collection, &b->collection));
        }
    }

    for (i = 0; i < resolved->nleft_out; i++) {
        check(resolved->left_out[i].value && resolved->left_out[i].reason);
    }

    if (resolved->actor) {
        mapping_ref(resolved->actor);
    }

    if (resolved->tenant) {
        mapping_ref(resolved->tenant);
        check(knock_str_is(&resolved->tenant->collection, "$tenants"));
    }

    mapping_runs(arena, event, resolved);
}


static void
mapping_ref(const knock_ref_t *ref)
{
    size_t                 i, j;
    const knock_field_t   *field;
    const knock_upsert_t  *upsert;

    check(ref->id.len > 0 && ref->id.len <= KNOCK_MAX_ID);
    check(strict_utf8(ref->id.data, ref->id.len));
    check(ref->collection.len > 0
          && ref->collection.len <= KNOCK_MAX_COLLECTION);

    for (i = 0; i < ref->id.len; i++) {
        check(ref->id.data[i] >= 0x20 && ref->id.data[i] != 0x7f);
    }

    for (i = 0; i < ref->nupserts; i++) {
        upsert = &ref->upserts[i];

        check(knock_str_eq(&upsert->id, &ref->id));
        check(knock_str_eq(&upsert->collection, &ref->collection));

        for (j = 0; j < upsert->nfields; j++) {
            field = &upsert->fields[j];

            check(!knock_str_is(&field->name, "id"));
            check(!knock_str_is(&field->name, "collection"));
            check(!knock_str_is(&field->name, "updated_at"));
            check(strict_json(field->json.data, field->json.len, 64));
            check((field->json.data[0] == '{') == (field->object != NULL));
        }
    }
}


/* runs of the same event have the same ids, those of two recipients others */

static void
mapping_runs(knock_arena_t *arena, const knock_event_t *event,
    const knock_resolved_t *resolved)
{
    size_t        i, n;
    knock_run_t   run;
    knock_str_t   environment = knock_string("e");
    knock_str_t   source = knock_string("s");
    knock_str_t   message = knock_string("m");
    knock_str_t   json[2], again;

    check(knock_run_prepare(arena, &environment, &source, event, &message,
                            resolved, NOW, &run)
          == KNOCK_OK);

    n = resolved->nrecipients < 2 ? resolved->nrecipients : 2;

    for (i = 0; i < n; i++) {
        check(knock_run_build(arena, &run, &resolved->recipients[i], &json[i])
              == KNOCK_OK);
        check(strict_json(json[i].data, json[i].len, 64));
    }

    if (n == 2) {
        check(!knock_str_eq(&json[0], &json[1]));
        check(knock_run_build(arena, &run, &resolved->recipients[0], &again)
              == KNOCK_OK);
        check(knock_str_eq(&json[0], &again));
    }
}

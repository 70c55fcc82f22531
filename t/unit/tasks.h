
/* for tests: what an event of a request does, as one text */

#ifndef TASKS_H
#define TASKS_H


#include "fixture.h"
#include "knock_task.h"


/* without the times, which every upsert has */

static inline void
tasks_add_op(knock_buf_t *buf, const knock_op_t *op)
{
    size_t                i;
    const knock_field_t  *field;

    knock_buf_add(buf, op->kind == KNOCK_OP_EVENT ? " {" : " (", 2);
    knock_buf_add_str(buf, &op->key);

    for (i = 0; i < op->upsert->nfields; i++) {
        field = &op->upsert->fields[i];

        if (knock_str_is(&field->name, "updated_at")) {
            continue;
        }

        knock_buf_add_char(buf, ' ');
        knock_buf_add_str(buf, &field->name);
        knock_buf_add_char(buf, '=');
        knock_buf_add_str(buf, &field->json);
    }

    knock_buf_add(buf, op->kind == KNOCK_OP_EVENT ? "}" : ")", 1);
}


/*
 * Its status, "m" if it is marked, then of each unit its place where there are
 * several, upserts of the event in {} and of recipients in (), those who have
 * runs behind '>' and actors that are asked for behind '?'; then the verdicts
 * that are expected.
 */

static inline const char *
described(const knock_task_t *task, size_t nshards)
{
    size_t               i, place;
    knock_buf_t          buf;
    knock_str_t          s;
    const knock_unit_t  *unit;

    knock_buf_init(&buf, arena, 256);

    knock_buf_add_char(&buf, (char) task->status);
    knock_buf_add(&buf, "m", task->marked);

    for (place = 0; place < nshards; place++) {

        for (unit = task->units; unit && unit->place != place;
             unit = unit->next)
        {
            /* void */
        }

        if (unit == NULL) {
            continue;
        }

        if (nshards > 1) {
            knock_buf_add_lit(&buf, " #");
            knock_buf_add_uint(&buf, place);
            knock_buf_add(&buf, "m", unit->mark != NULL);
        }

        for (i = 0; i < unit->nops; i++) {
            tasks_add_op(&buf, &unit->ops[i]);
        }

        for (i = 0; i < unit->nruns; i++) {
            knock_buf_add_lit(&buf, " >");
            knock_buf_add_str(&buf, &unit->runs[i].key);
        }

        for (i = 0; i < unit->nactors; i++) {
            knock_buf_add_lit(&buf, " ?");
            knock_buf_add_str(&buf, &unit->actors[i].key);
        }
    }

    if (task->doc.len) {
        knock_buf_add_lit(&buf, " log ");
        knock_buf_add_str(&buf, &task->verdicts);
    }

    assert_int_equal(knock_buf_str(&buf, &s), KNOCK_OK);

    return text(&s);
}


#endif /* TASKS_H */

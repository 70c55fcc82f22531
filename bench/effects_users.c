/*
 * The users: stored before a run, held afterwards against what the events have
 * left of them.  Which of two events to one user was the last is open, unless
 * they stood in one array; but the values tell from which event they are, and
 * those of one event come together.
 */

#include "effects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define USERS_VALUE_SIZE  1024
#define USERS_NONE        UINT64_MAX

enum {
    USERS_TOUCHED    = 1,       /* by an inline identification or identify */
    USERS_IDENTIFIED = 2,
    USERS_NESTED     = 4        /* identified with objects */
};

enum {
    USER_ID = 0, USER_EMAIL, USER_NAME, USER_UPDATED_AT, USER_FIRST,
    USER_LAST, USER_PHONE, USER_PLAN, USER_SEATS, USER_CREATED_AT,
    USER_COMPANY, USER_TITLE, USER_TIMEZONE, USER_LOCALE, USER_TAGS,
    USER_ABOUT, USER_ADDRESS, USER_FIELDS
};


static const char  *user_fields[USER_FIELDS] = {
    "id", "email", "name", "updated_at", "firstName", "lastName",
    "phone_number", "plan", "seats", "created_at", "company", "title",
    "timezone", "locale", "tags", "about", "address"
};


static void effects_stored_email(uint32_t user, char *email);
static void effects_verify_user(effects_t *effects, uint32_t user, int flags,
    const json_slice_t *fields, unsigned n);
static const char *effects_user_fault(effects_t *effects, uint32_t user,
    int flags, const json_slice_t *fields, unsigned n);
static const char *effects_identified_fault(effects_t *effects,
    const json_slice_t *fields, uint64_t i);
static const char *effects_address_fault(effects_t *effects, uint32_t user,
    json_slice_t address);
static int effects_same_object(json_slice_t value, const char *text);
static uint64_t effects_source(effects_t *effects, uint32_t user,
    json_slice_t value, const char *before, const char *after);
static int effects_superseded(effects_t *effects, uint32_t user, uint64_t i,
    int nested);


void
effects_prepare(effects_t *effects)
{
    char      key[64], id[16], email[64], text[BENCH_ID_SIZE];
    uint32_t  user, pending;

    pending = 0;

    for (user = 0; user < effects->events.users; user++) {
        bench_user_id(user, text);
        (void) snprintf(key, sizeof(key), BENCH_TAG "user:%s", text);
        (void) snprintf(id, sizeof(id), "\"%s\"", text);
        effects_stored_email(user, email);

        redis_add(&effects->redis, "HSET", key, "id", id, "email", email,
                  "name", "\"Known Already\"", "updated_at",
                  "\"" EFFECTS_LONG_AGO "\"", (char *) NULL);

        if (++pending == EFFECTS_PIPELINE
            || user + 1 == effects->events.users)
        {
            redis_flush(&effects->redis);

            for (/* void */ ; pending; pending--) {
                (void) redis_reply(&effects->redis, NULL);
            }
        }
    }
}


void
effects_verify_users(effects_t *effects)
{
    char           key[64], id[BENCH_ID_SIZE], *store;
    uint8_t       *flags;
    int64_t        n, k;
    uint32_t       user, from, users;
    uint64_t       i;
    size_t         used;
    unsigned       found;
    json_slice_t   name, value, fields[USER_FIELDS];

    users = effects->events.users;
    flags = calloc(users, 1);
    store = malloc(USER_FIELDS * USERS_VALUE_SIZE);

    if (flags == NULL || store == NULL) {
        (void) fprintf(stderr, "effects: no memory for %u users\n", users);
        exit(2);
    }

    for (i = effects->users_first; i < effects->first + effects->count; i++) {

        switch (bench_kind(&effects->events, i)) {

        case BENCH_INLINE:
            flags[bench_target(&effects->events, i, 0)] |= USERS_TOUCHED;
            break;

        case BENCH_NESTED:
            flags[bench_target(&effects->events, i, 0)] |= USERS_NESTED;

            /* fall through */

        case BENCH_IDENTIFY:
            flags[bench_target(&effects->events, i, 0)]
                |= USERS_TOUCHED | USERS_IDENTIFIED;
            break;

        default:
            break;
        }
    }

    for (from = 0; from < users; from += EFFECTS_PIPELINE) {

        for (user = from; user < users && user < from + EFFECTS_PIPELINE;
             user++)
        {
            bench_user_id(user, id);
            (void) snprintf(key, sizeof(key), BENCH_TAG "user:%s", id);
            redis_add(&effects->redis, "HGETALL", key, (char *) NULL);
        }

        redis_flush(&effects->redis);

        for (user = from; user < users && user < from + EFFECTS_PIPELINE;
             user++)
        {
            memset(fields, 0, sizeof(fields));
            used = 0;

            n = redis_reply(&effects->redis, NULL) / 2;

            for (k = 0; k < n; k++) {
                (void) redis_reply(&effects->redis, &name);

                for (found = 0; found < USER_FIELDS; found++) {
                    if (strlen(user_fields[found]) == name.len
                        && memcmp(user_fields[found], name.data, name.len)
                           == 0)
                    {
                        break;
                    }
                }

                /* what is taken stands only until the next is */

                (void) redis_reply(&effects->redis, &value);

                if (found < USER_FIELDS && value.len <= USERS_VALUE_SIZE
                    && fields[found].data == NULL)
                {
                    memcpy(store + used, value.data, value.len);
                    fields[found].data = store + used;
                    fields[found].len = value.len;
                    used += value.len;
                }
            }

            effects_verify_user(effects, user, flags[user], fields,
                                (unsigned) n);
        }
    }

    free(flags);
    free(store);
}


/* As a JSON string. */

static void
effects_stored_email(uint32_t user, char *email)
{
    char  id[BENCH_ID_SIZE];

    bench_user_id(user, id);

    (void) snprintf(email, 64, "\"%s@example.org\"", id);
}


static void
effects_verify_user(effects_t *effects, uint32_t user, int flags,
    const json_slice_t *fields, unsigned n)
{
    const char  *fault;

    fault = effects_user_fault(effects, user, flags, fields, n);

    if (fault) {
        effects_fault(effects, "user u%07u %s", user, fault);
    }

    effects->changed += flags != 0;
}


static const char *
effects_user_fault(effects_t *effects, uint32_t user, int flags,
    const json_slice_t *fields, unsigned n)
{
    char               id[BENCH_ID_SIZE], email[64];
    unsigned           k, want;
    uint64_t           i, identify;
    const char        *fault;
    bench_template_t  *t;

    want = flags & USERS_NESTED       ? USER_FIELDS
           : flags & USERS_IDENTIFIED ? USER_ADDRESS
                                      : USER_UPDATED_AT + 1;

    if (n != want) {
        return "has more or fewer fields than it must";
    }

    for (k = 0; k < want; k++) {
        if (fields[k].data == NULL) {
            return "has another field than it must, or one that is too long";
        }
    }

    bench_user_id(user, id);

    if (!json_is_string(fields[USER_ID], id)) {
        return "has another id";
    }

    if (flags == 0) {
        effects_stored_email(user, email);

        return fields[USER_EMAIL].len == strlen(email)
               && memcmp(fields[USER_EMAIL].data, email, strlen(email)) == 0
               && json_is_string(fields[USER_NAME], "Known Already")
               && json_is_string(fields[USER_UPDATED_AT], EFFECTS_LONG_AGO)
               ? NULL : "was changed by no event";
    }

    i = effects_source(effects, user, fields[USER_EMAIL], "user.",
                       "@example.com");

    if (i == USERS_NONE) {
        return "has an email that no event gave it";
    }

    t = bench_template(&effects->events, i);

    if (!json_is_string(fields[USER_NAME], t->name)) {
        return "has its email from one event and its name from another";
    }

    if (json_is_string(fields[USER_UPDATED_AT], EFFECTS_LONG_AGO)) {
        return "was changed and has its old updated_at";
    }

    if (effects_superseded(effects, user, i, 0)) {
        return "does not have what the last event of an array gave it";
    }

    if (!(flags & USERS_IDENTIFIED)) {
        return NULL;
    }

    identify = effects_source(effects, user, fields[USER_PHONE], "+", "");

    if (identify == USERS_NONE
        || bench_kind(&effects->events, identify) == BENCH_INLINE)
    {
        return "has a phone_number that no identify gave it";
    }

    if (bench_kind(&effects->events, i) != BENCH_INLINE && i != identify) {
        return "has its email and its phone_number from two identifies";
    }

    fault = effects_identified_fault(effects, fields, identify);

    if (fault || !(flags & USERS_NESTED)) {
        return fault;
    }

    return effects_address_fault(effects, user, fields[USER_ADDRESS]);
}


static const char *
effects_identified_fault(effects_t *effects, const json_slice_t *fields,
    uint64_t i)
{
    int                nested;
    char               seats[16];
    bench_template_t  *t;

    nested = bench_kind(&effects->events, i) == BENCH_NESTED;
    t = bench_template(&effects->events, i);
    (void) snprintf(seats, sizeof(seats), "%u", t->seats);

    if (!json_is_string(fields[USER_FIRST], t->first)
        || !json_is_string(fields[USER_LAST], t->last)
        || !json_is_string(fields[USER_PLAN], t->plan)
        || !json_is_string(fields[USER_CREATED_AT], t->created)
        || !(nested ? effects_same_object(fields[USER_COMPANY], t->employer)
                    : json_is_string(fields[USER_COMPANY], t->company))
        || !json_is_string(fields[USER_TITLE], t->title)
        || !json_is_string(fields[USER_TIMEZONE], t->timezone)
        || !json_is_string(fields[USER_LOCALE], t->locale)
        || fields[USER_SEATS].len != strlen(seats)
        || memcmp(fields[USER_SEATS].data, seats, strlen(seats)) != 0
        || fields[USER_TAGS].len != strlen(t->tags)
        || memcmp(fields[USER_TAGS].data, t->tags, strlen(t->tags)) != 0)
    {
        return "has traits that are not all from one identify";
    }

    return NULL;
}


/* An address is that of one event, but perhaps not that of the last. */

static const char *
effects_address_fault(effects_t *effects, uint32_t user, json_slice_t address)
{
    char               want[256];
    uint64_t           i;
    json_slice_t       rest, key, value;
    bench_template_t  *t;

    rest = address;
    i = USERS_NONE;

    while (json_member(&rest, &key, &value) == 1) {
        if (json_is_string(key, "postalCode")) {
            i = effects_source(effects, user, value, "", "");
        }
    }

    if (i == USERS_NONE
        || bench_kind(&effects->events, i) != BENCH_NESTED)
    {
        return "has an address that no identify gave it";
    }

    t = bench_template(&effects->events, i);
    (void) snprintf(want, sizeof(want), "%s%0*llu\"}", t->address,
                    BENCH_NUMBER_WIDTH, (unsigned long long) i);

    if (!effects_same_object(address, want)) {
        return "has an address that is not all from one identify";
    }

    return effects_superseded(effects, user, i, 1)
           ? "does not have the address of the last identify of an array"
           : NULL;
}


/* Whether an object has the members of another one, in any order. */

static int
effects_same_object(json_slice_t value, const char *text)
{
    int           n, found;
    char          one[USERS_VALUE_SIZE], other[USERS_VALUE_SIZE];
    json_slice_t  want, key, member, rest, other_key, other_member;

    want.data = text;
    want.len = strlen(text);
    n = 0;

    while (json_member(&want, &key, &member) == 1) {
        (void) json_string(key, one, sizeof(one));
        rest = value;
        found = 0;

        while (json_member(&rest, &other_key, &other_member) == 1) {
            if (json_is_string(other_key, one)) {
                found = json_string(member, other, sizeof(other)) == 0
                        ? json_is_string(other_member, other)
                        : member.len == other_member.len
                          && memcmp(member.data, other_member.data, member.len)
                             == 0;
            }
        }

        if (!found) {
            return 0;
        }

        n++;
    }

    for (rest = value; json_member(&rest, &key, &member) == 1; n--) {
        /* void */
    }

    return n == 0;
}


/* The event that gave a user a value with its number in it. */

static uint64_t
effects_source(effects_t *effects, uint32_t user, json_slice_t value,
    const char *before, const char *after)
{
    char          text[64], *end;
    size_t        len;
    uint64_t      i;
    bench_kind_e  kind;

    len = strlen(before);

    if (json_string(value, text, sizeof(text)) != 0
        || strncmp(text, before, len) != 0)
    {
        return USERS_NONE;
    }

    i = strtoull(text + len, &end, 10);

    if (end != text + len + BENCH_NUMBER_WIDTH || strcmp(end, after) != 0
        || i < effects->users_first || i >= effects->first + effects->count)
    {
        return USERS_NONE;
    }

    kind = bench_kind(&effects->events, i);

    return bench_stores(kind)
           && bench_target(&effects->events, i, 0) == user
           ? i : USERS_NONE;
}


/*
 * Whether a later event of the same array was about the same user; of nested
 * ones, if only these count.
 */

static int
effects_superseded(effects_t *effects, uint32_t user, uint64_t i, int nested)
{
    uint64_t      end;
    bench_kind_e  kind;

    if (i < effects->first) {
        return 0;
    }

    end = i - effects->first;
    end = effects->first + (end / effects->batch + 1) * effects->batch;

    if (end > effects->first + effects->count) {
        end = effects->first + effects->count;
    }

    for (i++; i < end; i++) {
        kind = bench_kind(&effects->events, i);

        if ((nested ? kind == BENCH_NESTED : bench_stores(kind))
            && bench_target(&effects->events, i, 0) == user)
        {
            return 1;
        }
    }

    return 0;
}

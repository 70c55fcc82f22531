
/* knock_keys: the names of the Redis keys */

#include "fixture.h"

#include "knock_crc16.h"
#include "knock_keys.h"


static knock_str_t
base_of(const char *prefix, const char *environment)
{
    knock_str_t  p, e, base;

    p = str(prefix);
    e = str(environment);

    assert_int_equal(knock_keys_base(arena, &p, &e, &base), KNOCK_OK);

    return base;
}


static const char *
entity(const char *collection, const char *id)
{
    knock_str_t  base, c, i, key;

    base = base_of("knock", "dev");
    c = str(collection);
    i = str(id);

    assert_int_equal(knock_keys_entity(arena, &base, &c, &i, &key), KNOCK_OK);

    return text(&key);
}


static void
a_base_is_the_prefix_and_the_environment_s_tag(void **state)
{
    knock_str_t  base;

    (void) state;

    base = base_of("knock", "development");
    assert_string_equal(text(&base), "knock:{development}:");

    base = base_of("a.b:c", "@");
    assert_string_equal(text(&base), "a.b:c:{@}:");
}


static void
the_keys_of_the_table(void **state)
{
    size_t       i;
    knock_str_t  base, key;

    static const struct {
        knock_key_e  name;
        const char  *key;
    } rows[] = {
        { KNOCK_KEY_VERSION, "knock:{dev}:version" },
        { KNOCK_KEY_RUNS, "knock:{dev}:runs" },
        { KNOCK_KEY_SEEN_0, "knock:{dev}:seen:0" },
        { KNOCK_KEY_SEEN_1, "knock:{dev}:seen:1" },
        { KNOCK_KEY_LARGE, "knock:{dev}:large" },
        { KNOCK_KEY_ENDPOINTS, "knock:{dev}:endpoints" },
        { KNOCK_KEY_WORKFLOWS, "knock:{dev}:workflows" },
        { KNOCK_KEY_ACTIONS, "knock:{dev}:actions" },
        { KNOCK_KEY_TOGGLES, "knock:{dev}:toggles" },
    };

    (void) state;

    base = base_of("knock", "dev");

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(knock_keys_make(arena, &base, rows[i].name, NULL,
                                         &key),
                         KNOCK_OK);
        assert_string_equal(text(&key), rows[i].key);
    }
}


static void
keys_that_are_of_something(void **state)
{
    knock_str_t  base, of, key;

    (void) state;

    base = base_of("knock", "dev");
    of = str("segment");

    assert_int_equal(knock_keys_make(arena, &base, KNOCK_KEY_CATALOGUE, &of,
                                     &key),
                     KNOCK_OK);
    assert_string_equal(text(&key), "knock:{dev}:catalogue:segment");

    assert_int_equal(knock_keys_make(arena, &base, KNOCK_KEY_CATALOGUE_INFO,
                                     &of, &key),
                     KNOCK_OK);
    assert_string_equal(text(&key), "knock:{dev}:catalogue_info:segment");

    assert_int_equal(knock_keys_make(arena, &base, KNOCK_KEY_LOG, &of, &key),
                     KNOCK_OK);
    assert_string_equal(text(&key), "knock:{dev}:log:segment");
}


static void
every_key_of_the_table_is_another_one(void **state)
{
    int           i;
    knock_str_t   base, key;
    knock_map_t  *map;

    (void) state;

    base = base_of("knock", "dev");
    map = knock_map_create(arena, KNOCK_KEY_COUNT);
    assert_non_null(map);

    for (i = 0; i < KNOCK_KEY_COUNT; i++) {
        assert_int_equal(knock_keys_make(arena, &base, (knock_key_e) i, NULL,
                                         &key),
                         KNOCK_OK);
        assert_true(key.len > base.len);
        assert_memory_equal(key.data, base.data, base.len);
        assert_null(knock_map_get(map, &key));
        assert_int_equal(knock_map_set(map, &key, map), KNOCK_OK);
    }
}


static void
a_user_s_key_ends_with_the_id_as_it_is(void **state)
{
    (void) state;

    assert_string_equal(entity("$users", "u1"), "knock:{dev}:user:u1");
    assert_string_equal(entity("$users", "a:{b}%c d\xf0\x9f\x98\x80"),
                        "knock:{dev}:user:a:{b}%c d\xf0\x9f\x98\x80");
}


static void
an_object_s_key_has_its_collection_in_front(void **state)
{
    (void) state;

    assert_string_equal(entity("projects", "p1"),
                        "knock:{dev}:object:projects:p1");
    assert_string_equal(entity("$tenants", "acme"),
                        "knock:{dev}:object:$tenants:acme");
    assert_string_equal(entity("$usersx", "u"), "knock:{dev}:object:$usersx:u");
    assert_string_equal(entity("a{b}", "c"), "knock:{dev}:object:a{b}:c");
}


static void
no_two_entities_share_a_key(void **state)
{
    size_t  i, j;

    static const struct {
        const char  *collection;
        const char  *id;
    } rows[] = {
        { "a", "b:c" }, { "a:b", "c" }, { "a%3Ab", "c" }, { "a%253Ab", "c" },
        { "a", ":b:c" }, { "a:", "b:c" }, { "$users", "a:b:c" },
        { "%", ":" }, { "%:", ":" }, { ":", "%" }, { "A", "b:c" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        for (j = 0; j < i; j++) {
            assert_string_not_equal(entity(rows[i].collection, rows[i].id),
                                    entity(rows[j].collection, rows[j].id));
        }
    }
}


/* the check value of CRC-16/XMODEM, and slots that Redis' documents have */

static void
crc16_is_that_of_redis_cluster(void **state)
{
    (void) state;

    assert_int_equal(knock_crc16((unsigned char *) "123456789", 9), 0x31c3);
    assert_int_equal(knock_crc16((unsigned char *) "", 0), 0);
    assert_int_equal(knock_crc16((unsigned char *) "foo", 3) % 16384, 12182);
}


static void
places_are_the_shards_and_home(void **state)
{
    knock_str_t  prefix, environment, *bases;

    (void) state;

    prefix = str("k");
    environment = str("dev");

    assert_int_equal(knock_keys_nplaces(1), 1);
    assert_int_equal(knock_keys_nplaces(2), 3);

    assert_int_equal(knock_keys_places(arena, &prefix, &environment, 1,
                                       &bases), KNOCK_OK);
    assert_string_equal(text(&bases[0]), "k:{dev}:");

    assert_int_equal(knock_keys_places(arena, &prefix, &environment, 2,
                                       &bases), KNOCK_OK);
    assert_string_equal(text(&bases[0]), "k:{dev/0}:");
    assert_string_equal(text(&bases[1]), "k:{dev/1}:");
    assert_string_equal(text(&bases[2]), "k:{dev}:");
}


/* these can never change: data stand where they say */

static void
the_shard_of_an_id(void **state)
{
    size_t       i;
    knock_str_t  id;

    static const struct {
        const char  *id;
        size_t       of_1, of_16, of_256;
    } rows[] = {
        { "123456789", 0, 3, 0xc3 },
        { "foo", 0, 12182 % 16, 0 },
        { "", 0, 0, 0 }
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        id = str(rows[i].id);

        assert_int_equal(knock_keys_shard(&id, 1), rows[i].of_1);
        assert_int_equal(knock_keys_shard(&id, 16), rows[i].of_16);
    }

    id = str(rows[0].id);
    assert_int_equal(knock_keys_shard(&id, 256), rows[0].of_256);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        t(a_base_is_the_prefix_and_the_environment_s_tag),
        t(the_keys_of_the_table),
        t(keys_that_are_of_something),
        t(every_key_of_the_table_is_another_one),
        t(a_user_s_key_ends_with_the_id_as_it_is),
        t(an_object_s_key_has_its_collection_in_front),
        t(no_two_entities_share_a_key),
        t(crc16_is_that_of_redis_cluster),
        t(places_are_the_shards_and_home),
        t(the_shard_of_an_id)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

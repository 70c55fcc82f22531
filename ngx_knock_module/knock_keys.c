
#include "knock_keys.h"
#include "knock_buf.h"
#include "knock_crc16.h"


static const knock_str_t  knock_key_texts[] = {
#define KNOCK_KEY_TEXT(name, text)  knock_string(text),
    KNOCK_KEY_TABLE(KNOCK_KEY_TEXT)
#undef KNOCK_KEY_TEXT
};


static int knock_keys_shard_base(knock_arena_t *arena,
    const knock_str_t *prefix, const knock_str_t *environment, size_t shard,
    knock_str_t *base);


int
knock_keys_base(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, knock_str_t *base)
{
    knock_buf_t  buf;

    knock_buf_init(&buf, arena, prefix->len + environment->len + 4);

    knock_buf_add_str(&buf, prefix);
    knock_buf_add_lit(&buf, ":{");
    knock_buf_add_str(&buf, environment);
    knock_buf_add_lit(&buf, "}:");

    return knock_buf_str(&buf, base);
}


static int
knock_keys_shard_base(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, size_t shard, knock_str_t *base)
{
    knock_buf_t  buf;
    knock_str_t  tag;

    knock_buf_init(&buf, arena, environment->len + 8);

    knock_buf_add_str(&buf, environment);
    knock_buf_add_char(&buf, '/');
    knock_buf_add_uint(&buf, shard);

    if (knock_buf_str(&buf, &tag) != KNOCK_OK) {
        return KNOCK_ERROR;
    }

    return knock_keys_base(arena, prefix, &tag, base);
}


int
knock_keys_places(knock_arena_t *arena, const knock_str_t *prefix,
    const knock_str_t *environment, size_t nshards, knock_str_t **bases)
{
    int           rc;
    size_t        i, home;
    knock_str_t  *base;

    home = knock_keys_nplaces(nshards) - 1;

    base = knock_arena_alloc(arena, (home + 1) * sizeof(knock_str_t));
    if (base == NULL) {
        return KNOCK_ERROR;
    }

    rc = knock_keys_base(arena, prefix, environment, &base[home]);

    for (i = 0; rc == KNOCK_OK && i < home; i++) {
        rc = knock_keys_shard_base(arena, prefix, environment, i, &base[i]);
    }

    *bases = base;

    return rc;
}


size_t
knock_keys_shard(const knock_str_t *id, size_t nshards)
{
    return nshards > 1 ? knock_crc16(id->data, id->len) % nshards : 0;
}


int
knock_keys_make(knock_arena_t *arena, const knock_str_t *base,
    knock_key_e name, const knock_str_t *of, knock_str_t *key)
{
    knock_buf_t         buf;
    const knock_str_t  *text;

    text = &knock_key_texts[name];

    knock_buf_init(&buf, arena, base->len + text->len + (of ? of->len : 0));

    knock_buf_add_str(&buf, base);
    knock_buf_add_str(&buf, text);

    if (of) {
        knock_buf_add_str(&buf, of);
    }

    return knock_buf_str(&buf, key);
}


const knock_str_t *
knock_keys_text(knock_key_e name)
{
    return &knock_key_texts[name];
}


int
knock_keys_entity(knock_arena_t *arena, const knock_str_t *base,
    const knock_str_t *collection, const knock_str_t *id, knock_str_t *key)
{
    size_t         i;
    knock_buf_t    buf;
    unsigned char  c;

    if (knock_str_is(collection, "$users")) {
        return knock_keys_make(arena, base, KNOCK_KEY_USER, id, key);
    }

    knock_buf_init(&buf, arena, base->len + collection->len + id->len + 16);

    knock_buf_add_str(&buf, base);
    knock_buf_add_str(&buf, &knock_key_texts[KNOCK_KEY_OBJECT]);

    for (i = 0; i < collection->len; i++) {
        c = collection->data[i];

        if (c == ':') {
            knock_buf_add_lit(&buf, "%3A");

        } else if (c == '%') {
            knock_buf_add_lit(&buf, "%25");

        } else {
            knock_buf_add_char(&buf, (char) c);
        }
    }

    knock_buf_add_char(&buf, ':');
    knock_buf_add_str(&buf, id);

    return knock_buf_str(&buf, key);
}

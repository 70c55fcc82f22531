
/* knock_slot: what CLUSTER KEYSLOT of redis-server 7.0.15 says */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "knock_crc16.h"
#include "knock_slot.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))


/* the check value that the specification gives */

static void
test_crc16(void **state)
{
    (void) state;

    assert_int_equal(knock_crc16((const unsigned char *) "123456789", 9),
                     0x31c3);
    assert_int_equal(knock_crc16((const unsigned char *) "", 0), 0);
}


static void
test_slots(void **state)
{
    size_t  i;

    static const struct {
        knock_str_t  key;
        unsigned     slot;
    } cases[] = {
        { knock_null_string, 0 },
        { knock_string(""), 0 },
        { knock_string("foo"), 12182 },
        { knock_string("bar"), 5061 },
        { knock_string("123456789"), 12739 },
        { knock_string("{user1000}.following"), 3443 },
        { knock_string("{user1000}.followers"), 3443 },
        { knock_string("knock:{development}:runs"), 8911 },
        { knock_string("knock:{development/15}:user:x"), 2500 },
        { knock_string("\xc3\xa9{\xc3\xbc}"), 9552 },

        /* no tag, or nothing in it: the whole key */

        { knock_string("{}"), 15257 },
        { knock_string("foo{}{bar}"), 8363 },
        { knock_string("foo{bar"), 15278 },

        /* the first "{", and the first "}" behind it */

        { knock_string("foo{{bar}}zap"), 4015 },
        { knock_string("foo{bar}{zap}"), 5061 },
        { knock_string("foo}bar{x}"), 16287 }
    };

    (void) state;

    for (i = 0; i < N(cases); i++) {
        assert_int_equal(knock_slot(&cases[i].key), cases[i].slot);
    }
}


/* a NUL is a byte like others */

static void
test_binary(void **state)
{
    knock_str_t  with = knock_string("a\0{b\0c}d");
    knock_str_t  tag = knock_string("b\0c");
    knock_str_t  cut = knock_string("b");

    (void) state;

    assert_int_equal(knock_slot(&with), knock_slot(&tag));
    assert_int_not_equal(knock_slot(&with), knock_slot(&cut));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_crc16),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_binary)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

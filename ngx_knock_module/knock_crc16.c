
#include "knock_crc16.h"


/* four bits at a time: what it is taken of is short */

static const uint16_t  knock_crc16_table[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
};


uint16_t
knock_crc16(const unsigned char *p, size_t len)
{
    uint16_t              crc;
    const unsigned char  *end;

    crc = 0;

    for (end = p + len; p < end; p++) {
        crc = (uint16_t) (crc << 4)
              ^ knock_crc16_table[(crc >> 12) ^ (*p >> 4)];
        crc = (uint16_t) (crc << 4)
              ^ knock_crc16_table[(crc >> 12) ^ (*p & 0x0f)];
    }

    return crc;
}

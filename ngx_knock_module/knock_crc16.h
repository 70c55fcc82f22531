
/*
 * CRC-16/XMODEM (polynomial 0x1021, from 0, not reflected): the checksum by
 * which Redis Cluster gives keys their slots, in its specification.
 */

#ifndef KNOCK_CRC16_H
#define KNOCK_CRC16_H


#include <stddef.h>
#include <stdint.h>


uint16_t knock_crc16(const unsigned char *p, size_t len);


#endif /* KNOCK_CRC16_H */

/* SPDX-License-Identifier: MIT
 *
 * rarp: the Ethernet frame from which switches learn where a network card is now (docs/wire-format.md, "Announcing").
 *
 *      0       ff:ff:ff:ff:ff:ff, broadcast
 *      6       the card's address
 *     12  u16  0x8035, RARP
 *     14  u16  1, u16 0x0800, u8 6, u8 4: Ethernet and IPv4, with the lengths of their addresses
 *     20  u16  3, a reverse request
 *     22       the card's address, then an IPv4 address of zeros: the sender
 *     32       the same again: the target
 *     42       18 bytes, zeros: padding to the minimum size of an Ethernet frame
 */
#ifndef GW_WIRE_RARP_H
#define GW_WIRE_RARP_H

#include "base/base.h"

#define GW_RARP_BYTES 60

void gw_rarp_put(uint8_t dst[GW_RARP_BYTES], const uint8_t mac[6]);

#endif

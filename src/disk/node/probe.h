/* SPDX-License-Identifier: MIT
 *
 * probe: finds the format of a disk image from its first bytes.
 */
#ifndef GW_DISK_NODE_PROBE_H
#define GW_DISK_NODE_PROBE_H

#include <stddef.h>
#include <stdint.h>

#define GW_PROBE_BYTES 512u

/* head: the first GW_PROBE_BYTES of the image, or all if it has fewer. Returns QEMU's name of the format; NULL: no
 * known format, so it may be raw. */
const char *gw_probe(const uint8_t *head, size_t bytes);

#endif

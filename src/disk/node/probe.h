/* SPDX-License-Identifier: MIT
 *
 * probe: what format a disk image is of, told from its first bytes.
 */
#ifndef GW_DISK_NODE_PROBE_H
#define GW_DISK_NODE_PROBE_H

#include <stddef.h>
#include <stdint.h>

#define GW_PROBE_BYTES 512u

/* head: the first GW_PROBE_BYTES of it, or all if it has fewer. The format's name as QEMU has it; NULL: of none that is
 * known, so it may be raw. */
const char *gw_probe(const uint8_t *head, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT
 *
 * nbd: bytes of an NBD server, named by a URI (channel/nbd.h).
 *
 * There is one connection, as some servers take no more. Any number of reads are under way on it at once; a large one is made in pieces
 * that are, too.
 *
 * A connection that is lost, or on which nothing comes for GW_NBD_SILENCE_NS, is made again, up to GW_NBD_TRIES times for each read, with
 * growing rests. The server must have the same size then.
 *
 * Memory: a copy of what is read to several places.
 * Hostile: a server may send what it wants. The formats check what was read.
 */
#ifndef GW_IMAGE_NBD_H
#define GW_IMAGE_NBD_H

#include "channel/nbd.h"
#include "image/bytes.h"

#define GW_NBD_TRIES       5u
#define GW_NBD_SILENCE_NS  (60 * GW_NS_PER_S)
#define GW_NBD_DEPTH       16u

/* -ENOTSUP: this build has no libnbd. Errors, also those of reads, name the URI. */
int gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * nbd: bytes on an NBD server, for reading and writing, named by a URI (channel/nbd.h).
 *
 * There is one connection, as some servers accept no more. Any number of reads are in progress on it at once; so are
 * the pieces of a large read.
 *
 * A connection that is lost, or silent for GW_NBD_SILENCE_NS, is replaced, up to GW_NBD_TRIES times for each read, with
 * growing pauses. The export must still have the same size.
 *
 * Writes are not repeated: earlier unflushed writes may be lost together with the connection.
 *
 * Memory: a copy of the data that is read into several buffers. Hostile: a server may send any data. The formats check
 * what they read.
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

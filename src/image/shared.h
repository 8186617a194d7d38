/* SPDX-License-Identifier: MIT
 *
 * shared: one image for many readers at once (godwit/image.h: gw_shared_*). Data that one reader has read and unpacked
 * is cached for all of them, as long as there is room.
 *
 *     image <-- shared: chunks of pages --< view, view, view: each an image of its own
 *
 * A chunk has up to 128 pages and is filled in eighths, so a read of one page does not wait for 128, and a sequential reader reads
 * the chunk in one piece. Pages found to be zeros are returned as such. Chunks that are known to be zeros take no room. When the
 * cache is full, the least recently used chunk is evicted.
 *
 * Memory: what gw_shared_new was given, at least four chunks; and 8 bytes for each chunk of the machine.
 * Threads: views are read by any number of threads. The lock is never held while a thread reads the file.
 */
#ifndef GW_IMAGE_SHARED_H
#define GW_IMAGE_SHARED_H

#include "image/image.h"

#define GW_SHARED_CHUNK_PAGES 128u         /* the largest chunk in pages, */
#define GW_SHARED_CHUNK_BYTES (512u << 10) /* and about this many bytes */
#define GW_SHARED_PIECES      8u           /* pieces of a chunk, at most */
#define GW_SHARED_LEAST       4u           /* the smallest cache in chunks */

#endif

/* SPDX-License-Identifier: MIT
 *
 * lock: the locks that keep QEMU and godwit from using one disk image at the same time.
 *
 * A program that opens an image declares what it does with it (used) and what no other program may do meanwhile (kept).
 * These are OFD read locks on one byte each (fcntl F_OFD_SETLK): byte 100 + n for a use n, 200 + n for a use n that is
 * kept. Read locks of several programs do not conflict; so after locking, each program checks whether another one holds
 * the contradicting byte: 200 + n where it uses n, 100 + n where it keeps n. The bytes need not be in the file, and
 * nothing is written.
 *
 * Locks belong to the open file description: they end when its last descriptor is closed, also by a crash, and another
 * open of the same file sees them, in this process too.
 */
#ifndef GW_DISK_NODE_LOCK_H
#define GW_DISK_NODE_LOCK_H

#include "base/base.h"

enum gw_lock_use { /* bits; their numbers are QEMU's */
                    GW_LOCK_READ = 1 << 0,
                    GW_LOCK_WRITE = 1 << 1,
                    GW_LOCK_RESIZE = 1 << 3,
};

/* -EBUSY: another program uses what is to be kept, or keeps what is to be used. On failure nothing is locked. A file
 * system without such locks: nothing is done, as QEMU does. name: for messages. */
int gw_node_lock(int fd, unsigned used, unsigned kept, const char *name, struct gw_error *err);
void gw_node_unlock(int fd);

#endif

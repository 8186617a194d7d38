/* SPDX-License-Identifier: MIT
 *
 * disk/node: what a disk is made of. A node is an array of bytes that can be read and written: a raw file, a qcow2
 * image over another node, an export of an NBD server. A disk is the node on top, and the nodes below it.
 *
 * Calls block until they are done; what goes on beside each other is the queue's matter (godwit/queue.h), which asks
 * `find` and has the kernel read and write plain runs of files itself.
 *
 * Threads: read, write, zero, discard, find and flush on any thread, any number at once. Writes that overlap and are
 * under way together leave either's bytes. resize and free: nothing else is under way. Errors: a negative errno and
 * err, which names the file and the offset in it. A call that failed may have done a part.
 */
#ifndef GW_DISK_NODE_H
#define GW_DISK_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/node.h"

/* A part of a node that is alike from its first byte to its last. ABSENT: nobody wrote here in this node, so it reads as the node's
 * backing does, or as zeros without one. */
struct gw_node_run {
    enum gw_disk_kind kind;
    uint64_t bytes; /* 1 or more, at most what was asked for */
    /* DATA whose bytes lie as they are in a file: a read, and a write that does not make the file longer, may go there
     * without the node. fd is -1 otherwise. Good until the next discard, resize or free, or as the node says. */
    int fd;
    uint64_t file_offset;
    uint32_t file_align; /* offset, length and memory of what goes to fd are multiples of it; 0, 1: any */
    bool file_read_only; /* only reads may go to fd: the run is of a backing, or a snapshot shares it */
};

#define GW_NODE_REQUEST_MAX 65536u /* the largest request_bytes */

struct gw_node_ops {
    const char *format; /* "raw", "qcow2", "nbd" */
    /* The caller (node.c) has seen to it that offset + bytes lies within node->bytes, that bytes is not 0, and that
     * both are multiples of request_bytes, but for a last block that the end of the node cuts.
     * read: in a node with a backing nothing that find says is ABSENT. Without one that reads as zeros. */
    int (*read)(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* Of an absent cluster that is written in part, the node gets the rest from its backing (gw_node_read). The node is
     * not read_only; so for zero, discard and resize. */
    int (*write)(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                 struct gw_error *err);
    /* Reads as zeros afterwards, also where there is a backing. */
    int (*zero)(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err);
    /* The bytes are not needed any more; what is read there afterwards is the node's choice. NULL: nothing is done. */
    int (*discard)(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* What is there: the first run of what was asked for. An ABSENT run is of this node alone; node.c goes on to the
     * backing. */
    int (*find)(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err);
    int (*flush)(struct gw_node *n, struct gw_error *err);
    /* NULL: it cannot. The node sets its bytes itself. */
    int (*resize)(struct gw_node *n, uint64_t bytes, struct gw_error *err);
    /* Takes or gives up its locks, and forgets what it has in memory (see gw_node_activate); so for what it is over,
     * but for the backing. Giving up comes behind a flush. NULL: there is nothing to do. */
    int (*activate)(struct gw_node *n, bool active, struct gw_error *err);
    /* Frees what it is over as well, then the backing and the rest of struct gw_node (gw_node_done), and itself. An
     * error tells that what was written may not be on the disk; it is freed all the same. */
    int (*free)(struct gw_node *n, struct gw_error *err);
};

struct gw_node {
    const struct gw_node_ops *ops;
    char *name;     /* of the file or export, for messages */
    uint64_t bytes; /* its length */
    uint32_t
        request_bytes; /* offsets and lengths of its reads and writes are multiples of it; a power of two, 1 for most */
    uint32_t cluster_bytes; /* what is allocated at once; 0: not known */
    bool read_only, inactive;
    struct gw_node *backing; /* or NULL. This node owns it */
    _Atomic unsigned users;  /* who counts on its length (gw_node_use); 0: it may be resized */
    pthread_rwlock_t edges;  /* node.c: a write of a part of a block is made alone */
};

/* For those who make nodes: sets ops, name (a copy) and the lock in a node that is zero otherwise. -ENOMEM. */
int gw_node_init(struct gw_node *n, const struct gw_node_ops *ops, const char *name, struct gw_error *err);
/* Undoes gw_node_init, and frees the backing; the result is that of its free. Also after a failed gw_node_init. */
int gw_node_done(struct gw_node *n, struct gw_error *err);

/* What is called from outside (read, write, zero, discard, flush, resize, free, ...) is in godwit/node.h. What is to be
 * aligned goes through a block of memory in node.c; of a discard, parts of blocks stay as they are. */

/* The first run, through all backings: ABSENT says that nobody wrote there in any of them. bytes: 1 or more. */
int gw_node_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err);
/* The same in this node alone: ABSENT says that the backing has it. */
int gw_node_find_here(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret,
                      struct gw_error *err);
/* From now on, until gw_node_unuse, the node is not resized. Any thread. */
void gw_node_use(struct gw_node *n);
void gw_node_unuse(struct gw_node *n);

/* A node in memory (memory.c), for tests and for what need not outlive the process: clusters are absent at first, a
 * discarded one is absent again. Its format is "memory". NULL: no memory. cluster_bytes: a power of two. */
struct gw_node *gw_node_memory(uint64_t bytes, uint32_t cluster_bytes);

#endif

/* SPDX-License-Identifier: MIT
 *
 * disk/node: what a disk is made of. A node is an array of bytes that can be read and written: a raw file, a qcow2
 * image over another node, an export of an NBD server. A disk is the node on top, and the nodes below it.
 *
 * Calls block until they are done. The queue (godwit/queue.h) runs several at once; it uses `find` to let the kernel
 * read and write plain runs of files directly.
 *
 * Threads: read, write, zero, discard, find and flush on any thread, any number at once. Overlapping writes in progress
 * at once leave the bytes of either. resize and free: no other call may be in progress. Errors: a negative errno and
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

/* A part of a node that is of one kind throughout. ABSENT: this part of the node was never written, so it reads as the
 * node's backing does, or as zeros without one. */
struct gw_node_run {
    enum gw_disk_kind kind;
    uint64_t bytes; /* 1 or more, at most what was asked for */
    /* DATA whose bytes lie unchanged in a file: a read, and a write that does not make the file longer, may use the
     * file directly. fd is -1 otherwise. Valid until the next discard, resize or free, or as the node says. */
    int fd;
    uint64_t file_offset;
    uint32_t file_align; /* alignment of offset, length and memory for I/O on fd; 0, 1: any */
    bool file_read_only; /* only reads may use fd: the run belongs to a backing, or a snapshot shares it */
};

#define GW_NODE_REQUEST_MAX 65536u /* the largest value of request_bytes */

struct gw_node_ops {
    const char *format; /* "raw", "qcow2", "nbd" */
    /* The caller (node.c) ensures that offset + bytes lies within node->bytes, that bytes is not 0, and that both are
     * multiples of request_bytes, except in a last block that the end of the node cuts. read: in a node with a backing,
     * the range has no part that find calls ABSENT. Without a backing such parts read as zeros. */
    int (*read)(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* For a partial write to an absent cluster, the node gets the rest from its backing (gw_node_read). write, zero,
     * discard and resize are not called on a read_only node. */
    int (*write)(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                 struct gw_error *err);
    /* The range reads as zeros afterwards, also in a node with a backing. */
    int (*zero)(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err);
    /* The bytes are not needed any more; later reads return whatever the node chooses. NULL: nothing is done. */
    int (*discard)(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err);
    /* The first run of the range. ABSENT refers to this node alone; node.c goes on to the backing. */
    int (*find)(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err);
    int (*flush)(struct gw_node *n, struct gw_error *err);
    /* NULL: not supported. The node sets its `bytes` itself. */
    int (*resize)(struct gw_node *n, uint64_t bytes, struct gw_error *err);
    /* Takes or gives up the node's locks and drops its cached state (see gw_node_activate); does the same for the node
     * of its file, but not for the backing. The caller flushes before giving up. NULL: there is nothing to do. */
    int (*activate)(struct gw_node *n, bool active, struct gw_error *err);
    /* Frees the node of its file, then the backing and the rest of struct gw_node (gw_node_done), and itself. An error
     * means that written data may not be on the disk; the node is freed all the same. */
    int (*free)(struct gw_node *n, struct gw_error *err);
};

struct gw_node {
    const struct gw_node_ops *ops;
    char *name;     /* of the file or export, for messages */
    uint64_t bytes; /* its length */
    uint32_t
        request_bytes; /* alignment of offsets and lengths of reads and writes; a power of two, usually 1 */
    uint32_t cluster_bytes; /* allocation unit; 0: not known */
    bool read_only, inactive;
    struct gw_node *backing; /* or NULL. This node owns it */
    _Atomic unsigned users;  /* number of users that need a constant length (gw_node_use); 0: it may be resized */
    pthread_rwlock_t edges;  /* node.c: a write of a part of a block excludes all others */
};

/* For implementations of nodes: sets ops, name (a copy) and the lock in a node that is otherwise zero. -ENOMEM. */
int gw_node_init(struct gw_node *n, const struct gw_node_ops *ops, const char *name, struct gw_error *err);
/* Undoes gw_node_init, and frees the backing; the result is that of its free. Also after a failed gw_node_init. */
int gw_node_done(struct gw_node *n, struct gw_error *err);

/* The public calls (read, write, zero, discard, flush, resize, free, ...) are in godwit/node.h. Unaligned parts go
 * through a buffer of one block in node.c; a discard leaves parts of blocks as they are. */

/* The first run, through all backings: ABSENT means that no layer was written there. bytes: 1 or more. */
int gw_node_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err);
/* The same in this node alone: ABSENT means that the backing decides. */
int gw_node_find_here(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret,
                      struct gw_error *err);
/* From now on, until gw_node_unuse, the node cannot be resized. Any thread. */
void gw_node_use(struct gw_node *n);
void gw_node_unuse(struct gw_node *n);

/* A node in memory (memory.c), for tests and for data that need not outlive the process: clusters are absent at first,
 * a discarded one is absent again. Its format is "memory". NULL: no memory. cluster_bytes: a power of two. */
struct gw_node *gw_node_memory(uint64_t bytes, uint32_t cluster_bytes);

#endif

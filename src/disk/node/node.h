/* SPDX-License-Identifier: MIT
 *
 * disk/node: what a disk is made of. A node is an array of bytes that can be read and written: a raw file, a qcow2
 * image over another node, an export of an NBD server. A disk is the node on top, and the nodes below it.
 *
 * Calls block until they are done; what goes on beside each other is the queue's matter (disk/queue.h), which asks
 * `find` and has the kernel read and write plain runs of files itself.
 *
 * Threads: read, write, zero, discard, find and flush on any thread, any number at once. Writes that overlap and are
 * under way together leave either's bytes. resize and free: nothing else is under way. Errors: a negative errno and
 * err, which names the file and the offset in it. A call that failed may have done a part.
 */
#ifndef GW_DISK_NODE_H
#define GW_DISK_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"

enum gw_node_kind {
    GW_NODE_DATA,   /* somebody wrote here */
    GW_NODE_ZERO,   /* reads as zeros for sure */
    GW_NODE_ABSENT, /* nobody wrote here in this node: reads as the node's backing does, or as zeros without one */
};

/* A part of a node that is alike from its first byte to its last. */
struct gw_node_run {
    enum gw_node_kind kind;
    uint64_t bytes; /* 1 or more, at most what was asked for */
    /* DATA whose bytes lie as they are in a file: a read, and a write that does not make the file longer, may go there
     * without the node. fd is -1 otherwise. Good until the next discard, resize or free, or as the node says. */
    int fd;
    uint64_t file_offset;
};

enum gw_node_flags {
    GW_NODE_UNMAP = 1,  /* zero: the room may be given back */
    GW_NODE_DURABLE = 2 /* write, zero: on the disk when the call returns, as with a flush behind it */
};

struct gw_node;

struct gw_node_ops {
    const char *format; /* "raw", "qcow2", "nbd" */
    /* The caller (node.c) has seen to it that offset + bytes lies within node->bytes, and that bytes is not 0. */
    int (*read)(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
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
    /* NULL: it cannot. */
    int (*resize)(struct gw_node *n, uint64_t bytes, struct gw_error *err);
    /* Frees what it is over as well. An error tells that what was written may not be on the disk; it is freed all the
     * same. */
    int (*free)(struct gw_node *n, struct gw_error *err);
};

struct gw_node {
    const struct gw_node_ops *ops;
    char *name;     /* of the file or export, for messages */
    uint64_t bytes; /* its length */
    uint32_t
        request_bytes; /* offsets and lengths of its reads and writes are multiples of it; a power of two, 1 for most */
    uint32_t cluster_bytes; /* what is allocated at once; 0: not known */
    bool read_only;
    struct gw_node *backing; /* or NULL. This node owns it */
};

#endif

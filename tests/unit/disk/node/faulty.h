/* SPDX-License-Identifier: MIT
 *
 * faulty: lets the n-th call of a node fail. Put over a node that is there; its own calls go on below.
 */
#ifndef FAULTY_H
#define FAULTY_H

#include "base/base.h"
#include "disk/node/node.h"

static struct {
    const struct gw_node_ops *real;
    _Atomic unsigned left; /* calls until one fails; 0: none does */
    int code;
} faulty;

static int faulty_now(const struct gw_node *n, const char *what, uint64_t offset, struct gw_error *err)
{
    unsigned left = faulty.left;

    while (left && !atomic_compare_exchange_weak(&faulty.left, &left, left - 1))
        ;
    return left == 1 ? gw_fail(err, faulty.code, GW_BLAME_LOCAL, "%s: %s at offset %" PRIu64, n->name, what, offset)
                     : 0;
}

static int faulty_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = faulty_now(n, "read", offset, err);

    return r < 0 ? r : faulty.real->read(n, to, bytes, offset, err);
}

static int faulty_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                        struct gw_error *err)
{
    int r = faulty_now(n, "write", offset, err);

    return r < 0 ? r : faulty.real->write(n, from, bytes, offset, flags, err);
}

static int faulty_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    int r = faulty_now(n, "zero", offset, err);

    return r < 0 ? r : faulty.real->zero(n, bytes, offset, flags, err);
}

static int faulty_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret,
                       struct gw_error *err)
{
    int r = faulty_now(n, "find", offset, err);

    return r < 0 ? r : faulty.real->find(n, bytes, offset, ret, err);
}

static int faulty_flush(struct gw_node *n, struct gw_error *err)
{
    int r = faulty_now(n, "flush", 0, err);

    return r < 0 ? r : faulty.real->flush(n, err);
}

/* ops: room for the table, which stays as long as the node. */
static inline void faulty_over(struct gw_node *n, struct gw_node_ops *ops)
{
    faulty.real = n->ops;
    faulty.left = 0;
    faulty.code = -EIO;
    *ops = *n->ops;
    ops->read = faulty_read;
    ops->write = faulty_write;
    ops->zero = faulty_zero;
    ops->find = faulty_find;
    ops->flush = faulty_flush;
    n->ops = ops;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * disk_rig: a disk in memory for tests, which notes its calls and fails on demand.
 */
#ifndef TESTS_DISK_RIG_H
#define TESTS_DISK_RIG_H

#include <stdio.h>
#include <string.h>

#include "disk/disk.h"

#define RIG_BYTES (64 * 1024 + 512)

struct rig_disk {
    uint8_t data[RIG_BYTES];
    char log[1000];
    int fail; /* returned by each call */
    bool say; /* with an error text of its own */
    struct gw_disk_run run;
    struct gw_disk *disk;
};

static inline int rig_did(struct rig_disk *m, const char *call, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    size_t n = strlen(m->log);

    snprintf(m->log + n, sizeof m->log - n, "%s %" PRIu64 "@%" PRIu64 ", ", call, bytes, offset);
    return m->fail && m->say ? gw_fail(err, m->fail, GW_BLAME_LOCAL, "said so") : m->fail;
}

static inline int rig_read(void *o, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct rig_disk *m = o;

    memcpy(to, m->data + offset, bytes);
    return rig_did(m, "read", bytes, offset, err);
}

static inline int rig_write(void *o, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct rig_disk *m = o;

    memcpy(m->data + offset, from, bytes);
    return rig_did(m, "write", bytes, offset, err);
}

static inline int rig_zero(void *o, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    struct rig_disk *m = o;

    memset(m->data + offset, 0, bytes);
    return rig_did(m, unmap ? "unmap" : "zero", bytes, offset, err);
}

static inline int rig_discard(void *o, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return rig_did(o, "discard", bytes, offset, err);
}

static inline int rig_find(void *o, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    struct rig_disk *m = o;

    *ret = m->run;
    return rig_did(m, "find", bytes, offset, err);
}

static inline int rig_flush(void *o, struct gw_error *err)
{
    return rig_did(o, "flush", 0, 0, err);
}

static inline int rig_activate(void *o, struct gw_error *err)
{
    return rig_did(o, "activate", 0, 0, err);
}

static inline int rig_inactivate(void *o, struct gw_error *err)
{
    return rig_did(o, "inactivate", 0, 0, err);
}

static const struct gw_disk_ops rig_ops = {
    GW_SIZED(struct gw_disk_ops), .read = rig_read, .write = rig_write, .zero = rig_zero,
    .discard = rig_discard,       .find = rig_find, .flush = rig_flush, .activate = rig_activate,
    .inactivate = rig_inactivate,
};

/* The disk drive0 over m, which becomes empty. */
static inline struct gw_disk *rig_disk_new(struct rig_disk *m)
{
    const struct gw_disk_desc d = {.device = "drive0", .bytes = RIG_BYTES, .ops = &rig_ops, .opaque = m};

    *m = (struct rig_disk){0};
    assert_int_equal(gw_disk_new(&d, &m->disk, NULL), 0);
    return m->disk;
}

#endif

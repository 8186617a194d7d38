/* SPDX-License-Identifier: MIT
 *
 * qcow2_rig: the file of an image in memory, which stays when its node is freed; what was written to it can be
 * recorded, and a file be made of what was on the disk when the writer was killed or the power failed. Included once in
 * each test program.
 */
#ifndef QCOW2_RIG_H
#define QCOW2_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/endian.h"
#include "disk/node/qcow2.h"

#ifdef __SANITIZE_ADDRESS__ /* several times as slow */
#define RIG_FEWER(n) ((n) / 4)
#else
#define RIG_FEWER(n) (n)
#endif

#define RIG_ROOM (256u << 20) /* the longest file; memory that is not touched costs nothing */

struct rig_event {
    enum { RIG_WRITE, RIG_FLUSH, RIG_RESIZE } what;
    uint64_t offset, bytes; /* RESIZE: the new length */
    uint8_t *data;          /* NULL: zeros */
};

struct rig_file {
    uint8_t *data;
    uint64_t bytes;
    int fd; /* what find tells; 0: none */
    bool record;
    struct rig_event *events;
    unsigned count, room;
    unsigned fail_after; /* n: the n-th write from now on fails, and all behind it; 0: none */
    bool fail_once;      /* none behind it */
};

struct rig_node {
    struct gw_node node;
    struct rig_file *file;
};

static inline struct rig_file *rig_of(struct gw_node *n)
{
    return ((struct rig_node *)n)->file;
}

static inline void rig_note(struct rig_file *f, int what, uint64_t offset, uint64_t bytes, const void *data)
{
    struct rig_event *e;

    if (!f->record)
        return;
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 256;
        f->events = realloc(f->events, f->room * sizeof *f->events);
    }
    e = &f->events[f->count++];
    *e = (struct rig_event){.what = what, .offset = offset, .bytes = bytes};
    if (data) {
        e->data = malloc(bytes);
        memcpy(e->data, data, bytes);
    }
}

static int rig_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    memcpy(to, rig_of(n)->data + offset, bytes);
    return 0;
}

static int rig_fails(struct rig_file *f, uint64_t offset, struct gw_error *err)
{
    if (f->fail_after && --f->fail_after == 0) {
        f->fail_after = f->fail_once ? 0 : 1;
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "rig: no write at offset %" PRIu64, offset);
    }
    return 0;
}

static int rig_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                     struct gw_error *err)
{
    struct rig_file *f = rig_of(n);
    int r = rig_fails(f, offset, err);

    if (r < 0)
        return r;
    rig_note(f, RIG_WRITE, offset, bytes, from);
    memcpy(f->data + offset, from, bytes);
    return 0;
}

static int rig_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    struct rig_file *f = rig_of(n);
    int r = rig_fails(f, offset, err);

    if (r < 0)
        return r;
    rig_note(f, RIG_WRITE, offset, bytes, NULL);
    memset(f->data + offset, 0, bytes);
    return 0;
}

/* What is discarded is anything afterwards. */
static int rig_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *junk = malloc(bytes);

    memset(junk, 0xd1, bytes);
    return rig_write(n, junk, bytes, offset, 0, err);
}

static int rig_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    *ret = (struct gw_node_run){.kind = GW_DISK_DATA, .bytes = bytes, .fd = rig_of(n)->fd ? rig_of(n)->fd : -1};
    ret->file_offset = offset;
    return 0;
}

static int rig_flush(struct gw_node *n, struct gw_error *err)
{
    rig_note(rig_of(n), RIG_FLUSH, 0, 0, NULL);
    return 0;
}

static int rig_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err)
{
    struct rig_file *f = rig_of(n);
    int r = rig_fails(f, bytes, err);

    if (r < 0)
        return r;
    if (bytes > RIG_ROOM)
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "rig: no room for %" PRIu64 " bytes", bytes);
    rig_note(f, RIG_RESIZE, 0, bytes, NULL);
    if (bytes < f->bytes)
        memset(f->data + bytes, 0, f->bytes - bytes);
    n->bytes = f->bytes = bytes;
    return 0;
}

static int rig_free(struct gw_node *n, struct gw_error *err)
{
    int r = gw_node_done(n, err);

    free(n);
    return r;
}

static const struct gw_node_ops rig_ops = {
    .format = "rig",
    .read = rig_read,
    .write = rig_write,
    .zero = rig_zero,
    .discard = rig_discard,
    .find = rig_find,
    .flush = rig_flush,
    .resize = rig_resize,
    .free = rig_free,
};

static inline void rig_new(struct rig_file *f)
{
    memset(f, 0, sizeof *f);
    f->data = mmap(NULL, RIG_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(f->data != MAP_FAILED);
}

static inline void rig_forget_events(struct rig_file *f)
{
    for (unsigned i = 0; i < f->count; i++)
        free(f->events[i].data);
    f->count = 0;
}

static inline void rig_done(struct rig_file *f)
{
    rig_forget_events(f);
    free(f->events);
    munmap(f->data, RIG_ROOM);
}

static inline void rig_empty(struct rig_file *f)
{
    rig_forget_events(f);
    memset(f->data, 0, f->bytes);
    f->bytes = 0;
    f->fail_after = 0;
    f->record = false;
}

static inline struct gw_node *rig_node(struct rig_file *f)
{
    struct rig_node *n = calloc(1, sizeof *n);

    n->file = f;
    n->node.bytes = f->bytes;
    assert_int_equal(gw_node_init(&n->node, &rig_ops, "image", NULL), 0);
    return &n->node;
}

static inline uint64_t rig_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1dull >> 16;
}

/* The file as it was when event `until` had not happened yet. lost: of what was written behind the last flush before,
 * each write is there or not. */
static inline void rig_crash(const struct rig_file *base, const struct rig_file *log, unsigned until, bool lost,
                             uint64_t *seed, struct rig_file *ret)
{
    unsigned flushed = 0;

    rig_empty(ret);
    memcpy(ret->data, base->data, base->bytes);
    ret->bytes = base->bytes;
    for (unsigned i = 0; i < until; i++)
        if (log->events[i].what == RIG_FLUSH)
            flushed = i;
    for (unsigned i = 0; i < until; i++) {
        const struct rig_event *e = &log->events[i];

        if (e->what == RIG_RESIZE) {
            if (e->bytes < ret->bytes)
                memset(ret->data + e->bytes, 0, ret->bytes - e->bytes);
            ret->bytes = e->bytes;
        } else if (e->what == RIG_WRITE && !(lost && i > flushed && rig_random(seed) % 2)) {
            if (e->data)
                memcpy(ret->data + e->offset, e->data, e->bytes);
            else
                memset(ret->data + e->offset, 0, e->bytes);
        }
    }
}

#define rig_ok(call)                                                                                                   \
    do {                                                                                                               \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") /* call names err */             \
            struct gw_error err = GW_ERROR_INIT;                                                                       \
        _Pragma("GCC diagnostic pop") if ((call) < 0) fail_msg("%s:%d: %s", __FILE__, __LINE__, err.text);             \
    } while (0)

static inline void rig_create(struct rig_file *f, const struct gw_qcow2_config *config)
{
    struct gw_node *n = rig_node(f);

    rig_ok(gw_qcow2_create(n, config, &err));
    gw_node_free(n, NULL);
}

static inline struct gw_node *rig_open(struct rig_file *f, struct gw_node *backing, unsigned flags)
{
    struct gw_node *n = NULL;

    rig_ok(gw_qcow2_open(rig_node(f), backing, flags, &n, &err));
    return n;
}

/* An image of the disk's size, opened for writing. */
static inline struct gw_node *rig_image(struct rig_file *f, uint64_t bytes, unsigned cluster_bits)
{
    rig_new(f);
    rig_create(f, &(struct gw_qcow2_config){.bytes = bytes, .cluster_bits = cluster_bits});
    return rig_open(f, NULL, 0);
}

static inline void rig_clean(struct gw_node *n)
{
    struct gw_qcow2_report report;

    rig_ok(gw_qcow2_check(n, &report, &err));
    if (report.leaks || report.corruptions || report.missing_copied)
        fail_msg("%" PRIu64 " leaks, %" PRIu64 " corruptions, %" PRIu64 " flags: %s", report.leaks, report.corruptions,
                 report.missing_copied, report.first);
}

static inline uint8_t rig_byte(struct gw_node *n, uint64_t offset)
{
    uint8_t byte = 0xee;

    rig_ok(gw_node_read(n, &byte, 1, offset, &err));
    return byte;
}

static inline void rig_fill(struct gw_node *n, int byte, uint64_t bytes, uint64_t offset)
{
    GW_AUTOFREE void *room = malloc(bytes);

    memset(room, byte, bytes);
    rig_ok(gw_node_write(n, room, bytes, offset, 0, &err));
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * block_rig: a disk of some MiB in memory for the tests of block migration. Pieces of 64 KiB are of one kind.
 */
#ifndef TESTS_BLOCK_RIG_H
#define TESTS_BLOCK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "wire/block_record.h"

#define PIECE 65536u
#define MIB   GW_BLOCK_CHUNK_BYTES

struct block_rig {
    uint64_t bytes;
    uint8_t *data, *kind;
    pthread_mutex_t lock;
    atomic_int fail;       /* of read and write */
    atomic_uint reads, writes, zeros, flushes;
    atomic_ullong written; /* bytes */
    struct gw_disk *disk;
};

static inline int rig_read(void *o, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct block_rig *b = o;

    atomic_fetch_add(&b->reads, 1);
    pthread_mutex_lock(&b->lock);
    memcpy(to, b->data + offset, bytes);
    pthread_mutex_unlock(&b->lock);
    return atomic_load(&b->fail);
}

static inline int rig_write(void *o, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct block_rig *b = o;

    atomic_fetch_add(&b->writes, 1);
    atomic_fetch_add(&b->written, bytes);
    pthread_mutex_lock(&b->lock);
    memcpy(b->data + offset, from, bytes);
    memset(b->kind + offset / PIECE, GW_DISK_DATA, gw_div_up(bytes, PIECE));
    pthread_mutex_unlock(&b->lock);
    return atomic_load(&b->fail);
}

static inline int rig_zero(void *o, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    struct block_rig *b = o;

    atomic_fetch_add(&b->zeros, 1);
    pthread_mutex_lock(&b->lock);
    memset(b->data + offset, 0, bytes);
    memset(b->kind + offset / PIECE, GW_DISK_ZERO, gw_div_up(bytes, PIECE));
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static inline int rig_find(void *o, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    struct block_rig *b = o;

    pthread_mutex_lock(&b->lock);
    *ret = (struct gw_disk_run){b->kind[offset / PIECE], GW_MIN(bytes, PIECE - offset % PIECE)};
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static inline int rig_flush(void *o, struct gw_error *err)
{
    atomic_fetch_add(&((struct block_rig *)o)->flushes, 1);
    return 0;
}

/* Full of `fill`, or a hole where that is 0. */
static inline struct block_rig *block_rig_new(const char *name, uint64_t bytes, uint8_t fill, bool read_only)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = rig_read, .write = rig_write,
                                           .zero = rig_zero, .find = rig_find, .flush = rig_flush};
    struct block_rig *b = calloc(1, sizeof *b);
    struct gw_disk_desc desc = {.device = name, .bytes = bytes, .ops = &ops, .opaque = b, .read_only = read_only};

    assert_non_null(b);
    b->bytes = bytes;
    b->data = malloc(bytes + 1);
    b->kind = malloc(bytes / PIECE + 1);
    assert_true(b->data && b->kind);
    memset(b->data, fill, bytes);
    memset(b->kind, fill ? GW_DISK_DATA : GW_DISK_ZERO, bytes / PIECE + 1);
    pthread_mutex_init(&b->lock, NULL);
    assert_int_equal(gw_disk_new(&desc, &b->disk, NULL), 0);
    return b;
}

static inline void block_rig_free(struct block_rig *b)
{
    assert_int_equal(b->disk->blocker_count, 0);
    assert_null(b->disk->listeners);
    gw_disk_free(b->disk);
    pthread_mutex_destroy(&b->lock);
    free(b->data);
    free(b->kind);
    free(b);
}

#endif

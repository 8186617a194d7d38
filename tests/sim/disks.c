/* SPDX-License-Identifier: MIT */
#include "disks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB     (1u << 20)
#define CLUSTER 65536u
#define WORDS   64u /* of 8 bytes, in each write */

static const struct gw_field fields[] = {
    GW_FIELD(struct sim_disk_writes, seed),
    GW_FIELD(struct sim_disk_writes, writes),
    GW_END,
};
static const struct gw_state state = {.name = "disk-writes", .version = 1, .oldest = 1, .fields = fields};

/* ---- what it must hold --------------------------------------------------------------------------------------------- */

static uint64_t place(const struct sim_disk *d, uint64_t k)
{
    return sim_mix(d->made.seed ^ k) % (d->bytes / 8 - WORDS) * 8;
}

static void put(uint8_t *at, uint64_t seed, uint64_t k)
{
    for (unsigned w = 0; w < WORDS; w++)
        memcpy(at + 8 * w, &(uint64_t){sim_mix(seed + k * WORDS + w)}, 8);
}

static void begin(const struct sim_disk *d, uint8_t *data)
{
    for (uint64_t at = 0; at + 8 <= d->bytes; at += 8)
        if (at / MIB % 3)
            memcpy(data + at, &(uint64_t){sim_mix(d->made.seed ^ at)}, 8);
}

static uint64_t check(void *part)
{
    struct sim_disk *d = part;
    uint8_t *want = calloc(1, d->bytes);
    uint64_t wrong = 0;

    begin(d, want);
    for (uint64_t k = 1; k <= d->made.writes; k++)
        put(want + place(d, k), d->made.seed, k);
    pthread_mutex_lock(&d->lock);
    for (uint64_t at = 0; at + 8 <= d->bytes; at += 8)
        wrong += memcmp(want + at, d->data + at, 8) != 0;
    pthread_mutex_unlock(&d->lock);
    free(want);
    return wrong;
}

/* ---- the guest ------------------------------------------------------------------------------------------------------ */

static void is_data(struct sim_disk *d, uint64_t offset, uint64_t bytes)
{
    memset(d->kind + offset / CLUSTER, GW_DISK_DATA, (offset + bytes - 1) / CLUSTER - offset / CLUSTER + 1);
}

static void work(void *part)
{
    struct sim_disk *d = part;

    for (unsigned n = atomic_load(&d->per_ms); n; n--) {
        uint64_t at;

        pthread_mutex_lock(&d->lock);
        at = place(d, ++d->made.writes);
        put(d->data + at, d->made.seed, d->made.writes);
        is_data(d, at, 8 * WORDS);
        pthread_mutex_unlock(&d->lock);
        gw_disk_wrote(d->disk, at, 8 * WORDS);
    }
}

static void free_disk(void *part)
{
    struct sim_disk *d = part;

    pthread_mutex_destroy(&d->lock);
    free(d->data);
    free(d->kind);
    free(d);
}

/* ---- the library ---------------------------------------------------------------------------------------------------- */

static int disk_read(void *o, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct sim_disk *d = o;

    if (atomic_fetch_add(&d->reads, 1) + 1 == atomic_load(&d->fail_read))
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "bad sector");
    pthread_mutex_lock(&d->lock);
    memcpy(to, d->data + offset, bytes);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int disk_write(void *o, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct sim_disk *d = o;

    if (atomic_fetch_add(&d->writes, 1) + 1 == atomic_load(&d->fail_write))
        return gw_fail(err, -ENOSPC, GW_BLAME_EMBEDDER, "no room");
    pthread_mutex_lock(&d->lock);
    memcpy(d->data + offset, from, bytes);
    is_data(d, offset, bytes);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int disk_zero(void *o, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    struct sim_disk *d = o;

    pthread_mutex_lock(&d->lock);
    memset(d->data + offset, 0, bytes);
    memset(d->kind + offset / CLUSTER, GW_DISK_ZERO, bytes / CLUSTER); /* whole clusters, as in the library */
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int disk_find(void *o, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    struct sim_disk *d = o;
    uint64_t end = offset + bytes, at = offset;

    pthread_mutex_lock(&d->lock);
    ret->kind = d->kind[offset / CLUSTER];
    while (at < end && d->kind[at / CLUSTER] == ret->kind)
        at = (at / CLUSTER + 1) * CLUSTER;
    pthread_mutex_unlock(&d->lock);
    ret->bytes = (at < end ? at : end) - offset;
    return 0;
}

static int disk_flush(void *o, struct gw_error *err)
{
    atomic_fetch_add(&((struct sim_disk *)o)->flushes, 1);
    return 0;
}

static int disk_activate(void *o, struct gw_error *err)
{
    atomic_fetch_add(&((struct sim_disk *)o)->activated, 1);
    return 0;
}

struct sim_disk *sim_disk_new(struct sim *s, uint64_t bytes, uint64_t seed)
{
    static const struct sim_part part = {.work = work, .check = check, .free = free_disk};
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write,
                                           .zero = disk_zero, .find = disk_find, .flush = disk_flush,
                                           .activate = disk_activate};
    struct sim_disk *d = calloc(1, sizeof *d);
    struct gw_disk_desc desc = {.device = "d0", .bytes = bytes, .ops = &ops, .opaque = d, .inactive = !seed};

    assert_non_null(d);
    d->sim = s;
    d->bytes = bytes;
    d->made.seed = seed;
    pthread_mutex_init(&d->lock, NULL);
    d->data = calloc(1, bytes);
    d->kind = calloc(1, bytes / CLUSTER + 1);
    sim_take_part(s, &part, d);
    assert_true(d->data && d->kind);
    memset(d->kind, seed ? GW_DISK_ZERO : GW_DISK_DATA, bytes / CLUSTER + 1);
    if (seed)
        begin(d, d->data);
    else
        memset(d->data, 0x5a, bytes);
    for (uint64_t at = 0; at < bytes; at += CLUSTER)
        if (at / MIB % 3)
            d->kind[at / CLUSTER] = GW_DISK_DATA;
    assert_int_equal(gw_vm_add_disk(s->vm, &desc, &d->disk, NULL), 0);
    assert_int_equal(gw_registry_add(gw_vm_registry(s->vm), &state, "disk-writes", 0, &d->made, NULL), 0);
    return d;
}

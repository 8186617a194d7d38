/* SPDX-License-Identifier: MIT
 *
 * saved: a machine at rest that is made for a test: blocks of any size that hold zeros but for what is put there, and
 * devices with given bytes.
 */
#ifndef TEST_SAVED_H
#define TEST_SAVED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "examine/devices.h"

#define G      GW_GIB
#define M      GW_MIB
#define TABLES "/rom@etc/acpi/tables"

struct piece {
    unsigned block;
    uint64_t offset, bytes;
    uint8_t data[2048];
};

struct saved {
    struct gw_image image;
    struct gw_image_device list[8];
    struct gw_image_devices devices;
    struct piece pieces[16];
    unsigned piece_count;
    uint8_t cmos[128], bridge[276];
};

static inline int saved_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                             struct gw_error *err)
{
    const struct saved *s = image->own;
    uint64_t begin = first * image->page_bytes, end = begin + count * image->page_bytes;

    memset(dst, 0, (size_t)(end - begin));
    for (unsigned i = 0; i < s->piece_count; i++)
        for (uint64_t k = 0; k < s->pieces[i].bytes && s->pieces[i].block == block; k++)
            if (s->pieces[i].offset + k >= begin && s->pieces[i].offset + k < end)
                dst[s->pieces[i].offset + k - begin] = s->pieces[i].data[k];
    return 0;
}

static inline int saved_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                            struct gw_error *err)
{
    const struct saved *s = image->own;

    memset(kinds, 0, (size_t)count);
    for (unsigned i = 0; i < s->piece_count; i++)
        for (uint64_t k = s->pieces[i].offset / 4096; k <= (s->pieces[i].offset + s->pieces[i].bytes - 1) / 4096; k++)
            if (s->pieces[i].block == block && k >= first && k - first < count)
                kinds[k - first] = 1;
    return 0;
}

static inline void saved_init(struct saved *s, const char *machine)
{
    static const struct gw_image_ops ops = {.map = saved_map, .read = saved_read};

    *s = (struct saved){.image = {.ops = &ops, .page_bytes = 4096, .page_bits = 12}};
    s->image.own = s;
    s->devices.list = s->list;
    gw_strcopy(s->image.machine, sizeof s->image.machine, machine);
}

static inline void saved_free(struct saved *s)
{
    free(s->image.blocks);
    s->image.blocks = NULL;
}

static inline unsigned saved_block(struct saved *s, const char *name, uint64_t bytes)
{
    assert_int_equal(gw_image_add_block(&s->image, name, bytes, NULL, NULL), 0);
    return s->image.block_count - 1;
}

static inline void saved_device(struct saved *s, const char *name, const uint8_t *body, size_t bytes)
{
    assert_true(s->devices.count < GW_ARRAY_LEN(s->list));
    s->list[s->devices.count++] = (struct gw_image_device){.name = name, .body = body, .body_bytes = bytes};
}

static inline uint8_t *saved_put(struct saved *s, unsigned block, uint64_t offset, uint64_t bytes)
{
    struct piece *p = &s->pieces[s->piece_count++];

    assert_true(s->piece_count <= GW_ARRAY_LEN(s->pieces) && bytes <= sizeof p->data);
    p->block = block;
    p->offset = offset;
    p->bytes = bytes;
    return p->data;
}

static inline void put_le(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* So that all of it adds up to 0. */
static inline void put_sum(uint8_t *p, uint64_t bytes, uint64_t at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (uint64_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + p[i]);
    p[at] = (uint8_t)-sum;
}

static inline void saved_cmos(struct saved *s, uint64_t below, uint64_t above)
{
    if (below >= 16 * M)
        put_le(s->cmos + 0x34, (below - 16 * M) / 65536, 2);
    put_le(s->cmos + 0x30, GW_MIN(below / 1024 - 1024, 65535u), 2);
    put_le(s->cmos + 0x5b, above / 65536, 3);
    saved_device(s, "mc146818rtc", s->cmos, sizeof s->cmos);
}

/* A host bridge of q35 that shows RAM everywhere below 1 MiB. */
static inline void saved_bridge(struct saved *s)
{
    put_le(s->bridge + 4, 0x8086, 2);
    put_le(s->bridge + 6, 0x29c0, 2);
    memset(s->bridge + 4 + 0x90, 0x33, 7);
    saved_device(s, "0000:00:00.0/mch", s->bridge, sizeof s->bridge);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

struct node {
    uint64_t address, bytes;
    uint32_t node, flags;
};

/* A DSDT with a window for PCI devices (0: none), and an SRAT (count 0: none), as QEMU hands them to the firmware. */
static inline uint8_t *saved_tables(struct saved *s, uint64_t window, const struct node *nodes, unsigned count)
{
    uint8_t *p = saved_put(s, saved_block(s, TABLES, 128 * 1024), 0, 2048), *t = p + 64;

    memcpy(p, "FACS\x40", 5);
    memcpy(t, "DSDT", 4);
    put_le(t + 4, 200, 4);
    if (window) {
        t[77] = 0x8a;
        put_le(t + 78, 0x2b, 2);
        put_le(t + 91, window, 8);
        put_le(t + 99, window + 32 * G - 1, 8);
        put_le(t + 115, 32 * G, 8);
    }
    t += 200;
    if (!count)
        return p;
    memcpy(t, "SRAT", 4);
    put_le(t + 4, 48 + 16 + 40 * count, 4);
    t += 48;
    t[1] = 16; /* a processor */
    t += 16;
    for (unsigned i = 0; i < count; i++, t += 40) {
        t[0] = 1;
        t[1] = 40;
        put_le(t + 2, nodes[i].node, 4);
        put_le(t + 8, nodes[i].address, 8);
        put_le(t + 16, nodes[i].bytes, 8);
        put_le(t + 28, nodes[i].flags, 4);
    }
    return p;
}

/* What the firmware leaves below 1 MiB: where the root of the tables is. */
static inline void saved_root_pointer(struct saved *s, unsigned block, uint64_t root)
{
    uint8_t *p = saved_put(s, block, 0xf5230, 36);

    memcpy(p, "RSD PTR ", 8);
    put_le(p + 16, root, 4);
    put_sum(p, 20, 8);
}

static inline void saved_root(struct saved *s, unsigned block, uint64_t offset)
{
    uint8_t *p = saved_put(s, block, offset, 60);

    memcpy(p, "RSDT", 4);
    put_le(p + 4, 60, 4);
    put_sum(p, 60, 9);
}

/* SMBIOS: an entry point at `at`, the structures at `table`: a text, ranges of memory, an end. */
static inline uint8_t *saved_smbios(struct saved *s, unsigned block, uint64_t at, uint64_t table,
                                    const struct node *ranges, unsigned count)
{
    uint8_t *t = saved_put(s, block, table, 12 + 33 * count + 6), *p = saved_put(s, block, at, 31), *q = t;

    memcpy(q,
           "\x01\x08\x00\x01\x00\x00\x00\x00"
           "a\0\0",
           11);
    q += 11;
    for (unsigned i = 0; i < count; i++, q += 33) {
        q[0] = 19;
        q[1] = 31;
        if (ranges[i].flags) { /* long */
            put_le(q + 4, UINT32_MAX, 4);
            put_le(q + 8, UINT32_MAX, 4);
            put_le(q + 15, ranges[i].address, 8);
            put_le(q + 23, ranges[i].address + ranges[i].bytes - 1, 8);
        } else {
            put_le(q + 4, ranges[i].address / 1024, 4);
            put_le(q + 8, (ranges[i].address + ranges[i].bytes) / 1024 - 1, 4);
        }
    }
    memcpy(q, "\x7f\x04\x01\x00\x00\x00", 6);
    memcpy(p, "_SM_", 4);
    p[5] = 31;
    put_le(p + 22, (uint64_t)(q + 6 - t), 2);
    put_le(p + 24, table, 4);
    put_sum(p, 31, 4);
    return t;
}

#endif

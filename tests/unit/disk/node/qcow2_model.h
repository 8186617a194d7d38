/* SPDX-License-Identifier: MIT
 *
 * qcow2_model: a disk as plain bytes beside an image, and random calls that go to both. Included once in each program.
 */
#ifndef QCOW2_MODEL_H
#define QCOW2_MODEL_H

#include "qcow2_rig.h"

#define MODEL_MOST  (1u << 20) /* bytes of a disk */
#define MODEL_SHOTS 4u

struct model_shot {
    uint8_t *bytes;
    uint64_t length;
    uint32_t state; /* the byte that its state consists of; 0: none */
};

struct model {
    uint64_t seed;
    struct gw_qcow2_config config;
    struct rig_file file, below;
    bool backed;
    bool odd;         /* disks also have lengths that are no multiple of 512, which only others make */
    uint8_t *backing; /* below.bytes */
    struct gw_node *node;
    uint8_t *bytes; /* what the disk must read as: node->bytes */
    bool *any;      /* discarded: may read as anything, until it was read */
    struct model_shot shots[MODEL_SHOTS];
    unsigned shot_count;
    uint8_t *room;
};

static inline struct gw_node *model_backing(struct model *m)
{
    return m->backed ? rig_node(&m->below) : NULL;
}

static inline void model_choose(struct model *m)
{
    static const uint8_t bits[] = {9, 9, 9, 10, 12, 12, 16, 17};
    uint64_t *s = &m->seed;

    m->config.cluster_bits = bits[rig_random(s) % sizeof bits];
    m->config.bytes = 512 * (1 + rig_random(s) % (m->config.cluster_bits < 12 ? 300 : MODEL_MOST / 1024));
    m->config.version = rig_random(s) % 4 ? 3 : 2;
    if (m->config.version == 3) {
        m->config.refcount_set = true;
        m->config.refcount_order = (unsigned)(rig_random(s) % 7);
        m->config.lazy_refcounts = rig_random(s) % 4 == 0;
    }
    m->backed = rig_random(s) % 3 == 0;
    if (m->backed) {
        m->config.backing = "below";
        m->config.backing_format = "raw";
    }
}

static inline void model_begin(struct model *m, uint64_t seed)
{
    m->seed = (seed + 1) * 0x9e3779b97f4a7c15ull;
    memset(&m->config, 0, sizeof m->config);
    model_choose(m);
    rig_empty(&m->file);
    memset(m->bytes, 0, MODEL_MOST);
    m->shot_count = 0;
    if (m->backed) {
        m->below.bytes = rig_random(&m->seed) % (m->config.bytes * 3 / 2 + 1);
        memset(m->below.data, 0xb0, m->below.bytes);
        memcpy(m->bytes, m->below.data, GW_MIN(m->below.bytes, m->config.bytes));
    }
    rig_create(&m->file, &m->config);
    if (m->odd && rig_random(&m->seed) % 4 == 0) {
        uint64_t less = rig_random(&m->seed) % 512;

        memset(m->bytes + m->config.bytes - less, 0, less);
        m->config.bytes -= less;
        gw_store_be64(m->file.data + 24, m->config.bytes);
    }
    m->node = rig_open(&m->file, model_backing(m), 0);
}

static inline void model_new(struct model *m)
{
    memset(m, 0, sizeof *m);
    rig_new(&m->file);
    rig_new(&m->below);
    m->bytes = calloc(1, MODEL_MOST);
    m->room = malloc(MODEL_MOST);
}

static inline void model_end(struct model *m)
{
    rig_ok(gw_node_free(m->node, &err));
    m->node = NULL;
    for (unsigned i = 0; i < m->shot_count; i++)
        free(m->shots[i].bytes);
    m->shot_count = 0;
}

static inline void model_done(struct model *m)
{
    rig_done(&m->file);
    rig_done(&m->below);
    free(m->bytes);
    free(m->room);
}

static inline void model_compare(struct model *m, uint64_t bytes, uint64_t offset)
{
    rig_ok(gw_node_read(m->node, m->room, bytes, offset, &err));
    for (uint64_t i = 0; i < bytes; i++)
        if (m->room[i] != m->bytes[offset + i])
            fail_msg("byte %" PRIu64 " of %" PRIu64 " is %02x instead of %02x", offset + i, m->node->bytes, m->room[i],
                     m->bytes[offset + i]);
}

static inline void model_range(struct model *m, uint64_t *offset, uint64_t *bytes)
{
    uint64_t cluster = 1ull << m->config.cluster_bits, all = m->node->bytes, *s = &m->seed, end;

    *offset = rig_random(s) % all;
    end = *offset + 1 + rig_random(s) % (rig_random(s) % 4 ? 3 * cluster : all);
    if (rig_random(s) % 2)
        *offset &= ~(cluster - 1);
    if (rig_random(s) % 2)
        end = (end + cluster - 1) & ~(cluster - 1);
    *bytes = GW_MIN(GW_MAX(end, *offset + 1), all) - *offset;
}

static inline void model_take(struct model *m)
{
    struct gw_error why = GW_ERROR_INIT;
    struct gw_qcow2_snapshot s = {.name = (char[]){"shot"}, .seconds = 7};
    struct model_shot *shot = &m->shots[m->shot_count];
    uint8_t state[3000];
    int r;

    if (m->shot_count == MODEL_SHOTS)
        return;
    shot->state = rig_random(&m->seed) % 2 ? 0x50 + m->shot_count : 0;
    memset(state, (int)shot->state, sizeof state);
    s.state_bytes = shot->state ? sizeof state : 0;
    if (shot->state)
        rig_ok(gw_qcow2_state_write(m->node, state, sizeof state, 0, &err));
    r = gw_qcow2_snapshot_create(m->node, &s, &why);
    if (r == -EOVERFLOW && m->config.refcount_set && m->config.refcount_order < 3)
        return;
    if (r < 0)
        fail_msg("%s", why.text);
    shot->length = m->node->bytes;
    shot->bytes = malloc(shot->length);
    memcpy(shot->bytes, m->bytes, shot->length);
    m->shot_count++;
}

static inline void model_apply(struct model *m)
{
    struct gw_error why = GW_ERROR_INIT;
    unsigned i = m->shot_count ? (unsigned)(rig_random(&m->seed) % m->shot_count) : 0;
    uint8_t state[3000];
    int r;

    if (!m->shot_count)
        return;
    r = gw_qcow2_snapshot_apply(m->node, i, &why);
    if (r == -EOVERFLOW && m->config.refcount_set && m->config.refcount_order < 3)
        return;
    if (r < 0)
        fail_msg("%s", why.text);
    assert_int_equal(m->node->bytes, m->shots[i].length);
    memset(m->bytes, 0, MODEL_MOST);
    memcpy(m->bytes, m->shots[i].bytes, m->shots[i].length);
    if (m->shots[i].state) {
        rig_ok(gw_qcow2_state_read(m->node, state, sizeof state, 0, &err));
        for (size_t k = 0; k < sizeof state; k++)
            assert_int_equal(state[k], m->shots[i].state);
    }
}

static inline void model_delete(struct model *m)
{
    unsigned i = m->shot_count ? (unsigned)(rig_random(&m->seed) % m->shot_count) : 0;

    if (!m->shot_count)
        return;
    rig_ok(gw_qcow2_snapshot_delete(m->node, i, &err));
    free(m->shots[i].bytes);
    memmove(&m->shots[i], &m->shots[i + 1], (--m->shot_count - i) * sizeof m->shots[0]);
}

static inline void model_grow(struct model *m)
{
    uint64_t old = m->node->bytes, bytes = (old + rig_random(&m->seed) % 60000 + 511) & ~511ull;

    if (bytes > MODEL_MOST)
        return;
    rig_ok(gw_node_resize(m->node, bytes, &err));
    memset(m->bytes + old, 0, bytes - old);
}

static inline void model_reopen(struct model *m)
{
    rig_ok(gw_node_free(m->node, &err));
    m->node = rig_open(&m->file, model_backing(m), 0);
}

static inline void model_write(struct model *m, uint64_t bytes, uint64_t offset)
{
    for (uint64_t i = 0; i < bytes; i++)
        m->bytes[offset + i] = (uint8_t)((offset + i) / 7 + m->seed) | 1;
    rig_ok(gw_node_write(m->node, m->bytes + offset, bytes, offset, 0, &err));
}

static inline void model_discard(struct model *m, uint64_t bytes, uint64_t offset)
{
    rig_ok(gw_node_discard(m->node, bytes, offset, &err));
    rig_ok(gw_node_read(m->node, m->room, bytes, offset, &err));
    for (uint64_t i = 0; i < bytes;
         i++) { /* what it was or zeros, and not what once was there before or in the backing */
        if (m->room[i] && m->room[i] != m->bytes[offset + i])
            fail_msg("byte %" PRIu64 " is %02x after a discard", offset + i, m->room[i]);
        m->bytes[offset + i] = m->room[i];
    }
}

/* shots false: only what keeps the metadata in the order that any version has. */
static inline void model_step(struct model *m, bool shots)
{
    uint64_t offset, bytes, what = rig_random(&m->seed) % 64;
    unsigned flags = rig_random(&m->seed) % 2 ? GW_NODE_UNMAP : 0;

    model_range(m, &offset, &bytes);
    if (what < 26) {
        model_write(m, bytes, offset);
    } else if (what < 34) {
        rig_ok(gw_node_zero(m->node, bytes, offset, flags, &err));
        memset(m->bytes + offset, 0, bytes);
    } else if (what < 40) {
        model_discard(m, bytes, offset);
    } else if (what < 50) {
        model_compare(m, bytes, offset);
    } else if (what < 54) {
        rig_ok(gw_node_flush(m->node, &err));
    } else if (what < 56) {
        model_grow(m);
    } else if (what < 58) {
        model_reopen(m);
    } else if (shots && what < 60) {
        model_take(m);
    } else if (shots && what < 62) {
        model_apply(m);
    } else if (shots) {
        model_delete(m);
    }
}

/* Every byte, and what find says of it. */
static inline void model_whole(struct model *m)
{
    uint64_t offset = 0;

    model_compare(m, m->node->bytes, 0);
    while (offset < m->node->bytes) {
        struct gw_node_run run;

        rig_ok(gw_node_find(m->node, m->node->bytes - offset, offset, &run, &err));
        for (uint64_t i = 0; i < run.bytes && run.kind != GW_DISK_DATA; i++)
            if (m->bytes[offset + i])
                fail_msg("byte %" PRIu64 " is found to be zero", offset + i);
        offset += run.bytes;
    }
}

#endif

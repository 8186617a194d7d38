/* SPDX-License-Identifier: MIT
 *
 * A new, empty image: header, refcount table and its first blocks, L1 table, in this order in the file.
 */
#include "disk/node/qcow2_inner.h"

static int refuse(const struct gw_node *file, struct gw_error *err, const char *why)
{
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: cannot make a qcow2 image: %s", file->name, why);
}

static int check(const struct gw_node *file, const struct gw_qcow2_header *h, const struct gw_qcow2_config *c,
                 struct gw_error *err)
{
    if (h->version != 2 && h->version != 3)
        return refuse(file, err, "the version is neither 2 nor 3");
    if (h->cluster_bits < GW_QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > GW_QCOW2_CLUSTER_BITS_MAX)
        return refuse(file, err, "a cluster has 9 to 21 bits, 512 bytes to 2 MiB");
    if (h->refcount_order > 6 || (h->version == 2 && h->refcount_order != 4))
        return refuse(file, err, "the order of the refcounts is 0 to 6, and 4 in version 2");
    if (h->bytes % 512) /* QEMU ignores bytes after the last whole sector */
        return refuse(file, err, "the length of the disk is no multiple of 512");
    if (h->version == 2 && c->lazy_refcounts)
        return refuse(file, err, "version 2 knows no lazy refcounts");
    if (c->backing && c->backing[0] && (!c->backing_format || !c->backing_format[0]))
        return refuse(file, err, "the format of the backing must be told");
    if (c->backing && strlen(c->backing) > GW_QCOW2_BACKING_MAX)
        return refuse(file, err, "the name of the backing has more than 1023 bytes");
    if (c->backing_format && strlen(c->backing_format) >= sizeof h->backing_format)
        return refuse(file, err, "the format of the backing has a name that is too long");
    if (gw_div_up(gw_div_up(h->bytes, 1ull << h->cluster_bits), 1ull << (h->cluster_bits - 3)) > GW_QCOW2_L1_MAX / 8)
        return refuse(file, err, "the disk is too large for clusters of this size");
    return 0;
}

/* Positions in clusters. */
struct plan {
    uint64_t cluster, table, blocks, l1, total;
    uint64_t block_refs;
};

static void make_plan(struct gw_qcow2_header *h, struct plan *p)
{
    uint64_t l1;

    p->cluster = 1ull << h->cluster_bits;
    p->block_refs = p->cluster * 8 >> h->refcount_order;
    h->l1_entries = (uint32_t)GW_MAX(gw_div_up(gw_div_up(h->bytes, p->cluster), p->cluster / 8), 1);
    l1 = gw_div_up(h->l1_entries * 8ull, p->cluster);
    for (p->table = p->blocks = 1;;) {
        uint64_t blocks, table;

        p->total = 1 + p->table + p->blocks + l1;
        blocks = gw_div_up(p->total, p->block_refs);
        table = gw_div_up(blocks * 8, p->cluster);
        if (blocks <= p->blocks && table <= p->table)
            break;
        p->blocks = GW_MAX(blocks, p->blocks);
        p->table = GW_MAX(table, p->table);
    }
    p->l1 = 1 + p->table + p->blocks;
    h->reftable_offset = p->cluster;
    h->reftable_clusters = (uint32_t)p->table;
    h->l1_offset = p->l1 * p->cluster;
}

static int write_refcounts(struct gw_node *file, const struct gw_qcow2_header *h, const struct plan *p,
                           struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = calloc(1, p->cluster);
    int r = 0;

    if (!room)
        return gw_nomem(err, "refcounts");
    for (uint64_t b = 0; b < p->blocks && r >= 0; b++) {
        uint8_t entry[8];

        memset(room, 0, p->cluster);
        for (uint64_t c = b * p->block_refs; c < GW_MIN(p->total, (b + 1) * p->block_refs); c++)
            gw_qcow2_bits_set(room, h->refcount_order, c - b * p->block_refs, 1);
        r = gw_node_write(file, room, p->cluster, (1 + p->table + b) * p->cluster, 0, err);
        gw_store_be64(entry, (1 + p->table + b) * p->cluster);
        if (r >= 0)
            r = gw_node_write(file, entry, 8, p->cluster + 8 * b, 0, err);
    }
    return r;
}

static int write_header(struct gw_node *file, struct gw_qcow2_header *h, uint64_t cluster, struct gw_error *err)
{
    size_t length = strlen(h->backing_format);
    struct gw_qcow2_extension format = {GW_QCOW2_EXT_BACKING_FORMAT, (uint32_t)length, (uint8_t *)h->backing_format};
    GW_AUTOFREE uint8_t *room = calloc(1, cluster);
    uint64_t backing = 0;

    if (!room)
        return gw_nomem(err, "qcow2 header");
    if (length) {
        h->extensions = &format;
        h->extension_count = 1;
    }
    gw_qcow2_header_put(h, room);
    length = gw_qcow2_extensions_put(h, room, cluster, &backing);
    h->extensions = NULL;
    if (!length)
        return refuse(file, err, "the name of the backing has no room in the first cluster");
    gw_store_be64(room + 8, backing);
    gw_store_be32(room + 16, (uint32_t)strlen(h->backing));
    return gw_node_write(file, room, cluster, 0, GW_NODE_DURABLE, err);
}

int gw_qcow2_create(struct gw_node *file, const struct gw_qcow2_config *c, struct gw_error *err)
{
    struct gw_qcow2_header h = {
        .version = c->version ? c->version : 3,
        .cluster_bits = c->cluster_bits ? c->cluster_bits : 16,
        .bytes = c->bytes,
        .refcount_order = c->refcount_set ? c->refcount_order : 4,
        .compatible = c->lazy_refcounts ? GW_QCOW2_LAZY : 0,
    };
    struct plan p;
    int r = check(file, &h, c, err);

    if (r < 0)
        return r;
    h.header_bytes = h.version == 2 ? 72 : 112;
    if (c->backing && c->backing[0]) {
        gw_strcopy(h.backing, sizeof h.backing, c->backing);
        gw_strcopy(h.backing_format, sizeof h.backing_format, c->backing_format);
    }
    make_plan(&h, &p);
    r = gw_node_resize(file, 0, err);
    if (r >= 0)
        r = gw_node_resize(file, p.total * p.cluster, err);
    if (r >= 0)
        r = write_refcounts(file, &h, &p, err);
    if (r >= 0)
        r = gw_node_flush(file, err);
    return r < 0 ? r : write_header(file, &h, p.cluster, err);
}

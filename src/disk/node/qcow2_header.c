/* SPDX-License-Identifier: MIT
 *
 * The header of a qcow2 image, its extensions, and the name of its backing. Unknown extensions and additional fields
 * are kept.
 */
#include "disk/node/qcow2_inner.h"

#include <stdio.h>

#define MAGIC     0x514649fbu
#define V2_BYTES  72u
#define V3_BYTES  104u
#define OUR_BYTES 112u /* including the compression type and padding */

static int bad(const struct gw_node *file, struct gw_error *err, const char *what, uint64_t value)
{
    return gw_fail(err, -EPROTO, GW_BLAME_LOCAL, "%s: the qcow2 header says %s %" PRIu64, file->name, what, value);
}

static int not_known(const struct gw_node *file, struct gw_error *err, const char *what)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%s: this qcow2 image %s, which is not supported", file->name, what);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void parse_fixed(const uint8_t *p, struct gw_qcow2_header *h)
{
    h->version = gw_load_be32(p + 4);
    h->cluster_bits = gw_load_be32(p + 20);
    h->bytes = gw_load_be64(p + 24);
    h->crypt = gw_load_be32(p + 32);
    h->l1_entries = gw_load_be32(p + 36);
    h->l1_offset = gw_load_be64(p + 40);
    h->reftable_offset = gw_load_be64(p + 48);
    h->reftable_clusters = gw_load_be32(p + 56);
    h->snapshots = gw_load_be32(p + 60);
    h->snapshots_offset = gw_load_be64(p + 64);
    h->refcount_order = 4;
    h->header_bytes = V2_BYTES;
    if (h->version < 3)
        return;
    h->incompatible = gw_load_be64(p + 72);
    h->compatible = gw_load_be64(p + 80);
    h->autoclear = gw_load_be64(p + 88);
    h->refcount_order = gw_load_be32(p + 96);
    h->header_bytes = gw_load_be32(p + 100);
    if (h->header_bytes > V3_BYTES)
        h->compression = p[104];
}

static int check_table(const struct gw_node *file, const struct gw_qcow2_header *h, const char *what, uint64_t offset,
                       uint64_t bytes, struct gw_error *err)
{
    uint64_t mask = (1ull << h->cluster_bits) - 1;

    if (offset & mask)
        return gw_fail(err, -EPROTO, GW_BLAME_LOCAL,
                       "%s: the %s at offset %" PRIu64 " begins within a cluster of %" PRIu64 " bytes", file->name, what,
                       offset, mask + 1);
    if (offset > file->bytes || bytes > file->bytes - offset || (bytes && !offset))
        return gw_fail(err, -EPROTO, GW_BLAME_LOCAL,
                       "%s: the %s of %" PRIu64 " bytes at offset %" PRIu64 " is not in the file of %" PRIu64 " bytes",
                       file->name, what, bytes, offset, file->bytes);
    return 0;
}

static int check_tables(const struct gw_node *file, const struct gw_qcow2_header *h, struct gw_error *err)
{
    uint64_t cluster = 1ull << h->cluster_bits, reftable = h->reftable_clusters * cluster;
    unsigned l2_bits = h->cluster_bits - (h->incompatible & GW_QCOW2_EXTENDED_L2 ? 4 : 3);
    uint64_t needed = gw_div_up(gw_div_up(h->bytes, cluster), 1ull << l2_bits);
    int r;

    if (h->l1_entries > GW_QCOW2_L1_MAX / 8)
        return bad(file, err, "that the entries of its L1 table are", h->l1_entries);
    if (h->l1_entries < needed)
        return gw_fail(err, -EPROTO, GW_BLAME_LOCAL,
                       "%s: the L1 table has %u entries, and a disk of %" PRIu64 " bytes needs %" PRIu64, file->name,
                       h->l1_entries, h->bytes, needed);
    if (!h->reftable_clusters || reftable > GW_QCOW2_REFTABLE_MAX)
        return bad(file, err, "that the clusters of its refcount table are", h->reftable_clusters);
    if (h->snapshots > GW_QCOW2_SNAPSHOTS_MAX)
        return bad(file, err, "that its snapshots are", h->snapshots);
    r = check_table(file, h, "L1 table", h->l1_offset, h->l1_entries * 8ull, err);
    if (r >= 0)
        r = check_table(file, h, "refcount table", h->reftable_offset, reftable, err);
    if (r >= 0 && h->snapshots)
        r = check_table(file, h, "snapshot table", h->snapshots_offset, 40ull * h->snapshots, err);
    return r;
}

static int check_fixed(const struct gw_node *file, const struct gw_qcow2_header *h, struct gw_error *err)
{
    if (h->version != 2 && h->version != 3)
        return not_known(file, err, "is neither of version 2 nor of version 3");
    if (h->cluster_bits < GW_QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > GW_QCOW2_CLUSTER_BITS_MAX)
        return bad(file, err, "that the bits of a cluster are", h->cluster_bits);
    if (h->version == 3 &&
        (h->header_bytes < V3_BYTES || h->header_bytes % 8 || h->header_bytes > 1u << h->cluster_bits))
        return bad(file, err, "that its own bytes are", h->header_bytes);
    if (h->crypt)
        return not_known(file, err, h->crypt == 2 ? "is encrypted (LUKS)" : "is encrypted");
    if (h->incompatible & GW_QCOW2_DATA_FILE)
        return not_known(file, err, "has its data in another file");
    if (h->refcount_order > 6)
        return bad(file, err, "that the order of its refcounts is", h->refcount_order);
    if (h->compression > 1 || !(h->incompatible & GW_QCOW2_COMPRESSION) != !h->compression)
        return bad(file, err, "that the type of compression is", h->compression);
    if ((h->incompatible & GW_QCOW2_EXTENDED_L2) && h->cluster_bits < 14)
        return bad(file, err, "that it has subclusters in clusters whose bits are", h->cluster_bits);
    if (h->bytes > 1ull << 62)
        return bad(file, err, "that the bytes of the disk are", h->bytes);
    return 0;
}

/* The name of a feature, from the image's table if it has one. */
static void name_feature(const struct gw_qcow2_header *h, unsigned bit, char *name, size_t size)
{
    snprintf(name, size, "bit %u", bit);
    for (unsigned i = 0; i < h->extension_count; i++) {
        const struct gw_qcow2_extension *e = &h->extensions[i];

        for (size_t at = 0; e->type == GW_QCOW2_EXT_FEATURES && at + 48 <= e->bytes; at += 48)
            if (e->data[at] == 0 && e->data[at + 1] == bit) {
                char text[47] = "";

                memcpy(text, e->data + at + 2, 46);
                gw_printable(text, name, size);
            }
    }
}

static int check_features(const struct gw_node *file, const struct gw_qcow2_header *h, struct gw_error *err)
{
    uint64_t known = GW_QCOW2_DIRTY | GW_QCOW2_CORRUPT | GW_QCOW2_COMPRESSION | GW_QCOW2_EXTENDED_L2;
    uint64_t unknown = h->incompatible & ~known;
    char name[128];

    if (!unknown)
        return 0;
    name_feature(h, (unsigned)__builtin_ctzll(unknown), name, sizeof name);
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%s: this qcow2 image needs a feature that is not known here: %s",
                   file->name, name);
}

static int keep_extension(struct gw_qcow2_header *h, uint32_t type, const uint8_t *data, uint32_t bytes,
                          struct gw_error *err)
{
    struct gw_qcow2_extension *more = realloc(h->extensions, (h->extension_count + 1) * sizeof *more);
    uint8_t *copy = malloc(bytes ? bytes : 1);

    if (more)
        h->extensions = more;
    if (!more || !copy) {
        free(copy);
        return gw_nomem(err, "qcow2 header");
    }
    if (bytes)
        memcpy(copy, data, bytes);
    more[h->extension_count++] = (struct gw_qcow2_extension){type, bytes, copy};
    if (type == GW_QCOW2_EXT_BACKING_FORMAT && bytes < sizeof h->backing_format && !memchr(copy, 0, bytes)) {
        memcpy(h->backing_format, copy, bytes);
        h->backing_format[bytes] = 0;
    }
    return 0;
}

static int parse_extensions(const struct gw_node *file, const uint8_t *p, size_t end, struct gw_qcow2_header *h,
                            struct gw_error *err)
{
    size_t at = h->header_bytes;

    while (at + 8 <= end) {
        uint32_t type = gw_load_be32(p + at), bytes = gw_load_be32(p + at + 4);
        int r;

        if (!type)
            return 0;
        at += 8;
        if (bytes > end - at || h->extension_count >= 1024)
            return bad(file, err, "that the bytes of an extension are", bytes);
        r = keep_extension(h, type, p + at, bytes, err);
        if (r < 0)
            return r;
        at += (bytes + 7ull) & ~7ull;
    }
    return 0;
}

int gw_qcow2_header_read(struct gw_node *file, struct gw_qcow2_header *ret, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_header_free) struct gw_qcow2_header h = {0};
    GW_AUTOFREE uint8_t *first = NULL;
    uint8_t fixed[OUR_BYTES] = {0};
    uint64_t backing, end;
    uint32_t n;
    int r = gw_node_read(file, fixed, GW_MIN(sizeof fixed, file->bytes), 0, err);

    if (r < 0)
        return r;
    if (gw_load_be32(fixed) != MAGIC)
        return gw_fail(err, -EPROTO, GW_BLAME_LOCAL, "%s: this is no qcow2 image", file->name);
    parse_fixed(fixed, &h);
    r = check_fixed(file, &h, err);
    if (r < 0)
        return r;
    end = GW_MIN(1ull << h.cluster_bits, file->bytes);
    backing = gw_load_be64(fixed + 8);
    n = gw_load_be32(fixed + 16);
    if (backing && n > GW_QCOW2_BACKING_MAX)
        return bad(file, err, "that the bytes of the name of its backing are", n);
    if (backing && (backing > end || n > end - backing))
        return gw_fail(err, -EPROTO, GW_BLAME_LOCAL,
                       "%s: the name of its backing, %u bytes at offset %" PRIu64 ", is not in the first %" PRIu64 " bytes",
                       file->name, n, backing, end);
    first = calloc(1, end + 1);
    if (!first)
        return gw_nomem(err, "qcow2 header");
    r = gw_node_read(file, first, end, 0, err);
    if (r >= 0)
        r = parse_extensions(file, first, backing > h.header_bytes ? backing : end, &h, err);
    if (r >= 0 && backing) {
        memcpy(h.backing, first + backing, n);
        if (strlen(h.backing) != n)
            r = gw_fail(err, -EPROTO, GW_BLAME_LOCAL, "%s: the name of its backing has a zero in it", file->name);
    }
    if (r >= 0)
        r = check_features(file, &h, err);
    if (r >= 0)
        r = check_tables(file, &h, err);
    if (r < 0)
        return r;
    *ret = h;
    h.extensions = NULL;
    h.extension_count = 0;
    return 0;
}

void gw_qcow2_header_free(struct gw_qcow2_header *h)
{
    for (unsigned i = 0; i < h->extension_count; i++)
        free(h->extensions[i].data);
    free(h->extensions);
    h->extensions = NULL;
    h->extension_count = 0;
}

int gw_qcow2_about(struct gw_node *file, struct gw_qcow2_about *ret, struct gw_error *err)
{
    GW_CLEANUP(gw_qcow2_header_free) struct gw_qcow2_header h = {0};
    int r = gw_qcow2_header_read(file, &h, err);

    if (r < 0)
        return r;
    *ret = (struct gw_qcow2_about){
        .version = h.version,
        .cluster_bits = h.cluster_bits,
        .refcount_order = h.refcount_order,
        .snapshots = h.snapshots,
        .bytes = h.bytes,
        .dirty = h.incompatible & GW_QCOW2_DIRTY,
        .corrupt = h.incompatible & GW_QCOW2_CORRUPT,
        .lazy_refcounts = h.compatible & GW_QCOW2_LAZY,
        .extended_l2 = h.incompatible & GW_QCOW2_EXTENDED_L2,
        .zstd = h.compression == 1,
    };
    gw_strcopy(ret->backing, sizeof ret->backing, h.backing);
    gw_strcopy(ret->backing_format, sizeof ret->backing_format, h.backing_format);
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

size_t gw_qcow2_header_put(const struct gw_qcow2_header *h, uint8_t *p)
{
    gw_store_be32(p, MAGIC);
    gw_store_be32(p + 4, h->version);
    gw_store_be32(p + 20, h->cluster_bits);
    gw_store_be64(p + 24, h->bytes);
    gw_store_be32(p + 32, h->crypt);
    gw_store_be32(p + 36, h->l1_entries);
    gw_store_be64(p + 40, h->l1_offset);
    gw_store_be64(p + 48, h->reftable_offset);
    gw_store_be32(p + 56, h->reftable_clusters);
    gw_store_be32(p + 60, h->snapshots);
    gw_store_be64(p + 64, h->snapshots_offset);
    if (h->version < 3)
        return V2_BYTES;
    gw_store_be64(p + 72, h->incompatible);
    gw_store_be64(p + 80, h->compatible);
    gw_store_be64(p + 88, h->autoclear);
    gw_store_be32(p + 96, h->refcount_order);
    gw_store_be32(p + 100, h->header_bytes);
    return V3_BYTES;
}

/* The backing's name does not change here: it is read back from the file. */
int gw_qcow2_header_write(struct gw_qcow2 *q, struct gw_error *err)
{
    uint8_t bytes[OUR_BYTES];
    int r = gw_qcow2_get(q, bytes, sizeof bytes, 0, err);

    return r < 0 ? r : gw_qcow2_put(q, bytes, gw_qcow2_header_put(&q->h, bytes), 0, err);
}

size_t gw_qcow2_extensions_put(const struct gw_qcow2_header *h, uint8_t *p, size_t room, uint64_t *ret_backing)
{
    size_t at = h->header_bytes, name = strlen(h->backing);

    for (unsigned i = 0; i < h->extension_count; i++) {
        const struct gw_qcow2_extension *e = &h->extensions[i];
        size_t padded = (e->bytes + 7ull) & ~7ull;

        if (at > room || padded + 8 > room - at)
            return 0;
        gw_store_be32(p + at, e->type);
        gw_store_be32(p + at + 4, e->bytes);
        memcpy(p + at + 8, e->data, e->bytes);
        memset(p + at + 8 + e->bytes, 0, padded - e->bytes);
        at += 8 + padded;
    }
    if (at > room || 8 + name > room - at)
        return 0;
    memset(p + at, 0, 8);
    at += 8;
    memcpy(p + at, h->backing, name);
    *ret_backing = name ? at : 0;
    return at + name;
}

int gw_qcow2_extensions_write(struct gw_qcow2 *q, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *first = calloc(1, q->cluster_bytes);
    uint64_t backing = 0;
    size_t end;
    int r;

    if (!first)
        return gw_nomem(err, "qcow2 header");
    r = gw_qcow2_get(q, first, q->h.header_bytes, 0, err);
    if (r < 0)
        return r;
    gw_qcow2_header_put(&q->h, first);
    end = gw_qcow2_extensions_put(&q->h, first, q->cluster_bytes, &backing);
    if (!end)
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL,
                       "%s: the header with its extensions has no room in a cluster of %u bytes", q->node.name,
                       q->cluster_bytes);
    gw_store_be64(first + 8, backing);
    gw_store_be32(first + 16, (uint32_t)strlen(q->h.backing));
    r = gw_qcow2_reach(q, end, err); /* the file may be shorter than a cluster */
    return r < 0 ? r : gw_qcow2_put(q, first, end, 0, err);
}

/* SPDX-License-Identifier: MIT
 *
 * A node in memory. One lock protects everything: it serves tests, so it is kept simple.
 */
#include <sys/mman.h>

#include "base/base.h"
#include "disk/node/node.h"

struct memory {
    struct gw_node node; /* the first member */
    pthread_mutex_t lock;
    uint8_t *data; /* node.bytes; zeros where a cluster is not DATA */
    uint8_t *kind; /* enum gw_disk_kind of each cluster */
};

static struct memory *memory_of(struct gw_node *n)
{
    return (struct memory *)n;
}

static uint64_t clusters(const struct gw_node *n, uint64_t bytes)
{
    return gw_div_up(bytes, n->cluster_bytes);
}

static int memory_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct memory *m = memory_of(n);

    pthread_mutex_lock(&m->lock);
    memcpy(to, m->data + offset, bytes);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* Copies an absent cluster from the backing, before a part of it is written. */
static int bring_in(struct memory *m, uint64_t cluster, struct gw_error *err)
{
    struct gw_node *below = m->node.backing;
    uint64_t start = cluster * m->node.cluster_bytes, bytes = GW_MIN(m->node.cluster_bytes, m->node.bytes - start);

    if (!below || start >= below->bytes)
        return 0;
    return gw_node_read(below, m->data + start, GW_MIN(bytes, below->bytes - start), start, err);
}

/* from NULL: zeros. */
static int put(struct memory *m, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint64_t size = m->node.cluster_bytes;

    for (uint64_t end = offset + bytes; offset < end;) {
        uint64_t c = offset / size, start = c * size, stop = GW_MIN(start + size, m->node.bytes);
        uint64_t part = GW_MIN(end, stop) - offset;
        bool whole = offset == start && offset + part == stop;

        if (!whole && m->kind[c] == GW_DISK_ABSENT) {
            int r = bring_in(m, c, err);
            if (r < 0)
                return r;
        }
        if (from) {
            memcpy(m->data + offset, from, part);
            from = (const char *)from + part;
        } else {
            memset(m->data + offset, 0, part);
        }
        if (from || m->kind[c] == GW_DISK_ABSENT || whole)
            m->kind[c] = !from && whole ? GW_DISK_ZERO : GW_DISK_DATA;
        offset += part;
    }
    return 0;
}

static int memory_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                        struct gw_error *err)
{
    struct memory *m = memory_of(n);
    int r;

    pthread_mutex_lock(&m->lock);
    r = put(m, from, bytes, offset, err);
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    return memory_write(n, NULL, bytes, offset, flags, err);
}

static int memory_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct memory *m = memory_of(n);
    uint64_t size = n->cluster_bytes, first = clusters(n, offset);
    uint64_t end = offset + bytes == n->bytes ? clusters(n, n->bytes) : (offset + bytes) / size;

    pthread_mutex_lock(&m->lock);
    for (uint64_t c = first; c < end; c++) {
        memset(m->data + c * size, 0, GW_MIN(size, n->bytes - c * size));
        m->kind[c] = GW_DISK_ABSENT;
    }
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int memory_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret,
                       struct gw_error *err)
{
    struct memory *m = memory_of(n);
    uint64_t size = n->cluster_bytes, first = offset / size, c = first + 1;

    pthread_mutex_lock(&m->lock);
    while (c * size < offset + bytes && m->kind[c] == m->kind[first])
        c++;
    ret->kind = m->kind[first];
    pthread_mutex_unlock(&m->lock);
    ret->bytes = GW_MIN(c * size - offset, bytes);
    return 0;
}

static int memory_flush(struct gw_node *n, struct gw_error *err)
{
    return 0;
}

static uint8_t *map(uint64_t bytes)
{
    void *at = mmap(NULL, GW_MAX(bytes, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static void unmap(uint8_t *at, uint64_t bytes)
{
    if (at)
        munmap(at, GW_MAX(bytes, 1));
}

static int memory_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err)
{
    struct memory *m = memory_of(n);
    uint64_t common = GW_MIN(bytes, n->bytes), end = clusters(n, bytes);
    uint8_t *data = map(bytes), *kind = malloc(GW_MAX(end, 1));

    if (!data || !kind) {
        unmap(data, bytes);
        free(kind);
        return gw_nomem(err, "disk in memory");
    }
    memcpy(data, m->data, common);
    memset(kind, GW_DISK_ABSENT, GW_MAX(end, 1));
    memcpy(kind, m->kind, clusters(n, common));
    unmap(m->data, n->bytes);
    free(m->kind);
    m->data = data;
    m->kind = kind;
    n->bytes = bytes;
    return 0;
}

static int memory_free(struct gw_node *n, struct gw_error *err)
{
    struct memory *m = memory_of(n);
    int r;

    unmap(m->data, n->bytes);
    free(m->kind);
    r = gw_node_done(n, err);
    pthread_mutex_destroy(&m->lock);
    free(m);
    return r;
}

static const struct gw_node_ops memory_ops = {
    .format = "memory",
    .read = memory_read,
    .write = memory_write,
    .zero = memory_zero,
    .discard = memory_discard,
    .find = memory_find,
    .flush = memory_flush,
    .resize = memory_resize,
    .free = memory_free,
};

struct gw_node *gw_node_memory(uint64_t bytes, uint32_t cluster_bytes)
{
    struct memory *m = gw_is_pow2(cluster_bytes) && bytes <= INT64_MAX ? calloc(1, sizeof *m) : NULL;

    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->node.bytes = bytes;
    m->node.cluster_bytes = cluster_bytes;
    m->data = map(bytes);
    m->kind = malloc(GW_MAX(clusters(&m->node, bytes), 1));
    if (gw_node_init(&m->node, &memory_ops, "memory", NULL) < 0 || !m->data || !m->kind) {
        memory_free(&m->node, NULL);
        return NULL;
    }
    memset(m->kind, GW_DISK_ABSENT, GW_MAX(clusters(&m->node, bytes), 1));
    return &m->node;
}

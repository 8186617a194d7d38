/* SPDX-License-Identifier: MIT
 *
 * qcow2_abuse: any bytes as an image, and every call to what opens. Aborts where something is done that no bytes may
 * lead to. For the fuzz target and for test_qcow2_hostile.c.
 */
#ifndef QCOW2_ABUSE_H
#define QCOW2_ABUSE_H

#include <stdio.h>

#include "base/base.h"
#include "base/endian.h"
#include "disk/node/qcow2.h"

#define ABUSE_READ (1u << 20) /* bytes of a disk that are looked at */

static inline void abuse_said(int r, const struct gw_error *err)
{
    if (r < 0 && (r != err->code || !err->text[0])) {
        fprintf(stderr, "a failure without a reason: %d, %d %s\n", r, err->code, err->text);
        abort();
    }
    /* -EINVAL of a node: something outside of the file was to be read or written. */
    if (r == -EINVAL && err->blame == GW_BLAME_CALLER && strstr(err->text, "are not in it")) {
        fprintf(stderr, "%s\n", err->text);
        abort();
    }
}

#define abuse_call(call)                                                                                               \
    do {                                                                                                               \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") /* call names err */             \
            struct gw_error err = GW_ERROR_INIT;                                                                       \
        _Pragma("GCC diagnostic pop") abuse_said(call, &err);                                                          \
    } while (0)

static inline struct gw_node *abuse_file(const uint8_t *data, size_t size)
{
    struct gw_node *n = gw_node_memory(size, 512);

    if (!n || gw_node_write(n, data, size, 0, 0, NULL) < 0)
        abort();
    return n;
}

static inline void abuse_look(struct gw_node *n)
{
    uint64_t bytes = GW_MIN(n->bytes, ABUSE_READ), at = 0;
    uint8_t *room = malloc(ABUSE_READ);
    struct gw_qcow2_bitmap *bitmaps = NULL;
    struct gw_qcow2_report report;
    const struct gw_qcow2_snapshot *list;
    unsigned count = 0, snapshots = GW_MIN(gw_qcow2_snapshots(n, &list), 4);

    abuse_call(gw_node_read(n, room, bytes, 0, &err));
    if (n->bytes > bytes)
        abuse_call(gw_node_read(n, room, 1000 % n->bytes, n->bytes - 1000 % n->bytes, &err));
    while (at < bytes) {
        struct gw_node_run run;
        struct gw_error err = GW_ERROR_INIT;
        int r = gw_node_find(n, bytes - at, at, &run, &err);

        abuse_said(r, &err);
        if (r >= 0 && (!run.bytes || run.bytes > bytes - at))
            abort();
        at += r < 0 ? 512 : run.bytes;
    }
    abuse_call(gw_qcow2_state_read(n, room, 5000, 0, &err));
    for (unsigned i = 0; i < snapshots; i++)
        abuse_call(gw_qcow2_snapshot_state_read(n, i, room, GW_MIN(list[i].state_bytes, ABUSE_READ), 0, &err));
    abuse_call(gw_qcow2_check(n, &report, &err));
    abuse_call(gw_qcow2_bitmaps_load(n, &bitmaps, &count, &err));
    if (!n->read_only && count)
        abuse_call(gw_qcow2_bitmaps_store(n, bitmaps, count, &err));
    gw_qcow2_bitmaps_free(bitmaps, count);
    free(room);
}

static inline void abuse_snapshots(struct gw_node *n)
{
    struct gw_qcow2_snapshot s = {.name = (char[]){"abuse"}};
    const struct gw_qcow2_snapshot *list;

    abuse_call(gw_qcow2_snapshot_create(n, &s, &err));
    if (gw_qcow2_snapshots(n, &list)) {
        abuse_call(gw_qcow2_snapshot_apply(n, 0, &err));
        abuse_call(gw_qcow2_snapshot_delete(n, 0, &err));
    }
}

static inline void abuse_write(struct gw_node *n)
{
    uint64_t bytes = GW_MIN(n->bytes, 200000);
    uint8_t *room = malloc(bytes + 1);

    memset(room, 0x77, bytes + 1);
    abuse_call(gw_node_write(n, room, bytes, 0, 0, &err));
    abuse_call(gw_node_flush(n, &err));
    abuse_call(gw_node_zero(n, bytes / 2, bytes / 4, GW_NODE_UNMAP, &err));
    abuse_call(gw_node_discard(n, bytes / 3, 0, &err));
    abuse_call(gw_node_flush(n, &err));
    abuse_snapshots(n);
    abuse_call(gw_qcow2_state_write(n, room, GW_MIN(bytes, 3000), 0, &err));
    bytes = GW_MIN(bytes, n->bytes); /* a snapshot may have made it shorter */
    abuse_call(gw_node_write(n, room, bytes, n->bytes - bytes, 0, &err));
    if (n->bytes < 1u << 30)
        abuse_call(gw_node_resize(n, (n->bytes + 99999) & ~511ull, &err));
    abuse_call(gw_qcow2_repair(n, &err));
    free(room);
}

static inline void abuse(const uint8_t *data, size_t size)
{
    for (unsigned flags = 0; flags < 2; flags++) {
        struct gw_node *n = NULL;
        struct gw_error err = GW_ERROR_INIT;
        int r = gw_qcow2_open(abuse_file(data, size), NULL, flags | GW_QCOW2_ALONE, &n, &err);

        abuse_said(r, &err);
        if (r < 0)
            continue;
        abuse_look(n);
        if (!(flags & GW_QCOW2_READ_ONLY))
            abuse_write(n);
        r = gw_node_free(n, &err);
        abuse_said(r, &err);
    }
}

#endif

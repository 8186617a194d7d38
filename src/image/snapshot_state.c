/* SPDX-License-Identifier: MIT
 *
 * The machine in a snapshot: reads its state as bytes, as a file, as an image.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/endian.h"
#include "disk/node/qcow2.h"
#include "image/image.h"
#include "image/snapshots.h"
#include "image/unpack.h"
#include "wire/numbers.h"

struct state {
    struct gw_bytes bytes; /* the first member */
    struct gw_snapshots *snapshots;
    unsigned index;
};

static int state_read(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    struct state *s = (struct state *)b;

    return gw_qcow2_snapshot_state_read(s->snapshots->disk, s->index, dst, bytes, at, err);
}

static void state_free(struct gw_bytes *b)
{
    gw_snapshots_free(((struct state *)b)->snapshots, NULL); /* the disk was not modified */
    free(b);
}

static const struct gw_bytes_ops state_ops = {.read = state_read, .free = state_free};

int gw_snapshot_bytes_new(const char *disk, const char *what, struct gw_bytes **ret, struct gw_error *err)
{
    struct state *s = calloc(1, sizeof *s);
    const struct gw_qcow2_snapshot *list;
    int r = s ? gw_snapshots_open(disk, false, &s->snapshots, err) : gw_nomem(err, "snapshot");

    if (r >= 0)
        r = gw_qcow2_snapshot_find(s->snapshots->disk, what, &s->index, err);
    if (r >= 0 && gw_qcow2_snapshots(s->snapshots->disk, &list) && !list[s->index].state_bytes)
        r = gw_fail(err, -ENOENT, GW_BLAME_CALLER,
                    "%s: snapshot %s has no machine state: if that was saved, it is in the snapshot of another disk",
                    disk, what);
    if (r < 0) {
        if (s)
            gw_snapshots_free(s->snapshots, NULL);
        free(s);
        return r;
    }
    s->bytes = (struct gw_bytes){.ops = &state_ops, .size = list[s->index].state_bytes, .fd = -1, .depth = 1};
    *ret = &s->bytes;
    return 0;
}

/* Checks the head before much data is copied. */
static int check_head(struct gw_bytes *b, struct gw_error *err)
{
    uint8_t head[4] = {0};
    int r = b->size < sizeof head ? 0 : gw_bytes_read(b, head, sizeof head, 0, err);

    if (r >= 0 && gw_load_be32(head) != GW_WIRE_MAGIC)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "its state is not a migration stream");
    return r;
}

int gw_snapshot_unpack(const char *disk, const char *what, const char *temporary_folder, int *ret_fd, struct gw_error *err)
{
    struct gw_bytes *b;
    int r = gw_snapshot_bytes_new(disk, what, &b, err);

    if (r < 0)
        return r;
    r = check_head(b, err);
    if (r >= 0)
        r = gw_bytes_unpack(b, temporary_folder, ret_fd, err);
    else
        gw_bytes_free(b);
    if (r < 0)
        gw_context(err, "%s, snapshot %s", disk, what);
    return r;
}

int gw_image_open_snapshot(const char *disk, const char *what, const char *temporary_folder, struct gw_image **ret_image,
                           struct gw_error *err)
{
    char name[GW_PATH_TEXT];
    struct gw_image *image;
    int fd, r = gw_snapshot_unpack(disk, what, temporary_folder, &fd, err);

    if (r < 0)
        return r;
    image = calloc(1, sizeof *image);
    if (!image) {
        close(fd);
        return gw_nomem(err, "image");
    }
    snprintf(name, sizeof name, "%s, snapshot %s", disk, what);
    image->temporary_folder = temporary_folder;
    image->format = GW_IMAGE_STREAM;
    image->unpacked = true;
    r = gw_stream_open_at(fd, name, 0, image, err);
    image->temporary_folder = NULL;
    if (r < 0)
        gw_image_free(image);
    else
        *ret_image = image;
    return r;
}

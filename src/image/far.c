/* SPDX-License-Identifier: MIT */
#include "image/far.h"

#include "image/nbd.h"
#include "image/near.h"
#include "image/unpack.h"

#define HEAD_BYTES 16u
#define COPY_BYTES (16u << 20) /* at a time: as much as a server is asked for at once */

static const struct gw_image_format_ops *find_format(const uint8_t *head, size_t bytes)
{
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *f = &gw_image_formats[i];

        if (f->open_bytes && f->recognise && f->recognise(head, bytes))
            return f;
    }
    return NULL;
}

static bool is_zeros(const uint8_t *p, size_t bytes)
{
    return !bytes || (!*p && !memcmp(p, p + 1, bytes - 1));
}

/* Zeros become holes, by pieces. */
static int copy(struct gw_bytes *b, int fd, struct gw_error *err)
{
    const size_t piece = 65536;
    GW_AUTOFREE uint8_t *room = malloc(COPY_BYTES);
    int r = 0;

    if (!room)
        return gw_nomem(err, "copy of a file");
    for (uint64_t at = 0; r >= 0 && at < b->size; at += COPY_BYTES) {
        size_t n = (size_t)GW_MIN(b->size - at, COPY_BYTES);

        r = gw_bytes_read(b, room, n, at, err);
        for (size_t i = 0; r >= 0 && i < n; i += piece)
            if (!is_zeros(room + i, GW_MIN(piece, n - i)))
                r = gw_pwrite_all(fd, room + i, GW_MIN(piece, n - i), at + i, err);
    }
    if (r >= 0 && ftruncate(fd, (off_t)b->size) < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "copy of a file: %s", strerror(errno));
    return r;
}

int gw_far_open(const char *uri, const char *temporary_folder, const struct gw_image_format_ops **ret_format,
                struct gw_bytes **ret_bytes, int *ret_fd, struct gw_error *err)
{
    const struct gw_image_format_ops *format = NULL;
    struct gw_bytes *b;
    uint8_t head[HEAD_BYTES];
    size_t n;
    int fd = -1, r = gw_nbd_open(uri, &b, err);

    if (r >= 0)
        r = gw_near_new(b, &b, err);
    if (r < 0)
        return r;
    n = (size_t)GW_MIN(b->size, sizeof head);
    r = gw_bytes_read(b, head, n, 0, err);
    if (r >= 0)
        format = find_format(head, n);
    if (r >= 0 && format) {
        *ret_format = format;
        *ret_bytes = b;
        return 0;
    }
    if (r >= 0)
        r = gw_temporary(temporary_folder, &fd, err);
    if (r >= 0)
        r = copy(b, fd, err);
    gw_bytes_free(b);
    if (r < 0) {
        gw_close_fd(&fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

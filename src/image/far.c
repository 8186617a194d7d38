/* SPDX-License-Identifier: MIT */
#include "image/far.h"

#include "image/nbd.h"
#include "image/near.h"
#include "image/unpack.h"

#define HEAD_BYTES 16u

static const struct gw_image_format_ops *find_format(const uint8_t *head, size_t bytes)
{
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *f = &gw_image_formats[i];

        if (f->open_bytes && f->recognise && f->recognise(head, bytes))
            return f;
    }
    return NULL;
}

int gw_far_open(const char *uri, const char *temporary_folder, const struct gw_image_format_ops **ret_format,
                struct gw_bytes **ret_bytes, int *ret_fd, struct gw_error *err)
{
    const struct gw_image_format_ops *format = NULL;
    struct gw_bytes *b;
    uint8_t head[HEAD_BYTES];
    size_t n;
    int r = gw_nbd_open(uri, &b, err);

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
        return gw_bytes_unpack(b, temporary_folder, ret_fd, err);
    gw_bytes_free(b);
    return r;
}

/* SPDX-License-Identifier: MIT
 *
 * Reads and writes the file of a working set (ram/source/working_set.h).
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "image/image.h"
#include "image/unpack.h"
#include "ram/source/working_set.h"

/* Takes fd. */
static int read_all(struct gw_working_set *set, int fd, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *data = NULL;
    struct stat st;
    ssize_t n = 0;
    int r = 0;

    if (fstat(fd, &st) < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size > GW_WORKING_SET_BYTES_MAX)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "not a working set: not a file of at most %u bytes", GW_WORKING_SET_BYTES_MAX);
    if (r >= 0 && !(data = malloc((size_t)st.st_size + 1)))
        r = gw_nomem(err, "working set");
    if (r >= 0 && (n = gw_read_full(fd, data, (size_t)st.st_size, err)) < 0)
        r = (int)n;
    gw_close_fd(&fd);
    return r < 0 ? r : gw_working_set_get(set, data, (size_t)n, err);
}

int gw_working_set_read(struct gw_working_set *set, const char *path, struct gw_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int r = fd < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno)) : read_all(set, fd, err);

    if (r < 0)
        gw_context(err, "%s", path);
    return r;
}

int gw_working_set_write(const struct gw_working_set *set, const char *path, bool replace, struct gw_error *err)
{
    struct gw_image_out file = {.fd = -1};
    struct gw_out out;
    const uint8_t *data;
    size_t bytes;
    int r = gw_image_out_open(&file, path, replace, err);

    if (r < 0)
        return r;
    gw_out_memory(&out);
    gw_working_set_put(set, &out);
    r = gw_out_error(&out, err);
    data = gw_out_data(&out, &bytes);
    if (r >= 0)
        r = gw_pwrite_all(file.fd, data, bytes, 0, err);
    if (r >= 0)
        r = gw_image_out_commit(&file, err);
    gw_image_out_close(&file);
    gw_out_free(&out);
    return r;
}

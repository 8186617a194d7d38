/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_input(const char *input, const struct stat *target)
{
    char path[GW_PATH_TEXT];
    uint64_t offset;
    struct stat st;

    return gw_path_split(input, path, &offset, NULL) >= 0 &&
           !(strcmp(input, "-") ? stat(path, &st) : fstat(STDIN_FILENO, &st)) && st.st_dev == target->st_dev &&
           st.st_ino == target->st_ino;
}

/* The bytes before the offset are another program's header, which belongs to the stream after it. */
static int copy_head(const char *path, int to, uint64_t bytes, struct gw_error *err)
{
    int from = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    char buf[65536];

    if (from < 0 && errno != ENOENT)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", path, strerror(errno));
    for (uint64_t at = 0; from >= 0 && r >= 0 && at < bytes;) {
        uint64_t left = bytes - at;
        ssize_t n = pread(from, buf, left < sizeof buf ? (size_t)left : sizeof buf, (off_t)at);

        if (n == 0)
            break;
        if (n < 0 || pwrite(to, buf, (size_t)n, (off_t)at) != n)
            r = gw_fail(err, errno ? -errno : -EIO, GW_BLAME_LOCAL, "%s: copying its first %" PRIu64 " bytes: %s", path,
                        bytes, strerror(errno));
        else
            at += (uint64_t)n;
    }
    if (from >= 0)
        close(from);
    if (r >= 0 && (ftruncate(to, (off_t)bytes) < 0 || lseek(to, (off_t)bytes, SEEK_SET) < 0))
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: offset %" PRIu64 ": %s", path, bytes, strerror(errno));
    return r;
}

int gw_target_open(struct gw_target *t, const char *text, const char *input, bool replace, struct gw_error *err)
{
    struct gw_uri uri;
    struct stat st;
    bool there;
    int fd, r;

    *t = (struct gw_target){0};
    if (gw_uri_parse(text, &uri, NULL) < 0 || (uri.kind != GW_URI_FILE && uri.kind != GW_URI_FD))
        return 0;
    there = !(uri.kind == GW_URI_FD ? fstat(uri.fd, &st) : stat(uri.path, &st));
    if (there && S_ISREG(st.st_mode) && is_input(input, &st))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "this is the file to be sent");
    if (uri.kind == GW_URI_FD || (there && !S_ISREG(st.st_mode)))
        return 0;
    if (there && !replace)
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%s; --force replaces it", strerror(EEXIST));
    r = gw_output_new(uri.path, replace, &t->output, err);
    if (r < 0)
        return r;
    r = copy_head(uri.path, gw_output_fd(t->output), uri.offset, err);
    if (r >= 0) {
        fd = fcntl(gw_output_fd(t->output), F_DUPFD_CLOEXEC, 3);
        r = fd < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno))
                   : gw_channel_from_fd(fd, text, &t->channel, err);
    }
    if (r < 0)
        t->output = gw_output_free(t->output);
    return r;
}

int gw_target_commit(struct gw_target *t, struct gw_error *err)
{
    return t->output ? gw_output_commit(t->output, err) : 0;
}

void gw_target_close(struct gw_target *t)
{
    t->channel = gw_channel_free(t->channel);
    t->output = gw_output_free(t->output);
}

/* SPDX-License-Identifier: MIT
 *
 * origin: the file that an image was opened from, while its machine is sent. It is locked, so that only one process
 * sends it at a time; marked, so that no second guest is started from it by mistake; removed afterwards, but never
 * another file with its name.
 *
 * The mark is an extended attribute of the file, which survives a rename and works with any format.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "image/image.h"

#define ATTRIBUTE  "user.godwit.sent"
#define TRIES      16u
#define MARK_BYTES 1024u

void gw_image_set_origin(struct gw_image *image, int fd, const char *path)
{
    struct gw_image_origin *o = &image->origin;
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !realpath(path, o->path))
        return;
    o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    o->known = o->fd >= 0;
    o->inode = (struct gw_image_inode){st.st_dev, st.st_ino};
}

void gw_image_close_origin(struct gw_image *image)
{
    if (image->origin.known)
        close(image->origin.fd);
    image->origin.known = false;
}

static int must_be_known(const struct gw_image *image, struct gw_error *err)
{
    return image->origin.known ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the machine was not read from a file");
}

int gw_image_lock(struct gw_image *image, struct gw_error *err)
{
    int r = must_be_known(image, err);

    if (r < 0 || !flock(image->origin.fd, LOCK_EX | LOCK_NB))
        return r;
    return errno == EWOULDBLOCK
               ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "another process is sending this machine")
               : gw_fail(err, -errno, GW_BLAME_LOCAL, "it cannot be locked: %s", strerror(errno));
}

bool gw_image_sent(const struct gw_image *image, char *buf, size_t size)
{
    char text[MARK_BYTES];
    ssize_t n = image->origin.known ? fgetxattr(image->origin.fd, ATTRIBUTE, text, sizeof text - 1) : -1;
    bool sent = n >= 0 || (image->origin.known && errno == ERANGE); /* ERANGE: another program's mark, longer than ours */

    text[n < 0 ? 0 : n] = 0;
    gw_strcopy(buf, size, text);
    return sent;
}

int gw_image_mark_sent(struct gw_image *image, const char *state, const char *where, struct gw_error *err)
{
    char text[MARK_BYTES], when[32];
    time_t now = time(NULL);
    struct tm tm;
    int r = must_be_known(image, err);

    if (r < 0)
        return r;
    if (!state)
        return !fremovexattr(image->origin.fd, ATTRIBUTE) || errno == ENODATA || errno == ENOTSUP
                   ? 0
                   : gw_fail(err, -errno, GW_BLAME_LOCAL, "the mark cannot be removed: %s", strerror(errno));
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    snprintf(text, sizeof text, "%s to %s at %s", state, where, when);
    return !fsetxattr(image->origin.fd, ATTRIBUTE, text, strlen(text), 0)
               ? 0
               : gw_fail(err, -errno, GW_BLAME_LOCAL, "it cannot be marked as sent: %s", strerror(errno));
}

int gw_image_remove(struct gw_image *image, struct gw_error *err)
{
    const struct gw_image_origin *o = &image->origin;
    char aside[PATH_MAX];
    struct stat st;
    int r = must_be_known(image, err), n, folder;

    if (r < 0)
        return r;
    if (o->part)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "not removed: the file has other data before the machine");
    folder = (int)(strrchr(o->path, '/') - o->path) + 1;
    r = -EEXIST;
    for (unsigned i = 0; r == -EEXIST && i < TRIES; i++) {
        n = snprintf(aside, sizeof aside, "%.*s.%s.removed.%ld-%u", folder, o->path, o->path + folder, (long)getpid(), i);
        if (n < 0 || (size_t)n >= sizeof aside)
            return gw_fail(err, -ENAMETOOLONG, GW_BLAME_LOCAL, "not removed: %s", strerror(ENAMETOOLONG));
        if (!lstat(aside, &st))
            continue;
        r = gw_image_take_away(&o->inode, o->path, aside);
        if (r == -EEXIST && !lstat(aside, &st))
            return gw_fail(err, -ESTALE, GW_BLAME_LOCAL,
                           "not removed: other files have replaced it; one of them is now %s", aside);
    }
    if (r >= 0 && unlink(aside) < 0)
        r = -errno;
    return r == -ENOENT   ? gw_fail(err, r, GW_BLAME_LOCAL, "not removed: it was moved or removed meanwhile")
           : r == -ESTALE ? gw_fail(err, r, GW_BLAME_LOCAL, "not removed: another file has its name now")
           : r < 0        ? gw_fail(err, r, GW_BLAME_LOCAL, "not removed: %s", strerror(-r))
                          : 0;
}

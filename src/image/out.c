/* SPDX-License-Identifier: MIT
 *
 * Writes an image so that no partial file is ever visible under its name, and so that a commit can be reverted.
 */
#include "image/held.h"
#include "image/image.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define TRIES        8 /* attempts while other processes create and remove the name */
#define PARTIAL      "partial."
#define BEFORE       "before."
#define RANDOM_BYTES 6u

static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path) + 1 : 0;
}

/* A symbolic link stays; the file that it points to is replaced. */
static int name_file(struct gw_image_out *out, const char *path, struct gw_error *err)
{
    _Static_assert(sizeof out->path >= PATH_MAX, "realpath writes so much");
    struct stat st;

    if (out->replace && !lstat(path, &st) && S_ISLNK(st.st_mode))
        return realpath(path, out->path) ? 0
                                         : gw_fail(err, -errno, GW_BLAME_LOCAL,
                                                   "%s: a symbolic link without a target: %s", path, strerror(errno));
    return gw_strcopy(out->path, sizeof out->path, path)
               ? 0
               : gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "%.64s...: %s", path, strerror(ENAMETOOLONG));
}

int gw_image_out_open(struct gw_image_out *out, const char *path, bool replace, struct gw_error *err)
{
    struct stat st;
    int folder, n;

    *out = (struct gw_image_out){.fd = -1, .replace = replace};
    if (gw_path_is_far(path))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: only machines are written to a server, no other files", path);
    if (!path[folder_length(path)])
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "'%s' is not the name of a file", path);
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: something that is not a file has this name", path);
    if (!replace && !lstat(path, &st))
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%s: %s", path, strerror(EEXIST));
    n = name_file(out, path, err);
    if (n < 0)
        return n;
    path = out->path;
    folder = folder_length(path);
    /* A hidden file in the same folder, so that the rename is atomic. */
    n = snprintf(out->temporary, sizeof out->temporary, "%.*s.%s." PARTIAL "XXXXXX", folder, path, path + folder);
    if (n < 0 || (size_t)n >= sizeof out->temporary)
        return gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "%.64s...: %s", path, strerror(ENAMETOOLONG));
    out->fd = mkostemp(out->temporary, O_CLOEXEC);
    if (out->fd < 0) {
        out->temporary[0] = 0;
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: cannot create a file in its folder: %s", path,
                       strerror(errno));
    }
    return 0;
}

int gw_image_out_open_anywhere(struct gw_image_out *out, const char *path, bool replace, struct gw_error *err)
{
    if (!gw_path_is_far(path))
        return gw_image_out_open(out, path, replace, err);
    *out = (struct gw_image_out){.fd = -1, .replace = replace};
    return gw_strcopy(out->path, sizeof out->path, path)
               ? gw_held_open(path, replace, &out->far, err)
               : gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "%.64s...: %s", path, strerror(ENAMETOOLONG));
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static bool is(const struct gw_image_inode *inode, const char *path)
{
    struct stat st;

    return !lstat(path, &st) && st.st_dev == inode->device && st.st_ino == inode->number;
}

/* Errors of a kernel or file system that does not support a flag or a call. */
static bool is_lacking(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* -EEXIST: something has that name. */
static int move(const char *from, const char *to)
{
    struct stat st;

    if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
        return 0;
    if (!is_lacking(errno))
        return -errno;
    /* A link is refused where there is a file; a rename is not. */
    if (!link(from, to))
        return unlink(from) < 0 ? -errno : 0;
    if (errno != EPERM && !is_lacking(errno))
        return -errno;
    return !lstat(to, &st) ? -EEXIST : rename(from, to) < 0 ? -errno : 0;
}

static int exchange(const struct gw_image_out *out)
{
    return renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->path, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

/* The name of the replaced file differs from that of an unfinished file. */
static void name_before(struct gw_image_out *out)
{
    size_t head = strlen(out->temporary) - RANDOM_BYTES - strlen(PARTIAL);

    memcpy(out->before, out->temporary, head);
    strcpy(out->before + head, BEFORE);
    strcat(out->before, out->temporary + head + strlen(PARTIAL));
}

/* After an exchange of the names: remembers the replaced file. */
static void keep_before(struct gw_image_out *out)
{
    name_before(out);
    if (move(out->temporary, out->before) < 0)
        strcpy(out->before, out->temporary);
}

/* For a file system without exchange: for a moment no file may have the name. */
static int replace_in_steps(struct gw_image_out *out)
{
    int r;

    name_before(out);
    r = link(out->path, out->before) < 0 ? move(out->path, out->before) : 0;
    if (r >= 0 && rename(out->temporary, out->path) < 0) {
        r = -errno;
        if (!rename(out->before, out->path))
            unlink(out->before); /* both names were the same file, so the rename did nothing */
    }
    return r;
}

/* Afterwards the replaced file is at `before`. */
static int replace_any(struct gw_image_out *out)
{
    struct stat st;
    int r = -EBUSY;

    for (unsigned i = 0; i < TRIES; i++) {
        r = move(out->temporary, out->path);
        if (r != -EEXIST)
            return r;
        r = exchange(out);
        if (r >= 0 && !lstat(out->temporary, &st) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
            return (r = exchange(out)) < 0 ? r : -EEXIST;
        if (r >= 0) {
            keep_before(out);
            return 0;
        }
        if (is_lacking(-r) && (r = replace_in_steps(out)) < 0)
            out->before[0] = 0;
        if (r != -ENOENT) /* the file disappeared in between */
            return r;
    }
    return r;
}

/* Replaces only the expected file. If it was moved, removed (its guest may run elsewhere now) or replaced meanwhile,
 * that is not undone: the names are exchanged atomically, and exchanged back if the file was another one. */
static int replace_only(struct gw_image_out *out)
{
    struct stat st;
    int r = exchange(out);

    if (r >= 0) {
        if (is(&out->only, out->temporary)) {
            keep_before(out);
            return 0;
        }
        r = exchange(out);
        if (r >= 0)
            return -EEXIST;
        out->temporary[0] = 0; /* another program's file: both are kept */
        return r;
    }
    if (!is_lacking(-r))
        return r;
    if (!is(&out->only, out->path)) /* a file system without exchange */
        return lstat(out->path, &st) ? -errno : -EEXIST;
    return rename(out->temporary, out->path) < 0 ? -errno : 0;
}

static int give_name(struct gw_image_out *out)
{
    return out->only.number ? replace_only(out) : out->replace ? replace_any(out) : move(out->temporary, out->path);
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static int open_folder(const char *path)
{
    char folder[4096];
    char *slash;

    gw_strcopy(folder, sizeof folder, path);
    slash = strrchr(folder, '/');
    if (!slash)
        return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slash[slash == folder] = 0;
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Makes the new name survive a crash. */
static int sync_folder(const struct gw_image_out *out)
{
    GW_AUTOFD int folder = open_folder(out->path);

    if (folder < 0) /* the folder may be writable but not readable */
        return syncfs(out->fd) < 0 && !is_lacking(errno) ? -errno : 0;
    return fsync(folder) < 0 && !is_lacking(errno) ? -errno : 0;
}

static void drop_before(struct gw_image_out *out)
{
    if (out->before[0])
        unlink(out->before);
    out->before[0] = 0;
}

int gw_image_out_commit(struct gw_image_out *out, struct gw_error *err)
{
    struct stat st;
    int r;

    if (out->far) {
        r = gw_held_commit(out->far, err);
        out->placed = r >= 0;
        return r;
    }
    if (fsync(out->fd) < 0 || fstat(out->fd, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: syncing: %s", out->path, strerror(errno));
    r = give_name(out);
    if (r < 0)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s: giving the file its name: %s", out->path, strerror(-r));
    out->own = (struct gw_image_inode){st.st_dev, st.st_ino};
    out->placed = true;
    r = sync_folder(out);
    if (r < 0) {
        if (!out->only.number || out->before[0]) /* else it is the only copy */
            gw_image_out_revert(out, NULL, NULL);
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s: syncing its folder: %s", out->path, strerror(-r));
    }
    if (!out->keep)
        drop_before(out);
    return 0;
}

int gw_image_take_away(const struct gw_image_inode *own, const char *path, const char *to)
{
    struct stat st;
    int r;

    if (!is(own, path))
        return lstat(path, &st) ? -ENOENT : -ESTALE;
    r = move(path, to);
    if (r < 0 || is(own, to))
        return r;
    return (r = move(to, path)) < 0 ? r : -ESTALE; /* the file was replaced in between */
}

int gw_image_out_revert(struct gw_image_out *out, const char *aside, struct gw_error *err)
{
    const char *to = aside ? aside : out->temporary;
    int r, back = 0;

    if (!out->placed)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: no file was written that could be taken back", out->path);
    if (out->far && aside)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%s: what is written to a server cannot be given another name", out->path);
    if (out->far) {
        out->placed = false;
        return gw_held_revert(out->far, err);
    }
    r = gw_image_take_away(&out->own, out->path, to);
    if (aside && r == -EEXIST)
        return gw_fail(err, r, GW_BLAME_CALLER, "%s: %s", aside, strerror(EEXIST));
    out->placed = false;
    if (out->before[0] && (r >= 0 || r == -ENOENT))
        back = move(out->before, out->path);
    if (r >= 0 && !aside)
        unlink(out->temporary);
    if (r >= 0 && back >= 0)
        sync_folder(out);
    if (r < 0)
        gw_fail(err, r, GW_BLAME_LOCAL, "%s: %s", out->path,
                r == -ENOENT   ? "it was moved or removed meanwhile"
                : r == -ESTALE ? "another file has its name now"
                               : strerror(-r));
    else if (back < 0)
        r = gw_fail(err, back, GW_BLAME_LOCAL, "%s: %s", out->path, strerror(-back));
    if (out->before[0] && (back < 0 || (r < 0 && r != -ENOENT)))
        gw_context(err, "the previous file is in %s", out->before);
    out->before[0] = 0;
    return r;
}

void gw_image_out_close(struct gw_image_out *out)
{
    gw_close_fd(&out->fd);
    out->far = gw_held_free(out->far);
    if (!out->placed && out->temporary[0])
        unlink(out->temporary);
    drop_before(out);
    out->placed = false;
    out->temporary[0] = 0;
}

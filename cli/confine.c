/* SPDX-License-Identifier: MIT */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "filter.h"
#include "shown.h"

enum gw_cli_taken gw_confine_take(void *opaque, char *value)
{
    struct gw_confine *c = opaque;

    c->off = !strcmp(value, "off");
    c->must = !strcmp(value, "on");
    if (c->must && !gw_filter_is_there()) {
        fprintf(stderr, "godwit %s: --sandbox on: not in this build\n", c->command);
        return GW_CLI_TOLD;
    }
    return c->off || c->must || !strcmp(value, "auto") ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

int gw_confine(const struct gw_confine *c, enum gw_confine_kind kind, struct gw_error *err)
{
    const struct rlimit none = {0, 0};
    int r;

    if (c->off || gw_filter_is_sanitized()) /* the leak sanitizer uses ptrace, like a debugger */
        return 0;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    r = gw_filter_install(kind == GW_CONFINE_PROGRAMS, kind == GW_CONFINE_EXEC, c->connects);
    return r < 0 && c->must ? gw_fail(err, r, GW_BLAME_LOCAL, "--sandbox on: this system does not support it: "
                                                              "%s", strerror(-r)) : 0;
}

enum gw_confine_kind gw_confine_kind_of(const struct gw_image_write_options *write)
{
    return write->format != GW_IMAGE_PARKED && write->compress && strcmp(write->compress, "raw") ? GW_CONFINE_PROGRAMS
                                                                                                 : GW_CONFINE_ALL;
}

/* ---- users ------------------------------------------------------------------------------------------------------- */

static int failed(const struct gw_confine *c, struct gw_error *err)
{
    return gw_fail(err, -errno, GW_BLAME_LOCAL, "--user %s: %s", gw_shown(c->user), strerror(errno));
}

int gw_confine_borrow(struct gw_confine *c, struct gw_error *err)
{
    struct passwd *user;

    if (!c->user)
        return 0;
    errno = 0;
    user = getpwnam(c->user);
    if (!user)
        return gw_fail(err, errno ? -errno : -ENOENT, GW_BLAME_CALLER, "--user %s: there is no such user", gw_shown(c->user));
    c->uid = user->pw_uid;
    c->gid = user->pw_gid;
    if (geteuid() != 0 || getuid() != 0)
        return gw_fail(err, -EPERM, GW_BLAME_CALLER, "--user %s: only root can become another user", gw_shown(c->user));
    if (!c->uid)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "--user %s: this is root", gw_shown(c->user));
    if (initgroups(c->user, c->gid) < 0 || setegid(c->gid) < 0 || seteuid(c->uid) < 0)
        return failed(c, err);
    prctl(PR_SET_DUMPABLE, 1); /* else root owns our files in /proc, and the guest's memory cannot be looked up there */
    return 0;
}

int gw_confine_root(const struct gw_confine *c, struct gw_error *err)
{
    return c->user && (seteuid(0) < 0 || setegid(0) < 0) ? failed(c, err) : 0;
}

int gw_confine_drop(const struct gw_confine *c, struct gw_error *err)
{
    if (!c->user || getuid() == c->uid)
        return 0;
    if (seteuid(0) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0)
        return failed(c, err);
    if (!setuid(0) || !seteuid(0))
        return gw_fail(err, -EPERM, GW_BLAME_LOCAL, "--user %s: root privileges could not be dropped", gw_shown(c->user));
    return 0;
}

int gw_confine_check_name(const struct gw_confine *c, const char *path, struct gw_error *err)
{
    const char *slash = strrchr(path, '/');
    struct stat there, folder;
    char name[PATH_MAX];

    if (!c->user || gw_path_is_far(path))
        return 0;
    snprintf(name, sizeof name, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (stat(name, &folder) < 0 || faccessat(AT_FDCWD, name, W_OK | X_OK, AT_EACCESS) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: user %s may not change this folder: %s", gw_shown(name), c->user,
                       strerror(errno));
    if ((folder.st_mode & S_ISVTX) && folder.st_uid != c->uid && !lstat(path, &there) && there.st_uid != c->uid)
        return gw_fail(err, -EPERM, GW_BLAME_LOCAL,
                       "%s: it belongs to another user, and its folder has the sticky bit: user %s may not replace or remove it",
                       gw_shown(path), c->user);
    return 0;
}

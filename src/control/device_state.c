/* SPDX-License-Identifier: MIT
 *
 * Device state alone, in files: QEMU's xen-save-devices-state and xen-load-devices-state.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "control/internal.h"
#include "godwit/state.h"

#define STATE_MAX (1u << 30) /* size of a file in bytes */

static int open_file(const char *name, int flags, struct gw_error *err)
{
    int fd = open(name, flags | O_CLOEXEC, 0660);

    return fd >= 0 ? fd : gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s cannot be opened: %s", name, strerror(errno));
}

static int write_all(int fd, const char *name, const uint8_t *p, size_t bytes, struct gw_error *err)
{
    while (bytes) {
        ssize_t n = write(fd, p, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return gw_fail(err, n < 0 ? -errno : -EIO, GW_BLAME_LOCAL, "writing to '%.200s': %s", name,
                           strerror(n < 0 ? errno : EIO));
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int gw_cmd_save_devices(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const char *name = json_string_value(json_object_get(args, "filename"));
    bool runs = c->ops.run_state && !strcmp(c->ops.run_state(c->config.opaque), "running");
    GW_AUTOFREE void *blob = NULL;
    size_t bytes = 0;
    int fd = -1, r = gw_state_save(c->vm, &blob, &bytes, err);

    if (r == 0 && runs) {
        gw_control_emit(c, "STOP", NULL);
        gw_control_emit(c, "RESUME", NULL);
    }
    if (r == 0)
        r = fd = open_file(name, O_WRONLY | O_CREAT | O_TRUNC, err);
    if (r < 0)
        return r;
    r = write_all(fd, name, blob, bytes, err);
    if (close(fd) < 0 && r == 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "closing '%.200s': %s", name, strerror(errno));
    return r;
}

static int read_all(int fd, const char *name, uint8_t **ret, size_t *ret_bytes, struct gw_error *err)
{
    size_t room = 0, n = 0;

    for (;;) {
        ssize_t got;

        if (n == room) {
            uint8_t *grown = room < STATE_MAX ? realloc(*ret, room ? room * 2 : 65536) : NULL;

            if (!grown)
                return room < STATE_MAX ? gw_nomem(err, "device state")
                                        : gw_fail(err, -EFBIG, GW_BLAME_CALLER, "'%.200s' has more than %u bytes", name, STATE_MAX);
            *ret = grown;
            room = room ? room * 2 : 65536;
        }
        got = read(fd, *ret + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "reading '%.200s': %s", name, strerror(errno));
        if (!got)
            break;
        n += (size_t)got;
    }
    *ret_bytes = n;
    return 0;
}

int gw_cmd_load_devices(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const char *name = json_string_value(json_object_get(args, "filename"));
    GW_AUTOFREE uint8_t *blob = NULL;
    size_t bytes = 0;
    int fd = open_file(name, O_RDONLY, err), r;

    if (fd < 0)
        return fd;
    r = read_all(fd, name, &blob, &bytes, err);
    close(fd);
    return r < 0 ? r : gw_state_load(c->vm, blob, bytes, err);
}

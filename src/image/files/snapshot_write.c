/* SPDX-License-Identifier: MIT
 *
 * Writes an image as a snapshot of a disk. It is first written as a stream into an unnamed file, so that the disk does
 * not change before the whole stream exists; then as the state after the end of the disk; then the snapshot that owns
 * that state is made.
 */
#include <sys/stat.h>
#include <time.h>

#include "base/sized.h"
#include "disk/node/qcow2.h"
#include "image/files/ready.h"
#include "image/snapshots.h"
#include "image/unpack.h"

#define PIECE_BYTES (1u << 20)
#define NAME_BYTES  255u /* bytes of a name that QEMU reads */

struct job {
    struct gw_image *image;
    struct gw_snapshots *snapshots;
    const char *name;
    struct gw_snapshot_options options;
};

static int check_name(const struct job *job, struct gw_error *err)
{
    struct gw_node *disk = job->snapshots->disk;
    size_t n = strlen(job->name);
    unsigned index;

    if (!n || n > NAME_BYTES)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the name of a snapshot has 1 to %u bytes, not %zu", NAME_BYTES, n);
    if (gw_qcow2_snapshot_find(disk, job->name, &index, NULL) >= 0)
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER,
                       "%s: there is a snapshot %s already; `godwit snapshot delete` removes it", disk->name, job->name);
    return 0;
}

static int put_state(struct job *job, int fd, uint64_t size, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *room = malloc(PIECE_BYTES);
    int r = room ? 0 : gw_nomem(err, "state of a snapshot");

    for (uint64_t at = 0; r >= 0 && at < size; at += PIECE_BYTES) {
        size_t n = (size_t)GW_MIN(PIECE_BYTES, size - at);

        r = gw_pread_all(fd, room, n, at, "the stream to be copied", err);
        if (r >= 0)
            r = gw_qcow2_state_write(job->snapshots->disk, room, n, at, err);
        if (r >= 0 && job->options.progress && job->options.progress(job->options.opaque, at + n, size))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "interrupted");
    }
    return r;
}

static int add(struct job *job, int fd, struct gw_error *err)
{
    struct gw_qcow2_snapshot s = {.name = (char *)job->name};
    struct gw_node *disk = job->snapshots->disk;
    struct timespec now;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno)) : 0;

    if (r >= 0)
        r = gw_snapshots_change(job->snapshots, err);
    if (r < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    s.seconds = (uint32_t)now.tv_sec;
    s.nanoseconds = (uint32_t)now.tv_nsec;
    s.state_bytes = (uint64_t)st.st_size;
    r = gw_qcow2_state_drop(disk, err); /* drops the state of a snapshot that the disk was reset to */
    if (r >= 0)
        r = put_state(job, fd, s.state_bytes, err);
    if (r >= 0)
        r = gw_qcow2_snapshot_create(disk, &s, err);
    if (r < 0)
        gw_qcow2_state_drop(disk, NULL); /* the first error is the one to report */
    return r;
}

/* Writes the image as a stream. The disk is opened before that, so that its errors are reported early. */
static int write_snapshot(struct job *job, const char *disk, struct gw_error *err)
{
    struct gw_image_write_options stream = {.format = GW_IMAGE_STREAM, .threads = job->options.threads,
                                            .progress = job->options.progress, .opaque = job->options.opaque};
    GW_AUTOFD int fd = -1;
    int r = check_name(job, err);

    if (r >= 0)
        r = gw_image_ready(job->image, disk, GW_IMAGE_STREAM, err);
    if (r >= 0)
        r = gw_temporary(job->options.temporary_folder, &fd, err);
    if (r >= 0)
        r = gw_stream_write(job->image, &stream, fd, err);
    return r < 0 ? r : add(job, fd, err);
}

int gw_snapshot_write_sized(struct gw_image *image, const char *disk, const char *name,
                            const struct gw_snapshot_options *options, size_t options_bytes, struct gw_error *err)
{
    struct job job = {.image = image, .name = name};
    int e, r = gw_sized_in(&job.options, sizeof job.options, options, options_bytes, 0, "struct gw_snapshot_options", err);

    if (r >= 0)
        r = gw_snapshots_open(disk, true, &job.snapshots, err);
    if (r < 0)
        return r;
    r = write_snapshot(&job, disk, err);
    e = gw_snapshots_free(job.snapshots, r < 0 ? NULL : err);
    return r < 0 ? r : e;
}

/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>

#include "godwit/examine.h"
#include "examine/devices.h"
#include "examine/put.h"
#include "examine/sweep.h"
#include "image/unpack.h"

int gw_put_part(const struct gw_image_out *out, const void *data, size_t bytes, uint64_t at, struct gw_error *err)
{
    int r = gw_pwrite_all(out->fd, data, bytes, at, err);

    if (r < 0)
        gw_context(err, "%s", out->path);
    return r;
}

int gw_put_chunk(const struct gw_image_out *out, const struct gw_sweep *s, uint64_t at, struct gw_error *err)
{
    uint64_t page = s->image->page_bytes;
    int r = 0;

    for (uint64_t i = 0, n; i < s->count && r >= 0; i += n + !n) {
        const uint8_t *p = s->data + i * page;

        for (n = 0; i + n < s->count && !gw_all_zero(p + n * page, page);)
            n++;
        if (n)
            r = gw_put_part(out, p, n * page, at + i * page, err);
    }
    return r;
}

int gw_put_size(const struct gw_image_out *out, uint64_t bytes, struct gw_error *err)
{
    if (bytes <= INT64_MAX && !ftruncate(out->fd, (off_t)bytes))
        return 0;
    return gw_fail(err, bytes > INT64_MAX ? -EFBIG : -errno, GW_BLAME_LOCAL, "%s: a file of %" PRIu64 " bytes: %s", out->path,
                   bytes, strerror(bytes > INT64_MAX ? EFBIG : errno));
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

/* Writes "a, b, ..." as far as it fits. */
static void list_names(char *text, size_t size, const char *(*name)(const void *list, unsigned i), const void *list,
                       unsigned count)
{
    size_t n = 0;

    text[0] = 0;
    for (unsigned i = 0; i < count && n < size - 1; i++) {
        const char *s = name(list, i);

        if (n + strlen(s) + 8 > size) {
            snprintf(text + n, size - n, ", ...");
            return;
        }
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", s);
    }
}

static const char *block_name(const void *list, unsigned i)
{
    return ((const struct gw_image *)list)->blocks[i].name;
}

static int find_block(const struct gw_image *image, const char *name, unsigned *ret, struct gw_error *err)
{
    unsigned best = 0, equal = 0;
    char names[300];

    for (unsigned i = 0; i < image->block_count; i++) {
        if (name && !strcmp(image->blocks[i].name, name)) {
            *ret = i;
            return 0;
        }
        if (image->blocks[i].used_bytes > image->blocks[best].used_bytes)
            best = i;
    }
    list_names(names, sizeof names, block_name, image, image->block_count);
    if (name || !image->block_count)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no RAM block %s in it, but %s", name ? name : "at all",
                       image->block_count ? names : "nothing");
    for (unsigned i = 0; i < image->block_count; i++)
        equal += image->blocks[i].used_bytes == image->blocks[best].used_bytes;
    if (equal > 1)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "several RAM blocks are equally large: name the one that is meant: "
                       "%s", names);
    *ret = best;
    return 0;
}

static int put_block(struct gw_image *image, unsigned block, const struct gw_image_out *out,
                     gw_examine_progress_fn progress, void *opaque, struct gw_error *err)
{
    uint64_t bytes = image->blocks[block].used_bytes;
    struct gw_sweep s;
    int r = gw_put_size(out, bytes, err);

    if (r >= 0)
        r = gw_sweep_init(&s, image, bytes, progress, opaque, err);
    if (r < 0)
        return r;
    gw_sweep_block(&s, block);
    while ((r = gw_sweep_next(&s, err)) > 0) {
        r = s.any ? gw_sweep_read(&s, err) : 0;
        if (r >= 0 && s.any)
            r = gw_put_chunk(out, &s, s.first * image->page_bytes, err);
        if (r < 0)
            break;
    }
    gw_sweep_close(&s);
    return r;
}

int gw_extract_ram(struct gw_image *image, const char *block, const char *path, bool replace,
                   gw_examine_progress_fn progress, void *opaque, struct gw_error *err)
{
    struct gw_image_out out;
    unsigned at = 0;
    int r = find_block(image, block, &at, err);

    if (r < 0)
        return r;
    r = gw_image_out_open(&out, path, replace, err);
    if (r >= 0)
        r = put_block(image, at, &out, progress, opaque, err);
    if (r >= 0)
        r = gw_image_out_commit(&out, err);
    gw_image_out_close(&out);
    return r;
}

/* ---- small parts ------------------------------------------------------------------------------------------------- */

static int put_stdout(const void *data, size_t bytes, struct gw_error *err)
{
    const uint8_t *p = data;

    while (bytes) {
        ssize_t n = write(STDOUT_FILENO, p, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "writing: %s", strerror(errno));
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int put_file(const char *path, bool replace, const void *data, size_t bytes, struct gw_error *err)
{
    struct gw_image_out out;
    int r;

    if (!strcmp(path, "-"))
        return put_stdout(data, bytes, err);
    r = gw_image_out_open(&out, path, replace, err);
    if (r >= 0)
        r = gw_put_part(&out, data, bytes, 0, err);
    if (r >= 0)
        r = gw_image_out_commit(&out, err);
    gw_image_out_close(&out);
    return r;
}

/* Accepts "cpu/1", "cpu" (may be several), "piix4_pm", or the last component of a path. */
static bool matches(const struct gw_image_device *d, const char *name)
{
    const char *slash = strrchr(d->name, '/');

    return !strcmp(d->label, name) || !strcmp(d->name, name) || (slash && !strcmp(slash + 1, name));
}

static const char *device_label(const void *list, unsigned i)
{
    return ((const struct gw_image_devices *)list)->list[i].label;
}

static int find_device(const struct gw_image_devices *devices, const char *name, const struct gw_image_device **ret,
                       struct gw_error *err)
{
    const struct gw_image_device *found = NULL;
    unsigned count = 0;
    char names[300];

    for (unsigned i = 0; i < devices->count; i++) {
        const struct gw_image_device *d = &devices->list[i];

        if (!strcmp(d->label, name)) {
            *ret = d;
            return 0;
        }
        if (matches(d, name)) {
            found = d;
            count++;
        }
    }
    if (count > 1)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "%u devices are called %s: name one with its instance, as in %s",
                       count, name, found->label);
    if (!found) {
        list_names(names, sizeof names, device_label, devices, devices->count);
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no device %s in it, but %s", name,
                       devices->count ? names : "none at all");
    }
    *ret = found;
    return 0;
}

int gw_extract_device(struct gw_image *image, const char *device, const char *path, bool replace, struct gw_error *err)
{
    const struct gw_image_device *found = NULL;
    struct gw_image_devices devices = {0};
    int r = gw_image_devices_read(image, &devices, err);

    if (r >= 0)
        r = find_device(&devices, device, &found, err);
    if (r >= 0)
        r = put_file(path, replace, found->body, (size_t)found->body_bytes, err);
    gw_image_devices_close(&devices);
    return r;
}

int gw_extract_xml(struct gw_image *image, const char *path, bool replace, struct gw_error *err)
{
    if (!image->libvirt_xml)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no domain XML is in it, which libvirt save images have");
    return put_file(path, replace, image->libvirt_xml, strlen(image->libvirt_xml), err);
}

int gw_extract_description(struct gw_image *image, const char *path, bool replace, struct gw_error *err)
{
    if (!image->description_bytes)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no description of the devices is in it");
    return put_file(path, replace, image->description, image->description_bytes, err);
}

/* SPDX-License-Identifier: MIT
 *
 * Disks of none_vm that are images: raw or, by their name, qcow2. The writer changes them like the memory.
 */
#include <stdlib.h>
#include <string.h>

#include "none_vm.h"

static int disk_read(void *node, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_read(node, to, bytes, offset, err);
}

static int disk_write(void *node, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_write(node, from, bytes, offset, 0, err);
}

static int disk_zero(void *node, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    return gw_node_zero(node, bytes, offset, unmap ? GW_NODE_UNMAP : 0, err);
}

static int disk_find(void *node, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    return gw_node_look(node, bytes, offset, ret, err);
}

static int disk_flush(void *node, struct gw_error *err)
{
    return gw_node_flush(node, err);
}

bool image_parse(struct machine *m, char *text) /* NAME=PATH */
{
    char *path = strchr(text, '=');

    if (!path || m->images == IMAGES_MAX)
        return false;
    *path = 0;
    m->image[m->images++] = (struct image){.name = text, .path = path + 1};
    return true;
}

int images_add(struct machine *m, struct gw_error *err)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write,
                                           .zero = disk_zero, .find = disk_find, .flush = disk_flush};
    int r = 0;

    for (unsigned i = 0; !r && i < m->images; i++) {
        struct image *d = &m->image[i];

        size_t length = strlen(d->path);
        const struct gw_node_options options = {
            .format = length > 6 && !strcmp(d->path + length - 6, ".qcow2") ? "qcow2" : "raw", .unlocked = true};

        r = gw_node_open(d->path, &options, &d->node, err);
        if (r < 0)
            return r;
        d->bytes = gw_node_bytes(d->node);
        r = gw_vm_add_disk(m->vm, &(struct gw_disk_desc){.device = d->name, .bytes = d->bytes, .ops = &ops, .opaque = d->node},
                           &d->disk, err);
    }
    return r;
}

void images_change(struct machine *m, uint64_t k)
{
    uint64_t words[512];

    for (unsigned i = 0; i < m->images; i++) {
        struct image *d = &m->image[i];
        uint64_t at = k * 0x9E3779B97F4A7C15u >> 20, offset = at % (d->bytes / sizeof words) * sizeof words;

        for (unsigned w = 0; w < 512; w++)
            words[w] = k * 512 + w;
        if (gw_node_write(d->node, words, sizeof words, offset, 0, NULL) < 0)
            abort();
        gw_disk_wrote(d->disk, offset, sizeof words);
    }
}

void images_close(struct machine *m)
{
    for (unsigned i = 0; i < m->images; i++) {
        if (m->image[i].node && gw_node_flush(m->image[i].node, NULL) < 0)
            abort();
        gw_node_free(m->image[i].node, NULL);
    }
}

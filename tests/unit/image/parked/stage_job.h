/* SPDX-License-Identifier: MIT
 *
 * A machine that arrives and is written to a file meanwhile: its source, its memory here, and the file.
 */
#ifndef STAGE_JOB_H
#define STAGE_JOB_H

#include "stage_rig.h"

#include <dirent.h>

#include "image/parked/stage.h"
#include "ram/store/direct.h"
#include "ram/store/landed.h"

#define NONE UINT64_MAX

struct job {
    struct rig rig; /* the machine at its source */
    struct gw_image *image;
    struct gw_ram ram;
    struct gw_store *store; /* NULL: nothing was listed */
    char folder[64], path[128];
    uint64_t seed;
};

static inline unsigned names(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static inline void *copy(const void *p, size_t n)
{
    void *q = malloc(n + 1);

    memcpy(q, p, n);
    return q;
}

static inline void job_open_with(struct job *j, const uint64_t pages[RIG_BLOCKS], const struct gw_image_write_options *how,
                          uint64_t seed)
{
    struct gw_image_write_options o = *how;
    struct gw_error err = GW_ERROR_INIT;

    *j = (struct job){.seed = seed, .folder = "/var/tmp/godwit-stage-XXXXXX"};
    assert_non_null(mkdtemp(j->folder));
    snprintf(j->path, sizeof j->path, "%s/guest", j->folder);
    rig_open(&j->rig, 4096, pages, true, seed);
    assert_int_equal(gw_image_new(NULL, &j->image, &err), 0);
    o.format = GW_IMAGE_PARKED;
    assert_int_equal(gw_image_stage(j->image, j->path, &o, &err), 0);
    assert_int_equal(gw_ram_init(&j->ram, 4096, NULL, &err), 0);
}

static inline void job_open(struct job *j, const uint64_t pages[RIG_BLOCKS], const char *compress, bool replace, uint64_t seed)
{
    job_open_with(j, pages, &(struct gw_image_write_options){.compress = compress, .replace = replace}, seed);
}

static inline int stage_map(void *opaque, struct gw_ram_block *b, uint64_t **ret_map, struct gw_error *err)
{
    struct job *j = opaque;

    return gw_stage_block(j->image->stage, b->host, b->pages, ret_map, err);
}

/* The source lists its memory. */
static inline void list(struct job *j)
{
    struct gw_error err = GW_ERROR_INIT;

    if (j->store)
        j->store->free(j->store);
    assert_int_equal(gw_store_direct_new(&j->ram, &j->store, &err), 0);
    assert_int_equal(gw_store_landed_new(j->store, stage_map, j, &j->store, &err), 0);
    for (unsigned i = 0; i < j->rig.image.block_count; i++) {
        const struct gw_image_block *from = &j->rig.image.blocks[i];
        struct gw_ram_desc desc = {
            .name = from->name, .used_bytes = from->used_bytes, .gpa = (uint64_t)i << 40, .flags = GW_RAM_FRESH};
        uint8_t *host;

        assert_int_equal(gw_memory_add_block(j->image, from->name, from->used_bytes, &host, &err), 0);
        desc.host = host;
        assert_int_equal(gw_ram_add(&j->ram, &desc, &err), 0);
    }
    for (unsigned i = 0; i < j->ram.count; i++)
        assert_int_equal(j->store->add(j->store, j->ram.blocks[i], &err), 0);
}

static inline void land(struct job *j, unsigned block, uint64_t page)
{
    const uint8_t *from = j->rig.ram[block] + page * 4096;
    struct gw_store *s = j->store;
    struct gw_ram_block *b = j->ram.blocks[block];

    if (rig_is_zero(from, 4096) && rig_random(&j->seed) % 8) {
        s->zero(s, b, page, NULL);
        return;
    }
    /* As a read of the kernel: whoever reads it meanwhile gets some of each. */
    for (volatile uint64_t *to = (volatile uint64_t *)s->where(s, b, page, GW_STORE_OVERWRITE), *end = to + 512; to < end; to++, from += 8)
        *to = *(const uint64_t *)from;
    s->place(s, b, page, NULL);
}

static inline void land_all(struct job *j)
{
    for (unsigned i = 0; i < j->ram.count; i++)
        for (uint64_t page = 0; page < j->ram.blocks[i]->pages; page++)
            land(j, i, page);
}

static inline void devices(struct job *j)
{
    const struct gw_image *from = &j->rig.image;

    strcpy(j->image->machine, from->machine);
    j->image->has_uuid = from->has_uuid;
    memcpy(j->image->uuid, from->uuid, 16);
    j->image->devices = copy(from->devices, from->devices_bytes);
    j->image->devices_bytes = from->devices_bytes;
    j->image->description = copy(from->description, from->description_bytes);
    j->image->description_bytes = from->description_bytes;
}

static inline void job_close(struct job *j, unsigned files)
{
    gw_stage_forget(j->image->stage);
    if (j->store)
        j->store->free(j->store);
    gw_ram_close(&j->ram);
    gw_image_free(j->image);
    rig_close(&j->rig);
    assert_int_equal(names(j->folder), files);
    unlink(j->path);
    assert_int_equal(rmdir(j->folder), 0);
}

static inline void commit(struct job *j)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_image_stage_commit(j->image, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(names(j->folder), 1);
    rig_same(&j->rig, j->path, NULL);
}

#endif

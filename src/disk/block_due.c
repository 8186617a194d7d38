/* SPDX-License-Identifier: MIT */
#include "disk/block_due.h"

#include "base/bitmap.h"
#include "wire/block_record.h"

#define REASON "it is being migrated"

static int open_disk(struct gw_block_disk *b, struct gw_error *err)
{
    int r = gw_disk_block(b->disk, REASON, err); /* first of all: the disk's length is fixed from here on */

    b->blocked = r >= 0;
    b->chunks = gw_div_up(atomic_load(&b->disk->bytes), GW_BLOCK_CHUNK_BYTES);
    if (r >= 0)
        r = gw_disk_tracker_new(b->disk, GW_BLOCK_CHUNK_BYTES, &b->tracker, err);
    if (r < 0)
        return r;
    b->again = gw_bitmap_new(b->chunks);
    return b->again ? 0 : gw_nomem(err, "chunks of a disk");
}

int gw_block_due_open(struct gw_block_due *due, struct gw_disk *const *disks, unsigned count, struct gw_error *err)
{
    int r = 0;

    *due = (struct gw_block_due){.disks = calloc(GW_MAX(count, 1u), sizeof *due->disks)};
    if (!due->disks)
        return gw_nomem(err, "disks of the section block");
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        struct gw_block_disk *b = &due->disks[due->count];

        if (disks[i]->read_only || !atomic_load(&disks[i]->bytes))
            continue;
        b->disk = disks[i];
        due->count++;
        r = open_disk(b, err);
        due->left += b->chunks;
    }
    if (r < 0)
        gw_block_due_close(due);
    return r;
}

void gw_block_due_close(struct gw_block_due *due)
{
    for (unsigned i = 0; i < due->count; i++) {
        struct gw_block_disk *b = &due->disks[i];

        gw_disk_tracker_free(b->tracker);
        if (b->again)
            gw_bitmap_free(b->again, b->chunks);
        if (b->blocked)
            gw_disk_unblock(b->disk, REASON);
    }
    free(due->disks);
    *due = (struct gw_block_due){0};
}

uint64_t gw_block_due_bytes(const struct gw_block_due *due)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < due->count; i++)
        sum += due->disks[i].disk->bytes;
    return sum;
}

static int clean(struct gw_block_disk *b, uint64_t chunk, struct gw_error *err)
{
    uint64_t dirty;

    return gw_disk_tracker_take(b->tracker, chunk * GW_BLOCK_CHUNK_BYTES, 1, &dirty, err);
}

static int look_at(struct gw_block_disk *b, uint64_t *fresh, struct gw_error *err)
{
    int r = 0;

    for (uint64_t at = 0; r >= 0 && gw_disk_tracker_next(b->tracker, at, &at); at += GW_BLOCK_CHUNK_BYTES) {
        uint64_t chunk = at / GW_BLOCK_CHUNK_BYTES;

        r = clean(b, chunk, err);
        if (chunk < b->bulk && !gw_bitmap_test(b->again, chunk)) {
            gw_bitmap_set(b->again, chunk);
            b->again_count++;
            ++*fresh;
        }
    }
    return r;
}

int gw_block_due_look(struct gw_block_due *due, uint64_t *ret_fresh, struct gw_error *err)
{
    int r = 0;

    *ret_fresh = 0;
    for (unsigned i = 0; r >= 0 && i < due->count; i++)
        r = look_at(&due->disks[i], ret_fresh, err);
    due->left += *ret_fresh;
    return r;
}

static bool find_bulk(struct gw_block_due *due)
{
    for (unsigned i = 0; i < due->count; i++) {
        if (due->disks[i].bulk == due->disks[i].chunks)
            continue;
        due->at = i;
        due->at_chunk = due->disks[i].bulk;
        return true;
    }
    return false;
}

/* The search continues after the chunk found last, so that a chunk that is written all the time does not delay
 * others. */
static bool find_again(struct gw_block_due *due)
{
    for (unsigned tries = 0; tries <= due->count; tries++) {
        struct gw_block_disk *b = &due->disks[due->at];

        if (b->again_count) {
            due->at_chunk = gw_bitmap_next_set(b->again, b->chunks, due->at_chunk);
            if (due->at_chunk < b->chunks)
                return true;
        }
        due->at = (due->at + 1) % due->count;
        due->at_chunk = 0;
    }
    return false;
}

bool gw_block_due_find(struct gw_block_due *due, struct gw_disk **ret_disk, uint64_t *ret_chunk, bool *ret_bulk)
{
    if (!due->left)
        return false;
    *ret_bulk = find_bulk(due);
    if (!*ret_bulk && !find_again(due))
        return false;
    *ret_disk = due->disks[due->at].disk;
    *ret_chunk = due->at_chunk;
    return true;
}

int gw_block_due_take(struct gw_block_due *due, struct gw_error *err)
{
    struct gw_block_disk *b = &due->disks[due->at];
    int r = clean(b, due->at_chunk, err);

    if (r < 0)
        return r;
    if (b->bulk == due->at_chunk) {
        b->bulk++;
    } else {
        gw_bitmap_clear(b->again, due->at_chunk);
        b->again_count--;
    }
    due->left--;
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The body of a section `block` from a peer: whatever it says, nothing is written outside of the two disks, and none that
 * cannot be written is. Byte 0 says the kind of the section. Accepted: bodies, the last of which ends where the bytes do.
 */
#include "disk/block.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES ((uint64_t)(1u << 20) + 4096)

static uint64_t top; /* of what was written */

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    memset(to, 0, bytes);
    return 0;
}

static int disk_write(void *opaque, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    if (opaque || bytes > BYTES || offset > BYTES - bytes)
        abort();
    __atomic_store_n(&top, offset + bytes, __ATOMIC_RELAXED);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write};
    static int read_only;
    struct gw_disk *disks[2] = {NULL, NULL};
    struct gw_block_config config = {.disks = disks, .count = 2};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_live *live = NULL;
    struct gw_reader r;
    int e;

    if (!size ||
        gw_disk_new(&(struct gw_disk_desc){.device = "a", .bytes = BYTES, .ops = &ops}, &disks[0], NULL) < 0 ||
        gw_disk_new(&(struct gw_disk_desc){.device = "r", .bytes = BYTES, .ops = &ops, .opaque = &read_only, .read_only = true},
                    &disks[1], NULL) < 0 ||
        gw_block_load_new(&config, &live, NULL) < 0 || live->ops->load_setup(live, NULL) < 0)
        return 0;
    gw_reader_init_memory(&r, data + 1, size - 1, 0);
    do {
        e = live->ops->load(live, data[0] % 3 + 1, &r, &err);
    } while (e >= 0 && gw_reader_buffered(&r));
    if (e < 0 && !err.text[0])
        abort();
    FUZZ_VERDICT(e >= 0);
    gw_reader_close(&r);
    live->ops->load_cleanup(live, e >= 0);
    live->ops->free(live);
    gw_disk_free(disks[0]);
    gw_disk_free(disks[1]);
    return 0;
}

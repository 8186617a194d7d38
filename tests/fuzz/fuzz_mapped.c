/* SPDX-License-Identifier: MIT
 *
 * The RAM of a mapped-ram file as a destination reads it: a block's head, its map, its pages, and the stream behind them. Byte 0
 * says how many threads read, bytes 1 and 2 how many of the bytes behind byte 6 are the beginning of the file, bytes 3 to 6 where in
 * the file the others are; in between are zeros. Whatever it is: nothing outside of the block is written, and a refusal says whose
 * fault it is.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/endian.h"
#include "channel/reader.h"
#include "channel/transport.h"
#include "ram/layout/mapped.h"
#include "ram/store/direct.h"
#include "verdict.h"

#define PAGE  4096u
#define BYTES (64 * PAGE)
#define FRONT 7u
#define MOST  (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

static struct gw_channel *file(const uint8_t *data, size_t size)
{
    size_t front = GW_MIN((size_t)gw_load_be16(data + 1), size - FRONT);
    uint32_t at = gw_load_be32(data + 3) % MOST;
    struct gw_channel *ch;
    int fd = memfd_create("mapped", MFD_CLOEXEC);

    must(fd >= 0 && pwrite(fd, data + FRONT, front, 0) == (ssize_t)front);
    must(pwrite(fd, data + FRONT + front, size - FRONT - front, at) == (ssize_t)(size - FRONT - front));
    must(gw_file_new(fd, "file", GW_CHANNEL_SEEKABLE, "mapped", &ch, NULL) >= 0);
    return ch;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_ram_desc desc = {.name = "r", .used_bytes = BYTES};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_layout_in *in = NULL;
    struct gw_store *store = NULL;
    struct gw_channel *ch;
    struct gw_reader r;
    struct gw_ram ram;
    uint64_t word;
    int e;

    if (size < FRONT)
        return 0;
    ch = file(data, size);
    desc.host = aligned_alloc(PAGE, BYTES); /* exactly as large as it is, so that a sanitizer sees what is outside */
    must(desc.host);
    memset(desc.host, 0x11, BYTES);
    must(gw_ram_init(&ram, PAGE, NULL, NULL) >= 0 && gw_ram_add(&ram, &desc, NULL) >= 0);
    must(gw_layout_mapped_in_new(&ram, 1 + data[0] % 3, false, &in, NULL) >= 0);
    must(gw_store_direct_new(&ram, &store, NULL) >= 0 && gw_reader_init(&r, ch, NULL) >= 0);
    e = in->list(in, ram.blocks[0], BYTES, &r, &err);
    if (e >= 0)
        e = gw_get_u64(&r, &word, &err);
    if (e >= 0)
        must(store->add(store, ram.blocks[0], NULL) >= 0 && in->add(in, ram.blocks[0], NULL) >= 0);
    while (e >= 0 && !(e = in->get(in, &r, store, &err)) && gw_reader_buffered(&r))
        ;
    FUZZ_VERDICT(e >= 0);
    must(e >= 0 || (err.text[0] && (err.blame == GW_BLAME_PEER || e == -ENODATA)));
    gw_reader_close(&r);
    in->free(in);
    store->free(store);
    gw_channel_free(ch);
    gw_ram_close(&ram);
    free(desc.host);
    return 0;
}

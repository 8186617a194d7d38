/* SPDX-License-Identifier: MIT
 *
 * A multifd channel behind its greeting, from a peer that may say anything. Byte 0 says how pages are coded and how large
 * they are. Nothing is written outside of the block, and what is refused is the peer's fault, or an end. Accepted: it ends behind a
 * packet with SYNC, where the main stream waits for it.
 */
#include "ram/codec/packing.h"
#include "ram/layout/packet.h"
#include "ram/store/direct.h"
#include "verdict.h"

#define BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_ram_desc d = {.name = "r", .used_bytes = BYTES};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_packing *packing = NULL;
    struct gw_layout_in *in;
    struct gw_store *store;
    struct gw_reader r;
    struct gw_ram ram;
    uint64_t synced = 0; /* up to here */
    int e = 0;

    if (!size)
        return 0;
    if (data[0] % 3 == 1 && gw_packing_known(GW_PACKET_ZLIB))
        must(gw_packing_zlib_new(true, 0, &packing, NULL) == 0);
    if (data[0] % 3 == 2 && gw_packing_known(GW_PACKET_ZSTD))
        must(gw_packing_zstd_new(true, 0, 64, &packing, NULL) == 0);
    must(gw_ram_init(&ram, 4096u << (data[0] / 3 % 5), NULL, NULL) == 0);
    d.host = aligned_alloc(65536, BYTES); /* exactly as large as it is, so that a sanitizer sees what is outside */
    must(d.host);
    memset(d.host, 1, BYTES);
    must(gw_ram_add(&ram, &d, NULL) == 0 && gw_store_direct_new(&ram, &store, NULL) == 0 &&
         store->add(store, ram.blocks[0], NULL) == 0 && gw_layout_packet_in_new(&ram, packing, &in, NULL) == 0 &&
         in->add(in, ram.blocks[0], NULL) == 0);
    gw_reader_init_memory(&r, data + 1, size - 1, 0);
    while (e >= 0) {
        synced = gw_reader_offset(&r);
        e = in->get(in, &r, store, &err);
    }
    FUZZ_VERDICT(e == -ENODATA && synced && synced == size - 1);
    must(err.text[0] && (err.blame == GW_BLAME_PEER || e == -ENODATA));
    in->free(in);
    store->free(store);
    free(d.host);
    gw_ram_close(&ram);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * RAM records with compressed pages among them, from a peer. Byte 0 says how many threads unpack; the rest is what a PART
 * holds. Whatever it is: nothing outside of the RAM is written, a refusal says whose fault it is, and nobody works on
 * when the reader has come back.
 */
#include "channel/reader.h"
#include "ram/codec/deflate.h"
#include "ram/layout/stream.h"
#include "ram/store/direct.h"
#include "verdict.h"

#define PAGE  4096u
#define PAGES 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *host = aligned_alloc(PAGE, PAGES * PAGE);
    struct gw_ram_desc desc = {.name = "r", .host = host, .used_bytes = PAGES * PAGE};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_layout_in *in = NULL;
    struct gw_store *store = NULL;
    struct gw_reader r;
    struct gw_ram ram;
    int e = 0;

    must(host);
    memset(host, 0x11, PAGES * PAGE);
    must(gw_ram_init(&ram, PAGE, NULL, NULL) >= 0 && gw_ram_add(&ram, &desc, NULL) >= 0);
    must(gw_layout_stream_in_new(&ram, true, &in, NULL) >= 0 && gw_store_direct_new(&ram, &store, NULL) >= 0);
    must(gw_codec_deflate_decoder_new(&ram, size && data[0] & 1 ? 3 : 1, &in->decoder[GW_FORM_DEFLATE], NULL) >= 0);
    must(store->add(store, ram.blocks[0], NULL) >= 0 && in->add(in, ram.blocks[0], NULL) >= 0);
    gw_reader_init_memory(&r, data + !!size, size - !!size, 0);
    while (e >= 0 && gw_reader_buffered(&r))
        e = in->get(in, &r, store, &err);
    FUZZ_VERDICT(e >= 0);
    must(e >= 0 || (err.code == e && err.text[0] && err.blame != GW_BLAME_LOCAL));
    memset(host, 0, PAGES * PAGE); /* a thread that goes on would be seen by a sanitizer */
    in->free(in);
    store->free(store);
    gw_ram_close(&ram);
    gw_reader_close(&r);
    free(host);
    return 0;
}

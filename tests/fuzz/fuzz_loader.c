/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a whole stream, into a machine `none` with 64 KiB or into a rig (the stream's machine type decides), read in
 * pieces that depend on the length. It ends as rig.h says that it must. Half of the mutations know how streams are built.
 */
#include "engine/vm.h"
#include "mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

static struct rig rig, none;

static int machines(void)
{
    struct gw_error err = GW_ERROR_INIT;

    if (rig.vm)
        return 0;
    return rig_new(&rig, 0, 0, &err) < 0 || rig_new_none(&none, &err) < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig *g = size > 12 && data[12] == 4 ? &none : &rig;
    enum rig_split split = size % 16 == 1 ? RIG_BYTES : size % 3 ? RIG_WHOLE : RIG_PIECES;
    struct rig_outcome o;
    const char *why;

    if (machines() < 0)
        abort();
    rig_reset(g, 0, 0);
    o = rig_load(g, data, size, split, size);
    why = rig_judge(g, &o);
    if (why) {
        fprintf(stderr, "%s: %d %s: %s\n", why, o.r, gw_blame_name(o.err.blame), o.err.text);
        abort();
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct rig_bytes good;
    static struct anatomy anatomy;
    static struct rig_bytes out;
    struct gw_error err = GW_ERROR_INIT;
    struct zoo_rng rng = {seed};

    if (!good.data) {
        if (rig_stream(5, 2, "7.2", false, &good, NULL, &err) < 0)
            abort();
        anatomy_of(&good, &anatomy);
    }
    if (seed % 2 || size < 64 || (size > 12 && data[12] == 4))
        return LLVMFuzzerMutate(data, size, max_size);
    {
        /* The places are those of a whole stream; in others they are just places. */
        struct rig_bytes in = {data, size, size};

        mutate(&in, &anatomy, &good, &anatomy, &rng, &out);
    }
    size = GW_MIN(out.bytes, max_size);
    memcpy(data, out.data, size);
    return size;
}

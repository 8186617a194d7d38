/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a libvirt save image whose stream is not compressed.
 */
#include "fuzz_image.h"

#include "image/libvirt/libvirt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_libvirt_head h;

    /* No programs are started here: they have their own fuzzers. */
    if (gw_libvirt_head_get(data, size, &h, NULL) >= 0 && gw_libvirt_program(h.format))
        return 0;
    return fuzz_image(data, size, gw_libvirt_open);
}

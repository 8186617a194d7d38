/* SPDX-License-Identifier: MIT */
#include "examine/physical/chipset.h"

#include "examine/physical/peek.h"

#define CMOS_BYTES   128u
#define UNIT         65536ull
#define CONFIG_AT    4u /* offset of configuration space in a PCI device's section: after the version */
#define CONFIG_BYTES 256u
#define INTEL        0x8086u

/* All versions of the clock's section begin with the contents of CMOS. */
bool gw_chipset_cmos(const struct gw_image_devices *devices, uint64_t *ret_below, uint64_t *ret_above)
{
    for (unsigned i = 0; i < devices->count; i++) {
        const struct gw_image_device *d = &devices->list[i];
        const uint8_t *c = d->body;

        if (strcmp(d->name, "mc146818rtc") != 0 || d->body_bytes < CMOS_BYTES)
            continue;
        if (c[0x34] || c[0x35])
            *ret_below = gw_peek_le(c + 0x34, 2) * UNIT + 16 * GW_MIB;
        else /* up to 16 MiB: KiB above 1 MiB */
            *ret_below = gw_peek_le(c + 0x30, 2) * GW_KIB + GW_MIB;
        *ret_above = gw_peek_le(c + 0x5b, 3) * UNIT;
        return true;
    }
    return false;
}

uint16_t gw_chipset_shadow(const struct gw_image_devices *devices)
{
    static const struct {
        const char *name;
        unsigned device, at;
    } bridges[] = {{"0000:00:00.0/I440FX", 0x1237, 0x59}, {"0000:00:00.0/mch", 0x29c0, 0x90}};

    for (unsigned i = 0; i < devices->count; i++) {
        const struct gw_image_device *d = &devices->list[i];
        const uint8_t *config = d->body + CONFIG_AT;

        for (size_t k = 0; k < GW_ARRAY_LEN(bridges); k++) {
            uint16_t bits = 0;

            if (strcmp(d->name, bridges[k].name) != 0 || d->body_bytes < CONFIG_AT + CONFIG_BYTES ||
                gw_peek_le(config, 2) != INTEL || gw_peek_le(config + 2, 2) != bridges[k].device)
                continue;
            /* The first register is for the last 64 KiB; each of the others is for 32 KiB, the lower half in bit 0. */
            if (config[bridges[k].at] & 0x10)
                bits |= 0xf000;
            for (unsigned n = 0; n < 12; n++)
                if (config[bridges[k].at + 1 + n / 2] & (n % 2 ? 0x10 : 0x01))
                    bits |= (uint16_t)(1u << n);
            return bits;
        }
    }
    return 0;
}

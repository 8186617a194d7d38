/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the device sections and the description of a machine at rest (u32 how long the sections are; sections;
 * description), and as a stream that is explained against itself. What is found out ends with a result, and a stream
 * loads into the machine that wrote it.
 */
#include "base/endian.h"
#include "godwit/examine.h"
#include "examine/devices.h"
#include "image/image.h"
#include "examine/inspect.h"
#include "examine/physical.h"
#include "examine/x86_cpu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at;
};

static ssize_t memory_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct memory *m = (struct memory *)ch;
    size_t take = GW_MIN(iov[0].iov_len, m->bytes - m->at);

    memcpy(iov[0].iov_base, m->data + m->at, take);
    m->at += take;
    return (ssize_t)take;
}

static void refused(void *opaque, const struct gw_reason *reason)
{
    for (const char *p = reason->what; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            abort(); /* it goes to terminals */
}

/* Devices of one name and instance, and fields of one name, are taken for the first: only those are refused. */
static void explain(const uint8_t *data, size_t size)
{
    static const struct gw_channel_ops ops = {.kind = "memory", .readv = memory_readv};
    struct memory m = {.data = data, .bytes = size};
    struct gw_explain_counts counts;
    struct gw_inspect *in = NULL;

    gw_channel_init(&m.channel, &ops, 0, "memory");
    if (gw_inspect_new(&in, NULL) < 0)
        abort();
    if (gw_inspect_read(in, &m.channel, NULL) >= 0 &&
        gw_inspect_explain(in, in, NULL, refused, NULL, &counts, NULL) < 0)
        abort();
    gw_inspect_free(in);
}

static void examine(const uint8_t *data, size_t size)
{
    static const struct gw_image_ops no_ram;
    struct gw_image image = {
        .ops = &no_ram, .page_bytes = 4096, .page_bits = 12, .machine = "pc-q35-10.0", .footers = true};
    uint32_t devices = size < 4 ? 0 : gw_load_be32(data);
    struct gw_image_devices list = {0};
    struct gw_verify_counts verified;
    struct gw_diff_counts differing;
    struct gw_error err = GW_ERROR_INIT;

    if (size < 4 || devices > size - 4)
        return;
    image.devices = malloc(devices + 1);
    image.description_bytes = size - 4 - devices;
    image.description = malloc(image.description_bytes + 1);
    if (!image.devices || !image.description)
        abort();
    memcpy(image.devices, data + 4, devices);
    memcpy(image.description, data + 4 + devices, image.description_bytes);
    image.devices_bytes = devices;
    if (gw_image_verify(&image, NULL, &verified, &err) < 0)
        abort();
    if (!verified.faults) {
        if (gw_image_diff(&image, &image, NULL, &differing, &err) < 0 || differing.devices || differing.heads)
            abort();
        if (gw_image_devices_read(&image, &list, &err) < 0)
            abort();
        for (unsigned i = 0; i < list.count; i++) {
            struct gw_text notes = {0};
            struct gw_x86_cpu cpu;

            if (gw_x86_cpu_read(&list.list[i], &cpu, &err) > 0)
                gw_x86_cpu_notes(&cpu, i, &notes);
            gw_text_free(&notes);
        }
        gw_image_devices_close(&list);
    }
    free(image.devices);
    free(image.description);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] == 'Q')
        explain(data, size);
    else
        examine(data, size);
    return 0;
}

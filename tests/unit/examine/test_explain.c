/* SPDX-License-Identifier: MIT
 *
 * Pairs of streams that real QEMUs accepted or refused, with what they said (golden/explain/README.md).
 */
#include "reasons.h"

static void test_refused(void **state)
{
    static const struct {
        const char *from, *into, *says; /* what QEMU said is behind it */
    } pairs[] = {
        /* Machine type received is 'pc-q35-10.0' and local is 'pc-q35-7.2' */
        {"q35-10.0", "q35-7.2", "machine: the machine type is pc-q35-10.0, the destination is a pc-q35-7.2"},
        {"q35-7.2", "q35-10.0", "machine: the machine type is pc-q35-7.2, the destination is a pc-q35-10.0"},
        /* MIG_CMD 0xb unknown (len 0x0) */
        {"precopy-none-10.0.bin", "precopy-none-7.2.bin",
         "command SWITCHOVER_START: the destination is QEMU before 10.0"},
        /* Size mismatch: pc.ram: 0x2000000 != 0x1000000 */
        {"pc-7.2-by-10.0-32M", "pc-7.2", "RAM block pc.ram: 0x2000000 bytes, 0x1000000 in the destination"},
        {"pc-7.2", "pc-7.2-by-10.0-32M", "RAM block pc.ram: 0x1000000 bytes, 0x2000000 in the destination"},
        /* Unknown savevm section or instance '0000:00:02.0/e1000' 0. */
        {"pc-7.2-e1000", "pc-7.2-by-10.0", "device 0000:00:02.0/e1000/0: the destination has no such device"},
        {"pc-7.2-e1000", "pc-7.2-by-10.0-e1000-slot5",
         "device 0000:00:02.0/e1000/0: the destination has no such device, but 0000:00:05.0/e1000/0"},
        /* Unknown savevm section or instance 'hpet' 0. */
        {"pc-7.2", "pc-7.2-by-10.0-no-hpet", "device hpet/0: the destination has no such device"},
        /* Unknown savevm section or instance 'cpu_common' 1. */
        {"pc-7.2-smp2", "pc-7.2-by-10.0", "device cpu_common/1: the destination has no such device"},
        /* get_pci_config_device: Bad config data: i=0x2 read: 5 device: 44 cmask: ff ...
         * error while loading state for instance 0x0 of device '0000:00:02.0/virtio-rng' */
        {"pc-7.2-virtio-rng", "pc-7.2-by-10.0-virtio-rng-modern",
         "device 0000:00:02.0/virtio-rng/0: virtio: PCI device (byte 0x2) is 0x1005, 0x1044 in the destination"},
        {"pc-7.2-by-10.0-virtio-rng-modern", "pc-7.2-virtio-rng",
         "device 0000:00:02.0/virtio-rng/0: virtio: PCI device (byte 0x2) is 0x1044, 0x1005 in the destination"},
        /* get_pci_config_device: Bad config data: i=0x9a read: 6 device: 4 cmask: ff ...
         * error while loading state for instance 0x0 of device '0000:00:02.0/virtio-scsi' */
        {"pc-7.2-by-10.0-virtio-scsi-4", "pc-7.2-virtio-scsi-2",
         "device 0000:00:02.0/virtio-scsi/0: virtio: 7 MSI-X vectors (byte 0x9a), 5 in the destination"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(pairs); i++) {
        struct gw_explain_counts n = explain(pairs[i].from, pairs[i].into, &reasons);

        assert_true(n.refused > 0);
        if (strncmp(reasons.first, pairs[i].says, strlen(pairs[i].says)) != 0)
            fail_msg("%s into %s: %s", pairs[i].from, pairs[i].into, reasons.first);
    }
}

/* All of these loaded. */
static void test_loads(void **state)
{
    static const char *const pairs[][2] = {
        {"pc-7.2", "pc-7.2-by-10.0"},
        {"pc-7.2-by-10.0", "pc-7.2"},
        {"pc-7.2", "pc-7.2-e1000"},
        {"pc-7.2", "pc-7.2-smp2"},
        {"pc-7.2-by-10.0-no-hpet", "pc-7.2"},
        {"pc-7.2-max", "pc-7.2-by-10.0-max"},
        {"pc-7.2-max", "pc-7.2-by-10.0"},
        {"pc-7.2-by-10.0-max", "pc-7.2"},
        {"precopy-none-7.2.bin", "precopy-none-10.0.bin"},
        {"q35-7.2", "q35-7.2"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(pairs); i++) {
        struct gw_explain_counts n = explain(pairs[i][0], pairs[i][1], &reasons);

        if (n.refused || n.unknown)
            fail_msg("%s into %s: %s%s", pairs[i][0], pairs[i][1], reasons.first, reasons.unknown);
    }
}

static void test_notes(void **state)
{
    struct gw_explain_counts n = explain("pc-7.2", "pc-7.2-e1000", &reasons);

    assert_int_equal(n.notes, 1);
    assert_non_null(strstr(reasons.all, "0 device 0000:00:02.0/e1000/0: is only in the destination"));
}

/* A stream that was not read to its end explains nothing. */
static void test_broken(void **state)
{
    struct gw_inspect *a = inspection("pc-7.2"), *b = NULL;
    struct gw_explain_counts counts;
    struct trickle t;

    assert_int_equal(gw_inspect_new(&b, NULL), 0);
    trickle_init(&t, (const uint8_t *)"QEVM", 4, SIZE_MAX);
    assert_true(gw_inspect_read(b, &t.channel, NULL) < 0);
    assert_int_equal(gw_inspect_explain(a, b, NULL, NULL, NULL, &counts, NULL), -EINVAL);
    assert_int_equal(gw_inspect_explain(b, a, NULL, NULL, NULL, &counts, NULL), -EINVAL);
    gw_inspect_free(a);
    gw_inspect_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

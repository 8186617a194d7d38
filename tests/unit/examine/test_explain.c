/* SPDX-License-Identifier: MIT
 *
 * Pairs of streams that real QEMUs accepted or refused, with what they said (golden/explain/README.md).
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "godwit/examine.h"
#include "examine/inspect.h"
#include "state/vmdesc_read.h"

struct reasons {
    char first[700]; /* that is refused: "where: what" */
    char doubt[700];
    char all[20000];
};

static void found(void *opaque, const struct gw_reason *reason)
{
    struct reasons *r = opaque;
    char line[700];

    snprintf(line, sizeof line, "%s: %s", reason->where, reason->what);
    if (reason->weight == GW_REASON_REFUSED && !*r->first)
        strcpy(r->first, line);
    if (reason->weight == GW_REASON_DOUBT && !*r->doubt)
        strcpy(r->doubt, line);
    if (strlen(r->all) + strlen(line) + 4 < sizeof r->all)
        sprintf(r->all + strlen(r->all), "%d %s\n", reason->weight, line);
}

static struct gw_inspect *inspection(const char *name)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    char path[200];
    struct trickle t;
    struct bytes b;

    snprintf(path, sizeof path, strstr(name, ".bin") ? "%s" : "../explain/%s.bin.gz", name);
    b = stream_load(path);
    assert_int_equal(gw_inspect_new(&in, &err), 0);
    trickle_init(&t, b.data, b.bytes, SIZE_MAX);
    if (gw_inspect_read(in, &t.channel, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    free(b.data);
    return in;
}

static struct gw_explain_counts explain(const char *from, const char *into, struct reasons *reasons)
{
    struct gw_inspect *a = inspection(from), *b = inspection(into);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts;

    memset(reasons, 0, sizeof *reasons);
    if (gw_inspect_explain(a, b, found, reasons, &counts, &err) < 0)
        fail_msg("%s", err.text);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

static struct reasons reasons;

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

        if (n.refused || n.doubts)
            fail_msg("%s into %s: %s%s", pairs[i][0], pairs[i][1], reasons.first, reasons.doubt);
    }
}

static void test_notes(void **state)
{
    struct gw_explain_counts n = explain("pc-7.2", "pc-7.2-e1000", &reasons);

    assert_int_equal(n.notes, 1);
    assert_non_null(strstr(reasons.all, "0 device 0000:00:02.0/e1000/0: is only in the destination"));
}

/* A description as a program may have written it, with bodies of zeros. */
static struct gw_inspect *described(const char *device)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    struct gw_vmdesc_tree *tree = NULL;
    char text[2000];
    uint8_t stream[4000] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3}, *p = stream + 8;
    struct trickle t;
    int n;

    n = snprintf(text, sizeof text, "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, %s}]}",
                 device);
    assert_int_equal(gw_vmdesc_parse(text, (size_t)n, &tree, &err), 0);
    *p = 4;
    p[5] = 1;
    p[6] = 'd';
    p[14] = (uint8_t)tree->devices[0].state.version;
    p += 15 + tree->devices[0].state.bytes;
    p[0] = 0x7e;
    p += 5;
    p[0] = 0;
    p[1] = 6;
    p[4] = (uint8_t)(n >> 8);
    p[5] = (uint8_t)n;
    memcpy(p + 6, text, (size_t)n);
    gw_vmdesc_tree_free(tree);
    assert_int_equal(gw_inspect_new(&in, &err), 0);
    trickle_init(&t, stream, (size_t)(p + 6 + n - stream), SIZE_MAX);
    if (gw_inspect_read(in, &t.channel, &err) < 0)
        fail_msg("%s", err.text);
    return in;
}

static unsigned hints_from, hints_into; /* at the programs that wrote them */

static struct gw_explain_counts explain_described(const char *from, const char *into)
{
    struct gw_inspect *a = described(from), *b = described(into);
    struct gw_explain_counts counts;

    a->hints = hints_from;
    b->hints = hints_into;
    memset(&reasons, 0, sizeof reasons);
    assert_int_equal(gw_inspect_explain(a, b, found, &reasons, &counts, NULL), 0);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

#define STATE(version, fields)  "\"vmsd_name\": \"d\", \"version\": " version ", \"fields\": [" fields "]"
#define FIELD(name, type, size) "{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " size "}"

static void test_fields(void **state)
{
    const char *x4 = STATE("2", FIELD("x", "uint32", "4")), *x8 = STATE("2", FIELD("x", "uint64", "8")),
               *newer = STATE("3", FIELD("x", "uint32", "4") "," FIELD("y", "uint8", "1")),
               *renamed = STATE("2", FIELD("z", "uint32", "4")),
               *more = STATE("2", FIELD("x", "uint32", "4") "," FIELD("y", "uint8", "1")),
               *array4 = STATE("2", "{\"name\": \"x\", \"type\": \"uint32\", \"array_len\": 4, \"size\": 4}"),
               *array5 = STATE("2", "{\"name\": \"x\", \"type\": \"uint32\", \"array_len\": 5, \"size\": 4}");
    struct gw_explain_counts n;

    n = explain_described(x4, x4);
    assert_int_equal(n.refused + n.doubts + n.notes, 0);
    n = explain_described(x4, x8);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: field x has 4 bytes (uint32), 8 (uint64) in the destination");
    n = explain_described(newer, x4);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: version 3 is written, the destination knows 2");
    n = explain_described(x4, newer); /* an old one: y is new */
    assert_int_equal(n.refused + n.doubts, 0);
    assert_int_equal(n.notes, 1);
    n = explain_described(x4, renamed);
    assert_int_equal(n.refused + n.doubts, 0);
    n = explain_described(more, x4);
    assert_int_equal(n.doubts, 1);
    assert_non_null(strstr(reasons.doubt, "field y is written"));
    n = explain_described(x4, more);
    assert_int_equal(n.doubts, 1);
    assert_non_null(strstr(reasons.doubt, "field y is not written"));
    n = explain_described(array4, array5);
    assert_int_equal(n.doubts, 1);
    assert_non_null(strstr(reasons.doubt, "4 elements, 5"));
}

/* Whether a program knows a subsection is not in a stream in which it did not write it; the machine type may promise
 * it. */
static void test_subsections(void **state)
{
    const char *with = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 1, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]",
               *newer = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 2, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]",
               *without = STATE("2", FIELD("x", "uint32", "4"));
    struct gw_explain_counts n = explain_described(with, without);

    assert_int_equal(n.refused, 0);
    assert_int_equal(n.doubts, 1);
    assert_non_null(strstr(reasons.doubt, "device d/0: subsection d/more is written, the destination writes none"));
    hints_from = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.doubts, 1);
    hints_into = GW_HINT_STATE_NEW;
    n = explain_described(with, without);
    assert_int_equal(n.doubts, 0);
    hints_from = GW_HINT_STATE_NEW;
    n = explain_described(with, without);
    assert_int_equal(n.doubts, 0);
    hints_into = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.doubts, 1);
    hints_from = hints_into = 0;
    n = explain_described(without, with);
    assert_int_equal(n.refused + n.doubts, 0);
    n = explain_described(newer, with);
    assert_string_equal(reasons.first, "device d/0: d/more has version 2, the destination knows 1");
    n = explain("pc-7.2-by-10.0-max", "pc-7.2", &reasons);
    assert_non_null(strstr(reasons.all,
                           "0 device cpu/0: subsection cpu/msr_ia32_misc_enable is written, the destination "
                           "writes none; the type of the machine promises that it is known"));
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
    assert_int_equal(gw_inspect_explain(a, b, NULL, NULL, &counts, NULL), -EINVAL);
    assert_int_equal(gw_inspect_explain(b, a, NULL, NULL, &counts, NULL), -EINVAL);
    gw_inspect_free(a);
    gw_inspect_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_loads),       cmocka_unit_test(test_notes),
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_subsections), cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

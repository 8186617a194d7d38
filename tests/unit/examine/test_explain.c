/* SPDX-License-Identifier: MIT
 *
 * Pairs of streams that real QEMUs accepted or refused, with what they said (golden/explain/README.md).
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "godwit/examine.h"
#include "godwit/state.h"
#include "examine/inspect.h"
#include "state/vmdesc_read.h"

struct reasons {
    char first[700]; /* that is refused: "where: what" */
    char unknown[700];
    char all[20000];
};

static void found(void *opaque, const struct gw_reason *reason)
{
    struct reasons *r = opaque;
    char line[700];

    snprintf(line, sizeof line, "%s: %s", reason->where, reason->what);
    if (reason->weight == GW_REASON_REFUSED && !*r->first)
        strcpy(r->first, line);
    if (reason->weight == GW_REASON_UNKNOWN && !*r->unknown)
        strcpy(r->unknown, line);
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
    if (gw_inspect_explain(a, b, NULL, found, reasons, &counts, &err) < 0)
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
    assert_int_equal(gw_inspect_explain(a, b, NULL, found, &reasons, &counts, NULL), 0);
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
    assert_int_equal(n.refused + n.unknown + n.notes, 0);
    n = explain_described(x4, x8);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: field x has 4 bytes (uint32), 8 (uint64) in the destination");
    n = explain_described(newer, x4);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: version 3 is written, the destination knows 2");
    n = explain_described(x4, newer); /* an old one: y is new */
    assert_int_equal(n.refused, 0);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "version 2 is written, the destination has 3: whether it reads"));
    hints_from = GW_HINT_STATE_OLD;
    hints_into = GW_HINT_STATE_NEW;
    n = explain_described(x4, newer);
    assert_int_equal(n.refused + n.unknown, 0);
    assert_int_equal(n.notes, 1);
    hints_from = hints_into = 0;
    n = explain_described(x4, renamed);
    assert_int_equal(n.refused + n.unknown, 0);
    n = explain_described(more, x4);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "field y is written"));
    n = explain_described(x4, more);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "field y is not written"));
    n = explain_described(array4, array5);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "4 elements, 5"));
}

/* Whether a program knows a subsection is not in a stream in which it did not write it. */
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
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "device d/0: subsection d/more is written, the destination writes none"));
    hints_from = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_into = GW_HINT_STATE_NEW;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 0);
    hints_from = GW_HINT_STATE_NEW; /* as new, for all that is known */
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_into = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_from = hints_into = 0;
    n = explain_described(without, with);
    assert_int_equal(n.refused + n.unknown, 0);
    n = explain_described(newer, with);
    assert_string_equal(reasons.first, "device d/0: d/more has version 2, the destination knows 1");
    n = explain("pc-7.2-by-10.0-max", "pc-7.2", &reasons);
    assert_non_null(strstr(reasons.all,
                           "0 device cpu/0: subsection cpu/msr_ia32_misc_enable is written, the destination "
                           "writes none; each QEMU since 5.2 knows it"));
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

/* ---- what the destination's dump tells --------------------------------------------------------------------------- */

#define DUMP(version, oldest, rest)                                                                                    \
    "{\"vmschkmachine\": {\"Name\": \"m-1\"}, \"card\": {\"Name\": \"card\", \"version_id\": " version                 \
    ", \"minimum_version_id\": " oldest ", \"Description\": {\"name\": \"d\", \"version_id\": " version                \
    ", \"minimum_version_id\": " oldest rest "}}}"
#define FIELDS(fields) ", \"Fields\": [" fields "]"
#define KNOWS(name, since, conditional, size)                                                                          \
    "{\"field\": \"" name "\", \"version_id\": " since ", \"field_exists\": " conditional ", \"size\": " size "}"
#define COUNTS                                                                                                         \
    "{\"field\": \"n\", \"version_id\": 9, \"field_exists\": false, \"num\": 2, \"size\": 1}" /* as new ones do */
#define SUBS(version, fields)                                                                                          \
    ", \"Subsections\": [{\"name\": \"d/more\", \"version_id\": " version                                              \
    ", \"minimum_version_id\": 1, \"Fields\": [" fields "]}]"

/* Also into a stream, unless it is NULL. */
static struct gw_explain_counts explain_dumped(const char *from, const char *into, const char *json)
{
    struct gw_inspect *a = described(from), *b = into ? described(into) : NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts = {0};
    struct gw_dump *dump = NULL;

    if (gw_dump_parse(json, strlen(json), &dump, &err) < 0)
        fail_msg("%s", err.text);
    memset(&reasons, 0, sizeof reasons);
    assert_int_equal(gw_inspect_explain(a, b, dump, found, &reasons, &counts, &err), 0);
    gw_dump_free(dump);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

static void test_dump(void **state)
{
    const char *x4 = STATE("2", FIELD("x", "uint32", "4")),
               *sub1 = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 1, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]";
    static const struct {
        const char *dump;
        bool sub;
        unsigned refused, unknown; /* besides that the stream does not tell its machine */
        const char *says;
    } cases[] = {
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4"))), false, 0, 0, ""},
        {DUMP("4", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "3", "false", "8"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "0", "true", "8"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("renamed", "0", "false", "4"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "2", "false", "8"))), false, 0, 1,
         "field z of d is not written"},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "8"))), false, 0, 1, "field x of d has another size"},
        {DUMP("2", "2", FIELDS(KNOWS("w", "0", "false", "4") "," KNOWS("x", "0", "false", "4"))), false, 0, 1,
         "field w of d is not written"},
        {DUMP("2", "2", ""), false, 0, 1, "field x of d is not in the dump"},
        {DUMP("1", "1", FIELDS(KNOWS("x", "0", "false", "4"))), false, 1, 0, "version 2 is written, the destination's"},
        {DUMP("4", "3", FIELDS(KNOWS("x", "0", "false", "4"))), false, 1, 0, "reads 3 and later"},
        {DUMP("1", "1", FIELDS(KNOWS("x", "0", "false", "8"))), false, 0, 1, "field x of d has another size"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4"))), true, 1, 0,
         "subsection d/more is not known to the destination's program"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("1", KNOWS("y", "0", "false", "1"))), true, 0, 0,
         ""},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("0", KNOWS("y", "0", "false", "1"))), true, 1, 0,
         "subsection d/more has version 1, the destination's program knows 0"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("1", KNOWS("y", "0", "false", "2"))), true, 0, 1,
         "field y of d/more has another size"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_explain_counts n = explain_dumped(cases[i].sub ? sub1 : x4, NULL, cases[i].dump);

        if (n.refused != cases[i].refused || n.unknown != cases[i].unknown + 1 || !strstr(reasons.all, cases[i].says))
            fail_msg("%zu: %u, %u: %s", i, n.refused, n.unknown, reasons.all);
        n = explain_dumped(cases[i].sub ? sub1 : x4, x4, cases[i].dump);
        /* A stream of it loads x4; whether it knows the subsection only the dump can tell. */
        if (n.refused != cases[i].refused || n.unknown != (cases[i].sub ? cases[i].unknown : 0))
            fail_msg("%zu, with a stream: %u, %u: %s", i, n.refused, n.unknown, reasons.all);
    }
}

/* Elements of an array, padding that was used for something, and what was given up for padding. */
static void test_dump_layout(void **state)
{
    const char *five = STATE("1", "{\"name\": \"flags\", \"type\": \"bool\", \"array_len\": 5, \"size\": 1}," FIELD(
                                      "end", "uint8", "1")),
               *padding = STATE("1", FIELD("unused", "unused_buffer", "5") "," FIELD("end", "uint8", "1")),
               *two = STATE("1",
                            FIELD("irq", "uint32", "4") "," FIELD("flag", "uint8", "1") "," FIELD("end", "uint8", "1"));
    const char *one_padding = DUMP(
                   "1", "1", FIELDS(KNOWS("unused", "0", "false", "5") "," KNOWS("end", "0", "false", "1") "," COUNTS)),
               *parts = DUMP("1", "1",
                             FIELDS(KNOWS("irq", "0", "false", "4") "," KNOWS("flag", "0", "false", "1") "," KNOWS(
                                 "end", "0", "false", "1") "," COUNTS)),
               *array = DUMP("1", "1", FIELDS(KNOWS("flags", "0", "false", "1") "," KNOWS("end", "0", "false", "1"))),
               *less = DUMP("1", "1",
                            FIELDS(KNOWS("irq", "0", "false", "4") "," KNOWS("end", "0", "false", "1") "," COUNTS));

    assert_int_equal(explain_dumped(five, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(two, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, parts).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, array).unknown, 1); /* an old dump does not tell of how many */
    assert_int_equal(explain_dumped(padding, NULL, less).unknown, 2);
    assert_int_equal(explain_dumped(two, NULL, less).unknown, 2);
    assert_int_equal(explain_dumped(five, NULL, less).unknown, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_loads),       cmocka_unit_test(test_notes),
        cmocka_unit_test(test_fields),      cmocka_unit_test(test_subsections), cmocka_unit_test(test_dump),
        cmocka_unit_test(test_dump_layout), cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

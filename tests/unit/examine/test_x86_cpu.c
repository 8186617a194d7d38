/* SPDX-License-Identifier: MIT
 *
 * Registers out of the section of a processor, and the notes that debuggers read them from.
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "base/endian.h"
#include "examine/devices.h"
#include "examine/x86_cpu.h"
#include "state/text.h"
#include "state/vmdesc_read.h"

#define U64(name, n) "{\"name\": \"" name "\", \"array_len\": " #n ", \"type\": \"uint64\", \"size\": 8}, "
#define ONE(name)    "{\"name\": \"" name "\", \"type\": \"uint64\", \"size\": 8}, "
#define SEG(more)    "{\"name\": \"env.segs\", " more "\"type\": \"struct\", \"struct\": {\"vmsd_name\": \"segment\", \"version\": 1, \"fields\": " \
                     "[{\"name\": \"selector\", \"type\": \"uint32\", \"size\": 4}, {\"name\": \"base\", \"type\": \"uint64\", \"size\": 8}]}, \"size\": 12}"

static struct gw_vmdesc_tree *tree;
static uint8_t body[8 * 16 + 8 + 8 + 24];

static struct gw_image_device device(const char *name, const char *rip)
{
    char text[1500];
    struct gw_error err = GW_ERROR_INIT;

    snprintf(text, sizeof text, "{\"page_size\": 4096, \"devices\": [{\"name\": \"cpu\", \"instance_id\": 0, \"vmsd_name\": \"cpu\", \"version\": 12, "
             "\"fields\": [" U64("env.regs", 16) "{\"name\": \"%s\", \"type\": \"uint64\", \"size\": 8}, " ONE("env.eflags")
             SEG("\"array_len\": 2, ") "]}]}", rip);
    if (gw_vmdesc_parse(text, strlen(text), &tree, &err) < 0)
        fail_msg("%s", err.text);
    return (struct gw_image_device){.name = name, .label = "cpu/0", .body = body, .body_bytes = sizeof body,
                                    .state = &tree->devices[0].state};
}

static int up(void **state)
{
    for (unsigned i = 0; i < 16; i++)
        gw_store_be64(body + 8 * i, 0x100 + i);
    gw_store_be64(body + 128, 0xabcd);
    gw_store_be64(body + 136, 0x202);
    gw_store_be32(body + 144 + 12, 0x33);
    gw_store_be64(body + 144 + 16, 0x7000);
    return 0;
}

static int down(void **state)
{
    tree = gw_vmdesc_tree_free(tree);
    return 0;
}

static void test_read(void **state)
{
    struct gw_image_device d = device("cpu", "env.eip");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_x86_cpu cpu;

    assert_int_equal(gw_x86_cpu_read(&d, &cpu, &err), 1);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(cpu.regs[i], 0x100 + i);
    assert_int_equal(cpu.rip, 0xabcd);
    assert_int_equal(cpu.rflags, 0x202);
    assert_int_equal(cpu.segs[GW_CS].selector, 0x33);
    assert_int_equal(cpu.segs[GW_CS].base, 0x7000);
    assert_int_equal(cpu.segs[GW_ES].selector, 0);
    d.body_bytes--;
    assert_int_equal(gw_x86_cpu_read(&d, &cpu, &err), -EPROTO);
    assert_int_equal(strncmp(err.text, "device cpu/0: ", 14), 0);
}

/* Another device, one without a description, or one of another kind of processor. */
static void test_none(void **state)
{
    struct gw_image_device d = device("timer", "env.eip");
    struct gw_x86_cpu cpu = {.rip = 5};

    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), 0);
    d.name = "cpu";
    d.state = NULL;
    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), 0);
    down(NULL);
    d = device("cpu", "env.pc");
    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), 0);
    assert_int_equal(cpu.rip, 5);
}

static uint64_t le64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return le64toh(v);
}

/* Where debuggers look for them. */
static void test_notes(void **state)
{
    struct gw_x86_cpu cpu = {.rip = 0x1234, .regs = {[GW_RAX] = 0xa, [GW_RSP] = 0xb}, .cr = {0, 0, 0, 0xc}, .fpu_status = 1 << 11};
    struct gw_text t = {0};
    const char *p;

    cpu.st[1][0] = 0x77; /* the top of the stack */
    gw_x86_cpu_notes(&cpu, 3, &t);
    assert_int_equal(t.bytes, (12 + 8 + 336) + (12 + 8 + 512) + (12 + 8 + 440));
    p = t.data + 20; /* NT_PRSTATUS */
    assert_int_equal(p[32], 3);
    assert_int_equal(le64(p + 112 + 10 * 8), 0xa);
    assert_int_equal(le64(p + 112 + 16 * 8), 0x1234);
    assert_int_equal(le64(p + 112 + 19 * 8), 0xb);
    assert_true(le64(p + 112 + 15 * 8) == UINT64_MAX);
    assert_int_equal((t.data + 356 + 20)[32], 0x77); /* NT_FPREGSET: ST(0) */
    p = t.data + 356 + 532 + 20; /* QEMU's */
    assert_int_equal(p[0], 1);
    assert_int_equal(le64(p + 8 + 16 * 8), 0x1234);
    assert_int_equal(le64(p + 8 + 18 * 8 + 10 * 24 + 3 * 8), 0xc);
    gw_text_free(&t);
}

/* Names and data are filled up to four bytes. */
static void test_note(void **state)
{
    static const char want[] = "\4\0\0\0\3\0\0\0\7\0\0\0abc\0xyz\0";
    struct gw_text t = {0};

    gw_elf_note(&t, "abc", 7, "xyz", 3);
    assert_int_equal(t.bytes, 20);
    assert_memory_equal(t.data, want, 20);
    gw_text_free(&t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_read), T(test_none), T(test_notes), T(test_note)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

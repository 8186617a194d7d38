/* SPDX-License-Identifier: MIT
 *
 * Cores: what is in them, where memory lies, and what keeps one from being made.
 */
#include "extracted.h"

/* ---- cores ------------------------------------------------------------------------------------------------------- */

struct told {
    char text[2000];
};

static void told(void *opaque, const char *line)
{
    struct told *t = opaque;

    assert_true(strlen(t->text) + strlen(line) + 2 < sizeof t->text);
    strcat(strcat(t->text, line), "\n");
}

static const Elf64_Phdr *headers(const struct bytes *b, unsigned *count)
{
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)b->data;

    assert_memory_equal(eh->e_ident, ELFMAG, SELFMAG);
    assert_int_equal(eh->e_type, ET_CORE);
    assert_int_equal(eh->e_machine, EM_X86_64);
    *count = eh->e_phnum;
    assert_true(eh->e_phoff + *count * sizeof(Elf64_Phdr) <= b->bytes);
    return (const Elf64_Phdr *)(b->data + eh->e_phoff);
}

/* The nth note of this name and type; notes are checked to fill their segment. */
static const uint8_t *note(const struct bytes *b, const char *name, uint32_t type, unsigned nth, size_t *ret_bytes)
{
    unsigned count;
    const Elf64_Phdr *ph = headers(b, &count);
    size_t at = ph->p_offset, end = at + ph->p_filesz;
    const uint8_t *found = NULL;

    assert_int_equal(ph->p_type, PT_NOTE);
    assert_true(end <= b->bytes);
    while (at < end) {
        const Elf64_Nhdr *n = (const Elf64_Nhdr *)(b->data + at);
        size_t data = at + sizeof *n + (n->n_namesz + 3u) / 4 * 4;

        at = data + (n->n_descsz + 3u) / 4 * 4;
        assert_true(at <= end);
        if (n->n_type == type && !strcmp((const char *)(n + 1), name) && nth-- == 0) {
            found = b->data + data;
            *ret_bytes = n->n_descsz;
        }
    }
    return found;
}

static void test_core(void **state)
{
    static const struct {
        const char *block;
        uint64_t offset, bytes, address;
    } seen[] = {{"r", 0, 0xa0000, 0},
                {"pc.rom", 0, 0x20000, 0xc0000},
                {"pc.bios", 0x20000, 0x20000, 0xe0000},
                {"r", 0x100000, 0xf00000, 0x100000},
                {"pc.bios", 0, 0x40000, 0xfffc0000}};
    struct gw_image *image = machine_of(PC);
    uint8_t *host = gw_memory_host(image, block_of(image, "r"));
    struct told t = {""};
    struct gw_elf_options how = {.told = told, .opaque = &t};
    struct gw_error err = GW_ERROR_INIT;
    const uint8_t *data;
    const Elf64_Phdr *ph;
    unsigned count;
    struct bytes b;
    size_t bytes;

    memset(host, 0x11, 0x2000);
    strcpy((char *)host + 0x7000, "OSRELEASE=6.1.0-test\nBUILD-ID=1\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=1\n");
    if (gw_extract_elf(image, out, &how, &err) < 0)
        fail_msg("%s", err.text);
    b = slurp();
    ph = headers(&b, &count);
    /* It has not run yet: below 1 MiB ROMs are seen, and from 640 KiB on may be a display. */
    assert_int_equal(count, 6);
    for (unsigned i = 0; i < 5; i++) {
        const uint8_t *in = gw_memory_host(image, block_of(image, seen[i].block)) + seen[i].offset;

        assert_int_equal(ph[1 + i].p_type, PT_LOAD);
        assert_int_equal(ph[1 + i].p_paddr, seen[i].address);
        assert_int_equal(ph[1 + i].p_vaddr, seen[i].address);
        assert_int_equal(ph[1 + i].p_filesz, seen[i].bytes);
        assert_memory_equal(b.data + ph[1 + i].p_offset, in, seen[i].bytes);
    }
    data = note(&b, "CORE", 1, 0, &bytes);
    assert_non_null(data);
    assert_int_equal(bytes, 336);
    assert_int_equal(data[32], 1);
    assert_int_equal(data[112 + 16 * 8] | data[112 + 16 * 8 + 1] << 8, 0xfff0); /* rip */
    assert_int_equal(data[112 + 17 * 8] | data[112 + 17 * 8 + 1] << 8, 0xf000); /* cs */
    assert_null(note(&b, "CORE", 1, 1, &bytes));
    data = note(&b, "QEMU", 0, 0, &bytes);
    assert_non_null(data);
    assert_int_equal(data[4] | data[5] << 8, bytes);
    data = note(&b, "VMCOREINFO", 0, 0, &bytes);
    assert_non_null(data);
    assert_int_equal(bytes, strlen((char *)host + 0x7000));
    assert_memory_equal(data, host + 0x7000, bytes);
    assert_non_null(strstr(t.text, "left out: /rom@etc/acpi/tables"));
    assert_non_null(strstr(t.text, "registers of 1 processor\n"));
    assert_non_null(strstr(t.text, "VMCOREINFO found at 0x7000: Linux 6.1.0-test\n"));
    free(b.data);
    gw_image_free(image);
}

static void test_core_places(void **state)
{
    struct gw_image *image = machine_of("precopy-none-10.0.bin");
    struct gw_elf_place places[] = {{"r", 0x10000000, 0, 0}};
    struct gw_elf_options how = {.places = places, .place_count = 1};
    struct gw_error err = GW_ERROR_INIT;
    const Elf64_Phdr *ph;
    unsigned count;
    struct bytes b;

    assert_int_equal(gw_extract_elf(image, out, &how, &err), 0);
    b = slurp();
    ph = headers(&b, &count);
    assert_int_equal(count, 2);
    assert_int_equal(ph[0].p_filesz, 0);
    assert_int_equal(ph[1].p_paddr, 0x10000000);
    free(b.data);
    how.replace = true;
    places[0].block = "s";
    assert_int_equal(gw_extract_elf(image, out, &how, &err), -EINVAL);
    gw_image_free(image);
}

/* Of a device that is none, of one whose registers are short, of one that says too little. */
static void test_no_processor(void **state)
{
    static const char text[] =
        "{\"page_size\": 4096, \"devices\": [{\"name\": \"cpu\", \"instance_id\": 0, \"vmsd_name\": \"cpu\", "
        "\"version\": 12, "
        "\"fields\": [{\"name\": \"env.regs\", \"array_len\": 8, \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"env.eip\", \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"env.eflags\", \"type\": \"uint32\", \"size\": 4}]}]}";
    uint8_t body[40] = {0, 0, 0, 1, [35] = 0xf0, [39] = 2};
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_image_device d = {.name = "cpu", .body = body, .body_bytes = 40};
    struct gw_x86_cpu cpu;

    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), 0);
    assert_int_equal(gw_vmdesc_parse(text, sizeof text - 1, &tree, NULL), 0);
    d.state = &tree->devices[0].state;
    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), 1); /* a processor of 32 bits */
    assert_int_equal(cpu.regs[0], 1);
    assert_int_equal(cpu.rip, 0xf0);
    d.body_bytes = 39;
    assert_int_equal(gw_x86_cpu_read(&d, &cpu, NULL), -EPROTO);
    gw_vmdesc_tree_free(tree);
}

/* Where there is no room, the file is named, and none is left. */
static void test_no_room(void **state)
{
    const struct rlimit small = {4096, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct gw_image *image = machine_of(PC);
    const struct gw_elf_options place = {.replace = true};
    struct gw_error err = GW_ERROR_INIT;

    signal(SIGXFSZ, SIG_IGN);
    for (unsigned i = 0; i < 3; i++) {
        int r;

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        r = i == 0   ? gw_extract_ram(image, NULL, out, false, NULL, NULL, &err)
            : i == 1 ? gw_extract_elf(image, out, &place, &err)
                     : gw_extract_description(image, out, false, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        assert_int_equal(r, -EFBIG);
        if (strncmp(err.text, out, strlen(out)) != 0)
            fail_msg("'%s' does not begin with the name", err.text);
        assert_int_equal(access(out, F_OK), -1);
    }
    signal(SIGXFSZ, SIG_DFL);
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_core),
        IN_FOLDER(test_core_places),
        IN_FOLDER(test_no_room),
        IN_FOLDER(test_no_processor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Every allocation of verify, diff, map, extract, explain and the screen of inspect fails once: the call says -ENOMEM, and no memory, descriptor or
 * file is left. The program is linked with --wrap for the allocating functions.
 */
#include "../image/machines.h"

#include <dirent.h>

#include "godwit/examine.h"
#include "godwit/ram_map.h"
#include "godwit/state.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails() ? NULL : __real_strndup(s, n);
}

static struct gw_image *a, *b;
static struct gw_inspect *from, *into;
static char folder[64], out[128];

static int verify(struct gw_error *err)
{
    struct gw_verify_counts counts;

    return gw_image_verify(a, NULL, &counts, err);
}

static void differs(void *opaque, const struct gw_difference *d)
{
}

static int diff(struct gw_error *err)
{
    struct gw_diff_options how = {.found = differs};
    struct gw_diff_counts counts;

    return gw_image_diff(a, b, &how, &counts, err);
}

static void maps(void *opaque, const struct gw_ram_run *run)
{
}

static int map(struct gw_error *err)
{
    struct gw_ram_map *map = NULL;
    int r = gw_ram_map_new(a, true, NULL, NULL, &map, err);

    if (r >= 0)
        r = gw_ram_map_runs(map, block_of(a, "pc.bios"), true, maps, NULL, err);
    gw_ram_map_free(map);
    return r;
}

static int screen(struct gw_error *err)
{
    struct gw_inspect_options how = {.screen = true};
    char *text = NULL;
    int r = gw_inspect_print(from, &how, &text, err);

    free(text);
    return r;
}

static int ram(struct gw_error *err)
{
    return gw_extract_ram(a, "pc.bios", out, true, NULL, NULL, err);
}

static int device(struct gw_error *err)
{
    return gw_extract_device(a, "cpu", out, true, err);
}

static int core(struct gw_error *err)
{
    return gw_extract_elf(a, out, &(struct gw_elf_options){.replace = true}, err);
}

static int explain(struct gw_error *err)
{
    struct gw_explain_counts counts;

    return gw_inspect_explain(from, into, NULL, NULL, NULL, &counts, err);
}

static int explain_dump(struct gw_error *err)
{
    static const char text[] =
        "{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": {\"version_id\": 1, \"minimum_version_id\": 1, "
        "\"Description\": {\"name\": \"timer\", \"version_id\": 1, \"minimum_version_id\": 1, "
        "\"Fields\": [{\"field\": \"f\", \"version_id\": 0, \"size\": 1}]}}}";
    struct gw_explain_counts counts;
    struct gw_dump *dump = NULL;
    int r = gw_dump_parse(text, sizeof text - 1, &dump, err);

    if (r >= 0)
        r = gw_inspect_explain(from, into, dump, NULL, NULL, &counts, err);
    gw_dump_free(dump);
    return r;
}

/* step: how many are left out between two that fail, once the first 40 have; a description makes many. */
static void every_allocation(const char *what, int (*f)(struct gw_error *err), unsigned step)
{
    unsigned fds = entries("/proc/self/fd"), failed = 0;

    for (unsigned n = 1; n < 1000000; n += n < 40 ? 1 : step) {
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        unlink(out);
        countdown = n;
        r = f(&err);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(entries("/proc/self/fd"), fds);
        if (!hit) {
            if (r < 0)
                fail_msg("%s: %s", what, err.text);
            assert_true(failed > 0);
            return;
        }
        failed++;
        if (r != -ENOMEM || err.code != -ENOMEM || !strstr(err.text, "out of memory"))
            fail_msg("%s: allocation %u failed, but the result is %d (%s)", what, n, r, err.text);
        assert_int_equal(entries(folder), 2); /* nothing half */
    }
    fail_msg("%s: no end of allocations", what);
}

static struct gw_inspect *inspection_of(const char *name)
{
    struct bytes bytes = stream_load(name);
    struct gw_inspect *in = NULL;
    struct trickle t;

    assert_int_equal(gw_inspect_new(&in, NULL), 0);
    trickle_init(&t, bytes.data, bytes.bytes, SIZE_MAX);
    assert_int_equal(gw_inspect_read(in, &t.channel, NULL), 0);
    free(bytes.data);
    return in;
}

static void test_all(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/gwXXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out", folder);
    a = machine_of("precopy-pc-10.0.bin.gz");
    b = machine_of("precopy-pc-7.2.bin.gz");
    strcpy((char *)gw_memory_host(a, block_of(a, "r")) + 0x7000, "OSRELEASE=6\nPAGESIZE=4096\nSYMBOL(x)=1\n");
    from = inspection_of("precopy-pc-10.0.bin.gz");
    into = inspection_of("precopy-pc-7.2.bin.gz");
    every_allocation("verify", verify, 1);
    every_allocation("diff", diff, 211);
    every_allocation("map", map, 1);
    every_allocation("screen", screen, 1);
    every_allocation("ram", ram, 1);
    every_allocation("device", device, 1);
    every_allocation("core", core, 1);
    every_allocation("explain", explain, 211);
    every_allocation("explain with a dump", explain_dump, 211);
    unlink(out);
    assert_int_equal(rmdir(folder), 0);
    gw_inspect_free(from);
    gw_inspect_free(into);
    gw_image_free(a);
    gw_image_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

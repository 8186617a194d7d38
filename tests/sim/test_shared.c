/* SPDX-License-Identifier: MIT
 *
 * Blocks in files that both sides map: which memory stays there, at which address it must be, and which parts are
 * written back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

#define BYTES (1u << 20)

struct block {
    uint64_t gpa[2]; /* source, destination */
    unsigned flags;
    void *host[2];
};

static struct block staying, coming; /* "staying" and "coming", for what they do with x-ignore-shared */
static bool ignore;

/* ---- what the library writes back ---------------------------------------------------------------------------------- */

static struct {
    unsigned calls;
    void *from;
    size_t bytes;
    int flags;
} synced;

int __real_msync(void *from, size_t bytes, int flags);
int __wrap_msync(void *from, size_t bytes, int flags);

int __wrap_msync(void *from, size_t bytes, int flags)
{
    synced.calls++;
    synced.from = from;
    synced.bytes = bytes;
    synced.flags = flags;
    return __real_msync(from, bytes, flags);
}

/* ---- the machines --------------------------------------------------------------------------------------------------- */

static void unmap(void *what)
{
    munmap(what, BYTES);
}

static void add_block(struct pair *p, const char *name, struct block *b)
{
    struct sim *sides[] = {p->from, p->to};
    int fd = memfd_create(name, MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, BYTES), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = name, .used_bytes = BYTES, .gpa = b->gpa[i], .flags = b->flags};

        d.host = b->host[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(d.host, MAP_FAILED);
        owned(d.host, unmap);
        assert_int_equal(gw_vm_add_ram(sides[i]->vm, &d, NULL), 0);
        assert_int_equal(gw_options_set_capability(gw_vm_options(sides[i]->vm), "x-ignore-shared", ignore, NULL), 0);
    }
    close(fd);
    memset(b->host[0], 0x77, BYTES);
}

static void add_both(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(&synced, 0, sizeof synced);
    add_block(p, "staying", &staying);
    add_block(p, "coming", &coming);
}

static void unmap_both(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        owned_end(staying.host[i]);
        owned_end(coming.host[i]);
    }
}

static void run(struct pair *p, uint64_t staying_there, uint64_t coming_there)
{
    *p = (struct pair){.mib = 1, .before = add_both, .after = unmap_both};
    staying = (struct block){{9ull << 32, staying_there}, GW_RAM_SHARED | GW_RAM_NAMED_FILE, {0}};
    coming = (struct block){{10ull << 32, coming_there}, GW_RAM_SHARED, {0}};
    pair_run(p);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------ */

static void test_addresses(void **state)
{
    struct pair p;

    ignore = true;
    run(&p, 9ull << 32, 12ull << 32);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    /* Memory that stays is not counted, and none of it was sent. */
    assert_int_equal(p.stats.total_bytes, (1u << 20) + 256 * 1024 + BYTES);
    assert_true(p.stats.normal_pages + p.stats.duplicate_pages < (p.stats.total_bytes + BYTES) / 4096);

    run(&p, 12ull << 32, 10ull << 32);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_non_null(strstr(p.recv_error.text, "RAM block staying is at guest address 0x900000000 on the source and 0xc00000000"));
}

/* ---- written back ------------------------------------------------------------------------------------------------------ */

static void test_written_back(void **state)
{
    struct pair p;

    ignore = false;
    run(&p, 9ull << 32, 10ull << 32);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(synced.calls, 1); /* the other block is not in a named file */
    assert_ptr_equal(synced.from, staying.host[1]);
    assert_int_equal(synced.bytes, BYTES);
    assert_int_equal(synced.flags, MS_SYNC);

    /* Memory that stays must not be written by us. */
    ignore = true;
    run(&p, 9ull << 32, 10ull << 32);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(synced.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_addresses),
        owned_test(test_written_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

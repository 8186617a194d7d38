/* SPDX-License-Identifier: MIT
 *
 * Which memory can do postcopy, and what is said of the others.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/page/uffd.h"
#include "ram/store/missing.h"
#include "ram/store/uffd.h"
#include "../../../privilege.h"

#define PAGE  4096u
#define BYTES (16u * PAGE)

struct one {
    struct gw_ram ram;
    struct gw_ram_block *b;
    uint8_t *host;
};

static void open_one(struct one *o, int prot, int flags, int fd)
{
    struct gw_ram_desc d = {.name = "pc.ram", .used_bytes = BYTES};

    d.host = o->host = mmap(NULL, BYTES, prot, flags, fd, 0);
    assert_ptr_not_equal(o->host, MAP_FAILED);
    assert_int_equal(gw_ram_init(&o->ram, PAGE, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&o->ram, &d, NULL), 0);
    o->b = o->ram.blocks[0];
}

static void close_one(struct one *o)
{
    gw_ram_close(&o->ram);
    munmap(o->host, BYTES);
}

static void refused(const struct one *o, int code, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_uffd_probe(&o->ram, &err), code);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    if (!strstr(err.text, "RAM block pc.ram") || !strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void kinds(void **state)
{
    int memfd = memfd_create("ram", MFD_CLOEXEC), other;
    char path[] = "/var/tmp/godwit-missing-XXXXXX";
    uint64_t features;
    struct gw_missing a;
    struct one o;
    int file = mkstemp(path), reads;

    assert_true(memfd >= 0 && file >= 0);
    unlink(path);
    assert_int_equal(ftruncate(memfd, BYTES), 0);
    assert_int_equal(ftruncate(file, BYTES), 0);

    open_one(&o, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0); /* it leaves nothing behind */
    assert_int_equal(gw_uffd_open_missing(&other, &features, NULL), 0);
    assert_int_equal(gw_missing_begin(&a, other, o.b, NULL, NULL), 0);
    assert_true(a.zeropage && !a.shared);
    assert_int_equal(a.step, sysconf(_SC_PAGESIZE));
    refused(&o, -EBUSY, "another userfaultfd watches it");
    gw_missing_end(&a);
    gw_missing_end(&a);
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    munmap(o.host + 4 * PAGE, PAGE);
    refused(&o, -EINVAL, "is not all mapped");
    close_one(&o);
    close(other);

    open_one(&o, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1); /* a ROM */
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    o.b->host += 64;
    refused(&o, -EINVAL, "does not begin on a page");
    o.b->host -= 64;
    o.b->flags |= GW_RAM_PERSISTENT;
    refused(&o, -ENOTSUP, "RAM block pc.ram cannot do postcopy: it is on persistent memory");
    close_one(&o);

    open_one(&o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    close_one(&o);
    open_one(&o, PROT_READ | PROT_WRITE, MAP_SHARED, memfd);
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    close_one(&o);
    open_one(&o, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd);
    refused(&o, -ENOTSUP, "it is a private mapping of a file");
    close_one(&o);
    open_one(&o, PROT_READ | PROT_WRITE, MAP_SHARED, file);
    refused(&o, -ENOTSUP, "not in files on a disk");
    /* Blocks whose pages do not come may be of any memory. */
    o.b->flags |= GW_RAM_NO_MIGRATE;
    assert_int_equal(gw_uffd_probe(&o.ram, NULL), 0);
    close_one(&o);

    snprintf(path, sizeof path, "/proc/self/fd/%d", memfd);
    reads = open(path, O_RDONLY | O_CLOEXEC);
    open_one(&o, PROT_READ, MAP_SHARED, reads);
    refused(&o, -EPERM, "opened read-only");
    close_one(&o);
    close(reads);
    close(file);
    close(memfd);
}

/* What was placed stays, whatever is placed again; what is given back can be placed. */
static void placing(void **state)
{
    static uint8_t ones[2 * PAGE];

    memset(ones, 1, sizeof ones);
    for (unsigned shared = 0; shared < 2; shared++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_missing a;
        uint64_t features;
        bool is_shared;
        struct one o;
        int uffd;

        open_one(&o, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1);
        memset(o.host, 9, BYTES);
        assert_int_equal(gw_missing_shared(o.b, &is_shared, NULL), 0);
        assert_int_equal(is_shared, shared);
        assert_int_equal(gw_uffd_open_missing(&uffd, &features, NULL), 0);
        assert_int_equal(gw_missing_begin(&a, uffd, o.b, NULL, NULL), 0);
        assert_int_equal(gw_missing_discard(o.b, is_shared, PAGE, 4 * PAGE, NULL), 0);
        assert_int_equal(gw_missing_copy(&a, PAGE, ones, 2 * PAGE, NULL), 0);
        assert_int_equal(gw_missing_copy(&a, PAGE, ones, PAGE, &err), -EEXIST);
        assert_int_equal(gw_missing_zero(&a, 0, PAGE, &err), -EEXIST);
        assert_int_equal(gw_missing_fill(&a, 0, 4 * PAGE, NULL), 0);
        assert_int_equal(gw_missing_zero(&a, 4 * PAGE, PAGE, NULL), 0);
        assert_int_equal(o.host[0], 9);
        assert_int_equal(o.host[PAGE], 1);
        assert_int_equal(o.host[3 * PAGE - 1], 1);
        assert_int_equal(o.host[3 * PAGE], 0);
        assert_int_equal(o.host[4 * PAGE], 0);
        assert_int_equal(o.host[5 * PAGE], 9);
        gw_missing_end(&a);
        close(uffd);
        close_one(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(placing),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("missing", tests, NULL, NULL);
}

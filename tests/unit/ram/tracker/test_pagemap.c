/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ram/page/pagemap_abi.h"
#include "ram/page/uffd.h"

/* In the place of the C library's: counts the scans and what they found. */
static unsigned scans, scanned;

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;
    int r;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    r = (int)syscall(SYS_ioctl, fd, request, arg);
    if (request == GW_PAGEMAP_SCAN && r >= 0) {
        scans++;
        scanned += (unsigned)r;
    }
    return r;
}

static void *map(uint64_t bytes, int flags, int fd)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void *map_memfd(uint64_t bytes)
{
    int fd = memfd_create("ram", MFD_CLOEXEC);
    void *p;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    p = map(bytes, MAP_SHARED, fd);
    close(fd);
    return p;
}

/* 2 MiB aligned inside of a larger mapping, plus `skew`. */
static uint8_t *map_thp(uint64_t bytes, uint64_t skew, int flags)
{
    uint8_t *p = map(bytes + 4 * GW_MIB, flags, -1);

    p = (uint8_t *)(((uintptr_t)p + 2 * GW_MIB - 1) & ~(2 * GW_MIB - 1));
    assert_int_equal(madvise(p, bytes + skew, MADV_HUGEPAGE), 0);
    return p + skew;
}

static void new_tracker(struct model *m)
{
    must(gw_tracker_pagemap_new(&m->ram, &m->tracker, err));
}

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static void add_kind(struct model *m, int kind)
{
    static const uint64_t pages[MODEL_BLOCKS] = {37, 4096, 9000};

    for (unsigned i = 0; i < MODEL_BLOCKS; i++) {
        void *p = NULL;

        if (kind == 0)
            p = map(pages[i] * PAGE, ANON, -1);
        else if (kind == 1)
            p = map_memfd(pages[i] * PAGE);
        else if (kind == 2)
            p = map_thp(pages[i] * PAGE, i * 3 * PAGE, ANON);
        else if (kind == 3) /* some of each */
            p = i == 0   ? map_memfd(pages[i] * PAGE)
                : i == 1 ? map(pages[i] * PAGE, ANON, -1)
                         : map_thp(pages[i] * PAGE, 0, ANON);
        else if (kind == 4) /* huge pages of shared memory, if the host gives them */
            p = map_thp(pages[i] * PAGE, i * 5 * PAGE, MAP_SHARED | MAP_ANONYMOUS);
        model_add(m, p, pages[i], 0);
    }
}

static void unmap_all(struct model *m)
{
    for (unsigned i = 0; i < MODEL_BLOCKS; i++)
        munmap(m->mem[i], m->pages[i] * PAGE);
}

static void rounds_of(int kind)
{
    struct model m;

    model_init(&m, 1000 + (uint64_t)kind);
    add_kind(&m, kind);
    new_tracker(&m);
    model_rounds(&m, MODEL_ROUNDS(kind < 2 ? 2000 : 1000), 40, 50);
    model_concurrent(&m, 10, 8, 2);
    model_close(&m);
    unmap_all(&m);
}

static void test_anonymous(void **state)
{
    rounds_of(0);
}

static void test_memfd(void **state)
{
    rounds_of(1);
}

static void test_thp(void **state)
{
    rounds_of(2);
}

static void test_mixed(void **state)
{
    rounds_of(3);
}

static void test_shared_thp(void **state)
{
    rounds_of(4);
}

/* Cleaned holes stay clean until they are touched. */
static void untouched_huge_pages(struct model *m)
{
    uint64_t found;

    must(gw_tracker_start(m->tracker, NULL, err));
    m->mem[1][0] = 1;
    for (unsigned i = 0; i < 2; i++)
        must(gw_tracker_drop(m->tracker, m->ram.blocks[i], 0, m->pages[i], &found, err));
    assert_int_equal(model_sync(m), 0);
    m->mem[1][5 * 2 * GW_MIB + 12345] = 1;
    assert_int_equal(model_sync(m), 512);
    gw_tracker_stop(m->tracker);
}

static void test_hugetlb(void **state)
{
    const char *const knob = "/proc/sys/vm/nr_hugepages";
    char old[32] = "0";
    int fd = open(knob, O_RDWR | O_CLOEXEC);
    struct model m;
    ssize_t n;

    if (fd >= 0) {
        n = pread(fd, old, sizeof old - 1, 0);
        old[n > 0 ? n : 0] = 0;
        if (atoi(old) < 64 && pwrite(fd, "64", 2, 0) < 0)
            print_message("%s cannot be set\n", knob);
    }
    for (int shared = 0; shared < 2; shared++) {
        static const uint64_t pages[] = {512, 20 * 512};
        bool refused = false;

        model_init(&m, 77);
        for (unsigned i = 0; i < 2 && !refused; i++) {
            void *p = mmap(NULL, pages[i] * PAGE, PROT_READ | PROT_WRITE,
                           (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

            refused = p == MAP_FAILED;
            if (!refused)
                model_add(&m, p, pages[i], 2 * GW_MIB);
        }
        if (refused) {
            print_message("SKIP: the host gives no 2 MiB pages (MAP_HUGETLB: %s)\n", strerror(errno));
            model_close(&m);
            if (fd >= 0)
                close(fd);
            skip();
        }
        new_tracker(&m);
        untouched_huge_pages(&m);
        model_rounds(&m, MODEL_ROUNDS(500), 3, 25);
        model_concurrent(&m, 5, 8, 1);
        model_close(&m);
        for (unsigned i = 0; i < 2; i++)
            munmap(m.mem[i], pages[i] * PAGE);
    }
    if (fd >= 0) {
        if (pwrite(fd, old, strlen(old), 0) < 0)
            print_message("%s cannot be set back\n", knob);
        close(fd);
    }
}

/* What was never touched is not dirty, its first touch is, and a read of other pages changes nothing. */
static void test_first_touch(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        struct model m;
        uint8_t *p = kind ? map_memfd(64 * GW_MIB) : map(64 * GW_MIB, ANON, -1);
        uint64_t pages = 64 * GW_MIB / PAGE, found;

        model_init(&m, 5);
        model_add(&m, p, pages, 0);
        p[5 * PAGE] = 1;
        new_tracker(&m);
        must(gw_tracker_start(m.tracker, NULL, err));
        assert_int_equal(gw_bitmap_count(m.ram.blocks[0]->dirty, pages), pages);
        must(gw_tracker_drop(m.tracker, m.ram.blocks[0], 0, pages, &found, err));
        assert_int_equal(found, pages);
        assert_int_equal(model_sync(&m), 0);
        p[5 * PAGE] = 2;
        p[7000 * PAGE + 17] = 3;
        assert_int_equal(model_sync(&m), 2);
        assert_true(gw_bitmap_test(m.ram.blocks[0]->dirty, 5));
        assert_true(gw_bitmap_test(m.ram.blocks[0]->dirty, 7000));
        assert_int_equal(model_sync(&m), 0);
        /* The kernel writes for us: seen too. */
        int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(zero, p + 9000 * PAGE - 10, 20), 20);
        close(zero);
        assert_int_equal(model_sync(&m), 2);
        /* And what cannot be seen can be told. */
        gw_tracker_mark(m.tracker, m.ram.blocks[0], 10000, 3);
        assert_int_equal(model_sync(&m), 3);
        model_close(&m);
        munmap(p, 64 * GW_MIB);
    }
}

/* A TiB of holes costs next to nothing, whatever the number of rounds: the kernel is asked a few times and tells only
 * what was written. */
static void test_sparse(void **state)
{
    uint64_t bytes = 1024 * GW_GIB, pages = bytes / PAGE, found;
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, ANON, -1, 0);
    struct gw_ram_desc d = {.name = "ram", .host = p, .used_bytes = bytes};
    struct gw_tracker *tracker;
    struct gw_ram ram;

    if (p == MAP_FAILED) {
        print_message("SKIP: no address space for 1 TiB (%s)\n", strerror(errno));
        skip();
    }
    must(gw_ram_init(&ram, PAGE, NULL, err));
    must(gw_ram_add(&ram, &d, err));
    must(gw_tracker_pagemap_new(&ram, &tracker, err));
    must(gw_tracker_start(tracker, NULL, err));
    must(gw_tracker_drop(tracker, ram.blocks[0], 0, pages, &found, err));
    for (unsigned rounds = 0; rounds < 10; rounds++) {
        for (unsigned i = 0; i < 1000; i++)
            p[i * (bytes / 1000) / PAGE * PAGE] = 1;
        scans = scanned = 0;
        must(gw_tracker_sync(tracker, &found, err));
        assert_int_equal(found, 1000);
        print_message("sync of 1 TiB with 1000 pages: %u scans, %u ranges\n", scans, scanned);
        assert_in_range(scans, 1, 100);
        assert_in_range(scanned, 1000, 10000); /* of 268 million pages */
        for (unsigned i = 0; i < 1000; i++)
            must(gw_tracker_drop(tracker, ram.blocks[0], i * (bytes / 1000) / PAGE, 1, &found, err));
    }
    gw_tracker_free(tracker);
    gw_ram_close(&ram);
    munmap(p, bytes);
}

static bool registered(const void *p)
{
    /* A second userfaultfd is refused where one watches. */
    struct uffdio_register reg = {.range = {.start = (uintptr_t)p, .len = PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
    int fd, r;

    must(gw_uffd_open_wp_async(&fd, err));
    r = ioctl(fd, UFFDIO_REGISTER, &reg);
    if (r < 0)
        assert_int_equal(errno, EBUSY);
    close(fd);
    return r < 0;
}

/* The last block cannot be watched: the first ones must not stay so. */
static void test_failed_start(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    uint8_t *a = map(100 * PAGE, ANON, -1), *b = map_memfd(100 * PAGE), *c = map(100 * PAGE, ANON, -1);
    struct model m;

    model_init(&m, 9);
    model_add(&m, a, 100, 0);
    model_add(&m, b, 100, 0);
    model_add(&m, c, 100, 0);
    munmap(c + 50 * PAGE, 50 * PAGE);
    new_tracker(&m);
    assert_true(gw_tracker_start(m.tracker, NULL, &e) < 0);
    assert_int_equal(e.blame, GW_BLAME_EMBEDDER);
    assert_non_null(strstr(e.text, "b2"));
    assert_null(m.ram.blocks[0]->dirty);
    assert_null(m.ram.blocks[2]->unclean);
    assert_false(registered(a));
    assert_false(registered(b));
    assert_ptr_equal(mmap(c, 100 * PAGE, PROT_READ | PROT_WRITE, ANON | MAP_FIXED, -1, 0), c);
    /* The same when another userfaultfd has it. */
    struct uffdio_register reg = {.range = {.start = (uintptr_t)c, .len = PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
    int fd;
    must(gw_uffd_open_wp_async(&fd, err));
    assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
    assert_int_equal(gw_tracker_start(m.tracker, NULL, &e), -EBUSY);
    assert_false(registered(a));
    assert_false(registered(b));
    close(fd);
    must(gw_tracker_start(m.tracker, NULL, err));
    assert_true(registered(a));
    /* One at a time. */
    struct gw_tracker *other;
    must(gw_tracker_explicit_new(&m.ram, &other, err));
    assert_int_equal(gw_tracker_start(other, NULL, &e), -EBUSY);
    gw_tracker_free(other);
    model_finish(&m);
    gw_tracker_stop(m.tracker);
    gw_tracker_stop(m.tracker);
    assert_false(registered(a));
    assert_false(registered(b));
    assert_false(registered(c));
    model_close(&m);
    munmap(a, 100 * PAGE);
    munmap(b, 100 * PAGE);
    munmap(c, 100 * PAGE);
}

/* Mapped anew under our feet: told, not lost. */
static void test_remapped(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    uint8_t *a = map(100 * PAGE, ANON, -1);
    uint64_t found;
    struct model m;

    model_init(&m, 9);
    model_add(&m, a, 100, 0);
    new_tracker(&m);
    must(gw_tracker_start(m.tracker, NULL, err));
    assert_ptr_equal(mmap(a, 10 * PAGE, PROT_READ | PROT_WRITE, ANON | MAP_FIXED, -1, 0), a);
    assert_int_equal(gw_tracker_sync(m.tracker, &found, &e), -EPERM);
    assert_int_equal(e.blame, GW_BLAME_EMBEDDER);
    model_close(&m);
    munmap(a, 100 * PAGE);
}

/* Read-only and left-out blocks are not watched; discarded pages never dirty. */
static void test_left_alone(void **state)
{
    uint8_t *a = map(100 * PAGE, ANON, -1), *b = map(100 * PAGE, ANON, -1), *c = map(100 * PAGE, ANON, -1);
    uint64_t found = 99;
    struct model m;

    model_init(&m, 9);
    model_add(&m, a, 100, 0);
    model_add(&m, b, 100, 0);
    model_add(&m, c, 100, 0);
    m.ram.blocks[1]->flags |= GW_RAM_READONLY;
    m.ram.blocks[2]->flags |= GW_RAM_NO_MIGRATE;
    m.ram.blocks[0]->discarded = gw_bitmap_new(100);
    gw_bitmap_set_range(m.ram.blocks[0]->discarded, 10, 20);
    new_tracker(&m);
    must(gw_tracker_start(m.tracker, NULL, err));
    assert_true(registered(a));
    assert_false(registered(b));
    assert_false(registered(c));
    assert_int_equal(gw_bitmap_count(m.ram.blocks[0]->dirty, 100), 80);
    assert_int_equal(gw_bitmap_count(m.ram.blocks[1]->dirty, 100), 100);
    assert_null(m.ram.blocks[2]->dirty);
    must(gw_tracker_clean(m.tracker, m.ram.blocks[1], 7, &found, err));
    assert_int_equal(found, 0);
    must(gw_tracker_drop(m.tracker, m.ram.blocks[0], 0, 100, &found, err));
    assert_int_equal(found, 80);
    memset(a, 1, 100 * PAGE);
    must(gw_tracker_sync(m.tracker, &found, err));
    assert_int_equal(found, 80);
    assert_false(gw_bitmap_test(m.ram.blocks[0]->dirty, 10));
    model_close(&m);
    munmap(a, 100 * PAGE);
    munmap(b, 100 * PAGE);
    munmap(c, 100 * PAGE);
}

static pid_t parent;

/* An assertion that fails in a child ends the child. */
static int end_child(void **state)
{
    if (parent && getpid() != parent)
        _exit(9);
    return 0;
}

/* Without any privilege, in a process of its own. */
static void test_unprivileged(void **state)
{
    int status;
    pid_t pid;

    if (getuid()) {
        print_message("SKIP: runs unprivileged anyway\n");
        skip();
    }
    parent = getpid();
    pid = fork();
    if (pid == 0) {
        struct model m;
        uint8_t *a;
        uint64_t found = 0;

        if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || prctl(PR_SET_DUMPABLE, 1))
            _exit(2);
        a = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
        model_init(&m, 1);
        model_add(&m, a, 100, 0);
        if (gw_tracker_pagemap_new(&m.ram, &m.tracker, NULL) || gw_tracker_start(m.tracker, NULL, NULL) ||
            gw_tracker_drop(m.tracker, m.ram.blocks[0], 0, 100, &found, NULL))
            _exit(3);
        int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        if (read(zero, a, PAGE) != PAGE) /* a fault inside of the kernel */
            _exit(4);
        a[50 * PAGE] = 1;
        if (gw_tracker_sync(m.tracker, &found, NULL) || found != 2)
            _exit(5);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_touch),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_failed_start),
        cmocka_unit_test(test_remapped),
        cmocka_unit_test_teardown(test_unprivileged, end_child),
        cmocka_unit_test_teardown(test_anonymous, model_clean_up),
        cmocka_unit_test_teardown(test_memfd, model_clean_up),
        cmocka_unit_test_teardown(test_thp, model_clean_up),
        cmocka_unit_test_teardown(test_mixed, model_clean_up),
        cmocka_unit_test_teardown(test_shared_thp, model_clean_up),
        cmocka_unit_test_teardown(test_hugetlb, model_clean_up),
        cmocka_unit_test(test_sparse),
    };
    struct gw_error e = GW_ERROR_INIT;
    struct gw_ram ram = {0};
    struct gw_tracker *t;
    int r = gw_tracker_pagemap_new(&ram, &t, &e);

    if (r == -ENOTSUP || r == -EPERM) {
        printf("SKIP: pagemap does not work here: %s\n", e.text);
        return 77;
    }
    if (r == 0)
        gw_tracker_free(t);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ram/source/moment.h"
#include "ram/source/protect.h"
#include "ram/page/uffd.h"

#define PAGE 4096u
#define MIB  (1ull << 20)

enum { ANON, SHARED, HUGE, ROM, BLOCKS };

static const uint64_t bytes_of[BLOCKS] = {3 * MIB + 5 * PAGE, 2 * MIB, 6 * MIB, 40 * PAGE};

struct rig {
    struct gw_ram ram;
    struct gw_source *source;
    uint8_t *mem[BLOCKS], *at_moment[BLOCKS];
    bool came[BLOCKS][6 * MIB / PAGE];
    struct gw_batch batch;
};

static uint64_t pages_of(unsigned i)
{
    return bytes_of[i] / PAGE;
}

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s\n", r, err->text);
    assert_true(r >= 0);
}

/* Aligned to 2 MiB. */
static uint8_t *map(uint64_t bytes, int flags)
{
    uint8_t *p = mmap(NULL, bytes + 2 * MIB, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    return (uint8_t *)(((uintptr_t)p + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
}

static __attribute__((noinline, no_sanitize("thread"))) void write_byte(volatile uint8_t *at, uint8_t value)
{
    *at = value;
}

/* Half of it was never touched. The third block says that it has pages of 2 MiB, which are protected as one. */
static struct rig *open_rig(void)
{
    static const char *const names[BLOCKS] = {"anon", "shared", "huge", "rom"};
    struct rig *t = calloc(1, sizeof *t);
    struct gw_error err = GW_ERROR_INIT;
    int r, uffd;

    assert_non_null(t);
    r = gw_uffd_open_wp(&uffd, &err);
    if (r < 0) {
        print_message("SKIP: %s\n", err.text);
        free(t);
        skip();
    }
    close(uffd);
    must(gw_ram_init(&t->ram, PAGE, NULL, &err), &err);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct gw_ram_desc d = {.name = names[i],
                                .used_bytes = bytes_of[i],
                                .max_bytes = i == ANON ? bytes_of[i] + MIB : 0,
                                .page_bytes = i == HUGE ? 2 * MIB : PAGE,
                                .gpa = (uint64_t)i << 32,
                                .flags = (i == SHARED ? GW_RAM_SHARED : 0u) | (i == ROM ? GW_RAM_READONLY : 0u)};

        d.host = t->mem[i] = map(bytes_of[i] + MIB, i == SHARED ? MAP_SHARED : MAP_PRIVATE);
        for (uint64_t p = 0; p < pages_of(i) / 2; p++)
            write_byte(t->mem[i] + p * PAGE + p % PAGE, (uint8_t)(p + 1));
        t->at_moment[i] = malloc(bytes_of[i]);
        must(gw_ram_add(&t->ram, &d, &err), &err);
    }
    assert_int_equal(mprotect(t->mem[ROM], bytes_of[ROM], PROT_READ), 0);
    must(gw_source_protect_new(&t->ram, NULL, &t->source, &err), &err);
    return t;
}

static void begin(struct rig *t)
{
    static const bool goes[BLOCKS] = {true, true, true, true};
    struct gw_error err = GW_ERROR_INIT;

    must(t->source->begin(t->source, goes, &err), &err);
    assert_int_equal(t->source->pending(t->source), pages_of(ANON) + pages_of(SHARED) + pages_of(HUGE) + pages_of(ROM));
}

static uint64_t moment(struct rig *t)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t due;

    for (unsigned i = 0; i < BLOCKS; i++)
        memcpy(t->at_moment[i], t->mem[i], bytes_of[i]);
    must(t->source->sync(t->source, &due, &err), &err);
    assert_int_equal(t->source->pending(t->source), due);
    return due;
}

static void close_rig(struct rig *t)
{
    t->source->end(t->source);
    assert_null(t->source->free(t->source));
    gw_ram_close(&t->ram);
    for (unsigned i = 0; i < BLOCKS; i++) {
        munmap(t->mem[i], bytes_of[i] + MIB);
        free(t->at_moment[i]);
    }
    free(t);
}

/* Write-protected by userfaultfd, as the kernel has it. */
static bool is_protected(const struct rig *t, unsigned block, uint64_t page)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(fd, &entry, 8, (off_t)(((uintptr_t)t->mem[block] / PAGE + page) * 8)), 8);
    close(fd);
    return entry >> 57 & 1;
}

static unsigned count_protected(const struct rig *t, unsigned block, uint64_t first, uint64_t last)
{
    unsigned n = 0;

    for (; first < last; first++)
        n += is_protected(t, block, first);
    return n;
}

/* Only what is due, once, of one block, ascending, and with the contents of the moment. */
static unsigned take(struct rig *t, unsigned max)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_batch *b = &t->batch;

    must(t->source->next(t->source, b, max, &err), &err);
    assert_true(b->count <= max);
    for (unsigned i = 0; i < b->count; i++) {
        unsigned k = b->block->index;

        assert_true(!i || b->page[i] > b->page[i - 1]);
        assert_true(b->page[i] < pages_of(k));
        assert_false(t->came[k][b->page[i]]);
        t->came[k][b->page[i]] = true;
        assert_int_equal(b->form[i], GW_FORM_OPEN);
        assert_memory_equal(b->body[i].data, t->at_moment[k] + b->page[i] * PAGE, PAGE);
        if (k != ROM)
            assert_true(is_protected(t, k, b->page[i]));
    }
    return b->count;
}

static bool has(const struct gw_batch *b, unsigned block, uint64_t page)
{
    for (unsigned i = 0; i < b->count; i++)
        if (b->block->index == block && b->page[i] == page)
            return true;
    return false;
}

/* All that is left; returns how many pages. */
static unsigned drain(struct rig *t, unsigned max)
{
    unsigned n = 0;

    while (take(t, max)) {
        n += t->batch.count;
        t->source->sent(t->source, &t->batch);
    }
    return n;
}

struct writing {
    pthread_t thread;
    volatile uint8_t *at;
};

static void *write_main(void *opaque)
{
    struct writing *w = opaque;

    write_byte(w->at, 0xee);
    return NULL;
}

/* A guest that writes to this page; the kernel has told of it when this returns. */
static void write_to(struct rig *t, struct writing *w, unsigned block, uint64_t page)
{
    struct gw_error err = GW_ERROR_INIT;

    w->at = t->mem[block] + page * PAGE;
    assert_int_equal(pthread_create(&w->thread, NULL, write_main, w), 0);
    while (t->source->wait(t->source, 1000000000, &err) == 0)
        ;
}

static void test_all(void **state)
{
    for (unsigned max = 1; max <= 700; max = max * 5 + 2) {
        struct rig *t = open_rig();
        uint64_t due;

        begin(t);
        due = moment(t);
        for (unsigned i = 0; i < ROM; i++)
            assert_int_equal(count_protected(t, i, 0, pages_of(i)), pages_of(i));
        /* Saved, and not watched; nor what a block may grow to. */
        assert_int_equal(count_protected(t, ROM, 0, pages_of(ROM)), 0);
        write_byte(t->mem[ANON] + bytes_of[ANON], 1);
        assert_int_equal(drain(t, max), due);
        assert_int_equal(t->source->pending(t->source), 0);
        for (unsigned i = 0; i < BLOCKS; i++)
            assert_int_equal(count_protected(t, i, 0, pages_of(i)), 0);
        close_rig(t);
    }
}

/* Who writes is served first, and waits until his page is back: that of one that was never touched, too. */
static void test_faults_first(void **state)
{
    static const struct {
        unsigned block;
        uint64_t page;
    } at[] = {{ANON, 300}, {ANON, 700}, {SHARED, 33}, {SHARED, 511}, {ANON, 772}};
    struct rig *t = open_rig();
    struct writing w;

    begin(t);
    moment(t);
    assert_int_equal(take(t, 8), 8);
    assert_true(has(&t->batch, ANON, 0));
    assert_false(t->batch.urgent);
    t->source->sent(t->source, &t->batch);
    for (unsigned i = 0; i < GW_ARRAY_LEN(at); i++) {
        write_to(t, &w, at[i].block, at[i].page);
        assert_true(take(t, 512) <= GW_MOMENT_AROUND);
        assert_true(t->batch.urgent);
        assert_true(has(&t->batch, at[i].block, at[i].page));
        assert_true(is_protected(t, at[i].block, at[i].page));
        t->source->sent(t->source, &t->batch);
        pthread_join(w.thread, NULL);
        assert_int_equal(t->mem[at[i].block][at[i].page * PAGE], 0xee);
    }
    assert_int_equal(take(t, 8), 8);
    assert_true(has(&t->batch, ANON, 8));
    t->source->sent(t->source, &t->batch);
    drain(t, 512);
    close_rig(t);
}

/* A page that is on its way already does not come twice; whatever comes next is in a hurry. */
static void test_on_its_way(void **state)
{
    struct rig *t = open_rig();
    struct gw_batch first;
    struct writing w;

    begin(t);
    moment(t);
    assert_int_equal(take(t, 16), 16);
    first = t->batch;
    write_to(t, &w, ANON, 5);
    assert_int_equal(take(t, 16), 16);
    assert_true(t->batch.urgent);
    assert_true(has(&t->batch, ANON, 16));
    assert_true(is_protected(t, ANON, 5));
    t->source->sent(t->source, &first);
    pthread_join(w.thread, NULL);
    assert_true(is_protected(t, ANON, 16));
    t->source->sent(t->source, &t->batch);
    assert_false(is_protected(t, ANON, 16));
    drain(t, 512);
    close_rig(t);
}

/* A large page goes in pieces if it has to, and is open when all of it is back. */
static void test_large_pages(void **state)
{
    struct rig *t = open_rig();
    struct gw_batch batch[6];
    struct writing w;

    begin(t);
    moment(t);
    write_to(t, &w, HUGE, 512 + 77);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(take(t, 100), i == 5 ? 12 : 100);
        assert_true(t->batch.urgent);
        assert_true(has(&t->batch, HUGE, 512 + 100 * i));
        batch[i] = t->batch;
    }
    for (unsigned i = 6; i-- > 0;) {
        assert_int_equal(count_protected(t, HUGE, 512, 1024), 512);
        t->source->sent(t->source, &batch[i]);
    }
    pthread_join(w.thread, NULL);
    assert_int_equal(count_protected(t, HUGE, 512, 1024), 0);
    assert_int_equal(count_protected(t, HUGE, 0, 512), 512);
    drain(t, 512);
    close_rig(t);
}

/* Between begin and the moment writes pass, and what they made is what is saved. */
static void test_ahead(void **state)
{
    struct rig *t = open_rig();
    uint64_t due;

    begin(t);
    for (uint64_t p = 0; p < pages_of(ANON); p += 3)
        write_byte(t->mem[ANON] + p * PAGE, 0x77);
    for (uint64_t p = 1; p < pages_of(HUGE); p += 100)
        write_byte(t->mem[HUGE] + p * PAGE, 0x78);
    due = moment(t);
    for (unsigned i = 0; i < ROM; i++)
        assert_int_equal(count_protected(t, i, 0, pages_of(i)), pages_of(i));
    assert_int_equal(drain(t, 512), due);
    close_rig(t);
}

/* Discarded pages neither go nor are they protected, as it is at the moment. */
static void test_discarded(void **state)
{
    struct rig *t = open_rig();
    struct gw_ram_block *b = t->ram.blocks[ANON];
    uint64_t all = pages_of(ANON) + pages_of(SHARED) + pages_of(HUGE) + pages_of(ROM);
    struct gw_error err = GW_ERROR_INIT;
    bool goes[BLOCKS] = {true, true, true, true};

    b->discarded = gw_bitmap_new(b->pages);
    gw_bitmap_set_range(b->discarded, 16, 32);
    must(t->source->begin(t->source, goes, &err), &err);
    assert_int_equal(t->source->pending(t->source), all - 32);
    gw_bitmap_clear_range(b->discarded, 16, 16);
    gw_bitmap_set_range(b->discarded, 600, 20);
    assert_int_equal(moment(t), all - 36);
    assert_int_equal(count_protected(t, ANON, 0, 32), 32);
    assert_int_equal(count_protected(t, ANON, 32, 48), 0);
    assert_int_equal(count_protected(t, ANON, 48, 600), 552);
    assert_int_equal(count_protected(t, ANON, 600, 620), 0);
    assert_int_equal(drain(t, 512), all - 36);
    for (uint64_t p = 0; p < pages_of(ANON); p++)
        assert_int_equal(t->came[ANON][p], !gw_bitmap_test(b->discarded, p));
    close_rig(t);
}

/* Broken off in any state: who waits goes on, and it can begin again. */
static void test_end(void **state)
{
    struct rig *t = open_rig();
    struct writing w[3];
    uint64_t due;

    begin(t);
    t->source->end(t->source);
    begin(t);
    moment(t);
    for (unsigned i = 0; i < 3; i++)
        write_to(t, &w[i], i, 3);
    assert_true(take(t, 512) > 0);
    t->source->end(t->source);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(w[i].thread, NULL);
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_int_equal(count_protected(t, i, 0, pages_of(i)), 0);
    memset(t->came, 0, sizeof t->came);
    begin(t);
    due = moment(t);
    assert_int_equal(drain(t, 512), due);
    close_rig(t);
}

/* The error says which block, and nothing stays. */
static void test_refused(void **state)
{
    struct rig *t = open_rig();
    bool goes[BLOCKS] = {true, true, true, true};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_watch watch;
    int uffd;

    must(gw_watch_probe(&t->ram, &err), &err);
    must(gw_uffd_open_wp(&uffd, &err), &err);
    must(gw_watch_begin(uffd, t->ram.blocks[SHARED], &watch, &err), &err);
    assert_int_equal(gw_watch_probe(&t->ram, &err), -EBUSY);
    assert_non_null(strstr(err.text, "RAM block shared"));
    assert_non_null(strstr(err.text, "dirty rate"));
    assert_int_equal(t->source->begin(t->source, goes, &err), -EBUSY);
    gw_watch_end(uffd, &watch);
    close(uffd);
    t->ram.blocks[HUGE]->host += PAGE;
    assert_int_equal(gw_watch_probe(&t->ram, &err), -EINVAL);
    assert_non_null(strstr(err.text, "RAM block huge"));
    t->ram.blocks[HUGE]->host -= PAGE;
    must(gw_watch_probe(&t->ram, &err), &err);
    begin(t);
    close_rig(t);
}

static int limit_of_kernel(void)
{
    FILE *f = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
    int n = -1;

    if (f && fscanf(f, "%d", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

/* Without the privilege it says what to do. */
static void test_unprivileged(void **state)
{
    struct rig *t = open_rig();
    int status;
    pid_t pid;

    if (getuid() || limit_of_kernel()) {
        print_message("SKIP: only root can give the privilege up, and only where the kernel asks for it\n");
        close_rig(t);
        skip();
    }
    pid = fork();
    if (!pid) {
        struct gw_error err = GW_ERROR_INIT;

        if (setresuid(65534, 65534, 65534))
            _exit(2);
        _exit(gw_watch_probe(&t->ram, &err) == -EPERM && strstr(err.text, "CAP_SYS_PTRACE") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close_rig(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),        cmocka_unit_test(test_faults_first), cmocka_unit_test(test_on_its_way),
        cmocka_unit_test(test_large_pages), cmocka_unit_test(test_ahead),       cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_end),        cmocka_unit_test(test_refused),      cmocka_unit_test(test_unprivileged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

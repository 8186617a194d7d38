/* SPDX-License-Identifier: MIT
 *
 * Disks: the guest's own workload, what a bad guest may ask of the device, and how disks move.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "godwit/godwit.h"

struct file {
    char path[64];
};

static struct file file_make(uint64_t bytes)
{
    struct file f;
    int fd;

    snprintf(f.path, sizeof(f.path), "/tmp/gw-disk-XXXXXX");
    fd = mkstemp(f.path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
    return f;
}

static struct gw_machine_config with_disks(enum gw_machine_accel accel, const struct file *file, unsigned count)
{
    struct gw_machine_config c = box_config("disk,set=8M", accel);

    c.disk_count = count;
    for (unsigned i = 0; i < count; i++)
        c.disk[i].path = file[i].path;
    c.cpus = 2;
    return c;
}

static void await_passes(struct gw_machine *m, uint64_t more)
{
    for (unsigned i = 0; i < m->cpus; i++) {
        uint64_t until = box_mail(m, i).verify_passes + more;
        box_verified(m, i, until);
    }
}

static void works(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        struct file file[2] = {file_make(5 * BOX_MIB), file_make(9 * BOX_MIB + 512)};
        struct gw_machine_config c = with_disks(accels[a], file, 2);
        struct gw_machine *m = box_new(&c);
        uint64_t blocks = 0, wrong = 0;

        box_start(m);
        await_passes(m, 1);
        for (unsigned i = 0; i < 50; i++) {
            box_stop(m);
            box_start(m);
            box_runs_clean(m, 2);
        }
        box_stop(m);
        print_message("%s: %llu blocks written, %llu verified in %llu ms\n", gw_machine_accel_name(m),
                      (unsigned long long)box_mail(m, 0).pages_written,
                      (unsigned long long)box_mail(m, 0).pages_verified,
                      (unsigned long long)box_mail(m, 0).virtual_ns / 1000000);
        /* What the table says is what the files hold, save the requests that each vCPU is in the middle of. */
        const struct gw_guest_params *p = gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE);
        for (uint32_t cpu = 0; cpu < p->cpus; cpu++) {
            const uint64_t *entry = gw_machine_memory_at(m, gw_guest_slice_of(p, 0, cpu).table_gpa, 8);
            for (uint32_t d = 0; d < p->disks; d++) {
                int fd = open(file[d].path, O_RDONLY);
                for (uint64_t b = gw_guest_disk_first(p, d, cpu); b < gw_guest_disk_first(p, d, cpu + 1);
                     b++, entry++) {
                    uint64_t word[GW_GUEST_PAGE_WORDS], where = GW_GUEST_WHERE_DISK(d, b);
                    bool differs = false;
                    assert_true(*entry == gw_guest_entry(p->seed, where, (uint32_t)*entry));
                    assert_int_equal(pread(fd, word, sizeof(word), (off_t)(b * GW_GUEST_PAGE)), (ssize_t)sizeof(word));
                    for (unsigned i = 0; i < GW_GUEST_PAGE_WORDS; i++)
                        differs |= word[i] != gw_guest_word(p->workload, p->seed, where, (uint32_t)*entry, i);
                    blocks += (uint32_t)*entry != 0;
                    wrong += differs;
                }
                close(fd);
            }
        }
        assert_true(blocks > 100);
        assert_true(wrong <= 8u * c.cpus);
        box_free(m);
        unlink(file[0].path);
        unlink(file[1].path);
    }
}

static void corruption(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        struct file file = file_make(2 * BOX_MIB);
        struct gw_machine_config c = with_disks(accels[a], &file, 1);
        struct gw_machine *m = box_new(&c);
        struct gw_error err = GW_ERROR_INIT;
        const struct gw_guest_params *p = gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE);
        uint64_t *table = gw_machine_memory_at(m, gw_guest_slice_of(p, 0, 1).table_gpa, 8), block = 0;
        char text[2000], where[80];
        uint8_t byte;
        int status = -1;

        box_start(m);
        await_passes(m, 1);
        box_stop(m);
        while (!(uint32_t)table[block])
            block++;
        block += gw_guest_disk_first(p, 0, 1);
        int fd = open(file.path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, (off_t)(block * GW_GUEST_PAGE + 99)), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)(block * GW_GUEST_PAGE + 99)), 1);
        close(fd);
        box_start(m);
        assert_int_equal(gw_machine_wait(m, 120 * BOX_S, &status, &err), 0);
        gw_machine_serial_tail(m, text, sizeof(text));
        assert_int_equal(status, GW_GUEST_EXIT_CORRUPT);
        snprintf(where, sizeof(where), "corrupt: data at disk 0 byte 0x%016llx",
                 (unsigned long long)(block * GW_GUEST_PAGE + 99));
        if (!strstr(text, where))
            print_error("%s is not in %s", where, text);
        assert_non_null(strstr(text, where));
        box_free(m);
        unlink(file.path);
    }
}

/* A disk that keeps its data in memory and fails when told to: another kind behind the same seam. */
struct memory_disk {
    uint8_t data[256 * 512];
    unsigned reads, writes, flushes, closes;
    bool fails;
};

static int memory_read(void *disk, void *buf, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct memory_disk *d = disk;
    d->reads++;
    if (d->fails)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "told to fail");
    memcpy(buf, d->data + offset, bytes);
    return 0;
}

static int memory_write(void *disk, const void *buf, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct memory_disk *d = disk;
    d->writes++;
    if (d->fails)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "told to fail");
    memcpy(d->data + offset, buf, bytes);
    return 0;
}

static int memory_flush(void *disk, struct gw_error *err)
{
    struct memory_disk *d = disk;
    d->flushes++;
    return d->fails ? gw_fail(err, -EIO, GW_BLAME_LOCAL, "told to fail") : 0;
}

static void memory_close(void *disk)
{
    struct memory_disk *d = disk;
    d->closes++;
}

static const struct gw_disk_ops memory_ops = {GW_SIZED(struct gw_disk_ops), .read = memory_read, .write = memory_write, .flush = memory_flush};

#define QUEUE                                                                                                          \
    0x600000ull /* descriptors, then avail at + 0x400, used at + 0x800, head at + 0xc00, status at + 0xd00             \
                 */
#define DATA 0x601000ull

struct test_desc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

static void driver_start(struct gw_virtio_blk *b)
{
    gw_virtio_blk_write(b, 0x70, 4, 0);
    gw_virtio_blk_write(b, 0x70, 4, 3);
    gw_virtio_blk_write(b, 0x24, 4, 1);
    gw_virtio_blk_write(b, 0x20, 4, 1);
    gw_virtio_blk_write(b, 0x70, 4, 11);
    gw_virtio_blk_write(b, 0x30, 4, 0);
    gw_virtio_blk_write(b, 0x38, 4, 8);
    gw_virtio_blk_write(b, 0x80, 4, (uint32_t)QUEUE);
    gw_virtio_blk_write(b, 0x90, 4, (uint32_t)QUEUE + 0x400);
    gw_virtio_blk_write(b, 0xa0, 4, (uint32_t)QUEUE + 0x800);
    gw_virtio_blk_write(b, 0x44, 4, 1);
    gw_virtio_blk_write(b, 0x70, 4, 15);
}

/* One request of three descriptors. Returns the status byte, or 0x100 when the device broke instead. */
static unsigned ask(struct gw_machine *m, uint32_t type, uint64_t sector, uint32_t bytes,
                    void (*spoil)(struct test_desc *d))
{
    struct gw_virtio_blk *b = m->disk[0];
    struct test_desc *d = gw_machine_memory_at(m, QUEUE, 64);
    uint16_t *avail = gw_machine_memory_at(m, QUEUE + 0x400, 64), *used = gw_machine_memory_at(m, QUEUE + 0x800, 64);
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } *head = gw_machine_memory_at(m, QUEUE + 0xc00, 16);
    uint8_t *status = gw_machine_memory_at(m, QUEUE + 0xd00, 1);
    uint16_t before = used[1];

    head->type = type;
    head->sector = sector;
    *status = 0xff;
    d[0] = (struct test_desc){QUEUE + 0xc00, 16, 1, 1};
    d[1] = (struct test_desc){DATA, bytes, type == 1 ? 1 : 3, 2};
    d[2] = (struct test_desc){QUEUE + 0xd00, 1, 2, 0};
    if (spoil)
        spoil(d);
    avail[2 + avail[1] % 8] = 0;
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + 1), __ATOMIC_RELEASE);
    gw_virtio_blk_write(b, 0x50, 4, 0);
    for (;;) {
        if (__atomic_load_n(&used[1], __ATOMIC_ACQUIRE) != before) {
            /* The disk itself is looked at as well. */
            pthread_mutex_lock(&b->lock);
            while (b->busy)
                pthread_cond_wait(&b->changed, &b->lock);
            pthread_mutex_unlock(&b->lock);
            return *status;
        }
        if (gw_virtio_blk_read(b, 0x70, 4) & GW_VIRTIO_NEEDS_RESET)
            return 0x100;
        box_sleep_ms(1);
    }
}

static void no_status(struct test_desc *d)
{
    d[1].flags = 0;
}
static void loop(struct test_desc *d)
{
    d[2].flags |= 1;
    d[2].next = 0;
}
static void out_of_table(struct test_desc *d)
{
    d[1].next = 8;
}
static void out_of_memory(struct test_desc *d)
{
    d[1].gpa = 15 * BOX_MIB;
    d[1].bytes = 2 * BOX_MIB;
}
static void nowhere(struct test_desc *d)
{
    d[0].gpa = ~0ull - 4;
}
static void short_head(struct test_desc *d)
{
    d[0].bytes = 8;
}
static void readonly_status(struct test_desc *d)
{
    d[2].flags = 0;
}

static void device(void **state)
{
    static void (*const spoils[])(struct test_desc *) = {no_status, loop,       out_of_table,   out_of_memory,
                                                         nowhere,   short_head, readonly_status};
    struct memory_disk *disk = calloc(1, sizeof(*disk));
    struct gw_machine_config c = box_config("idle,set=64K", GW_MACHINE_ACCEL_AUTO);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data;

    c.disk_count = 1;
    c.disk[0].take = (struct gw_machine_disk){.ops = &memory_ops, .opaque = disk, .close = memory_close, .bytes = sizeof(disk->data)};
    c.disk[0].id = "the-disk";
    struct gw_machine *m = box_new(&c);
    struct gw_virtio_blk *b = m->disk[0];
    data = gw_machine_memory_at(m, DATA, 65536);
    box_start(m);

    assert_int_equal(gw_virtio_blk_read(b, 0, 4), 0x74726976);
    assert_int_equal(gw_virtio_blk_read(b, 0x100, 4), 256);
    assert_int_equal(gw_virtio_blk_read(b, 0x122, 2), 1);
    assert_int_equal(gw_virtio_blk_read(b, 0x1000 - 4, 4), 0);
    /* Features that were not offered are not accepted. */
    gw_virtio_blk_write(b, 0x20, 4, 1u << 30);
    gw_virtio_blk_write(b, 0x70, 4, 11);
    assert_int_equal(gw_virtio_blk_read(b, 0x70, 4), 3);

    driver_start(b);
    memset(data, 0x5a, 65536);
    assert_int_equal(ask(m, 1, 2, 1024, NULL), 0);
    assert_true(disk->data[1024] == 0x5a && disk->data[2047] == 0x5a && disk->data[2048] == 0 && disk->data[1023] == 0);
    memset(data, 0, 65536);
    assert_int_equal(ask(m, 0, 0, 4096, NULL), 0);
    assert_true(data[1023] == 0 && data[1024] == 0x5a && data[2047] == 0x5a && data[2048] == 0);
    assert_int_equal(ask(m, 4, 0, 512, NULL), 0);
    assert_int_equal(disk->flushes, 1);
    assert_int_equal(ask(m, 8, 0, 512, NULL), 0);
    assert_string_equal((char *)data, "the-disk");
    assert_int_equal(ask(m, 77, 0, 512, NULL), 2);
    /* Beyond the end, not whole sectors, wrap-around. */
    assert_int_equal(ask(m, 0, 255, 1024, NULL), 1);
    assert_int_equal(ask(m, 1, 256, 512, NULL), 1);
    assert_int_equal(ask(m, 1, ~0ull, 512, NULL), 1);
    assert_int_equal(ask(m, 1, 0x80000000000000ull, 512, NULL), 1);
    assert_int_equal(ask(m, 0, 0, 100, NULL), 1);
    disk->fails = true;
    assert_int_equal(ask(m, 0, 0, 512, NULL), 1);
    assert_int_equal(ask(m, 1, 0, 512, NULL), 1);
    assert_int_equal(ask(m, 4, 0, 512, NULL), 1);
    disk->fails = false;
    /* What makes no sense breaks the device until it is reset. */
    for (unsigned i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        assert_int_equal(ask(m, 0, 0, 512, spoils[i]), 0x100);
        memset(gw_machine_memory_at(m, QUEUE, 0x1000), 0, 0x1000);
        driver_start(b);
        assert_int_equal(ask(m, 0, 0, 512, NULL), 0);
    }
    /* Written, so flushed when the machine stops; a flush that fails is a stop that failed. */
    unsigned flushes = disk->flushes;
    assert_int_equal(ask(m, 1, 0, 512, NULL), 0);
    box_stop(m);
    assert_int_equal(disk->flushes, flushes + 1);
    box_start(m);
    assert_int_equal(ask(m, 1, 0, 512, NULL), 0);
    disk->fails = true;
    assert_int_equal(gw_machine_stop(m, &err), -EIO);
    disk->fails = false;
    box_stop(m);
    box_free(m);
    assert_int_equal(disk->closes, 1);

    /* The machine takes the disk whatever happens. */
    c.cpus = 99;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    assert_int_equal(disk->closes, 2);
    free(disk);
}

static void refusals(void **state)
{
    struct gw_machine_config c = box_config("disk", GW_MACHINE_ACCEL_AUTO);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_machine *m;
    struct file file = file_make(BOX_MIB);

    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL); /* no disk */
    c.disk_count = 1;
    c.disk[0].path = "/nonexistent/disk";
    assert_int_equal(gw_machine_new(&c, &m, &err), -ENOENT);
    c.disk[0].path = file.path;
    c.disk[0].options.read_only = true;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    unlink(file.path);
}

/* Both ends have the same file, as on shared storage; the guest judges whether one of them wrote out of turn. */
static void migrated(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);
    struct file file = file_make(8 * BOX_MIB);
    struct gw_machine_config c = with_disks(accels[0], &file, 1);
    struct gw_machine *m = box_new(&c);
    struct gw_error err = GW_ERROR_INIT;

    box_must(gw_machine_attach(m, &err), &err);
    box_start(m);
    for (unsigned hop = 1; hop <= 6; hop++) {
        struct gw_stats stats;

        box_runs_clean(m, 100);
        c.incoming = true;
        c.accel = accels[hop % n];
        struct gw_machine *next = box_new(&c);
        box_must(gw_machine_attach(next, &err), &err);
        box_migrate(m, next, &stats);
        box_free(m);
        m = next;
        await_passes(m, 1);
    }
    await_passes(m, 1);
    box_free(m);
    unlink(file.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(works), box_test(corruption), box_test(device), box_test(refusals), box_test(migrated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

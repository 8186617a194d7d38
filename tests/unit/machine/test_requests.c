/* SPDX-License-Identifier: MIT
 *
 * Many requests of one disk at once: how many are under way, what a stop leaves of them, and what is said of those that fail.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "box.h"
#include "godwit/godwit.h"
#include "machine/virtio_request.h"

#define QUEUE  0x600000ull /* descriptors, then avail at + 0x400, used at + 0x800, heads at + 0xc00, results at + 0xe00 */
#define DATA   0x610000ull
#define CHAINS 20u /* more than may be under way */
#define PIECE  8192u

enum { IN = 0, OUT = 1, FLUSH = 4 };

static struct {
    struct gw_machine *m;
    int fd;
    char path[32];
    unsigned told;
    char text[GW_ERROR_TEXT];
    pthread_mutex_t lock;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint8_t *at(uint64_t gpa)
{
    return gw_machine_memory_at(t.m, gpa, 1);
}

static void failed(void *opaque, const struct gw_error *err)
{
    pthread_mutex_lock(&t.lock);
    if (!t.told++)
        snprintf(t.text, sizeof t.text, "%s", err->text);
    pthread_mutex_unlock(&t.lock);
}

static int teardown(void **state)
{
    int r = box_clean_up(state);

    close(t.fd);
    t.told = 0;
    return r;
}

/* A machine whose guest leaves its disk, a file in memory, alone; and a driver of ours in front of that. */
static void make(void)
{
    static const struct {
        unsigned reg;
        uint64_t value;
    } driver[] = {{0x70, 0}, {0x70, 3}, {0x24, 1}, {0x20, 1}, {0x70, 11}, {0x30, 0}, {0x38, 64}, {0x80, QUEUE},
                  {0x90, QUEUE + 0x400}, {0xa0, QUEUE + 0x800}, {0x44, 1}, {0x70, 15}};
    struct gw_machine_config c = box_config("idle,set=64K", GW_MACHINE_ACCEL_AUTO);

    t.fd = memfd_create("disk", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_true(t.fd >= 0);
    assert_int_equal(ftruncate(t.fd, CHAINS * PIECE), 0);
    snprintf(t.path, sizeof t.path, "/proc/self/fd/%d", t.fd);
    c.disk_count = 1;
    c.disk[0].path = t.path;
    c.disk[0].options.format = "raw";
    c.disk[0].options.unlocked = true;
    c.disk[0].id = "the-disk";
    c.disk_failed = failed;
    t.m = box_new(&c);
    for (unsigned i = 0; i < sizeof(driver) / sizeof(driver[0]); i++)
        gw_virtio_blk_write(t.m->disk[0], driver[i].reg, 4, (uint32_t)driver[i].value);
}

/* One request of each piece of the disk, all of them at once. */
static void announce(uint32_t type)
{
    struct gw_virtio_desc *d = (void *)at(QUEUE);
    uint16_t *avail = (void *)at(QUEUE + 0x400);

    for (uint16_t i = 0; i < CHAINS; i++) {
        uint64_t head = QUEUE + 0xc00 + i * 16u;

        *(uint32_t *)at(head) = type;
        *(uint64_t *)at(head + 8) = i * PIECE / 512;
        *at(QUEUE + 0xe00 + i) = 0xff;
        d[3 * i] = (struct gw_virtio_desc){head, 16, 1, (uint16_t)(3 * i + (type == FLUSH ? 2 : 1))};
        d[3 * i + 1] = (struct gw_virtio_desc){DATA + i * PIECE, PIECE, type == OUT ? 1 : 3, (uint16_t)(3 * i + 2)};
        d[3 * i + 2] = (struct gw_virtio_desc){QUEUE + 0xe00 + i, 1, 2, 0};
        avail[2 + (uint16_t)(avail[1] + i) % 64] = (uint16_t)(3 * i);
    }
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + CHAINS), __ATOMIC_RELEASE);
    gw_virtio_blk_write(t.m->disk[0], 0x50, 4, 0);
}

static unsigned used(void)
{
    return __atomic_load_n((uint16_t *)at(QUEUE + 0x802), __ATOMIC_ACQUIRE);
}

static void all_ended(unsigned before, unsigned result)
{
    bool seen[CHAINS] = {false};

    assert_int_equal(used(), before + CHAINS);
    for (unsigned i = 0; i < CHAINS; i++) {
        uint32_t id = *(uint32_t *)at(QUEUE + 0x804 + (before + i) % 64 * 8);

        assert_true(id % 3 == 0 && id / 3 < CHAINS && !seen[id / 3]);
        seen[id / 3] = true;
        assert_int_equal(*at(QUEUE + 0xe00 + i), result);
    }
}

/* What was announced is done when a stop returns. */
static void several(void **state)
{
    uint8_t file[PIECE];

    make();
    box_start(t.m);
    for (unsigned i = 0; i < CHAINS; i++)
        memset(at(DATA + i * PIECE), (int)i + 1, PIECE);
    announce(OUT);
    box_stop(t.m);
    all_ended(0, 0);
    assert_int_equal(gw_virtio_requests_most(t.m->disk[0]), GW_VIRTIO_REQUESTS);
    for (unsigned i = 0; i < CHAINS; i++) {
        assert_int_equal(pread(t.fd, file, PIECE, i * PIECE), PIECE);
        assert_memory_equal(file, at(DATA + i * PIECE), PIECE);
    }
    memset(at(DATA), 0, CHAINS * PIECE);
    box_start(t.m);
    announce(IN);
    box_stop(t.m);
    all_ended(CHAINS, 0);
    for (unsigned i = 0; i < CHAINS * PIECE; i++)
        assert_int_equal(*at(DATA + i), i / PIECE + 1);
    box_start(t.m);
    announce(FLUSH);
    box_stop(t.m);
    all_ended(2 * CHAINS, 0);
    assert_int_equal(t.told, 0);
}

/* What is announced to a machine that stands waits, as behind a migration that failed, until it runs again. */
static void standing(void **state)
{
    make();
    box_start(t.m);
    box_stop(t.m);
    announce(OUT);
    box_stop(t.m);
    assert_int_equal(used(), 0);
    assert_true(t.m->disk[0]->notified);
    box_start(t.m);
    box_stop(t.m);
    all_ended(0, 0);
}

/* The guest hears of an error, and we of the disk, the offset and the reason. */
static void errors(void **state)
{
    make();
    box_start(t.m);
    announce(OUT);
    box_stop(t.m);
    all_ended(0, 0);
    assert_int_equal(fcntl(t.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    box_start(t.m);
    announce(OUT);
    box_stop(t.m);
    all_ended(CHAINS, 1);
    assert_int_equal(t.told, CHAINS);
    print_message("%s\n", t.text);
    assert_non_null(strstr(t.text, "disk the-disk: write of 8192 bytes at offset "));
    assert_non_null(strstr(t.text, "ermitted"));
    box_start(t.m);
    announce(IN);
    box_stop(t.m);
    all_ended(2 * CHAINS, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(several, teardown),
        cmocka_unit_test_teardown(standing, teardown),
        cmocka_unit_test_teardown(errors, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

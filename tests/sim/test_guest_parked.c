/* SPDX-License-Identifier: MIT
 *
 * Parking machines with unknown devices: no room, a slow disk, a source that disconnects, truncated streams, and files
 * that are written while the machine arrives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/send.h"
#include "ways.h"

static int full_disk(void *opaque, struct gw_error *err)
{
    return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "no space left");
}

/* If the machine cannot be stored, it stays with the source and runs on. */
static void test_no_place_to_park(void **state)
{
    const char *const peers[] = {NULL, "7.2", "10.0"};

    for (unsigned i = 0; i < 3; i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image = empty();
        struct sim *from = sim_new(42, 32, NULL);
        struct way w;

        must(gw_options_set_capability(gw_vm_options(from->vm), "return-path", true, &err), &err);
        sim_start(from);
        w = (struct way){.from = from->vm, .to = vm_of(image, full_disk, NULL), .peer = peers[i]};
        migrate(&w);
        assert_int_equal(w.recv_result, -ENOSPC);
        assert_true(w.send_result < 0);
        assert_int_equal(w.send_says, GW_OWNER_SOURCE);
        assert_int_equal(w.recv_says, GW_OWNER_SOURCE);
        assert_true(sim_runs(from));
        sim_stop(from);
        assert_int_equal(sim_check(from), 0);
        owned_end(image);
        owned_end(from);
    }
}

/* ---- a disk that is slow ------------------------------------------------------------------------------------------
 *
 * Both machines go by the system's clock until the machine is parked, and then by the disk: it takes as much time as it
 * says.
 */
static _Atomic uint64_t disk_time_ns; /* 0: real time */

static uint64_t disk_now(void *opaque)
{
    uint64_t ns = atomic_load(&disk_time_ns);

    return ns ? ns : gw_now_ns(&gw_clock_real);
}

static void disk_sleep(void *opaque, uint64_t ns)
{
    gw_clock_real.sleep_ns(NULL, ns < 1000000 ? ns : 1000000);
}

/* Of the destination: counted, since a waiting thread must have computed its deadline before the disk takes more
 * time. */
static _Atomic unsigned naps_there;

static void counted_sleep(void *opaque, uint64_t ns)
{
    atomic_fetch_add(&naps_there, 1);
    disk_sleep(opaque, ns);
}

static uint64_t disk_random(void *opaque)
{
    return gw_clock_real.random(NULL);
}

static const struct gw_clock clock_here = {GW_SIZED(struct gw_clock), .now_ns = disk_now, .sleep_ns = disk_sleep,
                                           .random = disk_random};
static const struct gw_clock clock_there = {GW_SIZED(struct gw_clock), .now_ns = disk_now, .sleep_ns = counted_sleep,
                                            .random = disk_random};

#define SECOND_NS   1000000000u
#define PATIENCE_NS (3600ull * SECOND_NS)

struct slow_disk {
    unsigned parked, heard;
    _Atomic(struct gw_send *) send;
};

static unsigned messages(struct gw_send *send)
{
    unsigned n;

    pthread_mutex_lock(&send->session.lock);
    n = (unsigned)send->rp.messages;
    pthread_mutex_unlock(&send->session.lock);
    return n;
}

/* Advances the clock; then the source gets a message, or its time-out. */
static void take_time(struct slow_disk *d, uint64_t ns)
{
    unsigned before, naps = atomic_load(&naps_there);

    while (atomic_load(&naps_there) == naps)
        disk_sleep(NULL, SECOND_NS);
    before = messages(d->send);
    atomic_fetch_add(&disk_time_ns, ns);
    while (messages(d->send) == before) {
        if (sim_over(gw_send_status(d->send)))
            return;
        disk_sleep(NULL, SECOND_NS);
    }
    d->heard++;
}

static int slow_disk(void *opaque, struct gw_error *err)
{
    struct slow_disk *d = opaque;

    while (!atomic_load(&d->send))
        disk_sleep(NULL, SECOND_NS);
    atomic_store(&disk_time_ns, gw_now_ns(&gw_clock_real));
    for (unsigned i = 0; i < 3; i++)
        take_time(d, SECOND_NS + 1);
    for (unsigned i = 0; i < 3; i++)
        take_time(d, PATIENCE_NS / 10 * 9);
    return count(&d->parked, err);
}

/* Parking takes almost three times the source's time-out: the destination sends a sign of life each second. */
static void test_slow_to_park(void **state)
{
    struct slow_disk *disk = owned_memory(sizeof *disk);
    struct gw_image *image = empty();
    struct sim *from = sim_new(42, 4, &clock_here);
    struct gw_vm *to = vm_of(image, slow_disk, disk);
    struct way w = {.from = from->vm, .to = to, .timeout_ns = PATIENCE_NS, .tell = &disk->send};

    atomic_store(&disk_time_ns, 0);
    to->clock = clock_there;
    migrate(&w);
    must(w.recv_result, &w.recv_error);
    must(w.send_result, &w.send_error);
    assert_int_equal(disk->parked, 1);
    assert_int_equal(disk->heard, 6);
    assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
}

struct turncoat {
    struct gw_image *image;
    struct gw_channel *source_end;
    unsigned parked;
    bool noticed;
};

/* The source disconnects while its machine is written; soon after the written data cannot be read any more. */
static int park_without_source(void *opaque, struct gw_error *err)
{
    struct turncoat *t = opaque;
    uint8_t byte;
    int r = 0;

    t->parked++;
    gw_channel_shutdown(t->source_end);
    while (r >= 0) {
        r = gw_image_read(t->image, 0, 0, &byte, 1, err);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    t->noticed = r < 0;
    return r;
}

/* There is no time to notice it: the last check does. */
static int park_at_once_without_source(void *opaque, struct gw_error *err)
{
    struct turncoat *t = opaque;

    t->parked++;
    gw_channel_shutdown(t->source_end);
    return 0;
}

/* A plain source that closes before it has received SHUT runs its machine on: it must not stay here. */
static void test_source_takes_it_back(void **state)
{
    int (*const parks[])(void *, struct gw_error *) = {park_without_source, park_at_once_without_source};
    const char *const peers[] = {"7.2", "10.0"};

    for (unsigned i = 0; i < 4; i++) {
        struct gw_error err = GW_ERROR_INIT, why = GW_ERROR_INIT;
        struct turncoat *t = owned_memory(sizeof *t);
        struct gw_channel *destination_end;
        struct gw_recv *recv;
        struct gw_send *send;
        struct sim *from = sim_new(42, 4, NULL);
        int r;

        t->image = empty();
        must(gw_options_set_capability(gw_vm_options(from->vm), "return-path", true, &err), &err);
        must(gw_channel_memory_pair(1 << 20, &t->source_end, &destination_end, &err), &err);
        must(gw_recv_start(vm_of(t->image, parks[i / 2], t), &(struct gw_recv_config){.take_channel = destination_end},
                           &recv, &err),
             &err);
        owned_recv(recv);
        must(gw_send_start(from->vm,
                           &(struct gw_send_config){
                               .take_channel = t->source_end, .peer = peers[i % 2], .progress_timeout_ns = UINT64_MAX},
                           &send, &err),
             &err);
        owned_send(send);
        r = gw_recv_wait(recv, &why);
        assert_int_equal(r, -ECANCELED);
        assert_int_equal(why.blame, GW_BLAME_PEER);
        assert_non_null(strstr(why.text, "the machine stays there"));
        assert_int_equal(gw_recv_owner(recv), GW_OWNER_SOURCE);
        assert_int_equal(t->parked, 1);
        assert_int_equal(t->noticed, i / 2 == 0);
        assert_true(gw_send_wait(send, NULL) < 0);
        owned_end(send);
        owned_end(recv);
        owned_end(t->image);
        owned_end(from);
    }
}

/* Writes the machine's stream to the file that is open as fd; its size, and its URI. */
static off_t stream_of(struct sim *from, const char *path, int fd, char uri[64])
{
    struct gw_send_config config = {.uri = uri, .peer = "10.0", .progress_timeout_ns = UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send;

    assert_true(fd >= 0);
    snprintf(uri, 64, "file:%s", path);
    must(gw_send_start(from->vm, &config, &send, &err), &err);
    owned_send(send);
    must(gw_send_wait(send, &err), &err);
    owned_end(send);
    return lseek(fd, 0, SEEK_END);
}

/* Every cut of the stream of a small machine is an error, and leaves nothing. */
static void test_cut(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[] = "/tmp/godwit-guest-XXXXXX", uri[64];
    int fd = mkstemp(path);
    struct sim *from = sim_new(42, 1, NULL);
    off_t size;
    unsigned good = 0;

    size = stream_of(from, path, fd, uri);
    for (off_t cut = size; cut >= 0; cut -= cut > size - 3000 ? 7 : cut < 400 ? 3 : 4096 * 11 + 13) {
        struct gw_image *image = empty();
        struct gw_recv *recv;
        unsigned *parked = owned_memory(sizeof *parked);
        int r;

        assert_int_equal(ftruncate(fd, cut), 0);
        must(gw_recv_start(vm_of(image, count, parked), &(struct gw_recv_config){.uri = uri}, &recv, &err), &err);
        owned_recv(recv);
        r = gw_recv_wait(recv, &err);
        assert_int_equal(*parked, r >= 0);
        /* A truncated description is an error; without one the sections' ends are found without it. */
        assert_true(cut == size ? r == 0 : r < 0 || cut > size - 3000);
        good += r >= 0;
        owned_end(recv);
        owned_end(image);
        owned_end(parked);
    }
    assert_true(good >= 1);
    close(fd);
    unlink(path);
    owned_end(from);
}

/* ---- written while it arrives -------------------------------------------------------------------------------------
 */

static int commit(void *opaque, struct gw_error *err)
{
    return gw_image_stage_commit(opaque, err);
}

/* In a folder of its own. */
static struct gw_image *staged(char *folder, char *path)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty();

    strcpy(folder, "/tmp/godwit-guest-XXXXXX");
    assert_non_null(mkdtemp(folder));
    sprintf(path, "%s/guest", folder);
    must(gw_image_stage(image, path, &o, &err), &err);
    return image;
}

/* A guest that writes continuously continues from the file as it was, before and after the file was packed. */
static void test_staged(void **state)
{
    const char *const peers[] = {NULL, "7.2", "10.0"};

    for (unsigned i = 0; i < 6; i++) {
        char folder[64], path[96];
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image = staged(folder, path), *file;
        struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);
        struct way w;

        must(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", &err), &err);
        from->words_per_ms = to->words_per_ms = 20;
        sim_start(from);
        sim_await_writes(from, 20);
        w = (struct way){.from = from->vm, .to = vm_of(image, commit, image), .peer = peers[i / 2]};
        migrate(&w);
        must(w.recv_result, &w.recv_error);
        must(w.send_result, &w.send_error);
        assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
        if (i & 1)
            must(gw_image_stage_pack(image, NULL, NULL, &err), &err);
        owned_end(image);
        must(gw_image_open(path, &file, &err), &err);
        owned(file, end_image);
        out_of(file, to, true);
        sim_stop(to);
        assert_int_equal(sim_check(to), 0);
        owned_end(file);
        owned_end(from);
        owned_end(to);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
    }
}

/* Every cut leaves nothing, also while the image is still there. */
static void test_staged_cut(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[] = "/tmp/godwit-guest-XXXXXX", uri[64], folder[64], parked[96];
    int fd = mkstemp(path);
    struct sim *from = sim_new(42, 1, NULL);
    off_t size;

    size = stream_of(from, path, fd, uri);
    for (off_t cut = size; cut >= 0; cut -= cut > size - 3000 ? 251 : cut < 400 ? 13 : 4096 * 29 + 13) {
        struct gw_image *image = staged(folder, parked);
        struct gw_recv *recv;
        int r;

        assert_int_equal(ftruncate(fd, cut), 0);
        must(gw_recv_start(vm_of(image, commit, image), &(struct gw_recv_config){.uri = uri}, &recv, &err), &err);
        owned_recv(recv);
        r = gw_recv_wait(recv, &err);
        owned_end(recv);
        assert_int_equal(unlink(parked), r < 0 ? -1 : 0);
        assert_int_equal(rmdir(folder), 0); /* nothing else is there */
        owned_end(image);
    }
    close(fd);
    unlink(path);
    owned_end(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_no_place_to_park),
        owned_test(test_slow_to_park),
        owned_test(test_source_takes_it_back),
        owned_test(test_cut),
        owned_test(test_staged),
        owned_test(test_staged_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

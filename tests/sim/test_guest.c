/* SPDX-License-Identifier: MIT
 *
 * Machines whose devices nobody knows: a sim goes into an image and out of it into another sim.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "engine/image_vm.h"
#include "ram/page/ops.h"
#include "sim.h"

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static void end_image(void *image)
{
    gw_image_free(image);
}

/* On the list of the test: made before the sessions that use it, so ended after them. */
static struct gw_image *empty(void)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;

    must(gw_image_new(NULL, &image, &err), &err);
    return owned(image, end_image);
}

struct way {
    struct sim *guest; /* that writes on the way; NULL: none */
    struct gw_vm *from, *to;
    const char *peer;
    uint64_t timeout_ns;
    int send_result, recv_result;
    enum gw_owner send_says, recv_says;
    struct gw_error send_error, recv_error;
    struct gw_stats stats;
};

static void migrate(struct way *w)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;

    w->send_error = w->recv_error = err;
    must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    must(gw_recv_start(w->to, &(struct gw_recv_config){.take_channel = b}, &recv, &err), &err);
    owned_recv(recv);
    must(gw_send_start(
             w->from,
             &(struct gw_send_config){.take_channel = a, .peer = w->peer, .progress_timeout_ns = w->timeout_ns}, &send,
             &err),
         &err);
    owned_send(send);
    for (uint64_t since_ns = gw_now_ns(&gw_clock_real); w->guest && !sim_over(gw_send_status(send));) {
        sim_ease(w->guest, since_ns);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    w->send_result = gw_send_wait(send, &w->send_error);
    w->recv_result = gw_recv_wait(recv, &w->recv_error);
    w->send_says = gw_send_owner(send);
    w->recv_says = gw_recv_owner(recv);
    gw_send_stats(send, &w->stats);
    owned_end(send);
    owned_end(recv);
}

static struct gw_vm *vm_of(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm;

    must(gw_image_vm(image, park, opaque, &vm, &err), &err);
    return vm;
}

static int count(void *opaque, struct gw_error *err)
{
    ++*(unsigned *)opaque;
    return 0;
}

static void into(struct gw_image *image, struct sim *from, const char *peer)
{
    unsigned *parked = owned_memory(sizeof *parked);
    struct way w = {.guest = from, .from = from->vm, .to = vm_of(image, count, parked), .peer = peer};

    migrate(&w);
    must(w.recv_result, &w.recv_error);
    must(w.send_result, &w.send_error);
    assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
    assert_int_equal(w.recv_says, GW_OWNER_DESTINATION);
    assert_int_equal(*parked, 1);
    assert_false(sim_runs(from));
    assert_true(image->devices_bytes > 0);
    assert_true(image->description_bytes > 0);
    assert_int_equal(image->description[0], '{');
}

static void out_of(struct gw_image *image, struct sim *to, bool running)
{
    struct way w = {.from = vm_of(image, NULL, NULL), .to = to->vm};

    migrate(&w);
    must(w.recv_result, &w.recv_error);
    must(w.send_result, &w.send_error);
    assert_int_equal(sim_runs(to), running);
}

/* ---- an image that can only be asked, as one in a file ----------------------------------------------------------- */

static int ask_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *kinds,
                   struct gw_error *err)
{
    return gw_image_map(image->own, block, first, pages, kinds, err);
}

static int ask_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *dst,
                    struct gw_error *err)
{
    return gw_image_pages(image->own, block, first, pages, dst, err);
}

/* Zeros are not known before they are read, and one block breaks. */
static int know_nothing(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *kinds,
                        struct gw_error *err)
{
    memset(kinds, 1, pages);
    return 0;
}

static int broken_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *dst,
                       struct gw_error *err)
{
    if (first < 3000)
        return gw_image_pages(image->own, block, first, pages, dst, err);
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "page %" PRIu64 " is broken", first);
}

static const struct gw_image_ops asking = {ask_map, ask_read, NULL}, ignorant = {know_nothing, ask_read, NULL},
                                 broken = {know_nothing, broken_read, NULL};

static void *copy(const void *p, size_t n)
{
    void *q = malloc(n + 1);

    assert_non_null(q);
    memcpy(q, p, n);
    return q;
}

static struct gw_image *as_file(struct gw_image *memory, const struct gw_image_ops *ops)
{
    struct gw_image *image = calloc(1, sizeof *image);

    assert_non_null(image);
    *image = *memory;
    image->guest = NULL;
    image->free_guest = NULL;
    image->head = NULL;
    image->ops = ops;
    image->own = memory;
    image->format = GW_IMAGE_PARKED;
    image->blocks = copy(memory->blocks, memory->block_count * sizeof *memory->blocks);
    image->devices = copy(memory->devices, memory->devices_bytes);
    image->description = copy(memory->description, memory->description_bytes);
    return owned(image, end_image);
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void there_and_back(const char *peer, uint64_t rate, const struct gw_image_ops *ops)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty(), *file = NULL;
    struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);

    must(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", &err), &err);
    from->words_per_ms = to->words_per_ms = rate;
    if (rate) {
        sim_start(from);
        sim_await_writes(from, rate);
    }
    into(image, from, peer);
    if (ops)
        file = as_file(image, ops);
    out_of(file ? file : image, to, rate > 0);
    sim_stop(to);
    assert_true(to->device.writes >= from->device.writes);
    assert_int_equal(sim_check(to), 0);
    owned_end(file);
    owned_end(image);
    owned_end(from);
    owned_end(to);
}

static void test_memory(void **state)
{
    there_and_back(NULL, 0, NULL);
    there_and_back(NULL, 20, NULL);
    there_and_back("7.2", 20, NULL);
    there_and_back("10.0", 20, NULL);
}

static void test_fetched(void **state)
{
    there_and_back(NULL, 20, &asking);
    there_and_back("10.0", 5, &asking);
    there_and_back(NULL, 20, &ignorant);
}

/* ---- devices of the set-up ---------------------------------------------------------------------------------------- */

struct plugged {
    uint32_t size;
    uint8_t map[40];
};
static const struct gw_field plugged_fields[] = {
    GW_FIELD(struct plugged, size),
    GW_BYTES(struct plugged, map),
    GW_END,
};
static const struct gw_state plugged_state = {
    .name = "plugged", .version = 1, .oldest = 1, .size = sizeof(struct plugged), .early = true, .fields = plugged_fields};

/* Before the machine that has them: they are used as long as it is there. */
static struct plugged *plugged_pair(bool filled)
{
    static const struct plugged contents[2] = {{7, "seven"}, {9, "nine"}};
    struct plugged *two = owned_memory(sizeof contents);

    if (filled)
        memcpy(two, contents, sizeof contents);
    return two;
}

static void plug(struct sim *s, struct plugged two[2])
{
    struct gw_error err = GW_ERROR_INIT;

    for (uint32_t i = 0; i < 2; i++)
        must(gw_registry_add(gw_vm_registry(s->vm), &plugged_state, "plugged", i, &two[i], &err), &err);
}

/* From a machine that has such devices into an image, from there into another image and from there into a machine again:
 * `before` bytes of their sections go out before the RAM's START. All take them in both places. */
static void early_way(size_t before_of, const char *peer)
{
    struct gw_image *one = empty(), *two = empty();
    struct plugged *have = plugged_pair(true), *get = plugged_pair(false);
    struct sim *from = sim_new(42, 4, NULL), *to = sim_new(0, 4, NULL);
    unsigned *parked = owned_memory(sizeof *parked);
    struct way w;

    plug(from, have);
    plug(to, get);
    into(one, from, peer);
    assert_int_equal(one->early_before, 0);
    assert_int_equal(one->early_bytes % 2, 0);
    assert_true(one->early_bytes > 2 * 44);
    one->early_before = one->early_bytes / 2 * before_of;
    w = (struct way){.from = vm_of(one, NULL, NULL), .to = vm_of(two, count, parked), .peer = peer};
    migrate(&w);
    must(w.recv_result, &w.recv_error);
    assert_int_equal(two->early_before, one->early_before);
    assert_int_equal(two->early_bytes, one->early_bytes);
    assert_memory_equal(two->early, one->early, one->early_bytes);
    assert_int_equal(two->devices_bytes, one->devices_bytes);
    out_of(two, to, false);
    assert_memory_equal(get, have, 2 * sizeof *have);
    assert_int_equal(sim_check(to), 0);
    owned_end(one);
    owned_end(two);
    owned_end(from);
    owned_end(to);
}

static void test_early(void **state)
{
    for (size_t before = 0; before <= 2; before++) {
        early_way(before, NULL);
        early_way(before, "10.0");
    }
}

/* Device state alone: an image gives and takes what a machine that knows its devices does. */
static void test_state_alone(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *one = empty(), *two = empty();
    struct plugged *have = plugged_pair(true), *get = plugged_pair(false);
    void *blob, *again;
    struct sim *from = sim_new(42, 4, NULL), *to = sim_new(0, 4, NULL);
    size_t bytes, n;

    plug(from, have);
    plug(to, get);
    from->device.level = 77;
    into(one, from, NULL);
    must(gw_state_save(vm_of(one, NULL, NULL), &blob, &bytes, &err), &err);
    assert_int_equal(gw_state_load(vm_of(two, NULL, NULL), blob, bytes / 2, &err), -ENODATA);
    assert_int_equal(two->devices_bytes, 0);
    must(gw_state_load(vm_of(two, NULL, NULL), blob, bytes, &err), &err);
    assert_int_equal(two->devices_bytes, one->early_bytes + one->devices_bytes);
    must(gw_state_save(vm_of(two, NULL, NULL), &again, &n, &err), &err);
    assert_int_equal(n, bytes);
    assert_memory_equal(again, blob, bytes);
    must(gw_state_load(to->vm, again, n, &err), &err);
    assert_memory_equal(get, have, 2 * sizeof *have);
    assert_int_equal(to->device.level, 77);
    free(blob);
    free(again);
    owned_end(one);
    owned_end(two);
    owned_end(from);
    owned_end(to);
}

/* A page that cannot be read ends it, with the reason, and nothing runs on the other side. */
static void test_broken_file(void **state)
{
    struct gw_image *image = empty(), *file;
    struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);
    struct way w;

    into(image, from, NULL);
    file = as_file(image, &broken);
    w = (struct way){.from = vm_of(file, NULL, NULL), .to = to->vm};
    migrate(&w);
    assert_int_equal(w.send_result, -EIO);
    assert_non_null(strstr(w.send_error.text, "is broken"));
    assert_true(w.recv_result < 0);
    assert_int_equal(w.send_says, GW_OWNER_SOURCE);
    assert_false(sim_runs(to));
    owned_end(file);
    owned_end(image);
    owned_end(from);
    owned_end(to);
}

static int full_disk(void *opaque, struct gw_error *err)
{
    return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "no space left");
}

/* What cannot be kept stays with the source, which runs on. */
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

struct slow_disk {
    unsigned parked;
    unsigned ms; /* that it takes */
};

static int slow_disk(void *opaque, struct gw_error *err)
{
    struct slow_disk *d = opaque;

    nanosleep(&(struct timespec){.tv_sec = d->ms / 1000, .tv_nsec = (long)(d->ms % 1000) * 1000000}, NULL);
    return count(&d->parked, err);
}

/* To park takes twice as long as the source is patient: it hears each second that the destination lives. On a machine
 * that is so busy that this comes too late all of it takes longer. */
static void test_slow_to_park(void **state)
{
    for (unsigned patience_ms = 1500;; patience_ms *= 4) {
        struct slow_disk *disk = owned_memory(sizeof *disk);
        struct gw_image *image = empty();
        struct sim *from = sim_new(42, 4, NULL);
        struct way w = {.from = from->vm, .to = vm_of(image, slow_disk, disk), .timeout_ns = patience_ms * 1000000ull};

        disk->ms = 2 * patience_ms;
        migrate(&w);
        if (w.send_result == -ETIMEDOUT && patience_ms < 20000) {
            print_message("nothing was heard for %u ms: once more, with more patience\n", patience_ms);
        } else {
            must(w.recv_result, &w.recv_error);
            must(w.send_result, &w.send_error);
            assert_int_equal(disk->parked, 1);
            assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
            return;
        }
        owned_end(from);
        owned_end(image);
        owned_end(disk);
    }
}

struct turncoat {
    struct gw_image *image;
    struct gw_channel *source_end;
    unsigned parked;
    bool noticed;
};

/* The source goes away while its machine is written; what is written cannot be read any more soon after. */
static int park_without_source(void *opaque, struct gw_error *err)
{
    struct turncoat *t = opaque;
    uint8_t byte;
    int r = 0;

    t->parked++;
    gw_channel_shutdown(t->source_end);
    for (unsigned i = 0; i < 120000 && r >= 0; i++) {
        r = gw_image_read(t->image, 0, 0, &byte, 1, err);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    t->noticed = r < 0;
    return r;
}

/* It has no time to notice: the last look does. */
static int park_at_once_without_source(void *opaque, struct gw_error *err)
{
    struct turncoat *t = opaque;

    t->parked++;
    gw_channel_shutdown(t->source_end);
    return 0;
}

/* A plain source that closes before it has heard SHUT runs its machine on: it must not stay here. */
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
        must(gw_send_start(from->vm, &(struct gw_send_config){.take_channel = t->source_end, .peer = peers[i % 2]},
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

/* A guest that writes all the time goes on from the file as it was, before and after it was packed. */
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
    struct gw_send *send;
    struct sim *from = sim_new(42, 1, NULL);
    off_t size;

    assert_true(fd >= 0);
    snprintf(uri, sizeof uri, "file:%s", path);
    must(gw_send_start(from->vm, &(struct gw_send_config){.uri = uri, .peer = "10.0"}, &send, &err), &err);
    owned_send(send);
    must(gw_send_wait(send, &err), &err);
    owned_end(send);
    size = lseek(fd, 0, SEEK_END);
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

/* One machine an image. */
static void test_taken(void **state)
{
    struct gw_image *image = empty();
    struct sim *from = sim_new(42, 32, NULL), *other = sim_new(43, 32, NULL);
    struct way w;

    into(image, from, NULL);
    w = (struct way){.from = other->vm, .to = vm_of(image, NULL, NULL)};
    migrate(&w);
    assert_int_equal(w.recv_result, -EBUSY);
    assert_int_equal(w.send_says, GW_OWNER_SOURCE);
    owned_end(image);
    owned_end(from);
    owned_end(other);
}

/* Every cut of the stream of a small machine is an error, and leaves nothing. */
static void test_cut(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[] = "/tmp/godwit-guest-XXXXXX", uri[64];
    int fd = mkstemp(path);
    struct gw_send *send;
    struct sim *from = sim_new(42, 1, NULL);
    off_t size;
    unsigned good = 0;

    assert_true(fd >= 0);
    snprintf(uri, sizeof uri, "file:%s", path);
    must(gw_send_start(from->vm, &(struct gw_send_config){.uri = uri, .peer = "10.0"}, &send, &err), &err);
    owned_send(send);
    must(gw_send_wait(send, &err), &err);
    owned_end(send);
    size = lseek(fd, 0, SEEK_END);
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
        /* A description that is cut is told of; without one the sections themselves say where they end. */
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

/* Single pages in any order, while a source reads ahead: what comes is what is there. */
static void test_any_order(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty(), *file;
    static struct gw_batch batch;
    struct gw_source *source;
    bool goes[SIM_BLOCKS] = {true, true, true};
    struct sim *from = sim_new(42, 32, NULL);
    uint64_t random = 1;
    struct gw_vm *vm;

    into(image, from, NULL);
    file = as_file(image, &asking);
    vm = vm_of(file, NULL, NULL);
    must(gw_guest_at_rest.source(vm, true, &source, &err), &err);
    must(source->begin(source, goes, &err), &err);
    for (unsigned n = 0; n < 400; n++) {
        unsigned block = n % file->block_count;
        uint64_t page = (random >> 33) % file->blocks[block].pages;
        uint8_t one[4096];

        random = random * 6364136223846793005ull + 1;
        must(gw_image_pages(file, block, page, 1, one, &err), &err);
        assert_memory_equal(one, gw_memory_host(image, block) + page * 4096, 4096);
        must(source->next(source, &batch, 1 + n % 200, &err), &err);
        for (unsigned i = 0; i < batch.count; i++) {
            const uint8_t *there = gw_memory_host(image, file->guest->of_block[batch.block->index]) + batch.page[i] * 4096;
            static const uint8_t zeros[4096];

            assert_memory_equal(batch.form[i] == GW_FORM_ZERO ? zeros : batch.body[i].data, there, 4096);
        }
        if (batch.count)
            source->sent(source, &batch);
    }
    source->end(source);
    source->free(source);
    owned_end(file);
    owned_end(image);
    owned_end(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_memory),
        owned_test(test_fetched),
        owned_test(test_broken_file),
        owned_test(test_no_place_to_park),
        owned_test(test_taken),
        owned_test(test_cut),
        owned_test(test_slow_to_park),
        owned_test(test_any_order),
        owned_test(test_early),
        owned_test(test_state_alone),
        owned_test(test_source_takes_it_back),
        owned_test(test_slow_to_park),
        owned_test(test_any_order),
        owned_test(test_staged),
        owned_test(test_staged_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

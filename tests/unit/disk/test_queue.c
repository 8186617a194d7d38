/* SPDX-License-Identifier: MIT
 *
 * The same requests through io_uring, through threads, and through both, over files and other nodes.
 */
#include "node/property.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "godwit/queue.h"
#include "disk/ring.h"
#include "node/faulty.h"

#define SIZE  (1u << 20)
#define PARTS 16u /* requests under way do not overlap: each has a part of its own */

struct item {
    struct gw_queue_request request;
    struct iovec vector[3];
    uint8_t *room, *array; /* array: what the part must be */
    uint64_t seed;
    bool busy;
    int result, fails; /* fails: how many did */
    char text[GW_ERROR_TEXT];
};

static struct {
    char path[40];
    struct gw_node *node;
    struct gw_queue *queue;
    struct item item[PARTS];
    uint8_t *array;
    int fd, held; /* an eventfd that says nothing; what a held read waits for */
} t;

static int up(void **state)
{
    memset(&t, 0, sizeof t);
    t.fd = eventfd(0, EFD_CLOEXEC);
    t.held = eventfd(0, EFD_CLOEXEC);
    return t.fd < 0 || t.held < 0;
}

static int down(void **state)
{
    gw_queue_free(t.queue);
    gw_node_free(t.node, NULL);
    for (unsigned i = 0; i < PARTS; i++)
        free(t.item[i].room);
    free(t.array);
    if (t.path[0])
        unlink(t.path);
    close(t.fd);
    close(t.held);
    return 0;
}

static void done(struct gw_queue_request *r, int result, const struct gw_error *err)
{
    struct item *it = r->opaque;

    it->busy = false;
    it->result = result;
    it->fails += result < 0;
    snprintf(it->text, sizeof it->text, "%s", result < 0 ? err->text : "");
}

static void make_file(const struct gw_node_options *o)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd;

    strcpy(t.path, "/var/tmp/gw-queue-XXXXXX");
    fd = mkstemp(t.path);
    assert_true(fd >= 0 && !ftruncate(fd, SIZE) && !close(fd));
    ok(gw_node_open(t.path, o, &t.node, &err), &err);
}

static void make_queue(bool no_ring)
{
    struct gw_error err = GW_ERROR_INIT;

    ok(gw_queue_new(t.node, &(struct gw_queue_config){.depth = 8, .threads = 3, .no_ring = no_ring}, &t.queue, &err),
       &err);
    t.array = calloc(1, SIZE);
    for (unsigned i = 0; i < PARTS; i++) {
        t.item[i].room = aligned_alloc(4096, SIZE / PARTS);
        t.item[i].array = t.array + i * (SIZE / PARTS);
        t.item[i].seed = i + 1;
    }
}

/* What was read is what must be there. */
static void look(struct item *it)
{
    struct gw_queue_request *r = &it->request;

    if (it->result < 0)
        fail_msg("%s", it->text);
    if (r->bytes && r->op == GW_QUEUE_READ)
        assert_memory_equal(it->room, t.array + r->offset, r->bytes);
}

static void aim(struct item *it, unsigned align)
{
    uint64_t part = SIZE / PARTS, first = next_random(&it->seed) % part, left = part - first;
    uint64_t bytes = next_random(&it->seed) % (left + 1);
    struct gw_queue_request *r = &it->request;

    first &= ~(uint64_t)(align - 1);
    bytes &= ~(uint64_t)(align - 1);
    r->offset = (uint64_t)(it - t.item) * part + first;
    r->bytes = bytes;
    r->count = (unsigned)(next_random(&it->seed) % 3) + 1;
    r->vector = it->vector;
    r->opaque = it;
    r->done = done;
    for (unsigned i = 0; i < r->count; i++) {
        uint64_t here = i + 1 == r->count ? bytes : (bytes / 2 & ~(uint64_t)(align - 1));

        it->vector[i] = (struct iovec){it->room + (r->bytes - bytes), here};
        bytes -= here;
    }
}

static void next(struct item *it, unsigned align)
{
    struct gw_queue_request *r = &it->request;
    struct gw_error err = GW_ERROR_INIT;
    unsigned what = (unsigned)(next_random(&it->seed) % 16);

    aim(it, align);
    r->op = what < 6 ? GW_QUEUE_READ : what < 13 ? GW_QUEUE_WRITE : what < 15 ? GW_QUEUE_ZERO : GW_QUEUE_FLUSH;
    r->flags = (unsigned)(next_random(&it->seed) % 8) / 7 * GW_NODE_DURABLE;
    if (r->op == GW_QUEUE_WRITE) {
        memset(it->room, (int)(next_random(&it->seed) % 255 + 1), r->bytes);
        memcpy(t.array + r->offset, it->room, r->bytes);
    } else if (r->op == GW_QUEUE_ZERO) {
        memset(t.array + r->offset, 0, r->bytes);
    }
    it->busy = true;
    ok(gw_queue_submit(t.queue, r, &err), &err);
}

static void run(unsigned rounds, unsigned align)
{
    uint8_t *all = malloc(SIZE);

    for (unsigned n = 0; n < rounds; n++) {
        struct item *it = &t.item[n * 7 % PARTS];

        while (it->busy)
            assert_true(n % 2 ? gw_queue_wait(t.queue) : gw_queue_wait_or(t.queue, t.fd));
        look(it);
        next(it, align);
    }
    gw_queue_drain(t.queue);
    for (unsigned i = 0; i < PARTS; i++) {
        assert_false(t.item[i].busy);
        look(&t.item[i]);
    }
    assert_false(gw_queue_wait(t.queue));
    assert_false(gw_queue_wait_or(t.queue, t.fd));
    assert_int_equal(gw_node_read(t.node, all, SIZE, 0, NULL), 0);
    assert_memory_equal(all, t.array, SIZE);
    free(all);
}

static bool has_ring(void)
{
    struct gw_ring *r = gw_ring_new(1);

    gw_ring_free(r);
    return r != NULL;
}

static void test_file(void **state)
{
    make_file(NULL);
    make_queue(false);
    run(1500, 1);
    assert_string_equal(gw_queue_engine(t.queue), has_ring() ? "io_uring" : "threads");
    if (has_ring())
        assert_in_range(gw_queue_ring_requests(t.queue), 300, 1300);
}

static void test_file_by_threads(void **state)
{
    make_file(NULL);
    make_queue(true);
    run(1000, 1);
    assert_string_equal(gw_queue_engine(t.queue), "threads");
    assert_int_equal(gw_queue_ring_requests(t.queue), 0);
}

static void test_direct_file(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *probe = NULL;

    make_file(NULL);
    gw_node_free(t.node, NULL);
    t.node = NULL;
    if (gw_node_open(t.path, &(struct gw_node_options){.cache = GW_NODE_CACHE_NONE}, &probe, &err) < 0) {
        print_message("SKIP: no direct I/O here: %s\n", err.text);
        skip();
    }
    t.node = probe;
    make_queue(false);
    run(200, 4096);
    run(200, 1);
}

static void test_memory(void **state)
{
    t.node = gw_node_memory(SIZE, 4096);
    make_queue(false);
    run(1000, 1);
    assert_int_equal(gw_queue_ring_requests(t.queue), 0);
}

/* Over a backing that is a file: its runs may be read by io_uring until a write takes their place, and never written.
 */
static void test_backing(void **state)
{
    struct gw_node *top = gw_node_memory(SIZE, 4096);
    uint8_t *first = malloc(SIZE), *now = malloc(SIZE);
    uint64_t seed = 99;

    make_file(NULL);
    for (unsigned i = 0; i < SIZE; i++)
        first[i] = (uint8_t)next_random(&seed);
    assert_int_equal(gw_node_write(t.node, first, SIZE, 0, 0, NULL), 0);
    top->backing = t.node;
    t.node = top;
    make_queue(false);
    memcpy(t.array, first, SIZE);
    run(1500, 1);
    if (has_ring())
        assert_true(gw_queue_ring_requests(t.queue) > 0);
    assert_int_equal(gw_node_read(top->backing, now, SIZE, 0, NULL), 0);
    assert_memory_equal(now, first, SIZE);
    free(first);
    free(now);
}

/* Each request in turn is the one that fails; the others are done, and the queue goes on. */
static void test_faults(void **state)
{
    static struct gw_node_ops ops;
    struct gw_error err = GW_ERROR_INIT;

    t.node = gw_node_memory(SIZE, 4096);
    make_queue(false);
    faulty_over(t.node, &ops);
    for (unsigned n = 1; n <= PARTS; n++) {
        unsigned fails = 0;

        faulty.left = n;
        for (unsigned i = 0; i < PARTS; i++) {
            struct item *it = &t.item[i];

            aim(it, 1);
            it->request.op = (enum gw_queue_op)((i + n) % 2); /* read, write */
            it->request.count = 1;
            it->request.bytes = it->vector[0].iov_len = 100;
            it->request.offset = i * (SIZE / PARTS);
            it->fails = 0;
            ok(gw_queue_submit(t.queue, &it->request, &err), &err);
        }
        gw_queue_drain(t.queue);
        for (unsigned i = 0; i < PARTS; i++)
            if (t.item[i].fails) {
                char where[40];

                fails++;
                snprintf(where, sizeof where, "at offset %u", i * (SIZE / PARTS));
                assert_int_equal(t.item[i].result, -EIO);
                if (!strstr(t.item[i].text, where))
                    fail_msg("%s: not %s", t.item[i].text, where);
            }
        assert_true(fails <= 1); /* a find of the queue's own may be it: that is no error */
        faulty.left = 0;
    }
}

static void expect(enum gw_queue_op op, uint64_t offset, uint64_t bytes, int result, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct item *it = &t.item[0];

    it->vector[0] = (struct iovec){it->room, bytes};
    it->request = (struct gw_queue_request){
        .op = op, .vector = it->vector, .count = 1, .bytes = bytes, .offset = offset, .done = done, .opaque = it};
    it->busy = true;
    ok(gw_queue_submit(t.queue, &it->request, &err), &err);
    gw_queue_drain(t.queue);
    assert_false(it->busy);
    if (it->result != result || !strstr(it->text, word))
        fail_msg("%d, %s", it->result, it->text);
}

/* What the kernel does in part only is made again, and told as the node tells it. */
static void test_errors_of_a_file(void **state)
{
    make_file(NULL);
    make_queue(false);
    memset(t.item[0].room, 1, 8192);
    expect(GW_QUEUE_WRITE, 0, 8192, 0, "");
    expect(GW_QUEUE_READ, 0, 8192, 0, "");
    assert_int_equal(truncate(t.path, 4096), 0);
    expect(GW_QUEUE_READ, 0, 8192, -EIO, "shorter");
    expect(GW_QUEUE_READ, SIZE - 10, 20, -EINVAL, "are not in it");
    expect(GW_QUEUE_WRITE, SIZE + 10, 20, -EINVAL, "are not in it");
    gw_node_inactivate(t.node, NULL);
    expect(GW_QUEUE_READ, 0, 100, -EPERM, "not active");
}

static int held_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    eventfd_t count;

    return eventfd_read(t.held, &count) ? -EIO : 0;
}

/* A wait for requests ends when the descriptor has something, whether one is done or not; and when one is done. */
static void test_wait_or(void **state)
{
    static struct gw_node_ops ops;
    struct gw_error err = GW_ERROR_INIT;
    struct item *it = &t.item[0];
    eventfd_t count;

    t.node = gw_node_memory(SIZE, 4096);
    make_queue(false);
    ops = *t.node->ops;
    ops.read = held_read;
    t.node->ops = &ops;
    aim(it, 1);
    it->request.op = GW_QUEUE_READ;
    it->request.count = 1;
    it->request.bytes = it->vector[0].iov_len = 100;
    it->busy = true;
    ok(gw_queue_submit(t.queue, &it->request, &err), &err);
    assert_int_equal(eventfd_write(t.fd, 1), 0);
    assert_true(gw_queue_wait_or(t.queue, t.fd));
    assert_true(it->busy);
    assert_int_equal(eventfd_read(t.fd, &count), 0);
    assert_int_equal(eventfd_write(t.held, 1), 0);
    assert_true(gw_queue_wait_or(t.queue, t.fd));
    assert_false(it->busy);
    assert_int_equal(it->result, 0);
}

static void test_what_is_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_queue *none = NULL;
    struct iovec v = {&v, 8};
    struct gw_queue_request r = {.op = GW_QUEUE_READ, .vector = &v, .count = 1, .bytes = 9, .done = done};

    t.node = gw_node_memory(SIZE, 4096);
    assert_int_equal(gw_queue_new(t.node, &(struct gw_queue_config){.depth = 5000}, &none, &err), -EINVAL);
    assert_int_equal(gw_queue_new(t.node, &(struct gw_queue_config){.threads = 5000}, &none, &err), -EINVAL);
    make_queue(false);
    assert_int_equal(gw_queue_submit(t.queue, &r, &err), -EINVAL);
    assert_int_equal(gw_node_resize(t.node, 4096, &err), -EBUSY);
    gw_queue_free(t.queue);
    t.queue = NULL;
    assert_int_equal(gw_node_resize(t.node, 4096, &err), 0);
    gw_queue_free(NULL);
}

#define queue_test(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        queue_test(test_file),
        queue_test(test_file_by_threads),
        queue_test(test_direct_file),
        queue_test(test_memory),
        queue_test(test_backing),
        queue_test(test_faults),
        queue_test(test_errors_of_a_file),
        queue_test(test_wait_or),
        queue_test(test_what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

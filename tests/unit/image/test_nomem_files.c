/* SPDX-License-Identifier: MIT
 *
 * Every allocation of opening and writing files fails once: the call says -ENOMEM, and no memory, descriptor or process
 * is left. The program is linked with --wrap for the three allocating functions.
 */
#include "files.h"

#include <dirent.h>
#include <sys/wait.h>

#include "examine/inspect.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

/* Runs f, which cleans up after itself, with the 1st, 2nd, ... allocation failing until none does. */
static void every_allocation(const char *what, int (*f)(void *arg, struct gw_error *err), void *arg)
{
    unsigned fds = entries("/proc/self/fd"), failed = 0;

    for (unsigned n = 1; n < 3000; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        countdown = n;
        r = f(arg, &err);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(entries("/proc/self/fd"), fds);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        if (!hit) {
            if (r < 0)
                fail_msg("%s: %s", what, err.text);
            assert_true(failed > 0);
            return;
        }
        failed++;
        if (r != -ENOMEM || err.code != -ENOMEM || !strstr(err.text, "out of memory"))
            fail_msg("%s: allocation %u failed, but the result is %d (%s)", what, n, r, err.text);
    }
    fail_msg("%s: no end of allocations", what);
}

static int open_it(void *arg, struct gw_error *err)
{
    struct gw_image *image = NULL;
    int r = gw_image_open(arg, &image, err);

    gw_image_free(image);
    return r;
}

static int inspect_it(void *arg, struct gw_error *err)
{
    struct gw_inspect *in = NULL;
    int r = gw_inspect_new(&in, err);

    if (r >= 0)
        r = gw_inspect_file(in, arg, NULL, err);
    /* Without memory for it, it is not told which pages came twice or are the same, and nothing else is lost. */
    if (r >= 0 && in->block_count && (!in->blocks[0].seen || in->pages.full))
        r = gw_nomem(err, "seen pages");
    gw_inspect_free(in);
    return r;
}

static struct file capture_file(const char *name)
{
    struct bytes b = stream_load(name);
    struct file f = file_new(b.data, b.bytes);

    free(b.data);
    return f;
}

static void test_open(void **state)
{
    static const char *const names[] = {"stopped-source-64k-10.0.bin", "compress-microvm-7.2.bin",
                                        "xbzrle-microvm-7.2.bin", "mapped-ram-10.0.bin.gz"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct file f = capture_file(names[i]);

        every_allocation(names[i], open_it, f.path);
        close(f.fd);
    }
}

struct writing {
    struct gw_image *image;
    struct gw_image_write_options options;
};

static int write_it(void *arg, struct gw_error *err)
{
    struct writing *w = arg;
    struct file f = file_new(NULL, 0);
    int r = w->options.format == GW_IMAGE_STREAM       ? gw_stream_write(w->image, &w->options, f.fd, err)
            : w->options.format == GW_IMAGE_MAPPED_RAM ? gw_mapped_write(w->image, &w->options, f.fd, err)
                                                       : gw_libvirt_write(w->image, &w->options, f.fd, err);

    close(f.fd);
    return r;
}

static void test_write(void **state)
{
    struct writing w = {open_capture("stopped-source-64k-7.2.bin"), {.libvirt_xml = "<domain/>", .threads = 1}};

    for (int format = GW_IMAGE_STREAM; format <= GW_IMAGE_LIBVIRT; format++) {
        w.options.format = (enum gw_image_format)format;
        every_allocation(gw_image_format_name(w.options.format), write_it, &w);
    }
    w.options.compress = "gzip";
    every_allocation("libvirt, gzip", write_it, &w);
    gw_image_free(w.image);
}

static void test_libvirt(void **state)
{
    struct gw_image *image = open_capture("stopped-source-64k-7.2.bin");
    const struct gw_image_write_options options = {
        .format = GW_IMAGE_LIBVIRT, .libvirt_xml = "<domain/>", .compress = "gzip"};
    struct file f = write_to_file(image, &options);

    every_allocation("libvirt", open_it, f.path);
    every_allocation("inspect libvirt", inspect_it, f.path);
    gw_image_free(image);
    close(f.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_open), cmocka_unit_test(test_write),
                                       cmocka_unit_test(test_libvirt)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

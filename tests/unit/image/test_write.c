/* SPDX-License-Identifier: MIT
 *
 * What is written opens again as what it was: every format, every way of compressing.
 */
#include "files.h"
#include "../../emulated.h"

#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>

#include "image/pull.h"
#include "image/unpack.h"

static const char *const captures[] = {"precopy-none-10.0.bin",   "precopy-microvm-7.2.bin.gz",
                                       "precopy-pc-10.0.bin.gz",  "validate-uuid-7.2.bin",
                                       "xbzrle-microvm-10.0.bin", "compress-microvm-7.2.bin",
                                       "mapped-ram-10.0.bin.gz",  "background-snapshot-4M-10.0.bin"};

#define XML "<domain type='kvm'><name>x</name></domain>"

static void round_trip(struct gw_image *image, const struct gw_image_write_options *options, enum gw_image_format kind)
{
    struct file f = write_to_file(image, options);
    struct gw_image *again = open_file(&f);

    assert_int_equal(gw_image_kind(again), kind);
    assert_same_image(image, again);
    gw_image_free(again);
    close(f.fd);
}

static void test_round_trips(void **state)
{
    static const struct gw_image_write_options ways[] = {
        {.format = GW_IMAGE_STREAM},
        {.format = GW_IMAGE_MAPPED_RAM, .threads = 1},
        {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML},
        {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML, .compress = "sparse"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(captures); i++) {
        struct gw_image *image = open_capture(captures[i]);

        for (size_t k = 0; k < GW_ARRAY_LEN(ways); k++)
            round_trip(image, &ways[k], ways[k].format);
        gw_image_free(image);
    }
}

/* A machine with much memory and few contents: what is empty is known to be in each format, and goes through no hands. */
static void test_large_and_empty(void **state)
{
    static const struct gw_image_write_options ways[] = {
        {.format = GW_IMAGE_PARKED}, {.format = GW_IMAGE_STREAM}, {.format = GW_IMAGE_MAPPED_RAM}};
    static const uint64_t filled[] = {0, 5 * GW_IMAGE_GROUP + 17, 8 * GW_IMAGE_GROUP - 1};
    struct gw_image *image = open_capture("precopy-none-10.0.bin"), *large;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *host;

    assert_int_equal(gw_image_new(NULL, &large, &err), 0);
    strcpy(large->machine, image->machine);
    large->page_bytes = image->page_bytes;
    large->page_bits = image->page_bits;
    large->footers = true;
    large->ram_id = image->ram_id;
    assert_int_equal(gw_memory_add_block(large, "r", 9ull * GW_IMAGE_GROUP * 4096, &host, &err), 0);
    for (unsigned i = 0; i < GW_ARRAY_LEN(filled); i++)
        host[filled[i] * 4096 + 99] = 1;
    for (size_t k = 0; k < GW_ARRAY_LEN(ways); k++) {
        struct file f = write_to_file(large, &ways[k]);
        struct gw_image *again = open_file(&f);

        assert_same_ram(large, again);
        for (unsigned g = 0; g < 9; g++)
            assert_int_equal(gw_image_empty(again, 0, g), g != 0 && g != 5 && g != 7);
        for (size_t m = 0; m < GW_ARRAY_LEN(ways); m++) { /* and from there to each other format */
            struct file f2 = write_to_file(again, &ways[m]);
            struct gw_image *third = open_file(&f2);

            assert_same_ram(large, third);
            gw_image_free(third);
            close(f2.fd);
        }
        gw_image_free(again);
        close(f.fd);
    }
    gw_image_free(large);
    gw_image_free(image);
}

/* A mapped-ram file becomes the bytes that QEMU wrote; a stream those of QEMU but for the order of its records. */
static void test_bytes_of_a_mapped_file(void **state)
{
    const struct gw_image_write_options mapped = {.format = GW_IMAGE_MAPPED_RAM};
    struct bytes b = stream_load("mapped-ram-10.0.bin.gz");
    struct gw_image *image = open_capture("mapped-ram-10.0.bin.gz");
    struct file f = write_to_file(image, &mapped);
    uint8_t *ours = calloc(1, b.bytes + 64);
    ssize_t n = pread(f.fd, ours, b.bytes + 64, 0);

    /* This machine has no version in its name, so the end of the RAM is not announced: five bytes. */
    assert_int_equal(n, b.bytes - 5);
    assert_memory_equal(ours, b.data, 0x300000);
    gw_image_free(image);
    close(f.fd);
    free(ours);
    free(b.data);
}

static bool installed(const char *program)
{
    char command[64];

    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    return system(command) == 0;
}

static void test_compressed(void **state)
{
    static const char *const programs[] = {"gzip", "bzip2", "xz", "lzop", "zstd"};
    struct gw_image *image = open_capture("precopy-microvm-10.0.bin.gz");

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    for (size_t i = 0; i < GW_ARRAY_LEN(programs); i++) {
        const struct gw_image_write_options stream = {.format = GW_IMAGE_STREAM, .compress = programs[i], .level = 2},
                                            libvirt = {.format = GW_IMAGE_LIBVIRT,
                                                       .compress = programs[i],
                                                       .libvirt_xml = XML};
        struct gw_error err = GW_ERROR_INIT;
        struct file f;

        if (installed(programs[i])) {
            round_trip(image, &stream, GW_IMAGE_STREAM);
            round_trip(image, &libvirt, GW_IMAGE_LIBVIRT);
            continue;
        }
        f = file_new(NULL, 0);
        assert_int_equal(gw_stream_write(image, &stream, f.fd, &err), -ENOENT);
        assert_non_null(strstr(err.text, "is needed to read or write it, but is not in"));
        close(f.fd);
    }
    gw_image_free(image);
}

static void test_compressed_and_cut(void **state)
{
    const struct gw_image_write_options gz = {.format = GW_IMAGE_STREAM, .compress = "gzip"};
    struct gw_image *image = open_capture("precopy-none-10.0.bin"), *again = NULL;
    struct file f = write_to_file(image, &gz);
    struct gw_error err = GW_ERROR_INIT;

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    assert_int_equal(ftruncate(f.fd, (off_t)file_bytes(&f) / 2), 0);
    assert_int_equal(gw_image_open(f.path, &again, &err), -EPROTO);
    assert_non_null(strstr(err.text, "gzip failed: "));
    assert_non_null(strstr(err.text, "unexpected end of file"));
    gw_image_free(image);
    close(f.fd);
}

static void refused(struct gw_image *image, const struct gw_image_write_options *options, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_image_write(image, "/nowhere/at/all", options, &err) >= 0)
        fail_msg("written");
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_to_a_path(void **state)
{
    struct gw_image_write_options options = {.format = GW_IMAGE_STREAM, .compress = "brotli"};
    char folder[] = "/tmp/godwit-test-XXXXXX", path[64];
    struct gw_image *image = open_capture("precopy-none-10.0.bin"), *again = NULL;
    struct gw_error err = GW_ERROR_INIT;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);
    refused(image, &options, "/nowhere");
    assert_int_equal(gw_image_write(image, path, &options, &err), -EINVAL);
    assert_non_null(strstr(err.text, "cannot be compressed with brotli"));
    assert_int_equal(access(path, F_OK), -1);
    options.compress = NULL;
    assert_int_equal(gw_image_write(image, path, &options, &err), 0);
    assert_int_equal(gw_image_write(image, path, &options, &err), -EEXIST);
    options.replace = true;
    options.format = GW_IMAGE_LIBVIRT;
    assert_int_equal(gw_image_write(image, path, &options, &err), -EINVAL);
    assert_non_null(strstr(err.text, "libvirt needs the domain's XML"));
    options.libvirt_xml = "name: x";
    assert_int_equal(gw_image_write(image, path, &options, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not the XML of a domain"));
    assert_int_equal(gw_image_open(path, &again, &err), 0);
    assert_int_equal(gw_image_kind(again), GW_IMAGE_STREAM);
    gw_image_free(again);
    gw_image_free(image);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left */
}

static bool stop_late(void *opaque, uint64_t done, uint64_t total)
{
    assert_int_equal(total, 16 << 20);
    assert_true(done <= total);
    return ++*(unsigned *)opaque == 3;
}

static void test_cancelled(void **state)
{
    static const enum gw_image_format formats[] = {GW_IMAGE_STREAM, GW_IMAGE_MAPPED_RAM};
    struct gw_image *image = open_capture("precopy-none-10.0.bin");

    for (size_t i = 0; i < GW_ARRAY_LEN(formats); i++) {
        unsigned calls = 0;
        struct gw_image_write_options options = {.format = formats[i], .progress = stop_late, .opaque = &calls};
        struct file f = file_new(NULL, 0);
        struct gw_error err = GW_ERROR_INIT;
        int r = formats[i] == GW_IMAGE_STREAM ? gw_stream_write(image, &options, f.fd, &err)
                                              : gw_mapped_write(image, &options, f.fd, &err);

        assert_int_equal(r, -ECANCELED);
        assert_int_equal(calls, 3);
        close(f.fd);
    }
    gw_image_free(image);
}

/* A pipe has no places: what comes is put into a file first. */
static void test_from_a_pipe(void **state)
{
    struct bytes b = stream_load("stopped-source-64k-10.0.bin");
    struct gw_image *image = NULL, *direct = open_capture("stopped-source-64k-10.0.bin");
    struct gw_error err = GW_ERROR_INIT;
    char path[64];
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], b.data, b.bytes), (ssize_t)b.bytes); /* less than a pipe holds */
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    assert_int_equal(gw_image_open(path, &image, &err), 0);
    assert_same_image(image, direct);
    gw_image_free(image);
    gw_image_free(direct);
    close(ends[0]);
    free(b.data);
}

static void test_no_room_for_temporary_files(void **state)
{
    const struct gw_image_write_options gz = {.format = GW_IMAGE_STREAM, .compress = "gzip"};
    struct gw_image *image = open_capture("compress-microvm-7.2.bin"), *again = NULL;
    struct file plain = file_new(NULL, 0), packed = write_to_file(image, &gz);
    struct bytes b = stream_load("compress-microvm-7.2.bin");
    struct gw_error err = GW_ERROR_INIT;

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    assert_int_equal(pwrite(plain.fd, b.data, b.bytes, 0), (ssize_t)b.bytes);
    assert_int_equal(gw_image_open_in(packed.path, "/nowhere", &again, &err), -ENOENT);
    assert_non_null(strstr(err.text, "a temporary file in /nowhere: "));
    assert_int_equal(gw_image_open_in(plain.path, "/nowhere", &again, &err), -ENOENT); /* decoded pages */
    assert_int_equal(gw_image_open_in(plain.path, "/tmp", &again, &err), 0);
    assert_same_image(image, again);
    gw_image_free(again);
    gw_image_free(image);
    close(plain.fd);
    close(packed.fd);
    free(b.data);
}

/* A disk that is full, as far as this process is concerned. */
static void test_no_room_for_the_output(void **state)
{
    static const struct gw_image_write_options ways[] = {
        {.format = GW_IMAGE_STREAM},
        {.format = GW_IMAGE_MAPPED_RAM},
        {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML},
        {.format = GW_IMAGE_STREAM, .compress = "gzip"},
    };
    const struct rlimit small = {4096, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    struct gw_image *image = open_capture("precopy-microvm-10.0.bin.gz");

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < GW_ARRAY_LEN(ways); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct file f = file_new(NULL, 0);
        int r;

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        r = ways[i].format == GW_IMAGE_STREAM       ? gw_stream_write(image, &ways[i], f.fd, &err)
            : ways[i].format == GW_IMAGE_MAPPED_RAM ? gw_mapped_write(image, &ways[i], f.fd, &err)
                                                    : gw_libvirt_write(image, &ways[i], f.fd, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        if (r != (ways[i].compress ? -EIO : -EFBIG) || !strstr(err.text, "File too large"))
            fail_msg("way %zu: %d %s", i, r, err.text);
        close(f.fd);
    }
    signal(SIGXFSZ, SIG_DFL);
    gw_image_free(image);
}

static void test_sparse_copies(void **state)
{
    static uint8_t data[3 * 4096 + 100];
    struct file from = file_new(NULL, 0), to = file_new(NULL, 0);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t got[sizeof data];
    struct stat st;

    data[2 * 4096] = 1;
    assert_int_equal(pwrite(from.fd, data, sizeof data, 0), sizeof data);
    assert_int_equal(gw_copy_sparse(from.fd, to.fd, 0, &err), 0);
    assert_int_equal(file_bytes(&to), sizeof data);
    assert_int_equal(pread(to.fd, got, sizeof got, 0), sizeof got);
    assert_memory_equal(got, data, sizeof data);
    assert_int_equal(fstat(to.fd, &st), 0);
    assert_int_equal(st.st_blocks * 512, 4096);
    close(from.fd);
    close(to.fd);
}

/* Every page once, in order, however many threads read. */
static void test_pull(void **state)
{
    struct gw_image *image = open_capture("precopy-pc-10.0.bin.gz");

    for (unsigned threads = 0; threads < 4; threads++) {
        const struct gw_pull_config config = {.threads = threads};
        struct gw_pull_chunk *c = NULL;
        struct gw_error err = GW_ERROR_INIT;
        struct gw_pull *pull = NULL;
        uint64_t next = 0;
        unsigned block = 0;
        uint8_t page[4096];

        assert_int_equal(gw_pull_new(image, &config, &pull, &err), 0);
        while (gw_pull_next(pull, &c, &err) > 0) {
            while (next == image->blocks[block].pages) {
                block++;
                next = 0;
            }
            assert_int_equal(c->block, block);
            assert_int_equal(c->first, next);
            for (unsigned i = 0; i < c->count; i += 37) {
                assert_int_equal(gw_image_pages(image, block, next + i, 1, page, &err), 0);
                if (c->filled[i])
                    assert_memory_equal(page, c->data + (size_t)i * 4096, 4096);
                else
                    assert_true(!page[0] && !memcmp(page, page + 1, 4095));
            }
            next += c->count;
        }
        assert_int_equal(block, image->block_count - 1);
        assert_int_equal(next, image->blocks[block].pages);
        gw_pull_free(pull);
        assert_int_equal(gw_pull_new(image, &config, &pull, &err), 0); /* and given up at once */
        gw_pull_free(pull);
    }
    gw_image_free(image);
}

/* What cannot be written is known before there is an image. */
static void test_options(void **state)
{
    static const struct {
        struct gw_image_write_options o;
        int result;
    } cases[] = {
        {{.format = GW_IMAGE_MEMORY}, -ENOTSUP},
        {{.format = GW_IMAGE_FORMATS}, -ENOTSUP},
        {{.format = GW_IMAGE_PARKED, .compress = "none"}, 0},
        {{.format = GW_IMAGE_PARKED, .compress = "gzip"}, -EINVAL},
        {{.format = GW_IMAGE_PARKED, .level = -1}, -EINVAL},
        {{.format = GW_IMAGE_STREAM}, 0},
        {{.format = GW_IMAGE_STREAM, .compress = "raw"}, 0},
        {{.format = GW_IMAGE_STREAM, .compress = "gzip", .level = 9}, 0},
        {{.format = GW_IMAGE_STREAM, .compress = "gzip", .level = 10}, -EINVAL},
        {{.format = GW_IMAGE_STREAM, .compress = "sparse"}, -EINVAL},
        {{.format = GW_IMAGE_MAPPED_RAM, .compress = "raw"}, 0},
        {{.format = GW_IMAGE_MAPPED_RAM, .compress = "zstd"}, -EINVAL},
        {{.format = GW_IMAGE_LIBVIRT}, 0},
        {{.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML, .compress = "sparse"}, 0},
        {{.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML, .compress = "gzip", .level = -1}, -EINVAL},
        {{.format = GW_IMAGE_LIBVIRT, .libvirt_xml = "x"}, -EINVAL},
        {{.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML, .compress = "lz4"}, -EINVAL},
    };
    struct gw_error err = GW_ERROR_INIT;

    SKIP_EMULATED("the emulator starts other programs in a way of its own");
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        if (gw_image_check_options(&cases[i].o, &err) != cases[i].result)
            fail_msg("case %zu: %s", i, err.text);
}

/* In which folder there are programs; NULL: in none. */
static const char *spawned = "/";
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
                       char *const argv[], char *const env[]);
int __real_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
                       char *const argv[], char *const env[]);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
                       char *const argv[], char *const env[])
{
    assert_string_equal(env[0], "PATH=/usr/bin:/bin");
    assert_null(env[1]);
    return spawned && strstr(path, spawned) == path ? __real_posix_spawn(pid, path, files, attr, argv, env) : ENOENT;
}

/* What PATH says is not asked: only /usr/bin and /bin are looked into. */
static void test_programs(void **state)
{
    const struct gw_image_write_options gzip = {.format = GW_IMAGE_STREAM, .compress = "gzip"};
    struct gw_error err = GW_ERROR_INIT;
    char *path = strdup(getenv("PATH"));

    setenv("PATH", "/nowhere", 1);
    assert_int_equal(gw_image_check_options(&gzip, &err), 0);
    setenv("PATH", path, 1);
    spawned = "/bin/";
    assert_int_equal(gw_image_check_options(&gzip, &err), 0);
    spawned = NULL;
    assert_int_equal(gw_image_check_options(&gzip, &err), -ENOENT);
    assert_non_null(strstr(err.text, "gzip is needed to read or write it, but is not in /usr/bin or /bin"));
    spawned = "/";
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_large_and_empty),
        cmocka_unit_test(test_bytes_of_a_mapped_file),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_compressed_and_cut),
        cmocka_unit_test(test_to_a_path),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_from_a_pipe),
        cmocka_unit_test(test_no_room_for_temporary_files),
        cmocka_unit_test(test_no_room_for_the_output),
        cmocka_unit_test(test_sparse_copies),
        cmocka_unit_test(test_pull),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

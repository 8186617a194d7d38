/* SPDX-License-Identifier: MIT
 *
 * Descriptors of all kinds, and files.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helpers.h"

/* In the place of the C library's. */
static unsigned syncs;
static int sync_fails;

int fsync(int fd)
{
    syncs++;
    errno = sync_fails;
    return sync_fails ? -1 : (int)syscall(SYS_fsync, fd);
}

static struct gw_channel *from_fd(int fd)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    assert_ok(gw_channel_from_fd(fd, "fd:x", &ch, &err), err);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return ch;
}

static struct gw_uri uri_of(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri uri;

    assert_ok(gw_uri_parse(text, &uri, &err), err);
    return uri;
}

/* ---- pipes ------------------------------------------------------------------------------------------------------- */

static void pipe_round_trip(void **state)
{
    const size_t bytes = 5 * GW_MIB + 11;
    uint8_t *data = random_bytes(bytes, 3), *back = malloc(bytes);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *out, *in;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    in = from_fd(fds[0]);
    out = from_fd(fds[1]);
    assert_int_equal(in->features | out->features, 0);
    assert_string_equal(in->ops->kind, "fd");
    struct mover m[2] = {{.channel = out, .bytes = data, .count = bytes, .seed = 1, .write = true},
                         {.channel = in, .bytes = back, .count = bytes, .seed = 2}};
    mover_start(&m[0]);
    mover_start(&m[1]);
    assert_ok(mover_end(&m[0]), m[0].err);
    assert_ok(mover_end(&m[1]), m[1].err);
    assert_memory_equal(data, back, bytes);
    assert_int_equal(gw_channel_peek(in, back, 1, &err), -ENOTSUP);
    assert_text(err, "cannot peek at its first bytes");
    assert_ok(gw_channel_close(out, &err), err);
    gw_channel_free(out);
    assert_int_equal(gw_channel_read_full(in, back, 1, &err), -ENODATA);
    gw_channel_free(in);
    free(data);
    free(back);
}

/* A shutdown ends a call on one end of a pipe that waits for the other, and has no time-out that could end it. */
static void shut_down_while_it_waits(struct gw_channel *ch, uint8_t *bytes, size_t count, bool write)
{
    struct mover m = {.channel = ch, .bytes = bytes, .count = count, .write = write};

    gw_channel_set_timeout(ch, 0);
    mover_start(&m);
    mover_waits(&m);
    gw_channel_shutdown(ch);
    assert_int_equal(mover_end(&m), -ECANCELED);
}

static void pipe_waits_end(void **state)
{
    uint8_t *data = calloc(1, GW_MIB), byte = 0;
    struct gw_error err = GW_ERROR_INIT;

    struct gw_channel *out, *in;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    in = from_fd(fds[0]);
    out = from_fd(fds[1]);
    gw_channel_set_timeout(in, 30 * MS);
    assert_int_equal(gw_channel_read_full(in, &byte, 1, &err), -ETIMEDOUT);
    assert_text(err, "fd:x: nothing moved for 30 ms");
    gw_channel_set_timeout(out, 30 * MS);
    assert_int_equal(gw_channel_write_full(out, data, GW_MIB, &err), -ETIMEDOUT);
    shut_down_while_it_waits(out, data, GW_MIB, true);
    gw_channel_free(out);
    gw_channel_free(in);

    assert_int_equal(pipe(fds), 0);
    in = from_fd(fds[0]);
    shut_down_while_it_waits(in, &byte, 1, false);
    gw_channel_free(in);
    close(fds[1]);
    free(data);
}

static int sigpipes;

static void on_sigpipe(int number)
{
    sigpipes++;
}

/* Neither the default action nor a handler, nor is a pending one left; one that was pending before is. */
static void no_sigpipe(void **state)
{
    struct sigaction old, count = {.sa_handler = on_sigpipe};
    struct gw_error err = GW_ERROR_INIT;
    sigset_t mask, saved, pending;
    struct gw_channel *out;
    const struct timespec none = {0};
    int fds[2];

    signal(SIGPIPE, SIG_DFL); /* would end the test */
    for (int kind = 0; kind < 2; kind++) {
        if (kind)
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        else
            assert_int_equal(pipe(fds), 0);
        out = from_fd(fds[1]);
        close(fds[0]);
        assert_int_equal(gw_channel_write_full(out, "x", 1, &err), -EPIPE);
        assert_text(err, "the other side has closed the connection");
        sigaction(SIGPIPE, &count, &old);
        assert_int_equal(gw_channel_write_full(out, "x", 1, &err), -EPIPE);
        assert_int_equal(sigpipes, 0);
        sigemptyset(&mask);
        sigaddset(&mask, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &mask, &saved);
        assert_int_equal(gw_channel_write_full(out, "x", 1, &err), -EPIPE);
        sigpending(&pending);
        assert_false(sigismember(&pending, SIGPIPE));
        raise(SIGPIPE);
        assert_int_equal(gw_channel_write_full(out, "x", 1, &err), -EPIPE);
        sigpending(&pending);
        assert_true(sigismember(&pending, SIGPIPE));
        assert_int_equal(sigtimedwait(&mask, NULL, &none), SIGPIPE);
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        sigaction(SIGPIPE, &old, NULL);
        assert_int_equal(sigpipes, 0);
        gw_channel_free(out);
    }
}

/* The mode of a pipe is shared with whoever has it too; it is put back. */
static void modes_are_put_back(void **state)
{
    struct gw_channel *ch;
    int fds[2], ours;

    assert_int_equal(pipe(fds), 0);
    ours = dup(fds[0]);
    ch = from_fd(ours);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    gw_channel_free(ch);
    assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(fcntl(ours, F_GETFD), -1);
    close(fds[0]);
    close(fds[1]);
    /* Sockets are left alone altogether. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ch = from_fd(fds[0]);
    assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    gw_channel_free(ch);
    close(fds[1]);
}

static void what_is_no_stream(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    int fd, pair[2];

    assert_int_equal(gw_channel_from_fd(-1, "fd:-1", &ch, &err), -EBADF);
    assert_text(err, "fd:-1: Bad file descriptor");
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(gw_channel_from_fd(9999, "fd:9999", &ch, &err), -EBADF);
    fd = eventfd(0, 0);
    assert_int_equal(gw_channel_from_fd(fd, "fd:e", &ch, &err), -EINVAL);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken all the same */
    fd = open("/tmp", O_RDONLY);
    assert_int_equal(gw_channel_from_fd(fd, "fd:d", &ch, &err), -EISDIR);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    assert_int_equal(gw_channel_from_fd(pair[0], "fd:g", &ch, &err), -ESOCKTNOSUPPORT);
    assert_text(err, "not a stream socket");
    close(pair[1]);
    assert_null(ch);
}

static void devices(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t data[100];
    struct gw_channel *ch;

    ch = from_fd(open("/dev/zero", O_RDONLY));
    memset(data, 1, sizeof data);
    assert_ok(gw_channel_read_full(ch, data, sizeof data, &err), err);
    assert_int_equal(data[99], 0);
    gw_channel_free(ch);
    ch = from_fd(open("/dev/full", O_WRONLY));
    assert_int_equal(gw_channel_write_full(ch, data, sizeof data, &err), -ENOSPC);
    gw_channel_free(ch);
    struct gw_uri null = uri_of("file:/dev/null");
    assert_ok(gw_connect(&null, 0, NULL, &ch, &err), err);
    assert_ok(gw_channel_write_full(ch, data, sizeof data, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
}

static void memory_that_is_not_there(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = pair_open(PAIR_FD);

    assert_non_null(p);
    assert_int_equal(gw_channel_write_full(p->a, (void *)8, 100, &err), -EFAULT);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_ok(gw_channel_write_full(p->b, "x", 1, &err), err);
    assert_int_equal(gw_channel_read_full(p->a, (void *)8, 1, &err), -EFAULT);
    pair_free(p);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static struct gw_channel *file_open(const char *path, const char *options, bool write)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_listener *l;
    struct gw_channel *ch;
    struct gw_uri uri;
    char text[128];

    snprintf(text, sizeof text, "file:%s%s", path, options);
    uri = uri_of(text);
    if (write) {
        assert_ok(gw_connect(&uri, 0, NULL, &ch, &err), err);
    } else {
        assert_ok(gw_listen(&uri, 1, &l, &err), err);
        assert_ok(gw_listener_accept(l, 0, NULL, &ch, &err), err);
        gw_listener_free(l);
    }
    assert_string_equal(ch->name, text);
    assert_string_equal(ch->ops->kind, "file");
    assert_int_equal(ch->features, GW_CHANNEL_SEEKABLE | GW_CHANNEL_PEEK);
    return ch;
}

static void file_round_trip(void **state)
{
    const size_t bytes = 4 * GW_MIB + 13;
    uint8_t *data = random_bytes(bytes, 3), *back = malloc(bytes);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct stat st;
    mode_t mask;
    char path[64];

    temporary_path(path, "f");
    mask = umask(0);
    ch = file_open(path, "", true);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct mover w = {.channel = ch, .bytes = data, .count = bytes, .seed = 1, .write = true};
    mover_start(&w);
    assert_ok(mover_end(&w), w.err);
    assert_ok(gw_channel_sync(ch, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    ch = file_open(path, "", false);
    assert_int_equal(gw_channel_peek(ch, back, 10, &err), 10);
    assert_memory_equal(back, data, 10);
    struct mover r = {.channel = ch, .bytes = back, .count = bytes, .seed = 5};
    mover_start(&r);
    assert_ok(mover_end(&r), r.err);
    assert_memory_equal(data, back, bytes);
    assert_int_equal(gw_channel_read_full(ch, back, 1, &err), -ENODATA);
    assert_int_equal(gw_channel_peek(ch, back, 1, &err), 0);
    gw_channel_free(ch);
    remove_temporary(path);
    free(data);
    free(back);
}

/* Below the offset the file stays as it was; from there on it is ours, and nothing old is behind it. */
static void file_offset(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    char path[64], text[40] = "";
    struct stat st;
    int fd;

    temporary_path(path, "f");
    fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_int_equal(write(fd, "header..OLD OLD OLD OLD", 23), 23);
    ch = file_open(path, ",offset=8", true);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8);
    assert_ok(gw_channel_write_full(ch, "stream", 6, &err), err);
    /* Positioned I/O is from the file's start and leaves the stream where it is. */
    assert_ok(gw_channel_pwrite_full(ch, "H", 1, 0, &err), err);
    assert_ok(gw_channel_pwrite_full(ch, "page", 4, 20, &err), err);
    assert_ok(gw_channel_write_full(ch, "!", 1, &err), err);
    assert_int_equal(gw_channel_read_full(ch, text, 1, &err), -EBADF);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    assert_int_equal(pread(fd, text, sizeof text, 0), 24);
    assert_memory_equal(text, "Header..stream!\0\0\0\0\0page", 24);
    ch = file_open(path, ",offset=8", false);
    assert_ok(gw_channel_read_full(ch, text, 7, &err), err);
    assert_memory_equal(text, "stream!", 7);
    assert_ok(gw_channel_pread_full(ch, text, 6, 0, &err), err);
    assert_memory_equal(text, "Header", 6);
    assert_int_equal(gw_channel_pread_full(ch, text, 6, 20, &err), -ENODATA);
    assert_text(err, "ends at byte 24, 2 more bytes needed");
    assert_ok(gw_channel_seek(ch, 20, &err), err);
    assert_ok(gw_channel_read_full(ch, text, 4, &err), err);
    assert_memory_equal(text, "page", 4);
    assert_int_equal(gw_channel_pread_full(ch, text, 1, UINT64_MAX, &err), -EINVAL);
    assert_int_equal(gw_channel_seek(ch, 1ull << 63, &err), -EINVAL);
    gw_channel_free(ch);
    /* A new file gets zeros below. */
    unlink(path);
    close(fd);
    ch = file_open(path, ",offset=1048576", true);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, GW_MIB);
    gw_channel_free(ch);
    remove_temporary(path);
}

static void file_errors(void **state)
{
    struct gw_uri uri = uri_of("file:/tmp");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    struct gw_listener *l;

    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -EISDIR);
    assert_text(err, "creating file:/tmp: Is a directory");
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_int_equal(gw_listen(&uri, 1, &l, &err), -EISDIR);
    assert_text(err, "file:/tmp: a directory");
    uri = uri_of("file:/godwit-no-such/dir");
    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -ENOENT);
    assert_null(ch);
    uri = uri_of("file:/dev/full");
    assert_ok(gw_connect(&uri, 0, NULL, &ch, &err), err);
    assert_int_equal(gw_channel_write_full(ch, "x", 1, &err), -ENOSPC);
    gw_channel_free(ch);
}

static void file_shutdown(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    char path[64], byte = 0;

    temporary_path(path, "f");
    ch = file_open(path, "", true);
    gw_channel_shutdown(ch);
    assert_int_equal(gw_channel_write_full(ch, &byte, 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_pwrite_full(ch, &byte, 1, 0, &err), -ECANCELED);
    assert_int_equal(gw_channel_sync(ch, &err), -ECANCELED);
    assert_int_equal(gw_channel_close(ch, &err), -ECANCELED);
    gw_channel_free(ch);
    remove_temporary(path);
}

/* A file given as a descriptor: from where it stands, and the others who have it see how far it went. */
static void file_descriptors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[64], text[32] = "";
    struct gw_channel *ch;
    int fd;

    temporary_path(path, "f");
    fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_int_equal(write(fd, "before ", 7), 7);
    ch = from_fd(dup(fd));
    assert_int_equal(ch->features, GW_CHANNEL_SEEKABLE | GW_CHANNEL_PEEK);
    assert_ok(gw_channel_write_full(ch, "ours ", 5, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    assert_int_equal(write(fd, "after", 5), 5);
    assert_int_equal(pread(fd, text, sizeof text, 0), 17);
    assert_string_equal(text, "before ours after");
    close(fd);
    fd = open(path, O_WRONLY | O_APPEND);
    ch = from_fd(fd);
    assert_int_equal(ch->features & GW_CHANNEL_SEEKABLE, 0);
    assert_int_equal(gw_channel_pwrite_full(ch, "x", 1, 0, &err), -ESPIPE);
    gw_channel_free(ch);
    remove_temporary(path);
}

/* ---- FIFOs by name ----------------------------------------------------------------------------------------------- */

static void fifo(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[64], text[96], word[8];
    struct gw_channel *in, *out;
    struct gw_listener *l;
    struct gw_uri uri;

    temporary_path(path, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(text, sizeof text, "file:%s", path);
    uri = uri_of(text);
    assert_int_equal(gw_connect(&uri, 0, NULL, &out, &err), -ENXIO);
    assert_text(err, "no process reads this FIFO");
    assert_ok(gw_listen(&uri, 1, &l, &err), err);
    assert_ok(gw_listener_accept(l, 0, NULL, &in, &err), err);
    gw_listener_free(l);
    /* No writer yet is not the end. */
    gw_channel_set_timeout(in, 20 * MS);
    assert_int_equal(gw_channel_read_full(in, word, 4, &err), -ETIMEDOUT);
    gw_channel_set_timeout(in, PATIENCE_NS);
    assert_ok(gw_connect(&uri, PATIENCE_NS, NULL, &out, &err), err);
    assert_ok(gw_channel_write_full(out, "word", 4, &err), err);
    assert_ok(gw_channel_read_full(in, word, 4, &err), err);
    gw_channel_free(out);
    assert_int_equal(gw_channel_read_full(in, word, 4, &err), -ENODATA);
    gw_channel_free(in);
    remove_temporary(path);
}

/* Who sent a machine to a file may forget it once the channel closed well. */
static void a_close_is_durable(void **state)
{
    static const struct {
        bool write;
        int fails, syncs, r;
    } cases[] = {{true, 0, 1, 0}, {true, EIO, 1, -EIO}, {true, EINVAL, 1, 0}, {true, EROFS, 1, 0}, {false, EIO, 0, 0}};

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        char path[] = "/tmp/godwit-file-XXXXXX";
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *ch = from_fd(mkstemp(path));

        unlink(path);
        if (cases[i].write)
            assert_ok(gw_channel_write_full(ch, "x", 1, &err), err);
        syncs = 0;
        sync_fails = cases[i].fails;
        assert_int_equal(gw_channel_close(ch, &err), cases[i].r);
        sync_fails = 0;
        assert_int_equal(syncs, cases[i].syncs);
        gw_channel_free(ch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(a_close_is_durable),
        channel_test(pipe_round_trip),
        channel_test(pipe_waits_end),
        channel_test(no_sigpipe),
        channel_test(modes_are_put_back),
        channel_test(what_is_no_stream),
        channel_test(devices),
        channel_test(memory_that_is_not_there),
        channel_test(file_round_trip),
        channel_test(file_offset),
        channel_test(file_errors),
        channel_test(file_shutdown),
        channel_test(file_descriptors),
        channel_test(fifo),
    };

    return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}

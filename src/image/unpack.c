/* SPDX-License-Identifier: MIT */
#include "image/unpack.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "channel/spawn.h"
#include "image/feed.h"
#include "ram/page/zero.h"

#define COPY_BYTES (1u << 20)
#define ASK_MS     20
#define HOLE_BYTES 4096u /* granularity of holes in file systems */

/* PATH is not used: the caller's environment may be untrusted, and the files hold a guest's memory. */
static const char *const folders[] = {"/usr/bin", "/bin"};
static char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

static const struct known {
    const char *program, *magic;
    size_t bytes;
    bool threads;  /* supports -T0: one thread per processor */
    int level_max; /* some programs read -22 as -2 -2 */
    /* A program with neither of these two passes over what follows its stream. */
    const char *single; /* option: there is one stream only; with it, it does so too */
    bool fed;           /* it must get no more than its stream (feed.h) */
} known[] = {{"gzip", "\x1f\x8b", 2, false, 9, NULL, false},
             {"bzip2", "BZh", 3, false, 9, NULL, false},
             {"xz",
              "\xfd"
              "7zXZ\0",
              6, true, 9, "--single-stream", false},
             {"lzop", "\x89LZO\0\r\n\x1a\n", 9, false, 9, NULL, false},
             {"zstd", "\x28\xb5\x2f\xfd", 4, true, 19, NULL, true}};

const char *gw_compression(const uint8_t *head, size_t bytes)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++)
        if (bytes >= known[i].bytes && !memcmp(head, known[i].magic, known[i].bytes))
            return known[i].program;
    return NULL;
}

static const struct known *find(const char *program)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++)
        if (!strcmp(known[i].program, program))
            return &known[i];
    return NULL;
}

bool gw_compression_known(const char *program)
{
    return find(program) != NULL;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static int spawn(struct gw_spawn *child, const char *program, pid_t *ret_pid)
{
    char path[64];
    int r = -ENOENT;

    for (size_t i = 0; i < GW_ARRAY_LEN(folders) && r == -ENOENT; i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], program);
        child->program = path;
        r = gw_spawn(child, ret_pid);
    }
    return r;
}

/* Starts the program with one end of a pipe; the other end is ours. */
static int start(struct gw_filter *f, const char *program, char *const argv[], int fd, bool reads, struct gw_error *err)
{
    /* The child stays in our process group, so that an interrupt from the terminal ends it too. */
    struct gw_spawn child = {.argv = argv, .env = environment};
    int ends[2], r;

    *f = (struct gw_filter){.program = program, .pipe = -1, .said = -1};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "a pipe to %s: %s", program, strerror(errno));
    f->said = memfd_create("messages", MFD_CLOEXEC);
    child.in = reads ? fd : ends[0];
    child.out = reads ? ends[1] : fd;
    child.err = f->said;
    r = f->said < 0 ? -errno : spawn(&child, program, &f->child);
    f->pipe = ends[!reads];
    close(ends[reads]);
    if (r >= 0)
        return 0;
    gw_close_fd(&f->pipe);
    gw_close_fd(&f->said);
    if (r == -ENOENT)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s is needed to read or write it, but is not in /usr/bin or "
                       "/bin", program);
    return gw_fail(err, r, GW_BLAME_LOCAL, "starting %s: %s", program, strerror(-r));
}

/* Whether something lies behind the stream that begins where fd stands, as far as that is known beforehand: it has a head in
 * front of it, or the file does not end as one of xz does. */
static bool lies_in_more(int fd)
{
    off_t at = lseek(fd, 0, SEEK_CUR), end;
    char last[2] = "";

    if (at < 0)
        return false;
    end = lseek(fd, 0, SEEK_END);
    lseek(fd, at, SEEK_SET);
    return at > 0 || end < 2 || pread(fd, last, 2, end - 2) != 2 || memcmp(last, "YZ", 2);
}

static int start_fed(struct gw_filter *f, const char *program, char *const argv[], int fd, struct gw_error *err)
{
    GW_AUTOFD int in = -1;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "a pipe to %s: %s", program, strerror(errno));
    in = ends[0];
    r = start(f, program, argv, in, true, err);
    if (r < 0) {
        close(ends[1]);
        return r;
    }
    r = gw_feed_start(fd, ends[1], &f->feed, err);
    return r < 0 ? gw_filter_end(f, r, err) : 0;
}

int gw_filter_decompress(struct gw_filter *f, const char *program, int fd, struct gw_error *err)
{
    const struct known *k = find(program);
    const char *single = k && k->single && lies_in_more(fd) ? k->single : NULL;
    char *const argv[] = {(char *)program, (char *)"-dc", (char *)single, NULL};
    int r = k && k->fed ? start_fed(f, program, argv, fd, err) : start(f, program, argv, fd, true, err);

    f->unpacks = true;
    return r;
}

int gw_filter_compress(struct gw_filter *f, const char *program, int level, int fd, struct gw_error *err)
{
    char *argv[5] = {(char *)program, (char *)"-c"}, text[16];
    const struct known *k = find(program);
    int n = 2;

    if (k && (level < 0 || level > k->level_max))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the level of %s is 1 to %d, not %d", program, k->level_max,
                       level);
    if (k && k->threads)
        argv[n++] = (char *)"-T0";
    snprintf(text, sizeof text, "-%d", level);
    if (level > 0)
        argv[n++] = text;
    return start(f, program, argv, fd, false, err);
}

/* The first line of the program's standard error. */
static void first_words(int fd, const char *program, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    size_t skip = strlen(program);

    text[GW_MAX(n, 0)] = 0;
    memmove(text, text + strspn(text, "\n"), strlen(text + strspn(text, "\n")) + 1); /* gzip's message begins with a newline */
    text[strcspn(text, "\n")] = 0;
    if (!strncmp(text, program, skip) && !strncmp(text + skip, ": ", 2)) /* the error names the program already */
        memmove(text, text + skip + 2, strlen(text + skip + 2) + 1);
}

int gw_filter_try(const char *program, int level, struct gw_error *err)
{
    GW_AUTOFD int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct gw_filter filter;
    int r;

    if (nowhere < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "/dev/null: %s", strerror(errno));
    r = gw_filter_compress(&filter, program, level, nowhere, err);
    return r < 0 ? r : gw_filter_end(&filter, 0, err);
}

/* Ends the program; its result is not needed any more. */
static int end_program(const struct gw_filter *f, struct gw_error *err)
{
    kill(f->child, SIGKILL);
    return gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
}

/* Waits until the program ends. *r becomes -ECANCELED if `stop` asks for it. Returns 0 or a negative errno. */
static int await(struct gw_filter *f, int *r, int *ret_status, struct gw_error *err)
{
    int got;

    if (*r == -ECANCELED)
        kill(f->child, SIGKILL);
    for (;;) {
        bool asks = f->stop && *r != -ECANCELED;

        got = waitpid(f->child, ret_status, asks ? WNOHANG : 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            return 0;
        if (got == 0 && f->stop(f->opaque))
            *r = end_program(f, err);
        else if (got == 0)
            poll(NULL, 0, ASK_MS);
    }
}

/* A warning: all of the stream was good, and something else follows it. */
static bool passed_over(const struct gw_filter *f, int status, const char *said)
{
    return f->unpacks && WIFEXITED(status) && WEXITSTATUS(status) == 2 && strstr(said, "trailing garbage");
}

int gw_filter_end(struct gw_filter *f, int r, struct gw_error *err)
{
    char said[200];
    int status = 0, got, fed;

    gw_close_fd(&f->pipe);
    got = await(f, &r, &status, err);
    first_words(f->said, f->program, said, sizeof said);
    gw_close_fd(&f->said);
    fed = gw_feed_end(f->feed, r < 0 ? NULL : err);
    f->feed = NULL;
    if (fed < 0)
        return r < 0 ? r : fed;
    if (got >= 0 && passed_over(f, status, said))
        status = 0;
    if (got < 0)
        return r < 0 ? r : gw_fail(err, got, GW_BLAME_LOCAL, "%s: its exit status is not known: %s", f->program, strerror(-got));
    /* If we stopped reading early, the program may have failed with a broken pipe. */
    if (!status || r == -ECANCELED || (r < 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE))
        return r;
    if (WIFSIGNALED(status))
        snprintf(said, sizeof said, "killed by signal %d", WTERMSIG(status));
    else if (!*said)
        snprintf(said, sizeof said, "it ended with status %d", WEXITSTATUS(status));
    if (f->unpacks && r < 0 && r != -ENODATA && r != -EPROTO) /* our error was first: we had stopped reading its output */
        return r;
    if (f->unpacks && WIFEXITED(status))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s failed: %s", f->program, said);
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "%s failed: %s", f->program, said);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

int gw_temporary(const char *folder, int *ret_fd, struct gw_error *err)
{
    char path[4096];
    int fd, n;

    if (!folder || !*folder)
        folder = "/var/tmp";
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        n = snprintf(path, sizeof path, "%s/godwit.XXXXXX", folder);
        fd = n > 0 && (size_t)n < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "a temporary file in %s: %s", folder, strerror(errno));
    *ret_fd = fd;
    return 0;
}

int gw_pwrite_all(int fd, const void *data, size_t bytes, uint64_t at, struct gw_error *err)
{
    const uint8_t *p = data;

    while (bytes) {
        ssize_t n = pwrite(fd, p, bytes, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return gw_fail(err, n ? -errno : -ENOSPC, GW_BLAME_LOCAL, "writing at byte %" PRIu64 ": %s", at,
                           strerror(n ? errno : ENOSPC));
        p += n;
        bytes -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

int gw_pread_all(int fd, void *dst, size_t bytes, uint64_t at, const char *what, struct gw_error *err)
{
    for (size_t have = 0; have < bytes;) {
        ssize_t n = pread(fd, (uint8_t *)dst + have, bytes - have, (off_t)(at + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "%s, at byte %" PRIu64 ": %s", what, at + have, n ? strerror(errno) : "it ends there");
        have += (size_t)n;
    }
    return 0;
}

ssize_t gw_read_full(int fd, void *dst, size_t bytes, struct gw_error *err)
{
    uint8_t *buf = dst;
    size_t have = 0;

    while (have < bytes) {
        ssize_t n = read(fd, buf + have, bytes - have);

        if (n == 0)
            break;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLIN};

            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "reading: %s", strerror(errno));
        } else if (n > 0) {
            have += (size_t)n;
        }
    }
    return (ssize_t)have;
}

int gw_pwrite_sparse(int fd, const void *bytes_of, size_t bytes, uint64_t at, const struct gw_zero *zero, struct gw_error *err)
{
    const uint8_t *data = bytes_of;
    size_t from = 0, to;
    int r = 0;

    while (from < bytes && r >= 0) {
        while (from < bytes && zero->all(data + from, GW_MIN(HOLE_BYTES, bytes - from)))
            from += HOLE_BYTES;
        for (to = from; to < bytes && !zero->all(data + to, GW_MIN(HOLE_BYTES, bytes - to));)
            to += HOLE_BYTES;
        if (from < bytes)
            r = gw_pwrite_all(fd, data + from, GW_MIN(to, bytes) - from, at + from, err);
        from = to;
    }
    return r;
}

int gw_copy_sparse(int from, int to, uint64_t at, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *buf = malloc(COPY_BYTES);
    const struct gw_zero *zero = gw_zero_pick();
    ssize_t n = 0;
    int r = buf ? 0 : gw_nomem(err, "copying");

    while (r >= 0 && (n = gw_read_full(from, buf, COPY_BYTES, err)) > 0) {
        r = gw_pwrite_sparse(to, buf, (size_t)n, at, zero, err);
        at += (uint64_t)n;
    }
    if (r < 0 || n < 0)
        return r < 0 ? r : (int)n;
    if (ftruncate(to, (off_t)at) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "a temporary file: %s", strerror(errno));
    return 0;
}

int gw_image_unpack_with(int fd, const char *program, const char *folder, int *ret_fd, struct gw_error *err)
{
    struct gw_filter f;
    int to = -1, r = gw_temporary(folder, &to, err);

    if (r >= 0)
        r = gw_filter_decompress(&f, program, fd, err);
    if (r >= 0)
        r = gw_filter_end(&f, gw_copy_sparse(f.pipe, to, 0, err), err);
    gw_close_fd(&fd);
    if (r < 0) {
        gw_close_fd(&to);
        return r;
    }
    *ret_fd = to;
    return 0;
}

/* Copies a pipe, a socket or a character device into a file. */
static int store(int fd, const char *folder, int *ret_fd, struct gw_error *err)
{
    int to = -1, r = gw_temporary(folder, &to, err);

    if (r >= 0)
        r = gw_copy_sparse(fd, to, 0, err);
    gw_close_fd(&fd);
    if (r < 0) {
        gw_close_fd(&to);
        return r;
    }
    *ret_fd = to;
    return 0;
}

int gw_image_unpack(int fd, const char *name, const char *folder, int *ret_fd, struct gw_error *err)
{
    uint8_t head[GW_UNPACK_HEAD];
    const char *program = NULL;
    ssize_t n;
    int r = 0;

    if (lseek(fd, 0, SEEK_SET) < 0)
        r = store(fd, folder, &fd, err);
    if (r >= 0) {
        n = pread(fd, head, sizeof head, 0);
        program = n > 0 ? gw_compression(head, (size_t)n) : NULL;
    }
    if (program) {
        lseek(fd, 0, SEEK_SET); /* as before */
        r = gw_image_unpack_with(fd, program, folder, &fd, err);
    }
    if (r < 0)
        gw_context(err, "%s", name);
    else
        *ret_fd = fd;
    return r;
}

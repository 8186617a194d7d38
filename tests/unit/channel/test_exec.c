/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "helpers.h"

/* The channel of the test that runs: a command that a failed test leaves is ended by the teardown. */
static struct gw_channel *running;

static struct gw_channel *run(const char *command)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct gw_uri uri;
    char text[1000];

    snprintf(text, sizeof text, "exec:%s", command);
    assert_ok(gw_uri_parse(text, &uri, &err), err);
    assert_ok(gw_connect(&uri, PATIENCE_NS, NULL, &ch, &err), err);
    running = ch;
    return ch;
}

static void end(struct gw_channel *ch)
{
    running = NULL;
    gw_channel_free(ch);
}

static pthread_t shutting_down;

static int exec_clean_up(void **state)
{
    sigset_t none;

    if (shutting_down) /* uses the channel */
        pthread_join(shutting_down, NULL);
    shutting_down = 0;
    clean_up(state); /* the threads first */
    running = gw_channel_free(running);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    return 0;
}

/* Nothing that we started is left, dead or alive. */
static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void duplex(void **state)
{
    const size_t bytes = 3 * GW_MIB + 7;
    uint8_t *data = random_bytes(bytes, 3), *back = malloc(bytes);
    struct gw_channel *ch = run("cat");
    struct gw_error err = GW_ERROR_INIT;
    struct mover m[2] = {{.channel = ch, .bytes = data, .count = bytes, .seed = 1, .write = true},
                         {.channel = ch, .bytes = back, .count = bytes, .seed = 2}};

    assert_string_equal(ch->ops->kind, "exec");
    assert_string_equal(ch->name, "exec:cat");
    assert_true(ch->features & GW_CHANNEL_DUPLEX);
    assert_false(ch->features & GW_CHANNEL_MULTI);
    mover_start(&m[0]);
    mover_start(&m[1]);
    assert_ok(mover_end(&m[0]), m[0].err);
    assert_ok(mover_end(&m[1]), m[1].err);
    assert_memory_equal(data, back, bytes);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
    assert_no_children();
    free(data);
    free(back);
}

static void close_waits_for_the_work_to_be_done(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[64], command[300], word[16] = "";
    struct gw_channel *ch;
    int fd;

    temporary_path(path, "out");
    snprintf(command, sizeof command, "cat > %s.tmp; sleep 0.2; mv %s.tmp %s", path, path, path);
    ch = run(command);
    assert_ok(gw_channel_write_full(ch, "all of it", 9, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, word, sizeof word), 9);
    assert_string_equal(word, "all of it");
    close(fd);
    remove_temporary(path);
    assert_no_children();
}

static void status_is_an_error(void **state)
{
    static const struct {
        const char *command, *says;
        int code;
    } cases[] = {
        {"cat >/dev/null; exit 3", "exec:cat >/dev/null; exit 3: the command ended with status 3", -EIO},
        {"cat >/dev/null; kill -9 $$", "killed by signal 9 (Killed)", -ECONNRESET},
        {"cat >/dev/null; kill -PIPE $$", "killed by signal 13", -ECONNRESET}, /* its own doing, not ours */
        {"godwit-no-such-command", "status 127", -EIO},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_channel *ch = run(cases[i].command);
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(gw_channel_close(ch, &err), cases[i].code);
        assert_text(err, cases[i].says);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        end(ch);
        assert_no_children();
    }
}

static void reading_to_the_end(void **state)
{
    struct gw_channel *ch = run("printf stream");
    struct gw_error err = GW_ERROR_INIT;
    char word[20];

    assert_int_equal(gw_channel_read_full(ch, word, sizeof word, &err), -ENODATA);
    assert_memory_equal(word, "stream", 6);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
    assert_no_children();
}

/* A reader that has enough closes, and the command is neither left hanging nor blamed. */
static void output_that_nobody_wants(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    char word[4];

    ch = run("printf abcd; head -c 3000000 /dev/zero");
    assert_ok(gw_channel_read_full(ch, word, 4, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
    ch = run("exec cat /dev/zero");
    assert_ok(gw_channel_read_full(ch, word, 4, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
    assert_no_children();
}

static void broken_connections_tell_the_status(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = run("exit 5");
    uint8_t *data = calloc(1, GW_MIB);
    int r = 0;

    while (r == 0)
        r = gw_channel_write_full(ch, data, GW_MIB, &err);
    assert_true(r == -EPIPE || r == -ECONNRESET);
    assert_text(err, "the command ended with status 5");
    end(ch);
    assert_no_children();
    free(data);
}

static bool alive(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return kill(atoi(text), 0) == 0;
}

/* The command and what it started: all of its process group goes. */
static void shutdown_kills(void **state)
{
    char path[64], command[200], byte;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    struct mover m = {.bytes = (uint8_t *)&byte, .count = 1};

    temporary_path(path, "pid");
    snprintf(command, sizeof command, "sleep 1000 & echo $! > %s; printf r; wait; wait", path);
    ch = run(command);
    assert_ok(gw_channel_read_full(ch, &byte, 1, &err), err);
    assert_true(alive(path));
    gw_channel_set_timeout(ch, 0);
    m.channel = ch;
    mover_start(&m);
    mover_waits(&m);
    gw_channel_shutdown(ch);
    assert_int_equal(mover_end(&m), -ECANCELED); /* without waiting for the 1000 seconds */
    assert_int_equal(gw_channel_close(ch, &err), -ECANCELED);
    while (alive(path)) /* until init has taken the orphan in */
        pass_ns(5 * MS);
    end(ch);
    assert_no_children();
    remove_temporary(path);
}

static void free_without_close_kills(void **state)
{
    end(run("trap '' TERM HUP PIPE INT; while :; do sleep 1; done"));
    assert_no_children();
}

static void close_times_out(void **state)
{
    struct gw_channel *ch = run("sleep 1000");
    struct gw_error err = GW_ERROR_INIT;

    gw_channel_set_timeout(ch, 50 * MS);
    assert_int_equal(gw_channel_close(ch, &err), -ETIMEDOUT);
    assert_text(err, "still runs 50 ms after the end of the stream");
    end(ch);
    assert_no_children();
}

static void *shutdown_later(void *opaque)
{
    pass_ns(30 * MS);
    gw_channel_shutdown(opaque);
    return NULL;
}

static void close_is_shut_down(void **state)
{
    struct gw_channel *ch = run("sleep 1000");

    gw_channel_set_timeout(ch, 0);
    assert_int_equal(pthread_create(&shutting_down, NULL, shutdown_later, ch), 0);
    assert_int_equal(gw_channel_close(ch, NULL), -ECANCELED);
    pthread_join(shutting_down, NULL);
    shutting_down = 0;
    end(ch);
    assert_no_children();
}

static void read_text(const char *command, char *text, size_t size)
{
    struct gw_channel *ch = run(command);
    struct gw_error err = GW_ERROR_INIT;

    memset(text, 0, size);
    assert_int_equal(gw_channel_read_full(ch, text, size - 1, &err), -ENODATA);
    assert_ok(gw_channel_close(ch, &err), err);
    end(ch);
}

/* The command sees none of our connections, no blocked and no ignored signals. */
static void a_clean_place_to_run_in(void **state)
{
    struct pair *p = pair_open(PAIR_TCP4);
    char text[4000], out[100];
    sigset_t all, old;

    assert_non_null(p);
    read_text("ls -l /proc/self/fd", text, sizeof text);
    for (char *line = strtok(text, "\n"), *arrow; line; line = strtok(NULL, "\n")) {
        arrow = strstr(line, " -> ");
        if (!arrow)
            continue;
        while (arrow[-1] != ' ')
            arrow--;
        if (strstr(line, "eventfd") || (strstr(line, "socket:") && atoi(arrow) > 2))
            fail_msg("the command has '%s'", line);
    }
    pair_free(p);
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    read_text("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n '", out, sizeof out);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* glibc keeps two signals (32 and 33) for itself, and ignores them in what it spawns. */
    char *ignored = strstr(out, "SigIgn:");
    assert_non_null(ignored);
    assert_int_equal(strtoull(ignored + 7, NULL, 16) & ~(3ull << 31), 0);
    assert_memory_equal(out, "SigBlk:0000000000000000", 23);
    assert_no_children();
}

static void children_that_nobody_waits_for(void **state)
{
    struct gw_channel *ch;
    struct gw_error err = GW_ERROR_INIT;

    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 20; i++) {
        char word[4];

        ch = run(i % 2 ? "printf word" : "printf word; sleep 0.01");
        assert_ok(gw_channel_read_full(ch, word, 4, &err), err);
        assert_int_equal(gw_channel_close(ch, &err), -ECHILD);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        end(ch);
    }
    end(run("sleep 1000"));
    signal(SIGCHLD, SIG_DFL);
    assert_no_children();
}

#define exec_test(f) cmocka_unit_test_teardown(f, exec_clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        exec_test(duplex),
        exec_test(close_waits_for_the_work_to_be_done),
        exec_test(status_is_an_error),
        exec_test(reading_to_the_end),
        exec_test(output_that_nobody_wants),
        exec_test(broken_connections_tell_the_status),
        exec_test(shutdown_kills),
        exec_test(free_without_close_kills),
        exec_test(close_times_out),
        exec_test(close_is_shut_down),
        exec_test(a_clean_place_to_run_in),
        exec_test(children_that_nobody_waits_for),
    };

    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}

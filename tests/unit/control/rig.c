/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <poll.h>
#include <sys/un.h>

static const char *rig_run_state(void *opaque)
{
    return ((struct rig *)opaque)->run_state;
}

static int rig_stop(void *opaque, struct gw_error *err)
{
    ((struct rig *)opaque)->run_state = "paused";
    return 0;
}

static int rig_cont(void *opaque, struct gw_error *err)
{
    ((struct rig *)opaque)->run_state = "running";
    return 0;
}

static void rig_quit(void *opaque)
{
    atomic_fetch_add(&((struct rig *)opaque)->quits, 1);
}

static void rig_event(void *opaque, const struct gw_event *event)
{
    atomic_fetch_add(&((struct rig *)opaque)->seen, 1);
}

static const struct gw_control_ops rig_ops = {sizeof(struct gw_control_ops), rig_run_state, rig_stop, rig_cont, rig_quit};

static int up(void **state, struct gw_control_config config)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct gw_error err = GW_ERROR_INIT;

    config.ops = &rig_ops;
    config.opaque = rig;
    config.on_event = rig_event;
    config.name = "anna";
    fake = (struct fake_engine){0};
    rig->run_state = config.waits ? "inmigrate" : "running";
    assert_int_equal(gw_options_new(&rig->vm.options, NULL), 0);
    snprintf(rig->path, sizeof rig->path, "/tmp/gw-test-control-%d", (int)getpid());
    snprintf(rig->uri, sizeof rig->uri, "unix:%s", rig->path);
    config.uri = rig->uri;
    if (gw_control_start(&rig->vm, &config, &rig->c, &err))
        fail_msg("%s", err.text);
    *state = rig;
    return 0;
}

int rig_up(void **state)
{
    return up(state, (struct gw_control_config){0});
}

int rig_up_waiting(void **state)
{
    return up(state, (struct gw_control_config){.waits = true,
                                                .start_paused = true,
                                                .send_timeout_ns = 21 * GW_NS_PER_S,
                                                .recv_timeout_ns = 22 * GW_NS_PER_S});
}

int rig_down(void **state)
{
    struct rig *rig = *state;

    assert_null(gw_control_free(rig->c));
    assert_int_equal(fake_now()->started, fake_now()->freed);
    assert_int_equal(access(rig->path, F_OK), -1);
    gw_options_free(rig->vm.options);
    free(rig);
    return 0;
}

int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    gw_strcopy(a.sun_path, sizeof a.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

char *next_line(struct client *cl)
{
    for (;;) {
        char *end = memchr(cl->buf, '\n', cl->bytes);
        struct pollfd p = {.fd = cl->fd, .events = POLLIN};
        ssize_t n;

        if (end) {
            char *line = strndup(cl->buf, (size_t)(end - cl->buf));

            cl->bytes -= (size_t)(end + 1 - cl->buf);
            memmove(cl->buf, end + 1, cl->bytes);
            return line;
        }
        assert_true(cl->bytes < sizeof cl->buf);
        if (poll(&p, 1, WAIT_MS) != 1)
            fail_msg("no answer in %d ms", WAIT_MS);
        n = recv(cl->fd, cl->buf + cl->bytes, sizeof cl->buf - cl->bytes, 0);
        if (n <= 0)
            return NULL;
        cl->bytes += (size_t)n;
    }
}

json_t *next(struct client *cl)
{
    char *line = next_line(cl);
    json_t *o = line ? json_loads(line, 0, NULL) : NULL;

    assert_true(!line || o);
    free(line);
    return o;
}

void say(struct client *cl, const char *text)
{
    fake_now(); /* what the test changed is changed for all who act on this */
    assert_int_equal(send(cl->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

struct client *hello(struct rig *rig)
{
    struct client *cl = calloc(1, sizeof *cl);
    json_t *o;

    cl->fd = connect_to(rig->path);
    o = next(cl);
    assert_non_null(json_object_get(json_object_get(json_object_get(o, "QMP"), "version"), "qemu"));
    json_decref(o);
    return cl;
}

struct client *ready(struct rig *rig)
{
    struct client *cl = hello(rig);
    json_t *o;

    say(cl, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}\n");
    o = next(cl);
    assert_non_null(json_object_get(o, "return"));
    json_decref(o);
    return cl;
}

void bye(struct client *cl)
{
    close(cl->fd);
    free(cl);
}

void check_next(struct client *cl, const char *what, const char *want)
{
    json_t *o = next(cl);
    char *got = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = strlen(want);

    if (n > 3 && !strcmp(want + n - 3, "...") ? strncmp(got, want, n - 3) : strcmp(got, want))
        fail_msg("%s\n  gives %s\n  not   %s", what, got, want);
    free(got);
    json_decref(o);
}

void ask(struct client *cl, const char *text, const char *want)
{
    say(cl, text);
    say(cl, "\n");
    check_next(cl, text, want);
}

void check_event(struct client *cl, const char *name, const char *data)
{
    json_t *o = next(cl), *d = json_object_get(o, "data");
    char *text = d ? json_dumps(d, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    assert_string_equal(json_string_value(json_object_get(o, "event")), name);
    assert_true(json_integer_value(json_object_get(json_object_get(o, "timestamp"), "seconds")) > 1500000000);
    assert_true(json_is_integer(json_object_get(json_object_get(o, "timestamp"), "microseconds")));
    if (data)
        assert_string_equal(text, data);
    else
        assert_null(text);
    free(text);
    json_decref(o);
}

json_t *result_of(struct client *cl, const char *text)
{
    json_t *o, *r;

    say(cl, text);
    o = next(cl);
    r = json_incref(json_object_get(o, "return"));
    assert_non_null(r);
    json_decref(o);
    return r;
}

void expect_end(struct client *cl)
{
    json_t *o;

    while ((o = next(cl)))
        json_decref(o);
}

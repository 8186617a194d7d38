/* SPDX-License-Identifier: MIT
 *
 * A destination that listens survives the world: whoever else connects, the source of this machine gets in, what happened
 * to the others is told, and nothing is left of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <dirent.h>
#include <time.h>

#include <cmocka.h>

#include "../late.h"
#include "mutate.h"
#include "wire/numbers.h"

#define HELLO_MS 1500u /* who says something has to have said it by then */
#define HELLO    "1500 ms"
#define PAGES    16

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static uint64_t now_ms(void)
{
    return gw_now_ns(&gw_clock_real) / GW_NS_PER_MS;
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Threads that were joined are gone from the list a moment later. */
static unsigned settled(const char *folder, unsigned want)
{
    unsigned n = entries(folder);

    for (unsigned i = 0; i < 6000 && n > want; i++) {
        sleep_ms(5);
        n = entries(folder);
    }
    return n;
}

/* ---- what they say ------------------------------------------------------------------------------------------------- */

static struct rig_bytes stream;  /* of a source that would be welcome */
static struct anatomy anatomy;

static int make_stream(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    must(rig_stream(5, PAGES, "7.2", false, &stream, NULL, &err), &err);
    anatomy_of(&stream, &anatomy);
    return 0;
}

static int drop_stream(void **state)
{
    free(stream.data);
    return 0;
}

enum speech { NOTHING, GARBAGE, MAGIC, HEAD, HEAD_AND_JUNK, LIST_AND_JUNK, BAD_DEVICE, DRIP, OTHER_MACHINE };

struct stranger {
    const char *name;
    enum speech speech;
    bool stays;      /* keeps the connection open */
    const char *log; /* what is told of it */
};

static const struct stranger strangers[] = {
    {"connects and closes", NOTHING, false, "stream ended at byte 0 inside the head"},
    {"says nothing", NOTHING, true, "no migration stream began within " HELLO},
    {"garbage", GARBAGE, false, "not a migration stream: it begins with 0x47455420"},
    {"garbage and stays", GARBAGE, true, "not a migration stream: it begins with 0x47455420"},
    {"right magic, then garbage", MAGIC, true, "stream version 1195725856, 3 is known"},
    {"another machine", OTHER_MACHINE, true, "Machine type received is 'rig-2' and local is 'rig-1'"},
    {"a byte now and then", DRIP, true, "no migration stream began within " HELLO},
    {"right head, then closes", HEAD, false, "stream ended at byte"},
    {"right head, then nothing", HEAD, true, "another source waits, and this one has sent nothing but its head for " HELLO},
    {"right head, then garbage", HEAD_AND_JUNK, true, "element 0x47 (unknown)"},
    {"right list of blocks, then garbage", LIST_AND_JUNK, true, "flags 0x854 (unknown) are not known here"},
    {"right head, then a broken device", BAD_DEVICE, true, "section zoo/0"},
};

struct talk {
    const struct stranger *who;
    struct gw_channel *channel;
    pthread_t thread;
};

static void say(struct gw_channel *ch, const void *bytes, size_t n)
{
    gw_channel_write_full(ch, bytes, n, NULL); /* it may have been thrown out */
}

static void *dripper(void *arg)
{
    struct talk *t = arg;

    for (size_t i = 0; i < 30; i++) {
        if (gw_channel_write_full(t->channel, stream.data + i, 1, NULL) < 0)
            break;
        sleep_ms(HELLO_MS / 4);
    }
    return NULL;
}

static void connect_stranger(struct talk *t, const struct stranger *who, const struct gw_uri *uri)
{
    static const char garbage[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t head = anatomy.part[0].end, list = anatomy.part[1].end, i;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    uint8_t part[5] = {GW_ELEMENT_PART};

    *t = (struct talk){.who = who};
    must(gw_connect(uri, 30 * GW_NS_PER_S, NULL, &t->channel, &err), &err);
    ch = t->channel;
    switch (who->speech) {
    case NOTHING:
        break;
    case GARBAGE:
        say(ch, garbage, sizeof garbage);
        break;
    case MAGIC:
        say(ch, stream.data, 4);
        say(ch, garbage, sizeof garbage);
        break;
    case OTHER_MACHINE:
        say(ch, stream.data, head - 1);
        say(ch, "2", 1);
        break;
    case HEAD:
        say(ch, stream.data, head + 1); /* what ends it is the byte behind it */
        break;
    case HEAD_AND_JUNK:
        say(ch, stream.data, head);
        say(ch, garbage, sizeof garbage);
        break;
    case LIST_AND_JUNK:
        say(ch, stream.data, list);
        memcpy(part + 1, stream.data + anatomy.part[1].begin + 1, 4);
        say(ch, part, sizeof part);
        say(ch, garbage, sizeof garbage);
        break;
    case BAD_DEVICE:
        for (i = 1; stream.data[anatomy.part[i].begin] != GW_ELEMENT_FULL; i++)
            ;
        say(ch, stream.data, list);
        say(ch, stream.data + anatomy.part[i].begin, 60);
        say(ch, garbage, sizeof garbage);
        say(ch, stream.data, 4096); /* enough to make a whole, wrong body */
        break;
    case DRIP:
        assert_int_equal(pthread_create(&t->thread, NULL, dripper, t), 0);
        break;
    }
    if (!who->stays)
        t->channel = gw_channel_free(ch);
}

static void disconnect_stranger(struct talk *t)
{
    if (t->who->speech == DRIP) {
        gw_channel_shutdown(t->channel);
        pthread_join(t->thread, NULL);
    }
    gw_channel_free(t->channel);
}

/* ---- the scene ------------------------------------------------------------------------------------------------------ */

struct scene {
    struct rig to;
    struct gw_recv *recv;
    struct gw_uri uri;
    char address[GW_URI_TEXT];
    unsigned fds, tasks;
};

static void open_patient_scene(struct scene *s, const char *uri, unsigned hello_ms)
{
    struct gw_error err = GW_ERROR_INIT;

    memset(s, 0, sizeof *s);
    s->fds = entries("/proc/self/fd");
    s->tasks = entries("/proc/self/task");
    must(rig_new(&s->to, 0, 0, &err), &err);
    must(gw_recv_start(s->to.vm,
                       &(struct gw_recv_config){.uri = uri, .hello_timeout_ns = hello_ms * GW_NS_PER_MS, .on_event = rig_event,
                                                .opaque = &s->to},
                       &s->recv, &err),
         &err);
    gw_recv_address(s->recv, s->address, sizeof s->address);
    must(gw_uri_parse(s->address, &s->uri, &err), &err);
}

static void open_scene(struct scene *s, const char *uri)
{
    open_patient_scene(s, uri, HELLO_MS);
}

/* The real one comes, and gets in within `limit_ms`. */
static void arrive(struct scene *s, unsigned limit_ms)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send;
    uint64_t began = now_ms(), late_ns = late_all_ns();
    struct rig from;
    int r;

    must(rig_new(&from, 5, PAGES, &err), &err);
    from.running = true;
    must(gw_options_set_parameter(gw_vm_options(from.vm), "max-bandwidth", "0", &err), &err);
    must(gw_send_start(from.vm, &(struct gw_send_config){.uri = s->address}, &send, &err), &err);
    r = gw_send_wait(send, &err);
    if (r < 0)
        print_error("source: %s\ndestination told:\n%s", err.text, s->to.log);
    must(r, &err);
    must(gw_recv_wait(s->recv, &err), &err);
    limit_ms += (unsigned)((late_all_ns() - late_ns) / GW_NS_PER_MS);
    if (now_ms() - began > limit_ms)
        print_error("%llu ms\n%s", (unsigned long long)(now_ms() - began), s->to.log);
    assert_true(now_ms() - began <= limit_ms);
    assert_true(s->to.running);
    assert_false(from.running);
    from.running = s->to.running = false;
    assert_true(rig_same(&from, &s->to));
    gw_send_free(send);
    rig_free(&from);
}

static void close_scene(struct scene *s)
{
    unsigned fds, tasks;

    gw_recv_free(s->recv);
    rig_free(&s->to);
    fds = settled("/proc/self/fd", s->fds);
    tasks = settled("/proc/self/task", s->tasks);
    assert_int_equal(fds, s->fds);
    assert_int_equal(tasks, s->tasks);
}

/* Waits until the log has it. */
static bool told(struct scene *s, const char *text, unsigned limit_ms)
{
    uint64_t until = now_ms() + limit_ms;
    bool found;

    do {
        pthread_mutex_lock(&s->to.lock);
        found = strstr(s->to.log, text) != NULL;
        pthread_mutex_unlock(&s->to.lock);
        if (!found)
            sleep_ms(2);
    } while (!found && now_ms() < until);
    return found;
}

static const char *const uris[] = {"tcp:127.0.0.1:0", "unix:strangers.sock"};

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

/* One of each kind; the source comes when it was dealt with (or while it still holds the place). */
static void test_one_of_each(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++) {
            const struct stranger *who = &strangers[i];
            bool holds = who->speech == HEAD && who->stays;
            struct scene s;
            struct talk t;

            open_scene(&s, uris[u]);
            connect_stranger(&t, who, &s.uri);
            if (!holds && !told(&s, who->log, 60000)) {
                print_error("%s: not told. Told:\n%s", who->name, s.to.log);
                fail();
            }
            if (holds)
                sleep_ms(20);
            arrive(&s, 5000);
            if (!told(&s, who->log, 0)) {
                print_error("%s: not told. Told:\n%s", who->name, s.to.log);
                fail();
            }
            disconnect_stranger(&t);
            close_scene(&s);
        }
    }
}

/* All of them at once, and the source in their middle. */
static void test_all_at_once(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct talk t[GW_ARRAY_LEN(strangers)];
        struct scene s;

        open_scene(&s, uris[u]);
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++)
            connect_stranger(&t[i], &strangers[i], &s.uri);
        arrive(&s, 8000);
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++)
            disconnect_stranger(&t[i]);
        close_scene(&s);
    }
}

/* More than there are places; each stays and says nothing. */
static void test_crowd(void **state)
{
    enum { CROWD = 100 };

    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct gw_channel *crowd[CROWD];
        struct gw_error err = GW_ERROR_INIT;
        struct scene s;

        open_scene(&s, uris[u]);
        for (unsigned i = 0; i < CROWD; i++)
            must(gw_connect(&s.uri, 30 * GW_NS_PER_S, NULL, &crowd[i], &err), &err);
        arrive(&s, 15000);
        assert_true(told(&s, "too many connections that say nothing", 0));
        for (unsigned i = 0; i < CROWD; i++)
            gw_channel_free(crowd[i]);
        close_scene(&s);
    }
}

/* Each knows the machine's name, and says no more: together they keep the source out for much less than a turn each. */
static void test_crowd_of_heads(void **state)
{
    enum { HEADS = 12, TURN_MS = 1200 };
    struct gw_channel *crowd[HEADS];
    struct gw_error err = GW_ERROR_INIT;
    struct scene s;

    open_patient_scene(&s, uris[0], TURN_MS);
    for (unsigned i = 0; i < HEADS; i++) {
        must(gw_connect(&s.uri, 10 * GW_NS_PER_S, NULL, &crowd[i], &err), &err);
        say(crowd[i], stream.data, anatomy.part[0].end);
    }
    arrive(&s, HEADS * TURN_MS * 2 / 3);
    for (unsigned i = 0; i < HEADS; i++)
        gw_channel_free(crowd[i]);
    close_scene(&s);
}

/* Once a source has begun to change the machine nobody else gets it: the connection waits, and ends with the session. */
static void test_taken(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *first, *second;
    size_t some = anatomy.part[2].begin + 5000;
    uint8_t byte;
    struct scene s;

    open_scene(&s, uris[0]);
    must(gw_connect(&s.uri, 30 * GW_NS_PER_S, NULL, &first, &err), &err);
    must(gw_channel_write_full(first, stream.data, some, &err), &err);
    for (unsigned i = 0; i < 60000 && gw_recv_status(s.recv) != GW_STATUS_ACTIVE; i++)
        sleep_ms(1);
    must(gw_connect(&s.uri, 30 * GW_NS_PER_S, NULL, &second, &err), &err);
    must(gw_channel_write_full(second, stream.data, stream.bytes, &err), &err);
    sleep_ms(HELLO_MS * 2);
    assert_int_equal(gw_recv_status(s.recv), GW_STATUS_ACTIVE);
    must(gw_channel_write_full(first, stream.data + some, stream.bytes - some, &err), &err);
    must(gw_recv_wait(s.recv, &err), &err);
    assert_int_equal(s.to.starts, 1);
    gw_channel_set_timeout(second, 30 * GW_NS_PER_S);
    assert_int_not_equal(gw_channel_read_full(second, &byte, 1, &err), -ETIMEDOUT);
    gw_channel_free(first);
    gw_channel_free(second);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_each),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_crowd_of_heads),
        cmocka_unit_test(test_taken),
    };

    return cmocka_run_group_tests(tests, make_stream, drop_stream);
}

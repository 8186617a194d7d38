/* SPDX-License-Identifier: MIT
 *
 * A destination that listens survives the world: whoever else connects, the source of this machine gets in, what
 * happened to the others is told, and nothing is left of them.
 *
 * Its time is the test's (door_time.h): who is late here is not late there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <dirent.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"
#include "door_time.h"
#include "engine/recv.h"
#include "mutate.h"
#include "rig.h"
#include "base/endian.h"
#include "wire/numbers.h"
#include "wire/probe.h"

#define PAGES    16
#define HELLO_MS 3000u /* who says something has to have said it by then */

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
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

    while (n > want) {
        sleep_ms(5);
        n = entries(folder);
    }
    return n;
}

/* ---- what they say ------------------------------------------------------------------------------------------------- */

static struct rig_bytes stream;  /* of a source that would be welcome */
static struct anatomy anatomy;

enum speech { NOTHING, GARBAGE, MAGIC, HEAD, HEAD_AND_JUNK, LIST_AND_JUNK, BAD_DEVICE, DRIP, OTHER_MACHINE };

struct stranger {
    const char *name;
    enum speech speech;
    bool stays;      /* keeps the connection open */
    const char *log; /* what is told of it */
    bool tells_time; /* and how long it was waited for */
};

static const struct stranger strangers[] = {
    {"connects and closes", NOTHING, false, "stream ended at byte 0 inside the head"},
    {"says nothing", NOTHING, true, "no migration stream began within", true},
    {"garbage", GARBAGE, false, "not a migration stream: it begins with 0x47455420"},
    {"garbage and stays", GARBAGE, true, "not a migration stream: it begins with 0x47455420"},
    {"right magic, then garbage", MAGIC, true, "stream version 1195725856, 3 is known"},
    {"another machine", OTHER_MACHINE, true, "the source's machine type is rig-2, this machine's is rig-1"},
    {"a byte now and then", DRIP, true, "no migration stream began within", true},
    {"right head, then closes", HEAD, false, "stream ended at byte"},
    {"right head, then nothing", HEAD, true, "another source waits, and this one has sent nothing but its head for",
     true},
    {"right head, then garbage", HEAD_AND_JUNK, true, "element 0x47 (unknown)"},
    {"right list of blocks, then garbage", LIST_AND_JUNK, true, "flags 0x854 (unknown) are not known here"},
    {"right head, then a broken device", BAD_DEVICE, true, "section zoo/0"},
};

static bool good_head(const struct stranger *who)
{
    return who->speech == HEAD || who->speech == HEAD_AND_JUNK || who->speech == LIST_AND_JUNK ||
           who->speech == BAD_DEVICE;
}

struct talk {
    const struct stranger *who;
    struct gw_channel *channel;
    pthread_t thread;
    bool threaded;
    atomic_bool leaves;
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
        door_wait_ms(HELLO_MS / 4, &t->leaves);
    }
    return NULL;
}

static void disconnect_stranger(void *what)
{
    struct talk *t = what;

    if (t->threaded) {
        atomic_store(&t->leaves, true);
        gw_channel_shutdown(t->channel);
        pthread_join(t->thread, NULL);
    }
    gw_channel_free(t->channel);
    free(t);
}

/* Ended by owned_end. */
static struct talk *connect_stranger(const struct stranger *who, const struct gw_uri *uri)
{
    static const char garbage[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t head = anatomy.part[0].end, list = anatomy.part[1].end, i;
    struct talk *t = calloc(1, sizeof *t);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;
    uint8_t part[5] = {GW_ELEMENT_PART};

    assert_non_null(t);
    t->who = who;
    owned(t, disconnect_stranger);
    must(gw_connect(uri, 0, NULL, &t->channel, &err), &err);
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
        t->threaded = !pthread_create(&t->thread, NULL, dripper, t);
        assert_true(t->threaded);
        break;
    }
    if (!who->stays)
        t->channel = gw_channel_free(ch);
    return t;
}

/* ---- the scene ------------------------------------------------------------------------------------------------------ */

struct scene {
    struct rig *to;
    struct gw_recv *recv;
    struct gw_uri uri;
    char address[GW_URI_TEXT];
    unsigned fds, tasks;
    _Atomic unsigned came, let_in;
};

/* On threads of the destination. */
static void at_the_door(void *opaque, const struct gw_trace_record *r)
{
    struct scene *s = opaque;

    if (strstr(r->text, "comes"))
        atomic_fetch_add(&s->came, 1);
    if (strstr(r->text, "is let in"))
        atomic_fetch_add(&s->let_in, 1);
}

static struct scene *open_scene(const char *uri)
{
    struct scene *s = owned_memory(sizeof *s);
    struct gw_error err = GW_ERROR_INIT;

    s->fds = entries("/proc/self/fd");
    s->tasks = entries("/proc/self/task");
    door_begin();
    s->to = owned_rig(0, 0);
    s->to->vm->clock = *door_real_clock();
    must(gw_vm_set_trace(s->to->vm, "door", at_the_door, s, &err), &err);
    must(gw_recv_start(
             s->to->vm,
             &(struct gw_recv_config){
                 .uri = uri, .hello_timeout_ns = HELLO_MS * GW_NS_PER_MS, .on_event = rig_event, .opaque = s->to},
             &s->recv, &err),
         &err);
    owned_recv(s->recv);
    gw_recv_address(s->recv, s->address, sizeof s->address);
    must(gw_uri_parse(s->address, &s->uri, &err), &err);
    return s;
}

static void await(const _Atomic unsigned *count, unsigned n)
{
    while (atomic_load(count) < n)
        sleep_ms(1);
}

static bool over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}

/* The real one comes behind so many others, of whom some have a good head, and gets in. Time passes at the door, but
 * not while heads are to be said: they may be as slow as they like. */
static void arrive(struct scene *s, unsigned others, unsigned heads)
{
    struct gw_send_config config = {.uri = s->address, .progress_timeout_ns = UINT64_MAX};
    struct rig *from = owned_rig(5, PAGES);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send;
    int r;

    from->vm->clock = *door_real_clock();
    from->running = true;
    must(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", &err), &err);
    must(gw_send_start(from->vm, &config, &send, &err), &err);
    owned_send(send);
    while (!over(gw_send_status(send))) {
        if (atomic_load(&s->came) <= others || door_knows_heads(heads + 1))
            door_pass_ms(50);
        sleep_ms(2);
    }
    r = gw_send_wait(send, &err);
    if (r < 0)
        print_error("source: %s\ndestination told:\n%s", err.text, s->to->log);
    must(r, &err);
    must(gw_recv_wait(s->recv, &err), &err);
    assert_true(s->to->running);
    assert_false(from->running);
    from->running = s->to->running = false;
    assert_true(rig_same(from, s->to));
    owned_end(send);
    owned_end(from);
}

static void close_scene(struct scene *s)
{
    unsigned fds, tasks;

    owned_end(s->recv);
    owned_end(s->to);
    door_end();
    fds = settled("/proc/self/fd", s->fds);
    tasks = settled("/proc/self/task", s->tasks);
    assert_int_equal(fds, s->fds);
    assert_int_equal(tasks, s->tasks);
    owned_end(s);
}

/* The log has what is to be told of this one. Time passes for those who have to be waited for, and only for them. */
static void told_of(struct scene *s, const struct stranger *who)
{
    char text[160];
    bool found;

    snprintf(text, sizeof text, who->tells_time ? "%s %u ms" : "%s", who->log, HELLO_MS);
    for (;;) {
        pthread_mutex_lock(&s->to->lock);
        found = strstr(s->to->log, text) != NULL;
        pthread_mutex_unlock(&s->to->lock);
        if (found)
            return;
        if (over(gw_recv_status(s->recv)))
            fail_msg("%s: not told: %s. Told:\n%s", who->name, text, s->to->log);
        if (who->tells_time)
            door_pass_ms(50);
        sleep_ms(2);
    }
}

static const char *const uris[] = {"tcp:127.0.0.1:0", "unix:strangers.sock"};

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

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

/* One of each kind; the source comes when it was dealt with (or while it holds the place). */
static void test_one_of_each(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++) {
            const struct stranger *who = &strangers[i];
            bool holds = who->speech == HEAD && who->stays;
            struct scene *s = open_scene(uris[u]);
            struct talk *t = connect_stranger(who, &s->uri);

            if (holds)
                await(&s->let_in, 1);
            else
                told_of(s, who);
            arrive(s, 1, good_head(who));
            told_of(s, who);
            owned_end(t);
            close_scene(s);
        }
    }
}

/* Somebody who measures the link is answered, nothing is told of it, and the destination waits on. */
static void test_probe(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct scene *s = open_scene(uris[u]);
        uint8_t say[GW_PROBE_HELLO_BYTES + 4 + GW_PROBE_FRAME + 4], back[GW_PROBE_HELLO_BYTES + GW_PROBE_RESULT_HEAD + 8];
        struct gw_error err = GW_ERROR_INIT;

        memset(say, 0, sizeof say);
        gw_probe_hello_put(say, 0);
        gw_store_be32(say + GW_PROBE_HELLO_BYTES, 1);
        for (unsigned i = 0; i < 3; i++) {
            struct gw_channel *ch;

            must(gw_connect(&s->uri, 0, NULL, &ch, &err), &err);
            must(gw_channel_write_full(ch, say, sizeof say, &err), &err);
            must(gw_channel_read_full(ch, back, sizeof back, &err), &err);
            must(gw_probe_result_get(back + GW_PROBE_HELLO_BYTES, 1, &err), &err);
            while (!gw_channel_peer_gone(ch)) /* until its place is free again */
                sleep_ms(2);
            gw_channel_free(ch);
        }
        pthread_mutex_lock(&s->to->lock);
        assert_string_equal(s->to->log, "");
        pthread_mutex_unlock(&s->to->lock);
        arrive(s, 3, 0);
        close_scene(s);
    }
}

/* All of them at once, and the source in their middle. */
static void test_all_at_once(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct scene *s = open_scene(uris[u]);
        struct talk *t[GW_ARRAY_LEN(strangers)];
        unsigned heads = 0;

        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++) {
            t[i] = connect_stranger(&strangers[i], &s->uri);
            heads += good_head(&strangers[i]);
        }
        arrive(s, GW_ARRAY_LEN(strangers), heads);
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++)
            owned_end(t[i]);
        close_scene(s);
    }
}

/* More than there are places; each stays and says nothing. Who has waited longest goes before its time is up. */
static void test_crowd(void **state)
{
    static const struct stranger crowded = {"crowd", NOTHING, true, "too many connections that say nothing"};
    enum { CROWD = 100 };

    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct scene *s = open_scene(uris[u]);
        struct talk *crowd[CROWD];

        for (unsigned i = 0; i < CROWD; i++) {
            crowd[i] = connect_stranger(&crowded, &s->uri);
            if (i < GW_RECV_WAITING) {
                await(&s->came, i + 1);
            } else {
                door_pass_ms(300);
                told_of(s, &crowded);
                await(&s->came, i + 1);
            }
        }
        arrive(s, CROWD, 0);
        for (unsigned i = 0; i < CROWD; i++)
            owned_end(crowd[i]);
        close_scene(s);
    }
}

/* Each knows the machine's name, and says no more: together they keep the source out for much less than a turn each. */
static void test_crowd_of_heads(void **state)
{
    enum { HEADS = 12 };
    struct scene *s = open_scene(uris[0]);
    struct gw_channel *crowd[HEADS];
    unsigned waited_ms = 0;
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < HEADS; i++) {
        must(gw_connect(&s->uri, 0, NULL, &crowd[i], &err), &err);
        owned_channel(crowd[i]);
        say(crowd[i], stream.data, anatomy.part[0].end + 1); /* the byte behind it ends it */
    }
    while (!door_knows_heads(HEADS)) /* all of them wait: each may take its share of the time only */
        sleep_ms(1);
    arrive(s, HEADS, HEADS);
    for (const char *p = s->to->log; (p = strstr(p, "nothing but its head for ")); p++)
        waited_ms += (unsigned)atoi(p + strlen("nothing but its head for "));
    print_message("%u ms\n", waited_ms);
    assert_in_range(waited_ms, 1, HEADS * HELLO_MS / 3);
    for (unsigned i = 0; i < HEADS; i++)
        owned_end(crowd[i]);
    close_scene(s);
}

/* Once a source has begun to change the machine nobody else gets it: the connection waits, and ends with the session. */
static void test_taken(void **state)
{
    size_t some = anatomy.part[2].begin + 5000;
    struct scene *s = open_scene(uris[0]);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *first, *second;
    uint8_t byte;

    must(gw_connect(&s->uri, 0, NULL, &first, &err), &err);
    owned_channel(first);
    must(gw_channel_write_full(first, stream.data, some, &err), &err);
    while (gw_recv_status(s->recv) != GW_STATUS_ACTIVE && !over(gw_recv_status(s->recv)))
        sleep_ms(1);
    must(gw_connect(&s->uri, 0, NULL, &second, &err), &err);
    owned_channel(second);
    must(gw_channel_write_full(second, stream.data, stream.bytes, &err), &err);
    for (unsigned i = 0; i < 20; i++) { /* twice as long as a hello may take */
        door_pass_ms(HELLO_MS / 10);
        sleep_ms(5);
    }
    assert_int_equal(gw_recv_status(s->recv), GW_STATUS_ACTIVE);
    must(gw_channel_write_full(first, stream.data + some, stream.bytes - some, &err), &err);
    owned_end(first); /* it takes leave, and is not waited for */
    must(gw_recv_wait(s->recv, &err), &err);
    assert_int_equal(s->to->starts, 1);
    assert_true(gw_channel_read_full(second, &byte, 1, &err) < 0);
    owned_end(second);
    close_scene(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_one_of_each),    owned_test(test_probe), owned_test(test_all_at_once), owned_test(test_crowd),
        owned_test(test_crowd_of_heads), owned_test(test_taken),
    };

    return cmocka_run_group_tests(tests, make_stream, drop_stream);
}

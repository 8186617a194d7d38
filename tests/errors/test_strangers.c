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

#include "../owned.h"
#include "../late.h"
#include "mutate.h"
#include "rig.h"
#include "wire/numbers.h"

#define PAGES   16
#define HANG_MS 120000u /* only ends what hangs */

/* Who says something has to have said it by then: three seconds, or (on a slow machine) as many times as long as a
 * source needs that meets nobody. */
#define HELLO_LEAST_MS 3000u
#define HELLO_TIMES    30
static unsigned hello_ms = HELLO_LEAST_MS;

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
    {"another machine", OTHER_MACHINE, true, "Machine type received is 'rig-2' and local is 'rig-1'"},
    {"a byte now and then", DRIP, true, "no migration stream began within", true},
    {"right head, then closes", HEAD, false, "stream ended at byte"},
    {"right head, then nothing", HEAD, true, "another source waits, and this one has sent nothing but its head for",
     true},
    {"right head, then garbage", HEAD_AND_JUNK, true, "element 0x47 (unknown)"},
    {"right list of blocks, then garbage", LIST_AND_JUNK, true, "flags 0x854 (unknown) are not known here"},
    {"right head, then a broken device", BAD_DEVICE, true, "section zoo/0"},
};

struct talk {
    const struct stranger *who;
    struct gw_channel *channel;
    pthread_t thread;
    bool threaded;
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
        sleep_ms(hello_ms / 4);
    }
    return NULL;
}

static void disconnect_stranger(void *what)
{
    struct talk *t = what;

    if (t->threaded) {
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
    must(gw_connect(uri, HANG_MS * GW_NS_PER_MS, NULL, &t->channel, &err), &err);
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
    _Atomic unsigned let_in;
};

/* On threads of the destination. */
static void at_the_door(void *opaque, const struct gw_trace_record *r)
{
    struct scene *s = opaque;

    if (strstr(r->text, "is let in"))
        atomic_fetch_add(&s->let_in, 1);
}

static struct scene *open_patient_scene(const char *uri, unsigned ms)
{
    struct scene *s = owned_memory(sizeof *s);
    struct gw_error err = GW_ERROR_INIT;

    s->fds = entries("/proc/self/fd");
    s->tasks = entries("/proc/self/task");
    s->to = owned_rig(0, 0);
    must(gw_vm_set_trace(s->to->vm, "door", at_the_door, s, &err), &err);
    must(gw_recv_start(s->to->vm,
                       &(struct gw_recv_config){
                           .uri = uri, .hello_timeout_ns = ms * GW_NS_PER_MS, .on_event = rig_event, .opaque = s->to},
                       &s->recv, &err),
         &err);
    owned_recv(s->recv);
    gw_recv_address(s->recv, s->address, sizeof s->address);
    must(gw_uri_parse(s->address, &s->uri, &err), &err);
    return s;
}

static struct scene *open_scene(const char *uri)
{
    return open_patient_scene(uri, hello_ms);
}

/* The real one comes, and gets in. How long it was kept waiting: time in which nothing here computed or was late. */
static uint64_t arrive(struct scene *s)
{
    struct gw_send_config config = {.uri = s->address, .progress_timeout_ns = 10 * HANG_MS * GW_NS_PER_MS};
    struct rig *from = owned_rig(5, PAGES);
    struct gw_error err = GW_ERROR_INIT;
    struct late_watch watch = late_watch();
    struct gw_send *send;
    uint64_t ms;
    int r;

    from->running = true;
    must(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", &err), &err);
    must(gw_send_start(from->vm, &config, &send, &err), &err);
    owned_send(send);
    r = gw_send_wait(send, &err);
    if (r < 0)
        print_error("source: %s\ndestination told:\n%s", err.text, s->to->log);
    must(r, &err);
    must(gw_recv_wait(s->recv, &err), &err);
    ms = late_idle_ns(&watch) / GW_NS_PER_MS;
    assert_true(s->to->running);
    assert_false(from->running);
    from->running = s->to->running = false;
    assert_true(rig_same(from, s->to));
    owned_end(send);
    owned_end(from);
    return ms;
}

/* limit_ms: for a hello_ms of HELLO_LEAST_MS. */
static void arrive_within(struct scene *s, unsigned limit_ms)
{
    uint64_t ms = arrive(s);

    if (ms * HELLO_LEAST_MS > (uint64_t)limit_ms * hello_ms)
        print_error("kept waiting for %llu ms, a hello may take %u ms\n%s", (unsigned long long)ms, hello_ms,
                    s->to->log);
    assert_true(ms * HELLO_LEAST_MS <= (uint64_t)limit_ms * hello_ms);
}

static void close_scene(struct scene *s)
{
    unsigned fds, tasks;

    owned_end(s->recv);
    owned_end(s->to);
    fds = settled("/proc/self/fd", s->fds);
    tasks = settled("/proc/self/task", s->tasks);
    assert_int_equal(fds, s->fds);
    assert_int_equal(tasks, s->tasks);
    owned_end(s);
}

/* The log has what is to be told of this one; waits for it, or not. */
static bool told_of(struct scene *s, const struct stranger *who, bool waits)
{
    uint64_t until = now_ms() + (waits ? HANG_MS : 0);
    char text[160];
    bool found;

    snprintf(text, sizeof text, who->tells_time ? "%s %u ms" : "%s", who->log, hello_ms);
    do {
        pthread_mutex_lock(&s->to->lock);
        found = strstr(s->to->log, text) != NULL;
        pthread_mutex_unlock(&s->to->lock);
        if (!found && waits)
            sleep_ms(2);
    } while (!found && now_ms() < until);
    if (!found)
        print_error("%s: not told: %s. Told:\n%s", who->name, text, s->to->log);
    return found;
}

static const char *const uris[] = {"tcp:127.0.0.1:0", "unix:strangers.sock"};

static int make_stream(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t began, longest_ms = 0;

    must(rig_stream(5, PAGES, "7.2", false, &stream, NULL, &err), &err);
    anatomy_of(&stream, &anatomy);
    for (unsigned i = 0; i < 6; i++) {
        struct scene *s = open_patient_scene(uris[i % 2], HANG_MS);

        began = now_ms();
        arrive(s);
        longest_ms = GW_MAX(longest_ms, now_ms() - began);
        close_scene(s);
    }
    hello_ms = (unsigned)GW_MAX(HELLO_LEAST_MS, HELLO_TIMES * longest_ms);
    if (hello_ms > HELLO_LEAST_MS)
        print_message("a source needs up to %llu ms here: a hello may take %u ms\n", (unsigned long long)longest_ms,
                      hello_ms);
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

            if (holds) {
                for (unsigned k = 0; k < HANG_MS && !atomic_load(&s->let_in); k++)
                    sleep_ms(1);
                assert_int_equal(atomic_load(&s->let_in), 1);
            } else {
                assert_true(told_of(s, who, true));
            }
            arrive_within(s, 10000);
            assert_true(told_of(s, who, false));
            owned_end(t);
            close_scene(s);
        }
    }
}

/* All of them at once, and the source in their middle. */
static void test_all_at_once(void **state)
{
    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct scene *s = open_scene(uris[u]);
        struct talk *t[GW_ARRAY_LEN(strangers)];

        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++)
            t[i] = connect_stranger(&strangers[i], &s->uri);
        arrive_within(s, 16000);
        for (unsigned i = 0; i < GW_ARRAY_LEN(strangers); i++)
            owned_end(t[i]);
        close_scene(s);
    }
}

/* More than there are places; each stays and says nothing. */
static void test_crowd(void **state)
{
    static const struct stranger crowded = {"crowd", NOTHING, true, "too many connections that say nothing"};
    enum { CROWD = 100 };

    for (unsigned u = 0; u < GW_ARRAY_LEN(uris); u++) {
        struct scene *s = open_scene(uris[u]);
        struct talk *crowd[CROWD];

        for (unsigned i = 0; i < CROWD; i++)
            crowd[i] = connect_stranger(&crowded, &s->uri);
        arrive_within(s, 30000);
        assert_true(told_of(s, &crowded, false));
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
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < HEADS; i++) {
        must(gw_connect(&s->uri, HANG_MS * GW_NS_PER_MS, NULL, &crowd[i], &err), &err);
        owned_channel(crowd[i]);
        say(crowd[i], stream.data, anatomy.part[0].end);
    }
    arrive_within(s, HEADS * HELLO_LEAST_MS * 2 / 3);
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

    must(gw_connect(&s->uri, HANG_MS * GW_NS_PER_MS, NULL, &first, &err), &err);
    owned_channel(first);
    must(gw_channel_write_full(first, stream.data, some, &err), &err);
    for (unsigned i = 0; i < HANG_MS && gw_recv_status(s->recv) != GW_STATUS_ACTIVE; i++)
        sleep_ms(1);
    must(gw_connect(&s->uri, HANG_MS * GW_NS_PER_MS, NULL, &second, &err), &err);
    owned_channel(second);
    must(gw_channel_write_full(second, stream.data, stream.bytes, &err), &err);
    sleep_ms(hello_ms * 2);
    assert_int_equal(gw_recv_status(s->recv), GW_STATUS_ACTIVE);
    must(gw_channel_write_full(first, stream.data + some, stream.bytes - some, &err), &err);
    must(gw_recv_wait(s->recv, &err), &err);
    assert_int_equal(s->to->starts, 1);
    gw_channel_set_timeout(second, HANG_MS * GW_NS_PER_MS);
    assert_int_not_equal(gw_channel_read_full(second, &byte, 1, &err), -ETIMEDOUT);
    owned_end(first);
    owned_end(second);
    close_scene(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_one_of_each),    owned_test(test_all_at_once), owned_test(test_crowd),
        owned_test(test_crowd_of_heads), owned_test(test_taken),
    };

    return cmocka_run_group_tests(tests, make_stream, drop_stream);
}

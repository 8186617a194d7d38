/* SPDX-License-Identifier: MIT
 *
 * A listening destination, and strangers that connect to it: what they send, the log messages about them, and the
 * source that must get in nevertheless.
 *
 * The test controls its clock (door_time.h): delays of the host are not delays
 * there.
 */
#ifndef ERRORS_STRANGERS_H
#define ERRORS_STRANGERS_H

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
#include "must.h"
#include "mutate.h"
#include "rig.h"
#include "wire/numbers.h"

#define PAGES    16
#define HELLO_MS 3000u /* a visitor that has sent something must complete it within this time */

static inline unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Joined threads leave the list a moment later. */
static inline unsigned settled(const char *folder, unsigned want)
{
    unsigned n = entries(folder);

    while (n > want) {
        sleep_ms(5);
        n = entries(folder);
    }
    return n;
}

/* ---- what they say ------------------------------------------------------------------------------------------------- */

static struct rig_bytes stream;  /* the stream of a valid source */
static struct anatomy anatomy;

enum speech { NOTHING, GARBAGE, MAGIC, HEAD, HEAD_AND_JUNK, LIST_AND_JUNK, BAD_DEVICE, DRIP, OTHER_MACHINE };

struct stranger {
    const char *name;
    enum speech speech;
    bool stays;      /* keeps the connection open */
    const char *log; /* text of the log message about it */
    bool tells_time; /* whether the message says how long the destination waited for it */
};

static inline bool good_head(const struct stranger *who)
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

static inline void say(struct gw_channel *ch, const void *bytes, size_t n)
{
    gw_channel_write_full(ch, bytes, n, NULL); /* the destination may have closed the connection */
}

static inline void *dripper(void *arg)
{
    struct talk *t = arg;

    for (size_t i = 0; i < 30; i++) {
        if (gw_channel_write_full(t->channel, stream.data + i, 1, NULL) < 0)
            break;
        door_wait_ms(HELLO_MS / 4, &t->leaves);
    }
    return NULL;
}

static inline void disconnect_stranger(void *what)
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
static inline struct talk *connect_stranger(const struct stranger *who, const struct gw_uri *uri)
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
        say(ch, stream.data, head + 1); /* the next byte ends it */
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
        say(ch, stream.data, 4096); /* enough for a complete but invalid body */
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

/* Called on threads of the destination. */
static inline void at_the_door(void *opaque, const struct gw_trace_record *r)
{
    struct scene *s = opaque;

    if (strstr(r->text, "comes"))
        atomic_fetch_add(&s->came, 1);
    if (strstr(r->text, "is accepted"))
        atomic_fetch_add(&s->let_in, 1);
}

static inline struct scene *open_scene(const char *uri)
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

static inline void await(const _Atomic unsigned *count, unsigned n)
{
    while (atomic_load(count) < n)
        sleep_ms(1);
}

static inline bool over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}

/* The real source connects after this many others, some of which send a good head, and gets in. The clock advances, but
 * not while heads are being sent: these may be slow. */
static inline void arrive(struct scene *s, unsigned others, unsigned heads)
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

static inline void close_scene(struct scene *s)
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

/* The log has the message about this stranger. The clock advances only for strangers that must time out. */
static inline void told_of(struct scene *s, const struct stranger *who)
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

static inline int make_stream(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    must(rig_stream(5, PAGES, "7.2", false, &stream, NULL, &err), &err);
    anatomy_of(&stream, &anatomy);
    return 0;
}

static inline int drop_stream(void **state)
{
    free(stream.data);
    return 0;
}

#endif

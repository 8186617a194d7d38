/* SPDX-License-Identifier: MIT
 *
 * A multifd source, and destinations that close some or all of its channels, or ignore them, as QEMUs with other
 * settings do: the machine runs on here, and the error names possible causes. The test controls the clock
 * (door_time.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../owned.h"
#include "door_time.h"
#include "rig.h"

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

/* A separate clock for machines: with the system's, the test would wait until both reach the same time. */
static uint64_t now(void *opaque)
{
    return door_now(opaque);
}

static struct gw_clock door_clock(void)
{
    struct gw_clock clock = *__wrap_gw_clock_system();

    clock.now_ns = now;
    return clock;
}

static bool over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}

/* Reads until the end. */
static void read_all(struct gw_channel *ch)
{
    uint8_t some[4096];

    while (gw_channel_readv(ch, &(struct iovec){some, sizeof some}, 1, NULL) > 0)
        ;
}

#define PAGES 16

/* What the destination does with its connections, in their order: a letter each, the last one for all that follow. c:
 * closes it; k: keeps it and reads nothing; r: reads everything and sends nothing; n: sends unexpected bytes. */
struct answer {
    const char *name, *does;
};

static const struct answer answers[] = {
    {"closes all", "c"},
    {"closes all but the main channel", "kc"},
    {"closes the main channel", "ck"},
    {"closes one channel", "rrc"},
    {"has nobody who reads", "k"},
    {"reads, and never answers", "r"},
    {"has a channel that talks, and ends", "rnc"},
};

struct there {
    const struct answer *answer;
    struct gw_listener *listener;
    struct gw_cancel *end;
    pthread_t thread;
    struct gw_channel *kept[8];
    pthread_t reader[8];
    unsigned keeps, readers;
    bool started;
};

static void *reader_main(void *channel)
{
    read_all(channel);
    return NULL;
}

static void *there_main(void *arg)
{
    static const uint8_t noise[100] = "noise";
    struct there *t = arg;
    const char *does = t->answer->does;
    struct gw_channel *ch;

    while (t->keeps < GW_ARRAY_LEN(t->kept) && gw_listener_accept(t->listener, 0, t->end, &ch, NULL) >= 0) {
        if (*does == 'n')
            gw_channel_write_full(ch, noise, sizeof noise, NULL);
        if (*does == 'c') {
            gw_channel_free(ch);
        } else {
            t->kept[t->keeps++] = ch;
            if (*does != 'k' && !pthread_create(&t->reader[t->readers], NULL, reader_main, ch))
                t->readers++;
        }
        does += does[1] != 0;
    }
    return NULL;
}

static void there_free(void *what)
{
    struct there *t = what;

    gw_cancel_trigger(t->end);
    if (t->started)
        pthread_join(t->thread, NULL);
    for (unsigned i = 0; i < t->keeps; i++)
        gw_channel_shutdown(t->kept[i]);
    for (unsigned i = 0; i < t->readers; i++)
        pthread_join(t->reader[i], NULL);
    for (unsigned i = 0; i < t->keeps; i++)
        gw_channel_free(t->kept[i]);
    gw_listener_free(t->listener);
    gw_cancel_free(t->end);
    free(t);
}

/* The machine runs on here, and the error names possible causes. */
static void test_destinations(void **state)
{
    for (size_t i = 0; i < 2 * GW_ARRAY_LEN(answers); i++) {
        struct there *t = owned(calloc(1, sizeof *t), there_free);
        struct gw_send_config config = {.progress_timeout_ns = 5 * GW_NS_PER_S, .peer = i % 2 ? "7.2" : NULL};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_send *send;
        struct rig *from;
        struct gw_uri uri;
        char address[GW_URI_TEXT];

        t->answer = &answers[i / 2];
        print_message("%s\n", t->answer->name);
        must(gw_uri_parse("tcp:127.0.0.1:0", &uri, &err), &err);
        must(gw_listen(&uri, 8, &t->listener, &err), &err);
        gw_listener_uri(t->listener, &uri);
        gw_uri_format(&uri, address, sizeof address);
        must(gw_cancel_new(&t->end, &err), &err);
        door_begin();
        from = owned_rig(5, PAGES);
        from->running = true;
        from->vm->clock = door_clock();
        must(gw_options_set_capability(gw_vm_options(from->vm), "multifd", true, &err), &err);
        must(gw_options_set_capability(gw_vm_options(from->vm), "return-path", true, &err), &err);
        config.uri = address;
        must(gw_send_start(from->vm, &config, &send, &err), &err);
        owned_send(send);
        t->started = !pthread_create(&t->thread, NULL, there_main, t);
        while (!over(gw_send_status(send))) {
            door_pass_ms(20);
            door_nap(GW_NS_PER_MS);
        }
        assert_true(gw_send_wait(send, &err) < 0);
        if (!strstr(err.text, "multifd is on: it must be on there too, with the same multifd-channels"))
            fail_msg("%s: %s", t->answer->name, err.text);
        assert_int_equal(gw_send_owner(send), GW_OWNER_SOURCE);
        assert_true(from->running);
        from->running = false;
        owned_end(send);
        owned_end(from);
        owned_end(t);
        door_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_destinations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

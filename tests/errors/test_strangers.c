/* SPDX-License-Identifier: MIT
 *
 * A listening destination withstands other connections: the source of this machine gets in, the log tells what happened
 * to the others, and nothing is left of them.
 */
#include "strangers.h"

#include "base/endian.h"
#include "engine/recv.h"
#include "wire/probe.h"

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

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

/* One stranger of each kind; the source connects when it was handled (or while it holds the place). */
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

/* A client that measures the link is answered, nothing is logged about it, and the destination waits on. */
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

/* All of them at once, and the source among them. */
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

/* More than there are places; each stays silent. The one that has waited longest is closed before its time is up. */
static void test_crowd(void **state)
{
    static const struct stranger crowded = {"crowd", NOTHING, true, "too many connections have sent nothing yet"};
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

/* Each knows the machine's name, and sends nothing else: together they delay the source for much less than a turn
 * each. */
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
    while (!door_knows_heads(HEADS)) /* all of them wait: each may take only its share of the time */
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

/* Once a source has begun to change the machine no other source is served: the connection waits, and ends with the
 * session. */
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
    for (unsigned i = 0; i < 20; i++) { /* twice the time limit of a hello */
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

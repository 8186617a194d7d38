/* SPDX-License-Identifier: MIT
 *
 * The source's end of the return path: what a destination may say, and when.
 */
#include "rig.h"

#include "base/endian.h"
#include "engine/rp.h"
#include "wire/answer.h"

static struct gw_session s;
static struct gw_rp rp;
static struct gw_channel *near, *far;

static int up(void **state)
{
    memset(&rp, 0, sizeof rp);
    return rig_up(state) || gw_session_init(&s, rig.vm, rig_event, NULL, NULL) ||
           gw_channel_memory_pair(65536, &near, &far, NULL);
}

static int down(void **state)
{
    gw_channel_free(near);
    gw_channel_free(far);
    gw_session_close(&s);
    return rig_down(state);
}

/* All is said before anybody listens, so it is heard in one go. */
static void say(uint16_t type, const void *body, uint16_t bytes)
{
    uint8_t head[4];

    gw_store_be16(head, type);
    gw_store_be16(head + 2, bytes);
    assert_int_equal(gw_channel_write_full(far, head, 4, NULL), 0);
    if (bytes)
        assert_int_equal(gw_channel_write_full(far, body, bytes, NULL), 0);
}

static void say_word(uint16_t type, uint32_t value)
{
    uint8_t body[4];

    gw_store_be32(body, value);
    say(type, body, 4);
}

static void say_hello(uint64_t extensions)
{
    uint8_t body[12] = {0, 0, 0, 1};

    gw_store_be64(body + 4, extensions);
    say(GW_RP_GODWIT_HELLO, body, 12);
}

/* Listens to the end of the channel, or of what it likes. */
static void hear(bool asks, void (*before)(void))
{
    struct gw_rp *r = &rp;

    assert_int_equal(gw_channel_close(far, NULL), 0);
    pthread_mutex_lock(&s.lock); /* nothing is taken yet */
    assert_int_equal(gw_rp_start(r, &s, near, asks, NULL, NULL), 0);
    if (before)
        before();
    pthread_mutex_unlock(&s.lock);
    gw_rp_join(r);
    assert_true(rp.ended);
}

static void failed(const char *text, bool orderly)
{
    assert_string_equal(rp.error.text, text);
    assert_int_equal(rp.ended_orderly, orderly);
}

#define CLOSED "return path: the destination closed the connection without a final answer"
#define OUT_OF_PLACE(m) "return path: the destination sent " m ", which has no place in this migration"

static void test_plain(void **state)
{
    say_word(GW_RP_PONG, 1);
    say(GW_RP_SWITCHOVER_ACK, NULL, 0);
    say_word(GW_RP_SHUT, 0);
    say_word(GW_RP_PONG, 1); /* nobody listens any more */
    hear(false, NULL);
    assert_int_equal(rp.pongs, 1);
    assert_int_equal(rp.messages, 3);
    assert_int_equal(rp.pong_ns, rig.now_ns);
    assert_true(rp.switchover_ack && rp.shut && !rp.hello);
    assert_int_equal(rp.error.code, 0);
    assert_true(rp.ended_orderly);
}

static void test_closed(void **state)
{
    say_word(GW_RP_PONG, 1);
    hear(false, NULL);
    failed(CLOSED, true);
    assert_int_equal(rp.error.code, -ENODATA);
    assert_false(rp.shut);
}

/* A godwit says HELLO once, between the two PONGs. */
static void test_hello(void **state)
{
    say_word(GW_RP_PONG, 1);
    say_hello(GW_EXTENSION_REASON | GW_EXTENSION_AS_IS | 1ull << 40);
    say_word(GW_RP_PONG, 1);
    hear(true, NULL);
    failed(CLOSED, true);
    assert_true(rp.hello && rp.as_is);
    assert_int_equal(rp.extensions, GW_EXTENSION_REASON | GW_EXTENSION_AS_IS | 1ull << 40);
}

static void test_hello_out_of_place(void **state)
{
    say_hello(GW_EXTENSIONS);
    hear(true, NULL);
    failed(OUT_OF_PLACE("GODWIT_HELLO"), false);
    assert_int_equal(rp.error.blame, GW_BLAME_PEER);
    assert_false(rp.hello);
}

static void test_hello_unasked(void **state)
{
    say_word(GW_RP_PONG, 1);
    say_hello(GW_EXTENSIONS);
    hear(false, NULL);
    failed(OUT_OF_PLACE("GODWIT_HELLO"), false);
}

static void test_hello_twice(void **state)
{
    say_word(GW_RP_PONG, 1);
    say_hello(GW_EXTENSIONS);
    say_hello(GW_EXTENSIONS);
    hear(true, NULL);
    failed(OUT_OF_PLACE("GODWIT_HELLO"), false);
}

static void agreed(void)
{
    rp.extensions = GW_EXTENSION_COMMIT | GW_EXTENSION_REASON;
    rp.offered = true;
}

static void test_loaded(void **state)
{
    say(GW_RP_GODWIT_LOADED, NULL, 0);
    hear(false, agreed);
    assert_true(rp.loaded);
    failed(CLOSED, true);
}

/* Before the last byte went, and a second time, it is a lie. */
static void not_offered(void)
{
    agreed();
    rp.offered = false;
}

static void test_loaded_too_early(void **state)
{
    say(GW_RP_GODWIT_LOADED, NULL, 0);
    hear(false, not_offered);
    assert_false(rp.loaded);
    failed(OUT_OF_PLACE("GODWIT_LOADED"), false);
}

static void test_loaded_twice(void **state)
{
    say(GW_RP_GODWIT_LOADED, NULL, 0);
    say(GW_RP_GODWIT_LOADED, NULL, 0);
    hear(false, agreed);
    failed(OUT_OF_PLACE("GODWIT_LOADED"), false);
}

static void test_failure(void **state)
{
    say_word(GW_RP_SHUT, 7);
    hear(false, NULL);
    failed("return path: the destination reported a failure (code 7): its log says why, and `godwit schema explain` may", true);
    assert_int_equal(rp.error.code, -EREMOTEIO);
    assert_int_equal(rp.shut_value, 7);
}

static void test_reason(void **state)
{
    say(GW_RP_GODWIT_REASON, "no disk", 7);
    say_word(GW_RP_SHUT, 1);
    hear(false, agreed);
    failed("return path: the destination could not load the machine: no disk", true);
}

static void test_reason_twice(void **state)
{
    say(GW_RP_GODWIT_REASON, "a", 1);
    say(GW_RP_GODWIT_REASON, "b", 1);
    hear(false, agreed);
    failed(OUT_OF_PLACE("GODWIT_REASON"), false);
}

/* Pages are asked for by a machine that runs there, or else by nobody. */
static void test_requests(void **state)
{
    uint8_t body[12] = {0};

    say(GW_RP_REQ_PAGES, body, 12);
    hear(false, NULL);
    failed("return path: the destination asks for pages, but the machine was not handed over to it", false);
}

static void packaged(void)
{
    rp.packaged = true;
}

/* Only the PONG to the PING in the package says that the machine runs there, and only once that is on its way. */
static void test_runs(void **state)
{
    say_word(GW_RP_PONG, 2);
    hear(false, packaged);
    assert_false(rp.runs);
}

static void test_runs_there(void **state)
{
    say_word(GW_RP_PONG, GW_PING_PACKAGE);
    hear(false, packaged);
    assert_true(rp.runs);
}

static void test_runs_too_early(void **state)
{
    say_word(GW_RP_PONG, GW_PING_PACKAGE);
    hear(false, NULL);
    assert_false(rp.runs);
}

static void resuming(void)
{
    rp.resuming = true;
}

static void test_resumed(void **state)
{
    say_word(GW_RP_RESUME_ACK, 1);
    hear(false, resuming);
    assert_true(rp.resumed && rp.runs && rp.packaged);
    failed(CLOSED, true);
}

static void test_resumed_unasked(void **state)
{
    say_word(GW_RP_RESUME_ACK, 1);
    hear(false, NULL);
    assert_false(rp.resumed);
    failed("return path: the destination acknowledges (1) a resumption that was not asked for", false);
}

static void test_resumed_otherwise(void **state)
{
    say_word(GW_RP_RESUME_ACK, 2);
    hear(false, resuming);
    failed("return path: the destination acknowledges (2) a resumption that was not asked for", false);
}

/* A map of received pages: size, words in little endian, mark. */
static void say_map(const char *block, uint64_t bytes, uint64_t mark)
{
    uint8_t body[40] = {(uint8_t)strlen(block)}, map[24] = {0};

    memcpy(body + 1, block, strlen(block));
    say(GW_RP_RECV_BITMAP, body, (uint16_t)(1 + strlen(block)));
    gw_store_be64(map, bytes);
    map[8] = 5;
    gw_store_be64(map + 16, mark);
    assert_int_equal(gw_channel_write_full(far, map, 24, NULL), 0);
}

static uint64_t map_of_it;

static void wants_ram(void)
{
    rp.wanted = rig.vm->ram.blocks[0];
}

static void test_map(void **state)
{
    say_map("ram", 8, GW_RECV_BITMAP_END);
    assert_int_equal(gw_channel_close(far, NULL), 0);
    pthread_mutex_lock(&s.lock);
    assert_int_equal(gw_rp_start(&rp, &s, near, false, NULL, NULL), 0);
    wants_ram();
    while (!rp.map && !rp.ended)
        pthread_cond_wait(&s.changed, &s.lock);
    assert_non_null(rp.map);
    map_of_it = rp.map[0];
    pthread_mutex_unlock(&s.lock);
    gw_rp_join(&rp);
    assert_int_equal(map_of_it, 5);
    assert_null(rp.map); /* nobody took it */
}

#define UNASKED "return path: the destination sent a map of received pages that was not asked for"

static void test_map_unasked(void **state)
{
    say_map("ram", 8, GW_RECV_BITMAP_END);
    hear(false, NULL);
    failed(UNASKED, false);
}

static void test_map_of_another_block(void **state)
{
    say_map("rom", 8, GW_RECV_BITMAP_END);
    hear(false, wants_ram);
    failed(UNASKED, false);
}

static void test_map_size(void **state)
{
    say_map("ram", 16, GW_RECV_BITMAP_END);
    hear(false, wants_ram);
    failed("return path: the map of received pages of block ram has 16 bytes instead of 8", false);
}

static void test_map_mark(void **state)
{
    say_map("ram", 8, 0);
    hear(false, wants_ram);
    failed("return path: the map of received pages of block ram does not end with the end mark", false);
    assert_null(rp.map);
}

/* It does not know of a peer before all PINGs are answered. */
static void test_knows_peer(void **state)
{
    rp = (struct gw_rp){.asks = true, .running = true, .pongs = 1};
    assert_false(gw_rp_knows_peer(&rp));
    rp.pongs = 2;
    assert_true(gw_rp_knows_peer(&rp));
    rp = (struct gw_rp){.running = true};
    assert_false(gw_rp_knows_peer(&rp));
    rp.running = false; /* there is nobody to ask */
    assert_true(gw_rp_knows_peer(&rp));
}

/* Lanes that write to nobody are not waited for when the destination has gone. */
static void test_lanes_are_shut(void **state)
{
    struct gw_channel *a, *b;

    assert_int_equal(gw_channel_memory_pair(64, &a, &b, NULL), 0);
    gw_links_put(&s.links, GW_LINK_PAGES, 0, a);
    hear(false, NULL);
    assert_int_equal(gw_channel_write_full(a, "x", 1, NULL), -ECANCELED);
    gw_links_put(&s.links, GW_LINK_PAGES, 0, NULL);
    gw_channel_free(a);
    gw_channel_free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_plain),       T(test_closed),         T(test_hello),           T(test_hello_out_of_place),   T(test_hello_unasked),
        T(test_hello_twice), T(test_loaded),         T(test_loaded_too_early), T(test_loaded_twice),        T(test_failure),
        T(test_reason),      T(test_reason_twice),   T(test_requests),        T(test_runs),                 T(test_runs_there),
        T(test_runs_too_early), T(test_resumed),     T(test_resumed_unasked), T(test_resumed_otherwise),    T(test_map),
        T(test_map_unasked), T(test_map_of_another_block), T(test_map_size),  T(test_map_mark),             T(test_knows_peer),
        T(test_lanes_are_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

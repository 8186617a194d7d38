/* SPDX-License-Identifier: MIT
 *
 * Invalid channels of a multifd migration: too few, too many, late, duplicate, from another source, and with wrong
 * packets. The sources' data is that of real peers (tests/golden), changed. In each case the destination ends or goes
 * back to listening, gives the reason, and closes the source's connections; the machine runs on one side only.
 * test_multifd_there.c has the other side.
 *
 * The test controls the destination's clock (door_time.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../owned.h"
#include "base/endian.h"
#include "door_time.h"
#include "engine/recv.h"
#include "rig.h"

#define MIB      (1u << 20)
#define RAM      (16 * MIB)
#define HELLO_MS 3000u
#define CHANNELS 2u

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

/* ---- what the source says ----------------------------------------------------------------------------------------- */

enum { MAIN = CHANNELS, STREAMS };
#define LIST_BYTES 78 /* of the main stream of multifd-10.0: up to and including the end of the START section */

/* Replaces one value of a channel. */
struct change {
    unsigned channel; /* which of CHANNELS */
    size_t at;        /* 0: none */
    uint32_t value;
};

struct script {
    const char *name;
    const char *capture;
    const char *order;          /* what is written to separate connections: a digit: that channel; m: main; l, r: the list and the
                                 * rest of main; g: just the greeting of channel 0; s: waits until all that was dialled so far has
                                 * a seat; w: until all channels are in use */
    const char *compression;    /* at the destination; NULL: none */
    unsigned channels;          /* there; 0: multifd is off */
    struct change change;
    size_t cut;                 /* the channel change.channel ends after this many bytes; 0: not cut */
    bool late;                  /* the error needs a time-out; the clock advances when this many channels have a seat: */
    unsigned seats;
    const char *told;           /* text in the log or in the error; NULL: the machine arrives */
};

static const char nobody[] = "0 of 2 multifd channels have come within 900 ms: capability multifd seems to be off at the source";
static const char one_only[] = "1 of 2 multifd channels have come within 900 ms: multifd-channels seems to be 1 at the source and is 2 here";

#define PACKET(field, number) {0, 1408 + (field), number}
static const struct script scripts[] = {
    /* in any order */
    {"main first", "multifd-10.0", "m01", NULL, 2},
    {"main last", "multifd-10.0", "10m", NULL, 2},
    {"main in between", "multifd-7.2", "1m0", NULL, 2},
    {"follows the list", "multifd-10.0", "l01r", NULL, 2},
    {"zlib", "multifd-zlib-10.0", "m10", "zlib", 2},
    {"zstd", "multifd-zstd-7.2", "0m1", "zstd", 2},

    /* too few, too many, twice */
    {"none", "multifd-10.0", "m", NULL, 2, .late = true, .told = nobody},
    {"one too few", "multifd-10.0", "m1", NULL, 2, .late = true, .seats = 1, .told = one_only},
    {"fewer than here", "multifd-10.0", "m01", NULL, 3, .late = true, .seats = 2, .told = "2 of 3 multifd channels have come within 900 ms"},
    {"more than here", "multifd-10.0", "m01", NULL, 1, .told = "multifd channel 1 came, but multifd-channels is 1 here"},
    {"off here", "multifd-10.0", "01m", NULL, 0, .told = "a multifd channel came: capability multifd is on at the source and off here"},
    {"off here, main first", "multifd-10.0", "m", NULL, 0, .told = "capability multifd is on at the source and off here"},
    {"left by an earlier one", "multifd-10.0", "gs0sm1", NULL, 2},
    {"twice, in use", "multifd-10.0", "l01wgr", NULL, 2},
    {"both are the same", "multifd-10.0", "m01", NULL, 2, {1, 21, 0}, .late = true, .seats = 2, .told = one_only},

    /* somebody else's */
    {"another number", "multifd-10.0", "m01", NULL, 2, {1, 21, 7}, .told = "multifd channel 7 came, but multifd-channels is 2 here"},
    {"another machine", "multifd-10.0", "m01", NULL, 2, {1, 8, 7}, .told = "multifd channel 1 belongs to a machine with another UUID"},
    {"another version", "multifd-10.0", "m01", NULL, 2, {0, 4, 9}, .told = "multifd version 9 is not known, only 1"},
    {"another magic", "multifd-10.0", "m01", NULL, 2, {0, 1, 0x5f000000}, .late = true, .seats = 1, .told = one_only},
    {"half a greeting", "multifd-10.0", "m01", NULL, 2, .cut = 30, .late = true, .seats = 1, .told = one_only},
    {"only a greeting", "multifd-10.0", "m01", NULL, 2, .cut = 64, .told = "page channel 0: stream ended at byte 0"},

    /* packets */
    {"cut in a head", "multifd-10.0", "m01", NULL, 2, .cut = 1500, .told = "page channel 0: "},
    {"cut in a page", "multifd-10.0", "m01", NULL, 2, .cut = 5000, .told = "page channel 0: "},
    {"cut before a mark", "multifd-10.0", "m01", NULL, 2, .cut = 33856, .told = "page channel 0: stream ended at byte 33792"},
    {"magic", "multifd-10.0", "m01", NULL, 2, PACKET(0, 0x51), .told = "page channel 0: multifd packet at byte 1344: this is none (0x51)"},
    {"version", "multifd-10.0", "m01", NULL, 2, PACKET(4, 2), .told = "its version is not known (0x2)"},
    {"device state", "multifd-10.0", "m01", NULL, 2, PACKET(8, 0x40), .told = "it has device state, which is not supported here"},
    {"flags", "multifd-10.0", "m01", NULL, 2, PACKET(8, 0x400), .told = "its flags are not known (0x400)"},
    {"compression", "multifd-10.0", "m01", NULL, 2, PACKET(8, 0x08), .told = "multifd-compression is qpl at the source and none here"},
    {"room", "multifd-10.0", "m01", NULL, 2, PACKET(12, 129), .told = "it has room for more pages than a packet has (0x81)"},
    {"count", "multifd-10.0", "m01", NULL, 2, PACKET(16, UINT32_MAX), .told = "it has more pages than a packet has"},
    {"zeros", "multifd-10.0", "m01", NULL, 2, PACKET(32, UINT32_MAX), .told = "it has more pages than a packet has"},
    {"bytes", "multifd-10.0", "m01", NULL, 2, PACKET(20, 8191), .told = "its number of content bytes is out of range (0x1fff)"},
    {"no name", "multifd-10.0", "m01", NULL, 2, PACKET(64, 0), .told = "the name of its block is empty or does not end"},
    {"block", "multifd-10.0", "m01", NULL, 2, PACKET(64, 0x71000000), .told = "no RAM block is called q"},
    {"offset", "multifd-10.0", "m01", NULL, 2, PACKET(320, 1), .told = "offset 0x100011000 is beyond RAM block r (0x1000000 bytes)"},
    {"in a page", "multifd-10.0", "m01", NULL, 2, PACKET(324, 0x11001), .told = "a page begins within a page (0x11001)"},
    {"of zeros", "multifd-10.0", "m01", NULL, 2, PACKET(320 + 8 * 127, 1), .told = "is beyond RAM block r"},

    /* compression */
    {"none to zlib", "multifd-10.0", "m01", "zlib", 2, .told = "multifd-compression is none at the source and zlib here"},
    {"zstd to none", "multifd-zstd-10.0", "m01", NULL, 2, .told = "multifd-compression is zstd at the source and none here"},
    {"zlib to zstd", "multifd-zlib-10.0", "m01", "zstd", 2, .told = "multifd-compression is zlib at the source and zstd here"},
    {"not zlib", "multifd-zlib-10.0", "m01", "zlib", 2, {0, 2752, 0}, .told = "page channel 0: multifd packet at byte 1344: zlib: "},
    {"not zstd", "multifd-zstd-10.0", "m01", "zstd", 2, {0, 2752, 0}, .told = "page channel 0: multifd packet at byte 1344: zstd: "},
    {"too much", "multifd-zlib-10.0", "m01", "zlib", 2, PACKET(20, MIB + 1), .told = "its number of content bytes is "
        "out of range (0x100001)"},
};

static struct rig_bytes stream_of(const char *capture, unsigned i)
{
    struct rig_bytes b = {.cap = MIB};
    char path[300], end[8];
    FILE *f;

    snprintf(end, sizeof end, i == MAIN ? "main" : "ch%u", i);
    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s.%s.src2dst.bin", capture, end);
    f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing", path);
    b.data = owned(malloc(b.cap), free);
    b.bytes = fread(b.data, 1, b.cap, f);
    fclose(f);
    return b;
}

/* ---- a destination, with a machine `none` ------------------------------------------------------------------------- */

struct scene {
    struct gw_vm *vm;
    uint8_t *ram;
    int64_t timer[3];
    struct gw_recv *recv;
    struct gw_uri uri;
    bool running;
    _Atomic unsigned seated;
    pthread_mutex_t lock;
    char log[4096];
};

static int op_stop(void *opaque, struct gw_error *err)
{
    ((struct scene *)opaque)->running = false;
    return 0;
}

static int op_start(void *opaque, struct gw_error *err)
{
    ((struct scene *)opaque)->running = true;
    return 0;
}

static bool op_running(void *opaque)
{
    return ((struct scene *)opaque)->running;
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = op_stop, .start = op_start, .running = op_running};

struct timer_shape {
    int64_t ticks, unused, clock;
};
static const struct gw_field timer_fields[] = {GW_FIELD(struct timer_shape, ticks), GW_FIELD(struct timer_shape, unused),
                                               GW_FIELD(struct timer_shape, clock), GW_END};
static const struct gw_state timer_state = {.name = "timer", .version = 2, .oldest = 2, .fields = timer_fields};

static void on_event(void *opaque, const struct gw_event *e)
{
    struct scene *s = opaque;
    size_t n;

    if (e->type != GW_EVENT_LOG)
        return;
    pthread_mutex_lock(&s->lock);
    n = strlen(s->log);
    snprintf(s->log + n, sizeof s->log - n, "%s\n", e->text);
    pthread_mutex_unlock(&s->lock);
}

/* Called on threads of the destination. */
static void at_the_door(void *opaque, const struct gw_trace_record *r)
{
    struct scene *s = opaque;

    atomic_fetch_add(&s->seated, strstr(r->text, "is a channel for pages") != NULL);
}

static void scene_free(void *what)
{
    struct scene *s = what;

    gw_vm_free(s->vm);
    if (s->ram)
        munmap(s->ram, RAM);
    door_end();
    free(s);
}

static struct scene *open_scene(const char *compression, unsigned channels)
{
    struct scene *s = owned(calloc(1, sizeof *s), scene_free);
    struct gw_vm_config config = {.machine = "none", .page_bytes = 4096, .ops = &ops, .opaque = s};
    struct gw_recv_config recv = {
        .uri = "tcp:127.0.0.1:0", .hello_timeout_ns = HELLO_MS * GW_NS_PER_MS, .on_event = on_event, .opaque = s};
    struct gw_error err = GW_ERROR_INIT;
    char address[GW_URI_TEXT];

    pthread_mutex_init(&s->lock, NULL);
    door_begin();
    must(gw_vm_new(&config, &s->vm, &err), &err);
    s->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(s->ram != MAP_FAILED);
    must(gw_vm_add_ram(s->vm, &(struct gw_ram_desc){.name = "r", .host = s->ram, .used_bytes = RAM, .flags = GW_RAM_FRESH}, &err),
         &err);
    must(gw_registry_add(gw_vm_registry(s->vm), &timer_state, "timer", 0, s->timer, &err), &err);
    if (channels) {
        must(gw_options_set_capability(gw_vm_options(s->vm), "multifd", true, &err), &err);
        must(gw_options_set_u64(gw_vm_options(s->vm), "multifd-channels", channels, &err), &err);
    }
    if (compression)
        must(gw_options_set_parameter(gw_vm_options(s->vm), "multifd-compression", compression, &err), &err);
    s->vm->clock = door_clock();
    must(gw_vm_set_trace(s->vm, "door", at_the_door, s, &err), &err);
    must(gw_recv_start(s->vm, &recv, &s->recv, &err), &err);
    owned_recv(s->recv);
    gw_recv_address(s->recv, address, sizeof address);
    must(gw_uri_parse(address, &s->uri, &err), &err);
    return s;
}

static bool over(enum gw_status s)
{
    return s == GW_STATUS_COMPLETED || s == GW_STATUS_FAILED || s == GW_STATUS_CANCELLED;
}

static bool has_told(struct scene *s, const char *words)
{
    bool found;

    pthread_mutex_lock(&s->lock);
    found = strstr(s->log, words) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* ---- a source ----------------------------------------------------------------------------------------------------- */

struct source {
    struct gw_channel *main;
    struct gw_channel *other[8]; /* all the others */
    unsigned others;
};

static struct gw_channel *dial(struct scene *s, const void *bytes, size_t n)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    must(gw_connect(&s->uri, 0, NULL, &ch, &err), &err);
    owned_channel(ch);
    gw_channel_write_full(ch, bytes, n, NULL); /* the destination may have closed it */
    return ch;
}

static void await(const _Atomic unsigned *count, unsigned n)
{
    while (atomic_load(count) < n)
        door_nap(GW_NS_PER_MS);
}

static bool in_use(struct scene *s)
{
    bool all = true;

    pthread_mutex_lock(&s->recv->session.lock);
    for (unsigned i = 0; i < CHANNELS; i++)
        all &= s->recv->pages.at[i].taken;
    pthread_mutex_unlock(&s->recv->session.lock);
    return all;
}

static struct source speak(struct scene *s, const struct script *what)
{
    struct rig_bytes stream[STREAMS];
    struct source from = {0};
    const struct change *c = &what->change;

    for (unsigned i = 0; i < STREAMS; i++)
        stream[i] = stream_of(what->capture, i);
    if (c->at)
        gw_store_be32(stream[c->channel].data + c->at, c->value);
    if (what->cut)
        stream[c->channel].bytes = what->cut;
    for (const char *p = what->order; *p; p++) {
        struct rig_bytes *b = &stream[*p == 'm' || *p == 'l' || *p == 'r' ? MAIN : *p >= '0' && *p < '0' + STREAMS ? (unsigned)(*p - '0') : 0];

        if (*p == 'w') {
            while (!in_use(s))
                door_nap(GW_NS_PER_MS);
        } else if (*p == 's') {
            await(&s->seated, from.others);
        } else if (*p == 'r') {
            gw_channel_write_full(from.main, b->data + LIST_BYTES, b->bytes - LIST_BYTES, NULL);
        } else if (*p == 'm' || *p == 'l') {
            from.main = dial(s, b->data, *p == 'l' ? LIST_BYTES : b->bytes);
        } else {
            from.other[from.others++] = dial(s, b->data, *p == 'g' ? 64 : b->bytes);
            if (what->cut && (unsigned)(*p - '0') == c->channel)
                gw_channel_close(from.other[from.others - 1], NULL);
        }
    }
    return from;
}

static void hang_up(struct source *from)
{
    owned_end(from->main);
    for (unsigned i = 0; i < from->others; i++)
        owned_end(from->other[i]);
}

/* The destination has closed the source's connections. */
static void is_let_go(struct gw_channel *ch)
{
    uint8_t some[4096];

    while (gw_channel_readv(ch, &(struct iovec){some, sizeof some}, 1, NULL) > 0)
        ;
}

/* The machine has arrived with the source's contents. */
static void has_arrived(struct scene *s, struct source *from)
{
    struct gw_error err = GW_ERROR_INIT;

    gw_channel_close(from->main, NULL); /* as a source does after its last byte */
    must(gw_recv_wait(s->recv, &err), &err);
    assert_true(s->running);
    assert_int_equal(s->ram[0x10001], (7 * 1 + 3) & 255);
    assert_int_equal(s->ram[0x11fff], 0xab);
    assert_int_equal(s->ram[0x200000], 'Z');
    assert_int_equal(s->ram[0xfff000], (7 * 4095 + 3) & 255);
}

static void run(const struct script *what)
{
    static const struct script good = {"afterwards", "multifd-10.0", "m01"};
    struct scene *s = open_scene(what->compression, what->channels);
    struct source from = speak(s, what), again;
    struct gw_error err = GW_ERROR_INIT;

    if (!what->told) {
        has_arrived(s, &from);
    } else {
        /* The clock advances when the destination has all connections. */
        while (!has_told(s, what->told) && !over(gw_recv_status(s->recv)) && !gw_channel_peer_gone(from.main)) {
            if (what->late && atomic_load(&s->seated) >= what->seats && door_knows_heads(1))
                door_pass_ms(20);
            door_nap(GW_NS_PER_MS);
        }
        is_let_go(from.main);
        assert_false(s->running);
        /* Its end, or its return to listening, comes a moment later. */
        while (!over(gw_recv_status(s->recv)) && gw_session_phase(&s->recv->session) != GW_PHASE_LISTEN)
            door_nap(GW_NS_PER_MS);
        if (over(gw_recv_status(s->recv)))
            assert_true(gw_recv_wait(s->recv, &err) < 0);
        if (!strstr(err.text, what->told) && !has_told(s, what->told))
            fail_msg("%s: not told: %s\n%s\n%s", what->name, what->told, err.text, s->log);
        if (over(gw_recv_status(s->recv))) {
            assert_true(err.blame == GW_BLAME_PEER || err.blame == GW_BLAME_CHANNEL);
        } else if (what->channels == CHANNELS && !what->compression) {
            /* Nothing was loaded: another source may connect, and nothing remains of the first. */
            hang_up(&from);
            again = speak(s, &good);
            has_arrived(s, &again);
            hang_up(&again);
            from = (struct source){0};
        }
    }
    if (strchr(what->order, 'g') && strchr(what->order, 'w'))
        assert_true(has_told(s, "multifd channel 0 came twice"));
    if (from.main)
        hang_up(&from);
    owned_end(s->recv);
    owned_end(s);
}

/* A QEMU may send an empty packet on a page channel after its last mark, and fails if it cannot, although its machine runs here:
 * the channels stay open until it closes the main one. */
static void test_channels_stay(void **state)
{
    static const struct script good = {"stay", "multifd-10.0", "m01"};
    struct scene *s = open_scene(NULL, CHANNELS);
    struct source from = speak(s, &good);

    while (!over(gw_recv_status(s->recv)))
        door_nap(GW_NS_PER_MS);
    for (unsigned look = 0; look < 100; look++) {
        for (unsigned i = 0; i < from.others; i++)
            assert_false(gw_channel_peer_gone(from.other[i]));
        door_nap(GW_NS_PER_MS);
    }
    has_arrived(s, &from);
    hang_up(&from);
    owned_end(s->recv);
    owned_end(s);
}

static void test_sources(void **state)
{
    const char *only = getenv("MULTIFD_SCRIPT");

    for (size_t i = 0; i < GW_ARRAY_LEN(scripts); i++) {
        if (only && !strstr(scripts[i].name, only))
            continue;
        print_message("%s\n", scripts[i].name);
        run(&scripts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_sources), owned_test(test_channels_stay)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

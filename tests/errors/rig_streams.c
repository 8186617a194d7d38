/* SPDX-License-Identifier: MIT
 *
 * Streams of rigs: loads and the rules for their results, CPU time of a load, streams that a source writes.
 */
#include "rig.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "engine/recv.h"

/* ---- loads --------------------------------------------------------------------------------------------------------
 */

uint64_t rig_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * GW_NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct rig_outcome load_once(struct rig *g, const uint8_t *data, size_t bytes, enum rig_split split,
                                    uint64_t seed)
{
    struct rig_outcome o = {.err = GW_ERROR_INIT, .bytes = bytes};
    struct gw_recv_config config = {.on_event = rig_event, .opaque = g};
    struct gw_recv *recv;

    o.r = rig_feed(data, bytes, split, seed, NULL, &config.take_channel, &o.err);
    o.cpu_ns = rig_cpu_ns();
    if (o.r >= 0)
        o.r = gw_recv_new(g->vm, &config, &recv, &o.err);
    if (o.r < 0)
        return o;
    gw_recv_main(recv);
    o.cpu_ns = rig_cpu_ns() - o.cpu_ns;
    o.r = gw_recv_wait(recv, &o.err);
    o.owner = gw_recv_owner(recv);
    o.status = gw_recv_status(recv);
    gw_recv_free(recv);
    return o;
}

struct rig_outcome rig_load(struct rig *g, const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed)
{
    struct rig_outcome o = load_once(g, data, bytes, split, seed);

    /* If the host suspends this virtual machine, that time may count as CPU time. It does not happen each time. */
    for (unsigned i = 0; i < 3 && rig_took_too_long(o.cpu_ns, bytes); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct rig again;

        if ((g->block_count == RIG_BLOCKS ? rig_new(&again, 0, 0, &err) : rig_new_none(&again, &err)) < 0)
            abort();
        o.cpu_ns = GW_MIN(o.cpu_ns, load_once(&again, data, bytes, split, seed).cpu_ns);
        rig_free(&again);
    }
    return o;
}

const char *rig_vague(const char *text)
{
    static const char *const places[] = {"head",   "section", "command", "element", "description of the devices",
                                         "COMMIT", "EOF"};
    bool placed = false;

    for (const char *p = text; *p; p++)
        if (iscntrl((unsigned char)*p))
            return "control characters in the message";
    for (size_t i = 0; i < GW_ARRAY_LEN(places); i++)
        placed |= strstr(text, places[i]) != NULL;
    if (!placed)
        return "does not say in which part of the stream";
    for (const char *p = text; (p = strstr(p, "byte ")); p++)
        if (isdigit((unsigned char)p[5]))
            return NULL;
    return "does not say at which byte";
}

const char *rig_judge(const struct rig *g, const struct rig_outcome *o)
{
    if (!rig_local_untouched(g))
        return "the block that is not part of the state was written";
    if (rig_took_too_long(o->cpu_ns, o->bytes))
        return "took too long";
    if (o->r >= 0)
        return o->status != GW_STATUS_COMPLETED || o->owner != GW_OWNER_DESTINATION || g->arrived != 1 || g->starts > 1
                   ? "the end is no end"
                   : NULL;
    if (g->running || g->starts)
        return "the machine was started after an error";
    if (o->owner == GW_OWNER_DESTINATION || o->status != GW_STATUS_FAILED)
        return "the end is not a failure";
    if (o->err.code != o->r || o->err.blame == GW_BLAME_NONE)
        return "no code or nobody to blame";
    if (o->r == -ENOMEM)
        return "asked for too much memory";
    return rig_vague(o->err.text);
}

/* ---- bytes out -----------------------------------------------------------------------------------------------------
 */

static int send_to(struct rig *g, struct gw_channel *to, const char *peer, struct gw_error *err)
{
    struct gw_send *send;
    struct gw_send_config config = {.take_channel = to, .peer = peer, .progress_timeout_ns = UINT64_MAX};
    int r = gw_send_start(g->vm, &config, &send, err);

    if (r < 0)
        return r;
    r = gw_send_wait(send, err);
    gw_send_free(send);
    return r;
}

static int send_over(struct rig *g, struct rig_bytes *to, struct rig_bytes *answers, const char *peer,
                     struct gw_error *err)
{
    struct gw_channel *a = NULL, *b = NULL, *tap;
    struct gw_recv *recv;
    struct rig there;
    int r = rig_new(&there, 0, 0, err), r2;

    if (r >= 0)
        r = gw_options_set_capability(gw_vm_options(g->vm), "return-path", true, err);
    if (r >= 0)
        r = gw_channel_memory_pair(1 << 16, &a, &b, err);
    if (r >= 0 && answers)
        r = rig_tap(b, answers, &b, err);
    if (r >= 0)
        r = gw_recv_start(there.vm, &(struct gw_recv_config){.take_channel = b}, &recv, err);
    if (r < 0)
        return r;
    r = rig_tap(a, to, &tap, err);
    if (r >= 0)
        r = send_to(g, tap, peer, err);
    r2 = gw_recv_wait(recv, r < 0 ? NULL : err);
    gw_recv_free(recv);
    if (r >= 0 && r2 >= 0 && !rig_same(g, &there))
        r = gw_fail(err, -EIO, GW_BLAME_LOCAL, "what arrived is not what left");
    rig_free(&there);
    return r < 0 ? r : r2;
}

int rig_stream(uint64_t seed, unsigned pages, const char *peer, bool duplex, struct rig_bytes *ret,
               struct rig_bytes *ret_answers, struct gw_error *err)
{
    struct gw_channel *keep;
    struct rig g;
    int r = rig_new(&g, seed, pages, err);

    *ret = (struct rig_bytes){0};
    if (ret_answers)
        *ret_answers = (struct rig_bytes){0};
    if (r >= 0)
        r = gw_options_set_parameter(gw_vm_options(g.vm), "max-bandwidth", "0", err);
    if (r >= 0) {
        g.running = true;
        if (duplex)
            r = send_over(&g, ret, ret_answers, peer, err);
        else if ((r = rig_keep(ret, &keep, err)) >= 0)
            r = send_to(&g, keep, peer, err);
    }
    rig_free(&g);
    return r;
}

/* ---- how long a load may take --------------------------------------------------------------------------------------
 */

/* Streams that cost most (all RAM is read when they are parked) take up to some 100 times what the harmless one takes.
 * An endless loop exceeds any limit; super-linear time has its own test. */
#define TIMES 20000

struct control {
    struct rig_bytes stream;
    uint64_t cpu_ns; /* of the slowest load so far: the processor's speed may drop */
};

static void measure(struct control *c)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_outcome o;
    struct rig g;

    if (rig_new(&g, 0, 0, &err) < 0)
        abort();
    o = load_once(&g, c->stream.data, c->stream.bytes, RIG_WHOLE, 0);
    if (o.r < 0)
        abort();
    c->cpu_ns = GW_MAX(c->cpu_ns, o.cpu_ns);
    rig_free(&g);
}

bool rig_took_too_long(uint64_t cpu_ns, size_t bytes)
{
    static struct control control;
    struct gw_error err = GW_ERROR_INIT;
    double allowed;

    if (!control.stream.data) {
        if (rig_stream(3, 16, "10.0", false, &control.stream, NULL, &err) < 0)
            abort();
        for (unsigned i = 0; i < 3; i++)
            measure(&control);
    }
    allowed = TIMES * (1 + (double)bytes / (double)control.stream.bytes);
    if ((double)cpu_ns <= allowed * (double)control.cpu_ns)
        return false;
    /* The processor may be slower now than it was then. */
    for (unsigned i = 0; i < 20; i++)
        measure(&control);
    return (double)cpu_ns > allowed * (double)control.cpu_ns;
}

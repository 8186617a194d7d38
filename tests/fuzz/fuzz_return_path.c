/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a destination says, at any time: a whole migration to a destination that is all mouth.
 *
 * Input: a byte that chooses the peer's profile (bit 2: the machine is to go on there at once, by postcopy; bit 3: patient), then
 * pieces: how far the source must have written before the piece is said (in units of 128 bytes), how long it is, the bytes. At the
 * end the destination closes its side.
 *
 * A piece is said after PATIENCE_NS in any case, as the source may be waiting for it. Patient, in a replay, it is not: 254 is when the
 * description is out, the last that a source writes on its own, and 255 when COMMIT is.
 *
 * The machine goes on here, or it was given away after LOADED by a COMMIT, or a plain peer said after the last byte that it
 * has it; never anything else. By postcopy it may also be there without all of its memory. Accepted: it has been handed over.
 */
#include "base/endian.h"
#include "engine/send.h"
#include "rig.h"
#include "verdict.h"

#include <stdio.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No check depends on whether a piece is said for this. */
#define PATIENCE_NS (2 * GW_NS_PER_MS)
#define HOUR_NS     (3600 * GW_NS_PER_S)

enum { POSTCOPY = 4, PATIENT = 8 };
enum { DUE_ENDED = 254, DUE_COMMITTED };

struct mouth {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at, piece; /* left of the piece */
    uint8_t due;             /* before which it is not said */
    bool patient;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t written;
    bool down;
    bool ended;              /* the source wrote its description, which comes last */
    bool committed;          /* the source wrote a COMMIT */
    uint8_t tail[5];
};

static void next_piece(struct mouth *m)
{
    m->due = m->piece = 0;
    while (!m->piece && m->at + 2 <= m->bytes) {
        m->due = m->data[m->at];
        m->piece = GW_MIN(m->data[m->at + 1], m->bytes - m->at - 2);
        m->at += 2;
    }
}

static bool is_due(const struct mouth *m)
{
    if (m->patient && m->due >= DUE_ENDED)
        return m->due == DUE_ENDED ? m->ended : m->committed;
    return m->written >= m->due * 128u;
}

static ssize_t mouth_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct mouth *m = (struct mouth *)ch;
    struct timespec until;
    uint64_t t = gw_now_ns(&gw_clock_real) + (m->patient ? HOUR_NS : PATIENCE_NS);
    size_t take;

    until = (struct timespec){.tv_sec = (time_t)(t / GW_NS_PER_S), .tv_nsec = (long)(t % GW_NS_PER_S)};
    pthread_mutex_lock(&m->lock);
    if (!m->piece)
        next_piece(m);
    while (!m->down && !is_due(m) && pthread_cond_timedwait(&m->moved, &m->lock, &until) != ETIMEDOUT)
        ;
    take = m->down ? 0 : GW_MIN(m->piece, iov[0].iov_len);
    memcpy(iov[0].iov_base, m->data + m->at, take);
    m->at += take;
    m->piece -= take;
    pthread_mutex_unlock(&m->lock);
    return m->down ? gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "shut down") : (ssize_t)take;
}

static ssize_t mouth_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    static const uint8_t commit[5] = {0x08, 0x67, 0x01, 0x00, 0x00};
    struct mouth *m = (struct mouth *)ch;
    ssize_t done = 0;

    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < n; i++) {
        size_t k = GW_MIN(iov[i].iov_len, sizeof m->tail);

        memmove(m->tail, m->tail + k, sizeof m->tail - k);
        memcpy(m->tail + sizeof m->tail - k, (const char *)iov[i].iov_base + iov[i].iov_len - k, k);
        done += (ssize_t)iov[i].iov_len;
    }
    m->written += (uint64_t)done;
    m->committed |= !memcmp(m->tail, commit, sizeof commit);
    m->ended |= !memcmp(m->tail + 2, "}]}", 3);
    pthread_cond_broadcast(&m->moved);
    if (m->down)
        done = gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "shut down");
    pthread_mutex_unlock(&m->lock);
    return done;
}

static void mouth_shutdown(struct gw_channel *ch)
{
    struct mouth *m = (struct mouth *)ch;

    pthread_mutex_lock(&m->lock);
    m->down = true;
    pthread_cond_broadcast(&m->moved);
    pthread_mutex_unlock(&m->lock);
}

static void mouth_free(struct gw_channel *ch)
{
}

static void check(bool ok, const char *what, const struct gw_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %d %s: %s\n", what, err->code, gw_blame_name(err->blame), err->text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gw_channel_ops ops = {.kind = "mouth",
                                              .readv = mouth_readv,
                                              .writev = mouth_writev,
                                              .shutdown = mouth_shutdown,
                                              .free = mouth_free};
    static const char *const peers[] = {"godwit", "10.0", "7.2", "godwit"};
    static struct rig g;
    struct gw_error err = GW_ERROR_INIT;
    struct mouth m = {.data = data, .bytes = size, .at = 1, .patient = size && fuzz_verdict && data[0] & PATIENT};
    bool postcopy = size && data[0] & POSTCOPY, godwit = size && !(data[0] & 3 && (data[0] & 3) != 3);
    pthread_condattr_t attr;
    struct gw_send *send;
    enum gw_owner owner;
    int r;

    if (!size)
        return 0;
    if (!g.vm) {
        check(rig_new(&g, 1, 2, &err) >= 0, "set-up", &err);
        check(gw_options_set_capability(gw_vm_options(g.vm), "return-path", true, &err) >= 0, "set-up", &err);
        check(gw_options_set_parameter(gw_vm_options(g.vm), "max-bandwidth", "0", &err) >= 0, "set-up", &err);
    }
    check(gw_vm_came_back(g.vm, &err) >= 0, "set-up", &err); /* from what the last input made of it */
    g.running = true;
    g.left = 0;
    gw_channel_init(&m.channel, &ops, GW_CHANNEL_DUPLEX, "mouth:");
    pthread_mutex_init(&m.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m.moved, &attr);
    check(gw_options_set_capability(gw_vm_options(g.vm), "postcopy-ram", postcopy, &err) >= 0, "set-up", &err);
    r = gw_send_start(g.vm,
                      &(struct gw_send_config){.take_channel = &m.channel,
                                               .peer = peers[data[0] & 3],
                                               .progress_timeout_ns = HOUR_NS},
                      &send, &err);
    check(r >= 0, "start", &err);
    if (postcopy)
        gw_send_start_postcopy(send, NULL); /* it may have ended already */
    r = gw_send_wait(send, &err);
    owner = gw_send_owner(send);
    gw_send_free(send);
    FUZZ_VERDICT(r >= 0);
    check((r >= 0) == (g.left == 1), "handed over without success", &err);
    check(r >= 0 || (err.code == r && err.blame != GW_BLAME_NONE && err.text[0]), "no reason", &err);
    check(g.running == (owner == GW_OWNER_SOURCE), "runs, or does not, against what is told", &err);
    check(r < 0 || owner == GW_OWNER_DESTINATION, "a success that stayed", &err);
    check(!m.committed || godwit, "a COMMIT for a plain peer", &err);
    /* A godwit that answered as one owns the machine only by COMMIT. */
    check(!(owner == GW_OWNER_UNDECIDED && m.committed), "undecided after COMMIT", &err);
    pthread_mutex_destroy(&m.lock);
    pthread_cond_destroy(&m.moved);
    pthread_condattr_destroy(&attr);
    return 0;
}

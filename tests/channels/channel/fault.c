/* SPDX-License-Identifier: MIT */
#include "channel/fault.h"

#include <pthread.h>
#include <stdatomic.h>

#include "channel/cancel.h"
#include "channel/iov.h"

struct slot {
    struct gw_fault fault;
    bool over;
};

struct direction {
    uint64_t bytes, calls;
    uint64_t most; /* bytes per call, SHORT */
    bool ended, stalled;
    const _Atomic bool *holds; /* the stall */
};

struct faulty {
    struct gw_channel channel;
    struct gw_channel *next;
    struct gw_cancel wake;
    pthread_mutex_t lock; /* all below */
    struct slot *slots;
    unsigned count, happened;
    struct direction directions[2];
    bool lost;
};

static void happened(struct faulty *f, const struct slot *s)
{
    f->happened++;
    if (s->fault.tell)
        atomic_fetch_add(s->fault.tell, 1);
}

/* What a call is to do. */
struct verdict {
    enum { PASS, END, LOST, STALL, FAIL } what;
    int code;      /* FAIL */
    const _Atomic bool *holds; /* STALL; may be NULL */
    uint64_t most; /* PASS: bytes */
    int corrupt;   /* PASS: one byte, changed for this slot; -1: none */
    uint8_t flip;
};

static struct faulty *faulty_of(struct gw_channel *ch)
{
    return (struct faulty *)ch;
}

/* A fault whose place is reached; true when nothing after it matters. */
static bool strike(struct faulty *f, struct direction *d, struct slot *s, struct verdict *v)
{
    switch (s->fault.kind) {
    case GW_FAULT_CORRUPT:
        v->corrupt = (int)(s - f->slots);
        v->flip = s->fault.flip ? s->fault.flip : 1;
        v->most = 1;
        return true; /* over when the byte has moved */
    case GW_FAULT_ERROR:
        v->what = FAIL;
        v->code = s->fault.code ? s->fault.code : -EIO;
        break;
    case GW_FAULT_SHORT:
        d->most = GW_MAX(s->fault.bytes, 1);
        break;
    case GW_FAULT_END:
        f->directions[GW_FAULT_IN].ended = true;
        if (s->fault.direction == GW_FAULT_OUT) {
            d->ended = true;
            gw_channel_shutdown(f->next);
        }
        break;
    case GW_FAULT_DEAF:
        d->ended = true;
        if (f->next->ops->close)
            f->next->ops->close(f->next, NULL);
        break;
    case GW_FAULT_RESET:
        f->lost = true;
        gw_channel_shutdown(f->next);
        break;
    case GW_FAULT_STALL:
        d->stalled = true;
        d->holds = s->fault.holds;
        break;
    }
    s->over = true;
    happened(f, s);
    return s->fault.kind != GW_FAULT_SHORT;
}

/* What holds for good in this direction, by now. */
static bool settled(const struct faulty *f, const struct direction *d, struct verdict *v)
{
    if (f->lost)
        v->what = LOST;
    else if (d->ended)
        v->what = END;
    else if (d->stalled)
        *v = (struct verdict){.what = STALL, .holds = d->holds, .most = v->most, .corrupt = v->corrupt};
    return v->what != PASS;
}

static struct verdict decide(struct faulty *f, enum gw_fault_direction direction, bool peek)
{
    struct direction *d = &f->directions[direction];
    struct verdict v = {.what = PASS, .most = UINT64_MAX, .corrupt = -1};
    bool struck;

    pthread_mutex_lock(&f->lock);
    d->calls += !peek;
    struck = settled(f, d, &v);
    for (unsigned i = 0; i < f->count && !struck; i++) {
        const struct gw_fault *x = &f->slots[i].fault;

        if (f->slots[i].over || x->direction != direction)
            continue;
        if (x->at_call ? d->calls + peek >= x->at_call : d->bytes >= x->at_byte)
            struck = strike(f, d, &f->slots[i], &v);
        else if (!x->at_call)
            v.most = GW_MIN(v.most, x->at_byte - d->bytes);
    }
    if (d->most)
        v.most = GW_MIN(v.most, d->most);
    if (v.what == PASS)
        settled(f, d, &v);
    pthread_mutex_unlock(&f->lock);
    return v;
}

static void moved(struct faulty *f, enum gw_fault_direction direction, int corrupt, ssize_t n)
{
    pthread_mutex_lock(&f->lock);
    if (n > 0) {
        f->directions[direction].bytes += (uint64_t)n;
        if (corrupt >= 0) {
            f->slots[corrupt].over = true;
            happened(f, &f->slots[corrupt]);
        }
    }
    pthread_mutex_unlock(&f->lock);
}

/* The verdicts but PASS. */
static ssize_t refuse(struct faulty *f, const struct verdict *v, bool out, struct gw_error *err)
{
    uint64_t timeout_ns = __atomic_load_n(&f->channel.timeout_ns, __ATOMIC_RELAXED);

    switch (v->what) {
    case FAIL:
        return gw_fail(err, v->code, GW_BLAME_CHANNEL, "%s", strerror(-v->code));
    case LOST:
        return gw_fail(err, -ECONNRESET, GW_BLAME_CHANNEL, "connection reset by the other side");
    case END:
        return out ? gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "the other side has closed the connection") : 0;
    default:
        while (v->holds && atomic_load(v->holds))
            if (gw_wait_ready(-1, 0, &f->wake, NULL, gw_deadline(GW_NS_PER_MS)) == -ECANCELED)
                return gw_fail_canceled(err);
        if (gw_wait_ready(-1, 0, &f->wake, NULL, gw_deadline(timeout_ns)) == -ECANCELED)
            return gw_fail_canceled(err);
        return gw_fail_timeout(timeout_ns, err);
    }
}

enum io { READ, WRITE, PREAD, PWRITE, PEEK };

static ssize_t pass_on(struct faulty *f, enum io io, const struct iovec *iov, int n, uint64_t offset,
                       struct gw_error *err)
{
    const struct gw_channel_ops *ops = f->next->ops;

    gw_channel_set_timeout(f->next, __atomic_load_n(&f->channel.timeout_ns, __ATOMIC_RELAXED));
    switch (io) {
    case READ:
        return ops->readv(f->next, iov, n, err);
    case WRITE:
        return ops->writev(f->next, iov, n, err);
    case PREAD:
        return ops->preadv(f->next, iov, n, offset, err);
    case PWRITE:
        return ops->pwritev(f->next, iov, n, offset, err);
    case PEEK:
        return ops->peek(f->next, iov->iov_base, iov->iov_len, err);
    }
    return -EINVAL;
}

static ssize_t run(struct gw_channel *ch, enum io io, const struct iovec *iov, int n, uint64_t offset,
                   struct gw_error *err)
{
    struct faulty *f = faulty_of(ch);
    bool out = io == WRITE || io == PWRITE;
    enum gw_fault_direction direction = out ? GW_FAULT_OUT : GW_FAULT_IN;
    struct verdict v = decide(f, direction, io == PEEK);
    struct iovec part[GW_IOV_MAX];
    uint8_t changed;
    ssize_t r;

    if (gw_cancel_triggered(&f->wake))
        return gw_fail_canceled(err);
    if (v.what != PASS)
        return refuse(f, &v, out, err);
    n = gw_iov_clip(part, iov, n, v.most);
    if (v.corrupt >= 0 && out) {
        changed = *(const uint8_t *)part[0].iov_base ^ v.flip;
        part[0].iov_base = &changed;
    }
    r = pass_on(f, io, part, n, offset, err);
    if (v.corrupt >= 0 && !out && r > 0)
        *(uint8_t *)part[0].iov_base ^= v.flip;
    if (io != PEEK)
        moved(f, direction, v.corrupt, r);
    if (r == -ECANCELED && !gw_cancel_triggered(&f->wake)) {
        /* The channel behind was shut down by a fault that struck in the meantime, not by our owner. */
        pthread_mutex_lock(&f->lock);
        settled(f, &f->directions[direction], &v);
        pthread_mutex_unlock(&f->lock);
        if (v.what != PASS)
            return refuse(f, &v, out, err);
    }
    return r;
}

static ssize_t faulty_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return run(ch, READ, iov, n, 0, err);
}

static ssize_t faulty_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return run(ch, WRITE, iov, n, 0, err);
}

static ssize_t faulty_preadv(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                             struct gw_error *err)
{
    return run(ch, PREAD, iov, n, offset, err);
}

static ssize_t faulty_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                              struct gw_error *err)
{
    return run(ch, PWRITE, iov, n, offset, err);
}

static ssize_t faulty_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    struct iovec iov = {buf, n};

    return run(ch, PEEK, &iov, 1, 0, err);
}

static int faulty_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err)
{
    return faulty_of(ch)->next->ops->seek(faulty_of(ch)->next, offset, err);
}

static int faulty_tell(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err)
{
    return faulty_of(ch)->next->ops->tell(faulty_of(ch)->next, ret_offset, err);
}

static int faulty_sync(struct gw_channel *ch, struct gw_error *err)
{
    struct gw_channel *next = faulty_of(ch)->next;

    return next->ops->sync ? next->ops->sync(next, err) : 0;
}

static uint64_t faulty_queued(struct gw_channel *ch)
{
    return gw_channel_queued(faulty_of(ch)->next);
}

static bool faulty_gone(struct gw_channel *ch)
{
    return gw_channel_peer_gone(faulty_of(ch)->next);
}

static void faulty_shutdown(struct gw_channel *ch)
{
    gw_cancel_trigger(&faulty_of(ch)->wake);
    gw_channel_shutdown(faulty_of(ch)->next);
}

static int faulty_close(struct gw_channel *ch, struct gw_error *err)
{
    struct faulty *f = faulty_of(ch);
    struct verdict v = {.what = PASS};

    if (gw_cancel_triggered(&f->wake))
        return gw_fail_canceled(err);
    pthread_mutex_lock(&f->lock);
    settled(f, &f->directions[GW_FAULT_OUT], &v);
    pthread_mutex_unlock(&f->lock);
    if (v.what == LOST || v.what == END)
        return (int)refuse(f, &v, true, err);
    return f->next->ops->close ? f->next->ops->close(f->next, err) : 0;
}

static void faulty_free(struct gw_channel *ch)
{
    struct faulty *f = faulty_of(ch);

    gw_channel_free(f->next);
    gw_cancel_fini(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f->slots);
    free(f);
}

static const struct gw_channel_ops faulty_ops = {
    .kind = "fault",
    .readv = faulty_readv,
    .writev = faulty_writev,
    .preadv = faulty_preadv,
    .pwritev = faulty_pwritev,
    .seek = faulty_seek,
    .tell = faulty_tell,
    .peek = faulty_peek,
    .sync = faulty_sync,
    .queued = faulty_queued,
    .gone = faulty_gone,
    .shutdown = faulty_shutdown,
    .close = faulty_close,
    .free = faulty_free,
};

int gw_fault_add(struct gw_channel *ch, const struct gw_fault *fault, struct gw_error *err)
{
    struct faulty *f = faulty_of(ch);
    struct slot *grown;

    pthread_mutex_lock(&f->lock);
    grown = realloc(f->slots, (f->count + 1) * sizeof *grown);
    if (grown) {
        f->slots = grown;
        f->slots[f->count++] = (struct slot){.fault = *fault};
    }
    pthread_mutex_unlock(&f->lock);
    return grown ? 0 : gw_nomem(err, "fault");
}

int gw_fault_new(struct gw_channel *take_next, const struct gw_fault *faults, unsigned count,
                 struct gw_channel **ret_channel, struct gw_error *err)
{
    struct faulty *f = calloc(1, sizeof *f);
    int r;

    if (!f) {
        gw_channel_free(take_next);
        return gw_nomem(err, "fault filter");
    }
    gw_channel_init(&f->channel, &faulty_ops, take_next->features, take_next->name);
    f->channel.timeout_ns = take_next->timeout_ns;
    f->next = take_next;
    pthread_mutex_init(&f->lock, NULL);
    r = gw_cancel_init(&f->wake, err);
    for (unsigned i = 0; i < count && r == 0; i++)
        r = gw_fault_add(&f->channel, &faults[i], err);
    if (r < 0) {
        faulty_free(&f->channel);
        return r;
    }
    *ret_channel = &f->channel;
    return 0;
}

unsigned gw_fault_happened(struct gw_channel *ch)
{
    struct faulty *f = faulty_of(ch);
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->happened;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a source by postcopy says to a machine that runs here, its memory watched by userfaultfd: a vCPU goes through
 * all pages while they come, and its device may need one before it runs. Where the host has no userfaultfd nothing is tried.
 *
 * Input: a byte of flags; then connections, each as many bytes as the four in front of it say (the rest, if there are fewer): the
 * first of the source, those on which it resumes, and with PREEMPT behind each of them that of its urgent pages. A source closes
 * behind its last byte; when there is no other the machine is given up.
 *
 * What the guest wrote is there as long as it runs here; it is started once, and only where it is told to be; what does not
 * migrate is not written; the source is told that all has come only when it has. The session ends, and then nobody waits. Accepted:
 * the machine came, and all of its memory.
 */
#include "base/bitmap.h"
#include "base/endian.h"
#include "engine/recv.h"
#include "rig.h"
#include "verdict.h"
#include "wire/numbers.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREEMPT = 1, STANDS = 2, FAILS = 4, PIECES = 8, LOOKS = 0x10 };

#define PAGE       4096u
#define BLOCKS     3u
#define LOCAL      2u
#define PAGES      16u /* of the largest block */
#define CONNECTS   6u
#define PIECE_MAX  60000u
#define MARK_AT    100u
#define GUARD      PAGE
#define PATIENCE_NS (20 * GW_NS_PER_MS)
#define HOUR_NS    (3600 * GW_NS_PER_S)

static const struct gw_ram_desc descs[BLOCKS] = {
    {.name = "r", .used_bytes = PAGES * PAGE, .flags = GW_RAM_FRESH},
    {.name = "second", .used_bytes = 4 * PAGE, .max_bytes = 8 * PAGE, .gpa = 1 << 20, .flags = GW_RAM_RESIZEABLE | GW_RAM_FRESH},
    {.name = "local", .used_bytes = 2 * PAGE, .gpa = 2 << 20, .flags = GW_RAM_NO_MIGRATE},
};

struct piece {
    const uint8_t *data;
    size_t bytes;
};

struct machine {
    struct gw_vm *vm;
    uint8_t *ram[BLOCKS];
    uint8_t flags;
    atomic_bool runs, stops;
    unsigned starts, arrived, revoked;
    pthread_t vcpu;
    bool written[LOCAL][PAGES]; /* by the vCPU */

    struct piece piece[2 * CONNECTS];
    unsigned pieces, next;
    pthread_t drain[CONNECTS];
    unsigned drains;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned events;
    bool ended, follows; /* the machine is here, and its pages follow */
};

/* The source's first connection. */
struct first {
    struct gw_channel channel;
    struct gw_channel *under;
    struct machine *machine;
    pthread_t reads; /* who began to */
    bool begun, down;
};

static void check(bool ok, const char *what, const struct gw_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %d %s: %s\n", what, err->code, gw_blame_name(err->blame), err->text);
    abort();
}

/* ---- the machine ----------------------------------------------------------------------------------------------------- */

static void *vcpu(void *opaque)
{
    struct machine *m = opaque;

    for (unsigned k = 0; k < LOCAL * PAGES && !atomic_load(&m->stops); k++) {
        unsigned b = k % LOCAL, page = k / LOCAL * 7 % PAGES;
        volatile uint8_t *p = m->ram[b] + page * PAGE;

        if (page >= m->vm->ram.blocks[b]->pages)
            continue;
        (void)*p; /* waits for it */
        if (atomic_load(&m->stops))
            break;
        p[MARK_AT] = 0xa5;
        m->written[b][page] = true;
    }
    return NULL;
}

static int start(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;

    m->starts++;
    if (m->flags & FAILS)
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "a vCPU does not start");
    atomic_store(&m->stops, false);
    check(!pthread_create(&m->vcpu, NULL, vcpu, m), "thread", err);
    atomic_store(&m->runs, true);
    return 0;
}

/* A vCPU that waits for a page cannot stop. */
static int stop(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;

    atomic_store(&m->stops, true);
    if (atomic_load(&m->runs))
        pthread_join(m->vcpu, NULL);
    atomic_store(&m->runs, false);
    return 0;
}

static bool running(void *opaque)
{
    return atomic_load(&((struct machine *)opaque)->runs);
}

static void handed_over(void *opaque, enum gw_hand_over what)
{
    struct machine *m = opaque;

    m->arrived += what == GW_HAND_OVER_ARRIVED;
    m->revoked += what == GW_HAND_OVER_REVOKED;
}

static int save(void *opaque, struct gw_sink *sink, struct gw_error *err)
{
    return 0;
}

/* It has a queue in the page that its state tells of. */
static int load(void *opaque, uint32_t version, struct gw_supply *supply, struct gw_error *err)
{
    struct machine *m = opaque;
    uint8_t page;
    int r = gw_supply_get(supply, &page, 1, err);

    if (r >= 0 && m->flags & LOOKS)
        (void)*(volatile uint8_t *)(m->ram[0] + page % PAGES * PAGE);
    return r;
}

static int make(struct machine *m, struct gw_error *err)
{
    static const struct gw_vm_ops ops = {
        GW_SIZED(struct gw_vm_ops), .stop = stop, .start = start, .running = running, .handed_over = handed_over};
    static const struct gw_legacy_ops device = {.save = save, .load = load};
    struct gw_vm_config config = {.machine = "none", .page_bytes = PAGE, .ops = &ops, .opaque = m};
    int r = gw_vm_new(&config, &m->vm, err);
    pthread_condattr_t attr;

    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->moved, &attr);
    for (unsigned i = 0; r >= 0 && i < BLOCKS; i++) {
        struct gw_ram_desc d = descs[i];
        size_t bytes = GW_MAX(d.used_bytes, d.max_bytes);
        uint8_t *p = mmap(NULL, bytes + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED || mprotect(p + GUARD, bytes, PROT_READ | PROT_WRITE))
            return gw_nomem(err, "test machine");
        d.host = m->ram[i] = p + GUARD;
        r = gw_vm_add_ram(m->vm, &d, err);
    }
    if (r >= 0)
        r = gw_registry_add_legacy(gw_vm_registry(m->vm), &device, "timer", 0, 2, m, err);
    return r < 0 ? r : gw_options_set_capability(gw_vm_options(m->vm), "postcopy-ram", true, err);
}

/* As it was when it was made. */
static void reset(struct machine *m, uint8_t flags)
{
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < BLOCKS; i++) {
        struct gw_ram_block *b = m->vm->ram.blocks[i];

        madvise(m->ram[i], GW_MAX(descs[i].used_bytes, descs[i].max_bytes), MADV_DONTNEED);
        b->flags = descs[i].flags;
        b->used_bytes = descs[i].used_bytes;
        b->pages = b->used_bytes / PAGE;
    }
    memset(m->ram[LOCAL], 0x5c, descs[LOCAL].used_bytes);
    memset(m->written, 0, sizeof m->written);
    m->flags = flags;
    m->starts = m->arrived = m->revoked = m->events = m->pieces = m->next = m->drains = 0;
    m->ended = m->follows = false;
    check(gw_options_set_capability(gw_vm_options(m->vm), "postcopy-preempt", flags & PREEMPT, &err) >= 0, "set-up", &err);
}

/* ---- its source ------------------------------------------------------------------------------------------------------ */

static void cut(struct machine *m, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at + 4 <= bytes && m->pieces < GW_ARRAY_LEN(m->piece);) {
        size_t n = GW_MIN(gw_load_be32(data + at), bytes - at - 4);

        m->piece[m->pieces++] = (struct piece){data + at + 4, n};
        at += 4 + n;
    }
}

static bool take(struct machine *m, struct piece *ret)
{
    bool is = m->next < m->pieces;

    *ret = is ? m->piece[m->next++] : (struct piece){NULL, 0};
    return is;
}

/* The thread that reads pages finds the end when the machine was started; if not by then, in any case: it may be the end that is
 * waited for. */
static ssize_t first_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct first *f = (struct first *)ch;
    ssize_t got = f->under->ops->readv(f->under, iov, n, err);
    struct machine *m = f->machine;
    struct timespec until;
    uint64_t t = gw_now_ns(&gw_clock_real) + PATIENCE_NS;

    if (!f->begun)
        f->reads = pthread_self();
    f->begun = true;
    if (got || pthread_equal(f->reads, pthread_self()))
        return got;
    until = (struct timespec){.tv_sec = (time_t)(t / GW_NS_PER_S), .tv_nsec = (long)(t % GW_NS_PER_S)};
    pthread_mutex_lock(&m->lock);
    while (!m->follows && !m->ended && !f->down && pthread_cond_timedwait(&m->moved, &m->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&m->lock);
    return got;
}

static ssize_t first_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct first *f = (struct first *)ch;

    return f->under->ops->writev(f->under, iov, n, err);
}

static void first_shutdown(struct gw_channel *ch)
{
    struct first *f = (struct first *)ch;

    pthread_mutex_lock(&f->machine->lock);
    f->down = true;
    pthread_cond_broadcast(&f->machine->moved);
    pthread_mutex_unlock(&f->machine->lock);
}

static void first_free(struct gw_channel *ch)
{
    gw_channel_free(((struct first *)ch)->under);
}

static void dial_first(struct machine *m, struct first *f, struct rig_bytes *said)
{
    static const struct gw_channel_ops ops = {
        .kind = "first", .readv = first_readv, .writev = first_writev, .shutdown = first_shutdown, .free = first_free};
    struct gw_error err = GW_ERROR_INIT;
    struct piece p;

    take(m, &p);
    *f = (struct first){.machine = m};
    check(rig_feed(p.data, p.bytes, m->flags & PIECES ? RIG_PIECES : RIG_WHOLE, p.bytes, said, &f->under, &err) >= 0, "set-up", &err);
    gw_channel_init(&f->channel, &ops, GW_CHANNEL_DUPLEX, "first:");
}

/* Nobody else asks for one while the session's thread takes it, since it is told to go on first. */
static int dial(void *opaque, enum gw_link purpose, unsigned index, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct machine *m = opaque;
    struct piece p;

    pthread_mutex_lock(&m->lock);
    take(m, &p);
    pthread_mutex_unlock(&m->lock);
    return rig_feed(p.data, p.bytes, m->flags & PIECES ? RIG_PIECES : RIG_WHOLE, p.bytes, NULL, ret, err);
}

static void *drain(void *opaque)
{
    int fd = (int)(intptr_t)opaque;
    uint8_t b[4096];

    while (read(fd, b, sizeof b) > 0)
        ;
    close(fd);
    return NULL;
}

static bool waits(struct gw_recv *recv)
{
    bool is;

    pthread_mutex_lock(&recv->session.lock);
    is = recv->session.phase == GW_PHASE_RECV_PAUSED && !recv->postcopy.door;
    pthread_mutex_unlock(&recv->session.lock);
    return is;
}

/* The source comes again; false: it does not. */
static bool resume(struct machine *m, struct gw_recv *recv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct piece p;
    char uri[32];
    bool comes;
    int fd[2];

    pthread_mutex_lock(&m->lock);
    comes = m->drains < CONNECTS && take(m, &p);
    pthread_mutex_unlock(&m->lock);
    if (!comes)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
        abort();
    if ((p.bytes && write(fd[0], p.data, GW_MIN(p.bytes, PIECE_MAX)) < 0) || shutdown(fd[0], SHUT_WR))
        abort();
    snprintf(uri, sizeof uri, "fd:%d", fd[1]);
    check(gw_recv_recover(recv, uri, &err) >= 0, "a machine that is paused does not wait for its source", &err);
    check(!pthread_create(&m->drain[m->drains++], NULL, drain, (void *)(intptr_t)fd[0]), "thread", &err);
    return true;
}

static void on_event(void *opaque, const struct gw_event *e)
{
    struct machine *m = opaque;

    pthread_mutex_lock(&m->lock);
    m->events++;
    m->follows |= e->type == GW_EVENT_STATUS && e->status == GW_STATUS_POSTCOPY_ACTIVE;
    m->ended |= e->type == GW_EVENT_STATUS &&
                (e->status == GW_STATUS_COMPLETED || e->status == GW_STATUS_FAILED || e->status == GW_STATUS_CANCELLED);
    pthread_cond_broadcast(&m->moved);
    pthread_mutex_unlock(&m->lock);
}

/* Until the session has ended: each time that it is paused there is another connection, or it is given up. */
static void attend(struct machine *m, struct gw_recv *recv)
{
    bool ended = false;

    while (!ended) {
        pthread_mutex_lock(&m->lock);
        while (!m->events && !m->ended)
            pthread_cond_wait(&m->moved, &m->lock);
        m->events = 0;
        ended = m->ended;
        pthread_mutex_unlock(&m->lock);
        if (!ended && waits(recv) && !resume(m, recv))
            gw_recv_yank(recv);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------------- */

/* Whether the source was told on its first connection that all is here; whole messages, and nothing behind them. */
static bool was_told(const struct rig_bytes *said)
{
    bool told = false;

    for (size_t at = 0; at < said->bytes;) {
        if (at + 4 > said->bytes || at + 4 + gw_load_be16(said->data + at + 2) > said->bytes)
            abort();
        told |= gw_load_be16(said->data + at) == GW_RP_SHUT && !gw_load_be32(said->data + at + 4);
        at += 4u + gw_load_be16(said->data + at + 2);
    }
    return told;
}

static void judge(const struct machine *m, int r, enum gw_owner owner, const struct gw_error *err, bool told)
{
    bool lost = r < 0 && owner == GW_OWNER_DESTINATION;

    for (unsigned i = 0; i < descs[LOCAL].used_bytes; i++)
        check(m->ram[LOCAL][i] == 0x5c, "what does not migrate was written", err);
    for (unsigned i = 0; i < LOCAL * PAGES; i++)
        if (m->written[i % LOCAL][i / LOCAL])
            check(m->ram[i % LOCAL][i / LOCAL * PAGE + MARK_AT] == 0xa5, "what the guest wrote was overwritten", err);
    check(m->starts <= 1, "started twice", err);
    check(!told || r >= 0, "the source was told that all is here, and it is not", err);
    check(r >= 0 || (err->code == r && err->blame != GW_BLAME_NONE && err->text[0]), "no reason", err);
    check(owner != GW_OWNER_SOURCE || !m->starts || m->flags & FAILS, "runs here although it is the source's", err);
    check(r < 0 || owner == GW_OWNER_DESTINATION, "a success that is not here", err);
    check(r < 0 || (m->arrived == 1 && !m->revoked), "the embedder was not told that it is here", err);
    check(!lost || m->revoked == m->arrived, "the embedder was not told that it is lost", err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine m;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_recv_config config = {.on_event = on_event, .opaque = &m, .progress_timeout_ns = HOUR_NS, .vmdesc_wait_ns = 1};
    struct rig_bytes said = {0};
    struct gw_recv *recv = NULL;
    enum gw_owner owner;
    struct first first;
    int r;

    if (!size)
        return 0;
    if (!m.vm)
        check(make(&m, &err) >= 0, "set-up", &err);
    reset(&m, data[0]);
    cut(&m, data + 1, size - 1);
    dial_first(&m, &first, &said);
    config.take_channel = &first.channel;
    config.start_paused = data[0] & STANDS;
    m.vm->dial_pages.dial = data[0] & PREEMPT ? dial : NULL;
    m.vm->dial_pages.opaque = &m;
    r = gw_recv_start(m.vm, &config, &recv, &err);
    if (r == -EPERM || r == -ENOTSUP) {
        FUZZ_UNTRIED();
        return 0;
    }
    check(r >= 0, "start", &err);
    attend(&m, recv);
    r = gw_recv_wait(recv, &err);
    owner = gw_recv_owner(recv);
    gw_recv_free(recv);
    stop(&m, NULL);
    for (unsigned i = 0; i < m.drains; i++)
        pthread_join(m.drain[i], NULL);
    judge(&m, r, owner, &err, was_told(&said));
    FUZZ_VERDICT(r >= 0);
    free(said.data);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "engine/measure.h"

#include <time.h>

#include "base/sized.h"
#include "base/thread.h"
#include "engine/vm.h"

#define LEAST_NS     (50 * GW_NS_PER_MS)
#define MOST_NS      (60 * GW_NS_PER_S)
#define SAMPLE_PAGES 512u

void gw_measure_init(struct gw_measure *m)
{
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->ended, NULL);
}

void gw_dirty_rate_cancel(struct gw_vm *vm)
{
    struct gw_measure *m = &vm->measure;

    pthread_mutex_lock(&m->lock);
    if (m->running)
        __atomic_store_n(&m->cancel, true, __ATOMIC_SEQ_CST);
    if (m->running && m->end)
        gw_cancel_trigger(m->end);
    while (m->running)
        pthread_cond_wait(&m->ended, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

static bool is_running(struct gw_measure *m)
{
    bool running;

    pthread_mutex_lock(&m->lock);
    running = m->running;
    pthread_mutex_unlock(&m->lock);
    return running;
}

void gw_measure_still(struct gw_vm *vm)
{
    for (;;) {
        pthread_mutex_lock(&vm->lock); /* while it is held, none begins */
        if (!is_running(&vm->measure))
            return;
        /* A vCPU may wait for this lock, and the measurement may wait for the vCPU. */
        pthread_mutex_unlock(&vm->lock);
        gw_dirty_rate_cancel(vm);
    }
}

static void join(struct gw_measure *m)
{
    if (m->made)
        pthread_join(m->thread, NULL);
    m->made = false;
}

void gw_measure_close(struct gw_vm *vm)
{
    struct gw_measure *m = &vm->measure;

    gw_dirty_rate_cancel(vm);
    join(m);
    gw_cancel_free(m->end);
    free(m->config.vcpu_pages);
    free(m->limited);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->ended);
}

/* ---- measuring ---------------------------------------------------------------------------------------------------- */

void gw_measure_over(struct gw_measure *m)
{
    m->running = false;
    pthread_cond_broadcast(&m->ended);
    pthread_mutex_unlock(&m->lock);
}

static void *measure(void *arg)
{
    struct gw_vm *vm = arg;
    struct gw_measure *m = &vm->measure;
    struct gw_rate rate = {0};
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_rate_measure(&vm->ram, m->tracker, &m->config, &rate, &err);

    pthread_mutex_lock(&m->lock);
    m->told.status = r < 0 ? GW_DIRTY_RATE_FAILED : GW_DIRTY_RATE_MEASURED;
    m->told.error = err;
    if (r == 0) {
        m->told.duration_ns = rate.duration_ns;
        m->told.bytes_per_s = rate.bytes_per_s;
        m->told.vcpus = m->config.vcpus;
    }
    gw_measure_over(m);
    return NULL;
}

static int check(const struct gw_dirty_rate_config *c, struct gw_error *err)
{
    if (c->duration_ns < LEAST_NS || c->duration_ns > MOST_NS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the time of a dirty rate is out of range: 50 to 60000 ms are possible");
    if (c->sample_pages && c->mode != GW_DIRTY_RATE_SAMPLING)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "sample-pages is possible with mode page-sampling only: leave it out, or "
                       "take that mode");
    if (c->sample_pages && (c->sample_pages < 128 || c->sample_pages > 16384))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "sample-pages is out of range: 128 to 16384 of each GiB are possible");
    if ((unsigned)c->mode > GW_DIRTY_RATE_VCPUS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no way %d to measure a dirty rate", (int)c->mode);
    return 0;
}

/* Number of vCPUs whose dirty pages can be counted apart; 0: none. */
static unsigned countable(const struct gw_vm *vm, const struct gw_tracker *t)
{
    const struct gw_vm_ops *ops = vm->ops;

    if (t && t->ops->ring_count)
        return t->vcpus;
    return ops->vcpus && ops->vcpu_dirtied ? GW_MIN(ops->vcpus(vm->opaque), GW_VCPUS_MAX) : 0;
}

/* Prepares the tracker and the memory for vCPU figures, as the mode needs them. Under vm->lock; no measurement runs. */
static int prepare(struct gw_vm *vm, const struct gw_dirty_rate_config *c, struct gw_error *err)
{
    static const enum gw_rate_mode modes[] = {GW_RATE_SAMPLE, GW_RATE_TRACK, GW_RATE_VCPUS};
    struct gw_measure *m = &vm->measure;
    bool by_vcpus = c->mode == GW_DIRTY_RATE_VCPUS;
    struct gw_tracker *t = vm->tracker;
    unsigned vcpus = by_vcpus ? countable(vm, t) : 0;
    uint64_t *pages = NULL;
    int r = c->mode == GW_DIRTY_RATE_BITMAP ? gw_vm_tracker_locked(vm, &t, err) : 0;

    if (r < 0)
        return r;
    if (by_vcpus && !vcpus)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "mode dirty-ring needs a machine that counts the dirty pages of each vCPU, and this one does not: take "
                       "another mode");
    if (by_vcpus && !(pages = calloc(vcpus, sizeof *pages)))
        return gw_nomem(err, "dirty rates of vCPUs");
    pthread_mutex_lock(&m->lock);
    free(m->config.vcpu_pages);
    m->told.vcpus = 0;
    m->tracker = t;
    m->config = (struct gw_rate_config){.mode = modes[c->mode], .duration_ns = c->duration_ns, .clock = &vm->clock,
                                        .sample_pages_per_gib = c->sample_pages, .cancel = &m->cancel, .vcpus = vcpus,
                                        .vcpu_pages = pages, .dirtied = vm->ops->vcpu_dirtied, .opaque = vm->opaque};
    pthread_mutex_unlock(&m->lock);
    return 0;
}

int gw_measure_may_start(struct gw_vm *vm, struct gw_error *err)
{
    struct gw_measure *m = &vm->measure;

    if (is_running(m))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a dirty rate is being measured: wait for its end");
    if (vm->image)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "the machine rests in a file and does not run, so it has no dirty rate");
    if (vm->busy && !vm->outgoing)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the machine's memory is still arriving");
    join(m);
    return 0;
}

int gw_measure_launch(struct gw_vm *vm, void *(*main)(void *vm), struct gw_error *why)
{
    struct gw_measure *m = &vm->measure;
    int r;

    m->cancel = false;
    r = gw_thread_start(&m->thread, main, vm, why);
    m->made = m->running = r >= 0;
    return r;
}

static int start(struct gw_vm *vm, const struct gw_dirty_rate_config *c, struct gw_error *err)
{
    struct gw_measure *m = &vm->measure;
    struct timespec now;
    int r = gw_measure_may_start(vm, err);

    if (r < 0)
        return r;
    r = prepare(vm, c, err);
    if (r < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&m->lock);
    m->told = (struct gw_dirty_rate){
        .status = GW_DIRTY_RATE_MEASURING,
        .mode = c->mode,
        .start_s = (uint64_t)now.tv_sec,
        .duration_ns = c->duration_ns,
        .sample_pages = c->mode != GW_DIRTY_RATE_SAMPLING ? 0 : c->sample_pages ? c->sample_pages : SAMPLE_PAGES,
    };
    r = gw_measure_launch(vm, measure, &m->told.error);
    if (r < 0) {
        m->told.status = GW_DIRTY_RATE_FAILED;
        if (err)
            *err = m->told.error;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

int gw_dirty_rate_start_sized(struct gw_vm *vm, const struct gw_dirty_rate_config *config, size_t config_bytes,
                              struct gw_error *err)
{
    struct gw_dirty_rate_config own;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_dirty_rate_config, duration_ns),
                        "struct gw_dirty_rate_config", err);

    if (r >= 0)
        r = check(&own, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    r = start(vm, &own, err);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

void gw_dirty_rate_get_sized(struct gw_vm *vm, struct gw_dirty_rate *ret, size_t ret_bytes)
{
    struct gw_dirty_rate told;

    pthread_mutex_lock(&vm->measure.lock);
    told = vm->measure.told;
    pthread_mutex_unlock(&vm->measure.lock);
    gw_sized_out(ret, ret_bytes, &told, sizeof told);
}

int gw_dirty_rate_vcpu(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_bytes_per_s)
{
    struct gw_measure *m = &vm->measure;
    int r = -ENOENT;

    pthread_mutex_lock(&m->lock);
    if (m->told.status == GW_DIRTY_RATE_MEASURED && vcpu < m->told.vcpus) {
        *ret_bytes_per_s = (uint64_t)((double)m->config.vcpu_pages[vcpu] * vm->ram.page_bytes * (double)GW_NS_PER_S /
                                      (double)m->told.duration_ns);
        r = 0;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

/* Makes room for all vCPUs. Under lock. */
static int grow(struct gw_measure *m, unsigned vcpus, struct gw_error *err)
{
    struct gw_limited_vcpu *grown;

    if (vcpus <= m->limited_count)
        return 0;
    grown = realloc(m->limited, vcpus * sizeof *grown);
    if (!grown)
        return gw_nomem(err, "limits of vCPUs");
    memset(grown + m->limited_count, 0, (vcpus - m->limited_count) * sizeof *grown);
    m->limited = grown;
    m->limited_count = vcpus;
    return 0;
}

/* Under lock. */
static void look(struct gw_vm *vm, unsigned vcpu)
{
    struct gw_limited_vcpu *v = &vm->measure.limited[vcpu];
    uint64_t now = gw_now_ns(&vm->clock), bytes;

    if (!vm->ops->vcpu_dirtied || now - v->seen_ns < GW_NS_PER_S)
        return;
    bytes = vm->ops->vcpu_dirtied(vm->opaque, vcpu);
    if (v->seen_ns)
        v->current_bytes_per_s =
            (uint64_t)((double)(bytes - v->seen_bytes) * (double)GW_NS_PER_S / (double)(now - v->seen_ns));
    v->seen_ns = now;
    v->seen_bytes = bytes;
}

static unsigned limitable(const struct gw_vm *vm)
{
    return vm->ops->vcpus && vm->ops->vcpu_dirty_limit ? GW_MIN(vm->ops->vcpus(vm->opaque), GW_VCPUS_MAX) : 0;
}

int gw_vcpu_dirty_limit_set(struct gw_vm *vm, int vcpu, uint64_t bytes_per_s, struct gw_error *err)
{
    struct gw_measure *m = &vm->measure;
    unsigned vcpus = limitable(vm), first = vcpu < 0 ? 0 : (unsigned)vcpu, end = vcpu < 0 ? vcpus : first + 1;
    int r;

    if (!vcpus)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this machine has no way to limit how fast its vCPUs dirty memory");
    if (vcpu < GW_EVERY_VCPU || end > vcpus)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "vCPU %d: this machine has %u", vcpu, vcpus);
    pthread_mutex_lock(&m->lock);
    r = grow(m, vcpus, err);
    for (unsigned i = first; r == 0 && i < end; i++) {
        m->limited[i].limit_bytes_per_s = bytes_per_s;
        look(vm, i);
        vm->ops->vcpu_dirty_limit(vm->opaque, i, bytes_per_s);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

int gw_vcpu_dirty_limit_get(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_limit, uint64_t *ret_current)
{
    struct gw_measure *m = &vm->measure;
    unsigned vcpus = limitable(vm);
    int r;

    if (vcpu >= vcpus)
        return -ENOENT;
    pthread_mutex_lock(&m->lock);
    r = grow(m, vcpus, NULL);
    if (r == 0) {
        look(vm, vcpu);
        *ret_limit = m->limited[vcpu].limit_bytes_per_s;
        *ret_current = m->limited[vcpu].current_bytes_per_s;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

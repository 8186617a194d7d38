/* SPDX-License-Identifier: MIT
 *
 * The vCPU threads. Each is parked (waits for m->run) or executes; only the thread itself changes which.
 *
 *            m->run                      v->leave
 *     parked -------> executing (load, run ... save) -------> parked
 *
 * 1. m->run is true only between a start and the next stop or end.
 * 2. v->leave is set with m->run false, and cleared by the vCPU's thread under the lock when m->run is true.
 * 3. A kick may come too early or too late, so it is repeated until the thread is parked.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "machine/internal.h"

#define KICK_AGAIN_NS 200000

static struct timespec after_ns(uint64_t ns)
{
    uint64_t at = gw_clock_monotonic_ns() + ns;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000ull), .tv_nsec = (long)(at % 1000000000ull)};
}

/* Under lock. Makes all vCPUs park and waits until they are parked. */
static void park_all(struct gw_machine *m)
{
    bool all;

    m->run = false;
    for (unsigned i = 0; i < m->cpus; i++)
        atomic_store(&m->vcpu[i].leave, true);
    do {
        all = true;
        for (unsigned i = 0; i < m->cpus; i++) {
            struct gw_vcpu *v = &m->vcpu[i];
            if (!v->parked) {
                all = false;
                gw_vcpu_pace_wake(v, false);
                m->accel->kick(v);
            }
        }
        if (!all) {
            struct timespec until = after_ns(KICK_AGAIN_NS);
            pthread_cond_timedwait(&m->changed, &m->lock, &until);
        }
    } while (!all);
}

void gw_run_end(struct gw_vcpu *v, int status)
{
    struct gw_machine *m = v->machine;

    pthread_mutex_lock(&m->lock);
    if (!m->ended) {
        m->ended = true;
        m->exit_status = status;
    }
    m->run = false;
    /* This vCPU's thread parks the others after itself; in here it must not wait for them. */
    for (unsigned i = 0; i < m->cpus; i++)
        atomic_store(&m->vcpu[i].leave, true);
    pthread_mutex_unlock(&m->lock);
    m->accel->kick(v);
}

static void crashed(struct gw_vcpu *v, const struct gw_error *why)
{
    struct gw_machine *m = v->machine;

    pthread_mutex_lock(&m->lock);
    if (!m->ended) {
        m->crash = *why;
        m->crash.code = -EFAULT;
        gw_context(&m->crash, "vCPU %u at rip %#" PRIx64, v->index, v->cpu.rip);
    }
    pthread_mutex_unlock(&m->lock);
    gw_run_end(v, GW_GUEST_EXIT_FAILED);
}

static void *vcpu_thread(void *arg)
{
    struct gw_vcpu *v = arg;
    struct gw_machine *m = v->machine;
    struct gw_error why = GW_ERROR_INIT;
    int r;

    prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0); /* makes short sleeps precise */
    r = m->accel->vcpu_open(v, &why);
    pthread_mutex_lock(&m->lock);
    if (r < 0)
        m->crash = why;
    v->thread_id = (int32_t)gettid();
    v->ready = v->parked = true;
    pthread_cond_broadcast(&m->changed);
    while (!v->quit) {
        if (!m->run) {
            pthread_cond_wait(&m->changed, &m->lock);
            continue;
        }
        v->parked = false;
        atomic_store(&v->leave, false);
        pthread_mutex_unlock(&m->lock);

        r = m->accel->load(v, &why);
        if (!r)
            r = m->accel->run(v, &why);
        int saved = m->accel->save(v, r < 0 ? NULL : &why);
        if (r < 0 || saved < 0)
            crashed(v, &why);

        pthread_mutex_lock(&m->lock);
        v->parked = true;
        if (m->ended)
            park_all(m);
        pthread_cond_broadcast(&m->changed);
    }
    pthread_mutex_unlock(&m->lock);
    m->accel->vcpu_close(v);
    return NULL;
}

int gw_run_open(struct gw_machine *m, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < m->cpus && !r; i++) {
        struct gw_vcpu *v = &m->vcpu[i];
        r = -pthread_create(&v->thread, NULL, vcpu_thread, v);
        if (r)
            return gw_fail(err, r, GW_BLAME_LOCAL, "thread of vCPU %u: %s", i, strerror(-r));
        v->thread_made = true;
    }
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->cpus; i++) {
        while (!m->vcpu[i].ready)
            pthread_cond_wait(&m->changed, &m->lock);
    }
    if (m->crash.code) {
        r = m->crash.code;
        if (err)
            *err = m->crash;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

void gw_run_close(struct gw_machine *m)
{
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->cpus; i++)
        m->vcpu[i].quit = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < m->cpus; i++) {
        if (m->vcpu[i].thread_made)
            pthread_join(m->vcpu[i].thread, NULL);
        m->vcpu[i].thread_made = false;
    }
}

/* Inactivates the first `count` disks again. */
static void disks_inactivate(struct gw_machine *m, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (m->disk[i]->disk.ops->inactivate)
            m->disk[i]->disk.ops->inactivate(m->disk[i]->disk.opaque, NULL);
}

/* A stopped machine keeps its disks active until it has migrated away (attach.c). */
static int disks_activate(struct gw_machine *m, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < m->disks && !r; i++) {
        const struct gw_machine_disk *d = &m->disk[i]->disk;

        r = d->ops->activate ? d->ops->activate(d->opaque, err) : 0;
        if (r)
            disks_inactivate(m, i);
    }
    return r;
}

int gw_machine_start(struct gw_machine *m, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&m->control);
    pthread_mutex_lock(&m->lock);
    if (!m->ended && !m->run)
        r = disks_activate(m, err);
    if (r) {
        /* a disk could not be activated: it stays stopped */
    } else if (m->ended) {
        r = gw_fail(err, -ESHUTDOWN, GW_BLAME_CALLER, "the guest has ended with status %d", m->exit_status);
    } else if (!m->run) {
        for (unsigned i = 0; i < m->disks; i++)
            gw_virtio_blk_resume(m->disk[i]);
        gw_clock_run(&m->clock);
        m->run = true;
        pthread_cond_broadcast(&m->changed);
    }
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_unlock(&m->control);
    return r;
}

int gw_machine_stop(struct gw_machine *m, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&m->control);
    pthread_mutex_lock(&m->lock);
    park_all(m);
    if (atomic_load(&m->clock.running))
        gw_clock_stand(&m->clock);
    pthread_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < m->disks; i++) {
        int failed = gw_virtio_blk_drain(m->disk[i], r ? NULL : err);
        r = r ? r : failed;
    }
    pthread_mutex_unlock(&m->control);
    return r;
}

bool gw_machine_running(struct gw_machine *m)
{
    pthread_mutex_lock(&m->lock);
    bool running = m->run;
    pthread_mutex_unlock(&m->lock);
    return running;
}

int gw_machine_wait(struct gw_machine *m, uint64_t timeout_ns, int *ret_status, struct gw_error *err)
{
    struct timespec until = after_ns(timeout_ns < 1000000000ull << 30 ? timeout_ns : 1000000000ull << 30);
    int r = 0;

    pthread_mutex_lock(&m->lock);
    while (!m->ended && !r)
        r = pthread_cond_timedwait(&m->changed, &m->lock, &until);
    if (m->ended && m->crash.code) {
        r = m->crash.code;
        if (err)
            *err = m->crash;
    } else if (m->ended) {
        r = 0;
        *ret_status = m->exit_status;
    } else {
        r = gw_fail(err, -ETIMEDOUT, GW_BLAME_CALLER, "the guest did not end the machine in time");
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* SPDX-License-Identifier: MIT
 *
 * KVM. A vCPU leaves KVM_RUN by a signal that its thread has blocked except inside KVM_RUN. So the signal needs no
 * handler (the process may be an embedder's), and none is lost: an early one is pending when KVM_RUN is entered, and
 * ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "machine/internal.h"
#include "machine/kvm.h"

#define KICK_SIGNAL (SIGRTMIN + 7)

struct kvm_vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_bytes;
    bool unfinished; /* KVM completes the last exit's access when it is entered again */
    _Atomic bool inside;      /* in KVM_RUN, or about to enter */
    _Atomic uint64_t returns; /* number of returns from KVM_RUN */
};

static int os_fail(struct gw_error *err, const char *what)
{
    int code = -errno;
    return gw_fail(err, code, GW_BLAME_LOCAL, "KVM: %s: %s", what, strerror(-code));
}

static void kvm_close(struct gw_machine *m)
{
    struct gw_kvm *k = m->accel_machine;

    if (!k)
        return;
    if (k->vm_fd >= 0)
        close(k->vm_fd);
    if (k->fd >= 0)
        close(k->fd);
    free(k);
    m->accel_machine = NULL;
}

static int kvm_open_vm(struct gw_machine *m, struct gw_kvm *k, struct gw_error *err)
{
    k->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (k->fd < 0)
        return os_fail(err, "/dev/kvm");
    if (ioctl(k->fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "KVM: this kernel's interface does not have version %d", KVM_API_VERSION);
    k->vm_fd = ioctl(k->fd, KVM_CREATE_VM, 0);
    if (k->vm_fd < 0)
        return os_fail(err, "creating a machine");
    if (m->tracker == GW_TRACKER_KVM_RING) {
        struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {m->ring_bytes}};
#ifdef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
        if (ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) > 0)
            cap.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
#endif
        int most = ioctl(k->vm_fd, KVM_CHECK_EXTENSION, cap.cap);
        if (most <= 0)
            return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "KVM: this kernel has no dirty ring");
        if (m->ring_bytes > (uint32_t)most)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "KVM: a dirty ring of %u bytes: at most %d are possible",
                           m->ring_bytes, most);
        if (ioctl(k->vm_fd, KVM_ENABLE_CAP, &cap))
            return os_fail(err, "dirty ring");
    }
    for (unsigned i = 0; i < m->blocks; i++) {
        struct gw_kvm_slot *s = &k->slot[i];
        *s = (struct gw_kvm_slot){.slot = i, .gpa = m->block[i].gpa, .bytes = m->block[i].bytes, .host = m->block[i].host};
        struct kvm_userspace_memory_region region = {.slot = i,
                                                     .guest_phys_addr = s->gpa,
                                                     .memory_size = s->bytes,
                                                     .userspace_addr = (uint64_t)(uintptr_t)s->host};
        if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
            return os_fail(err, m->block[i].name);
    }
    return 0;
}

static int kvm_open(struct gw_machine *m, struct gw_error *err)
{
    struct gw_kvm *k = calloc(1, sizeof(*k));
    int r;

    if (!k)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (KVM)");
    k->fd = k->vm_fd = -1;
    for (unsigned i = 0; i < GW_GUEST_MAX_CPUS; i++)
        k->vcpu_fd[i] = -1;
    m->accel_machine = k;
    r = kvm_open_vm(m, k, err);
    if (r)
        kvm_close(m);
    return r;
}

static void kvm_vcpu_close(struct gw_vcpu *v)
{
    struct kvm_vcpu *c = v->accel;

    if (!c)
        return;
    if (c->run)
        munmap(c->run, c->run_bytes);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
    v->accel = NULL;
}

static int set_cpuid(struct gw_kvm *k, struct kvm_vcpu *c, struct gw_error *err)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
    int r = 0;

    if (!cpuid)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (cpuid)");
    cpuid->nent = 256;
    if (ioctl(k->fd, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(c->fd, KVM_SET_CPUID2, cpuid))
        r = os_fail(err, "cpuid");
    free(cpuid);
    return r;
}

static int kvm_vcpu_open(struct gw_vcpu *v, struct gw_error *err)
{
    struct gw_kvm *k = v->machine->accel_machine;
    struct kvm_vcpu *c = calloc(1, sizeof(*c));
    union {
        struct kvm_signal_mask head;
        uint8_t bytes[sizeof(struct kvm_signal_mask) + 8];
    } mask = {.head.len = 8};
    sigset_t kick, old;
    int bytes;

    if (!c)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (KVM vCPU)");
    c->fd = -1;
    v->accel = c;
    c->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, v->index);
    if (c->fd < 0)
        return os_fail(err, "creating a vCPU");
    bytes = ioctl(k->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(*c->run))
        return os_fail(err, "size of kvm_run");
    void *run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (run == MAP_FAILED)
        return os_fail(err, "kvm_run");
    c->run = run;
    c->run_bytes = (size_t)bytes;

    sigemptyset(&kick);
    sigaddset(&kick, KICK_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &kick, &old);
    sigdelset(&old, KICK_SIGNAL);
    memcpy(mask.bytes + sizeof(mask.head), &old, 8); /* the kernel's set is the first 8 bytes of libc's */
    if (ioctl(c->fd, KVM_SET_SIGNAL_MASK, &mask))
        return os_fail(err, "signal mask");
    k->vcpu_fd[v->index] = c->fd;
    return set_cpuid(k, c, err);
}

static struct kvm_segment to_segment(const struct gw_cpu_segment *s)
{
    return (struct kvm_segment){.base = s->base, .limit = s->limit, .selector = s->selector, .type = s->type,
                                .present = s->present, .dpl = s->dpl, .db = s->db, .s = s->s, .l = s->l, .g = s->g,
                                .avl = s->avl, .unusable = s->unusable};
}

static int kvm_load(struct gw_vcpu *v, struct gw_error *err)
{
    struct kvm_vcpu *c = v->accel;
    const struct gw_cpu_state *s = &v->cpu;
    const uint64_t *g = s->gpr;
    struct kvm_regs regs = {.rax = g[0], .rcx = g[1], .rdx = g[2], .rbx = g[3], .rsp = g[4], .rbp = g[5], .rsi = g[6],
                            .rdi = g[7], .r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11], .r12 = g[12], .r13 = g[13],
                            .r14 = g[14], .r15 = g[15], .rip = s->rip, .rflags = s->rflags};
    struct kvm_fpu fpu = {.fcw = s->fcw, .fsw = s->fsw, .ftwx = s->ftw, .mxcsr = s->mxcsr};
    struct kvm_sregs sregs;

    memcpy(fpu.fpr, s->st, sizeof(s->st));
    memcpy(fpu.xmm, s->xmm, sizeof(s->xmm));
    if (ioctl(c->fd, KVM_GET_SREGS, &sregs))
        return os_fail(err, "reading special registers");
    sregs.cs = to_segment(&s->segment[GW_CPU_CS]);
    sregs.ds = to_segment(&s->segment[GW_CPU_DS]);
    sregs.es = to_segment(&s->segment[GW_CPU_ES]);
    sregs.fs = to_segment(&s->segment[GW_CPU_FS]);
    sregs.gs = to_segment(&s->segment[GW_CPU_GS]);
    sregs.ss = to_segment(&s->segment[GW_CPU_SS]);
    sregs.cr0 = s->cr0;
    sregs.cr2 = s->cr2;
    sregs.cr3 = s->cr3;
    sregs.cr4 = s->cr4;
    sregs.efer = s->efer;
    if (ioctl(c->fd, KVM_SET_SREGS, &sregs))
        return os_fail(err, "setting special registers");
    if (ioctl(c->fd, KVM_SET_FPU, &fpu))
        return os_fail(err, "setting the FPU");
    if (ioctl(c->fd, KVM_SET_REGS, &regs))
        return os_fail(err, "setting registers");
    c->unfinished = false;
    return 0;
}

static int kvm_save(struct gw_vcpu *v, struct gw_error *err)
{
    struct kvm_vcpu *c = v->accel;
    struct gw_cpu_state *s = &v->cpu;
    struct kvm_regs r;
    struct kvm_fpu fpu;

    if (c->unfinished) {
        c->run->immediate_exit = 1;
        while (ioctl(c->fd, KVM_RUN, 0) >= 0)
            ;
        c->run->immediate_exit = 0;
        c->unfinished = false;
    }
    if (ioctl(c->fd, KVM_GET_REGS, &r))
        return os_fail(err, "reading registers");
    if (ioctl(c->fd, KVM_GET_FPU, &fpu))
        return os_fail(err, "reading the FPU");
    uint64_t gpr[16] = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                        r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
    memcpy(s->gpr, gpr, sizeof(gpr));
    s->rip = r.rip;
    s->rflags = gw_cpu_rflags(r.rflags);
    s->fcw = fpu.fcw;
    s->fsw = fpu.fsw;
    s->ftw = fpu.ftwx;
    s->mxcsr = fpu.mxcsr;
    memcpy(s->st, fpu.fpr, sizeof(s->st));
    memcpy(s->xmm, fpu.xmm, sizeof(s->xmm));
    return 0;
}

static void serve_port(struct gw_vcpu *v, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            gw_port_out(v, run->io.port, run->io.size, value);
        } else {
            value = gw_port_in(v, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        }
    }
}

static void serve_mmio(struct gw_vcpu *v, struct kvm_run *run)
{
    uint64_t offset = run->mmio.phys_addr - GW_GUEST_MMIO_GPA;
    uint32_t value = 0, bytes = run->mmio.len < 4 ? run->mmio.len : 4;

    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, bytes);
        gw_mmio_out(v->machine, offset, run->mmio.len, value);
    } else {
        value = gw_mmio_in(v->machine, offset, run->mmio.len);
        memset(run->mmio.data, 0, sizeof(run->mmio.data));
        memcpy(run->mmio.data, &value, bytes);
    }
}

static int kvm_run(struct gw_vcpu *v, struct gw_error *err)
{
    struct kvm_vcpu *c = v->accel;
    struct kvm_run *run = c->run;

    while (!atomic_load(&v->leave)) {
        atomic_store(&c->inside, true);
        int r = ioctl(c->fd, KVM_RUN, 0);
        int code = errno;
        atomic_fetch_add(&c->returns, 1);
        atomic_store(&c->inside, false);
        c->unfinished = false;
        if (r < 0 && (code == EINTR || code == EAGAIN)) {
            sigset_t kick;
            sigemptyset(&kick);
            sigaddset(&kick, KICK_SIGNAL);
            sigtimedwait(&kick, NULL, &(struct timespec){0});
            continue;
        }
        if (r < 0) {
            errno = code;
            return os_fail(err, "running");
        }
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            c->unfinished = true;
            serve_port(v, run);
            break;
        case KVM_EXIT_MMIO:
            if (run->mmio.phys_addr < GW_GUEST_MMIO_GPA || run->mmio.phys_addr >= GW_GUEST_MMIO_GPA + v->machine->disks * GW_GUEST_PAGE)
                return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: it accessed %#llx, where there is "
                               "neither memory nor a device",
                               run->mmio.phys_addr);
            c->unfinished = true;
            serve_mmio(v, run);
            break;
        case KVM_EXIT_INTR:
            break;
        case KVM_EXIT_DIRTY_RING_FULL:
            if (!v->machine->vm)
                return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the dirty ring is full, and no migration empties it");
            if (v->machine->dirty_ring_full(v->machine->vm, err) < 0)
                return -EFAULT;
            break;
        case KVM_EXIT_SHUTDOWN:
            return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: triple fault");
        case KVM_EXIT_INTERNAL_ERROR:
            return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: KVM internal error %u",
                           run->internal.suberror);
        case KVM_EXIT_FAIL_ENTRY:
            return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: entry failed for reason %#llx",
                           run->fail_entry.hardware_entry_failure_reason);
        default:
            return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: KVM ended with exit reason %u, which is not "
                           "handled", run->exit_reason);
        }
    }
    return 0;
}

static void kvm_kick(struct gw_vcpu *v)
{
    pthread_kill(v->thread, KICK_SIGNAL);
}

void gw_kvm_kick_all(void *machine)
{
    struct gw_machine *m = machine;

    for (unsigned i = 0; i < m->cpus; i++) {
        struct kvm_vcpu *c = m->vcpu[i].accel;
        uint64_t before = atomic_load(&c->returns);
        while (atomic_load(&c->inside) && atomic_load(&c->returns) == before) {
            kvm_kick(&m->vcpu[i]);
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        }
    }
}

const struct gw_accel_ops gw_accel_kvm = {
    .name = "kvm",
    .open = kvm_open,
    .close = kvm_close,
    .vcpu_open = kvm_vcpu_open,
    .vcpu_close = kvm_vcpu_close,
    .load = kvm_load,
    .run = kvm_run,
    .save = kvm_save,
    .kick = kvm_kick,
};

/* SPDX-License-Identifier: MIT */
#include "engine/vm.h"

#include <stdio.h>

#include "base/sized.h"
#include "ram/ram.h"
#include "wire/head.h"

/* Copies of the config and of what it points to, in the library's own struct sizes. */
struct new_vm {
    struct gw_vm_config config;
    struct gw_vm_ops ops;
    struct gw_clock clock;
};

static int take_config(struct new_vm *n, const struct gw_vm_config *config, size_t config_bytes, struct gw_error *err)
{
    int r = gw_sized_in(&n->config, sizeof n->config, config, config_bytes, GW_SIZED_UNTIL(struct gw_vm_config, opaque),
                        "struct gw_vm_config", err);

    if (r >= 0)
        r = gw_sized_table_in(&n->ops, sizeof n->ops, n->config.ops, GW_SIZED_UNTIL(struct gw_vm_ops, running),
                              "struct gw_vm_ops", err);
    if (r >= 0)
        r = gw_sized_table_in(&n->clock, sizeof n->clock, n->config.clock ? n->config.clock : &gw_clock_real,
                              GW_SIZED_UNTIL(struct gw_clock, opaque), "struct gw_clock", err);
    return r;
}

/* A guard of the capability: turning it on fails at once if this host cannot do it. */
static int can_snapshot(void *opaque, struct gw_error *err)
{
    struct gw_vm *vm = opaque;
    int r = vm->guest->can_snapshot(vm, err);

    if (r < 0)
        gw_context(err, "capability %s", gw_feature(GW_CAP_BACKGROUND_SNAPSHOT)->name);
    return r;
}

int gw_vm_new_sized(const struct gw_vm_config *given, size_t given_bytes, struct gw_vm **ret_vm, struct gw_error *err)
{
    struct new_vm own;
    const struct gw_vm_config *config = &own.config;
    struct gw_vm *vm;
    size_t n;
    int r = take_config(&own, given, given_bytes, err);

    if (r < 0)
        return r;
    n = config->machine ? strlen(config->machine) : 0;
    if (!n || n > 255)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a machine type's name has 1 to 255 bytes, not %zu", n);
    if (!own.ops.stop || !own.ops.start || !own.ops.running)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a machine needs the calls stop, start and running");
    if (config->least_page_bytes && (!gw_is_pow2(config->least_page_bytes) || config->least_page_bytes > config->page_bytes))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a target page has %u bytes, so the least size of a page cannot be %u: a "
                       "power of two up to it",
                       config->page_bytes, config->least_page_bytes);
    vm = calloc(1, sizeof *vm);
    if (!vm)
        return gw_nomem(err, "machine");
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->figures, NULL);
    gw_measure_init(&vm->measure);
    gw_announcer_init(&vm->announcer);
    gw_strcopy(vm->machine, sizeof vm->machine, config->machine);
    memcpy(vm->uuid, config->uuid, 16);
    for (int i = 0; i < 16; i++)
        vm->has_uuid |= config->uuid[i] != 0;
    vm->own_ops = own.ops;
    vm->ops = &vm->own_ops;
    vm->opaque = config->opaque;
    vm->guest = &gw_guest_here;
    vm->devices = &gw_devices_registry;
    vm->without = config->without;
    vm->least_page_bits = config->least_page_bytes ? (unsigned)__builtin_ctz(config->least_page_bytes) : GW_HEAD_PAGE_BITS;
    vm->clock = own.clock;
    gw_trace_init(&vm->trace, &vm->clock);
    r = gw_ram_init(&vm->ram, config->page_bytes, config->opaque, err);
    vm->ram.trace = &vm->trace;
    if (r >= 0)
        r = gw_options_new(&vm->options, err);
    if (r >= 0)
        gw_options_guard(vm->options, GW_CAP_BACKGROUND_SNAPSHOT, can_snapshot, vm);
    if (r >= 0)
        r = gw_registry_new(&vm->registry, err);
    if (r >= 0)
        r = gw_globalstate_new(vm->registry, &vm->globalstate, err);
    if (r < 0) {
        gw_vm_free(vm);
        return r;
    }
    vm->ram_section_id = gw_registry_take_id(vm->registry);
    *ret_vm = vm;
    return 0;
}

struct gw_vm *gw_vm_free(struct gw_vm *vm)
{
    if (!vm)
        return NULL;
    gw_measure_close(vm);
    gw_announcer_close(vm);
    gw_tracker_free(vm->tracker);
    gw_transport_free(vm->transport);
    vm->registry = gw_registry_free(vm->registry);
    gw_globalstate_free(vm->globalstate);
    gw_options_free(vm->options);
    gw_ram_close(&vm->ram);
    gw_vm_free_disks(vm);
    for (unsigned i = 0; i < vm->blocker_count; i++)
        free(vm->blockers[i].reason);
    free(vm->earlier);
    free(vm->vcpu_thread);
    pthread_mutex_destroy(&vm->lock);
    pthread_mutex_destroy(&vm->figures);
    free(vm);
    return NULL;
}

struct gw_registry *gw_vm_registry(struct gw_vm *vm)
{
    return vm->registry;
}

struct gw_options *gw_vm_options(struct gw_vm *vm)
{
    return vm->options;
}

int gw_vm_set_trace(struct gw_vm *vm, const char *names, gw_trace_fn fn, void *opaque, struct gw_error *err)
{
    uint64_t set = 0;
    int r = fn ? gw_trace_parse(names, &set, err) : 0;

    if (r >= 0)
        gw_trace_set(&vm->trace, set, fn, opaque);
    return r;
}

/* ---- blockers and notifiers ---------------------------------------------------------------------------------------
 */

int gw_vm_add_blocker(struct gw_vm *vm, const char *reason, unsigned *ret_id, struct gw_error *err)
{
    char *copy = strdup(reason);
    int r = 0;

    if (!copy)
        return gw_nomem(err, "migration blocker");
    pthread_mutex_lock(&vm->lock);
    if (vm->busy) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a migration runs: it cannot be blocked any more (%s)", reason);
    } else if (vm->blocker_count == GW_VM_BLOCKERS) {
        r = gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "more than %u reasons against migration", GW_VM_BLOCKERS);
    } else {
        vm->blockers[vm->blocker_count++] = (struct gw_blocker){++vm->next_blocker, copy};
        *ret_id = vm->next_blocker;
        copy = NULL;
    }
    pthread_mutex_unlock(&vm->lock);
    free(copy);
    return r;
}

void gw_vm_remove_blocker(struct gw_vm *vm, unsigned id)
{
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->blocker_count; i++) {
        if (vm->blockers[i].id != id)
            continue;
        free(vm->blockers[i].reason);
        memmove(&vm->blockers[i], &vm->blockers[i + 1], (vm->blocker_count - i - 1) * sizeof vm->blockers[0]);
        vm->blocker_count--;
        break;
    }
    pthread_mutex_unlock(&vm->lock);
}

struct reasons {
    void (*f)(void *opaque, const char *reason);
    void *opaque;
};

static int tell_device(void *opaque, const struct gw_registered *device)
{
    struct reasons *to = opaque;
    char text[320];

    if (device->state && device->state->unmigratable) {
        snprintf(text, sizeof text, "device %s cannot be migrated", device->id);
        to->f(to->opaque, text);
    }
    return 0;
}

void gw_vm_for_each_blocker(struct gw_vm *vm, void (*f)(void *opaque, const char *reason), void *opaque)
{
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->blocker_count; i++)
        f(opaque, vm->blockers[i].reason);
    pthread_mutex_unlock(&vm->lock);
    gw_registry_each(vm->registry, tell_device, &(struct reasons){f, opaque});
}

int gw_vm_add_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&vm->lock);
    if (vm->notifier_count == GW_VM_NOTIFIERS) {
        r = gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "more than %u notifiers", GW_VM_NOTIFIERS);
    } else {
        vm->notifiers[vm->notifier_count].fn = fn;
        vm->notifiers[vm->notifier_count++].opaque = opaque;
    }
    pthread_mutex_unlock(&vm->lock);
    return r;
}

void gw_vm_remove_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque)
{
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->notifier_count; i++) {
        if (vm->notifiers[i].fn != fn || vm->notifiers[i].opaque != opaque)
            continue;
        memmove(&vm->notifiers[i], &vm->notifiers[i + 1], (vm->notifier_count - i - 1) * sizeof vm->notifiers[0]);
        vm->notifier_count--;
        break;
    }
    pthread_mutex_unlock(&vm->lock);
}

static int embedder(int r, const char *call, struct gw_error *err)
{
    if (r >= 0)
        return 0;
    if (err && !err->code)
        gw_fail(err, r, GW_BLAME_EMBEDDER, "%s", strerror(-r));
    if (err && err->blame == GW_BLAME_NONE)
        err->blame = GW_BLAME_EMBEDDER;
    gw_context(err, "%s", call);
    return r;
}

int gw_vm_notify(struct gw_vm *vm, enum gw_notify what, struct gw_error *err)
{
    struct gw_notifier list[GW_VM_NOTIFIERS];
    unsigned count;
    int r = 0;

    /* Called without the lock: a notifier may report free pages, or remove itself. */
    pthread_mutex_lock(&vm->lock);
    count = vm->notifier_count;
    memcpy(list, vm->notifiers, count * sizeof list[0]);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        r = embedder(list[i].fn(list[i].opaque, what, err), "notifier", err);
        if (what == GW_NOTIFY_CLEANUP)
            r = 0;
    }
    return r;
}

/* ---- run state ----------------------------------------------------------------------------------------------------
 */

bool gw_vm_running(const struct gw_vm *vm)
{
    return vm->ops->running(vm->opaque);
}

int gw_vm_stop(struct gw_vm *vm, struct gw_error *err)
{
    uint64_t t = gw_now_ns(&vm->clock);
    int r = embedder(vm->ops->stop(vm->opaque, err), "stopping the machine", err);

    gw_trace_machine(&vm->trace, r < 0 ? "did not stop" : "stopped", gw_now_ns(&vm->clock) - t);
    return r;
}

int gw_vm_start(struct gw_vm *vm, struct gw_error *err)
{
    uint64_t t = gw_now_ns(&vm->clock);
    int r = gw_vm_place(vm) == GW_VM_SPOILED ? gw_vm_spoiled(err) : gw_vm_take_disks(vm, err);

    if (r >= 0)
        r = embedder(vm->ops->start(vm->opaque, err), "starting the machine", err);

    gw_trace_machine(&vm->trace, r < 0 ? "did not start" : "started", gw_now_ns(&vm->clock) - t);
    return r;
}

enum gw_vm_place gw_vm_place(const struct gw_vm *vm)
{
    return (enum gw_vm_place)atomic_load(&vm->place);
}

bool gw_vm_runs_elsewhere(const struct gw_vm *vm)
{
    return gw_vm_place(vm) == GW_VM_LEFT && atomic_load(&vm->taken);
}

bool gw_vm_memory_given(const struct gw_vm *vm)
{
    return atomic_load(&vm->ram.given);
}

int gw_vm_came_back(struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&vm->lock);
    if (vm->busy)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a migration of this machine is under way");
    else if (gw_vm_place(vm) == GW_VM_SPOILED)
        r = gw_vm_spoiled(err);
    else if (gw_vm_memory_given(vm))
        r = gw_fail(err, -ENODATA, GW_BLAME_CALLER,
                    "memory of this machine was given back to the host when the destination had it (release-ram): it cannot run "
                        "here");
    else
        atomic_store(&vm->place, GW_VM_HERE);
    pthread_mutex_unlock(&vm->lock);
    return r < 0 ? r : gw_vm_take_disks(vm, err);
}

int gw_vm_must_be_here(const struct gw_vm *vm, struct gw_error *err)
{
    switch (gw_vm_place(vm)) {
    case GW_VM_LEFT:
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                       "the machine has gone to the other side and cannot be sent from here. "
                       "Only if it does not run there and never will: start it here first (cont; gw_vm_came_back)");
    case GW_VM_UNDECIDED:
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                       "the machine cannot be sent from here: it is not known which side has "
                       "it. Look there; if it has not, start it here first (cont; gw_vm_came_back)");
    case GW_VM_SPOILED:
        return gw_vm_spoiled(err);
    default:
        return 0;
    }
}

int gw_vm_spoiled(struct gw_error *err)
{
    return gw_fail(err, -ENODATA, GW_BLAME_CALLER,
                   "a snapshot was loaded into this machine only in part: it cannot run until one was loaded whole");
}

int gw_vm_hold(struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&vm->lock);
    if (vm->busy || vm->held) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, vm->held ? "a snapshot of this machine is being saved, loaded or deleted"
                                                           : "a migration of this machine is under way");
    } else {
        vm->held = true;
        vm->holder = pthread_self();
    }
    pthread_mutex_unlock(&vm->lock);
    return r;
}

void gw_vm_release(struct gw_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->held = false;
    pthread_mutex_unlock(&vm->lock);
}

/* Under vm->lock. */
static bool held_by_others(const struct gw_vm *vm)
{
    return vm->held && !pthread_equal(vm->holder, pthread_self());
}

int gw_vm_begin(struct gw_vm *vm, bool outgoing, struct gw_error *err)
{
    int r = 0;

    if (outgoing)
        pthread_mutex_lock(&vm->lock);
    else
        gw_measure_still(vm);
    if (vm->busy) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a migration of this machine is under way");
    } else if (held_by_others(vm)) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a snapshot of this machine is being saved, loaded or deleted");
    } else if (outgoing && vm->blocker_count) {
        char reasons[GW_ERROR_TEXT] = "";
        size_t at = 0;

        for (unsigned i = 0; i < vm->blocker_count && at < sizeof reasons; i++)
            at += (size_t)snprintf(reasons + at, sizeof reasons - at, "%s%s", i ? "; " : "", vm->blockers[i].reason);
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "migration is blocked: %.400s", reasons);
    }
    if (r >= 0)
        r = gw_registry_migratable(vm->registry, err);
    if (r >= 0) {
        vm->busy = true;
        vm->outgoing = outgoing;
        gw_options_lock(vm->options, true);
    }
    pthread_mutex_unlock(&vm->lock);
    return r;
}

void gw_vm_end(struct gw_vm *vm)
{
    struct gw_ram *ram = &vm->ram;

    gw_ram_seal(ram, false);
    gw_options_lock(vm->options, false);
    pthread_mutex_lock(&vm->lock);
    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count; i++) {
        struct gw_ram_block *b = ram->blocks[i];

        if (!b->resize)
            continue;
        b->used_bytes = b->resize_to;
        b->pages = b->used_bytes >> ram->page_bits;
        b->resize = false;
    }
    ram->resized[0] = 0;
    pthread_mutex_unlock(&ram->lock);
    vm->busy = false;
    pthread_mutex_unlock(&vm->lock);
}

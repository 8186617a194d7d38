/* SPDX-License-Identifier: MIT
 *
 * The memory of a vm: the embedder describes it and reports changes (godwit/vm.h).
 */
#include "engine/vm.h"

#include "base/sized.h"

int gw_vm_add_ram_sized(struct gw_vm *vm, const struct gw_ram_desc *desc, size_t desc_bytes, struct gw_error *err)
{
    struct gw_ram_desc own;
    int r = gw_sized_in(&own, sizeof own, desc, desc_bytes, GW_SIZED_UNTIL(struct gw_ram_desc, used_bytes),
                        "struct gw_ram_desc", err);

    if (r < 0)
        return r;
    gw_measure_still(vm);
    if (vm->busy)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "RAM block %s cannot be added during a migration", own.name);
    else if (own.flags & GW_RAM_ELSEWHERE)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s: flags 0x%x are not known", own.name, own.flags);
    else
        r = gw_ram_add(&vm->ram, &own, err);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

static int find(struct gw_vm *vm, const char *name, struct gw_ram_block **ret, struct gw_error *err)
{
    *ret = gw_ram_find(&vm->ram, name);
    return *ret ? 0 : gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no RAM block is called %s", name);
}

int gw_vm_remove_ram(struct gw_vm *vm, const char *name, struct gw_error *err)
{
    struct gw_ram_block *b;
    int r;

    gw_measure_still(vm);
    if (vm->image)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s: the machine rests in a file, whose blocks cannot be "
                    "removed", name);
    else if (vm->busy)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "RAM block %s cannot be removed during a migration", name);
    else
        r = find(vm, name, &b, err);
    if (r >= 0) {
        pthread_mutex_lock(&vm->ram.lock);
        gw_ram_remove(&vm->ram, b);
        pthread_mutex_unlock(&vm->ram.lock);
    }
    pthread_mutex_unlock(&vm->lock);
    return r;
}

/* A change that is reported now would be neither sent nor seen by the destination. */
static int check_sealed(const struct gw_ram_block *b, struct gw_error *err)
{
    return atomic_load(&b->sealed) ? gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                                             "RAM block %s: the machine is being handed over, it is too late for changes", b->name)
                                   : 0;
}

int gw_vm_set_fresh(struct gw_vm *vm, const char *name, bool fresh, struct gw_error *err)
{
    struct gw_ram_block *b;
    int r = find(vm, name, &b, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    if (vm->busy)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "RAM block %s: a migration of this machine is under way", name);
    else if (fresh)
        b->flags |= GW_RAM_FRESH;
    else
        b->flags &= ~(unsigned)GW_RAM_FRESH;
    pthread_mutex_unlock(&vm->lock);
    return r;
}

int gw_vm_resize_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, struct gw_error *err)
{
    struct gw_ram_block *b;
    int r = find(vm, name, &b, err);

    if (r < 0)
        return r;
    if (used_bytes > b->max_bytes || used_bytes % vm->ram.page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s cannot have %" PRIu64 " bytes: whole pages are needed, %" PRIu64 " bytes at "
                       "most", name, used_bytes,
                       b->max_bytes);
    gw_measure_still(vm);
    pthread_mutex_lock(&vm->ram.lock);
    r = check_sealed(b, err);
    if (r < 0 || (used_bytes == b->used_bytes && !b->resize)) {
        ;
    } else if (vm->busy) {
        /* The session has lists and maps of the old size: it fails with this reason; the new size takes effect
         * afterwards. */
        if (!(b->flags & GW_RAM_NO_MIGRATE) && !(vm->ram.shared_stays && gw_ram_shared_file(b)))
            gw_strcopy(vm->ram.resized, sizeof vm->ram.resized, name);
        b->resize = true;
        b->resize_to = used_bytes;
    } else {
        b->used_bytes = used_bytes;
        b->pages = used_bytes >> vm->ram.page_bits;
    }
    pthread_mutex_unlock(&vm->ram.lock);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

int64_t gw_vm_hint_free(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes)
{
    struct gw_ram_block *b = gw_ram_find(&vm->ram, name);
    uint64_t first = gw_div_up(offset, vm->ram.page_bytes), end, n = 0;
    bool sending, sealed;

    if (!b || gw_add_overflows(offset, bytes, &end))
        return 0;
    end /= vm->ram.page_bytes;
    pthread_mutex_lock(&vm->lock); /* keeps the tracker from being freed */
    pthread_mutex_lock(&vm->ram.lock);
    sending = vm->ram.sending && vm->tracker; /* without a tracker all pages are sent as they were (a snapshot) */
    sealed = atomic_load(&b->sealed);
    pthread_mutex_unlock(&vm->ram.lock);
    if (!sending || sealed || first >= GW_MIN(end, b->pages) ||
        gw_tracker_drop(vm->tracker, b, first, GW_MIN(end, b->pages) - first, &n, NULL) < 0)
        n = 0;
    pthread_mutex_lock(&vm->ram.lock);
    vm->ram.skipped_pages += n;
    pthread_mutex_unlock(&vm->ram.lock);
    pthread_mutex_unlock(&vm->lock);
    return sealed ? -EALREADY : (int64_t)n;
}

/* While a session sends: discarded pages need not be sent any more; a populated page may hold anything. Under
 * ram.lock. */
static void follow_discard(struct gw_vm *vm, struct gw_ram_block *b, uint64_t first, uint64_t count, bool discarded)
{
    uint64_t n;

    if (first >= b->pages)
        return;
    count = GW_MIN(count, b->pages - first);
    if (!discarded) {
        gw_tracker_found(vm->tracker, b, first, count, gw_ram_logged(b));
        return;
    }
    n = gw_bitmap_count_range(b->dirty, first, count);
    gw_bitmap_clear_range(b->dirty, first, count);
    vm->ram.dirty_pages -= n;
    vm->ram.skipped_pages += n;
}

int gw_vm_set_discarded(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes, bool discarded,
                        struct gw_error *err)
{
    struct gw_ram_block *b;
    uint64_t page = vm->ram.page_bytes;
    int r = find(vm, name, &b, err);

    if (r < 0)
        return r;
    if (offset % page || bytes % page || offset > b->max_bytes || bytes > b->max_bytes - offset)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " are not in it", name, bytes, offset);
    pthread_mutex_lock(&vm->lock);
    pthread_mutex_lock(&vm->ram.lock);
    r = check_sealed(b, err);
    if (r < 0)
        ;
    else if (!b->discarded && !(b->discarded = gw_bitmap_new(b->max_bytes / page)))
        r = gw_nomem(err, "map of discarded pages");
    else if (discarded)
        gw_bitmap_set_range(b->discarded, offset / page, bytes / page);
    else
        gw_bitmap_clear_range(b->discarded, offset / page, bytes / page);
    if (r >= 0 && b->dirty)
        follow_discard(vm, b, offset / page, bytes / page, discarded);
    pthread_mutex_unlock(&vm->ram.lock);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

int gw_vm_set_tracker_sized(struct gw_vm *vm, const struct gw_tracker_config *config, size_t config_bytes,
                            struct gw_error *err)
{
    struct gw_tracker_config own;
    struct gw_tracker *t, *old = NULL;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_tracker_config, kind),
                        "struct gw_tracker_config", err);

    if (r >= 0)
        r = gw_tracker_new(&vm->ram, &own, &t, err);
    if (r < 0)
        return r;
    gw_measure_still(vm);
    if (vm->busy) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the dirty tracker cannot change during a migration");
    } else {
        old = vm->tracker;
        vm->tracker = t;
    }
    pthread_mutex_unlock(&vm->lock);
    gw_tracker_free(r < 0 ? t : old);
    return r;
}

int gw_vm_tracker_locked(struct gw_vm *vm, struct gw_tracker **ret, struct gw_error *err)
{
    struct gw_tracker_config config = {.kind = GW_TRACKER_AUTO};
    struct gw_tracker *t = vm->tracker;
    int r = t ? 0 : gw_tracker_new(&vm->ram, &config, &t, err);

    if (r < 0)
        return r;
    vm->tracker = t;
    *ret = t;
    return 0;
}

int gw_vm_tracker(struct gw_vm *vm, struct gw_tracker **ret, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&vm->lock);
    r = gw_vm_tracker_locked(vm, ret, err);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

const char *gw_vm_tracker_name(const struct gw_vm *vm)
{
    const struct gw_tracker *t = vm->tracker;

    return t ? t->ops->name : "none";
}

/* Bytes behind the used size do not belong to the guest now. The seal is checked last: a block that was open then is
 * synced later. */
static int mark(struct gw_vm *vm, struct gw_tracker *t, struct gw_ram_block *b, uint64_t offset, uint64_t bytes,
                struct gw_error *err)
{
    uint64_t first = offset >> vm->ram.page_bits, last = (offset + bytes - 1) >> vm->ram.page_bits;

    if (offset >= b->used_bytes)
        return 0;
    gw_tracker_mark(t, b, first, GW_MIN(last, b->pages - 1) - first + 1);
    return check_sealed(b, err);
}

int gw_vm_mark_dirty_block(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    struct gw_tracker *t = vm->tracker;
    struct gw_ram_block *b;
    int r = find(vm, name, &b, err);

    if (r < 0)
        return r;
    if (offset > b->max_bytes || bytes > b->max_bytes - offset)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " are not in it", name, bytes, offset);
    return t && bytes ? mark(vm, t, b, offset, bytes, err) : 0;
}

int gw_vm_mark_dirty(struct gw_vm *vm, uint64_t gpa, uint64_t bytes)
{
    struct gw_tracker *t = vm->tracker;
    int r = 0, e;

    if (!t)
        return 0;
    while (bytes) {
        struct gw_ram_block *b = gw_ram_at(&vm->ram, gpa);
        uint64_t offset, part;

        if (!b) {
            const struct gw_ram_block *next = gw_ram_behind(&vm->ram, gpa);

            if (!next || next->gpa - gpa >= bytes)
                break;
            bytes -= next->gpa - gpa;
            gpa = next->gpa;
            continue;
        }
        offset = gpa - b->gpa;
        part = GW_MIN(bytes, b->max_bytes - offset);
        e = mark(vm, t, b, offset, part, NULL);
        r = e < 0 ? e : r;
        gpa += part;
        bytes -= part;
    }
    return r;
}

int gw_vm_dirty_ring_full(struct gw_vm *vm, struct gw_error *err)
{
    return gw_tracker_ring_full(vm->tracker, err);
}

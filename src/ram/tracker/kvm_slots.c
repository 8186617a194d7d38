/* SPDX-License-Identifier: MIT */
#include "ram/tracker/kvm_slots.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

int gw_kvm_config_check(const struct gw_tracker_config *config, struct gw_error *err)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;

    if (!config->slots || !config->slot_count)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "dirty tracking by KVM needs the memory slots of the machine");
    for (unsigned i = 0; i < config->slot_count; i++) {
        const struct gw_kvm_slot *k = &config->slots[i];

        if (!k->bytes || k->bytes % page || k->gpa % page || (uintptr_t)k->host % page ||
            gw_add_overflows((uint64_t)(uintptr_t)k->host, k->bytes, &end))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "KVM slot %u: %" PRIu64 " bytes at %p are not whole pages",
                           k->slot, k->bytes, k->host);
    }
    if (ioctl(config->kvm_vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) <= 0)
        return gw_fail(err, -EBADF, GW_BLAME_CALLER, "descriptor %d is not a KVM machine", config->kvm_vm_fd);
    return 0;
}

int gw_kvm_slots_open(struct gw_kvm_slots *s, const struct gw_ram *ram, const struct gw_tracker_config *config,
                      struct gw_error *err)
{
    unsigned page_bits = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
    struct gw_kvm_piece *pieces = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < config->slot_count; i++) {
        const struct gw_kvm_slot *k = &config->slots[i];
        uintptr_t k_start = (uintptr_t)k->host, k_end = k_start + k->bytes;
        bool leads = true;

        for (unsigned j = 0; j < ram->count; j++) {
            struct gw_ram_block *b = ram->blocks[j];
            uintptr_t start = GW_MAX(k_start, (uintptr_t)b->host);
            uintptr_t end = GW_MIN(k_end, (uintptr_t)b->host + b->used_bytes);
            struct gw_kvm_piece *grown;

            if (start >= end || !gw_ram_logged(b))
                continue;
            grown = realloc(pieces, (count + 1) * sizeof *pieces);
            if (!grown) {
                free(pieces);
                return gw_nomem(err, "KVM slots");
            }
            pieces = grown;
            if ((start - k_start) % (1u << page_bits)) {
                free(pieces);
                return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s does not begin on a page of KVM slot %u",
                               b->name, k->slot);
            }
            pieces[count++] = (struct gw_kvm_piece){
                .block = b,
                .slot = i,
                .slot_page = (start - k_start) >> page_bits,
                .slot_pages = gw_div_up(end - start, 1u << page_bits),
                .offset = start - (uintptr_t)b->host,
                .leads = leads,
            };
            leads = false;
        }
    }
    if (!count)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "none of the %u KVM slots holds any RAM block",
                       config->slot_count);
    *s = (struct gw_kvm_slots){.config = config, .host_page_bits = page_bits, .pieces = pieces, .piece_count = count};
    return 0;
}

void gw_kvm_slots_close(struct gw_kvm_slots *s)
{
    free(s->pieces);
    s->pieces = NULL;
    s->piece_count = 0;
}

static int log_one(const struct gw_kvm_slots *s, const struct gw_kvm_slot *k, bool on, struct gw_error *err)
{
    struct kvm_userspace_memory_region r = {
        .slot = k->slot,
        .flags = k->flags | (on ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = k->gpa,
        .memory_size = k->bytes,
        .userspace_addr = (uintptr_t)k->host,
    };

    if (ioctl(s->config->kvm_vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "dirty logging of KVM slot %u %s: %s", k->slot, on ? "on" : "off",
                       strerror(errno));
    return 0;
}

int gw_kvm_slots_log(struct gw_kvm_slots *s, bool on, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < s->piece_count; i++) {
        if (!s->pieces[i].leads)
            continue;
        r = log_one(s, &s->config->slots[s->pieces[i].slot], on, err);
        if (r < 0 && on) {
            while (i--)
                if (s->pieces[i].leads)
                    log_one(s, &s->config->slots[s->pieces[i].slot], false, NULL);
            return r;
        }
    }
    return r;
}

void gw_kvm_piece_pages(const struct gw_kvm_slots *s, const struct gw_kvm_piece *p, uint64_t page, uint64_t pages,
                        unsigned page_bits, uint64_t *ret_first, uint64_t *ret_pages)
{
    uint64_t start = p->offset + ((page - p->slot_page) << s->host_page_bits);
    uint64_t end = start + (pages << s->host_page_bits);

    *ret_first = start >> page_bits;
    *ret_pages = ((end - 1) >> page_bits) - *ret_first + 1;
}

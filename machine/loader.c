/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "machine/image.h"
#include "machine/internal.h"

#define IDLE_SET_BYTES (16ull << 20)
#define IDLE_VERIFY_BYTES_PER_S (8ull << 20) /* an idle guest must use almost no CPU time */
#define MS 1000000ull

/* Present, writable, user, accessed, dirty: the last two are preset, so that no page walk ever writes here. */
#define PTE_TABLE 0x27ull
#define PTE_LARGE 0xe7ull

/* Number of pages of a block that the workload may use: those that the machine does not use itself. */
static uint64_t block_pages(const struct gw_machine_block *b, uint64_t *ret_gpa)
{
    *ret_gpa = b->gpa ? b->gpa : GW_GUEST_WORK_GPA;
    return (b->gpa + b->bytes - *ret_gpa) / GW_GUEST_PAGE;
}

static void set_ranges(struct gw_machine *m, const struct gw_machine_workload *workload, struct gw_guest_params *p)
{
    uint64_t all = 0, gpa, set = workload->set_bytes / GW_GUEST_PAGE;

    for (unsigned i = 0; i < m->blocks; i++)
        all += block_pages(&m->block[i], &gpa);
    if (!set)
        set = workload->kind == GW_GUEST_IDLE ? IDLE_SET_BYTES / GW_GUEST_PAGE : all;
    if (set > all)
        set = all;
    /* Every block gets a share. Pages of tables count as part of the set. */
    for (unsigned i = 0; i < m->blocks; i++) {
        uint64_t pages = block_pages(&m->block[i], &gpa);
        p->range[i].gpa = gpa;
        p->range[i].pages = (uint64_t)((unsigned __int128)set * pages / all);
    }
    p->ranges = m->blocks;
}

/* Sets the blocks that the guest uses, and reserves room for their table in the first RAM block. */
static int set_disks(struct gw_machine *m, const struct gw_machine_workload *workload, struct gw_guest_params *p,
                     struct gw_error *err)
{
    uint64_t set = workload->set_bytes ? workload->set_bytes : UINT64_MAX, gpa, pages = block_pages(&m->block[0], &gpa);
    uint64_t most = pages / p->cpus * GW_GUEST_PAGE_WORDS; /* entries of a vCPU */
    uint64_t each = 0;

    if (!m->disks)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload disk: the machine has no disk");
    for (unsigned i = 0; i < m->disks; i++) {
        uint64_t blocks = m->disk[i]->state.capacity_sectors / 8;
        if (m->disk[i]->disk.readonly)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload disk: disk %u is read-only", i);
        if (blocks > set / m->disks / GW_GUEST_PAGE)
            blocks = set / m->disks / GW_GUEST_PAGE;
        if (blocks > (most / m->disks - 1) * p->cpus)
            blocks = (most / m->disks - 1) * p->cpus;
        if (blocks < p->cpus)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload disk: disk %u is too small, it needs at least a block for "
                           "each vCPU", i);
        p->disk[i].blocks = blocks;
        each += blocks / p->cpus + 1;
    }
    p->ranges = 1;
    p->range[0].gpa = gpa;
    p->range[0].pages = (each + GW_GUEST_PAGE_WORDS - 1) / GW_GUEST_PAGE_WORDS * p->cpus;
    for (uint32_t cpu = 0; cpu < p->cpus; cpu++) {
        uint64_t *entry = gw_machine_memory_at(m, gw_guest_slice_of(p, 0, cpu).table_gpa, each * 8);
        for (uint32_t disk = 0; disk < m->disks; disk++) {
            uint64_t end = gw_guest_disk_first(p, disk, cpu + 1);
            for (uint64_t block = gw_guest_disk_first(p, disk, cpu); block < end; block++)
                *entry++ = gw_guest_entry(p->seed, GW_GUEST_WHERE_DISK(disk, block), 0);
        }
    }
    return 0;
}

static void fill_page(const struct gw_guest_params *p, uint64_t gpa, uint64_t *word)
{
    if (p->workload == GW_GUEST_SPARSE) {
        for (unsigned i = 0; i < GW_GUEST_PAGE_WORDS; i++)
            word[i] = gw_guest_word(p->workload, p->seed, gpa, 1, i);
        return;
    }
    uint64_t value = gw_guest_key(p->seed, gpa, 1);
    for (unsigned i = 0; i < GW_GUEST_PAGE_WORDS; i++, value += GW_GUEST_STEP)
        word[i] = value;
}

static void write_set(struct gw_machine *m, const struct gw_guest_params *p)
{
    for (uint32_t r = 0; r < p->ranges; r++) {
        for (uint32_t cpu = 0; cpu < p->cpus; cpu++) {
            struct gw_guest_slice s = gw_guest_slice_of(p, r, cpu);
            uint64_t *entry = gw_machine_memory_at(m, s.table_gpa, s.data_pages * 8);
            for (uint64_t i = 0; i < s.data_pages; i++) {
                uint64_t gpa = s.data_gpa + i * GW_GUEST_PAGE;
                entry[i] = gw_guest_entry(p->seed, gpa, (uint32_t)p->filled);
                if (p->filled)
                    fill_page(p, gpa, gw_machine_memory_at(m, gpa, GW_GUEST_PAGE));
            }
        }
    }
}

static void write_page_tables(struct gw_machine *m)
{
    uint64_t *pml4 = gw_machine_memory_at(m, GW_GUEST_PML4_GPA, GW_GUEST_PAGE);
    uint64_t *pdpt = gw_machine_memory_at(m, GW_GUEST_PDPT_GPA, GW_GUEST_PAGE);
    uint64_t gibs = GW_GUEST_RAM_END >> 30;

    pml4[0] = GW_GUEST_PDPT_GPA | PTE_TABLE;
    for (uint64_t gib = 0; gib <= gibs; gib++) {
        uint64_t pd_gpa = GW_GUEST_PD_GPA + gib * GW_GUEST_PAGE, base = gib << 30, end = 0;
        uint64_t *pd = gw_machine_memory_at(m, pd_gpa, GW_GUEST_PAGE);

        for (unsigned i = 0; i < m->blocks; i++) {
            if (m->block[i].gpa < base + (1ull << 30) && m->block[i].gpa + m->block[i].bytes > base)
                end = m->block[i].gpa + m->block[i].bytes;
        }
        if (gib == gibs)
            end = base + (2ull << 20);
        if (!end)
            continue;
        pdpt[gib] = pd_gpa | PTE_TABLE;
        for (uint64_t at = base; at < end && at < base + (1ull << 30); at += 2ull << 20)
            pd[(at - base) >> 21] = at | PTE_LARGE;
    }
}

int gw_loader_load(struct gw_machine *m, const struct gw_machine_config *config, struct gw_error *err)
{
    const struct gw_machine_workload *workload = &config->workload;
    struct gw_guest_params *p = gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE);
    void *text = gw_machine_memory_at(m, GW_GUEST_TEXT_GPA, GW_GUEST_TEXT_MAX);

    _Static_assert(sizeof(struct gw_guest_params) <= GW_GUEST_PAGE, "the parameters are one page");
    _Static_assert(sizeof(struct gw_guest_mailbox) <= GW_GUEST_MAILBOX_BYTES, "a mailbox has its place");
    if (workload->kind >= GW_GUEST_WORKLOADS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no workload with number %d", workload->kind);
    if (gw_guest_image_bytes > GW_GUEST_TEXT_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the guest program is too large");

    p->magic = GW_GUEST_MAGIC;
    p->version = GW_GUEST_VERSION;
    p->cpus = m->cpus;
    p->workload = workload->kind;
    p->stores = workload->stores;
    p->seed = workload->seed;
    p->rate_bytes_per_s = workload->rate_bytes_per_s;
    p->verify_bytes_per_s = workload->verify_bytes_per_s;
    if (!p->verify_bytes_per_s && workload->kind == GW_GUEST_IDLE)
        p->verify_bytes_per_s = IDLE_VERIFY_BYTES_PER_S;
    p->poll_ns = workload->poll_ns ? workload->poll_ns : workload->kind == GW_GUEST_IDLE ? 10 * MS : MS;
    p->filled = workload->filled;
    p->disks = m->disks;
    for (unsigned i = 0; i < m->disks; i++)
        p->disk[i].mmio_gpa = m->disk[i]->gpa;
    if (workload->kind == GW_GUEST_DISK) {
        int r = set_disks(m, workload, p, err);
        if (r)
            return r;
    } else {
        set_ranges(m, workload, p);
        write_set(m, p);
    }

    memcpy(text, gw_guest_image, gw_guest_image_bytes);
    p->text_bytes = gw_guest_image_bytes;
    p->text_sum = gw_guest_sum(text, gw_guest_image_bytes);
    write_page_tables(m);
    uint64_t tables_bytes = GW_GUEST_TABLES_END - GW_GUEST_PML4_GPA;
    p->tables_sum = gw_guest_sum(gw_machine_memory_at(m, GW_GUEST_PML4_GPA, tables_bytes), tables_bytes);
    p->params_sum = gw_guest_sum(p, offsetof(struct gw_guest_params, params_sum));
    return 0;
}

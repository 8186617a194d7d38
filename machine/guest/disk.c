/* SPDX-License-Identifier: MIT
 *
 * Workload disk: blocks are written, read back and verified, through a minimal driver for virtio-mmio block devices: a
 * queue for each vCPU, eight requests at a time, no interrupts.
 */
#include "guest.h"

#define QUEUE_SIZE  32u /* descriptors: three for each request */
#define REQUESTS    8u
#define WAIT_US     1000u

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4 };
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8, STATUS_NEEDS_RESET = 64 };

struct desc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

struct queue { /* one page for each disk and vCPU */
    struct desc desc[QUEUE_SIZE];
    uint16_t avail_flags, avail_index, avail[QUEUE_SIZE];
    uint8_t pad[12];
    uint16_t used_flags, used_index;
    struct {
        uint32_t id, bytes;
    } used[QUEUE_SIZE];
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } head[REQUESTS];
    uint8_t status[REQUESTS];
};
_Static_assert(sizeof(struct queue) <= GW_GUEST_PAGE, "a queue is a page");
_Static_assert(offsetof(struct queue, used_flags) % 4 == 0, "alignment of the used ring");

static struct queue *queue_of(uint64_t cpu, uint32_t disk)
{
    return (struct queue *)(GW_GUEST_DMA_GPA + cpu * GW_GUEST_DMA_BYTES + disk * GW_GUEST_PAGE);
}

static uint64_t buffer_of(const struct worker *w, unsigned request)
{
    return GW_GUEST_DMA_GPA + w->cpu * GW_GUEST_DMA_BYTES + (GW_GUEST_MAX_DISKS + request) * GW_GUEST_PAGE;
}

static inline uint32_t reg_read(uint64_t mmio, unsigned reg)
{
    uint32_t value;
    __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(mmio + reg) : "memory");
    return value;
}

static inline void reg_write(uint64_t mmio, unsigned reg, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(mmio + reg) : "memory");
}

static void set_address(uint64_t mmio, unsigned reg, uint64_t gpa)
{
    reg_write(mmio, reg, (uint32_t)gpa);
    reg_write(mmio, reg + 4, (uint32_t)(gpa >> 32));
}

/* The first vCPU does this for all. */
static void device_init(const struct worker *w, uint32_t disk)
{
    uint64_t mmio = w->params->disk[disk].mmio_gpa;

    if (reg_read(mmio, 0) != 0x74726976 || reg_read(mmio, 4) != 2 || reg_read(mmio, 8) != 2)
        guest_corrupt(w, "no block device", mmio, 0x74726976, reg_read(mmio, 0));
    reg_write(mmio, 0x70, 0);
    reg_write(mmio, 0x70, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    reg_write(mmio, 0x24, 0);
    reg_write(mmio, 0x20, 1u << 9 | 1u << 12); /* flush, a queue for each vCPU */
    reg_write(mmio, 0x24, 1);
    reg_write(mmio, 0x20, 1); /* version 1 */
    reg_write(mmio, 0x70, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    if (!(reg_read(mmio, 0x70) & STATUS_FEATURES_OK))
        guest_corrupt(w, "block device refused features", mmio, STATUS_FEATURES_OK, reg_read(mmio, 0x70));
    for (uint32_t cpu = 0; cpu < w->params->cpus; cpu++) {
        struct queue *q = queue_of(cpu, disk);
        reg_write(mmio, 0x30, cpu);
        reg_write(mmio, 0x38, QUEUE_SIZE);
        set_address(mmio, 0x80, (uint64_t)q->desc);
        set_address(mmio, 0x90, (uint64_t)&q->avail_flags);
        set_address(mmio, 0xa0, (uint64_t)&q->used_flags);
        reg_write(mmio, 0x44, 1);
    }
    reg_write(mmio, 0x70, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

void guest_disk_init(struct worker *w)
{
    const struct gw_guest_params *p = w->params;

    w->slice[0] = gw_guest_slice_of(p, 0, (uint32_t)w->cpu);
    w->slices = 1;
    for (uint32_t disk = 0; disk < p->disks; disk++) {
        w->pages += gw_guest_disk_first(p, disk, (uint32_t)w->cpu + 1) - gw_guest_disk_first(p, disk, (uint32_t)w->cpu);
        if (w->cpu == 0)
            device_init(w, disk);
        while (!(reg_read(p->disk[disk].mmio_gpa, 0x70) & STATUS_DRIVER_OK)) {
            guest_poll();
            guest_sleep_us(WAIT_US);
            guest_yield();
        }
    }
}

/* Position of this vCPU's block with this number. */
struct place {
    uint32_t disk;
    uint64_t block;
    uint64_t left; /* blocks from here to the end of this disk's part, this one included */
    uint64_t *entry;
};

static struct place place_of(const struct worker *w, uint64_t number)
{
    const struct gw_guest_params *p = w->params;
    uint64_t *entry = (uint64_t *)w->slice[0].table_gpa + number;

    for (uint32_t disk = 0;; disk++) {
        uint64_t first = gw_guest_disk_first(p, disk, (uint32_t)w->cpu);
        uint64_t count = gw_guest_disk_first(p, disk, (uint32_t)w->cpu + 1) - first;
        if (number < count)
            return (struct place){disk, first + number, count - number, entry};
        number -= count;
    }
}

/* count requests of this type for blocks from `block` on, with the buffers from 0 on; returns when all have completed. */
static void transfer(struct worker *w, uint32_t disk, uint32_t type, uint64_t block, unsigned count)
{
    struct queue *q = queue_of(w->cpu, disk);
    volatile uint16_t *used_index = &q->used_index;
    uint64_t mmio = w->params->disk[disk].mmio_gpa;
    uint16_t index = q->avail_index;

    for (unsigned i = 0; i < count; i++) {
        struct desc *d = &q->desc[3 * i];
        q->head[i].type = type;
        q->head[i].sector = (block + i) * 8;
        q->status[i] = 0xff;
        d[0] = (struct desc){(uint64_t)&q->head[i], 16, 1, (uint16_t)(3 * i + (type == TYPE_FLUSH ? 2 : 1))};
        d[1] = (struct desc){buffer_of(w, i), GW_GUEST_PAGE, type == TYPE_IN ? 3 : 1, (uint16_t)(3 * i + 2)};
        d[2] = (struct desc){(uint64_t)&q->status[i], 1, 2, 0};
        q->avail[(uint16_t)(index + i) % QUEUE_SIZE] = (uint16_t)(3 * i);
    }
    __asm__ volatile("" : : : "memory");
    *(volatile uint16_t *)&q->avail_index = (uint16_t)(index + count);
    __asm__ volatile("" : : : "memory");
    reg_write(mmio, 0x50, (uint32_t)w->cpu);
    while (*used_index != (uint16_t)(index + count)) {
        if (reg_read(mmio, 0x70) & STATUS_NEEDS_RESET)
            guest_corrupt(w, "block device broke", mmio, 0, STATUS_NEEDS_RESET);
        guest_look(w); /* the sleep is relative to this poll */
        guest_sleep_us(WAIT_US);
        guest_yield();
    }
    __asm__ volatile("" : : : "memory");
    for (unsigned i = 0; i < count; i++) {
        if (*(volatile uint8_t *)&q->status[i])
            guest_corrupt(w, type == TYPE_IN ? "read failed" : "write failed", GW_GUEST_WHERE_DISK(disk, (block + i) * GW_GUEST_PAGE),
                          0, q->status[i]);
    }
    w->undeclared_bytes += type == TYPE_IN ? count * GW_GUEST_PAGE : 0;
}

/* Reads count blocks and verifies those that have been written. Returns the sum of their generations. */
static uint64_t read_back(struct worker *w, const struct place *at, unsigned count)
{
    const struct gw_guest_params *p = w->params;
    uint64_t sum = 0;

    transfer(w, at->disk, TYPE_IN, at->block, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t where = GW_GUEST_WHERE_DISK(at->disk, at->block + i);
        uint32_t generation = guest_entry_read(w, &at->entry[i], where);
        const volatile uint64_t *word = (const volatile uint64_t *)buffer_of(w, i);
        uint64_t value = gw_guest_key(p->seed, where, generation);
        sum += generation;
        for (unsigned k = 0; generation && k < GW_GUEST_PAGE_WORDS; k++, value += GW_GUEST_STEP) {
            uint64_t found = word[k], wrong = found ^ value;
            if (wrong) {
                unsigned byte = (unsigned)__builtin_ctzll(wrong) / 8;
                guest_corrupt(w, "data", GW_GUEST_WHERE_DISK(at->disk, (at->block + i) * GW_GUEST_PAGE + k * 8 + byte),
                              value >> byte * 8 & 255, found >> byte * 8 & 255);
            }
        }
        guest_yield();
    }
    w->verified_pages += count;
    return sum;
}

uint64_t guest_disk_step(struct worker *w)
{
    const struct gw_guest_params *p = w->params;
    uint64_t number = (guest_chance(w) >> 16) % w->pages;
    struct place at = place_of(w, number);
    unsigned count = at.left < REQUESTS ? (unsigned)at.left : REQUESTS;

    guest_yield();
    read_back(w, &at, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t where = GW_GUEST_WHERE_DISK(at.disk, at.block + i);
        uint32_t generation = guest_entry_read(w, &at.entry[i], where) + 1;
        uint64_t key = gw_guest_key(p->seed, where, generation);
        if (w->features & GW_GUEST_SLOW_STORES) {
            guest_fill(buffer_of(w, i), key, GW_GUEST_PAGE_WORDS);
        } else {
            volatile uint64_t *word = (volatile uint64_t *)buffer_of(w, i);
            for (unsigned k = 0; k < GW_GUEST_PAGE_WORDS; k++, key += GW_GUEST_STEP)
                word[k] = key;
        }
        guest_yield();
    }
    transfer(w, at.disk, TYPE_OUT, at.block, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t where = GW_GUEST_WHERE_DISK(at.disk, at.block + i);
        at.entry[i] = gw_guest_entry(p->seed, where, guest_entry_read(w, &at.entry[i], where) + 1);
        w->generations++;
        if (number + i < w->scan)
            w->scan_generations++;
    }
    w->written_pages += count;
    w->undeclared_bytes += count * GW_GUEST_PAGE;
    if (w->virtual_ns >= w->flush_virtual_ns) {
        transfer(w, at.disk, TYPE_FLUSH, 0, 1);
        w->flush_virtual_ns = w->virtual_ns + 1000000000ull;
    }
    return count;
}

uint64_t guest_disk_scan_step(struct worker *w)
{
    struct place at = place_of(w, w->scan);
    unsigned count = at.left < REQUESTS ? (unsigned)at.left : REQUESTS;

    guest_yield();
    w->scan_generations += read_back(w, &at, count);
    w->scan += count;
    if (w->scan < w->pages)
        return count;
    if (w->scan_generations != w->generations)
        guest_corrupt(w, "sum of generations", (uint64_t)&w->generations, w->generations, w->scan_generations);
    w->scan = w->scan_generations = 0;
    w->passes++;
    return count;
}

/* SPDX-License-Identifier: MIT
 *
 * abi: the interface of the guest program and the machine: the layout of guest memory, the ports, the parameter page
 * and the mailboxes, and the value that every word written by the guest must have. Compiled on both sides;
 * docs/machine.md describes it in prose.
 *
 * Everything is little-endian and naturally aligned. A page is 4096 bytes, a word 8.
 */
#ifndef GW_MACHINE_ABI_H
#define GW_MACHINE_ABI_H

#include <stdint.h>

#define GW_GUEST_PAGE       4096ull
#define GW_GUEST_PAGE_WORDS 512u
#define GW_GUEST_MAX_CPUS   32u
#define GW_GUEST_MAX_RANGES 16u /* RAM blocks */
#define GW_GUEST_MAX_DISKS  8u

/* ---- guest-physical memory ----------------------------------------------------------------------------------------- */

#define GW_GUEST_PARAMS_GPA    0x1000ull   /* struct gw_guest_params; the guest only reads it */
#define GW_GUEST_MAILBOX_GPA   0x2000ull   /* one struct gw_guest_mailbox for each vCPU */
#define GW_GUEST_MAILBOX_BYTES 1024ull
#define GW_GUEST_PML4_GPA      0x20000ull  /* page tables: an identity map of RAM and devices in 2 MiB pages */
#define GW_GUEST_PDPT_GPA      0x21000ull
#define GW_GUEST_PD_GPA        0x22000ull  /* one page for each GiB below GW_GUEST_RAM_END, then one for the devices' addresses */
#define GW_GUEST_TABLES_END    0xa3000ull
#define GW_GUEST_STACK_GPA     0xb0000ull  /* 8 KiB for each vCPU, downwards from this end */
#define GW_GUEST_STACK_BYTES   0x2000ull
#define GW_GUEST_TEXT_GPA      0x100000ull /* the program: text and constants; it has no other static data */
#define GW_GUEST_YIELD_GPA     0x100010ull /* an instruction that does nothing and is executed at least every 100 us or so: an
                                            * accelerator that can only stop exactly at chosen places stops here */
#define GW_GUEST_TEXT_MAX      0x100000ull
#define GW_GUEST_DMA_GPA       0x200000ull /* disk queues and buffers, 64 KiB for each vCPU */
#define GW_GUEST_DMA_BYTES     0x10000ull
#define GW_GUEST_WORK_GPA      0x400000ull /* the working set: from here to the end of the first block, and all other blocks */

#define GW_GUEST_BLOCK_ALIGN (1ull << 30)  /* the second and further RAM blocks start at multiples of this */
#define GW_GUEST_RAM_END     (1ull << 37)
#define GW_GUEST_MMIO_GPA    GW_GUEST_RAM_END /* a page for each disk */

/* ---- ports --------------------------------------------------------------------------------------------------------- */
/* 32 bits wide except the serial port. "out" and "in" are the guest's instructions. Each vCPU has its own port
 * registers. */

#define GW_PORT_SERIAL      0x3f8 /* out, 8 bits: a character */
#define GW_PORT_SERIAL_LSR  0x3fd /* in, 8 bits: 0x60, always ready */
#define GW_PORT_POLL        0x500 /* in: the words of enum gw_guest_poll in sequence, repeatedly */
#define GW_PORT_WAIT        0x510 /* out: microseconds after the virtual time of the last poll: sleeps until then, or until
                                     a disk completed a request; may return early */
#define GW_PORT_EXIT        0x520 /* out: enum gw_guest_exit; ends the machine */
#define GW_PORT_DIRTIED     0x530 /* out: bytes of memory that this vCPU dirtied since its last report (dirty limit) */
#define GW_PORT_FILL_LOW    0x540 /* out: address for the store engine */
#define GW_PORT_FILL_HIGH   0x544 /* out */
#define GW_PORT_KEY_LOW     0x548 /* out: value of the first word; each further word is GW_GUEST_STEP more */
#define GW_PORT_KEY_HIGH    0x54c /* out */
#define GW_PORT_FILL        0x550 /* out: stores this many words, at most a page, not across the end of a page; with
                                   * GW_GUEST_FILL_SAME all have the same value */
#define GW_GUEST_FILL_SAME  0x80000000u

/* One `rep insl` reads all words, as a port access can cost 40 us (nested KVM). The first word latches all times. */
enum gw_guest_poll {
    GW_GUEST_POLL_WALL_LOW,    /* ns since 1970: continues while the machine is stopped or migrates */
    GW_GUEST_POLL_WALL_HIGH,
    GW_GUEST_POLL_VIRTUAL_LOW, /* ns that the machine has been running: stops with the machine, migrates with it */
    GW_GUEST_POLL_VIRTUAL_HIGH,
    GW_GUEST_POLL_FEATURES,    /* enum gw_guest_feature; may change in a migration */
    GW_GUEST_POLL_WORDS
};

enum gw_guest_feature {
    GW_GUEST_SLOW_STORES = 1, /* stores of the CPU are slow (emulation): the store engine is faster */
};

enum gw_guest_exit { GW_GUEST_EXIT_OK = 0, GW_GUEST_EXIT_FAILED = 1, GW_GUEST_EXIT_CORRUPT = 4 };

/* ---- parameter page ------------------------------------------------------------------------------------------------ */

#define GW_GUEST_MAGIC   0x3174697764306721ull
#define GW_GUEST_VERSION 1u

enum gw_guest_workload {
    GW_GUEST_IDLE,       /* writes nothing, only verifies */
    GW_GUEST_UNIFORM,    /* whole pages, all with equal probability */
    GW_GUEST_HOTSET,     /* whole pages, mostly a few of them */
    GW_GUEST_SEQUENTIAL, /* whole pages, in order, repeatedly */
    GW_GUEST_SPARSE,     /* two bytes in each 512, pages in order */
    GW_GUEST_ZERO,       /* random pages: filled, then zeroed, then filled */
    GW_GUEST_DISK,       /* blocks of the disks */
    GW_GUEST_WORKLOADS
};

enum gw_guest_stores { GW_GUEST_STORES_AUTO, GW_GUEST_STORES_CPU, GW_GUEST_STORES_ENGINE };

struct gw_guest_range {
    uint64_t gpa, pages;
};

struct gw_guest_disk {
    uint64_t mmio_gpa;
    uint64_t blocks; /* number of 4096-byte blocks that the guest uses */
};

struct gw_guest_params {
    uint64_t magic;
    uint32_t version, cpus;
    uint32_t workload, stores; /* enum gw_guest_workload, gw_guest_stores */
    uint64_t seed;
    uint64_t rate_bytes_per_s;   /* dirty rate of all vCPUs together; 0: as fast as possible */
    uint64_t verify_bytes_per_s; /* background scan of all vCPUs together; 0: half as much as is written, and at least
                                    GW_GUEST_VERIFY_LEAST */
    uint64_t poll_ns;            /* the longest sleep of a vCPU between two reads of the clock */
    uint64_t filled;             /* 1: every page of the set has generation 1 at the start */
    /* contents that must never change: sums by gw_guest_sum */
    uint64_t text_bytes, text_sum;
    uint64_t tables_sum; /* GW_GUEST_PML4_GPA .. GW_GUEST_TABLES_END */
    uint32_t ranges, disks;
    struct gw_guest_range range[GW_GUEST_MAX_RANGES]; /* the working set */
    struct gw_guest_disk disk[GW_GUEST_MAX_DISKS];
    uint64_t params_sum; /* sum of all words before this one */
};

#define GW_GUEST_VERIFY_LEAST (32ull << 20)

/* ---- mailboxes ----------------------------------------------------------------------------------------------------- */

#define GW_GUEST_GAPS       32u
#define GW_GUEST_GAP_NOTED  3000000ull /* ns: gaps of at least this length are recorded individually */

struct gw_guest_gap {
    uint64_t at_wall_ns; /* when it ended */
    uint64_t ns;
};

/* Written only by the vCPU, at each poll. `sequence` is odd while it writes: read until it is even and the
 * same before and after. A gap is the whole wall time between two polls, including stops, migrations and delays by a
 * busy host. */
struct gw_guest_mailbox {
    uint64_t sequence;
    uint64_t magic; /* GW_GUEST_MAGIC once the vCPU runs */
    uint64_t polls;
    uint64_t wall_ns, virtual_ns;            /* at the last poll */
    uint64_t pages_written, pages_verified;  /* for the workload disk: blocks */
    uint64_t verify_passes;                  /* number of complete verifications */
    uint64_t errors;                         /* 0 or 1: the machine ends with the first error */
    uint64_t error_address, error_expected, error_found;
    uint64_t max_gap_ns, max_gap_at_wall_ns; /* since the start of the program */
    uint64_t gaps;                           /* number recorded since the start; the newest is gap[(gaps - 1) % GW_GUEST_GAPS] */
    struct gw_guest_gap gap[GW_GUEST_GAPS];
};

/* ---- what memory must hold ----------------------------------------------------------------------------------------- */
/* Each vCPU owns a slice of every range. A slice begins with its table, an entry of 8 bytes for each data page: the
 * generation, i.e. how often the page was written, in the low half, a check value in the high half. */

#define GW_GUEST_STEP 0x9e3779b97f4a7c15ull

struct gw_guest_slice {
    uint64_t table_gpa, data_gpa, data_pages;
};

static inline uint64_t gw_guest_mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x7fb5d329728ea185ull;
    x ^= x >> 27;
    x *= 0x81dadef4bc2dd44dull;
    return x ^ (x >> 33);
}

/* The first word of the page (or disk block) `where` at this generation. where: its address; for disks GW_GUEST_WHERE_DISK. */
static inline uint64_t gw_guest_key(uint64_t seed, uint64_t where, uint32_t generation)
{
    return gw_guest_mix(gw_guest_mix(seed ^ where) + generation * 0xd1342543de82ef95ull);
}

#define GW_GUEST_WHERE_DISK(disk, block) ((1ull << 63) | ((uint64_t)(disk) << 56) | (block))

static inline uint64_t gw_guest_entry(uint64_t seed, uint64_t where, uint32_t generation)
{
    return (gw_guest_key(~seed, where, generation) & 0xffffffff00000000ull) | generation;
}

static inline uint64_t gw_guest_sum(const void *at, uint64_t bytes)
{
    const uint64_t *word = (const uint64_t *)at;
    uint64_t sum = bytes;
    for (uint64_t i = 0; i < bytes / 8; i++)
        sum = ((sum << 7) | (sum >> 57)) * 0x9fb21c651e98df25ull + word[i];
    return sum;
}

/* Sparse pages: 8 stripes of 64 words; in each, one word changes with the generation, in its low 16 bits. */
static inline unsigned gw_guest_sparse_slot(uint64_t base_key, unsigned stripe)
{
    return (unsigned)(base_key >> (stripe * 6)) & 63u;
}

static inline uint16_t gw_guest_sparse_mark(uint32_t generation, unsigned stripe)
{
    return (uint16_t)((generation * 8 + stripe) * 0x9e37u);
}

/* Word i of a page in this workload. Generation 0 is zeros. */
static inline uint64_t gw_guest_word(uint32_t workload, uint64_t seed, uint64_t where, uint32_t generation, unsigned i)
{
    uint64_t word;

    if (generation == 0 || (workload == GW_GUEST_ZERO && !(generation & 1)))
        return 0;
    if (workload != GW_GUEST_SPARSE)
        return gw_guest_key(seed, where, generation) + i * GW_GUEST_STEP;
    uint64_t base = gw_guest_key(seed, where, 0);
    word = base + i * GW_GUEST_STEP;
    if ((i & 63) == gw_guest_sparse_slot(base, i / 64))
        word = (word & ~0xffffull) | gw_guest_sparse_mark(generation, i / 64);
    return word;
}

static inline struct gw_guest_slice gw_guest_slice_of(const struct gw_guest_params *params, uint32_t range, uint32_t cpu)
{
    const struct gw_guest_range *r = &params->range[range];
    uint64_t first = r->pages * cpu / params->cpus, end = r->pages * (cpu + 1) / params->cpus;
    uint64_t tables = (end - first + GW_GUEST_PAGE_WORDS) / (GW_GUEST_PAGE_WORDS + 1);
    struct gw_guest_slice slice;

    slice.table_gpa = r->gpa + first * GW_GUEST_PAGE;
    slice.data_gpa = slice.table_gpa + tables * GW_GUEST_PAGE;
    slice.data_pages = end - first - tables;
    return slice;
}

/* Workload disk: a vCPU owns a run of blocks of every disk. Its table has the blocks of all disks in order; it lies in
 * the vCPU's slice of range 0, which has no other contents. */
static inline uint64_t gw_guest_disk_first(const struct gw_guest_params *params, uint32_t disk, uint32_t cpu)
{
    return params->disk[disk].blocks * cpu / params->cpus;
}

#endif

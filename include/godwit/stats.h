/* SPDX-License-Identifier: MIT
 *
 * stats: what query-migrate returns, with the same names and meaning (R22), and what it does not.
 *
 * Every byte on the wire is counted by cause exactly once: transferred is the sum of bytes_by[].
 *
 * A migration by postcopy that is resumed goes on counting, on both sides: numbers are the sum over all of its connections, and its
 * time is since it began, the pauses too. Where another process resumes it (send FILE --resume), it begins from nothing.
 */
#ifndef GODWIT_STATS_H
#define GODWIT_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/events.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gw_cause {
    GW_CAUSE_HEAD,     /* header, configuration, commands, section frames, EOF */
    GW_CAUSE_RAM_META, /* record headers, block lists, end marks */
    GW_CAUSE_RAM_PAGE, /* page contents as they are */
    GW_CAUSE_RAM_ZERO, /* records of zero pages */
    GW_CAUSE_RAM_CODED, /* page contents in any coded form */
    GW_CAUSE_DEVICE,   /* device state */
    GW_CAUSE_DISK,     /* disks and dirty bitmaps */
    GW_CAUSE_VMDESC,
    GW_CAUSE_COUNT
};

/* XBZRLE: what became of pages that were sent again. A rate is of the last accounting period, the time between two syncs
 * that are a second or more apart. */
struct gw_xbzrle_stats {
    uint64_t cache_bytes; /* of contents that can be cached; 0: XBZRLE is off */
    uint64_t bytes;       /* of the records without their 8-byte heads; a page that was sent whole counts whole */
    uint64_t pages;       /* whose previous contents were cached */
    uint64_t misses;      /* pages whose were not */
    uint64_t overflows;   /* pages that changed too much, and were sent whole */
    double miss_rate;     /* misses / pages of all kinds */
    double encoding_rate; /* bytes of the pages / bytes */
};

/* Compression of pages, one by one. Rates are as XBZRLE's. */
struct gw_compression_stats {
    unsigned threads; /* 0: it is off */
    uint64_t pages;   /* that were compressed */
    uint64_t busy;    /* pages that went as they are because no thread was free */
    uint64_t bytes;   /* of the records without their 8-byte heads */
    double busy_rate; /* busy / pages of all kinds */
    double compression_rate; /* bytes of the pages / bytes */
};

/* Block migration: contents of disks. Source: transferred counts each byte of the disks once, remaining also what was written
 * since; destination: both use the percentage that the source reports. */
struct gw_disk_stats {
    uint64_t transferred_bytes, remaining_bytes;
    uint64_t total_bytes; /* 0: no disks are sent */
};

struct gw_round { /* one pass over dirty memory */
    uint64_t bytes, pages, zero_pages;
    uint64_t duration_ns;
    uint64_t dirty_pages_at_start; /* what the sync found (first round: all) */
    uint64_t dirty_pages_per_s;    /* rate of the guest as seen at the end of the round */
};
#define GW_ROUNDS_KEPT 64

/* What the machine stood still for. */
enum gw_downtime {
    GW_DOWNTIME_STOP,     /* until it stood */
    GW_DOWNTIME_PAUSED,   /* for migrate-continue (pause-before-switchover) */
    GW_DOWNTIME_SYNC,     /* the last search for dirty pages */
    GW_DOWNTIME_MEMORY,   /* the last pages */
    GW_DOWNTIME_DEVICES,  /* device states */
    GW_DOWNTIME_LOAD,     /* until the destination said that it had loaded all; of a plain peer also until it said that it runs */
    GW_DOWNTIME_HANDOVER, /* until it said that it runs */
    GW_DOWNTIME_COUNT
};

/* Whether the guest will be moved, going by what was seen of it so far. */
enum gw_converges { GW_CONVERGES_UNKNOWN, GW_CONVERGES_YES, GW_CONVERGES_NO };
#define GW_ETA_UNKNOWN UINT64_MAX
#define GW_TENDED_WORDS 200

struct gw_stats {
    enum gw_status status;
    /* ram{} */
    uint64_t transferred_bytes, remaining_bytes, total_bytes;
    uint64_t duplicate_pages, normal_pages, normal_bytes;
    uint64_t packed_pages;           /* of normal_pages, those in compressed multifd packets */
    uint64_t skipped_pages;          /* hinted free or discarded: never sent (R12) */
    uint64_t dirty_pages_rate;       /* pages per second, of the last period between two syncs that was longer than that */
    uint64_t dirty_sync_count;
    uint64_t page_size;
    uint64_t pages_per_second;
    double mbps;                     /* 10^6 bits per second */
    uint64_t multifd_bytes, postcopy_requests;
    uint64_t precopy_bytes, downtime_bytes, postcopy_bytes; /* of RAM: sent while the machine ran, stood, ran there */
    uint64_t dirty_sync_missed_zero_copy;
    uint64_t bytes_by[GW_CAUSE_COUNT];
    struct gw_xbzrle_stats xbzrle;
    struct gw_compression_stats compression;
    /* times, like all in these headers in nanoseconds (QMP's are in milliseconds: control.h converts) */
    uint64_t total_time_ns, expected_downtime_ns, setup_time_ns;
    uint64_t downtime_ns;            /* stop asked of the embedder -> peer said it runs */
    enum gw_converges converges;     /* source, as of the last decision */
    uint64_t eta_ns;                 /* from then on until the machine is stopped; UNKNOWN: of this pass; NO: GW_ETA_UNKNOWN */
    /* x-godwit-tended-convergence: the limit that holds now, and what was done last and why, in words. 0 and empty:
     * it is off, or no round has ended; empty: nothing had to be done */
    uint64_t downtime_limit_ns;
    char tended[GW_TENDED_WORDS];
    bool one_way;                    /* destination: the source that is here opened no return path: it takes its guest for gone
                                      * when it has written the last byte, whatever becomes of it here */
    bool source_runs;                /* destination: the RAM came without an end: a background snapshot, whose source runs on */
    unsigned cpu_throttle_percentage;
    uint64_t dirty_limit_throttle_time_ns; /* in the last round; 0 also where the machine cannot tell */
    /* rounds, oldest first; only the last GW_ROUNDS_KEPT are kept, `rounds` counts all */
    uint32_t rounds, rounds_kept;
    struct gw_round round[GW_ROUNDS_KEPT];
    struct gw_error error; /* code 0: none */
    uint64_t downtime_by[GW_DOWNTIME_COUNT]; /* their sum is downtime_ns */
    struct gw_disk_stats disk; /* disk{} */
};

#define GW_WAIT_BUCKETS 24

/* How long threads of a machine waited for pages in postcopy (QEMU 10.1's fields of the destination). */
struct gw_postcopy_waits {
    uint64_t blocktime_ns;      /* while all vCPUs waited */
    uint64_t latency_ns;        /* mean of the waits that have ended; 0: none has */
    uint64_t others_latency_ns; /* of those by threads that run no vCPU */
    uint64_t waits, others_waits; /* that have ended; the second are among the first */
    uint64_t latency_dist[GW_WAIT_BUCKETS]; /* [i]: of 2^i microseconds up to 2^(i+1); the first also of less, the last of more */
    unsigned vcpus;             /* that the machine has named (gw_vm_set_vcpu_thread) */
};

struct gw_vcpu_waits {
    uint64_t blocktime_ns; /* what lasts still is in it */
    uint64_t latency_ns;   /* mean; 0: it never waited */
};

#ifdef __cplusplus
}
#endif
#endif

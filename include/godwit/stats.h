/* SPDX-License-Identifier: MIT
 *
 * stats: statistics of a session: those of QMP's query-migrate, with the same names and meaning (R22), and some more.
 *
 * Every byte on the wire is counted under exactly one cause: transferred_bytes is the sum of bytes_by[].
 *
 * When a postcopy migration is resumed, both sides keep counting: counts are sums over all connections, and times run from the
 * first start, including pauses. If another process resumes it (send FILE --resume), counting starts at 0.
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
    GW_CAUSE_RAM_PAGE, /* plain page contents */
    GW_CAUSE_RAM_ZERO, /* records of zero pages */
    GW_CAUSE_RAM_CODED, /* encoded page contents: compressed, XBZRLE */
    GW_CAUSE_DEVICE,   /* device state */
    GW_CAUSE_DISK,     /* disks and dirty bitmaps */
    GW_CAUSE_VMDESC,
    GW_CAUSE_COUNT
};

/* XBZRLE: counts of pages that were sent again. Rates are over the last accounting period: the time between two dirty syncs a
 * second or more apart. */
struct gw_xbzrle_stats {
    uint64_t cache_bytes; /* capacity of the cache; 0: XBZRLE is off */
    uint64_t bytes;       /* of the records without their 8-byte headers; pages that were sent whole included */
    uint64_t pages;       /* pages whose previous contents were cached */
    uint64_t misses;      /* pages whose previous contents were not cached */
    uint64_t overflows;   /* pages that changed too much and were sent whole */
    double miss_rate;     /* misses / pages of all kinds */
    double encoding_rate; /* bytes of the pages / bytes sent for them */
};

/* Compression of single pages (capability compress). Rates are as for XBZRLE. */
struct gw_compression_stats {
    unsigned threads; /* 0: it is off */
    uint64_t pages;   /* pages that were compressed */
    uint64_t busy;    /* pages that were sent plain because no thread was free */
    uint64_t bytes;   /* of the records without their 8-byte headers */
    double busy_rate; /* busy / pages of all kinds */
    double compression_rate; /* bytes of the pages / bytes sent for them */
};

/* Block migration: contents of disks. Source: transferred_bytes counts each byte of the disks once, remaining_bytes includes
 * ranges written again; destination: both are computed from the percentage that the source reports. */
struct gw_disk_stats {
    uint64_t transferred_bytes, remaining_bytes;
    uint64_t total_bytes; /* 0: no disks are sent */
};

struct gw_round { /* one pass over dirty memory */
    uint64_t bytes, pages, zero_pages;
    uint64_t duration_ns;
    uint64_t dirty_pages_at_start; /* found by the dirty sync (first round: all pages) */
    uint64_t dirty_pages_per_s;    /* the guest's dirty rate, measured at the end of the round */
};
#define GW_ROUNDS_KEPT 64

/* The parts of the downtime. */
enum gw_downtime {
    GW_DOWNTIME_STOP,     /* stopping the machine */
    GW_DOWNTIME_PAUSED,   /* waiting for migrate-continue (pause-before-switchover) */
    GW_DOWNTIME_SYNC,     /* the last dirty sync */
    GW_DOWNTIME_MEMORY,   /* sending the last pages */
    GW_DOWNTIME_DEVICES,  /* sending device state */
    GW_DOWNTIME_LOAD,     /* waiting for the destination to report that all is loaded; for a plain peer: that the machine runs */
    GW_DOWNTIME_HANDOVER, /* from then until the destination reports that the machine runs */
    GW_DOWNTIME_COUNT
};

/* Whether the migration is expected to converge, as measured so far. */
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
    uint64_t dirty_pages_rate;       /* pages per second, over the last accounting period (see gw_xbzrle_stats) */
    uint64_t dirty_sync_count;
    uint64_t page_size;
    uint64_t pages_per_second;
    double mbps;                     /* 10^6 bits per second */
    uint64_t multifd_bytes, postcopy_requests;
    uint64_t precopy_bytes, downtime_bytes, postcopy_bytes; /* RAM sent while the guest ran here, was stopped, ran there */
    uint64_t dirty_sync_missed_zero_copy;
    uint64_t bytes_by[GW_CAUSE_COUNT];
    struct gw_xbzrle_stats xbzrle;
    struct gw_compression_stats compression;
    /* times; all times in these headers are in nanoseconds (QMP's are in milliseconds: control.h converts) */
    uint64_t total_time_ns, expected_downtime_ns, setup_time_ns;
    uint64_t downtime_ns;            /* from the call of `stop` until the peer reports that the machine runs */
    enum gw_converges converges;     /* source, as of the last decision */
    uint64_t eta_ns;                 /* time from that decision until the machine is stopped. converges UNKNOWN: until the end of
                                      * this pass; NO: GW_ETA_UNKNOWN */
    /* x-godwit-tended-convergence: the current downtime limit, and a text that says which step was taken last and why. 0 and
     * empty: it is off, or no round has ended; only the text empty: no step was necessary */
    uint64_t downtime_limit_ns;
    char tended[GW_TENDED_WORDS];
    bool one_way;                    /* destination: the source opened no return path, so it gives its guest up once it has
                                      * written the last byte, even if the load fails here */
    bool source_runs;                /* destination: the stream is a background snapshot, whose guest keeps running at the source */
    unsigned cpu_throttle_percentage;
    uint64_t dirty_limit_throttle_time_ns; /* in the last round; 0 also where the embedder cannot tell */
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
    uint64_t latency_ns;        /* mean of the completed waits; 0: none */
    uint64_t others_latency_ns; /* mean of those of threads that are not vCPUs */
    uint64_t waits, others_waits; /* completed waits: of all threads; of threads that are not vCPUs */
    uint64_t latency_dist[GW_WAIT_BUCKETS]; /* [i]: waits of 2^i to 2^(i+1) microseconds; the first also shorter, the last longer */
    unsigned vcpus;             /* vCPUs known by gw_vm_set_vcpu_thread */
};

struct gw_vcpu_waits {
    uint64_t blocktime_ns; /* a wait that is not over is included */
    uint64_t latency_ns;   /* mean; 0: it never waited */
};

#ifdef __cplusplus
}
#endif
#endif

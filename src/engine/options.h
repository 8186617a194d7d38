/* SPDX-License-Identifier: MIT
 *
 * options: the table of parameters, and typed access to them and to capabilities (features.h) for the engine.
 *
 * Every name stands once, in these lists; numbers and enums of the engine come from them.
 */
#ifndef GW_ENGINE_OPTIONS_H
#define GW_ENGINE_OPTIONS_H

#include "base/base.h"
#include "engine/features.h"
#include "godwit/options.h"

enum gw_zero_detection { GW_ZERO_NONE, GW_ZERO_LEGACY, GW_ZERO_MULTIFD };

enum gw_multifd_compression { GW_MULTIFD_NONE, GW_MULTIFD_ZLIB, GW_MULTIFD_ZSTD };

/* F(FIELD, "qmp-name", default, min, max, "help"): uint64_t in the unit of the help. */
#define GW_INT_PARAMETERS(F)                                                                                           \
    F(ANNOUNCE_INITIAL, "announce-initial", 50, 0, 100000, "ms before the second announcement")                        \
    F(ANNOUNCE_MAX, "announce-max", 550, 0, 100000, "ms at most between announcements")                                \
    F(ANNOUNCE_ROUNDS, "announce-rounds", 5, 0, 1000, "announcements")                                                 \
    F(ANNOUNCE_STEP, "announce-step", 100, 1, 10000, "ms added after each announcement")                               \
    F(THROTTLE_TRIGGER_THRESHOLD, "throttle-trigger-threshold", 50, 1, 100,                                            \
      "% of the bytes sent that must get dirty in a round to throttle")                                                \
    F(CPU_THROTTLE_INITIAL, "cpu-throttle-initial", 20, 1, 99, "% at the first throttling")                            \
    F(CPU_THROTTLE_INCREMENT, "cpu-throttle-increment", 10, 1, 99, "% added each time")                                \
    F(MAX_CPU_THROTTLE, "max-cpu-throttle", 99, 1, 99, "% at most")                                                    \
    F(MAX_BANDWIDTH, "max-bandwidth", 134217728, 0, UINT64_MAX, "bytes per second; 0: no limit")                       \
    F(AVAIL_SWITCHOVER_BANDWIDTH, "avail-switchover-bandwidth", 0, 0, UINT64_MAX,                                      \
      "bytes per second there at the switch-over; 0: estimate")                                                        \
    F(DOWNTIME_LIMIT, "downtime-limit", 300, 0, 2000000, "ms")                                                         \
    F(DOWNTIME_CEILING, "x-godwit-downtime-ceiling", 0, 0, 2000000,                                                    \
      "ms that x-godwit-tended-convergence raises downtime-limit to at most; 0: ten times downtime-limit")            \
    F(CHECKPOINT_DELAY, "x-checkpoint-delay", 20000, 0, UINT32_MAX, "ms between checkpoints")                          \
    F(MULTIFD_CHANNELS, "multifd-channels", 2, 1, 255, "channels")                                                     \
    F(MULTIFD_ZLIB_LEVEL, "multifd-zlib-level", 1, 0, 9, "zlib level")                                                 \
    F(MULTIFD_ZSTD_LEVEL, "multifd-zstd-level", 1, 0, 20, "zstd level")                                                \
    F(MULTIFD_QATZIP_LEVEL, "multifd-qatzip-level", 1, 1, 9, "qatzip level")                                           \
    F(COMPRESS_LEVEL, "compress-level", 1, 0, 9, "zlib level of the compression threads")                              \
    F(COMPRESS_THREADS, "compress-threads", 8, 1, 255, "compression threads")                                          \
    F(DECOMPRESS_THREADS, "decompress-threads", 2, 1, 255, "decompression threads")                                    \
    F(XBZRLE_CACHE_SIZE, "xbzrle-cache-size", 67108864, 4096, 1ull << 62, "bytes, a power of two")                     \
    F(MAX_POSTCOPY_BANDWIDTH, "max-postcopy-bandwidth", 0, 0, UINT64_MAX, "bytes per second; 0: no limit")             \
    F(VCPU_DIRTY_LIMIT_PERIOD, "x-vcpu-dirty-limit-period", 1000, 1, 1000, "ms between the machine's own measurements")                  \
    F(VCPU_DIRTY_LIMIT, "vcpu-dirty-limit", 1, 1, 1ull << 40, "MB/s")

/* F(FIELD, "qmp-name", default, "help") */
#define GW_BOOL_PARAMETERS(F)                                                                                          \
    F(BLOCK_INCREMENTAL, "block-incremental", false, "disks: only what differs from the backing file")                 \
    F(COMPRESS_WAIT_THREAD, "compress-wait-thread", true, "wait for a free compression thread")                        \
    F(CPU_THROTTLE_TAILSLOW, "cpu-throttle-tailslow", false, "smaller steps near the end")                             \
    F(DIRECT_IO, "direct-io", false, "bypass the page cache for mapped-ram pages")

/* F(FIELD, "qmp-name", default, accepted, "word word ...", "help"): the value is the number of the word; this build
 * supports the first `accepted` words. */
#define GW_ENUM_PARAMETERS(F)                                                                                          \
    F(MULTIFD_COMPRESSION, "multifd-compression", GW_MULTIFD_NONE, 3, "none zlib zstd", "of pages in multifd packets") \
    F(MODE, "mode", 0, 1, "normal cpr-reboot cpr-transfer", "kind of migration")                                       \
    F(ZERO_PAGE_DETECTION, "zero-page-detection", GW_ZERO_MULTIFD, 3, "none legacy multifd", "who looks for zero pages")

/* F(FIELD, "qmp-name", supported, "help"): an unsupported one accepts only the empty text. */
#define GW_STRING_PARAMETERS(F)                                                                                        \
    F(TLS_CREDS, "tls-creds", false, "directory of TLS credentials; empty: no TLS")                                    \
    F(TLS_HOSTNAME, "tls-hostname", false, "name that the peer's certificate must have")                               \
    F(TLS_AUTHZ, "tls-authz", false, "authorization of the peer's name")

/* F("qmp-name", type, "help"): known to a peer, but not supported by this build: can be neither set nor read. */
#define GW_ABSENT_PARAMETERS(F)                                                                                        \
    F("block-bitmap-mapping", STRING, "aliases of nodes and dirty bitmaps")

enum gw_parameter {
#define F(name, ...) GW_PARAM_##name,
    GW_INT_PARAMETERS(F) GW_BOOL_PARAMETERS(F) GW_ENUM_PARAMETERS(F)
#undef F
        GW_PARAM_COUNT
};

enum gw_string_parameter {
#define F(name, ...) GW_STRING_##name,
    GW_STRING_PARAMETERS(F)
#undef F
        GW_STRING_COUNT
};
#define GW_STRING_SIZE 256

bool gw_options_cap(const struct gw_options *o, enum gw_capability c);      /* any thread, lock-free */
/* the same; booleans are 0 or 1, enums count from 0 */
uint64_t gw_options_param(const struct gw_options *o, enum gw_parameter p);
enum gw_zero_detection gw_options_zero_detection(const struct gw_options *o);
/* buf has GW_STRING_SIZE bytes. Any thread. */
void gw_options_string(const struct gw_options *o, enum gw_string_parameter p, char *buf);
/* Called before a parameter changes: an error refuses the whole set of changes. Called under the lock of the options,
 * so fn must not read options. Each parameter has one watcher, the one that was set last; fn NULL: removes the watcher
 * with this opaque. */
typedef int (*gw_options_watch_fn)(void *opaque, uint64_t value, struct gw_error *err);
void gw_options_watch(struct gw_options *o, enum gw_parameter p, gw_options_watch_fn fn, void *opaque);
/* Called before a capability is turned on: an error refuses the whole set of changes. Called under the lock of the
 * options, so fn must not read options. One guard for each capability, as long as the options live. */
typedef int (*gw_options_guard_fn)(void *opaque, struct gw_error *err);
void gw_options_guard(struct gw_options *o, enum gw_capability c, gw_options_guard_fn fn, void *opaque);
/* While locked, capabilities cannot change. Locks nest. */
void gw_options_lock(struct gw_options *o, bool lock);

#endif

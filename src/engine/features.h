/* SPDX-License-Identifier: MIT
 *
 * features: all capabilities, what each needs, and what it cannot be combined with.
 *
 * Two tables: GW_FEATURES names the capabilities, the rules in features.c say which sets of them make sense, and
 * why. docs/features.md is printed from both. A new feature is a row here, its rules there, a plug in its folder and a
 * line in plan.c; no other code tests capabilities.
 *
 * Threads: everything is constant.
 */
#ifndef GW_ENGINE_FEATURES_H
#define GW_ENGINE_FEATURES_H

#include "base/base.h"

/* F(NAME, "qmp-name", whether this build supports it, "what it does") */
#define GW_FEATURES(F)                                                                                                 \
    F(XBZRLE, "xbzrle", true,  "of pages that changed a little, only the differences are sent")                        \
    F(RDMA_PIN_ALL, "rdma-pin-all", false, "RDMA: all memory is pinned beforehand")                                    \
    F(AUTO_CONVERGE, "auto-converge", true, "a guest that dirties faster than the link is slowed down")                \
    F(ZERO_BLOCKS, "zero-blocks", true, "block migration: blocks of zeros are sent without contents")                  \
    F(COMPRESS, "compress", GW_HAVE_ZPAGE, "pages are compressed by threads, one by one")                              \
    F(EVENTS, "events", true, "QMP events MIGRATION and MIGRATION_PASS")                                               \
    F(POSTCOPY_RAM, "postcopy-ram", true, "the guest may run at the destination before all its pages are there")       \
    F(COLO, "x-colo", false, "a second machine is kept a checkpoint behind")                                           \
    F(RELEASE_RAM, "release-ram", true, "postcopy: the source gives memory that the destination has back to its host") \
    F(BLOCK, "block", true, "disks are sent with the machine")                                                         \
    F(RETURN_PATH, "return-path", true, "the destination sends answers over the same connection")                      \
    F(PAUSE_BEFORE_SWITCHOVER, "pause-before-switchover", true, "after the guest stopped, the source waits for migrate-continue") \
    F(MULTIFD, "multifd", true, "pages go over several channels")                                                      \
    F(DIRTY_BITMAPS, "dirty-bitmaps", true, "the bitmaps of incremental backups are sent")                             \
    F(POSTCOPY_BLOCKTIME, "postcopy-blocktime", true, "how long vCPUs waited for pages is measured")                   \
    F(LATE_BLOCK_ACTIVATE, "late-block-activate", true, "disks are taken over when the machine starts")                \
    F(IGNORE_SHARED, "x-ignore-shared", true, "memory that both sides map stays where it is")                          \
    F(VALIDATE_UUID, "validate-uuid", true, "the machines' UUIDs must be equal")                                       \
    F(BACKGROUND_SNAPSHOT, "background-snapshot", true,  "saves the machine as it is now, while it keeps running")     \
    F(ZERO_COPY_SEND, "zero-copy-send", true, "multifd: the kernel sends from guest memory")                           \
    F(POSTCOPY_PREEMPT, "postcopy-preempt", true, "postcopy: pages that the guest waits for have their own channel")   \
    F(SWITCHOVER_ACK, "switchover-ack", true, "the destination says when it is ready for the switch-over")             \
    F(DIRTY_LIMIT, "dirty-limit", true, "each vCPU may dirty only vcpu-dirty-limit of memory a second")                \
    F(MAPPED_RAM, "mapped-ram", true, "pages have fixed places in the file")                                           \
    F(ADAPTIVE_COMPRESSION, "x-godwit-adaptive-compression", true,                                                     \
      "each multifd channel measures whether compression pays, and how much")                                          \
    F(TENDED_CONVERGENCE, "x-godwit-tended-convergence", true,                                                         \
      "a guest that does not fit its downtime limit gets a higher limit, and is slowed down if that is not enough")

enum gw_capability {
#define F(name, text, supported, help) GW_CAP_##name,
    GW_FEATURES(F)
#undef F
        GW_CAP_COUNT
};

struct gw_feature {
    const char *name, *help;
    bool supported;
};
const struct gw_feature *gw_feature(enum gw_capability c);

/* A rule: where `with` is on, `needs` must be and none of `not_with` may be. One of the two is 0; bits are 1 << GW_CAP_x. */
struct gw_feature_rule {
    uint64_t with, needs, not_with;
    const char *why; /* follows "cannot be on together with ...: " or "needs ..., which is off: " */
};
/* The i-th rule; NULL behind the last. */
const struct gw_feature_rule *gw_feature_rule(size_t i);

/* Whether these capabilities (bits GW_CAP_x) and parameters (GW_PARAM_COUNT of them, options.h) can be used together.
 * -EINVAL: they conflict; -ERANGE: a parameter exceeds a limit that another one sets. */
int gw_features_judge(uint64_t caps, const uint64_t *params, struct gw_error *err);

#endif

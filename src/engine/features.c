/* SPDX-License-Identifier: MIT */
#include "engine/features.h"

#include "engine/options.h"
#include "ram/codec/zpage.h"

#define BIT(c) (1ull << GW_CAP_##c)

static const struct gw_feature features[] = {
#define F(id, text, can, what) {.name = text, .help = what, .supported = can},
    GW_FEATURES(F)
#undef F
};

_Static_assert(GW_CAP_COUNT <= 64, "capabilities are bits of one word");

#define SNAPSHOT_NOT_WITH                                                                                              \
    (BIT(POSTCOPY_RAM) | BIT(DIRTY_BITMAPS) | BIT(POSTCOPY_BLOCKTIME) | BIT(LATE_BLOCK_ACTIVATE) | BIT(RETURN_PATH) |  \
     BIT(MULTIFD) | BIT(PAUSE_BEFORE_SWITCHOVER) | BIT(AUTO_CONVERGE) | BIT(RELEASE_RAM) | BIT(RDMA_PIN_ALL) |         \
     BIT(COMPRESS) | BIT(XBZRLE) | BIT(COLO) | BIT(VALIDATE_UUID) | BIT(ZERO_COPY_SEND))

static const struct gw_feature_rule rules[] = {
    {BIT(BACKGROUND_SNAPSHOT), 0, SNAPSHOT_NOT_WITH, "Background-snapshot is not compatible with %s"},
    {BIT(POSTCOPY_RAM), 0, BIT(IGNORE_SHARED), "Postcopy is not compatible with ignore-shared"},
    {BIT(POSTCOPY_RAM), 0, BIT(MULTIFD), "Postcopy is not yet compatible with multifd"},
    {BIT(ZERO_COPY_SEND), BIT(MULTIFD), 0, "Capability zero-copy-send needs capability multifd"},
    {BIT(ZERO_COPY_SEND), 0, BIT(XBZRLE) | BIT(COMPRESS),
     "Capability zero-copy-send sends pages as they are in memory: turn %s off"},
    {BIT(POSTCOPY_PREEMPT), BIT(POSTCOPY_RAM), 0, "Postcopy preempt requires postcopy-ram"},
    {BIT(POSTCOPY_PREEMPT), 0, BIT(COMPRESS), "Postcopy preempt not compatible with compress"},
    {BIT(MULTIFD), 0, BIT(COMPRESS), "Multifd is not compatible with compress"},
    {BIT(MULTIFD), 0, BIT(XBZRLE), "Multifd is not compatible with xbzrle"},
    {BIT(SWITCHOVER_ACK), BIT(RETURN_PATH), 0, "Capability 'switchover-ack' requires capability 'return-path'"},
    {BIT(DIRTY_LIMIT), 0, BIT(AUTO_CONVERGE),
     "dirty-limit conflicts with auto-converge either of then available currently"},
    {BIT(ADAPTIVE_COMPRESSION), BIT(MULTIFD), 0, "Capability 'x-godwit-adaptive-compression' requires capability 'multifd'"},
    {BIT(MAPPED_RAM), 0, BIT(XBZRLE), "Mapped-ram migration is incompatible with xbzrle"},
    {BIT(MAPPED_RAM), 0, BIT(COMPRESS), "Mapped-ram migration is incompatible with %s"},
    {BIT(MAPPED_RAM), 0, BIT(POSTCOPY_RAM), "Mapped-ram migration is incompatible with postcopy"},
};

const struct gw_feature *gw_feature(enum gw_capability c)
{
    return &features[c];
}

const struct gw_feature_rule *gw_feature_rule(size_t i)
{
    return i < GW_ARRAY_LEN(rules) ? &rules[i] : NULL;
}

static int refuse(const char *text, struct gw_error *err)
{
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s", text);
}

static int judge_rule(const struct gw_feature_rule *rule, uint64_t caps, struct gw_error *err)
{
    const char *name = strstr(rule->text, "%s");
    uint64_t clash = caps & rule->not_with;

    if (!(caps & rule->with) || (!clash && !(rule->needs & ~caps)))
        return 0;
    if (!name)
        return refuse(rule->text, err);
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%.*s%s%s", (int)(name - rule->text), rule->text,
                   features[__builtin_ctzll(clash)].name, name + 2);
}

int gw_features_judge(uint64_t caps, const uint64_t *params, struct gw_error *err)
{
    bool packed = params[GW_PARAM_MULTIFD_COMPRESSION] != GW_MULTIFD_NONE;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < GW_ARRAY_LEN(rules); i++)
        r = judge_rule(&rules[i], caps, err);
    if (r < 0)
        return r;
    if ((caps & BIT(ZERO_COPY_SEND)) && packed)
        return refuse("Capability zero-copy-send sends pages as they are in memory: set multifd-compression to none", err);
    if ((caps & BIT(MAPPED_RAM)) && packed)
        return refuse("Mapped-ram only available for non-compressed non-TLS multifd migration", err);
    if (params[GW_PARAM_MAX_CPU_THROTTLE] < params[GW_PARAM_CPU_THROTTLE_INITIAL])
        return gw_fail(err, -ERANGE, GW_BLAME_CALLER,
                       "Parameter 'max-cpu-throttle' expects an integer in the range of cpu-throttle-initial "
                       "(%" PRIu64 ") to 99",
                       params[GW_PARAM_CPU_THROTTLE_INITIAL]);
    if (!gw_is_pow2(params[GW_PARAM_XBZRLE_CACHE_SIZE]))
        return refuse("Parameter 'xbzrle-cache-size' expects a power of two no less than the target page size", err);
    return 0;
}

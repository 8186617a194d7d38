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
    {BIT(BACKGROUND_SNAPSHOT), 0, SNAPSHOT_NOT_WITH, "a snapshot goes out in one pass, and its machine stays here"},
    {BIT(BLOCK), 0, BIT(BACKGROUND_SNAPSHOT), "disks cannot be sent as they were at the moment of the snapshot"},
    {BIT(BLOCK), 0, BIT(MAPPED_RAM), "its file format has no place for disks"},
    {BIT(POSTCOPY_RAM), 0, BIT(IGNORE_SHARED), "memory that is not sent cannot be asked for"},
    {BIT(ZERO_COPY_SEND), BIT(MULTIFD), 0, "only multifd channels can send without copying"},
    {BIT(ZERO_COPY_SEND), 0, BIT(XBZRLE) | BIT(COMPRESS), "pages are sent as they are in memory"},
    {BIT(POSTCOPY_PREEMPT), BIT(POSTCOPY_RAM), 0, "only in postcopy does the guest wait for pages"},
    {BIT(POSTCOPY_PREEMPT), 0, BIT(COMPRESS), "pages that compression threads finish go out on the main channel"},
    {BIT(MULTIFD), 0, BIT(COMPRESS), "its channels compress by multifd-compression"},
    {BIT(MULTIFD), 0, BIT(XBZRLE), "differences go over the main channel"},
    {BIT(SWITCHOVER_ACK), BIT(RETURN_PATH), 0, "the destination acknowledges on it"},
    {BIT(DIRTY_LIMIT), 0, BIT(AUTO_CONVERGE), "both slow the guest down"},
    {BIT(ADAPTIVE_COMPRESSION), BIT(MULTIFD), 0, "only multifd channels choose how to compress"},
    {BIT(MAPPED_RAM), 0, BIT(XBZRLE) | BIT(COMPRESS), "each page has its fixed place in the file, as it is in memory"},
    {BIT(MAPPED_RAM), 0, BIT(POSTCOPY_RAM), "a file cannot ask for pages"},
};

const struct gw_feature *gw_feature(enum gw_capability c)
{
    return &features[c];
}

const struct gw_feature_rule *gw_feature_rule(size_t i)
{
    return i < GW_ARRAY_LEN(rules) ? &rules[i] : NULL;
}

static const char *first_of(uint64_t set)
{
    return features[__builtin_ctzll(set)].name;
}

static int judge_rule(const struct gw_feature_rule *rule, uint64_t caps, struct gw_error *err)
{
    uint64_t clash = caps & rule->not_with, lacks = rule->needs & ~caps;

    if (!(caps & rule->with) || (!clash && !lacks))
        return 0;
    return clash ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "capability %s cannot be on together with %s: %s",
                           first_of(rule->with), first_of(clash), rule->why)
                 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "capability %s needs %s, which is off: %s", first_of(rule->with),
                           first_of(lacks), rule->why);
}

static int refuse(const char *text, struct gw_error *err)
{
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s", text);
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
        return refuse("capability zero-copy-send sends pages as they are in memory: set multifd-compression to none", err);
    if ((caps & BIT(MAPPED_RAM)) && packed)
        return refuse("capability mapped-ram keeps pages as they are in memory: set multifd-compression to none", err);
    if (params[GW_PARAM_MAX_CPU_THROTTLE] < params[GW_PARAM_CPU_THROTTLE_INITIAL])
        return gw_fail(err, -ERANGE, GW_BLAME_CALLER,
                       "parameter max-cpu-throttle (%" PRIu64 ") is below cpu-throttle-initial (%" PRIu64 "): raise it, or lower the other",
                       params[GW_PARAM_MAX_CPU_THROTTLE], params[GW_PARAM_CPU_THROTTLE_INITIAL]);
    if (!gw_is_pow2(params[GW_PARAM_XBZRLE_CACHE_SIZE]))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "parameter xbzrle-cache-size: a cache of %" PRIu64 " bytes cannot be made, only "
                       "one of a page, two, four and so on", params[GW_PARAM_XBZRLE_CACHE_SIZE]);
    return 0;
}

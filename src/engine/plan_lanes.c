/* SPDX-License-Identifier: MIT */
#include "engine/plan_lanes.h"

#include "ram/codec/deflate.h"
#include "ram/codec/plain.h"
#include "ram/codec/transport.h"
#include "ram/codec/xbzrle.h"
#include "ram/codec/zero.h"
#include "ram/layout/mapped.h"
#include "ram/layout/packet.h"
#include "ram/layout/stream.h"

#define DIRECT_WRITERS 4u

static int add_zero(struct gw_lane *lane, struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_zero_new(&codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

static int add_plain(struct gw_lane *lane, struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_plain_new(&codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

static int resize_xbzrle(void *opaque, uint64_t value, struct gw_error *err)
{
    return gw_xbzrle_resize(opaque, value, err);
}

static int add_xbzrle(struct gw_plan *plan, struct gw_vm *vm, struct gw_lane *lane, struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_xbzrle_new(&vm->ram, gw_options_param(vm->options, GW_PARAM_XBZRLE_CACHE_SIZE), &vm->clock, &codec,
                                err);

    if (r >= 0)
        r = gw_lane_add(lane, codec, err);
    if (r < 0)
        return r;
    plan->options = vm->options;
    plan->xbzrle = codec;
    gw_options_watch(vm->options, GW_PARAM_XBZRLE_CACHE_SIZE, resize_xbzrle, codec);
    return 0;
}

static int add_deflate(struct gw_vm *vm, struct gw_lane *lane, struct gw_error *err)
{
    const struct gw_deflate_config config = {
        .level = (unsigned)gw_options_param(vm->options, GW_PARAM_COMPRESS_LEVEL),
        .threads = (unsigned)gw_options_param(vm->options, GW_PARAM_COMPRESS_THREADS),
        .wait = gw_options_param(vm->options, GW_PARAM_COMPRESS_WAIT_THREAD),
    };
    struct gw_codec *codec = NULL;
    int r = gw_codec_deflate_new(&vm->ram, &config, &vm->clock, &codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

static int add_transport(struct gw_plan *plan, struct gw_vm *vm, struct gw_account *account, struct gw_lane *lane,
                         struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_transport_new(vm->transport, plan->cancel, account, &codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

/* The codecs of a lane, in the order of its chain. */
enum { TRANSPORT = 1, ZERO = 2, XBZRLE = 4, DEFLATE = 8, PLAIN = 16 };

static int make_lane(struct gw_plan *plan, struct gw_vm *vm, struct gw_account *account, struct gw_layout *take_layout,
                     unsigned codecs, struct gw_lane **ret, struct gw_error *err)
{
    struct gw_lane *lane = NULL;
    int r = gw_lane_new(take_layout, &lane, err);

    if (r >= 0 && codecs & TRANSPORT)
        r = add_transport(plan, vm, account, lane, err);
    if (r >= 0 && codecs & ZERO)
        r = add_zero(lane, err);
    if (r >= 0 && codecs & XBZRLE)
        r = add_xbzrle(plan, vm, lane, err);
    if (r >= 0 && codecs & DEFLATE)
        r = add_deflate(vm, lane, err);
    if (r >= 0 && codecs & PLAIN)
        r = add_plain(lane, err);
    if (r < 0) {
        gw_lane_free(lane);
        return r;
    }
    *ret = lane;
    return 0;
}

/* Adds the lane of the main stream. */
static int add_main_lane(struct gw_plan *plan, struct gw_vm *vm, struct gw_account *account, bool zeros, struct gw_lanes *lanes,
                         struct gw_error *err)
{
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, account, layout,
                      (gw_plan_by_transport(vm) ? TRANSPORT : 0) | (zeros ? ZERO : 0) |
                          (gw_options_cap(vm->options, GW_CAP_XBZRLE) ? XBZRLE : 0) |
                          (gw_options_cap(vm->options, GW_CAP_COMPRESS) ? DEFLATE : 0) | PLAIN,
                      &lane, err);
    return r < 0 ? r : gw_lanes_add(lanes, lane, err);
}

/* Adds the page channels, and the lane of the main stream beside them. */
static int add_page_lanes(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, bool zeros,
                          struct gw_lanes *lanes, struct gw_error *err)
{
    /* If lanes follow, all pages of a host page must travel on the same lane. */
    bool packed = plan->ways.lanes_follow ||
                  (pages->profile->multifd_zeros && gw_options_zero_detection(vm->options) == GW_ZERO_MULTIFD);
    struct gw_packet_config config = {.rule = pages->profile->multifd_rounds ? GW_SYNC_ROUNDS : GW_SYNC_SECTIONS,
                                      .zeros = packed,
                                      .count = pages->count};
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_layout_front_new(&vm->ram, config.rule, zeros && !packed, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, NULL, layout, zeros && !packed ? ZERO : 0, &lane, err);
    if (r >= 0)
        gw_lanes_set_front(lanes, lane);
    for (; r >= 0 && config.index < pages->count; config.index++) {
        r = gw_plan_packer(vm, pages, config.index, &config.take_packing, err);
        if (r >= 0)
            r = gw_layout_packet_new(&vm->ram, &config, &layout, err);
        if (r >= 0)
            r = make_lane(plan, vm, NULL, layout, (zeros && packed ? ZERO : 0) | PLAIN, &lane, err);
        if (r >= 0)
            r = gw_lanes_add(lanes, lane, err);
    }
    return r;
}

/* Requested pages do not wait behind other pages. */
static int add_urgent_lane(struct gw_plan *plan, struct gw_vm *vm, bool zeros, struct gw_lanes *lanes, struct gw_error *err)
{
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, NULL, layout, (zeros ? ZERO : 0) | PLAIN, &lane, err);
    if (r >= 0)
        gw_lanes_set_urgent(lanes, lane);
    return r;
}

/* They share only the map and the disk. With direct I/O several writers keep the disk busier. */
static unsigned file_lanes(const struct gw_vm *vm)
{
    uint64_t n = gw_options_param(vm->options, GW_PARAM_MULTIFD_CHANNELS);

    if (gw_options_cap(vm->options, GW_CAP_MULTIFD))
        return (unsigned)GW_MIN(n, (uint64_t)GW_LANES_MAX);
    return gw_options_param(vm->options, GW_PARAM_DIRECT_IO) ? DIRECT_WRITERS : 1;
}

static int add_file_lanes(struct gw_plan *plan, struct gw_vm *vm, unsigned count, bool zeros, struct gw_lanes *lanes,
                          struct gw_error *err)
{
    struct gw_mapped *mapped = NULL;
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_mapped_new(&vm->ram, &mapped, err);

    for (unsigned i = 0; r >= 0 && i < count; i++) {
        r = gw_layout_mapped_new(mapped, &layout, err);
        if (r >= 0)
            r = make_lane(plan, vm, NULL, layout, (zeros ? ZERO : 0) | PLAIN, &lane, err);
        if (r >= 0)
            r = gw_lanes_add(lanes, lane, err);
    }
    gw_mapped_unref(mapped);
    return r;
}

/* Whether writers use zero copy: the kernel reads the pages itself. */
static int judge_zerocopy(const struct gw_vm *vm, const struct gw_plan_pages *pages, bool *ret, struct gw_error *err)
{
    uint64_t bytes = gw_lanes_body_bytes(pages->count, vm->ram.page_bytes);

    *ret = pages->count && gw_options_cap(vm->options, GW_CAP_ZERO_COPY_SEND);
    if (!*ret)
        return 0;
    if (pages->copies)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "capability zero-copy-send needs tcp:, not %s: send to a tcp: address, or turn the capability off",
                       pages->copies);
    /* The kernel counts two extra pages for each send. */
    return gw_zerocopy_check_limit(bytes + bytes / 32, err);
}

int gw_plan_lanes(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, bool zeros,
                      struct gw_lanes **ret, struct gw_error *err)
{
    bool file = gw_plan_pages_by(vm->options) == GW_PAGES_BY_FILE;
    unsigned count = file ? file_lanes(vm) : pages->count;
    struct gw_lanes_config config = count ? pages->lanes : (struct gw_lanes_config){0};
    struct gw_lanes *lanes = NULL;
    int r = judge_zerocopy(vm, pages, &config.zerocopy, err);

    if (r >= 0)
        r = gw_lanes_new(&config, &lanes, err);
    if (r >= 0)
        r = file            ? add_file_lanes(plan, vm, count, zeros, lanes, err)
            : pages->count ? add_page_lanes(plan, vm, pages, zeros, lanes, err)
                           : add_main_lane(plan, vm, pages->lanes.account, zeros, lanes, err);
    if (r >= 0 && plan->ways.lanes_follow && !gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT))
        r = add_urgent_lane(plan, vm, zeros, lanes, err);
    if (r < 0) {
        gw_lanes_free(lanes);
        return r;
    }
    *ret = lanes;
    return 0;
}

int gw_plan_lanes_in(struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_lanes_in **ret,
                         struct gw_error *err)
{
    struct gw_lanes_in *lanes = NULL;
    struct gw_layout_in *in = NULL;
    struct gw_packing *packing = NULL;
    int r = gw_lanes_in_new(&pages->lanes, &lanes, err);

    for (unsigned i = 0; r >= 0 && i < pages->count; i++) {
        r = gw_plan_packing(vm, true, pages->count, &packing, err);
        if (r >= 0)
            r = gw_layout_packet_in_new(&vm->ram, packing, &in, err);
        if (r >= 0)
            r = gw_lanes_in_add(lanes, in, err);
    }
    if (r < 0) {
        gw_lanes_in_free(lanes);
        return r;
    }
    *ret = lanes;
    return 0;
}

int gw_plan_stream_in(struct gw_vm *vm, bool guess, struct gw_layout_in **ret, struct gw_error *err)
{
    struct gw_layout_in *in = NULL;
    int r = gw_layout_stream_in_new(&vm->ram, guess, &in, err);

    if (r >= 0)
        r = gw_codec_xbzrle_decoder_new(&vm->ram, &in->decoder[GW_FORM_XBZRLE], err);
    if (r >= 0)
        r = gw_codec_deflate_decoder_new(&vm->ram, (unsigned)gw_options_param(vm->options, GW_PARAM_DECOMPRESS_THREADS),
                                         &in->decoder[GW_FORM_DEFLATE], err);
    if (r < 0 && in)
        in->free(in);
    if (r >= 0)
        *ret = in;
    return r;
}

int gw_plan_urgent(struct gw_plan *plan, struct gw_vm *vm, bool zeros, struct gw_source *source, struct gw_error *err)
{
    struct gw_urgent_config config = {.requests = plan->requests, .source = source};
    struct gw_layout *layout = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, NULL, layout, (zeros ? ZERO : 0) | PLAIN, &config.take_lane, err);
    return r < 0 ? r : gw_urgent_new(&config, &plan->urgent, err);
}

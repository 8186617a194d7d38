/* SPDX-License-Identifier: MIT */
#include "engine/plan.h"

#include "base/workers.h"
#include "engine/vm_bitmaps.h"
#include "ram/codec/deflate.h"
#include "ram/codec/packing.h"
#include "ram/codec/packing_chosen.h"
#include "ram/codec/plain.h"
#include "ram/codec/transport.h"
#include "ram/codec/xbzrle.h"
#include "ram/codec/zero.h"
#include "ram/layout/mapped.h"
#include "ram/layout/packet.h"
#include "ram/layout/stream.h"
#include "ram/layout/transport.h"
#include "ram/source/record.h"

#define FILE_READERS   4u
#define DIRECT_WRITERS 4u

enum gw_pages_by gw_plan_pages_by(const struct gw_options *options)
{
    return gw_options_cap(options, GW_CAP_MAPPED_RAM) ? GW_PAGES_BY_FILE
           : gw_options_cap(options, GW_CAP_MULTIFD)  ? GW_PAGES_BY_CHANNELS
                                                      : GW_PAGES_BY_STREAM;
}

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

static bool sends(const struct gw_vm *vm)
{
    return vm->transport && vm->transport->ops.take;
}

/* What a page becomes must not depend on what the transport took before, and its records go in one stream. */
static int check_transport(const struct gw_vm *vm, struct gw_error *err)
{
    static const enum gw_capability not_with[] = {GW_CAP_XBZRLE, GW_CAP_COMPRESS, GW_CAP_MULTIFD, GW_CAP_MAPPED_RAM,
                                                  GW_CAP_BACKGROUND_SNAPSHOT, GW_CAP_POSTCOPY_RAM};

    for (size_t i = 0; vm->transport && i < GW_ARRAY_LEN(not_with); i++)
        if (gw_options_cap(vm->options, not_with[i]))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a page transport does not go with %s", gw_feature(not_with[i])->name);
    return 0;
}

static int add_transport(struct gw_plan *plan, struct gw_vm *vm, struct gw_account *account, struct gw_lane *lane,
                         struct gw_error *err)
{
    struct gw_codec *codec = NULL;
    int r = gw_codec_transport_new(vm->transport, plan->cancel, account, &codec, err);

    return r < 0 ? r : gw_lane_add(lane, codec, err);
}

/* multifd-compression, of one of so many channels; NULL: none. */
static int make_packing(const struct gw_vm *vm, bool in, unsigned count, struct gw_packing **ret, struct gw_error *err)
{
    const struct gw_options *o = vm->options;

    *ret = NULL;
    switch (gw_options_param(o, GW_PARAM_MULTIFD_COMPRESSION)) {
    case GW_MULTIFD_ZLIB:
        return gw_packing_zlib_new(in, (int)gw_options_param(o, GW_PARAM_MULTIFD_ZLIB_LEVEL), ret, err);
    case GW_MULTIFD_ZSTD:
        return gw_packing_zstd_new(in, (int)gw_options_param(o, GW_PARAM_MULTIFD_ZSTD_LEVEL), count, ret, err);
    default:
        return 0;
    }
}

static uint64_t link_of_channel(const void *options)
{
    return gw_options_param(options, GW_PARAM_MAX_BANDWIDTH) / gw_options_param(options, GW_PARAM_MULTIFD_CHANNELS);
}

/* The same for the source's channel i. */
static int make_packer(const struct gw_vm *vm, const struct gw_plan_pages *pages, unsigned i, struct gw_packing **ret,
                       struct gw_error *err)
{
    const struct gw_options *o = vm->options;
    bool zlib = gw_options_param(o, GW_PARAM_MULTIFD_COMPRESSION) == GW_MULTIFD_ZLIB;
    const struct gw_packing_choice choice = {
        .agreed = pages->as_is,
        .link = link_of_channel,
        .opaque = o,
        .level = (int)gw_options_param(o, zlib ? GW_PARAM_MULTIFD_ZLIB_LEVEL : GW_PARAM_MULTIFD_ZSTD_LEVEL),
        .channel = i,
        .clock = &vm->clock,
        .trace = &vm->trace,
    };
    int r = make_packing(vm, false, pages->count, ret, err);

    if (r < 0 || !*ret || !gw_options_cap(o, GW_CAP_ADAPTIVE_COMPRESSION))
        return r;
    return gw_packing_chosen_new(&choice, *ret, ret, err);
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

/* Pages on the main stream. */
static int add_main_lane(struct gw_plan *plan, struct gw_vm *vm, struct gw_account *account, bool zeros, struct gw_lanes *lanes,
                         struct gw_error *err)
{
    struct gw_layout *layout = NULL;
    struct gw_lane *lane = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, account, layout,
                      (sends(vm) ? TRANSPORT : 0) | (zeros ? ZERO : 0) |
                          (gw_options_cap(vm->options, GW_CAP_XBZRLE) ? XBZRLE : 0) |
                          (gw_options_cap(vm->options, GW_CAP_COMPRESS) ? DEFLATE : 0) | PLAIN,
                      &lane, err);
    return r < 0 ? r : gw_lanes_add(lanes, lane, err);
}

/* Pages on channels of their own, and what the main stream has of them. */
static int add_page_lanes(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, bool zeros,
                          struct gw_lanes *lanes, struct gw_error *err)
{
    bool packed = pages->profile->multifd_zeros && gw_options_zero_detection(vm->options) == GW_ZERO_MULTIFD;
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
        r = make_packer(vm, pages, config.index, &config.take_packing, err);
        if (r >= 0)
            r = gw_layout_packet_new(&vm->ram, &config, &layout, err);
        if (r >= 0)
            r = make_lane(plan, vm, NULL, layout, (zeros && packed ? ZERO : 0) | PLAIN, &lane, err);
        if (r >= 0)
            r = gw_lanes_add(lanes, lane, err);
    }
    return r;
}

/* They share nothing but the map and the disk, which has more to do at a time when it is written to directly. */
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

/* Whether writers leave it to the kernel to read the pages. */
static int judge_zerocopy(const struct gw_vm *vm, const struct gw_plan_pages *pages, bool *ret, struct gw_error *err)
{
    uint64_t bytes = gw_lanes_body_bytes(pages->count, vm->ram.page_bytes);

    *ret = pages->count && gw_options_cap(vm->options, GW_CAP_ZERO_COPY_SEND);
    if (!*ret)
        return 0;
    if (pages->copies)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "capability zero-copy-send needs tcp:, not %s", pages->copies);
    /* The kernel counts two pages more for each send. */
    return gw_zerocopy_check_limit(bytes + bytes / 32, err);
}

static int make_lanes(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, bool zeros,
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
    if (r < 0) {
        gw_lanes_free(lanes);
        return r;
    }
    *ret = lanes;
    return 0;
}

static int make_lanes_in(struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_lanes_in **ret,
                         struct gw_error *err)
{
    struct gw_lanes_in *lanes = NULL;
    struct gw_layout_in *in = NULL;
    struct gw_packing *packing = NULL;
    int r = gw_lanes_in_new(&pages->lanes, &lanes, err);

    for (unsigned i = 0; r >= 0 && i < pages->count; i++) {
        r = make_packing(vm, true, pages->count, &packing, err);
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

/* What reads the main stream, with the decoders of its records. */
static int make_stream_in(struct gw_vm *vm, bool guess, struct gw_layout_in **ret, struct gw_error *err)
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

static struct gw_ram_config ram_config(struct gw_vm *vm)
{
    return (struct gw_ram_config){
        .ram = &vm->ram,
        .section_id = vm->ram_section_id,
        .postcopy = gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM),
        .ignore_shared = gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED),
    };
}

/* Sections go in by their order. */
static void add(struct gw_plan *plan, struct gw_live *live)
{
    unsigned at = plan->lives++;

    for (; at && plan->live[at - 1]->ops->order > live->ops->order; at--)
        plan->live[at] = plan->live[at - 1];
    plan->live[at] = live;
}

/* RAM, and what the machine has besides. */
static int add_all(struct gw_plan *plan, struct gw_vm *vm, const struct gw_ram_config *ram, bool send, struct gw_error *err)
{
    struct gw_live *live = NULL;
    int r = gw_ram_live_new(ram, &live, err);

    if (r >= 0)
        add(plan, live);
    live = NULL;
    if (r >= 0)
        r = send ? gw_plan_disks_send(plan, vm, &live, err) : gw_plan_disks_recv(vm, &live, err);
    if (r >= 0 && live)
        add(plan, live);
    live = NULL;
    if (r >= 0)
        r = gw_vm_bitmap_section(vm, send, &live, err);
    if (r >= 0 && live)
        add(plan, live);
    for (unsigned i = 0; r >= 0 && i < vm->lives; i++) {
        r = vm->live[i].make(vm->live[i].opaque, &live, err);
        if (r >= 0)
            add(plan, live);
    }
    if (r < 0)
        gw_plan_close(plan);
    return r;
}

/* What a live section sends while the machine runs on would not be of the moment of the snapshot. */
static int check_snapshot(const struct gw_vm *vm, struct gw_error *err)
{
    return vm->lives ? gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                               "background-snapshot: this machine has live sections besides its RAM, which cannot be saved so")
                     : 0;
}

/* A file is not given back, and a transport may still be reading pages that it took. */
static bool gives_back(const struct gw_vm *vm)
{
    return gw_options_cap(vm->options, GW_CAP_RELEASE_RAM) && gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM) &&
           !vm->guest->at_rest && !sends(vm);
}

static int make_source(struct gw_plan *plan, struct gw_vm *vm, bool snapshot, bool zeros, struct gw_source **ret,
                       struct gw_error *err)
{
    int r = snapshot ? check_snapshot(vm, err) : 0;

    if (r < 0)
        return r;
    /* Holes are pages too that a transport is asked for. */
    r = snapshot ? vm->guest->snapshot(vm, plan->cancel, ret, err) : vm->guest->source(vm, zeros && !sends(vm), ret, err);
    if (r >= 0 && gives_back(vm))
        r = gw_source_giveback_new(*ret, &vm->ram, ret, &plan->giveback, err);
    if (r >= 0 && vm->prefer)
        r = gw_source_prefer_new(*ret, &vm->ram, vm->prefer, ret, &plan->prefer, err);
    if (r >= 0 && gw_options_cap(vm->options, GW_CAP_POSTCOPY_RAM))
        r = gw_source_requests_new(*ret, &vm->ram, ret, &plan->requests, err);
    if (r >= 0 && plan->requests && vm->record)
        r = gw_source_record_new(*ret, plan->requests, &vm->ram, vm->record, ret, err);
    return r;
}

/* What is asked for, on a channel of its own. */
static int make_urgent(struct gw_plan *plan, struct gw_vm *vm, bool zeros, struct gw_source *source, struct gw_error *err)
{
    struct gw_urgent_config config = {.requests = plan->requests, .source = source};
    struct gw_layout *layout = NULL;
    int r = gw_layout_stream_new(&vm->ram, &layout, err);

    if (r >= 0)
        r = make_lane(plan, vm, NULL, layout, (zeros ? ZERO : 0) | PLAIN, &config.take_lane, err);
    return r < 0 ? r : gw_urgent_new(&config, &plan->urgent, err);
}

int gw_plan_send(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err)
{
    bool zeros = gw_options_zero_detection(vm->options) != GW_ZERO_NONE;
    struct gw_ram_config ram = ram_config(vm);
    bool snapshot = gw_options_cap(vm->options, GW_CAP_BACKGROUND_SNAPSHOT);
    int r = check_transport(vm, err);

    if (r >= 0)
        r = make_source(plan, vm, snapshot, zeros, &ram.take_source, err);
    if (r < 0) {
        gw_plan_close(plan);
        return r;
    }
    ram.transport = sends(vm) ? vm->transport : NULL;
    r = make_lanes(plan, vm, pages, zeros, &ram.take_lanes, err);
    if (r >= 0 && gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT)) {
        r = make_urgent(plan, vm, zeros, ram.take_source, err);
        if (r < 0)
            gw_lanes_free(ram.take_lanes);
    }
    if (r >= 0) {
        r = add_all(plan, vm, &ram, true, err);
        plan->snapshot = r >= 0 && snapshot ? plan->live[0] : NULL;
        return r;
    }
    ram.take_source->free(ram.take_source);
    gw_plan_close(plan);
    return r;
}

int gw_plan_recv(struct gw_plan *plan, struct gw_vm *vm, const struct gw_plan_pages *pages, struct gw_error *err)
{
    struct gw_ram_config ram = ram_config(vm);
    bool hooked = vm->transport && vm->transport->ops.record;
    int r = check_transport(vm, err);

    if (r >= 0)
        r = ram.postcopy && vm->guest->store_following ? vm->guest->store_following(vm, &pages->asks, &ram.take_store, err)
                                                       : vm->guest->store(vm, &ram.take_store, err);
    if (r < 0)
        return r;
    /* What is guessed at on the main stream may just be arriving on another channel. */
    r = gw_plan_pages_by(vm->options) == GW_PAGES_BY_FILE
            ? gw_layout_mapped_in_new(&vm->ram, gw_workers_threads(0, FILE_READERS),
                                      gw_options_param(vm->options, GW_PARAM_DIRECT_IO), &ram.take_in, err)
            : make_stream_in(vm, !pages->count && !hooked, &ram.take_in, err);
    if (r >= 0 && hooked)
        r = gw_layout_transport_hook_new(&vm->ram, vm->transport, &ram.take_in->hook, err);
    if (r >= 0 && pages->count)
        r = make_lanes_in(vm, pages, &ram.take_lanes_in, err);
    plan->urgent_in = gw_options_cap(vm->options, GW_CAP_POSTCOPY_PREEMPT);
    if (r >= 0 && plan->urgent_in)
        r = gw_layout_stream_in_new(&vm->ram, false, &ram.take_urgent_in, err);
    if (r < 0) {
        gw_lanes_in_free(ram.take_lanes_in);
        if (ram.take_in)
            ram.take_in->free(ram.take_in);
        ram.take_store->free(ram.take_store);
        return r;
    }
    ram.adopt = vm->guest->adopt;
    ram.any_host_pages = vm->guest->at_rest;
    ram.opaque = vm;
    return add_all(plan, vm, &ram, false, err);
}

struct gw_progress gw_plan_progress(const struct gw_plan *plan)
{
    struct gw_progress sum = {0};

    for (unsigned i = 0; i < plan->lives; i++)
        plan->live[i]->ops->progress(plan->live[i], &sum);
    if (plan->urgent)
        gw_urgent_progress(plan->urgent, &sum);
    return sum;
}

void gw_plan_close(struct gw_plan *plan)
{
    if (plan->xbzrle)
        gw_options_watch(plan->options, GW_PARAM_XBZRLE_CACHE_SIZE, NULL, plan->xbzrle);
    gw_urgent_free(plan->urgent);
    for (unsigned i = 0; i < plan->lives; i++)
        plan->live[i]->ops->free(plan->live[i]);
    *plan = (struct gw_plan){0};
}

/* SPDX-License-Identifier: MIT */
#include "ram/codec/packing_chosen.h"

#include "policy/choose.h"

#include <stdio.h>
#include <time.h>

#define AS_IT_IS (-1)

struct chosen {
    struct gw_packing packing;
    struct gw_packing_choice choice;
    struct gw_packing *inner;
    struct gw_choose choose;
    int level[GW_CHOOSE_WAYS]; /* compression level of each way */
    struct gw_choose_sample sample; /* of the current packet */
    uint64_t packed_ns;             /* when it was compressed */
};

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * GW_NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct chosen *of(struct gw_packing *p)
{
    return GW_CONTAINER(p, struct chosen, packing);
}

static unsigned allowed(const struct chosen *c)
{
    bool agreed = atomic_load_explicit(c->choice.agreed, memory_order_relaxed);
    unsigned bits = 1;

    for (unsigned i = 1; i < c->choose.ways; i++)
        if (c->level[i] == AS_IT_IS ? agreed : agreed ? c->level[i] != 0 : c->packing.coding == GW_PACKET_ZLIB)
            bits |= 1u << i;
    return bits;
}

static int pack(struct gw_packing *packing, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err)
{
    struct chosen *c = of(packing);
    int level = c->level[gw_choose_next(&c->choose, allowed(c))], r = 0;
    uint64_t began_ns = cpu_ns();

    *ret_bytes = 0;
    if (level != AS_IT_IS)
        r = c->inner->set_level(c->inner, level, err);
    if (r >= 0 && level != AS_IT_IS)
        r = c->inner->pack(c->inner, page, n, page_bytes, dst, room, ret_bytes, err);
    c->sample = (struct gw_choose_sample){.page_bytes = (uint64_t)n * page_bytes,
                                          .wire_bytes = *ret_bytes ? *ret_bytes : (uint64_t)n * page_bytes,
                                          .cpu_ns = cpu_ns() - began_ns};
    c->packed_ns = gw_now_ns(c->choice.clock);
    return r;
}

static void tell(const struct chosen *c)
{
    int level = c->level[c->choose.best];
    char words[160];

    if (!gw_trace_wants(c->choice.trace, GW_TRACE_packing))
        return;
    if (level == AS_IT_IS)
        snprintf(words, sizeof words, "packets go as they are");
    else
        snprintf(words, sizeof words, "packets are compressed with level %d", level);
    gw_trace_packing(c->choice.trace, c->choice.channel, words, c->choose.cost_ns[c->choose.best]);
}

static void sent(struct gw_packing *packing)
{
    struct chosen *c = of(packing);

    c->sample.write_ns = gw_now_ns(c->choice.clock) - c->packed_ns;
    c->sample.link_bytes_per_s = c->choice.link(c->choice.opaque);
    if (gw_choose_sent(&c->choose, &c->sample))
        tell(c);
}

static int reset(struct gw_packing *packing, struct gw_error *err)
{
    return of(packing)->inner->reset(of(packing)->inner, err);
}

static struct gw_packing *packing_free(struct gw_packing *packing)
{
    of(packing)->inner->free(of(packing)->inner);
    free(of(packing));
    return NULL;
}

int gw_packing_chosen_new(const struct gw_packing_choice *choice, struct gw_packing *take_inner, struct gw_packing **ret,
                          struct gw_error *err)
{
    struct chosen *c = calloc(1, sizeof *c);
    unsigned ways = 0;

    if (!c) {
        take_inner->free(take_inner);
        return gw_nomem(err, "a choice of compression");
    }
    c->packing = (struct gw_packing){
        .coding = take_inner->coding, .pack = pack, .sent = sent, .reset = reset, .free = packing_free};
    c->choice = *choice;
    c->inner = take_inner;
    c->level[ways++] = choice->level;
    if (choice->level > 1)
        c->level[ways++] = 1;
    c->level[ways++] = AS_IT_IS;
    if (choice->level)
        c->level[ways++] = 0;
    gw_choose_init(&c->choose, ways);
    *ret = &c->packing;
    return 0;
}

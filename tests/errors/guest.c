/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "base/endian.h"
#include "engine/image_vm.h"
#include "engine/recv.h"
#include "wire/numbers.h"

#define RAM_MAX  (64ull << 20)
#define LOOK_MAX (1u << 20) /* bytes of each block that are read when the machine is parked */

/* ---- a source that waits ------------------------------------------------------------------------------------------
 */

struct waiting {
    struct gw_channel channel;
    struct gw_channel *under;
    bool waits;
};

static ssize_t waiting_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct gw_channel *under = ((struct waiting *)ch)->under;
    ssize_t got = under->ops->readv(under, iov, n, err);

    /* A wait without a time limit is ended nevertheless. */
    if (got == 0 && ch->timeout_ns && ((struct waiting *)ch)->waits)
        return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "nothing moved");
    return got;
}

static ssize_t waiting_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct gw_channel *under = ((struct waiting *)ch)->under;

    return under->ops->writev(under, iov, n, err);
}

static void nothing(struct gw_channel *ch)
{
}

static void waiting_free(struct gw_channel *ch)
{
    gw_channel_free(((struct waiting *)ch)->under);
    free(ch);
}

static const struct gw_channel_ops waiting_ops = {
    .kind = "waiting", .readv = waiting_readv, .writev = waiting_writev, .shutdown = nothing, .free = waiting_free};

static int wait_behind(struct gw_channel *under, bool waits, struct gw_channel **ret, struct gw_error *err)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (!w) {
        gw_channel_free(under);
        return gw_nomem(err, "channel");
    }
    gw_channel_init(&w->channel, &waiting_ops, GW_CHANNEL_DUPLEX, "feed:");
    w->under = under;
    w->waits = waits;
    *ret = &w->channel;
    return 0;
}

/* ---- a load -------------------------------------------------------------------------------------------------------
 */

struct place {
    struct gw_image *image;
    struct guest_outcome *o;
};

/* Reads everything, as a writer of a file would. */
static int park(void *opaque, struct gw_error *err)
{
    struct place *p = opaque;
    static uint8_t page[LOOK_MAX];
    int r = 0;

    p->o->parked++;
    p->o->devices_bytes = p->image->devices_bytes;
    for (unsigned i = 0; i < p->image->block_count && r >= 0; i++) {
        uint64_t pages = GW_MIN(p->image->blocks[i].pages, LOOK_MAX >> p->image->page_bits);
        uint8_t kinds[LOOK_MAX / 1024];

        r = pages ? gw_image_map(p->image, i, 0, pages, kinds, err) : 0;
        if (r >= 0 && pages)
            r = gw_image_pages(p->image, i, 0, pages, page, err);
    }
    return r;
}

/* Checks the answers to the source: complete messages, and no bytes after them. */
static void hear(const struct rig_bytes *said, struct guest_outcome *o)
{
    for (size_t at = 0; at + 4 <= said->bytes;) {
        uint16_t type = gw_load_be16(said->data + at), n = gw_load_be16(said->data + at + 2);

        o->asked = true;
        if (at + 4 + n > said->bytes)
            abort();
        if (type == GW_RP_SHUT && n == 4 && !gw_load_be32(said->data + at + 4))
            o->told = true;
        at += 4u + n;
    }
}

static struct guest_outcome load_once(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed,
                                      bool waits)
{
    struct guest_outcome o = {.err = GW_ERROR_INIT};
    /* Three time-outs, which the channel makes short. */
    struct gw_recv_config config = {.progress_timeout_ns = 3 * GW_NS_PER_S, .vmdesc_wait_ns = GW_NS_PER_S};
    struct gw_channel *feed = NULL;
    struct rig_bytes said = {0};
    struct place place = {.o = &o};
    struct gw_recv *recv = NULL;
    struct gw_vm *vm = NULL;

    o.r = gw_image_new(NULL, &place.image, &o.err);
    if (o.r < 0)
        return o;
    gw_image_set_ram_limit(place.image, RAM_MAX);
    o.r = gw_image_vm(place.image, park, &place, &vm, &o.err);
    if (o.r >= 0)
        o.r = rig_feed(data, bytes, split, seed, &said, &feed, &o.err);
    if (o.r >= 0)
        o.r = wait_behind(feed, waits, &config.take_channel, &o.err);
    if (o.r < 0)
        abort();
    o.bytes = bytes;
    o.cpu_ns = rig_cpu_ns();
    o.r = gw_options_set_bool(gw_vm_options(vm), "postcopy-ram", true, &o.err);
    if (o.r < 0)
        abort();
    o.r = gw_recv_new(vm, &config, &recv, &o.err);
    if (o.r < 0)
        abort();
    gw_recv_main(recv);
    o.cpu_ns = rig_cpu_ns() - o.cpu_ns;
    o.r = gw_recv_wait(recv, &o.err);
    o.owner = gw_recv_owner(recv);
    o.status = gw_recv_status(recv);
    o.lacking_bytes = gw_image_lacking(place.image);
    gw_recv_free(recv);
    hear(&said, &o);
    free(said.data);
    gw_image_free(place.image);
    return o;
}

struct guest_outcome guest_load(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed, bool waits)
{
    struct guest_outcome o = load_once(data, bytes, split, seed, waits);

    for (unsigned i = 0; i < 3 && rig_took_too_long(o.cpu_ns, bytes); i++) /* as in rig_load */
        o.cpu_ns = GW_MIN(o.cpu_ns, load_once(data, bytes, split, seed, waits).cpu_ns);
    return o;
}

const char *guest_judge(const struct guest_outcome *o)
{
    if (rig_took_too_long(o->cpu_ns, o->bytes))
        return "took too long";
    if (o->parked > 1)
        return "was parked more than once";
    if (o->r >= 0)
        return o->status != GW_STATUS_COMPLETED || o->owner != GW_OWNER_DESTINATION || !o->parked ||
                       (o->asked && !o->told)
                   ? "the end is no end"
                   : NULL;
    if (o->told)
        return "the source was told that its machine is here, and it is not";
    if (!o->lacking_bytes != (o->owner != GW_OWNER_DESTINATION) || o->status != GW_STATUS_FAILED)
        return "the end is not a failure";
    if (o->err.code != o->r || o->err.blame == GW_BLAME_NONE)
        return "no code or nobody to blame";
    if (o->r == -ENOMEM && !strstr(o->err.text, "are allowed"))
        return "asked for too much memory";
    return rig_vague(o->err.text);
}

/* SPDX-License-Identifier: MIT
 *
 * The registers of the block device, and its migrated state.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "machine/internal.h"
#include "machine/virtio.h"

enum {
    REG_MAGIC = 0x000, REG_VERSION = 0x004, REG_DEVICE = 0x008, REG_VENDOR = 0x00c,
    REG_DEVICE_FEATURES = 0x010, REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020, REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030, REG_QUEUE_NUM_MAX = 0x034, REG_QUEUE_NUM = 0x038, REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050, REG_INTERRUPT_STATUS = 0x060, REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080, REG_QUEUE_AVAIL = 0x090, REG_QUEUE_USED = 0x0a0,
    REG_CONFIG_GENERATION = 0x0fc, REG_CONFIG = 0x100,
};

enum { STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8, STATUS_NEEDS_RESET = GW_VIRTIO_NEEDS_RESET };

#define FEATURE_READONLY  (1ull << 5)
#define FEATURE_FLUSH     (1ull << 9)
#define FEATURE_MQ        (1ull << 12)
#define FEATURE_VERSION_1 (1ull << 32)

static uint64_t device_features(const struct gw_virtio_blk *b)
{
    return FEATURE_VERSION_1 | FEATURE_MQ | FEATURE_FLUSH | (b->disk.readonly ? FEATURE_READONLY : 0);
}

static uint32_t config_read(const struct gw_virtio_blk *b, uint64_t offset, unsigned bytes)
{
    uint8_t config[64] = {0};
    uint16_t queues = (uint16_t)b->machine->cpus;
    uint32_t value = 0;

    memcpy(config, &b->state.capacity_sectors, 8);
    memcpy(config + 34, &queues, 2);
    if (offset + bytes <= sizeof(config))
        memcpy(&value, config + offset, bytes);
    return value;
}

uint32_t gw_virtio_blk_read(struct gw_virtio_blk *b, uint64_t offset, unsigned bytes)
{
    struct gw_virtio_state *s = &b->state;
    uint32_t value = 0;

    if (offset >= REG_CONFIG)
        return config_read(b, offset - REG_CONFIG, bytes);
    if (bytes != 4)
        return 0;
    pthread_mutex_lock(&b->lock);
    const struct gw_virtio_queue *q = s->queue_sel < b->machine->cpus ? &s->queue[s->queue_sel] : NULL;
    switch (offset) {
    case REG_MAGIC:
        value = 0x74726976;
        break;
    case REG_VERSION:
    case REG_DEVICE:
        value = 2;
        break;
    case REG_VENDOR:
        value = 0x74697764;
        break;
    case REG_DEVICE_FEATURES:
        value = s->device_feature_sel < 2 ? (uint32_t)(device_features(b) >> s->device_feature_sel * 32) : 0;
        break;
    case REG_QUEUE_NUM_MAX:
        value = q ? GW_VIRTIO_QUEUE_MAX : 0;
        break;
    case REG_QUEUE_READY:
        value = q && q->ready;
        break;
    case REG_STATUS:
        value = s->status;
        break;
    default: /* interrupts are never raised, the configuration never changes */
        break;
    }
    pthread_mutex_unlock(&b->lock);
    return value;
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
    *reg = high ? (*reg & 0xffffffffull) | (uint64_t)value << 32 : (*reg & ~0xffffffffull) | value;
}

static void set_status(struct gw_virtio_blk *b, uint32_t value)
{
    struct gw_virtio_state *s = &b->state;

    if (!value) {
        /* A reset waits until requests in progress have ended. */
        while (b->busy)
            pthread_cond_wait(&b->changed, &b->lock);
        uint64_t capacity = s->capacity_sectors;
        memset(s, 0, sizeof(*s));
        s->capacity_sectors = capacity;
        b->notified = 0;
        return;
    }
    if ((value & STATUS_FEATURES_OK) && ((s->driver_features & ~device_features(b)) || !(s->driver_features & FEATURE_VERSION_1)))
        value &= ~(uint32_t)STATUS_FEATURES_OK;
    s->status = value | (s->status & STATUS_NEEDS_RESET);
}

static void set_queue(struct gw_virtio_queue *q, uint64_t offset, uint32_t value)
{
    if (offset == REG_QUEUE_READY)
        q->ready = value & 1;
    else if (q->ready)
        return; /* the address of an active queue cannot change */
    else if (offset == REG_QUEUE_NUM)
        q->num = value && value <= GW_VIRTIO_QUEUE_MAX && !(value & (value - 1)) ? value : 0;
    else if (offset == REG_QUEUE_DESC || offset == REG_QUEUE_DESC + 4)
        set_half(&q->desc, offset & 4, value);
    else if (offset == REG_QUEUE_AVAIL || offset == REG_QUEUE_AVAIL + 4)
        set_half(&q->avail, offset & 4, value);
    else if (offset == REG_QUEUE_USED || offset == REG_QUEUE_USED + 4)
        set_half(&q->used, offset & 4, value);
}

void gw_virtio_blk_write(struct gw_virtio_blk *b, uint64_t offset, unsigned bytes, uint32_t value)
{
    struct gw_virtio_state *s = &b->state;

    if (bytes != 4)
        return;
    pthread_mutex_lock(&b->lock);
    switch (offset) {
    case REG_DEVICE_FEATURES_SEL:
        s->device_feature_sel = value;
        break;
    case REG_DRIVER_FEATURES_SEL:
        s->driver_feature_sel = value;
        break;
    case REG_DRIVER_FEATURES:
        if (s->driver_feature_sel < 2)
            set_half(&s->driver_features, s->driver_feature_sel, value);
        break;
    case REG_QUEUE_SEL:
        s->queue_sel = value;
        break;
    case REG_QUEUE_NOTIFY:
        if (value < b->machine->cpus && (s->status & STATUS_DRIVER_OK))
            gw_virtio_blk_notify(b, 1u << value);
        break;
    case REG_STATUS:
        set_status(b, value);
        break;
    default:
        if (s->queue_sel < b->machine->cpus)
            set_queue(&s->queue[s->queue_sel], offset, value);
        break;
    }
    pthread_mutex_unlock(&b->lock);
}

/* ---- state --------------------------------------------------------------------------------------------------------- */

static const struct gw_field queue_fields[] = {
    GW_FIELD(struct gw_virtio_queue, num),
    GW_FIELD(struct gw_virtio_queue, ready),
    GW_FIELD(struct gw_virtio_queue, desc),
    GW_FIELD(struct gw_virtio_queue, avail),
    GW_FIELD(struct gw_virtio_queue, used),
    GW_FIELD(struct gw_virtio_queue, next_avail),
    GW_FIELD(struct gw_virtio_queue, next_used),
    GW_END
};

static int queue_check(const void *device, uint32_t version, struct gw_error *err)
{
    const struct gw_virtio_queue *q = device;

    /* Its address is checked at each use. */
    if (q->num > GW_VIRTIO_QUEUE_MAX || (q->num & (q->num - 1)))
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "a queue of %" PRIu32 " descriptors: it must be a power of two up to %u",
                       q->num, (unsigned)GW_VIRTIO_QUEUE_MAX);
    return 0;
}

static const struct gw_state queue_description = {
    .name = "virtio-queue", .version = 1, .oldest = 1, .size = sizeof(struct gw_virtio_queue), .fields = queue_fields,
    .check = queue_check,
};

static const struct gw_field blk_fields[] = {
    GW_FIELD_EQUAL(struct gw_virtio_state, capacity_sectors),
    GW_FIELD(struct gw_virtio_state, status),
    GW_FIELD(struct gw_virtio_state, device_feature_sel),
    GW_FIELD(struct gw_virtio_state, driver_feature_sel),
    GW_FIELD(struct gw_virtio_state, driver_features),
    GW_FIELD(struct gw_virtio_state, queue_sel),
    GW_STRUCT_ARRAY(struct gw_virtio_state, queue, &queue_description),
    GW_END
};

/* Checks for requests that were announced but not seen; there are none if the source drained its queues. Done when the
 * machine runs. */
static void blk_loaded(void *device, uint32_t version)
{
    struct gw_virtio_blk *b = device;

    pthread_mutex_lock(&b->lock);
    if (b->state.status & STATUS_DRIVER_OK)
        b->notified = b->machine->cpus < 32 ? (1u << b->machine->cpus) - 1 : ~0u;
    pthread_mutex_unlock(&b->lock);
}

const struct gw_state gw_virtio_blk_description = {
    .name = "virtio-blk", .version = 1, .oldest = 1, .size = sizeof(struct gw_virtio_state), .fields = blk_fields,
    .loaded = blk_loaded,
};

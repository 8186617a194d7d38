/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "machine/guestmem.h"
#include "machine/internal.h"

static void set_low(uint64_t *reg, uint32_t value)
{
    *reg = (*reg & 0xffffffff00000000ull) | value;
}

static void set_high(uint64_t *reg, uint32_t value)
{
    *reg = (*reg & 0xffffffffull) | (uint64_t)value << 32;
}

/* Passes on whole lines, so that those of several vCPUs do not mix. */
static void serial_out(struct gw_vcpu *v, uint8_t c)
{
    struct gw_port_state *p = &v->port;

    p->line[p->line_bytes++] = c;
    if (c == '\n' || p->line_bytes == sizeof(p->line)) {
        gw_serial_put(v->machine->serial, p->line, p->line_bytes);
        p->line_bytes = 0;
    }
}

static void fill(struct gw_vcpu *v, uint32_t value)
{
    struct gw_port_state *p = &v->port;
    uint32_t words = value & ~GW_GUEST_FILL_SAME;
    uint64_t *word;

    if (words > GW_GUEST_PAGE_WORDS || p->fill_gpa % 8 || p->fill_gpa % GW_GUEST_PAGE + words * 8ull > GW_GUEST_PAGE)
        return;
    word = gw_machine_memory_at(v->machine, p->fill_gpa, words * 8ull);
    if (!word)
        return;
    gw_guestmem_fill(word, p->fill_key, value & GW_GUEST_FILL_SAME ? 0 : GW_GUEST_STEP, words);
    gw_memory_written(v->machine, p->fill_gpa, words * 8ull);
}

void gw_port_out(struct gw_vcpu *v, uint16_t port, unsigned bytes, uint32_t value)
{
    struct gw_port_state *p = &v->port;

    switch (port) {
    case GW_PORT_SERIAL:
        serial_out(v, (uint8_t)value);
        break;
    case GW_PORT_WAIT:
        gw_vcpu_pace_wait(v, p->virtual_ns + value * 1000ull);
        break;
    case GW_PORT_EXIT:
        gw_run_end(v, (int)value);
        break;
    case GW_PORT_DIRTIED:
        gw_vcpu_pace_dirtied(v, value);
        break;
    case GW_PORT_FILL_LOW:
        set_low(&p->fill_gpa, value);
        break;
    case GW_PORT_FILL_HIGH:
        set_high(&p->fill_gpa, value);
        break;
    case GW_PORT_KEY_LOW:
        set_low(&p->fill_key, value);
        break;
    case GW_PORT_KEY_HIGH:
        set_high(&p->fill_key, value);
        break;
    case GW_PORT_FILL:
        fill(v, value);
        break;
    default: /* no device: the write is ignored, as on a bus */
        break;
    }
}

static uint32_t poll_word(struct gw_vcpu *v)
{
    struct gw_port_state *p = &v->port;
    uint8_t word = p->poll_word;

    p->poll_word = (uint8_t)((word + 1) % GW_GUEST_POLL_WORDS);
    switch (word) {
    case GW_GUEST_POLL_WALL_LOW:
        gw_vcpu_pace_throttle(v);
        p->wall_ns = gw_clock_wall_ns();
        p->virtual_ns = gw_clock_virtual_ns(&v->machine->clock);
        return (uint32_t)p->wall_ns;
    case GW_GUEST_POLL_WALL_HIGH:
        return (uint32_t)(p->wall_ns >> 32);
    case GW_GUEST_POLL_VIRTUAL_LOW:
        return (uint32_t)p->virtual_ns;
    case GW_GUEST_POLL_VIRTUAL_HIGH:
        return (uint32_t)(p->virtual_ns >> 32);
    default:
        return v->machine->accel->features;
    }
}

uint32_t gw_port_in(struct gw_vcpu *v, uint16_t port, unsigned bytes)
{
    switch (port) {
    case GW_PORT_SERIAL_LSR:
        return 0x60;
    case GW_PORT_POLL:
        return poll_word(v);
    default:
        return 0xffffffff;
    }
}

void gw_mmio_out(struct gw_machine *m, uint64_t offset, unsigned bytes, uint32_t value)
{
    if (offset / GW_GUEST_PAGE < m->disks)
        gw_virtio_blk_write(m->disk[offset / GW_GUEST_PAGE], offset % GW_GUEST_PAGE, bytes, value);
}

uint32_t gw_mmio_in(struct gw_machine *m, uint64_t offset, unsigned bytes)
{
    if (offset / GW_GUEST_PAGE < m->disks)
        return gw_virtio_blk_read(m->disk[offset / GW_GUEST_PAGE], offset % GW_GUEST_PAGE, bytes);
    return 0;
}

static const struct gw_field port_fields[] = {
    GW_FIELD(struct gw_port_state, wall_ns),
    GW_FIELD(struct gw_port_state, virtual_ns),
    GW_FIELD(struct gw_port_state, poll_word),
    GW_FIELD(struct gw_port_state, fill_gpa),
    GW_FIELD(struct gw_port_state, fill_key),
    GW_FIELD(struct gw_port_state, line_bytes),
    GW_ARRAY_N(struct gw_port_state, line, line_bytes),
    GW_END
};

static int port_check(const void *device, uint32_t version, struct gw_error *err)
{
    const struct gw_port_state *p = device;

    if (p->line_bytes >= sizeof(p->line))
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "a line of %u bytes waits at the serial port, but it holds at most "
                       "%zu", p->line_bytes,
                       sizeof(p->line) - 1);
    if (p->poll_word >= GW_GUEST_POLL_WORDS)
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "a poll is at word %u, but it has only %u", p->poll_word, GW_GUEST_POLL_WORDS);
    return 0;
}

const struct gw_state gw_port_description = {
    .name = "ports", .version = 1, .oldest = 1, .size = sizeof(struct gw_port_state), .fields = port_fields, .check = port_check,
};

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "small_vmm.h"

/* ---- the clock ------------------------------------------------------------------------------------------------------- */

#define NEVER    UINT64_MAX
#define ALARM_NS 20000000u

static uint64_t host_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_reset(struct clock_device *c)
{
    *c = (struct clock_device){.alarm_ns = ALARM_NS};
}

void clock_run(struct clock_device *c)
{
    c->host_ns = host_now_ns();
}

void clock_advance(struct clock_device *c)
{
    uint64_t now = host_now_ns();

    c->now_ns += now - c->host_ns;
    c->host_ns = now;
    if (c->now_ns >= c->alarm_ns) {
        c->rang++;
        c->alarm_ns = c->now_ns + ALARM_NS;
    }
}

static const struct gw_field clock_fields[] = {
    GW_FIELD(struct clock_device, now_ns),
    GW_TIMER(struct clock_device, alarm_ns),
    GW_FIELD(struct clock_device, rang),
    GW_END,
};
/* Loaded before the other devices, which may compare with the time. */
static const struct gw_state clock_state = {.name = "clock", .version = 1, .oldest = 1, .priority = 1, .fields = clock_fields};

/* ---- the serial port --------------------------------------------------------------------------------------------------- */

bool uart_receive(struct uart_device *u, uint8_t byte)
{
    if (u->rx_len == sizeof u->rx)
        return false;
    u->rx[u->rx_len++] = byte;
    u->received++;
    return true;
}

bool uart_take(struct uart_device *u, uint8_t *ret_byte)
{
    if (!u->rx_len)
        return false;
    *ret_byte = u->rx[0];
    memmove(u->rx, u->rx + 1, --u->rx_len);
    return true;
}

/* The fields of the first release. A description of released streams never changes: the device gets a new version. */
static const struct gw_field uart_fields_1[] = {
    GW_FIELD(struct uart_device, ier),
    GW_FIELD(struct uart_device, divisor),
    GW_FIELD(struct uart_device, rx_len),
    GW_BYTES_N(struct uart_device, rx, rx_len),
    GW_FIELD(struct uart_device, received),
    GW_END,
};
static const struct gw_state uart_state_1 = {.name = "uart", .version = 1, .oldest = 1, .fields = uart_fields_1};

/* The second version has `mcr`: it is in every stream, so it needs a version. Streams of the first version can still be
 * read: */
static const struct gw_field uart_fields[] = {
    GW_FIELD(struct uart_device, ier),
    GW_FIELD(struct uart_device, divisor),
    GW_FIELD(struct uart_device, rx_len),
    GW_BYTES_N(struct uart_device, rx, rx_len),
    GW_FIELD(struct uart_device, received),
    GW_FIELD_SINCE(2, struct uart_device, mcr),
    GW_END,
};

/* pre_load sets the fields that they do not have. */
static int uart_pre_load(void *device, struct gw_error *err)
{
    struct uart_device *u = device;

    u->mcr = 8; /* the fixed value of the older hardware */
    u->break_pending = false;
    return 0;
}

/* A break is pending only for short times. State that is rarely needed is a subsection: a stream without it can be read
 * by any release. */
static bool uart_break_needed(const void *device)
{
    return ((const struct uart_device *)device)->break_pending;
}

static const struct gw_field uart_break_fields[] = {
    GW_FIELD(struct uart_device, break_pending),
    GW_FIELD(struct uart_device, break_ns),
    GW_END,
};
static const struct gw_state uart_break_state = {
    .name = "uart/break", .version = 1, .oldest = 1, .fields = uart_break_fields, .needed = uart_break_needed};
static const struct gw_state *const uart_subsections[] = {&uart_break_state, NULL};
static const struct gw_state uart_state = {.name = "uart", .version = 2, .oldest = 1, .fields = uart_fields,
                                           .subsections = uart_subsections, .pre_load = uart_pre_load};

/* ---- the mailbox --------------------------------------------------------------------------------------------------------- */

bool mailbox_post(struct mailbox_device *m, uint64_t gpa, uint32_t bytes)
{
    if (m->posted - m->taken == MAILBOX_SIZE)
        return false;
    m->entry[m->posted++ % MAILBOX_SIZE] = (struct mailbox_entry){.gpa = gpa, .bytes = bytes};
    return true;
}

void mailbox_work(struct mailbox_device *m, const uint8_t *ram)
{
    struct mailbox_entry *e = &m->entry[m->taken % MAILBOX_SIZE];

    if (m->taken == m->posted)
        return;
    for (uint32_t i = 0; i < e->bytes; i++)
        e->sum += ram[e->gpa + i];
    e->done = true;
    m->taken++;
}

/* Checks the loaded state before it is used. The stream is untrusted, and mailbox_work uses these addresses. */
static int mailbox_check(const void *device, uint32_t version, struct gw_error *err)
{
    const struct mailbox_device *m = device;

    if (m->posted - m->taken > MAILBOX_SIZE)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u buffers wait, and there is room for %u", m->posted - m->taken,
                       MAILBOX_SIZE);
    for (unsigned i = 0; i < MAILBOX_SIZE; i++)
        if (m->entry[i].gpa > RAM_BYTES || m->entry[i].bytes > RAM_BYTES - m->entry[i].gpa)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "entry %u: %u bytes at 0x%llx are not in memory", i, m->entry[i].bytes,
                           (unsigned long long)m->entry[i].gpa);
    return 0;
}

static const struct gw_field mailbox_entry_fields[] = {
    GW_FIELD(struct mailbox_entry, gpa),
    GW_FIELD(struct mailbox_entry, bytes),
    GW_FIELD(struct mailbox_entry, done),
    GW_FIELD(struct mailbox_entry, sum),
    GW_END,
};
static const struct gw_state mailbox_entry_state = {
    .name = "mailbox-entry", .version = 1, .oldest = 1, .fields = mailbox_entry_fields};
static const struct gw_field mailbox_fields[] = {
    GW_FIELD(struct mailbox_device, posted),
    GW_FIELD(struct mailbox_device, taken),
    GW_STRUCT_ARRAY(struct mailbox_device, entry, &mailbox_entry_state),
    GW_END,
};
static const struct gw_state mailbox_state = {
    .name = "mailbox", .version = 1, .oldest = 1, .fields = mailbox_fields, .check = mailbox_check};

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */

static const struct gw_field cpu_fields[] = {GW_FIELD(struct cpu, step), GW_FIELD(struct cpu, wrong), GW_END};
static const struct gw_state cpu_state = {.name = "cpu", .version = 1, .oldest = 1, .fields = cpu_fields};

int devices_add(struct small_vmm *vmm, struct gw_registry *registry, bool old, struct gw_error *err)
{
    const struct {
        const struct gw_state *state;
        const char *id;
        void *device;
    } all[] = {
        {&clock_state, "clock", &vmm->clock},
        {&cpu_state, "cpu", &vmm->cpu},
        {old ? &uart_state_1 : &uart_state, "uart", &vmm->uart},
        {&mailbox_state, "mailbox", &vmm->mailbox},
    };

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        int r = gw_registry_add(registry, all[i].state, all[i].id, 0, all[i].device, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Compares a device of the stream with the destination's -dump-vmstate: the versions that it reads, the fields and the
 * subsections that it knows. The stream names a device's state, not its type: candidates are all types whose state has
 * that name and whose fields match.
 */
#include "examine/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "state/dump.h"

#define PADDING "unused"

struct known {
    const char *name;
    uint32_t version;
};

/* Sections and subsections that each QEMU from 5.2 to 11.1 reads: all four dumps have them; those of no type were
 * loaded. Newer versions do not forget what older ones wrote. */
/* clang-format off */
static const struct known known_sections[] = {
    {"PCIBUS", 1}, {"acpi_build", 1}, {"apic", 3}, {"audio", 1}, {"cpu", 12}, {"cpu_common", 1}, {"globalstate", 1},
    {"i2c_bus", 1}, {"ide", 3}, {"ipmi-bmc-sim", 1}, {"ipmi-interface", 2}, {"isa-ide", 3}, {"ps2kbd", 3},
    {"ps2mouse", 2}, {"slirp", 4}, {"timer", 2},
};
static const struct known known_subsections[] = {
    {"ICH9LPC/rst_cnt", 1}, {"ICH9LPC/smi_feat", 1}, {"PIIX3/rcr", 1}, {"SCSIDevice/sense", 1},
    {"acpi-ged/ghes", 1}, {"acpi-ged/memhp", 1}, {"apic_sipi", 1}, {"cpu/fpop_ip_dp", 1}, {"cpu/msr_ia32_misc_enable", 1},
    {"cpu/msr_smi_count", 1}, {"cpu/poll_control_msr", 1}, {"e1000/full_mac_state", 1}, {"e1000/mit_state", 1},
    {"e1000/tx_tso_state", 1}, {"fdc/phase", 1}, {"fdc/reset_sensei", 1}, {"fdc/result_timer", 1},
    {"fdrive/media_changed", 1}, {"fdrive/media_rate", 1}, {"fdrive/perpendicular", 1}, {"fw_cfg/acpi_mr", 1},
    {"fw_cfg/dma", 0}, {"hda-audio-stream/buffer", 1}, {"hpet/offset", 1}, {"hpet/rtc_irq_level", 1},
    {"ich9_pm/cpuhp", 1}, {"ich9_pm/memhp", 1}, {"ich9_pm/tco", 1}, {"ide_bus/error", 2},
    {"ide_drive/atapi/gesn_state", 1}, {"ide_drive/pio_state", 1}, {"ide_drive/tray_state", 1},
    {"kvmclock/clock_is_reliable", 1}, {"mc146818rtc/irq_reinject_on_ack_count", 1}, {"ohci-core/eof-timer", 1},
    {"pckbd_outport", 1}, {"piix4_pm/cpuhp", 1}, {"piix4_pm/memhp", 1}, {"pvscsi/pcie", 0},
    {"rtl8139/hotplug_ready", 1}, {"sd-card/ocr-state", 1}, {"sdhci/pending-insert", 1},
    {"serial/fifo_timeout_timer", 1}, {"serial/poll", 1}, {"serial/recv_fifo", 1}, {"serial/thr_ipending", 1},
    {"serial/timeout_ipending", 1}, {"serial/tsr", 1}, {"serial/xmit_fifo", 1}, {"usb-hub/port-timer", 1},
    {"usb-redir-ep/bulk-receiving", 1}, {"usb-redir-ep/stream-state", 1}, {"vga.endian", 1},
    {"vmxnet3/mcast_list", 1},
};
/* clang-format on */

static bool is_known(const struct known *known, size_t count, const char *name, uint32_t version)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(known[i].name, name))
            return version <= known[i].version;
    return false;
}

/* Sections that a program omits if they are empty. */
bool gw_explain_may_be_left_out(const char *name)
{
    return !strcmp(name, "audio") || !strcmp(name, "globalstate");
}

/* Fields whose condition is a value earlier in the same state, in each QEMU from 5.2 on. */
bool gw_explain_is_told(const char *state, const char *field)
{
    return !strcmp(state, "ide_drive") && !strcmp(field, "identify_data");
}

bool gw_explain_known_subsection(const char *name, uint32_t version)
{
    return is_known(known_subsections, GW_ARRAY_LEN(known_subsections), name, version);
}

/* Whether the type has all of the state's subsections, at any depth. */
static bool knows_subsections(const struct gw_vmdesc_state *st, unsigned depth)
{
    if (depth > GW_EXPLAIN_DEPTH_MAX)
        return false;
    for (uint32_t i = 0; i < st->subsection_count; i++)
        if (!gw_explain_known_subsection(st->subsections[i].name, st->subsections[i].version) ||
            !knows_subsections(&st->subsections[i], depth + 1))
            return false;
    for (uint32_t i = 0; i < st->field_count; i++)
        for (uint32_t k = 0; st->fields[i].inside && k < GW_MAX(st->fields[i].elements, 1); k++)
            if (!knows_subsections(&st->fields[i].inside[k], depth + 1))
                return false;
    return true;
}

/* ---- one type ---------------------------------------------------------------------------------------------------- */

enum fit { READS, REFUSED, UNFIT /* UNFIT: another type, or it cannot be decided */ };

struct match {
    uint64_t *work;
    bool tells_counts;
    enum fit result;
    bool outer;   /* concerns the device's own fields, not a subsection's */
    bool lenient; /* the type fits only if some of its fields are not written */
    char why[400];
};

static void refuse(struct match *m, const char *fmt, ...) GW_PRINTF(2, 3);

static void refuse(struct match *m, const char *fmt, ...)
{
    va_list ap;

    if (m->result != READS)
        return;
    m->result = REFUSED;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
}

static void unfit(struct match *m, const char *state, const char *field, const char *how)
{
    if (m->result == UNFIT || (m->result == REFUSED && !m->outer))
        return;
    m->result = UNFIT;
    snprintf(m->why, sizeof m->why, "field %s of %s %s", field, state, how);
}

static bool is_named(const struct gw_vmdesc_field *f, const struct gw_dump_field *d)
{
    size_t n = strlen(d->name);
    char numbered[16];

    snprintf(numbered, sizeof numbered, "[%u]", d->nth);
    return !strncmp(f->name, d->name, n) && (!f->name[n] || (d->repeated && !strcmp(f->name + n, numbered)));
}

static void match_state(struct match *m, const struct gw_vmdesc_state *a, const struct gw_dump_state *d,
                        uint32_t version, unsigned depth);

static void match_field(struct match *m, const char *state, const struct gw_vmdesc_field *f,
                        const struct gw_dump_field *d, unsigned depth)
{
    if (f->inside && d->inside) {
        /* The elements of a list may have a version of their own, which the dump does not give. */
        for (uint32_t k = 0; k < GW_MAX(f->elements, 1); k++)
            match_state(m, &f->inside[k], d->inside, f->elements ? f->inside[k].version : d->inside->version,
                        depth + 1);
    } else if (!f->inside && !d->inside && d->bytes && f->bytes != d->bytes && gw_explain_fixed_type(f->type)) {
        unfit(m, state, d->name, "has another size");
    }
}

/* Whether a field may be missing: its condition is false, or it is an array without elements. */
static bool may_be_absent(const struct gw_dump_field *d)
{
    return d->conditional || d->inside || !d->bytes;
}

static bool has_field(const struct gw_dump_state *d, const struct gw_vmdesc_field *f)
{
    for (uint32_t k = 0; k < d->field_count; k++)
        if (is_named(f, &d->fields[k]))
            return true;
    return false;
}

/* Streams have no field names, so names may change while the bytes stay the same. Unused fields may become padding, and
 * padding may become fields. */
struct place {
    uint32_t next;    /* field number in the stream */
    uint64_t padding; /* bytes of padding in the stream that are fields in the dump */
};

static bool match_renamed(const struct match *m, const struct gw_vmdesc_state *a, const struct gw_dump_state *d,
                          const struct gw_dump_field *f, struct place *at)
{
    uint64_t wanted = f->bytes * f->count, bytes = 0;
    const struct gw_vmdesc_field *g = &a->fields[at->next];
    bool first = true;

    if (at->padding) {
        if (wanted > at->padding || (!m->tells_counts && at->padding % wanted))
            return false;
        at->padding = m->tells_counts ? at->padding - wanted : 0;
        return true;
    }
    for (; at->next < a->field_count && bytes < wanted; g = &a->fields[at->next]) {
        struct gw_explain_group group = gw_explain_group(a, at->next);

        if (g->inside || has_field(d, g) || (!first && strcmp(f->name, PADDING) != 0))
            return false;
        bytes += g->bytes * group.elements;
        at->next += group.entries;
        if (bytes > wanted) {
            at->padding = bytes - wanted;
            if (!m->tells_counts && bytes % wanted == 0)
                at->padding = 0; /* may be an array, so the size is open */
            return first && (!at->padding || !strcmp(g->type, "unused_buffer"));
        }
        first = false;
    }
    return bytes == wanted;
}

static void match_fields(struct match *m, const struct gw_vmdesc_state *a, const struct gw_dump_state *d,
                         uint32_t version, unsigned depth)
{
    struct place at = {0};

    for (uint32_t k = 0; k < d->field_count; k++) {
        const struct gw_dump_field *f = &d->fields[k];
        const struct gw_vmdesc_field *g = at.next < a->field_count ? &a->fields[at.next] : NULL;

        if (!f->conditional && f->since > version)
            continue;
        if (g && !at.padding &&
            (is_named(g, f) || (g->inside && f->inside && !strcmp(g->inside->name, f->inside->name)))) {
            match_field(m, a->name, g, f, depth);
            at.next += gw_explain_group(a, at.next).entries;
        } else if (may_be_absent(f)) {
            m->lenient |= f->inside && !f->conditional;
        } else if (!match_renamed(m, a, d, f, &at)) {
            unfit(m, a->name, f->name, "is not written");
            return;
        }
    }
    if (at.next == a->field_count && !at.padding)
        return;
    m->lenient = true;
    /* A type with a higher version may have more of them. */
    if (depth || a->version <= d->version)
        unfit(m, a->name, at.padding ? PADDING : a->fields[at.next].name, "is not in the dump");
}

static void match_subsections(struct match *m, const struct gw_vmdesc_state *a, const struct gw_dump_state *d,
                              unsigned depth)
{
    for (uint32_t i = 0; i < a->subsection_count; i++) {
        const struct gw_vmdesc_state *sub = &a->subsections[i];
        const struct gw_dump_state *known = NULL;
        bool outer = m->outer;

        for (uint32_t k = 0; k < d->subsection_count && !known; k++)
            if (!strcmp(d->subsections[k].name, sub->name))
                known = &d->subsections[k];
        if (!known) {
            refuse(m, "subsection %s is not known to the destination's program", sub->name);
            continue;
        }
        if (sub->version > known->version)
            refuse(m, "subsection %s has version %u, the destination's program knows %u", sub->name, sub->version,
                   known->version);
        else if (sub->version < known->oldest)
            refuse(m, "subsection %s has version %u, the destination's program reads %u and later", sub->name,
                   sub->version, known->oldest);
        m->outer = false;
        match_state(m, sub, known, sub->version, depth + 1);
        m->outer = outer;
    }
}

static void match_state(struct match *m, const struct gw_vmdesc_state *a, const struct gw_dump_state *d,
                        uint32_t version, unsigned depth)
{
    *m->work += (uint64_t)a->field_count + d->field_count + (uint64_t)a->subsection_count * d->subsection_count + 1;
    if (depth > GW_EXPLAIN_DEPTH_MAX || *m->work > GW_EXPLAIN_WORK_MAX) {
        m->outer = true;
        unfit(m, a->name, "...", "is too much to compare");
        return;
    }
    match_fields(m, a, d, version, depth);
    match_subsections(m, a, d, depth);
}

static struct match match_type(struct gw_explain *e, const struct gw_inspect_device *a, const struct gw_dump_state *d)
{
    struct match m = {.work = &e->work, .tells_counts = e->dump->tells_counts, .result = READS, .outer = true};

    if (a->version > d->version)
        refuse(&m, "version %u is written, the destination's program knows %u", a->version, d->version);
    else if (a->version < d->oldest)
        refuse(&m, "version %u is written, the destination's program reads %u and later", a->version, d->oldest);
    match_state(&m, a->state, d, a->version, 0);
    return m;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

enum gw_explain_answer gw_explain_dump(struct gw_explain *e, const struct gw_inspect_device *a,
                                       char why[GW_EXPLAIN_WHY])
{
    struct match best = {.result = UNFIT};
    bool known = false, two = false;

    for (uint32_t i = 0; a->state && i < e->dump->type_count; i++) {
        struct match m;

        if (strcmp(e->dump->types[i].state.name, a->state->name) != 0)
            continue;
        m = match_type(e, a, &e->dump->types[i].state);
        if (!known || best.result == UNFIT || (m.result != UNFIT && best.lenient && !m.lenient)) {
            best = m;
            two = false;
        } else if (m.result != UNFIT && m.lenient == best.lenient) {
            two |= m.result != best.result;
        }
        known = true;
    }
    if (two) {
        snprintf(why, GW_EXPLAIN_WHY, "the dump has types of this name that read it, and others that do not");
        return GW_EXPLAIN_NO_ANSWER;
    }
    if (best.result == READS)
        return GW_EXPLAIN_READS;
    if (!known &&
        is_known(known_sections, GW_ARRAY_LEN(known_sections), a->state && *a->state->name ? a->state->name : a->name,
                 a->version) &&
        (!a->state || knows_subsections(a->state, 0)))
        return GW_EXPLAIN_READS;
    if (!known)
        snprintf(why, GW_EXPLAIN_WHY, "is not described in the dump");
    else
        snprintf(why, GW_EXPLAIN_WHY, "%s%s", best.result == UNFIT ? "the dump has another state of this name: " : "",
                 best.why);
    return best.result == REFUSED ? GW_EXPLAIN_REFUSES : GW_EXPLAIN_NO_ANSWER;
}

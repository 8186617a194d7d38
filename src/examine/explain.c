/* SPDX-License-Identifier: MIT
 *
 * Explains why a stream would not load on another host: head, RAM, commands, devices, in the order of the stream.
 */
#include "examine/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/sized.h"
#include "state/dump.h"

#define DEVICES_MAX 16384u /* limit, because each device is searched for among all devices of the other side */
#define ALIKE_MAX   64u    /* devices of one kind that are compared with a missing one */

void gw_explain_say(struct gw_explain *e, enum gw_reason_weight weight, const char *where, const char *fmt, ...)
{
    struct gw_reason reason = {.weight = weight, .where = where};
    char what[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    reason.what = what;
    e->counts.refused += weight == GW_REASON_REFUSED;
    e->counts.unknown += weight == GW_REASON_UNKNOWN;
    e->counts.notes += weight == GW_REASON_NOTE;
    if (e->found)
        e->found(e->opaque, &reason);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void explain_head(struct gw_explain *e)
{
    const struct gw_wire_head *a = e->from->head, *b = e->into->head;

    if (!*a->machine != !*b->machine)
        gw_explain_say(e, GW_REASON_REFUSED, "machine",
                       "the stream %s a configuration section, the destination's has %s", *a->machine ? "has" : "lacks",
                       *b->machine ? "one" : "none");
    else if (strcmp(a->machine, b->machine) != 0)
        gw_explain_say(e, GW_REASON_REFUSED, "machine", "the machine type is %s, the destination is a %s", a->machine,
                       b->machine);
    for (unsigned i = 0; i < a->capability_count; i++)
        if (!gw_head_has_capability(b, a->capabilities[i]))
            gw_explain_say(e, GW_REASON_REFUSED, "capabilities",
                           "%s is on, in the destination it is off or does not exist", a->capabilities[i]);
    for (unsigned i = 0; i < b->capability_count; i++)
        if (!gw_head_has_capability(a, b->capabilities[i]))
            gw_explain_say(e, GW_REASON_REFUSED, "capabilities", "%s is off, in the destination it is on",
                           b->capabilities[i]);
    if (gw_head_page_bytes(a) != gw_head_page_bytes(b))
        gw_explain_say(e, GW_REASON_REFUSED, "page size", "pages of %u bytes, the destination's have %u",
                       gw_head_page_bytes(a), gw_head_page_bytes(b));
    if (a->has_uuid && b->has_uuid && memcmp(a->uuid, b->uuid, sizeof a->uuid) != 0)
        gw_explain_say(e, GW_REASON_REFUSED, "UUID", "the machine's UUID is not that of the destination");
}

/* A dump tells only the machine's name. The destination's command line is assumed to equal the source's. */
static void explain_dumped_head(struct gw_explain *e)
{
    const char *from = e->from->head->machine, *into = e->dump->machine;

    if (*from && strcmp(from, into) != 0)
        gw_explain_say(e, GW_REASON_REFUSED, "machine", "the machine type is %s, the destination is a %s", from, into);
    else if (!*from)
        gw_explain_say(e, GW_REASON_UNKNOWN, "machine", "the stream does not say of which type it is");
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

static const struct gw_scan_block *find_block(const struct gw_inspect *in, const char *name)
{
    for (unsigned i = 0; i < in->block_count; i++)
        if (!strcmp(in->blocks[i].block->name, name))
            return in->blocks[i].block;
    return NULL;
}

/* Each program generates its own firmware files, and their blocks may grow. */
static bool may_resize(const char *name)
{
    return !strncmp(name, "/rom@etc/", 9);
}

/* Blocks that hold a file: their size is the file's, rounded up. */
static bool holds_a_file(const struct gw_explain *e, const char *name)
{
    size_t n = strlen(name);

    if (may_resize(name) || !strcmp(name, "pc.rom"))
        return false;
    if (!strcmp(name, "pc.bios"))
        return !gw_explain_is_versioned(e->from->head->machine);
    return (n > 4 && !strcmp(name + n - 4, ".rom")) || strstr(name, ".flash") || strstr(name, "bios");
}

static void explain_block(struct gw_explain *e, const struct gw_scan_block *a)
{
    const struct gw_scan_block *b = e->into ? find_block(e->into, a->name) : NULL;
    char where[300];

    snprintf(where, sizeof where, "RAM block %s", a->name);
    if (!e->into) {
        if (holds_a_file(e, a->name))
            gw_explain_say(e, GW_REASON_UNKNOWN, where,
                           "0x%" PRIx64 " bytes: whether the destination's file for it is as long is not in its dump",
                           a->used_bytes);
    } else if (!b)
        gw_explain_say(e, GW_REASON_REFUSED, where, "the destination has no such block (here 0x%" PRIx64 " bytes)",
                       a->used_bytes);
    else if (a->used_bytes != b->used_bytes)
        gw_explain_say(e, may_resize(a->name) ? GW_REASON_NOTE : GW_REASON_REFUSED, where,
                       "0x%" PRIx64 " bytes, 0x%" PRIx64 " in the destination%s", a->used_bytes, b->used_bytes,
                       may_resize(a->name) ? ", which resizes it" : "");
    else if (a->has_gpa && b->has_gpa && a->gpa != b->gpa)
        gw_explain_say(e, GW_REASON_REFUSED, where,
                       "at guest-physical address 0x%" PRIx64 ", 0x%" PRIx64 " in the destination", a->gpa, b->gpa);
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static bool sends(const struct gw_inspect *in, uint16_t command)
{
    for (size_t i = 0; i < in->run_count; i++)
        if (in->runs[i].element == GW_ELEMENT_COMMAND && in->runs[i].command == command)
            return true;
    return false;
}

#define WHERE_SWITCHOVER "command SWITCHOVER_START"
#define LEAVES_IT_OUT                                                                                                  \
    "which does not know it (the source leaves it out with -global migration.send-switchover-start=off)"

static void explain_commands(struct gw_explain *e)
{
    const unsigned godwit = 1u << GW_AUTHOR_MACHINE | 1u << GW_AUTHOR_EXTENSIONS; /* without these marks the stream may be a copy
                                                                                   * of one that QEMU wrote */
    struct gw_inspect_source source = {.before = ""};

    if (!sends(e->from, GW_COMMAND_SWITCHOVER_START))
        return;
    if (e->into)
        gw_inspect_source(e->into, &source);
    else if (gw_explain_is_versioned(e->from->head->machine))
        return; /* it is sent only with machine types whose programs all know it */
    if (e->into && (sends(e->into, GW_COMMAND_SWITCHOVER_START) || gw_author_marks(&e->into->author) & godwit))
        return;
    if (*source.before)
        gw_explain_say(e, GW_REASON_REFUSED, WHERE_SWITCHOVER, "the destination is QEMU before %s, " LEAVES_IT_OUT,
                       source.before);
    else if (e->dump && !e->dump->tells_counts)
        gw_explain_say(e, GW_REASON_REFUSED, WHERE_SWITCHOVER, "the destination is QEMU before 10.0, " LEAVES_IT_OUT);
    else
        gw_explain_say(e, GW_REASON_UNKNOWN, WHERE_SWITCHOVER,
                       "the destination's stream does not show whether its program knows it");
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static const struct gw_inspect_device *find_device(const struct gw_inspect *in, const char *name, uint32_t instance)
{
    for (size_t i = 0; i < in->device_count; i++)
        if (in->devices[i].instance == instance && !strcmp(in->devices[i].name, name))
            return &in->devices[i];
    return NULL;
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

/* A device that the destination lacks; it may have it under another name. */
static void missing(struct gw_explain *e, const struct gw_inspect_device *a, const char *where)
{
    char others[200] = "", text[300];
    unsigned alike = 0;
    size_t used = 0;

    for (size_t i = 0; i < e->into->device_count && alike < ALIKE_MAX; i++) {
        const struct gw_inspect_device *b = &e->into->devices[i];

        if (strcmp(last_part(b->name), last_part(a->name)) != 0)
            continue;
        alike++;
        if (find_device(e->from, b->name, b->instance))
            continue;
        snprintf(text, sizeof text, "%s%s/%u", used ? ", " : "", b->name, b->instance);
        if (used + strlen(text) < sizeof others)
            used += strlen(strcpy(others + used, text));
    }
    if (gw_explain_may_be_left_out(a->name))
        gw_explain_say(e, GW_REASON_UNKNOWN, where, "the destination does not write it: it has none, or no need to");
    else if (used)
        gw_explain_say(e, GW_REASON_REFUSED, where, "the destination has no such device, but %s", others);
    else
        gw_explain_say(e, GW_REASON_REFUSED, where, "the destination has no such device");
}

static int explain_devices(struct gw_explain *e)
{
    char where[300];

    for (size_t i = 0; i < e->from->device_count; i++) {
        const struct gw_inspect_device *a = &e->from->devices[i],
                                       *b = e->into ? find_device(e->into, a->name, a->instance) : NULL;
        int r;

        snprintf(where, sizeof where, "device %s/%u", a->name, a->instance);
        if (e->into && !b) {
            missing(e, a, where);
            continue;
        }
        r = gw_explain_device(e, where, a, b);
        if (r < 0)
            return r;
    }
    return 0;
}

static void explain_only_there(struct gw_explain *e)
{
    char where[300];

    for (unsigned i = 0; i < e->into->block_count; i++) {
        const struct gw_scan_block *b = e->into->blocks[i].block;

        snprintf(where, sizeof where, "RAM block %s", b->name);
        if (!find_block(e->from, b->name))
            gw_explain_say(e, GW_REASON_NOTE, where, "is only in the destination: it keeps what it has");
    }
    for (size_t i = 0; i < e->into->device_count; i++) {
        const struct gw_inspect_device *b = &e->into->devices[i];

        snprintf(where, sizeof where, "device %s/%u", b->name, b->instance);
        if (!find_device(e->from, b->name, b->instance))
            gw_explain_say(e, GW_REASON_NOTE, where, "is only in the destination: it keeps the state that it has");
    }
}

int gw_inspect_explain_sized(const struct gw_inspect *from, const struct gw_inspect *into, const struct gw_dump *dump,
                             void (*found)(void *opaque, const struct gw_reason *reason), void *opaque,
                             struct gw_explain_counts *ret_counts, size_t counts_bytes, struct gw_error *err)
{
    struct gw_explain e = {.from = from, .into = into, .dump = dump, .found = found, .opaque = opaque, .err = err};
    int r;

    if (!into && !dump)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is neither a stream nor a dump of the destination");
    if (!from->has_head || from->error.code || (into && (!into->has_head || into->error.code)))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "both streams must have been read to their ends");
    if (from->device_count > DEVICES_MAX || (into && into->device_count > DEVICES_MAX))
        return gw_fail(err, -E2BIG, GW_BLAME_PEER, "more than %u devices are too many to be compared", DEVICES_MAX);
    if (into)
        explain_head(&e);
    else
        explain_dumped_head(&e);
    for (unsigned i = 0; i < from->block_count; i++)
        explain_block(&e, from->blocks[i].block);
    explain_commands(&e);
    r = explain_devices(&e);
    if (r < 0)
        return r;
    if (into)
        explain_only_there(&e);
    gw_sized_out(ret_counts, counts_bytes, &e.counts, sizeof e.counts);
    return 0;
}

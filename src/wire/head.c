/* SPDX-License-Identifier: MIT */
#include "wire/head.h"

#include "wire/command.h"
#include "wire/section.h"

#define CONFIGURATION "configuration/"

static void put_subsection(struct gw_out *out, const char *name)
{
    gw_put_u8(out, GW_ELEMENT_SUBSECTION);
    gw_put_str8(out, name);
    gw_put_u32(out, 1);
}

static void put_capabilities(struct gw_out *out, const struct gw_wire_head *head)
{
    if (!head->capability_count)
        return;
    put_subsection(out, CONFIGURATION "capabilities");
    gw_put_u32(out, head->capability_count);
    for (unsigned i = 0; i < head->capability_count; i++)
        gw_put_str8(out, head->capabilities[i]);
}

void gw_head_put(struct gw_out *out, const struct gw_wire_head *head)
{
    uint32_t behind = head->list_at + head->list_bytes;

    gw_put_u32(out, GW_WIRE_MAGIC);
    gw_put_u32(out, GW_WIRE_VERSION);
    if (!head->configured)
        return;
    if (head->raw_bytes) {
        gw_put_bytes(out, head->raw, head->list_at);
        put_capabilities(out, head);
        gw_put_bytes(out, head->raw + behind, head->raw_bytes - behind);
        return;
    }
    gw_put_u8(out, GW_ELEMENT_CONFIGURATION);
    gw_put_u32(out, (uint32_t)strlen(head->machine));
    gw_put_bytes(out, head->machine, strlen(head->machine));
    if (head->page_bits) {
        put_subsection(out, CONFIGURATION "target-page-bits");
        gw_put_u32(out, head->page_bits);
    }
    put_capabilities(out, head);
    if (head->has_uuid) {
        put_subsection(out, CONFIGURATION "uuid");
        gw_put_bytes(out, head->uuid, sizeof head->uuid);
    }
}

void gw_head_add_capability(struct gw_wire_head *head, const char *name)
{
    gw_strcopy(head->capabilities[head->capability_count++], sizeof head->capabilities[0], name);
}

void gw_head_drop_capability(struct gw_wire_head *head, const char *name)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < head->capability_count; i++)
        if (strcmp(head->capabilities[i], name))
            memmove(head->capabilities[kept++], head->capabilities[i], sizeof head->capabilities[0]);
    head->capability_count = kept;
}

bool gw_head_has_capability(const struct gw_wire_head *head, const char *name)
{
    for (unsigned i = 0; i < head->capability_count; i++)
        if (!strcmp(head->capabilities[i], name))
            return true;
    return false;
}

/* Takes n bytes as a part of the section; *ret is their copy. */
static int keep(struct gw_in *in, struct gw_wire_head *head, size_t n, const uint8_t **ret, struct gw_error *err)
{
    const uint8_t *p = NULL;
    int e;

    if (n > sizeof head->raw - head->raw_bytes)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": a configuration of more than %u bytes", gw_in_offset(in),
                          GW_HEAD_RAW_MAX);
    e = gw_in_need(in, n, &p, err);
    if (e < 0)
        return e;
    *ret = memcpy(head->raw + head->raw_bytes, p, n);
    head->raw_bytes += (uint32_t)n;
    gw_in_skip(in, n);
    return 0;
}

static int keep_u32(struct gw_in *in, struct gw_wire_head *head, uint32_t *ret, struct gw_error *err)
{
    const uint8_t *p;
    int e = keep(in, head, 4, &p, err);

    if (e >= 0)
        *ret = gw_load_be32(p);
    return e;
}

/* Takes n bytes of printable text. */
static int keep_text(struct gw_in *in, struct gw_wire_head *head, uint32_t n, char *dst, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    const uint8_t *p;
    int e;

    if (n < 1 || n > 255)
        return gw_in_fail(in, -EPROTO, err, "a name of %u bytes at byte %" PRIu64, n, at);
    e = keep(in, head, n, &p, err);
    if (e < 0)
        return e;
    memcpy(dst, p, n);
    dst[n] = 0;
    if (memchr(dst, 0, n))
        return gw_in_fail(in, -EPROTO, err, "name at byte %" PRIu64 " has a NUL inside", at);
    return gw_in_printable(in, dst, at, err);
}

static int keep_name(struct gw_in *in, struct gw_wire_head *head, char *dst, struct gw_error *err)
{
    const uint8_t *n;
    int e = keep(in, head, 1, &n, err);

    return e < 0 ? e : keep_text(in, head, *n, dst, err);
}

static int get_magic(struct gw_in *in, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    uint32_t magic, version;
    int e = gw_get_u32(in, &magic, err);

    if (e < 0)
        return e;
    if (magic == GW_WIRE_MULTIFD_MAGIC)
        return gw_in_fail(in, -EPROTO, err,
                          "byte %" PRIu64 ": a multifd channel, which has pages and nothing else; the rest is in the "
                          "main stream",
                          at);
    if (magic != GW_WIRE_MAGIC)
        return gw_in_fail(in, -EPROTO, err,
                          "byte %" PRIu64 ": not a migration stream: it begins with 0x%08x, not 0x%08x", at, magic,
                          GW_WIRE_MAGIC);
    e = gw_get_u32(in, &version, err);
    if (e >= 0 && version != GW_WIRE_VERSION)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": stream version %u, %u is known", at + 4, version,
                          GW_WIRE_VERSION);
    return e;
}

int gw_head_begin(struct gw_in *in, struct gw_wire_head *ret, struct gw_error *err)
{
    const uint8_t *p = NULL;
    uint32_t n;
    int e;

    memset(ret, 0, offsetof(struct gw_wire_head, raw));
    e = get_magic(in, err);
    if (e >= 0)
        e = gw_in_need(in, 1, &p, err);
    if (e < 0)
        return e;
    ret->bytes = 8;
    ret->configured = *p == GW_ELEMENT_CONFIGURATION;
    if (!ret->configured)
        return 0;
    e = keep(in, ret, 1, &p, err);
    if (e >= 0)
        e = keep_u32(in, ret, &n, err);
    if (e >= 0)
        e = keep_text(in, ret, n, ret->machine, err);
    ret->list_at = ret->raw_bytes;
    return e;
}

static int get_capabilities(struct gw_in *in, struct gw_wire_head *head, uint64_t at, struct gw_error *err)
{
    uint32_t count;
    int e = keep_u32(in, head, &count, err);

    if (e >= 0 && head->list_bytes)
        return gw_in_fail(in, -EPROTO, err, "a second list of capabilities at byte %" PRIu64, at);
    if (e >= 0 && count > GW_HEAD_CAPABILITIES_MAX - head->capability_count)
        return gw_in_fail(in, -EPROTO, err, "%u capabilities at byte %" PRIu64, count, at);
    for (uint32_t i = 0; e >= 0 && i < count; i++)
        e = keep_name(in, head, head->capabilities[head->capability_count++], err);
    return e;
}

/* Whether a subsection of the configuration or an element may begin here. -1: more bytes are needed to decide. */
static int begins(const uint8_t *p, size_t n)
{
    struct gw_section_head head;
    const struct gw_wire_name *what;
    struct gw_in in;
    uint16_t bytes;
    int e;

    gw_in_memory(&in, p + 1, n - 1, 0);
    switch (p[0]) {
    case GW_ELEMENT_COMMAND:
        e = gw_command_get(&in, 0, &what, &bytes, NULL);
        break;
    case GW_ELEMENT_SUBSECTION:
        e = gw_get_name(&in, head.name, NULL);
        if (e >= 0 && strncmp(head.name, CONFIGURATION, sizeof CONFIGURATION - 1))
            return 0;
        break;
    case GW_ELEMENT_START:
    case GW_ELEMENT_FULL:
        e = gw_section_get_head(&in, &head, NULL);
        if (e >= 0 && head.version > 0xffff)
            return 0;
        break;
    default:
        return 0;
    }
    return e >= 0 ? 1 : e == -ENODATA ? -1 : 0;
}

/* The length of an unknown subsection is not in the stream. */
static int pass_unknown(struct gw_in *in, struct gw_wire_head *head, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    size_t n = 0, have = 1;

    head->at_unknown = false;
    for (;;) {
        const uint8_t *p = NULL;
        int e = gw_in_need(in, have, &p, err), found;

        if (e < 0)
            return e;
        for (found = 0; n < have && !(found = begins(p + n, have - n));)
            n++;
        if (found > 0)
            return keep(in, head, n, &p, err);
        if (++have > GW_HEAD_RAW_MAX)
            return gw_in_fail(in, -EPROTO, err,
                              "where subsection %s ends, which is not known, cannot be seen behind byte %" PRIu64,
                              head->unknown, at);
    }
}

int gw_head_next(struct gw_in *in, struct gw_wire_head *head, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    uint32_t version, begin;
    const uint8_t *p = NULL;
    char name[256];
    int e = head->at_unknown ? pass_unknown(in, head, err) : 0;

    begin = head->raw_bytes;

    if (e >= 0)
        e = gw_in_need(in, 1, &p, err);
    head->bytes = 8 + head->raw_bytes;
    if (e < 0 || !head->configured || *p != GW_ELEMENT_SUBSECTION)
        return e < 0 ? e : 0;
    e = keep(in, head, 1, &p, err);
    if (e >= 0)
        e = keep_name(in, head, name, err);
    if (e >= 0)
        e = keep_u32(in, head, &version, err);
    if (e < 0)
        return e;
    if (version == 1 && !strcmp(name, CONFIGURATION "capabilities")) {
        e = get_capabilities(in, head, at, err);
        head->list_at = begin;
        head->list_bytes = head->raw_bytes - begin;
    } else if (version == 1 && !strcmp(name, CONFIGURATION "uuid")) {
        head->has_uuid = true;
        e = keep(in, head, sizeof head->uuid, &p, err);
        if (e >= 0)
            memcpy(head->uuid, p, sizeof head->uuid);
    } else if (version == 1 && !strcmp(name, CONFIGURATION "target-page-bits")) {
        e = keep_u32(in, head, &head->page_bits, err);
        if (e >= 0 && (head->page_bits < GW_PAGE_BITS_MIN || head->page_bits > GW_PAGE_BITS_MAX))
            e = gw_in_fail(in, -EPROTO, err, "pages of 2^%u bytes at byte %" PRIu64, head->page_bits, at);
        if (!head->list_bytes)
            head->list_at = head->raw_bytes;
    } else {
        if (!head->unknown[0]) {
            memcpy(head->unknown, name, sizeof name);
            head->unknown_version = version;
        }
        head->at_unknown = true;
    }
    return e < 0 ? e : 1;
}

/* Number of commands after the head, in place of the rest of a stream: more bytes than the parser looks ahead. */
#define BEHIND 64u

int gw_head_get_raw(const uint8_t *raw, size_t bytes, struct gw_wire_head *ret, struct gw_error *err)
{
    uint8_t whole[8 + GW_HEAD_RAW_MAX + BEHIND * 5];
    struct gw_out out;
    struct gw_in in;
    int e;

    if (bytes > GW_HEAD_RAW_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a configuration of %zu bytes", bytes);
    gw_out_fixed(&out, whole, sizeof whole);
    gw_put_u32(&out, GW_WIRE_MAGIC);
    gw_put_u32(&out, GW_WIRE_VERSION);
    gw_put_bytes(&out, raw, bytes);
    for (unsigned i = 0; i < BEHIND; i++)
        gw_command_put(&out, GW_COMMAND_OPEN_RETURN_PATH, NULL, 0);
    gw_in_memory(&in, whole, 8 + bytes + BEHIND * 5, 0);
    in.what = "the configuration";
    e = gw_head_begin(&in, ret, err);
    while (e >= 0 && (e = gw_head_next(&in, ret, err)) > 0)
        ;
    if (e >= 0 && (!ret->configured || ret->raw_bytes != bytes))
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is no configuration of %zu bytes", bytes);
    return e;
}

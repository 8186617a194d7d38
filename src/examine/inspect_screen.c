/* SPDX-License-Identifier: MIT
 *
 * Describes a stream on one screen: at most GW_SCREEN_LINES lines of GW_SCREEN_COLUMNS columns. Entries that do not fit
 * are counted, so that nothing is left out silently.
 */
#include "examine/inspect.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/crc32c.h"

#define INDENT     18
#define BLOCKS_MAX 10u
#define NAMED_MAX  4u   /* disks, and dirty bitmaps */
#define CAUSES_MAX 6u
#define GROUPS_MAX 256u /* of devices */
#define WIDE_MAX   12u  /* groups with a line each */

struct screen {
    const struct gw_inspect *in;
    struct gw_text *t;
    unsigned lines;
};

/* Cuts the line at the last column. Names come from the stream, so control characters for the terminal are removed. */
GW_PRINTF(2, 3) static void line(struct screen *s, const char *fmt, ...)
{
    char raw[1024], text[1024];
    size_t n = 0, columns = 0;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    gw_printable(raw, text, sizeof text);
    while (text[n] && (columns < GW_SCREEN_COLUMNS || ((unsigned char)text[n] & 0xc0) == 0x80))
        columns += ((unsigned char)text[n++] & 0xc0) != 0x80;
    if (text[n] && n > 2) /* the text was cut; the last two columns show it */
        memcpy(text + n - 2, "..", 2);
    gw_text_add(s->t, text, n);
    gw_text_add(s->t, "\n", 1);
    s->lines++;
}

static struct gw_human human(uint64_t bytes)
{
    return gw_inspect_human(bytes);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void put_source(struct screen *s)
{
    struct gw_inspect_source source;
    char range[96] = "", text[512] = "";
    size_t n = 0;

    gw_inspect_source(s->in, &source);
    if (*source.at_least || *source.before)
        snprintf(range, sizeof range, "%s %s%s%s%s", source.program && !strcmp(source.program, "QEMU") ? "" : "; it looks like QEMU",
                 source.at_least, *source.at_least ? " or later" : "",
                 !*source.before ? "" : *source.at_least ? ", before " : "before ", source.before);
    line(s, "  written by    %s%s", source.program ? source.program : "QEMU or godwit (it cannot be determined which)", range);
    /* Strongest evidence first, as many as fit. */
    for (unsigned i = 0; i < source.because_count && n + strlen(source.because[i]) + 2 <= GW_SCREEN_COLUMNS - INDENT; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? "; " : "", source.because[i]);
    if (*text)
        line(s, "%*s%s", INDENT, "", text);
}

static void put_uuid(struct screen *s)
{
    const uint8_t *u = s->in->head->uuid;

    line(s, "  uuid          %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
         u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void put_capabilities(struct screen *s)
{
    char text[512];
    size_t n = 0;

    *text = 0;
    for (unsigned i = 0; i < s->in->head->capability_count && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %s", s->in->head->capabilities[i]);
    if (*text)
        line(s, "  capabilities %s", text);
}

static void put_head(struct screen *s, const char *title)
{
    const struct gw_inspect *in = s->in;
    const struct gw_inspect_container *c = &in->container;

    line(s, "%s", title ? title : "stream");
    if (!in->has_head) {
        line(s, "  no migration stream");
        return;
    }
    line(s, "  kind          %s stream%s%s%s%s, %s (%" PRIu64 " bytes)", gw_inspect_kind(in), c->kind ? " in a " : "",
         c->kind ? c->kind : "", c->kind ? " file" : "", in->error.code ? ", up to where it breaks off" : "", human(in->bytes).text,
         in->bytes);
    if (c->kind && !strcmp(c->kind, "libvirt"))
        line(s, "  file          a libvirt save image, the guest was %s", c->was_running ? "running" : "paused");
    if (c->program)
        line(s, "  compressed    with %s; offsets are those of the stream before", c->program);
    line(s, "  machine       %s, pages of %s%s%s", *in->head->machine ? in->head->machine : "not told",
         human(gw_head_page_bytes(in->head)).text, *in->run_state ? ", run state " : "", in->run_state);
    put_source(s);
    if (in->head->has_uuid)
        put_uuid(s);
    put_capabilities(s);
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

/* Bytes of RAM that came as zeros, and those that came with contents; a page that came twice counts twice. */
static void count(const struct gw_inspect *in, const struct gw_inspect_block *b, uint64_t *zero, uint64_t *data)
{
    uint64_t page = gw_head_page_bytes(in->head);

    *data = 0;
    for (unsigned k = 0; k < GW_SCAN_PAGE_KINDS; k++)
        *data += k == GW_SCAN_ZERO ? 0 : b->pages[k] * page;
    *zero = b->block->mapped ? b->block->used_bytes - GW_MIN(*data, b->block->used_bytes) : b->pages[GW_SCAN_ZERO] * page;
}

/* The largest block smaller than `than` or, if of equal size, listed after it. NULL: none. */
static const struct gw_inspect_block *next_block(const struct gw_inspect *in, const struct gw_inspect_block *than)
{
    const struct gw_inspect_block *best = NULL;

    for (unsigned i = 0; i < in->block_count; i++) {
        const struct gw_inspect_block *b = &in->blocks[i];
        bool left = !than || b->block->used_bytes < than->block->used_bytes ||
                    (b->block->used_bytes == than->block->used_bytes && b > than);

        if (left && (!best || b->block->used_bytes > best->block->used_bytes))
            best = b;
    }
    return best;
}

static void put_block(struct screen *s, const struct gw_inspect_block *b)
{
    uint64_t zero, data, page = gw_head_page_bytes(s->in->head);
    char again[64] = "", where[64] = "";

    count(s->in, b, &zero, &data);
    if (b->again)
        snprintf(again, sizeof again, "  %s sent again", human(b->again * page).text);
    if (b->block->has_gpa)
        snprintf(where, sizeof where, "  at 0x%" PRIx64, b->block->gpa);
    line(s, "  %-40.40s %11s %11s %11s%s%s", b->block->name, human(b->block->used_bytes).text, human(zero).text, human(data).text, again,
         where);
}

static void put_ram(struct screen *s)
{
    const struct gw_inspect *in = s->in;
    const struct gw_inspect_block *b = NULL;
    uint64_t all = 0, zero = 0, data = 0, z, d;

    for (unsigned i = 0; i < in->block_count; i++) {
        count(in, &in->blocks[i], &z, &d);
        all += in->blocks[i].block->used_bytes;
        zero += z;
        data += d;
    }
    line(s, "%s", "");
    if (!in->block_count) {
        line(s, "ram: none");
        return;
    }
    line(s, "%-42s %11s %11s %11s", "ram", "size", "zero", "data");
    for (unsigned i = 0; i < BLOCKS_MAX && (b = next_block(in, b)); i++)
        put_block(s, b);
    if (in->block_count > BLOCKS_MAX)
        line(s, "  and %u smaller blocks", in->block_count - BLOCKS_MAX);
    if (in->block_count > 1)
        line(s, "  %-40s %11s %11s %11s", "in all", human(all).text, human(zero).text, human(data).text);
    if (in->pages.pages)
        line(s, "  contents: %s%" PRIu64 " different pages, %" PRIu64 " like one before, %" PRIu64 " zeros; %.1f bits per byte",
             in->pages.full ? "at least " : "", in->pages.distinct, in->pages.duplicate, in->pages.zero, gw_pages_entropy(&in->pages));
}

/* ---- disks, bytes ------------------------------------------------------------------------------------------------ */

static void put_disks(struct screen *s)
{
    const struct gw_inspect *in = s->in;

    if (in->disk_count || in->bitmap_count)
        line(s, "%s", "");
    for (unsigned i = 0; i < GW_MIN(in->disk_count, NAMED_MAX); i++)
        line(s, "disk %-37.37s %" PRIu64 " MiB with data, %" PRIu64 " MiB zero", in->disks[i].name, in->disks[i].data, in->disks[i].zero);
    if (in->disk_count > NAMED_MAX)
        line(s, "and %u more disks", in->disk_count - NAMED_MAX);
    for (unsigned i = 0; i < GW_MIN(in->bitmap_count, NAMED_MAX); i++) {
        const struct gw_inspect_bitmap *b = &in->bitmaps[i];

        line(s, "dirty bitmap %.20s/%.20s: one bit for %s, %s%s, %" PRIu64 " chunks, %s", b->node, b->name,
             human(b->granularity_bytes).text, b->flags & 1 ? "enabled" : "disabled", b->flags & 2 ? ", persistent" : "", b->chunks,
             b->complete ? "complete" : "not complete");
    }
    if (in->bitmap_count > NAMED_MAX)
        line(s, "and %u more dirty bitmaps", in->bitmap_count - NAMED_MAX);
}

static void put_causes(struct screen *s)
{
    static const char *const names[] = {
#define F(name, json, text) text,
        GW_INSPECT_CAUSES(F)
#undef F
    };
    bool told[GW_SPENT_COUNT] = {false};

    line(s, "%s", "");
    line(s, "where the bytes go");
    for (unsigned k = 0; k < CAUSES_MAX; k++) {
        unsigned best = GW_SPENT_COUNT;

        for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
            if (!told[i] && s->in->cause[i] && (best == GW_SPENT_COUNT || s->in->cause[i] > s->in->cause[best]))
                best = i;
        if (best == GW_SPENT_COUNT)
            return;
        told[best] = true;
        line(s, "  %-40s %11s %10.1f%%", names[best], human(s->in->cause[best]).text,
             s->in->bytes ? 100.0 * (double)s->in->cause[best] / (double)s->in->bytes : 0);
    }
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

struct group { /* devices of one name and version */
    const char *name;
    uint32_t version, digest;
    uint64_t count, bytes;
    bool described;
};

struct groups {
    struct group list[GROUPS_MAX];
    unsigned count;
    uint64_t bytes, left; /* left: number of devices in no group */
    uint64_t undescribed;
};

/* The last component of a path; --device accepts it too. */
static const char *short_name(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash && slash[1] ? slash + 1 : name;
}

static void add_device(struct groups *g, const struct gw_inspect_device *d)
{
    const char *name = short_name(d->name);
    unsigned i = 0;

    g->bytes += d->body_bytes;
    g->undescribed += !d->state;
    while (i < g->count && (g->list[i].version != d->version || strcmp(g->list[i].name, name) != 0))
        i++;
    if (i == GROUPS_MAX) {
        g->left++;
        return;
    }
    if (i == g->count)
        g->list[g->count++] = (struct group){.name = name, .version = d->version, .described = true};
    g->list[i].digest = gw_crc32c(g->list[i].digest, d->body, (size_t)d->body_bytes);
    g->list[i].bytes += d->body_bytes;
    g->list[i].count++;
    g->list[i].described &= d->state != NULL;
}

/* Prints one group, padded to its column. */
static void show(const struct group *g, unsigned columns, char *buf, size_t size)
{
    int width = columns == 1 ? 46 : columns == 2 ? 22 : 17;
    char name[64], more[32] = "";
    size_t n;

    if (g->count > 1)
        snprintf(more, sizeof more, " x%" PRIu64, g->count);
    n = strlen(more);
    gw_printable(g->name, name, sizeof name);
    if (strlen(name) + n > (size_t)width)
        snprintf(name + width - (int)n - 2, sizeof name - (size_t)width + n + 2, "..");
    strcat(name, more);
    if (columns == 3)
        snprintf(buf, size, "%-*s v%-3u%9s", width, name, g->version, human(g->bytes).text);
    else
        snprintf(buf, size, "%-*s v%-3u%10s  %08x%s", width, name, g->version, human(g->bytes).text, g->digest,
                 g->described ? "" : columns == 1 ? "  not described" : "");
}

/* Entries go down the columns, as in `ls`. */
static void put_table(struct screen *s, const struct groups *g, unsigned room)
{
    unsigned columns = g->count <= GW_MIN(room, WIDE_MAX) ? 1 : g->count <= room * 2 ? 2 : 3;
    unsigned shown = GW_MIN(g->count, room * columns), rows = (shown + columns - 1) / columns;
    uint64_t left = g->left;

    if (columns < 3)
        line(s, columns == 1 ? "  %-46s %-4s%10s  digest" : "  %-22s %-4s%10s  %-10s%-22s %-4s%10s  digest", "name", "", "size", "digest",
             "name", "", "size");
    for (unsigned r = 0; r < rows; r++) {
        char text[512] = "", one[128];
        size_t n = 0;

        for (unsigned c = 0; c < columns && c * rows + r < shown; c++) {
            show(&g->list[c * rows + r], columns, one, sizeof one);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", c ? "  " : "", one);
        }
        line(s, "  %s", text);
    }
    for (unsigned i = shown; i < g->count; i++)
        left += g->list[i].count;
    if (left)
        line(s, "  and %" PRIu64 " more", left);
}

static void put_devices(struct screen *s, const struct groups *g, unsigned below)
{
    const struct gw_inspect *in = s->in;
    unsigned used = s->lines + below + 4; /* an empty line, the title, the column heads, "and more" */

    line(s, "%s", "");
    if (!in->device_count) {
        line(s, "devices: none");
        return;
    }
    line(s, "devices: %zu, %s", in->device_count, human(g->bytes).text);
    put_table(s, g, used < GW_SCREEN_LINES ? GW_SCREEN_LINES - used : 1);
}

/* ---- warnings ---------------------------------------------------------------------------------------------------- */

static uint64_t unknown_sections(const struct gw_inspect *in)
{
    uint64_t n = 0;

    for (size_t i = 0; i < in->run_count; i++)
        n += in->runs[i].unknown ? in->runs[i].count : 0;
    return n;
}

/* A volume is larger than its contents, and a file copied from one ends with zeros. */
static bool is_padded(const struct gw_inspect *in)
{
    const struct gw_behind *b = &in->container.behind;

    return b->bytes && (b->roomy || !b->other);
}

static void put_warnings(struct screen *s, const struct groups *g)
{
    const struct gw_inspect *in = s->in;

    if (in->error.code)
        line(s, "warning: %s", in->error.text);
    if (in->container.lacking_bytes)
        line(s, "warning: %s of its memory was not received and is shown as zeros; `godwit salvage` makes it whole",
             human(in->container.lacking_bytes).text);
    if (in->multifd)
        line(s, "warning: multifd: most pages went over other channels and are not in it");
    if (in->postcopy)
        line(s, "warning: it switched to postcopy: the device state may be newer than the memory");
    if (in->checkpoints)
        line(s, "warning: %u checkpoints follow; the devices are those of the first", in->checkpoints);
    if (g->undescribed)
        line(s, "warning: %" PRIu64 " devices are not described: their values cannot be shown", g->undescribed);
    if (unknown_sections(in))
        line(s, "warning: %" PRIu64 " sections are not known, %s", unknown_sections(in), human(in->cause[GW_SPENT_UNKNOWN]).text);
    if (in->cause[GW_SPENT_TRAILING] && is_padded(in))
        line(s, "padding: %s%s after the end of the stream", human(in->cause[GW_SPENT_TRAILING]).text,
             in->container.behind.roomy ? " of the volume" : " of zeros");
    else if (in->cause[GW_SPENT_TRAILING])
        line(s, "warning: %s follow the end of the stream", human(in->cause[GW_SPENT_TRAILING]).text);
}

void gw_inspect_screen(const struct gw_inspect *in, const struct gw_inspect_options *o, struct gw_text *t)
{
    struct gw_text below = {0};
    struct screen s = {.in = in, .t = t}, b = {.in = in, .t = &below};
    struct groups *g = calloc(1, sizeof *g);

    if (!g) {
        t->failed = true;
        return;
    }
    put_head(&s, o->title);
    if (in->has_head) {
        for (size_t i = 0; i < in->device_count; i++)
            add_device(g, &in->devices[i]);
        put_warnings(&b, g);
        put_ram(&s);
        put_disks(&s);
        put_causes(&s);
        put_devices(&s, g, b.lines + 2);
        line(&s, "%s", "");
        if (below.bytes)
            gw_text_add(t, below.data, below.bytes);
        t->failed |= below.failed;
        line(&s, "%s", "--all shows everything, --device NAME the values of a device, --html OUT a page with pictures");
    }
    gw_text_free(&below);
    free(g);
}

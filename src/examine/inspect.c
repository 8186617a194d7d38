/* SPDX-License-Identifier: MIT */
#include "examine/inspect.h"

#include "base/bitmap.h"
#include "base/endian.h"
#include "base/sized.h"
#include "examine/inspect_parked.h"
#include "scan/parts.h"

#define GLOBALSTATE_BYTES 104u
#define TELL_RECORDS      64u  /* records between calls of progress */

static struct gw_inspect *of(void *opaque)
{
    return opaque;
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

static int on_head(void *opaque, const struct gw_wire_head *head)
{
    struct gw_inspect *in = of(opaque);

    in->has_head = true;
    in->head = head;
    in->cause[GW_SPENT_HEAD] += head->bytes;
    for (unsigned i = 0; i < head->capability_count; i++)
        if (!strcmp(head->capabilities[i], "mapped-ram"))
            in->hints |= GW_HINT_MAPPED;
    if (!strncmp(head->machine, "godwit-", 7))
        in->author.marks |= 1u << GW_AUTHOR_MACHINE;
    return 0;
}

static int add_run(struct gw_inspect *in, const struct gw_inspect_run *run)
{
    struct gw_inspect_run *last = in->run_count ? &in->runs[in->run_count - 1] : NULL;

    if (last && last->element == run->element && last->id == run->id && last->command == run->command &&
        last->checkpoint == run->checkpoint && last->packaged == run->packaged && run->element != GW_ELEMENT_FULL &&
        last->value == run->value && last->at + last->bytes == run->at) {
        last->bytes += run->bytes;
        last->count++;
        return 0;
    }
    if (in->run_count == GW_INSPECT_LISTED_MAX) {
        in->unlisted++;
        return 0;
    }
    if (in->run_count == in->run_cap) {
        size_t cap = GW_MAX(in->run_cap * 2, 64);
        struct gw_inspect_run *grown = realloc(in->runs, cap * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        in->runs = grown;
        in->run_cap = cap;
    }
    in->runs[in->run_count] = *run;
    in->runs[in->run_count++].count = 1;
    return 0;
}

static int on_command(void *opaque, const struct gw_scan_command *c)
{
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_run run = {.element = GW_ELEMENT_COMMAND, .command = c->number, .at = c->at, .bytes = c->bytes,
                                 .packaged = c->packaged, .checkpoint = in->checkpoints};

    in->cause[GW_SPENT_COMMANDS] += c->bytes;
    if (c->number == GW_COMMAND_PING || c->number == GW_COMMAND_PACKAGED)
        run.value = gw_load_be32(c->payload);
    gw_author_command(&in->author, c->number, (uint32_t)run.value);
    if (c->number == GW_COMMAND_SWITCHOVER_START)
        in->hints |= GW_HINT_SWITCHOVER;
    in->postcopy |= c->number == GW_COMMAND_PACKAGED;
    return add_run(in, &run);
}

/* The name of a run state, zeros up to byte 32, then data that differs by version (wire-format.md 13.1). */
static void look_at_globalstate(struct gw_inspect *in, const struct gw_inspect_device *d)
{
    const uint8_t *p = d->body;
    size_t n = 0;

    if (strcmp(d->name, "globalstate") != 0 || d->body_bytes != GLOBALSTATE_BYTES)
        return;
    while (n < 32 && p[4 + n] >= 0x20 && p[4 + n] < 0x7f)
        n++;
    memcpy(in->run_state, p + 4, n);
    in->run_state[n] = 0;
    in->hints |= p[4 + 32] == 1 ? GW_HINT_STATE_NEW : GW_HINT_STATE_OLD;
}

static int add_device(struct gw_inspect *in, const struct gw_scan_section *s)
{
    struct gw_inspect_device *d;

    if (in->device_count == GW_INSPECT_LISTED_MAX)
        return 0;
    if (in->device_count == in->device_cap) {
        size_t cap = GW_MAX(in->device_cap * 2, 64);
        struct gw_inspect_device *grown = realloc(in->devices, cap * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        in->devices = grown;
        in->device_cap = cap;
    }
    d = &in->devices[in->device_count++];
    *d = (struct gw_inspect_device){s->name, s->instance, s->version, s->id, s->at, s->body, s->body_bytes, s->state};
    look_at_globalstate(in, d);
    return 0;
}

static void count_ram(struct gw_inspect *in, const struct gw_scan_section *s)
{
    uint64_t rest = s->body_bytes - in->ram_bytes;

    in->ram_bytes = 0;
    if (s->element != GW_ELEMENT_START) {
        in->cause[GW_SPENT_RAM_MARKS] += rest;
        return;
    }
    for (unsigned i = 0; i < in->block_count; i++) {
        const struct gw_scan_block *b = in->blocks[i].block;
        uint64_t region;

        if (!b->mapped)
            continue;
        region = b->pages_at + b->used_bytes - b->bitmap_at - in->blocks[i].pages[GW_SCAN_MAPPED] *
                 gw_head_page_bytes(in->head);
        in->cause[GW_SPENT_MAPS] += b->bitmap_bytes;
        in->cause[GW_SPENT_GAPS] += region - b->bitmap_bytes;
        rest -= region;
    }
    in->cause[GW_SPENT_BLOCKS] += rest;
}

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_run run = {.element = s->element, .id = s->id, .name = s->name, .instance = s->instance,
                                 .version = s->version, .at = s->at, .bytes = s->bytes, .packaged = s->packaged,
                                 .checkpoint = s->checkpoint};
    int r;

    in->cause[GW_SPENT_FRAMES] += s->bytes - s->body_bytes;
    in->checkpoints = s->checkpoint;
    in->author.marks |= s->checkpoint ? 1u << GW_AUTHOR_COLO : 0;
    if (s->element == GW_ELEMENT_FULL) {
        in->cause[GW_SPENT_DEVICES] += s->body_bytes;
        r = s->checkpoint ? 0 : add_device(in, s);
        if (r < 0)
            return r;
    } else if (!strcmp(s->name, "ram")) {
        count_ram(in, s);
        gw_author_section(&in->author, s->element == GW_ELEMENT_END);
    } else if (!gw_scan_is_known(s->name)) {
        run.unknown = true;
        in->cause[GW_SPENT_UNKNOWN] += s->body_bytes;
    } else {
        bool disk = !strcmp(s->name, "block");

        in->cause[disk ? GW_SPENT_DISK : GW_SPENT_BITMAPS] += s->body_bytes;
        in->hints |= disk ? GW_HINT_DISK : 0u;
    }
    r = add_run(in, &run);
    if (r >= 0 && in->parked && s->element == GW_ELEMENT_PART && !strcmp(s->name, "ram"))
        r = gw_inspect_parked_pages(in, s);
    return r;
}

static int on_block(void *opaque, const struct gw_scan_block *block)
{
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_block *grown = realloc(in->blocks, (in->block_count + 1) * sizeof *grown), *b;
    uint64_t total;

    if (!grown)
        return -ENOMEM;
    in->blocks = grown;
    b = &grown[in->block_count++];
    *b = (struct gw_inspect_block){.block = block};
    if (gw_add_overflows(in->tracked_bytes, block->used_bytes, &total) || total > GW_INSPECT_TRACKED_MAX)
        return 0;
    b->seen = gw_bitmap_new(block->used_bytes / gw_head_page_bytes(in->head));
    if (b->seen)
        in->tracked_bytes = total;
    return 0;
}

static int on_page(void *opaque, const struct gw_scan_page *p)
{
    static const uint8_t causes[] = {[GW_SCAN_ZERO] = GW_SPENT_ZERO, [GW_SCAN_PLAIN] = GW_SPENT_PLAIN,
                                     [GW_SCAN_XBZRLE] = GW_SPENT_XBZRLE, [GW_SCAN_COMPRESSED] = GW_SPENT_COMPRESSED,
                                     [GW_SCAN_MAPPED] = GW_SPENT_MAPPED};
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_block *b = &in->blocks[p->block->index];
    uint64_t page = p->offset / gw_head_page_bytes(in->head);

    b->pages[p->kind]++;
    gw_author_page(&in->author, b->block, page, p->kind == GW_SCAN_ZERO);
    in->author.unordered |= p->kind == GW_SCAN_COMPRESSED;
    in->ram_bytes += p->head_bytes + p->payload_bytes;
    in->cause[p->kind == GW_SCAN_ZERO ? GW_SPENT_ZERO : GW_SPENT_PAGE_HEADS] += p->head_bytes;
    in->cause[causes[p->kind]] += p->payload_bytes;
    if (b->seen) {
        if (gw_bitmap_test(b->seen, page))
            b->again++;
        else
            gw_bitmap_set(b->seen, page);
    }
    if (in->progress && ++in->told_at % TELL_RECORDS == 0 && in->progress(in->progress_opaque, p->at, in->total_bytes))
        return gw_fail(&in->error, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    if (p->kind == GW_SCAN_COMPRESSED)
        in->hints |= GW_HINT_COMPRESSED;
    if (p->data)
        gw_pages_add(&in->pages, p->data, gw_head_page_bytes(in->head));
    return 0;
}

static int on_flush(void *opaque)
{
    of(opaque)->hints |= GW_HINT_FLUSH;
    of(opaque)->multifd = true;
    return 0;
}

static int on_disk(void *opaque, const struct gw_scan_disk *disk)
{
    struct gw_inspect *in = of(opaque);
    unsigned i = 0;

    while (i < in->disk_count && strcmp(in->disks[i].name, disk->name) != 0)
        i++;
    if (i == GW_INSPECT_NAMED_MAX)
        return 0;
    if (i == in->disk_count) {
        struct gw_inspect_disk *grown = realloc(in->disks, (i + 1) * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        in->disks = grown;
        grown[i] = (struct gw_inspect_disk){""};
        gw_strcopy(grown[i].name, sizeof grown[i].name, disk->name);
        in->disk_count++;
    }
    in->disks[i].zero += disk->zero;
    in->disks[i].data += !disk->zero;
    return 0;
}

static int on_bitmap(void *opaque, const struct gw_scan_bitmap *bitmap)
{
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_bitmap *b;
    unsigned i = 0;

    while (i < in->bitmap_count &&
           (strcmp(in->bitmaps[i].name, bitmap->name) != 0 || strcmp(in->bitmaps[i].node, bitmap->node) != 0))
        i++;
    if (i == GW_INSPECT_NAMED_MAX)
        return 0;
    if (i == in->bitmap_count) {
        struct gw_inspect_bitmap *grown = realloc(in->bitmaps, (i + 1) * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        in->bitmaps = grown;
        grown[i] = (struct gw_inspect_bitmap){""};
        gw_strcopy(grown[i].node, sizeof grown[i].node, bitmap->node);
        gw_strcopy(grown[i].name, sizeof grown[i].name, bitmap->name);
        in->bitmap_count++;
    }
    b = &in->bitmaps[i];
    if (bitmap->what == GW_SCAN_BITMAP_START) {
        b->granularity_bytes = bitmap->granularity_bytes;
        b->flags = bitmap->flags;
    }
    b->chunks += bitmap->what == GW_SCAN_BITMAP_BITS;
    b->complete |= bitmap->what == GW_SCAN_BITMAP_COMPLETE;
    return 0;
}

static int on_description(void *opaque, const struct gw_vmdesc_tree *tree, uint64_t at, uint64_t bytes)
{
    struct gw_inspect *in = of(opaque);
    struct gw_inspect_run run = {.element = GW_ELEMENT_VMDESC, .at = at, .bytes = bytes};

    in->cause[GW_SPENT_DESCRIPTION] += bytes;
    in->hints |= tree->configuration ? GW_HINT_DESCRIBES_HEAD : GW_HINT_DESCRIBES_NO_HEAD;
    /* Assigns descriptions to devices that came before the RAM, when the description was not known yet. */
    for (size_t i = 0; i < in->device_count && i < tree->device_count; i++) {
        const struct gw_vmdesc_device *d = &tree->devices[i];

        if (!in->devices[i].state && !strcmp(d->name, in->devices[i].name) && d->instance == in->devices[i].instance &&
            d->state.bytes == in->devices[i].body_bytes)
            in->devices[i].state = &d->state;
    }
    return add_run(in, &run);
}

static int on_eof(void *opaque, uint64_t at)
{
    struct gw_inspect_run run = {.element = GW_ELEMENT_EOF, .at = at, .bytes = 1, .checkpoint = of(opaque)->checkpoints};

    of(opaque)->ended = of(opaque)->author.ended = true;
    return add_run(of(opaque), &run);
}

static int on_trailing(void *opaque, uint64_t at, uint64_t bytes)
{
    struct gw_inspect *in = of(opaque);

    in->trailing_at = in->trailing_at ? in->trailing_at : at;
    in->cause[GW_SPENT_TRAILING] = GW_MAX(at + bytes, in->end_bytes) - in->trailing_at;
    return 0;
}

static const struct gw_scan_visitor visitor = {
    .head = on_head, .command = on_command, .section = on_section, .block = on_block, .page = on_page,
    .flush = on_flush, .disk = on_disk, .bitmap = on_bitmap, .description = on_description, .eof = on_eof,
    .trailing = on_trailing,
};

/* ---- the public door --------------------------------------------------------------------------------------------- */

int gw_inspect_new(struct gw_inspect **ret_inspect, struct gw_error *err)
{
    struct gw_inspect *in = calloc(1, sizeof *in);

    if (!in)
        return gw_nomem(err, "inspection");
    *ret_inspect = in;
    return 0;
}

int gw_inspect_read(struct gw_inspect *in, struct gw_channel *channel, struct gw_error *err)
{
    return gw_inspect_walk(in, channel, NULL, 0, 0, err);
}

int gw_inspect_walk(struct gw_inspect *in, struct gw_channel *channel, const void *ahead, size_t ahead_bytes,
                    uint64_t base, struct gw_error *err)
{
    uint64_t sum = 0;
    int r;

    if (in->open)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a stream was inspected with this object already");
    r = gw_reader_init(&in->reader, channel, err);
    if (r < 0)
        return r;
    in->open = true;
    in->reader.in.base = base;
    in->cause[GW_SPENT_HEAD] = base;
    if (ahead_bytes)
        memcpy(in->reader.buf, ahead, ahead_bytes);
    in->reader.in.end = ahead_bytes;
    gw_scan_init(&in->scan, &in->reader, &visitor, in);
    in->scan.page_bits = in->parked ? in->parked->page_bits : 0;
    in->scan.stops = in->end_bytes != 0;
    r = gw_scan_run(&in->scan, &in->error);
    if (r == -ENOMEM && !in->error.code)
        gw_nomem(&in->error, "inspection");
    in->bytes = GW_MAX(gw_reader_offset(&in->reader), in->trailing_at + in->cause[GW_SPENT_TRAILING]);
    for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
        sum += in->cause[i];
    in->cause[GW_SPENT_OTHER] = in->bytes > sum ? in->bytes - sum : 0;
    if (r < 0 && err)
        *err = in->error;
    return r;
}

bool gw_inspect_matches(const struct gw_inspect_device *d, const char *name)
{
    const char *slash = strrchr(d->name, '/'), *behind = strrchr(name, '/');
    size_t n = strlen(d->name);
    char *end;

    if (!strcmp(d->name, name) || (slash && !strcmp(slash + 1, name)))
        return true;
    if (!behind || (size_t)(behind - name) != n || strncmp(d->name, name, n) != 0 || !behind[1])
        return false;
    return strtoul(behind + 1, &end, 10) == d->instance && !*end;
}

const char *gw_inspect_kind(const struct gw_inspect *in)
{
    return in->scan.checkpoint ? "checkpoints" : in->postcopy ? "postcopy" : in->scan.mapped ? "mapped-ram" : "precopy";
}

void gw_inspect_source(const struct gw_inspect *in, struct gw_inspect_source *ret)
{
    /* Strongest evidence first. */
    static const struct {
        unsigned hint;
        const char *at_least, *before, *because;
    } rules[] = {
        {GW_HINT_SWITCHOVER, "10.0", NULL, "it sends SWITCHOVER_START"},
        {GW_HINT_MAPPED, "9.0", NULL, "it writes mapped-ram"},
        {GW_HINT_FLUSH, "8.1", NULL, "it marks the ends of multifd rounds"},
        {GW_HINT_DESCRIBES_HEAD, "8.0", NULL, "the description has the configuration"},
        {GW_HINT_STATE_NEW, "8.0", NULL, "the global state tells whether the machine was suspended"},
        {GW_HINT_COMPRESSED, NULL, "9.1", "it compresses pages one by one"},
        {GW_HINT_DISK, NULL, "9.1", "it sends disks"},
        {GW_HINT_DESCRIBES_NO_HEAD, NULL, "10.0", "the description lacks the configuration"},
        {GW_HINT_STATE_OLD, NULL, "10.0", "the global state does not tell whether the machine was suspended"},
    };

    unsigned marks = gw_author_marks(&in->author);

    if (in->container.kind && !strcmp(in->container.kind, "parked"))
        marks |= 1u << GW_AUTHOR_PARKED;
    *ret = (struct gw_inspect_source){.program = gw_author_name(marks), .at_least = "", .before = ""};
    for (unsigned i = 0; i < GW_AUTHOR_MARK_COUNT; i++)
        if (marks >> i & 1)
            ret->because[ret->because_count++] = gw_author_rule(i)->because;
    if (marks & 1u << GW_AUTHOR_MACHINE)
        return;
    for (size_t i = 0; i < GW_ARRAY_LEN(rules); i++) {
        if (!(in->hints & rules[i].hint))
            continue;
        if (rules[i].at_least && !*ret->at_least)
            ret->at_least = rules[i].at_least;
        if (rules[i].before && !*ret->before)
            ret->before = rules[i].before;
        ret->because[ret->because_count++] = rules[i].because;
    }
}

void gw_inspect_set_progress(struct gw_inspect *in,
                             bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes), void *opaque)
{
    in->progress = progress;
    in->progress_opaque = opaque;
}

int gw_inspect_print_sized(const struct gw_inspect *in, const struct gw_inspect_options *given, size_t given_bytes,
                           char **ret_text, struct gw_error *err)
{
    struct gw_inspect_options own, *options = &own;
    struct gw_text t = {0};
    int r = gw_sized_in(&own, sizeof own, given, given_bytes, 1, "struct gw_inspect_options", err);

    if (r < 0)
        return r;
    if (!in->open && !in->container.kind && !in->container.program)
        return gw_fail(err, -ENODATA, GW_BLAME_CALLER, "nothing was read");
    if (options->device) {
        size_t i = 0, shown = 0;

        while (i < in->device_count && !gw_inspect_matches(&in->devices[i], options->device))
            i++;
        if (i == in->device_count) {
            for (i = 0; i < in->device_count && shown < 300; i++) {
                gw_text_printf(&t, "%s%s", i ? ", " : "", in->devices[i].name);
                shown = t.bytes;
            }
            gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no device %s in it, but %s%s", options->device,
                    t.data ? t.data : "none at all", i < in->device_count ? ", ..." : "");
            gw_text_free(&t);
            return -ENOENT;
        }
    }
    if (options->json)
        gw_inspect_json(in, options, &t);
    else if (options->screen && !options->ram && !options->device)
        gw_inspect_screen(in, options, &t);
    else
        gw_inspect_text(in, options, &t);
    gw_text_add(&t, "", 0);
    if (t.failed) {
        gw_text_free(&t);
        return gw_nomem(err, "report");
    }
    *ret_text = t.data;
    return 0;
}

struct gw_inspect *gw_inspect_free(struct gw_inspect *in)
{
    if (!in)
        return NULL;
    for (unsigned i = 0; i < in->block_count; i++)
        gw_bitmap_free(in->blocks[i].seen, in->blocks[i].block->used_bytes / gw_head_page_bytes(in->head));
    if (in->open) {
        gw_scan_close(&in->scan);
        gw_reader_close(&in->reader);
    }
    gw_pages_close(&in->pages);
    free(in->runs);
    free(in->devices);
    free(in->blocks);
    free(in->disks);
    free(in->bitmaps);
    free(in);
    return NULL;
}

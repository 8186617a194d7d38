/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/command.h"
#include "wire/ram_record.h"

struct forward {
    const uint8_t *data;
    size_t bytes;
    bool footers;
    const struct gw_scan_search *what;
    struct gw_scan_found *list; /* the elements found so far: each one's end is the next one's beginning */
    size_t count, cap;
    uint64_t *failed; /* offsets from which no continuation exists */
    uint64_t budget;  /* bytes that may still be examined */
};

static bool full_at(const struct forward *f, size_t at, struct gw_scan_found *e)
{
    struct gw_section_head head;
    struct gw_in in;

    if (f->data[at] != GW_ELEMENT_FULL)
        return false;
    gw_in_memory(&in, f->data + at + 1, f->bytes - at - 1, at + 1);
    if (gw_section_get_head(&in, &head, NULL) < 0)
        return false;
    *e = (struct gw_scan_found){.element = GW_ELEMENT_FULL, .at = at, .body = (size_t)gw_in_offset(&in), .id = head.id,
                                .name = at + 6, .instance = head.instance, .version = head.version};
    e->name_bytes = (uint8_t)strlen(head.name);
    return e->version < 65536;
}

static bool command_at(const struct forward *f, size_t at, struct gw_scan_found *e)
{
    const struct gw_wire_name *what;
    struct gw_in in;
    uint16_t n;

    if (f->data[at] != GW_ELEMENT_COMMAND)
        return false;
    gw_in_memory(&in, f->data + at + 1, f->bytes - at - 1, at + 1);
    if (gw_command_get(&in, at, &what, &n, NULL) < 0 || n > gw_in_buffered(&in) || what->number == GW_COMMAND_PACKAGED)
        return false;
    *e = (struct gw_scan_found){.element = GW_ELEMENT_COMMAND, .at = at, .body = at + GW_COMMAND_HEAD_BYTES,
                                .body_bytes = n, .id = what->number, .end = at + GW_COMMAND_HEAD_BYTES + n};
    return true;
}

static bool at_live(const struct forward *f, size_t at)
{
    const uint8_t *p = f->data + at;
    struct gw_scan_found command;
    struct gw_ram_record record;
    char name[256];
    struct gw_in in;
    uint32_t id;

    if (p[0] == GW_ELEMENT_COMMAND)
        return command_at(f, at, &command);
    if (p[0] != GW_ELEMENT_START && p[0] != GW_ELEMENT_PART && p[0] != GW_ELEMENT_END)
        return false;
    gw_in_memory(&in, p + 1, f->bytes - at - 1, at + 1);
    if (gw_get_u32(&in, &id, NULL) < 0)
        return false;
    if (p[0] == GW_ELEMENT_START)
        return gw_get_name(&in, name, NULL) >= 0;
    for (unsigned i = 0; i < f->what->live_count; i++)
        if (f->what->live[i].id == id)
            return strcmp(f->what->live[i].name, "ram") != 0 ||
                   gw_ram_word_get(&in, f->what->page_bytes, &record, NULL) >= 0;
    return false;
}

static bool at_goal(struct forward *f, size_t at)
{
    const uint8_t *p = f->data + at;
    size_t left = f->bytes - at, i = 0;

    if (f->what->goal == GW_SCAN_TO_END)
        return !left;
    if (!left)
        return false;
    if (f->what->goal == GW_SCAN_TO_LIVE)
        return at_live(f, at);
    if (p[0] != GW_ELEMENT_EOF)
        return false;
    if (left > 1 && p[1] == GW_ELEMENT_VMDESC)
        return left <= 6 || p[6] == '{';
    while (i < left && !p[i])
        i++;
    f->budget -= GW_MIN(f->budget, i);
    return i == left;
}

static int push(struct forward *f, size_t at, bool *ret_pushed, struct gw_error *err)
{
    struct gw_scan_found e;

    *ret_pushed = false;
    if (at >= f->bytes || gw_bitmap_test(f->failed, at) || (!full_at(f, at, &e) && !command_at(f, at, &e)))
        return 0;
    if (f->count == GW_SCAN_FOUND_MAX)
        return gw_fail(err, -E2BIG, GW_BLAME_PEER, "more than %u device sections before byte %zu of them",
                       GW_SCAN_FOUND_MAX, at);
    if (f->count == f->cap) {
        size_t cap = GW_MAX(f->cap * 2, 32);
        struct gw_scan_found *grown = realloc(f->list, cap * sizeof *grown);

        if (!grown)
            return gw_nomem(err, "device sections");
        f->list = grown;
        f->cap = cap;
    }
    f->list[f->count++] = e;
    *ret_pushed = true;
    return 0;
}

/* The next possible end of this section; false: there is none. */
static bool next_end(struct forward *f, struct gw_scan_found *e)
{
    size_t from = e->end ? e->end + 1 : e->body + (f->footers ? 5 : 0);
    uint8_t footer[5] = {GW_ELEMENT_FOOTER};
    const uint8_t *p;

    if (e->element == GW_ELEMENT_COMMAND || from > f->bytes)
        return false;
    if (!f->footers) {
        f->budget -= GW_MIN(f->budget, 1);
        e->end = from;
        e->body_bytes = e->end - e->body;
        return f->budget > 0;
    }
    gw_store_be32(footer + 1, e->id);
    p = memmem(f->data + from - 5, f->bytes - (from - 5), footer, 5);
    f->budget -= GW_MIN(f->budget, (p ? (size_t)(p - f->data) : f->bytes) - (from - 5) + 1);
    if (!p || !f->budget)
        return false;
    e->end = (size_t)(p - f->data) + 5;
    e->body_bytes = e->end - 5 - e->body;
    return true;
}

static int search(struct forward *f, size_t *ret_end, struct gw_error *err)
{
    bool pushed = false, fresh = true;
    int r = push(f, 0, &pushed, err);

    while (r >= 0 && f->count && f->budget) {
        struct gw_scan_found *top = &f->list[f->count - 1];

        /* The end of a command is known from its beginning. */
        if (!(fresh && top->element == GW_ELEMENT_COMMAND) && !next_end(f, top)) {
            gw_bitmap_set(f->failed, top->at);
            f->count--;
            fresh = false;
            continue;
        }
        if (at_goal(f, top->end)) {
            *ret_end = top->end;
            return 0;
        }
        r = push(f, top->end, &pushed, err);
        fresh = pushed;
    }
    return r < 0 ? r : gw_fail(err, -EPROTO, GW_BLAME_PEER, "device sections that cannot be told apart");
}

int gw_scan_forward(const struct gw_scan_search *what, struct gw_scan_found **ret_list, size_t *ret_count,
                    size_t *ret_end, struct gw_error *err)
{
    struct forward f = {.data = what->data, .bytes = what->bytes, .footers = what->footers, .what = what,
                        .budget = 16 * (uint64_t)what->bytes + GW_MIB};
    int r;

    f.failed = gw_bitmap_new(f.bytes);
    if (!f.failed)
        return gw_nomem(err, "device sections");
    r = search(&f, ret_end, err);
    gw_bitmap_free(f.failed, f.bytes);
    if (r < 0) {
        free(f.list);
        return r;
    }
    *ret_list = f.list;
    *ret_count = f.count;
    return 0;
}

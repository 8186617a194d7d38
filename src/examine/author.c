/* SPDX-License-Identifier: MIT */
#include "examine/author.h"

#include "wire/numbers.h"

#define BATCH_PAGES 512u /* the largest batch of a godwit source */
#define CUT_PAGES   128u /* a batch may end early where a multiple of this begins */

const struct gw_author_rule *gw_author_rule(enum gw_author_mark mark)
{
    static const struct gw_author_rule rules[] = {
#define F(name, program, because) {program, because},
        GW_AUTHOR_MARKS(F)
#undef F
    };

    return &rules[mark];
}

static void look_for_batches(struct gw_author *a, uint64_t page)
{
    a->batches |= page >= a->from && page < a->highest;
    a->highest = GW_MAX(a->highest, page);
}

static void look_for_single_pages(struct gw_author *a, uint64_t page, bool zero)
{
    if (zero && a->before && a->before == page) {
        if (a->began && page % CUT_PAGES && page >= a->began)
            a->closest = GW_MIN(a->closest, page + 1 - a->began);
        a->began = page + 1;
    }
    a->before = zero ? 0 : page + 1;
    a->plain += !zero;
}

static void begin_section(struct gw_author *a)
{
    a->block = NULL;
    a->plain = 0;
    a->closest = BATCH_PAGES;
}

void gw_author_page(struct gw_author *a, const void *block, uint64_t page, bool zero)
{
    if (!a->block)
        begin_section(a);
    if (a->block != block) {
        a->from = a->block || !a->later ? 0 : page; /* a later section may begin at any page */
        a->highest = 0;
        a->before = 0;
        a->began = zero ? 0 : page + 1; /* a batch has one block, and its zeros come first */
        a->block = block;
    }
    look_for_batches(a, page);
    look_for_single_pages(a, page, zero);
}

void gw_author_section(struct gw_author *a, bool end)
{
    if (a->block) {
        a->page_by_page |= a->closest < BATCH_PAGES && 2 * a->closest < a->plain;
        a->later = true;
    }
    a->has_ram = true;
    a->ram_ended |= end;
    begin_section(a);
}

void gw_author_command(struct gw_author *a, uint16_t command, uint32_t value)
{
    if ((command == GW_COMMAND_PING && value == GW_PING_COOKIE) || command == GW_COMMAND_GODWIT_COMMIT ||
        command == GW_COMMAND_GODWIT_ABORT)
        a->marks |= 1u << GW_AUTHOR_EXTENSIONS;
    if ((command >= GW_COMMAND_POSTCOPY_ADVISE && command <= GW_COMMAND_PACKAGED) ||
        command == GW_COMMAND_POSTCOPY_RESUME || command == GW_COMMAND_RECV_BITMAP)
        a->postcopy = true;
    if (command == GW_COMMAND_ENABLE_COLO)
        a->marks |= 1u << GW_AUTHOR_COLO;
}

unsigned gw_author_marks(const struct gw_author *a)
{
    unsigned marks = a->marks;

    if (a->batches && a->ram_ended && !a->unordered && !a->postcopy && !(marks & 1u << GW_AUTHOR_COLO))
        marks |= 1u << GW_AUTHOR_BATCHES;
    if (a->page_by_page && !a->unordered && !a->postcopy)
        marks |= 1u << GW_AUTHOR_PAGE_BY_PAGE;
    return marks;
}

const char *gw_author_name(unsigned marks)
{
    const char *found = NULL;

    for (unsigned i = 0; i < GW_AUTHOR_MARK_COUNT; i++) {
        if (!(marks >> i & 1))
            continue;
        if (found && strcmp(found, gw_author_rule(i)->program) != 0)
            return NULL;
        found = gw_author_rule(i)->program;
    }
    return found;
}

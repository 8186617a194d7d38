/* SPDX-License-Identifier: MIT
 *
 * author: finds which program wrote a stream from features that only this program has.
 *
 * The machine type and version are no evidence: godwit writes streams of QEMU's machines, with the state as QEMU wrote
 * it. Evidence is in extensions, commands and sections that only one program has, and in the order of page records
 * (godwit's comes from ram/layout/stream_put.c, which puts the zeros of a batch first):
 *
 *     batches       A page comes behind a higher one: the zero pages of its batch were first. QEMU sends the pages of a section
 *                   in order; from the end of RAM it goes on at the beginning, up to where the section began. In a
 *                   background snapshot (no END of the RAM), in postcopy, and with compression threads the order is no
 *                   evidence.
 *     page by page A zero page directly follows the page before it, which is not a zero page. In godwit's order a batch
 *     begins there. A
 *                   batch has 512 pages, or at least half as many as the plain pages of its PART (ram/live.c), unless it ends at
 *                   a multiple of 128 pages: so two such places, or one and the section's first page, cannot be closer.
 *
 * If marks of both programs are found, or none, the program is unknown.
 */
#ifndef GW_EXAMINE_AUTHOR_H
#define GW_EXAMINE_AUTHOR_H

#include "base/base.h"

/* F(NAME, "program", "the evidence for it") */
#define GW_AUTHOR_MARKS(F)                                                                                             \
    F(PARKED, "godwit", "it is in a parked file")                                                                    \
    F(MACHINE, "godwit", "the machine is godwit's own")                                                                \
    F(EXTENSIONS, "godwit", "it has commands of godwit's extensions")                                                  \
    F(BATCHES, "godwit", "zero pages come ahead of other pages, batch by batch")                                       \
    F(PAGE_BY_PAGE, "QEMU", "zero pages come among other pages, one by one")                                           \
    F(COLO, "QEMU", "it has checkpoints")

/* When godwit learns a feature (engine/features.h), a mark "only QEMU does this" ends; tests/unit/examine/test_author.c
 * checks that. */
enum gw_author_mark {
#define F(name, program, because) GW_AUTHOR_##name,
    GW_AUTHOR_MARKS(F)
#undef F
    GW_AUTHOR_MARK_COUNT
};

struct gw_author_rule {
    const char *program, *because;
};
const struct gw_author_rule *gw_author_rule(enum gw_author_mark mark);

struct gw_author {
    unsigned marks;            /* 1 << GW_AUTHOR_x; gw_author_marks computes further ones */
    bool postcopy; /* pages may arrive on request, and the RAM has no END before that */
    bool batches, page_by_page, unordered; /* findings on the order of records; unordered: it is no evidence */
    bool has_ram, later, ram_ended, ended; /* later: at least one section with records has ended */

    /* of the current section */
    const void *block;         /* of the last record; NULL: there was none */
    uint64_t from, highest;    /* pages of the block: where the section began; the highest page recorded */
    uint64_t before;           /* the page after the last record's; 0: that was a zero page */
    uint64_t began;            /* where a godwit batch would have begun, plus 1; 0: not known */
    uint64_t closest, plain;   /* the smallest size of such a batch; records of pages that are not zeros */
};

/* Adds a record of a page. `block`: any pointer that identifies the block. */
void gw_author_page(struct gw_author *a, const void *block, uint64_t page, bool zero);
/* The section of RAM with these records has ended. end: it was the END. */
void gw_author_section(struct gw_author *a, bool end);
void gw_author_command(struct gw_author *a, uint16_t command, uint32_t value);
/* All marks found. */
unsigned gw_author_marks(const struct gw_author *a);
/* "godwit", "QEMU"; NULL: unknown. */
const char *gw_author_name(unsigned marks);

#endif

/* SPDX-License-Identifier: MIT
 *
 * author: which program wrote a stream, by what only that program writes.
 *
 * The machine and its version say nothing of it: godwit writes streams of QEMU's machines, with the state as QEMU wrote it. What
 * does tell are extensions, commands and sections of one program only, and the order of page records (godwit's comes from
 * ram/layout/stream_put.c, which puts the zeros of a batch first):
 *
 *     batches       A page comes behind a higher one: the zero pages of its batch were first. QEMU sends the pages of a section
 *                   in order; from the end of RAM it goes on at the beginning, up to where the section began. Not so in a
 *                   background snapshot (no END of the RAM), in postcopy, and where threads compress pages: there the order tells
 *                   nothing.
 *     page by page  A zero page comes right behind the page before it, which is none. In godwit's order a batch begins there. A
 *                   batch has 512 pages, or at least half as many as the plain pages of its PART (ram/live.c), unless it ends at
 *                   a multiple of 128 pages: so two such places, or one and the section's first page, cannot be closer.
 *
 * Where marks of both are found, or none, it cannot be told.
 */
#ifndef GW_EXAMINE_AUTHOR_H
#define GW_EXAMINE_AUTHOR_H

#include "base/base.h"

/* F(NAME, "program", "how that is seen") */
#define GW_AUTHOR_MARKS(F)                                                                                             \
    F(PARKED, "godwit", "it is in a parked file")                                                                    \
    F(MACHINE, "godwit", "the machine is godwit's own")                                                                \
    F(EXTENSIONS, "godwit", "it has commands of godwit's extensions")                                                  \
    F(BATCHES, "godwit", "zero pages come ahead of other pages, batch by batch")                                       \
    F(PAGE_BY_PAGE, "QEMU", "zero pages come among other pages, one by one")                                           \
    F(COLO, "QEMU", "it has checkpoints")

/* What QEMU alone does ends where godwit learns it (engine/features.h); tests/unit/examine/test_author.c looks. */
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
    unsigned marks;            /* 1 << GW_AUTHOR_x; more are only found by gw_author_marks */
    bool postcopy; /* pages may come as they are asked for, and RAM has no END before they do */
    bool batches, page_by_page, unordered; /* the order of records; unordered: it says nothing */
    bool has_ram, later, ram_ended, ended; /* later: a section with records is over */

    /* of the section that is being read */
    const void *block;         /* of the last record; NULL: there was none */
    uint64_t from, highest;    /* pages of the block: where the section began; of a record */
    uint64_t before;           /* the last record was for the page before this one; 0: for a zero page */
    uint64_t began;            /* where a batch of godwit's would have begun, plus 1; 0: not known */
    uint64_t closest, plain;   /* pages of such a batch, at least; records of pages that are not zeros */
};

/* A record for a page. `block`: anything that tells one block from others. */
void gw_author_page(struct gw_author *a, const void *block, uint64_t page, bool zero);
/* The section of RAM whose records these were is over. end: it was the END. */
void gw_author_section(struct gw_author *a, bool end);
void gw_author_command(struct gw_author *a, uint16_t command, uint32_t value);
/* All marks that were found. */
unsigned gw_author_marks(const struct gw_author *a);
/* "godwit", "QEMU"; NULL: it cannot be told. */
const char *gw_author_name(unsigned marks);

#endif

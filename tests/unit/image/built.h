/* SPDX-License-Identifier: MIT
 *
 * built: streams of a small machine whose parts a test chooses: the size of a page, live sections that are not known, what
 * the description says.
 */
#ifndef TEST_BUILT_H
#define TEST_BUILT_H

#include "base/cursor.h"
#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"
#include "wire/section.h"

#define BUILT_RAM     2u
#define BUILT_UNKNOWN 0x233u
#define BUILT_PAGES   24u

enum built_pages { BUILT_ZEROS, BUILT_PLAIN, BUILT_MIXED };

struct built {
    struct gw_out out;
    uint32_t page_bytes;
    bool no_footers;
};

static inline void built_footer(struct built *b, uint32_t id)
{
    if (!b->no_footers)
        gw_section_put_footer(&b->out, id);
}

/* The head says nothing of the size of a page. */
static inline void built_begin(struct built *b, uint32_t page_bytes)
{
    struct gw_wire_head head = {.configured = true, .machine = "built"};
    bool no_footers = b->no_footers;

    *b = (struct built){.page_bytes = page_bytes, .no_footers = no_footers};
    gw_out_memory(&b->out);
    gw_head_put(&b->out, &head);
}

static inline void built_ram_start(struct built *b)
{
    gw_section_put_head(&b->out, GW_ELEMENT_START,
                        &(struct gw_section_head){.id = BUILT_RAM, .version = GW_RAM_SECTION_VERSION, .name = "ram"});
    gw_ram_list_put_total(&b->out, (uint64_t)BUILT_PAGES * b->page_bytes);
    gw_ram_list_put(&b->out, "r", (uint64_t)BUILT_PAGES * b->page_bytes, NULL);
    gw_ram_put_end(&b->out);
    built_footer(b, BUILT_RAM);
}

static inline void built_ram(struct built *b, uint8_t element, unsigned first, unsigned count, enum built_pages pages)
{
    uint8_t page[1u << GW_PAGE_BITS_MAX];

    gw_section_put_part(&b->out, element, BUILT_RAM);
    for (unsigned i = first; i < first + count; i++) {
        bool zero = pages == BUILT_ZEROS || (pages == BUILT_MIXED && i % 3);

        memset(page, 0x11 + (int)i, sizeof page);
        gw_ram_record_put(&b->out, (uint64_t)i * b->page_bytes, zero ? GW_RAMF_ZERO : GW_RAMF_PAGE, i == first ? "r" : NULL);
        if (zero)
            gw_ram_put_zero(&b->out);
        else
            for (uint32_t at = 0; at < b->page_bytes; at += 1024)
                gw_put_bytes(&b->out, page, 1024);
    }
    gw_ram_put_end(&b->out);
    built_footer(b, BUILT_RAM);
}

static inline void built_unknown(struct built *b, uint8_t element, const void *body, size_t bytes)
{
    if (element == GW_ELEMENT_START)
        gw_section_put_head(&b->out, element, &(struct gw_section_head){.id = BUILT_UNKNOWN, .version = 1, .name = "fork"});
    else
        gw_section_put_part(&b->out, element, BUILT_UNKNOWN);
    for (size_t at = 0; at < bytes; at += 1024)
        gw_put_bytes(&b->out, (const uint8_t *)body + at, GW_MIN(bytes - at, (size_t)1024));
    built_footer(b, BUILT_UNKNOWN);
}

/* Two devices of 8 bytes; the description says that the second has so many. 0: there is none. */
static inline void built_end(struct built *b, unsigned said)
{
    char text[512];
    int n;

    for (uint32_t i = 0; i < 2; i++) {
        gw_section_put_head(&b->out, GW_ELEMENT_FULL,
                            &(struct gw_section_head){.id = 40 + i, .instance = i, .version = 1, .name = "dev"});
        gw_put_u64(&b->out, 0x0102030405060708);
        built_footer(b, 40 + i);
    }
    gw_put_u8(&b->out, GW_ELEMENT_EOF);
    n = snprintf(text, sizeof text,
                 "{\"page_size\": %u, \"devices\": [{\"name\": \"dev\", \"instance_id\": 0, \"vmsd_name\": \"dev\", \"version\": 1, "
                 "\"fields\": [{\"name\": \"a\", \"type\": \"uint64\", \"size\": 8}]}, {\"name\": \"dev\", \"instance_id\": 1, "
                 "\"vmsd_name\": \"dev\", \"version\": 1, \"fields\": [{\"name\": \"a\", \"type\": \"buffer\", \"size\": %u}]}]}",
                 b->page_bytes, said);
    gw_wire_put_vmdesc(&b->out, text, said ? (size_t)n : 0);
}

/* The usual order of QEMU: body is that of a PART; START and END have other ones. */
static inline void built_whole(struct built *b, const void *body, size_t bytes, unsigned said)
{
    built_begin(b, 4096);
    built_ram_start(b);
    built_unknown(b, GW_ELEMENT_START, "start", 5);
    built_ram(b, GW_ELEMENT_PART, 0, BUILT_PAGES / 2, BUILT_MIXED);
    built_unknown(b, GW_ELEMENT_PART, body, bytes);
    built_ram(b, GW_ELEMENT_PART, BUILT_PAGES / 2, BUILT_PAGES / 2, BUILT_MIXED);
    built_unknown(b, GW_ELEMENT_PART, body, bytes);
    built_ram(b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    built_unknown(b, GW_ELEMENT_END, "", 0);
    built_end(b, said);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * walk: a stream that a test has built, walked through in pieces, and what was seen of it.
 */
#ifndef TEST_SCAN_WALK_H
#define TEST_SCAN_WALK_H

#include "../image/streams.h"

#include <cmocka.h>

#include "../image/built.h"
#include "scan/parts.h"

struct seen {
    uint32_t page_bytes;
    unsigned unknown, devices, described, pages;
    size_t body[8];
    uint64_t sum; /* of the bodies' bytes */
    const struct trickle *channel;
    size_t known_at; /* bytes that had come when the size of a page was known */
};

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    struct seen *seen = opaque;

    if (s->element == GW_ELEMENT_FULL) {
        seen->devices++;
        seen->described += s->state != NULL;
    } else if (!strcmp(s->name, "fork")) {
        assert_non_null(s->body);
        assert_true(seen->unknown < GW_ARRAY_LEN(seen->body));
        seen->body[seen->unknown++] = s->body_bytes;
        for (size_t i = 0; i < s->body_bytes; i++)
            seen->sum += s->body[i];
    }
    return 0;
}

static int on_page(void *opaque, const struct gw_scan_page *page)
{
    ((struct seen *)opaque)->pages++;
    return 0;
}

static int on_page_size(void *opaque, uint32_t page_bytes)
{
    struct seen *seen = opaque;

    seen->page_bytes = page_bytes;
    seen->known_at = seen->channel->at;
    return 0;
}

static const struct gw_scan_visitor visitor = {.section = on_section, .page = on_page, .page_size = on_page_size};

/* piece: bytes that come at a time. */
static inline int walk(const uint8_t *data, size_t bytes, size_t piece, struct seen *seen, struct gw_error *err)
{
    struct trickle channel;
    struct gw_reader r;
    struct gw_scan s;
    int e;

    *seen = (struct seen){.channel = &channel};
    *err = (struct gw_error)GW_ERROR_INIT;
    trickle_init(&channel, data, bytes, piece);
    assert_int_equal(gw_reader_init(&r, &channel.channel, NULL), 0);
    gw_scan_init(&s, &r, &visitor, seen);
    e = gw_scan_run(&s, err);
    gw_scan_close(&s);
    gw_reader_close(&r);
    return e;
}

static inline int walk_built(const struct built *b, size_t piece, struct seen *seen, struct gw_error *err)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(&b->out, &bytes);

    return walk(data, bytes, piece, seen, err);
}

#endif

/* SPDX-License-Identifier: MIT */
#include "postcopy_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"

enum { PING = 2, ADVISE = 3, DISCARD = 6, PACKAGED = 7, RESUME = 9, RECV_BITMAP = 10 };

__attribute__((format(printf, 2, 3))) static void wrong(struct peer *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!*p->wrong)
        vsnprintf(p->wrong, sizeof p->wrong, fmt, ap);
    va_end(ap);
    p->lost = true;
}

/* Returns zeros once the connection is lost. */
static void get(struct peer *p, void *to, size_t bytes)
{
    memset(to, 0, bytes);
    if (!p->lost && gw_channel_read_full(p->channel, to, bytes, NULL) < 0)
        p->lost = true;
    if (!p->lost)
        p->bytes.in += bytes;
}

static uint64_t number(struct peer *p, unsigned bytes)
{
    uint8_t b[8];
    uint64_t v = 0;

    get(p, b, bytes);
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | b[i];
    return v;
}

static void say(struct peer *p, const void *what, size_t bytes)
{
    if (!p->lost && gw_channel_write_full(p->channel, what, bytes, NULL) < 0)
        p->lost = true;
    p->bytes.out += bytes;
}

static void say_number(struct peer *p, uint16_t type, uint32_t value)
{
    uint8_t m[8] = {0, (uint8_t)type, 0, 4};

    gw_store_be32(&m[4], value);
    say(p, m, sizeof m);
}

static void ask(struct peer *p, unsigned page)
{
    uint8_t m[18] = {0, 3, 0, 14, [16] = 1, 'r'};

    gw_store_be64(&m[4], (uint64_t)page * PEER_PAGE);
    gw_store_be32(&m[12], PEER_PAGE);
    say(p, m, sizeof m);
}

static void name(struct peer *p)
{
    if (number(p, 1) != 1 || number(p, 1) != 'r')
        if (!p->lost)
            wrong(p, "another block than r");
}

/* Reads the records of a section, up to the mark. A source must not send a running machine a page that it has. */
static void pages(struct peer *p)
{
    uint64_t head;

    while (!p->lost && !((head = number(p, 8)) & 0x10)) {
        uint64_t page = head / PEER_PAGE;

        if (p->lost)
            return;
        if (head & 0x04) {
            name(p);
            number(p, 8);
            continue;
        }
        if (!(head & 0x20))
            name(p);
        if (!(head & 0x0a) || page >= PEER_PAGES || (p->runs && p->have[page])) {
            wrong(p, "record 0x%llx, resumed %d", (unsigned long long)head, p->resumed);
            return;
        }
        if (head & 0x08) {
            uint8_t body[PEER_PAGE];

            get(p, body, sizeof body);
            if (!p->lost) /* a page that was cut off is not placed */
                memcpy(&p->ram[page * PEER_PAGE], body, sizeof body);
        } else {
            number(p, 1);
            if (!p->lost)
                memset(&p->ram[page * PEER_PAGE], 0, PEER_PAGE);
        }
        p->have[page] |= !p->lost;
    }
}

static void discard(struct peer *p, const uint8_t *b, unsigned bytes)
{
    for (unsigned at = 4; at + 16 <= bytes; at += 16) {
        uint64_t first = gw_load_be64(&b[at]) / PEER_PAGE, n = gw_load_be64(&b[at + 8]) / PEER_PAGE;

        if (first + n > PEER_PAGES) {
            wrong(p, "discards pages %llu+%llu", (unsigned long long)first, (unsigned long long)n);
            return;
        }
        for (uint64_t i = first; i < first + n; i++)
            p->have[i] = false;
    }
}

static void take_package(struct peer *p, uint64_t left)
{
    p->bytes.package = p->bytes.in;
    while (left-- && !p->lost)
        number(p, 1);
    p->bytes.packaged = p->bytes.in;
    if (p->lost)
        return;
    p->runs = true;
    say_number(p, 2, 3);
    ask(p, PEER_PAGES - 1);
    ask(p, 2);
}

static void tell_map(struct peer *p)
{
    uint8_t m[6 + 8 + 8 + 8] = {0, 5, 0, 2, 1, 'r', [13] = 8, [22] = 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

    for (unsigned i = 0; i < PEER_PAGES; i++)
        m[14 + i / 8] |= (uint8_t)(p->have[i] << i % 8);
    say(p, m, sizeof m);
}

static void command(struct peer *p)
{
    unsigned what = (unsigned)number(p, 2), bytes = (unsigned)number(p, 2);
    uint8_t b[1024];

    if (bytes > sizeof b) {
        wrong(p, "a command of %u bytes", bytes);
        return;
    }
    get(p, b, bytes);
    if (p->lost)
        return;
    if (p->resumed != (what == RECV_BITMAP || what == RESUME) && what != PING)
        wrong(p, "command %u", what);
    else if (what == PING)
        say_number(p, 2, gw_load_be32(b));
    else if (what == DISCARD)
        discard(p, b, bytes);
    else if (what == PACKAGED)
        take_package(p, gw_load_be32(b));
    else if (what == RECV_BITMAP)
        tell_map(p);
    else if (what == RESUME)
        say_number(p, 6, 1);
}

static void end(struct peer *p)
{
    for (unsigned i = 0; i < PEER_PAGES; i++)
        if (!p->have[i])
            wrong(p, "an end without page %u", i);
    if (p->lost)
        return;
    p->whole = true;
    say_number(p, 1, 0);
}

/* 1: more elements follow. */
static bool element(struct peer *p)
{
    uint8_t what = (uint8_t)number(p, 1), skip[8 + 1 + 256 + 8];
    uint64_t n;

    if (p->lost)
        return false;
    switch (what) {
    case 0: /* EOF */
        end(p);
        return false;
    case 1: /* START, of ram */
        number(p, 4);
        n = number(p, 1);
        get(p, skip, n + 8);
        pages(p);
        break;
    case 2: /* PART, END */
    case 3:
        number(p, 4);
        pages(p);
        break;
    case 7: /* configuration */
        n = number(p, 4);
        get(p, skip, GW_MIN(n, sizeof skip));
        return true;
    case 8:
        command(p);
        return true;
    default:
        wrong(p, "element %u", what);
    }
    if (number(p, 1) != 0x7e && !p->lost)
        wrong(p, "no footer");
    number(p, 4);
    return true;
}

static void *attend(void *arg)
{
    struct peer *p = arg;

    if (!p->resumed)
        number(p, 8);
    while (!p->lost && element(p))
        ;
    p->channel = gw_channel_free(p->channel);
    return NULL;
}

void peer_start(struct peer *p, struct gw_channel *take_channel, bool resumed)
{
    p->channel = take_channel;
    p->resumed = resumed;
    p->lost = false;
    p->bytes.in = p->bytes.out = 0;
    assert_int_equal(pthread_create(&p->thread, NULL, attend, p), 0);
}

void peer_join(struct peer *p)
{
    pthread_join(p->thread, NULL);
}

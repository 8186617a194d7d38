/* SPDX-License-Identifier: MIT
 *
 * classify: finds out by the first bytes of a new connection which channel of a session it is.
 *
 *     51 45 56 4d            main
 *     11 22 33 44, 64 bytes  a channel of pages, with its number
 *     08                     the main channel again, where a broken migration is recovered: commands, no head
 *     nothing, or a record   urgent pages, where they are expected. The first record names its block: 8 bytes decide
 *
 * A probe of the link (67 64 77 70) is no channel of a session: the door answers it (probe.h).
 *
 * Hostile: anyone who can connect and sends nothing can become the urgent channel. Its records are checked like those
 * of all other channels.
 */
#ifndef GW_ENGINE_CLASSIFY_H
#define GW_ENGINE_CLASSIFY_H

#include "channel/links.h"

/* What this session expects. */
struct gw_classify {
    uint8_t uuid[16]; /* UUID of the machine; zeros: it has none */
    bool any_uuid;    /* the machine is not known before its head comes: any UUID is accepted */
    unsigned pages;   /* number of page channels; 0: multifd is off */
    bool urgent;
    bool recover; /* a broken migration is recovered: the main channel comes without a head */
};

/* first[0 .. got) are the first bytes of a new connection; silent: the time for more bytes is over. Returns 0 and sets
 * *ret; or returns how many bytes are needed to decide: more than got, at most GW_GREETING_BYTES; or an error: the
 * connection is refused. Any thread. */
int gw_classify(const struct gw_classify *c, const uint8_t *first, size_t got, bool silent, struct gw_link_id *ret,
                struct gw_error *err);

#endif

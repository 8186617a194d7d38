/* SPDX-License-Identifier: MIT
 *
 * classify: which channel of a session a new connection is, told by its first bytes.
 *
 *     51 45 56 4d            main
 *     11 22 33 44, 64 bytes  pages, with the number of the channel
 *     08                     main once more, where a broken migration is recovered: commands, no head
 *     nothing, or a record   urgent pages, where they are expected. The first record names its block: 8 bytes tell it
 *
 * A probe of the link (67 64 77 70) is none of them: the door answers it (probe.h).
 *
 * Hostile: whoever can connect can say nothing, so a stranger can become the urgent channel. Only its records are
 * trusted less than its place: they are checked like all others.
 */
#ifndef GW_ENGINE_CLASSIFY_H
#define GW_ENGINE_CLASSIFY_H

#include "channel/links.h"

/* What this session expects. */
struct gw_classify {
    uint8_t uuid[16]; /* of the machine; zeros: it has none */
    bool any_uuid;    /* it is not known yet which machine comes */
    unsigned pages;   /* channels; 0: multifd is off */
    bool urgent;
    bool recover; /* a migration that broke: no main channel with a head comes */
};

/* first[0 .. got) are the first bytes of a new connection; silent: no more came in the time that it has. 0 with *ret; or how many
 * bytes it takes to know, more than got, at most GW_GREETING_BYTES; or an error: refused. Any thread. */
int gw_classify(const struct gw_classify *c, const uint8_t *first, size_t got, bool silent, struct gw_link_id *ret,
                struct gw_error *err);

#endif

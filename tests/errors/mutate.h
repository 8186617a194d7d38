/* SPDX-License-Identifier: MIT
 *
 * mutate: seeded damage to a stream, by someone who knows how one is built.
 */
#ifndef MUTATE_H
#define MUTATE_H

#include "rig.h"

#include "../unit/state/zoo.h"

/* Where things are in a whole stream of a rig. */
struct anatomy {
    struct {
        size_t begin, end;
    } part[512];      /* elements, the head first */
    unsigned parts;
    struct {
        size_t at;
        unsigned bytes;
    } number[4096];   /* lengths, ids, versions, counts, record words */
    unsigned numbers;
};

/* Asserts (aborts) when the stream is not one of a rig. */
void anatomy_of(const struct rig_bytes *stream, struct anatomy *ret);

/* A damaged copy (out->data is reused): one to three wounds. donor: another stream, to splice from. Returns a word for
 * the last kind of damage. */
const char *mutate(const struct rig_bytes *stream, const struct anatomy *a, const struct rig_bytes *donor,
                   const struct anatomy *donor_anatomy, struct zoo_rng *rng, struct rig_bytes *out);

#endif

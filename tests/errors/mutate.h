/* SPDX-License-Identifier: MIT
 *
 * mutate: seeded damage to a stream, based on its structure.
 */
#ifndef MUTATE_H
#define MUTATE_H

#include "rig.h"

#include "../unit/state/zoo.h"

/* Positions of the parts of a whole stream of a rig. */
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

/* Asserts (aborts) if the stream is not one of a rig. */
void anatomy_of(const struct rig_bytes *stream, struct anatomy *ret);

/* Makes a damaged copy (out->data is reused) with one to three changes. donor: another stream, to splice from. Returns
 * a name of the last kind of damage. */
const char *mutate(const struct rig_bytes *stream, const struct anatomy *a, const struct rig_bytes *donor,
                   const struct anatomy *donor_anatomy, struct zoo_rng *rng, struct rig_bytes *out);

#endif

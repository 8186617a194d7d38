/* SPDX-License-Identifier: MIT
 *
 * pool: the batches of one session, those that are not in use.
 *
 * Each one that is taken has to be given back, and then goes back to the source that filled it before it is taken again.
 *
 * Threads: take and give_back by any; init, fill and drain while no other thread uses the pool.
 */
#ifndef GW_POOL_H
#define GW_POOL_H

#include <pthread.h>

#include "ram/page/ops.h"

struct gw_pool {
    pthread_mutex_t lock;
    pthread_cond_t back; /* one was given back */
    struct gw_batch *idle;
};

void gw_pool_init(struct gw_pool *p);
void gw_pool_destroy(struct gw_pool *p);
/* Adds so many. On failure drain frees those that were made. */
int gw_pool_fill(struct gw_pool *p, unsigned batches, struct gw_error *err);
/* Frees all that are not in use. */
void gw_pool_drain(struct gw_pool *p);
bool gw_pool_empty(struct gw_pool *p);
/* An empty batch for this source. Waits until there is one. */
struct gw_batch *gw_pool_take(struct gw_pool *p, struct gw_source *source);
/* Its source is told, if there are pages in it. */
void gw_pool_give_back(struct gw_pool *p, struct gw_batch *b);

#endif

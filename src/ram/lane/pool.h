/* SPDX-License-Identifier: MIT
 *
 * pool: the unused batches of one session.
 *
 * Each batch that is taken must be given back; its source gets it back (sent) before it is taken again.
 *
 * Threads: take and give_back by any; init, fill and drain while no other thread uses the pool.
 */
#ifndef GW_POOL_H
#define GW_POOL_H

#include <pthread.h>

#include "ram/page/ops.h"

struct gw_pool {
    pthread_mutex_t lock;
    pthread_cond_t back; /* signalled when a batch is given back */
    struct gw_batch *idle;
};

void gw_pool_init(struct gw_pool *p);
void gw_pool_destroy(struct gw_pool *p);
/* Adds so many batches. After a failure drain frees those that were created. */
int gw_pool_fill(struct gw_pool *p, unsigned batches, struct gw_error *err);
/* Frees all batches that are not in use. */
void gw_pool_drain(struct gw_pool *p);
bool gw_pool_empty(struct gw_pool *p);
/* An empty batch for this source. Waits until there is one. */
struct gw_batch *gw_pool_take(struct gw_pool *p, struct gw_source *source);
/* Calls `sent` of its source, if there are pages in it. */
void gw_pool_give_back(struct gw_pool *p, struct gw_batch *b);

#endif

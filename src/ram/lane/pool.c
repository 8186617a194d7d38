/* SPDX-License-Identifier: MIT */
#include "ram/lane/pool.h"

void gw_pool_init(struct gw_pool *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->back, NULL);
    p->idle = NULL;
}

void gw_pool_destroy(struct gw_pool *p)
{
    gw_pool_drain(p);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->back);
}

int gw_pool_fill(struct gw_pool *p, unsigned batches, struct gw_error *err)
{
    for (unsigned i = 0; i < batches; i++) {
        struct gw_batch *b = calloc(1, sizeof *b);

        if (!b)
            return gw_nomem(err, "batches of pages");
        b->next = p->idle;
        p->idle = b;
    }
    return 0;
}

void gw_pool_drain(struct gw_pool *p)
{
    for (struct gw_batch *b = p->idle, *next; b; b = next) {
        next = b->next;
        free(b->room);
        free(b);
    }
    p->idle = NULL;
}

bool gw_pool_empty(struct gw_pool *p)
{
    bool empty;

    pthread_mutex_lock(&p->lock);
    empty = !p->idle;
    pthread_mutex_unlock(&p->lock);
    return empty;
}

struct gw_batch *gw_pool_take(struct gw_pool *p, struct gw_source *source)
{
    struct gw_batch *b;

    pthread_mutex_lock(&p->lock);
    while (!p->idle)
        pthread_cond_wait(&p->back, &p->lock);
    b = p->idle;
    p->idle = b->next;
    pthread_mutex_unlock(&p->lock);
    b->count = 0;
    b->from = source;
    b->held = NULL;
    b->urgent = b->goes_on = false;
    return b;
}

void gw_pool_give_back(struct gw_pool *p, struct gw_batch *b)
{
    if (b->from && b->from->sent && b->count)
        b->from->sent(b->from, b);
    pthread_mutex_lock(&p->lock);
    b->next = p->idle;
    p->idle = b;
    pthread_cond_signal(&p->back);
    pthread_mutex_unlock(&p->lock);
}

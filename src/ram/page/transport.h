/* SPDX-License-Identifier: MIT
 *
 * transport: what a vm knows of its embedder's page transport (godwit/page_transport.h), and of the pages that it has.
 *
 * codec/transport.c asks it for pages, layout/transport.c writes and reads its records. One session at a time.
 */
#ifndef GW_PAGE_TRANSPORT_H
#define GW_PAGE_TRANSPORT_H

#include <pthread.h>

#include "base/base.h"
#include "godwit/channel.h"
#include "godwit/page_transport.h"

struct gw_transport {
    struct gw_page_transport_ops ops;
    void *opaque;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t due; /* pages that were taken for later and are not complete. Under lock */
    int result;   /* the first bad one. Under lock */
};

int gw_transport_new(const struct gw_page_transport_ops *ops, void *opaque, struct gw_transport **ret, struct gw_error *err);
struct gw_transport *gw_transport_free(struct gw_transport *t);

/* Asks for one page: enum gw_take, or an error, also of a page that was taken before. */
int gw_transport_take(struct gw_transport *t, const struct gw_transport_page *page, struct gw_error *err);
void gw_transport_taken(struct gw_transport *t, unsigned pages, int result);
/* Until all are complete. -ECANCELED: cancel (may be NULL) came first. */
int gw_transport_wait(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_error *err);
/* None is, or will be, looked at any more. Forgets errors. */
void gw_transport_abort(struct gw_transport *t);
/* What ops gave, with the embedder's blame where there is none. */
int gw_transport_result(int r, const char *what, struct gw_error *err);

#endif

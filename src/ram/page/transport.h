/* SPDX-License-Identifier: MIT
 *
 * transport: the embedder's page transport of a vm (godwit/page_transport.h), and the number of pages that it is
 * sending.
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
    int result;   /* the first error. Under lock */
};

int gw_transport_new(const struct gw_page_transport_ops *ops, void *opaque, struct gw_transport **ret, struct gw_error *err);
struct gw_transport *gw_transport_free(struct gw_transport *t);

/* Offers one page: enum gw_take, or an error, which may be of a page that was taken earlier. */
int gw_transport_take(struct gw_transport *t, const struct gw_transport_page *page, struct gw_error *err);
void gw_transport_taken(struct gw_transport *t, unsigned pages, int result);
/* Waits until all pages are complete. -ECANCELED: cancel (may be NULL) came first. */
int gw_transport_wait(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_error *err);
/* The transport stops reading pages. Clears errors. */
void gw_transport_abort(struct gw_transport *t);
/* Converts the result of an embedder's function; adds blame EMBEDDER if there is none. */
int gw_transport_result(int r, const char *what, struct gw_error *err);

#endif

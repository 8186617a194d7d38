/* SPDX-License-Identifier: MIT
 *
 * page_transport: an embedder's own transport for pages (R23), beside the stream, for instance RDMA.
 *
 * On the source the transport is offered each page first: it takes the page, takes it and completes it later, or declines;
 * declined pages go by the stream. The two ends of the transport can exchange records within the stream, at the beginning and
 * the end of each stretch of pages:
 *
 *     SETUP    begin, end                               after the list of blocks
 *     PAGES    begin, pages, end                        any number of times; the machine runs
 *     FINISH   begin, pages, end                        the machine has stopped; nothing is sent after its end
 *
 * Order. A page that was taken must be in the destination's memory, and reported there with gw_transport_placed, before later
 * records or pages of the stream that depend on it:
 *   - before a page can be offered again, the library waits until all taken pages are complete and then calls begin, which
 *     tells the destination in a record what was completed;
 *   - before the end of FINISH all are complete; end tells the destination the rest.
 * Between two such points each page is offered at most once.
 *
 * It cannot be combined with xbzrle, multifd, mapped-ram or the machine of an image (-EINVAL at the start of the session). The
 * destination must have a transport too: without one it refuses such records.
 *
 * Threads: ops are called on the session's thread, one at a time; gw_page_taken may be called on any. Ops should return soon,
 * because a cancel waits for them. An error of an op fails the migration; blame is EMBEDDER where none is set.
 */
#ifndef GODWIT_PAGE_TRANSPORT_H
#define GODWIT_PAGE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"
#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gw_transport_stretch { GW_TRANSPORT_SETUP, GW_TRANSPORT_PAGES, GW_TRANSPORT_FINISH };

/* What take returns (or a negative errno). */
enum gw_take {
    GW_TAKE_DECLINED, /* the page goes by the stream */
    GW_TAKE_DONE,     /* taken and complete: the transport does not read its memory any more */
    GW_TAKE_LATER,    /* taken; gw_page_taken will be called, on any thread, possibly before take returns */
};

struct gw_transport_page {
    const char *block;
    uint64_t offset;  /* in the block, bytes */
    const void *data; /* guest memory, until the page is complete. The guest may write to it: then the page is offered again */
    uint32_t bytes;   /* one target page */
};

struct gw_transport_out; /* the stream, to write records to */
struct gw_transport_in;  /* the stream, to read a record from */

struct gw_page_transport_ops {
    size_t bytes; /* GW_SIZED(struct gw_page_transport_ops) */

    /* Source. begin and end may be NULL. */
    int (*begin)(void *opaque, enum gw_transport_stretch stretch, struct gw_transport_out *out, struct gw_error *err);
    int (*take)(void *opaque, const struct gw_transport_page *page, struct gw_error *err);
    int (*end)(void *opaque, enum gw_transport_stretch stretch, struct gw_transport_out *out, struct gw_error *err);
    /* The session ends while some pages are not complete: after this returns the transport must not access guest memory for
     * them. NULL: the library waits until they are complete, so the transport must complete them, with success or failure, also
     * after a cancel. */
    void (*abort)(void *opaque);

    /* Destination. Called for each RAM block before the first record: from now on pages may be placed in [host, host + bytes).
     * May be NULL. */
    int (*block)(void *opaque, const char *name, void *host, uint64_t bytes, struct gw_error *err);
    /* Destination. A record has arrived: reads exactly the bytes that the other end put there. NULL: records are refused. */
    int (*record)(void *opaque, struct gw_transport_in *in, struct gw_error *err);

    /* Either side, may be NULL: the session, or on the destination the attempt of one source, is over. ok: the stream was
     * complete. After this returns the transport must use neither guest memory nor a block. */
    void (*over)(void *opaque, bool ok);
};

/* ops is copied; opaque is borrowed until it is replaced or the vm is freed. ops NULL removes the transport. -EBUSY: during a
 * migration; -ENOTSUP: the machine of an image; -EINVAL: ops has neither take nor record. */
GW_API int gw_vm_set_page_transport(struct gw_vm *vm, const struct gw_page_transport_ops *ops, void *opaque,
                                    struct gw_error *err);
/* Completes that many pages for which take returned LATER. result 0, or a negative errno, with which the migration fails.
 * Any thread, until abort has returned. A count beyond the pages taken is ignored. */
GW_API void gw_page_taken(struct gw_vm *vm, unsigned pages, int result);

/* For begin and end: writes one record. The bytes are copied. Their number is not sent: the other end must know it. */
GW_API void gw_transport_put(struct gw_transport_out *out, const void *data, size_t bytes);
/* For record: reads exactly `bytes`, or returns an error that record must return, too. The data is from the peer: check it. */
GW_API int gw_transport_get(struct gw_transport_in *in, void *buf, size_t bytes, struct gw_error *err);
/* For record: reports that these pages are in memory now. -EPROTO, blame PEER: not whole pages of a listed block. */
GW_API int gw_transport_placed(struct gw_transport_in *in, const char *block, uint64_t offset, uint64_t bytes,
                               struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

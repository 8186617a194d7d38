/* SPDX-License-Identifier: MIT
 *
 * page_transport: an embedder's own way for pages (R23), beside the stream. RDMA is the case in point.
 *
 * On the source the transport is asked for each page before anything else looks at it: it takes the page, takes it and
 * completes it later, or declines; what it declines goes by the stream. What its two ends have to tell each other in the order of
 * the stream goes in records of its own, at the beginning and the end of each stretch of pages:
 *
 *     SETUP    begin, end                               after the list of blocks
 *     PAGES    begin, pages, end                        any number of times; the machine runs
 *     FINISH   begin, pages, end                        the machine has stopped; nothing is sent after its end
 *
 * Order. A page that was taken must be in the destination's memory, and the destination's end must have said so
 * (gw_transport_placed), before a record or page of the stream that follows can overtake it:
 *   - before pages can come again, the library waits until all that were taken are complete, and then calls begin: what was
 *     completed by then is told to the destination there;
 *   - before the end of FINISH all are complete: the rest is told there.
 * Between two such points a page comes once only.
 *
 * It goes with neither xbzrle nor multifd nor mapped-ram, and not with the machine of an image; a session that is to
 * use both is refused (-EINVAL). The destination must have a transport too: a destination without one refuses such records.
 *
 * Threads: all ops on the session's thread, one at a time. gw_page_taken on any. Ops should return soon: a cancel waits for
 * them. Errors of ops fail the migration; blame is the embedder's where none is set.
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

/* What take says; or a negative errno. */
enum gw_take {
    GW_TAKE_DECLINED, /* it goes by the stream */
    GW_TAKE_DONE,     /* it was taken, and its memory is not looked at again */
    GW_TAKE_LATER,    /* it was taken; gw_page_taken follows, from any thread, perhaps already before take returns */
};

struct gw_transport_page {
    const char *block;
    uint64_t offset;  /* in the block, bytes */
    const void *data; /* guest memory, which the guest may write meanwhile: then the page comes again. Until completed */
    uint32_t bytes;   /* one target page */
};

struct gw_transport_out; /* the stream, for records */
struct gw_transport_in;  /* the stream, after the head of a record */

struct gw_page_transport_ops {
    size_t bytes; /* GW_SIZED(struct gw_page_transport_ops) */

    /* Source. begin and end may be NULL. */
    int (*begin)(void *opaque, enum gw_transport_stretch stretch, struct gw_transport_out *out, struct gw_error *err);
    int (*take)(void *opaque, const struct gw_transport_page *page, struct gw_error *err);
    int (*end)(void *opaque, enum gw_transport_stretch stretch, struct gw_transport_out *out, struct gw_error *err);
    /* The session ends while pages are not complete: when this returns no guest memory is looked at for them any more. NULL: the
     * library waits until they are complete, so they must be, well or not, also after a cancel. */
    void (*abort)(void *opaque);

    /* Destination. NULL: this machine is not to be filled by it; records are refused. */
    /* A block of the list, before the first record: pages of [0, bytes) may be put into host from now on. May be NULL. */
    int (*block)(void *opaque, const char *name, void *host, uint64_t bytes, struct gw_error *err);
    /* A record has come: reads exactly what the other end put there. */
    int (*record)(void *opaque, struct gw_transport_in *in, struct gw_error *err);

    /* Either side, may be NULL: the session, or at a destination the attempt of one source, is over. ok: the stream came to its
     * good end. Neither guest memory nor a block may be used by the transport when this has returned. */
    void (*over)(void *opaque, bool ok);
};

/* ops is copied, opaque borrowed until it is replaced or the vm freed. NULL takes it away. -EBUSY during a migration; -ENOTSUP for
 * the machine of an image; -EINVAL: there is neither take nor record. */
GW_API int gw_vm_set_page_transport(struct gw_vm *vm, const struct gw_page_transport_ops *ops, void *opaque,
                                    struct gw_error *err);
/* So many pages that were taken for LATER are complete. result 0, or a negative errno: the migration fails with it.
 * Any thread, from take on until abort has returned. More than were taken are ignored. */
GW_API void gw_page_taken(struct gw_vm *vm, unsigned pages, int result);

/* In begin and end: one record. The bytes are copied; the other end has to know how many there are. */
GW_API void gw_transport_put(struct gw_transport_out *out, const void *data, size_t bytes);
/* In record: all of the bytes, or an error, which record passes on. Bytes are the peer's: trust none. */
GW_API int gw_transport_get(struct gw_transport_in *in, void *buf, size_t bytes, struct gw_error *err);
/* In record: these pages are in their memory now. -EPROTO, blame PEER: not whole pages of a block that was listed. */
GW_API int gw_transport_placed(struct gw_transport_in *in, const char *block, uint64_t offset, uint64_t bytes,
                               struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * nbd: one connection to an NBD server, named by a URI (nbd://, nbds://, nbd+unix://, nbds+unix://, ...), through
 * libnbd.
 *
 * Any number of requests may be in flight at once. There is no thread: a caller that waits for its request drives the
 * connection for all others meanwhile.
 *
 * Threads: submit and await on any thread. free: when no request is under way.
 * Hostile servers: sizes that the server reports are checked when the connection is made.
 */
#ifndef GW_CHANNEL_NBD_H
#define GW_CHANNEL_NBD_H

#include "base/base.h"

#define GW_NBD_PIECE_BYTES ((uint64_t)1 << 20) /* callers must split larger requests */

struct gw_nbd;

struct gw_nbd_facts { /* properties of the export, from the server */
    uint64_t bytes;
    uint32_t least_bytes; /* requests are multiples of this: a power of two, at most GW_NBD_PIECE_BYTES */
    uint32_t piece_bytes; /* maximum of reads and writes: a multiple of least_bytes, at most GW_NBD_PIECE_BYTES */
    bool read_only;
    bool zero, trim, flush, durable; /* supported requests; durable: GW_NBD_DURABLE */
    bool allocation;                 /* GW_NBD_STATUS is supported */
};

enum gw_nbd_op { GW_NBD_READ, GW_NBD_WRITE, GW_NBD_ZERO, GW_NBD_TRIM, GW_NBD_FLUSH, GW_NBD_STATUS };
enum gw_nbd_flags {
    GW_NBD_DURABLE = 1, /* WRITE, ZERO: data is on the disk when the request is done */
    GW_NBD_NO_HOLE = 2, /* ZERO: the space stays allocated */
};
enum gw_nbd_status { GW_NBD_IS_HOLE = 1, GW_NBD_IS_ZERO = 2 };

/* A request. It must not move until it has been awaited. */
struct gw_nbd_request {
    enum gw_nbd_op op;
    unsigned flags;
    void *memory;           /* READ, WRITE */
    uint64_t bytes, offset; /* below 4 GiB */
    /* STATUS: length of the first run of equal status, from offset on; 0: the server has told nothing useful */
    uint64_t run_bytes;
    unsigned status;        /* STATUS: enum gw_nbd_status of the run */
    struct gw_nbd *nbd;     /* private, like all fields below */
    bool done, ended;
    int error;
};

/* Whether the text is such a URI. */
bool gw_nbd_meant(const char *text);
/* silence_ns: the connection is dead when nothing comes for so long while a request waits; UINT64_MAX: never. -ENOTSUP:
 * this build has no libnbd, or the export needs something unsupported. Errors name the URI. */
int gw_nbd_connect(const char *uri, uint64_t silence_ns, struct gw_nbd **ret, struct gw_error *err);
const struct gw_nbd_facts *gw_nbd_facts(const struct gw_nbd *n);
/* await returns its errors. */
void gw_nbd_submit(struct gw_nbd *n, struct gw_nbd_request *r);
/* 0, or a positive errno: from the server, or of the connection (gw_nbd_dead). */
int gw_nbd_await(struct gw_nbd *n, struct gw_nbd_request *r);
/* The connection was lost: all requests fail. */
bool gw_nbd_dead(struct gw_nbd *n);
void gw_nbd_close(struct gw_nbd *n);

#endif

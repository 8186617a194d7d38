/* SPDX-License-Identifier: MIT
 *
 * park: a machine arrives over the wire and is kept in a file. The source is told that its machine has gone only when the
 * file is whole and on stable storage (docs/decisions/park-before-answer.md).
 *
 *     gw_park_new --> gw_park_start --> gw_park_wait --> gw_park_outcome --> [gw_park_pack] --> gw_park_free
 *
 * The machine can be of any VMM and any machine type. Until gw_park_start its options and its tracing are set on
 * gw_park_vm; from then on gw_park_session is asked for status and statistics, cancelled and yanked as any session.
 *
 * Threads: one owner; gw_park_session's functions as they say. Callbacks of the configuration: see there.
 */
#ifndef GODWIT_PARK_H
#define GODWIT_PARK_H

#include "godwit/image.h"
#include "godwit/recv.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_park;

struct gw_park_config {
    const char *path; /* of the file, or where a server has room for one (nbd://...): there it stays uncompressed, unless
                       * `write` asks for that. Texts are copied, save those in `write`, which stay until gw_park_free */
    /* How it is written. `revertible` is ignored. progress is called on the session's thread, and during
     * gw_park_outcome and gw_park_pack on that of the caller. */
    const struct gw_image_write_options *write;
    size_t write_bytes; /* sizeof *write */
    /* The source is told when all has come, before the file is written: as fast as to another machine, but if writing then
     * fails, the source must take its machine back. Else when the file is durable. */
    bool early;
    const char *ram_folder;    /* RAM is kept in an unlinked file there meanwhile; NULL: in memory */
    uint64_t memory_max_bytes; /* as gw_image_set_ram_limit; 0: its usual */
    /* Something that an operator may want to know. On the session's thread, and during gw_park_outcome. May be NULL. */
    void (*told)(void *opaque, const char *text);
    void *opaque;
};

/* -EINVAL, -ENOTSUP, -E2BIG: the options are wrong; -ENOMEM. */
GW_API int gw_park_new_sized(const struct gw_park_config *config, size_t config_bytes, struct gw_park **ret_park,
                             struct gw_error *err);
static inline int gw_park_new(const struct gw_park_config *config, struct gw_park **ret_park, struct gw_error *err)
{
    return gw_park_new_sized(config, sizeof *config, ret_park, err);
}
/* The machine; the park's. */
GW_API struct gw_vm *gw_park_vm(struct gw_park *park);
/* What is known of it once it has come; the park's. */
GW_API struct gw_image *gw_park_image(struct gw_park *park);
/* gw_recv_start. Once. The session is the park's, and lives until gw_park_free. */
GW_API int gw_park_start_sized(struct gw_park *park, const struct gw_recv_config *config, size_t config_bytes,
                               struct gw_error *err);
static inline int gw_park_start(struct gw_park *park, const struct gw_recv_config *config, struct gw_error *err)
{
    return gw_park_start_sized(park, config, sizeof *config, err);
}
/* NULL before gw_park_start. */
GW_API struct gw_recv *gw_park_session(struct gw_park *park);
/* gw_recv_wait. Then gw_park_outcome says what it means. */
GW_API int gw_park_wait(struct gw_park *park, struct gw_error *err);

enum gw_park_result {
    GW_PARK_KEPT,      /* the machine belongs here and is in `file` */
    GW_PARK_STAYED,    /* it stays at its source; there is no file. What was at the path before is there again */
    GW_PARK_LEFTOVER,  /* it stays at its source, but a file of it could not be removed: it must not be started */
    GW_PARK_UNDECIDED, /* it is not known whether the source gave it away: it is whole in `file`, kept aside under a name
                        * of its own */
    GW_PARK_LOST,      /* `early` only: the source was told, but the file could not be written: it must go on there. In postcopy
                        * also without it: the source had given the machine away, and it could not be written here */
    GW_PARK_INCOMPLETE, /* postcopy: the source gave the machine away, and was lost before all of its memory had come. What came is
                         * in `file`, kept aside under a name of its own, which is not taken for a machine; NULL: it could not be
                         * written */
};

struct gw_park_outcome {
    enum gw_park_result result;
    const char *file; /* KEPT, INCOMPLETE; UNDECIDED, unless it was moved meanwhile; else NULL. Until gw_park_free */
    bool whole;       /* all of the machine had come */
    bool packs;       /* KEPT: gw_park_pack makes the file smaller */
    uint64_t far_bytes; /* KEPT, and the path is a server: of the file */
};

/* After gw_park_wait, once: settles what becomes of the file (with `early` it is written now) and says how it ended. Returns 0
 * for KEPT, else the failure, with what became of the file in its text. */
GW_API int gw_park_outcome_sized(struct gw_park *park, struct gw_park_outcome *ret_outcome, size_t outcome_bytes,
                                 struct gw_error *err);
static inline int gw_park_outcome(struct gw_park *park, struct gw_park_outcome *ret_outcome, struct gw_error *err)
{
    return gw_park_outcome_sized(park, ret_outcome, sizeof *ret_outcome, err);
}
/* After KEPT: gw_image_stage_pack. A failure leaves the file as it is. */
GW_API int gw_park_pack(struct gw_park *park, struct gw_error *err);
/* Cancels a session that still runs. A file whose outcome was not asked for is settled as there, but with `early` none is
 * written. Takes NULL, returns NULL. */
GW_API struct gw_park *gw_park_free(struct gw_park *park);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * park: receives a machine and keeps it in a file. The source is told that the migration succeeded only when the file is
 * complete and on stable storage (docs/decisions/park-before-answer.md).
 *
 *     gw_park_new --> gw_park_start --> gw_park_wait --> gw_park_outcome --> [gw_park_pack] --> gw_park_free
 *
 * The machine can be of any VMM and any machine type. Before gw_park_start, set options and tracing on gw_park_vm; afterwards,
 * gw_park_session is the session for status, statistics, cancel and yank.
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
    const char *path; /* of the file, or of an export on a server (nbd://...), where it is not compressed unless `write` asks for
                       * it. Texts are copied, except those in `write`, which must stay valid until gw_park_free */
    /* How the file is written. `revertible` is ignored. progress is called on the session's thread, and during
     * gw_park_outcome and gw_park_pack on the caller's thread. */
    const struct gw_image_write_options *write;
    size_t write_bytes; /* sizeof *write */
    /* true: the source is told when all has arrived, before the file is written. The downtime is as short as for a migration to
     * a running VMM, but if writing then fails, the machine must be resumed at the source. false: the source is told when the
     * file is on stable storage. */
    bool early;
    const char *ram_folder;    /* RAM is kept in an unlinked file there meanwhile; NULL: in memory */
    uint64_t memory_max_bytes; /* as gw_image_set_ram_limit; 0: its default */
    /* A message for an operator. On the session's thread, and during gw_park_outcome on the caller's. May be NULL. */
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
/* The vm. It belongs to the park. */
GW_API struct gw_vm *gw_park_vm(struct gw_park *park);
/* The image that receives the machine. It belongs to the park. */
GW_API struct gw_image *gw_park_image(struct gw_park *park);
/* Calls gw_recv_start. Once. The session belongs to the park and lives until gw_park_free. */
GW_API int gw_park_start_sized(struct gw_park *park, const struct gw_recv_config *config, size_t config_bytes,
                               struct gw_error *err);
static inline int gw_park_start(struct gw_park *park, const struct gw_recv_config *config, struct gw_error *err)
{
    return gw_park_start_sized(park, config, sizeof *config, err);
}
/* NULL before gw_park_start. */
GW_API struct gw_recv *gw_park_session(struct gw_park *park);
/* Calls gw_recv_wait. Call gw_park_outcome afterwards. */
GW_API int gw_park_wait(struct gw_park *park, struct gw_error *err);

enum gw_park_result {
    GW_PARK_KEPT,      /* the machine belongs here and is in `file` */
    GW_PARK_STAYED,    /* it stays at its source; there is no new file, and a previous file at the path was put back */
    GW_PARK_LEFTOVER,  /* it stays at its source, but a file of it could not be removed: that file must not be started */
    GW_PARK_UNDECIDED, /* it is not known whether the source still owns the machine. It is complete in `file`, under another
                        * name beside the path */
    GW_PARK_LOST,      /* the source was told of success, but the file could not be written. With `early`: resume the machine at
                        * the source. In postcopy, also without `early`: the source had handed the machine over already */
    GW_PARK_INCOMPLETE, /* postcopy: the source handed the machine over and was lost before all of its memory had arrived. What
                         * arrived is in `file`, under another name beside the path; such a file is not opened as a machine
                         * (gw_image_open_half opens it). file NULL: it could not be written */
};

struct gw_park_outcome {
    enum gw_park_result result;
    const char *file; /* KEPT, INCOMPLETE; UNDECIDED, unless it was moved meanwhile; else NULL. Valid until gw_park_free */
    bool whole;       /* all of the machine had arrived */
    bool packs;       /* KEPT: gw_park_pack makes the file smaller */
    uint64_t far_bytes; /* KEPT, and the path is on a server: size of the file there */
};

/* After gw_park_wait, once: keeps, renames or removes the file as the result requires (with `early` it is written now). Returns
 * 0 for KEPT, else the failure, whose text says what happened to the file. */
GW_API int gw_park_outcome_sized(struct gw_park *park, struct gw_park_outcome *ret_outcome, size_t outcome_bytes,
                                 struct gw_error *err);
static inline int gw_park_outcome(struct gw_park *park, struct gw_park_outcome *ret_outcome, struct gw_error *err)
{
    return gw_park_outcome_sized(park, ret_outcome, sizeof *ret_outcome, err);
}
/* After KEPT: gw_image_stage_pack. After a failure the file is unchanged. */
GW_API int gw_park_pack(struct gw_park *park, struct gw_error *err);
/* Cancels a running session. If gw_park_outcome was not called, the file is handled as there, but with `early` none is written.
 * Takes NULL, returns NULL. */
GW_API struct gw_park *gw_park_free(struct gw_park *park);

#ifdef __cplusplus
}
#endif
#endif

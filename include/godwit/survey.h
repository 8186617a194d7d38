/* SPDX-License-Identifier: MIT
 *
 * survey: measures what a forecast (forecast.h) needs to know about a machine that runs here, and about the link.
 *
 * It takes about `duration_ns`: memory is tracked for stretches of different length (each first write costs the guest a fault,
 * as in dirty_rate.h), some pages are copied, looked at and coded with each codec of this build, and if `probe` names a godwit
 * that waits for a machine, its link is measured five times with up to 32 MiB, in some 20 ms each.
 *
 * A survey is a measurement as those of dirty_rate.h are: one of either kind at a time for each vm, and what changes the machine's
 * memory ends it. gw_dirty_rate_cancel ends it too.
 *
 * Threads: all functions on any.
 */
#ifndef GODWIT_SURVEY_H
#define GODWIT_SURVEY_H

#include "godwit/channel.h"
#include "godwit/dirty_rate.h"
#include "godwit/forecast.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_survey_config {
    uint64_t duration_ns;  /* 0: 2 s; 200 ms to 60 s */
    uint32_t sample_pages; /* 0: 2048; 64 to 16384 */
    /* Where a godwit waits for this machine: a socket address (channel.h). NULL: the link is not measured. Never an address
     * where something else listens: for a QEMU that waits, the connection would be its only one. Copied. */
    const char *probe;
};

struct gw_survey {
    enum gw_dirty_rate_status status;
    struct gw_error error; /* code 0 unless FAILED */
    /* Once MEASURED. What gw_forecast_in asks for by the same names is filled in, from the machine and its options: all but the
     * capabilities. */
    struct gw_forecast_in in;
    uint32_t sampled_pages, zero_pages;  /* of memory as it is */
    uint32_t changed_pages;              /* of those, in the time that xbzrle was measured over */
    bool probed;                         /* in.link_bytes_per_s is from the probe */
    struct gw_error probe_error;         /* why not; code 0: it was not asked for */
};

/* -EBUSY, -EINVAL, -ENOTSUP, -ENOMEM as gw_dirty_rate_start. */
GW_API int gw_survey_start_sized(struct gw_vm *vm, const struct gw_survey_config *config, size_t config_bytes,
                                 struct gw_error *err);
static inline int gw_survey_start(struct gw_vm *vm, const struct gw_survey_config *config, struct gw_error *err)
{
    return gw_survey_start_sized(vm, config, sizeof *config, err);
}
/* The survey under way, or the last one. */
GW_API void gw_survey_get_sized(struct gw_vm *vm, struct gw_survey *ret, size_t ret_bytes);
static inline void gw_survey_get(struct gw_vm *vm, struct gw_survey *ret)
{
    gw_survey_get_sized(vm, ret, sizeof *ret);
}

/* Measures the link from here to a godwit that waits for a machine: bytes per second, the standard error as a share
 * of them, the round trip. It blocks for some 20 ms; on a slow link until 128 KiB and what the system keeps in
 * buffers have gone, and 1 s after nothing moves. cancel may be NULL. The other side keeps waiting as before.
 * -EPROTO: what listens there is no godwit, or one that does not know this. */
GW_API int gw_link_probe(const char *uri, struct gw_cancel *cancel, uint64_t *ret_bytes_per_s, double *ret_error,
                         uint64_t *ret_round_trip_ns, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * survey: measures the input of a forecast (forecast.h): properties of a running machine and of the link.
 *
 * It takes about `duration_ns`. Dirty pages are tracked over periods of different length (each first write costs the guest a
 * fault, as in dirty_rate.h), and a sample of pages is copied and encoded with each codec of this build. If `probe` is the
 * address of a waiting godwit, the link is measured five times, with up to 32 MiB and about 20 ms each.
 *
 * A survey counts as a measurement of dirty_rate.h: a vm can have only one of either at a time, changes of the machine's memory
 * layout end it, and so does gw_dirty_rate_cancel.
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
    /* Socket address (channel.h) of a godwit that waits for this machine. NULL: the link is not measured. It must not be the
     * address of another program: a waiting QEMU accepts only one connection, and the probe would use it up. Copied. */
    const char *probe;
};

struct gw_survey {
    enum gw_dirty_rate_status status;
    struct gw_error error; /* code 0 unless FAILED */
    /* Once MEASURED: the input of a forecast, from the measurement, the machine and its options; does not include the
     * capabilities. */
    struct gw_forecast_in in;
    uint32_t sampled_pages, zero_pages;  /* pages in the sample; those of them that are zero */
    uint32_t changed_pages;              /* sampled pages that changed while xbzrle was measured */
    bool probed;                         /* in.link_bytes_per_s is from the probe */
    struct gw_error probe_error;         /* why the probe failed; code 0: none was requested */
};

/* -EBUSY, -EINVAL, -ENOTSUP, -ENOMEM: as gw_dirty_rate_start. */
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

/* Measures the link to a waiting godwit: bytes per second, their standard error as a share, and the round-trip time. Blocks for
 * about 20 ms; on a slow link until 128 KiB and the system's socket buffers have been sent; gives up when nothing moves for 1 s.
 * cancel may be NULL. The other side keeps waiting for its machine. -EPROTO: the program there is not a godwit, or is too old. */
GW_API int gw_link_probe(const char *uri, struct gw_cancel *cancel, uint64_t *ret_bytes_per_s, double *ret_error,
                         uint64_t *ret_round_trip_ns, struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

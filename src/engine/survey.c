/* SPDX-License-Identifier: MIT */
#include "godwit/survey.h"

#include <math.h>

#include "base/sized.h"
#include "engine/vm.h"
#include "ram/sample.h"

#define USUAL_NS    (2 * GW_NS_PER_S)
#define LEAST_NS    (200 * GW_NS_PER_MS)
#define MOST_NS     (60 * GW_NS_PER_S)
#define USUAL_PAGES 2048u

/* The stretches, in percent of the whole time: the short lengths occur twice, to see how much they differ. Pages are
 * sampled in the fourth. */
static const unsigned stretches[] = {4, 4, 13, 13, 60};
#define SAMPLED 3u
/* Bytes that are re-armed at a time (ram/tracker). */
#define CHUNK_BYTES (16 * GW_MIB)

struct survey {
    struct gw_vm *vm;
    struct gw_measure *m;
    struct gw_survey_config config;
    struct gw_survey told;
    double probe[GW_ARRAY_LEN(stretches)], probe_error; /* bytes per second */
    unsigned probes;
    uint64_t rtt_ns;
};

static uint64_t param(const struct survey *s, enum gw_parameter p)
{
    return gw_options_param(s->vm->options, p);
}

static int stretch(struct survey *s, unsigned i, struct gw_error *err)
{
    const struct gw_rate_config c = {.mode = GW_RATE_TRACK,
                                     .duration_ns = s->config.duration_ns / 100 * stretches[i],
                                     .clock = &s->vm->clock,
                                     .cancel = &s->m->cancel};
    struct gw_rate rate;
    int r = gw_rate_measure(&s->vm->ram, s->m->tracker, &c, &rate, err);

    if (r < 0)
        return r;
    s->told.in.dirty[s->told.in.points++] = (struct gw_forecast_point){rate.duration_ns, rate.pages * s->vm->ram.page_bytes, 0};
    return 0;
}

/* The difference of two stretches of the same length shows how steadily the guest writes. */
static void judge_errors(struct gw_forecast_in *in)
{
    double worst = 0.03;

    for (unsigned i = 0; i + 1 < in->points && i < SAMPLED; i += 2) {
        double a = (double)in->dirty[i].bytes / (double)in->dirty[i].ns, b = (double)in->dirty[i + 1].bytes / (double)in->dirty[i + 1].ns;

        if (a + b > 0)
            worst = GW_MAX(worst, GW_MIN(fabs(a - b) / (a + b), 0.5));
    }
    for (unsigned i = 0; i < in->points; i++)
        in->dirty[i].error = worst;
}

/* The marks of a chunk are taken, and the chunk is re-armed, before its first page is sent. */
static void judge_early(struct survey *s)
{
    struct gw_forecast_in *in = &s->told.in;
    double chunks = (double)in->ram_bytes * (1 - in->zero_share) / (double)CHUNK_BYTES;

    in->early_known = true;
    in->early_share = 1 / GW_MAX(chunks, 1.0);
}

static void take_figures(struct survey *s, const struct gw_sample_figures *f)
{
    struct gw_forecast_in *in = &s->told.in;
    double n = GW_MAX(f->pages, 1u);

    s->told.sampled_pages = f->pages;
    s->told.zero_pages = f->zero_pages;
    s->told.changed_pages = f->changed;
    in->zero_known = f->pages > 0;
    in->zero_share = f->zero_pages / n;
    in->zero_error = sqrt(in->zero_share * (1 - in->zero_share) / n) + 0.5 / n;
    in->dirty_zero_share = gw_ratio(f->changed_zero, f->changed);
    in->page_ns = f->page_ns;
    in->zero_ns = f->zero_ns;
    in->slowdown = f->slowdown;
    in->zlib = f->zlib;
    in->zstd = f->zstd;
    in->deflate = f->deflate;
    in->xbzrle = f->xbzrle;
}

static void describe(struct survey *s)
{
    struct gw_forecast_in *in = &s->told.in;
    struct gw_vm *vm = s->vm;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    pthread_mutex_lock(&vm->ram.lock);
    for (unsigned i = 0; i < vm->ram.count; i++)
        in->ram_bytes += gw_ram_migrates(vm->ram.blocks[i]) ? vm->ram.blocks[i]->used_bytes : 0;
    pthread_mutex_unlock(&vm->ram.lock);
    in->page_bytes = vm->ram.page_bytes;
    in->cpus = cpus > 0 ? (unsigned)cpus : 0;
    in->max_bandwidth = param(s, GW_PARAM_MAX_BANDWIDTH);
    in->downtime_limit_ns = param(s, GW_PARAM_DOWNTIME_LIMIT) * GW_NS_PER_MS;
    in->xbzrle_cache_bytes = param(s, GW_PARAM_XBZRLE_CACHE_SIZE);
    in->multifd_channels = (unsigned)param(s, GW_PARAM_MULTIFD_CHANNELS);
    in->compress_threads = (unsigned)param(s, GW_PARAM_COMPRESS_THREADS);
    in->throttle_trigger = (unsigned)param(s, GW_PARAM_THROTTLE_TRIGGER_THRESHOLD);
    in->throttle_initial = (unsigned)param(s, GW_PARAM_CPU_THROTTLE_INITIAL);
    in->throttle_increment = (unsigned)param(s, GW_PARAM_CPU_THROTTLE_INCREMENT);
    in->throttle_max = (unsigned)param(s, GW_PARAM_MAX_CPU_THROTTLE);
    in->vcpu_dirty_limit_bytes_per_s = param(s, GW_PARAM_VCPU_DIRTY_LIMIT) * 1000000;
    in->vcpus = vm->ops->vcpus ? vm->ops->vcpus(vm->opaque) : 1;
}

/* If the link cannot be measured, that is no error of the survey, and it is not tried again. */
static int probe(struct survey *s, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    uint64_t bytes_per_s, rtt_ns;
    double error;
    int r;

    if (!s->config.probe || s->told.probe_error.code)
        return 0;
    r = gw_link_probe(s->config.probe, s->m->end, &bytes_per_s, &error, &rtt_ns, &why);
    if (r == -ECANCELED)
        return gw_fail(err, r, GW_BLAME_CALLER, "the survey was cancelled");
    if (r < 0) {
        s->told.probe_error = why;
        return 0;
    }
    s->probe[s->probes++] = (double)bytes_per_s;
    s->probe_error = GW_MAX(s->probe_error, error);
    s->rtt_ns = s->rtt_ns ? GW_MIN(s->rtt_ns, rtt_ns) : rtt_ns;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One probe is short, and other work disturbs it now and then: takes the median of several, and how much they
 * differ. */
static void judge_probes(struct survey *s)
{
    unsigned n = s->probes;
    double middle;

    if (!n || s->told.probe_error.code)
        return;
    qsort(s->probe, n, sizeof *s->probe, compare);
    middle = s->probe[n / 2];
    s->told.probed = true;
    s->told.in.link_bytes_per_s = (uint64_t)middle;
    s->told.in.link_error = GW_MIN(GW_MAX((s->probe[n - 1] - s->probe[0]) / middle / 2, s->probe_error), 0.5);
    s->told.in.round_trip_ns = s->rtt_ns;
}

static int sample(struct survey *s, struct gw_error *err)
{
    const struct gw_sample_config c = {.clock = &s->vm->clock,
                                       .cancel = &s->m->cancel,
                                       .pages = s->config.sample_pages,
                                       .zlib_level = (int)param(s, GW_PARAM_MULTIFD_ZLIB_LEVEL),
                                       .zstd_level = (int)param(s, GW_PARAM_MULTIFD_ZSTD_LEVEL),
                                       .deflate_level = (unsigned)param(s, GW_PARAM_COMPRESS_LEVEL)};
    struct gw_sample_figures f;
    struct gw_sample *pages = NULL;
    int r = gw_sample_begin(&s->vm->ram, &c, &pages, err);

    if (r < 0)
        return r;
    r = stretch(s, SAMPLED, err);
    if (r < 0) {
        gw_sample_end(pages, NULL, NULL);
        return r;
    }
    r = gw_sample_end(pages, &f, err);
    if (r >= 0)
        take_figures(s, &f);
    return r;
}

static int survey(struct survey *s, struct gw_error *err)
{
    int r = 0;

    describe(s);
    for (unsigned i = 0; r >= 0 && i < GW_ARRAY_LEN(stretches); i++) {
        r = i == SAMPLED ? sample(s, err) : stretch(s, i, err);
        if (r >= 0)
            r = probe(s, err);
    }
    judge_errors(&s->told.in);
    judge_early(s);
    judge_probes(s);
    return r;
}

static void *survey_main(void *arg)
{
    struct gw_vm *vm = arg;
    struct survey s = {.vm = vm, .m = &vm->measure, .config = vm->measure.survey_config};
    struct gw_error err = GW_ERROR_INIT;
    int r = survey(&s, &err);

    pthread_mutex_lock(&s.m->lock);
    s.m->survey = s.told;
    s.m->survey.status = r < 0 ? GW_DIRTY_RATE_FAILED : GW_DIRTY_RATE_MEASURED;
    s.m->survey.error = err;
    gw_measure_over(s.m);
    return NULL;
}

static int check(struct gw_survey_config *c, struct gw_error *err)
{
    struct gw_uri uri;

    if (!c->duration_ns)
        c->duration_ns = USUAL_NS;
    if (!c->sample_pages)
        c->sample_pages = USUAL_PAGES;
    if (c->duration_ns < LEAST_NS || c->duration_ns > MOST_NS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the time of a survey is out of range: 200 to 60000 ms are possible");
    if (c->sample_pages < 64 || c->sample_pages > 16384)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the number of pages that a survey samples is out of range: 64 to 16384 are "
                       "possible");
    return c->probe ? gw_uri_parse(c->probe, &uri, err) : 0;
}

/* Under vm->lock. */
static int start(struct gw_vm *vm, const struct gw_survey_config *c, struct gw_error *err)
{
    struct gw_measure *m = &vm->measure;
    struct gw_tracker *t;
    struct gw_cancel *end;
    int r = gw_measure_may_start(vm, err);

    if (r >= 0)
        r = gw_vm_tracker_locked(vm, &t, err);
    if (r >= 0)
        r = gw_cancel_new(&end, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&m->lock);
    gw_cancel_free(m->end);
    m->end = end;
    m->tracker = t;
    m->survey_config = *c;
    if (c->probe) {
        gw_strcopy(m->probe, sizeof m->probe, c->probe);
        m->survey_config.probe = m->probe;
    }
    m->survey = (struct gw_survey){.status = GW_DIRTY_RATE_MEASURING};
    r = gw_measure_launch(vm, survey_main, &m->survey.error);
    if (r < 0) {
        m->survey.status = GW_DIRTY_RATE_FAILED;
        if (err)
            *err = m->survey.error;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

int gw_survey_start_sized(struct gw_vm *vm, const struct gw_survey_config *config, size_t config_bytes, struct gw_error *err)
{
    struct gw_survey_config own;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_survey_config, duration_ns),
                        "struct gw_survey_config", err);

    if (r >= 0)
        r = check(&own, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    r = start(vm, &own, err);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

void gw_survey_get_sized(struct gw_vm *vm, struct gw_survey *ret, size_t ret_bytes)
{
    struct gw_survey told;

    pthread_mutex_lock(&vm->measure.lock);
    told = vm->measure.survey;
    pthread_mutex_unlock(&vm->measure.lock);
    gw_sized_out(ret, ret_bytes, &told, sizeof told);
}

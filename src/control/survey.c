/* SPDX-License-Identifier: MIT
 *
 * The survey of a machine (godwit/survey.h), for which QMP has no command: x-godwit-survey, x-godwit-query-survey.
 * `godwit ctl plan` makes a forecast from their results.
 */
#include "control/internal.h"
#include "godwit/survey.h"

int gw_cmd_survey(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_int_t ms = json_integer_value(json_object_get(args, "time-ms"));
    json_int_t pages = json_integer_value(json_object_get(args, "sample-pages"));
    json_t *probe = json_object_get(args, "probe");
    struct gw_survey_config config = {.probe = json_string_value(probe)};

    /* start reports values out of range. */
    if (json_object_get(args, "time-ms"))
        config.duration_ns = ms > 0 && ms < 1000000 ? (uint64_t)ms * GW_NS_PER_MS : 1;
    if (json_object_get(args, "sample-pages"))
        config.sample_pages = pages > 0 && pages < 1000000 ? (uint32_t)pages : 1;
    return gw_survey_start(c->vm, &config, err);
}

static bool put_codec(json_t *o, const char *name, const struct gw_forecast_codec *c)
{
    json_t *codec;
    bool bad;

    if (!c->known)
        return false;
    codec = json_object();
    bad = gw_json_put_real(codec, "ratio", c->ratio);
    bad |= gw_json_put_real(codec, "error", c->error);
    bad |= gw_json_put_real(codec, "ns", c->ns);
    return gw_json_put(o, name, codec) || bad;
}

static json_t *points(const struct gw_forecast_in *in)
{
    json_t *list = json_array();

    for (unsigned i = 0; list && i < in->points; i++) {
        json_t *o = json_object();
        bool bad = gw_json_put_int(o, "ns", in->dirty[i].ns);

        bad |= gw_json_put_int(o, "bytes", in->dirty[i].bytes);
        bad |= gw_json_put_real(o, "error", in->dirty[i].error);
        bad |= json_array_append_new(list, o) != 0;
        if (bad) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool put_link(json_t *o, const struct gw_survey *s)
{
    json_t *link;
    bool bad;

    if (!s->probed)
        return s->probe_error.code && gw_json_put_text(o, "probe-error", s->probe_error.text);
    link = json_object();
    bad = gw_json_put_int(link, "bytes-per-second", s->in.link_bytes_per_s);
    bad |= gw_json_put_real(link, "error", s->in.link_error);
    bad |= gw_json_put_int(link, "round-trip-ns", s->in.round_trip_ns);
    return gw_json_put(o, "link", link) || bad;
}

static bool put_measured(json_t *o, const struct gw_survey *s)
{
    const struct gw_forecast_in *in = &s->in;
    bool bad = gw_json_put_int(o, "ram-bytes", in->ram_bytes);

    bad |= gw_json_put_int(o, "page-bytes", in->page_bytes);
    bad |= gw_json_put_int(o, "sampled-pages", s->sampled_pages);
    bad |= gw_json_put_int(o, "zero-pages", s->zero_pages);
    bad |= gw_json_put_int(o, "changed-pages", s->changed_pages);
    bad |= gw_json_put_real(o, "zero-share", in->zero_share);
    bad |= gw_json_put_real(o, "zero-error", in->zero_error);
    bad |= gw_json_put_real(o, "dirty-zero-share", in->dirty_zero_share);
    if (in->early_known)
        bad |= gw_json_put_real(o, "early-share", in->early_share);
    bad |= gw_json_put_real(o, "page-ns", in->page_ns);
    bad |= gw_json_put_real(o, "zero-ns", in->zero_ns);
    bad |= gw_json_put_real(o, "slowdown", in->slowdown);
    bad |= gw_json_put_int(o, "cpus", in->cpus);
    bad |= gw_json_put_int(o, "vcpus", in->vcpus);
    bad |= gw_json_put(o, "dirty", points(in));
    bad |= put_codec(o, "zlib", &in->zlib);
    bad |= put_codec(o, "zstd", &in->zstd);
    bad |= put_codec(o, "deflate", &in->deflate);
    bad |= put_codec(o, "xbzrle", &in->xbzrle);
    return put_link(o, s) || bad;
}

int gw_cmd_query_survey(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    static const char *const statuses[] = {"unstarted", "measuring", "measured", "failed"};
    struct gw_survey s;
    json_t *o = json_object();
    bool bad;

    gw_survey_get(c->vm, &s);
    bad = gw_json_put_text(o, "status", statuses[s.status]);
    if (s.status == GW_DIRTY_RATE_FAILED)
        bad |= gw_json_put_text(o, "error-desc", s.error.text);
    if (s.status == GW_DIRTY_RATE_MEASURED)
        bad |= put_measured(o, &s);
    return gw_json_finish(o, bad, ret_result, err);
}

/* SPDX-License-Identifier: MIT
 *
 * Dirty rates and limits of vCPUs (godwit/dirty_rate.h) under their QMP names.
 */
#include <limits.h>

#include "control/internal.h"
#include "godwit/dirty_rate.h"

static const char *const modes[] = {"page-sampling", "dirty-bitmap", "dirty-ring"};
static const char *const units[] = {"second", "millisecond"};
static const uint64_t unit_ns[] = {GW_NS_PER_S, GW_NS_PER_MS};

/* The argument as one of these words; left out: the first. */
static int word(json_t *args, const char *name, const char *const *words, size_t count, size_t *ret, struct gw_error *err)
{
    json_t *value = json_object_get(args, name);

    *ret = 0;
    for (size_t i = 0; value && i < count; i++)
        if (!strcmp(json_string_value(value), words[i])) {
            *ret = i;
            return 0;
        }
    return value ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%s' cannot be '%.100s'", name,
                           json_string_value(value))
                 : 0;
}

int gw_cmd_calc_dirty_rate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_dirty_rate_config config = {0};
    json_int_t time = json_integer_value(json_object_get(args, "calc-time"));
    json_t *samples = json_object_get(args, "sample-pages");
    size_t unit, mode;
    int r = word(args, "calc-time-unit", units, GW_ARRAY_LEN(units), &unit, err);

    if (r == 0)
        r = word(args, "mode", modes, GW_ARRAY_LEN(modes), &mode, err);
    if (r < 0)
        return r;
    config.mode = (enum gw_dirty_rate_mode)mode;
    config.duration_ns = time > 0 && time < 1000000 ? (uint64_t)time * unit_ns[unit] : 0;
    /* Absent or too large: start reports the range. */
    if (samples)
        config.sample_pages = (uint32_t)GW_MIN(GW_MAX(json_integer_value(samples), 1), 1000000);
    return gw_dirty_rate_start(c->vm, &config, err);
}

static json_t *vcpu_rates(struct gw_control *c, unsigned vcpus)
{
    json_t *list = json_array();
    uint64_t rate;

    for (unsigned i = 0; list && i < vcpus; i++) {
        json_t *o = json_object();
        bool bad = gw_json_put_int(o, "id", i);

        bad |= gw_json_put_int(o, "dirty-rate", gw_dirty_rate_vcpu(c->vm, i, &rate) < 0 ? 0 : rate / GW_MIB);
        bad |= json_array_append_new(list, o) != 0;
        if (bad) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

int gw_cmd_query_dirty_rate(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    /* QMP has no status for a failed measurement. */
    static const char *const statuses[] = {"unstarted", "measuring", "measured", "unstarted"};
    struct gw_dirty_rate rate;
    json_t *o;
    size_t unit;
    bool bad;
    int r = word(args, "calc-time-unit", units, GW_ARRAY_LEN(units), &unit, err);

    if (r < 0)
        return r;
    gw_dirty_rate_get(c->vm, &rate);
    o = json_object();
    bad = gw_json_put_text(o, "status", statuses[rate.status]);
    bad |= gw_json_put_int(o, "start-time", rate.start_s);
    bad |= gw_json_put_int(o, "calc-time", rate.duration_ns / unit_ns[unit]);
    bad |= gw_json_put_text(o, "calc-time-unit", units[unit]);
    bad |= gw_json_put_int(o, "sample-pages", rate.sample_pages);
    bad |= gw_json_put_text(o, "mode", modes[rate.mode]);
    if (rate.status == GW_DIRTY_RATE_MEASURED)
        bad |= gw_json_put_int(o, "dirty-rate", rate.bytes_per_s / GW_MIB);
    if (rate.status == GW_DIRTY_RATE_MEASURED && rate.mode == GW_DIRTY_RATE_VCPUS)
        bad |= gw_json_put(o, "vcpu-dirty-rate", vcpu_rates(c, rate.vcpus));
    if (rate.status == GW_DIRTY_RATE_FAILED)
        bad |= gw_json_put(o, "x-godwit", json_pack("{ss}", "error-desc", rate.error.text));
    return gw_json_finish(o, bad, ret_result, err);
}

static int limit(struct gw_control *c, json_t *args, uint64_t mib_per_s, struct gw_error *err)
{
    json_t *index = json_object_get(args, "cpu-index");
    json_int_t vcpu = index ? json_integer_value(index) : GW_EVERY_VCPU;

    if (index && (vcpu < 0 || vcpu > INT_MAX))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "cpu-index %lld is not the number of a vCPU", (long long)vcpu);
    return gw_vcpu_dirty_limit_set(c->vm, (int)vcpu, GW_MIN(mib_per_s, UINT64_MAX / GW_MIB) * GW_MIB, err);
}

int gw_cmd_set_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_int_t rate = json_integer_value(json_object_get(args, "dirty-rate"));

    if (rate < 0)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'dirty-rate' is in MiB per second, or 0 for no limit");
    return limit(c, args, (uint64_t)rate, err);
}

int gw_cmd_cancel_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    int r = limit(c, args, 0, &why);

    if (r == -ENOTSUP) /* the machine supports no limits, so none is set */
        return 0;
    if (r < 0 && err)
        *err = why;
    return r;
}

int gw_cmd_query_vcpu_dirty_limit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    uint64_t most, now;
    bool bad = !list;

    for (unsigned i = 0; gw_vcpu_dirty_limit_get(c->vm, i, &most, &now) == 0; i++) {
        json_t *o = most ? json_object() : NULL;

        if (!most)
            continue;
        bad |= gw_json_put_int(o, "cpu-index", i);
        bad |= gw_json_put_int(o, "limit-rate", most / GW_MIB);
        bad |= gw_json_put_int(o, "current-rate", now / GW_MIB);
        bad |= json_array_append_new(list, o) != 0;
    }
    return gw_json_finish(list, bad, ret_result, err);
}

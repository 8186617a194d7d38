/* SPDX-License-Identifier: MIT */
#include "engine/options.h"

#include <pthread.h>

#include "engine/option_table.h"

struct gw_options {
    pthread_mutex_t mutex; /* held by writers, and by readers of strings */
    _Atomic uint64_t caps;
    _Atomic uint64_t params[GW_PARAM_COUNT];
    char strings[GW_STRING_COUNT][GW_STRING_SIZE];
    unsigned locks;
    struct {
        gw_options_watch_fn fn;
        void *opaque;
    } watch[GW_PARAM_COUNT];
    struct {
        gw_options_guard_fn fn;
        void *opaque;
    } guard[GW_CAP_COUNT];
};

/* A private copy of all options: changes are made in it, checked, and then published. */
struct values {
    uint64_t caps;
    uint64_t params[GW_PARAM_COUNT];
    char strings[GW_STRING_COUNT][GW_STRING_SIZE];
};

static void hold(const struct gw_options *o)
{
    pthread_mutex_lock((pthread_mutex_t *)&o->mutex);
}

static void release(const struct gw_options *o)
{
    pthread_mutex_unlock((pthread_mutex_t *)&o->mutex);
}

static void take_values(const struct gw_options *o, struct values *v)
{
    v->caps = atomic_load(&o->caps);
    for (size_t i = 0; i < GW_PARAM_COUNT; i++)
        v->params[i] = atomic_load_explicit(&o->params[i], memory_order_relaxed);
    memcpy(v->strings, o->strings, sizeof v->strings);
}

static void publish(struct gw_options *o, const struct values *v)
{
    for (size_t i = 0; i < GW_PARAM_COUNT; i++)
        atomic_store_explicit(&o->params[i], v->params[i], memory_order_relaxed);
    memcpy(o->strings, v->strings, sizeof o->strings);
    atomic_store(&o->caps, v->caps);
}

int gw_options_new(struct gw_options **ret_options, struct gw_error *err)
{
    struct gw_options *o = calloc(1, sizeof *o);

    if (!o)
        return gw_nomem(err, "options");
    if (pthread_mutex_init(&o->mutex, NULL)) {
        free(o);
        return gw_nomem(err, "options");
    }
    for (size_t i = 0; i < GW_PARAM_COUNT; i++)
        atomic_init(&o->params[i], gw_option_row(i)->preset);
    *ret_options = o;
    return 0;
}

struct gw_options *gw_options_free(struct gw_options *o)
{
    if (o) {
        pthread_mutex_destroy(&o->mutex);
        free(o);
    }
    return NULL;
}

void gw_options_copy(struct gw_options *dst, const struct gw_options *src)
{
    struct values v;

    hold(src);
    take_values(src, &v);
    release(src);
    hold(dst);
    publish(dst, &v);
    release(dst);
}

void gw_options_lock(struct gw_options *o, bool lock)
{
    hold(o);
    o->locks += lock ? 1u : -1u;
    release(o);
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

static int find_capability(const char *name, size_t *ret_index, struct gw_error *err)
{
    for (size_t i = 0; i < GW_CAP_COUNT; i++) {
        if (!strcmp(gw_feature((enum gw_capability)i)->name, name)) {
            *ret_index = i;
            return 0;
        }
    }
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no capability '%s'", name);
}

static int apply_capabilities(struct values *v, const char *const *names, const bool *on, size_t count,
                              struct gw_error *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t c = 0;
        int r = find_capability(names[i], &c, err);

        if (r < 0)
            return r;
        if (on[i] && !gw_feature((enum gw_capability)c)->supported)
            return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this build of godwit cannot do what capability %s asks for: leave it off",
                           names[i]);
        v->caps = on[i] ? v->caps | 1ull << c : v->caps & ~(1ull << c);
    }
    return gw_features_judge(v->caps, v->params, err);
}

/* Calls the guards of the capabilities that would be turned on. */
static int ask_guards(struct gw_options *o, const struct values *v, struct gw_error *err)
{
    uint64_t fresh = v->caps & ~atomic_load(&o->caps);
    int r = 0;

    for (size_t i = 0; r >= 0 && i < GW_CAP_COUNT; i++)
        if (fresh >> i & 1 && o->guard[i].fn)
            r = o->guard[i].fn(o->guard[i].opaque, err);
    return r;
}

void gw_options_guard(struct gw_options *o, enum gw_capability c, gw_options_guard_fn fn, void *opaque)
{
    hold(o);
    o->guard[c].fn = fn;
    o->guard[c].opaque = opaque;
    release(o);
}

int gw_options_set_capabilities(struct gw_options *o, const char *const *names, const bool *on, size_t count,
                                struct gw_error *err)
{
    struct values v;
    int r;

    hold(o);
    take_values(o, &v);
    if (o->locks)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER,
                    "a migration of this machine is under way, and keeps the capabilities it began with: set them when it is over");
    else
        r = apply_capabilities(&v, names, on, count, err);
    if (r == 0)
        r = ask_guards(o, &v, err);
    if (r == 0)
        publish(o, &v);
    release(o);
    return r;
}

int gw_options_set_capability(struct gw_options *o, const char *name, bool on, struct gw_error *err)
{
    return gw_options_set_capabilities(o, &name, &on, 1, err);
}

int gw_options_get_capability(const struct gw_options *o, const char *name, bool *ret_on, struct gw_error *err)
{
    size_t c = 0;
    int r = find_capability(name, &c, err);

    if (r < 0)
        return r;
    *ret_on = gw_options_cap(o, (enum gw_capability)c);
    return 0;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static int apply_parameter(struct values *v, const char *name, const char *value, struct gw_error *err)
{
    uint64_t n = 0;
    size_t i = 0;
    int r = gw_option_find(name, &i, err);
    const struct gw_option_row *row = gw_option_row(i);

    if (r < 0)
        return r;
    if (i >= GW_OPTION_ROW_ABSENT || (!row->supported && *value))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this build of godwit cannot do what parameter %s asks for: leave it as it is", name);
    if (row->type == GW_PARAMETER_STRING) {
        if (strlen(value) >= GW_STRING_SIZE)
            return gw_fail(err, -ERANGE, GW_BLAME_CALLER, "parameter %s: the value has more than %d bytes", name,
                           GW_STRING_SIZE - 1);
        gw_strcopy(v->strings[i - GW_OPTION_ROW_STRING], GW_STRING_SIZE, value);
        return 0;
    }
    r = gw_option_parse(row, value, &n, err);
    if (r < 0)
        return r;
    v->params[i] = n;
    return 0;
}

static int tell_watchers(struct gw_options *o, const struct values *v, struct gw_error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < GW_PARAM_COUNT; i++)
        if (o->watch[i].fn && v->params[i] != gw_options_param(o, (enum gw_parameter)i))
            r = o->watch[i].fn(o->watch[i].opaque, v->params[i], err);
    return r;
}

int gw_options_set_parameters(struct gw_options *o, const char *const *names, const char *const *values, size_t count,
                              struct gw_error *err)
{
    struct values v;
    int r = 0;

    hold(o);
    take_values(o, &v);
    for (size_t i = 0; i < count && r == 0; i++)
        r = apply_parameter(&v, names[i], values[i], err);
    if (r == 0)
        r = gw_features_judge(v.caps, v.params, err);
    if (r == 0)
        r = tell_watchers(o, &v, err);
    if (r == 0)
        publish(o, &v);
    release(o);
    return r;
}

void gw_options_watch(struct gw_options *o, enum gw_parameter p, gw_options_watch_fn fn, void *opaque)
{
    hold(o);
    if (fn || o->watch[p].opaque == opaque) {
        o->watch[p].fn = fn;
        o->watch[p].opaque = opaque;
    }
    release(o);
}

int gw_options_set_parameter(struct gw_options *o, const char *name, const char *value, struct gw_error *err)
{
    return gw_options_set_parameters(o, &name, &value, 1, err);
}

int gw_options_get_parameter(const struct gw_options *o, const char *name, char *buf, size_t size, struct gw_error *err)
{
    char text[GW_STRING_SIZE];
    size_t i = 0;
    int r = gw_option_find(name, &i, err);

    if (r < 0)
        return r;
    if (i >= GW_OPTION_ROW_ABSENT)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this build of godwit cannot do what parameter %s asks for: leave it as it is", name);
    if (gw_option_row(i)->type == GW_PARAMETER_STRING)
        gw_options_string(o, (enum gw_string_parameter)(i - GW_OPTION_ROW_STRING), text);
    else
        gw_option_print(gw_option_row(i), gw_options_param(o, (enum gw_parameter)i), text, sizeof text);
    if (strlen(text) >= size)
        return gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "the value of '%s' needs a buffer of %zu bytes", name, strlen(text) + 1);
    gw_strcopy(buf, size, text);
    return 0;
}

/* ---- listing, and the engine's access ---------------------------------------------------------------------------- */

bool gw_options_capability_at(size_t i, const char **ret_name, bool *ret_supported)
{
    if (i >= GW_CAP_COUNT)
        return false;
    if (ret_name)
        *ret_name = gw_feature((enum gw_capability)i)->name;
    if (ret_supported)
        *ret_supported = gw_feature((enum gw_capability)i)->supported;
    return true;
}

bool gw_options_cap(const struct gw_options *o, enum gw_capability c)
{
    return atomic_load(&o->caps) >> c & 1;
}

uint64_t gw_options_param(const struct gw_options *o, enum gw_parameter p)
{
    return atomic_load_explicit(&o->params[p], memory_order_relaxed);
}

enum gw_zero_detection gw_options_zero_detection(const struct gw_options *o)
{
    return (enum gw_zero_detection)gw_options_param(o, GW_PARAM_ZERO_PAGE_DETECTION);
}

void gw_options_string(const struct gw_options *o, enum gw_string_parameter p, char *buf)
{
    hold(o);
    memcpy(buf, o->strings[p], GW_STRING_SIZE);
    release(o);
}

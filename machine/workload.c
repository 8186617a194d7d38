/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/internal.h"

static const char *const names[GW_GUEST_WORKLOADS] = {
    [GW_GUEST_IDLE] = "idle",     [GW_GUEST_UNIFORM] = "uniform", [GW_GUEST_HOTSET] = "hotset",
    [GW_GUEST_SPARSE] = "sparse", [GW_GUEST_ZERO] = "zero",       [GW_GUEST_SEQUENTIAL] = "sequential",
    [GW_GUEST_DISK] = "disk",
};

const char *gw_machine_workload_name(enum gw_guest_workload kind)
{
    return kind < GW_GUEST_WORKLOADS ? names[kind] : "?";
}

static int number(const char *text, bool suffix, uint64_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno)
        return -ERANGE;
    if (suffix && *end) {
        const char *units = "KMGT", *unit = strchr(units, *end);
        if (!unit)
            return -EINVAL;
        unsigned bits = 10 * (unsigned)(unit - units + 1);
        if (value > UINT64_MAX >> bits)
            return -ERANGE;
        value <<= bits;
        end++;
    }
    if (*end)
        return -EINVAL;
    *ret = value;
    return 0;
}

int gw_machine_size_parse(const char *text, uint64_t *ret_bytes, struct gw_error *err)
{
    int r = number(text, true, ret_bytes);
    return r ? gw_fail(err, r, GW_BLAME_CALLER, "%s: not a size such as 4096, 64K, 128M, 2G", text) : 0;
}

static int set(struct gw_machine_workload *w, const char *key, const char *value, struct gw_error *err)
{
    static const char *const stores[] = {"auto", "cpu", "engine"};
    int r = -EINVAL;

    if (!strcmp(key, "rate"))
        r = number(value, true, &w->rate_bytes_per_s);
    else if (!strcmp(key, "set"))
        r = number(value, true, &w->set_bytes);
    else if (!strcmp(key, "seed"))
        r = number(value, false, &w->seed);
    else if (!strcmp(key, "verify"))
        r = number(value, true, &w->verify_bytes_per_s);
    else if (!strcmp(key, "fill")) {
        w->filled = !strcmp(value, "on");
        r = w->filled || !strcmp(value, "off") ? 0 : -EINVAL;
    } else if (!strcmp(key, "stores")) {
        for (int i = 0; i < 3; i++) {
            if (!strcmp(value, stores[i])) {
                w->stores = (enum gw_guest_stores)i;
                r = 0;
            }
        }
    } else
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload: %s: rate, set, seed, verify, stores and fill are possible", key);
    return r ? gw_fail(err, r, GW_BLAME_CALLER, "workload: %s=%s: not a value that %s can have", key, value, key) : 0;
}

int gw_machine_workload_parse(const char *text, struct gw_machine_workload *ret_workload, struct gw_error *err)
{
    struct gw_machine_workload w = {0};
    char copy[256], *part, *rest = NULL;
    int r = 0;

    if (strlen(text) >= sizeof(copy))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload: the text is longer than 255 bytes");
    strcpy(copy, text);
    part = strtok_r(copy, ",", &rest);
    for (w.kind = 0; w.kind < GW_GUEST_WORKLOADS; w.kind++) {
        if (part && !strcmp(part, names[w.kind]))
            break;
    }
    if (w.kind == GW_GUEST_WORKLOADS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "workload: %s: idle, uniform, hotset, sequential, sparse, zero and disk are possible",
                       part ? part : "(nothing)");
    while (!r && (part = strtok_r(NULL, ",", &rest))) {
        char *value = strchr(part, '=');
        if (!value)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "workload: %s: NAME=VALUE is expected", part);
        *value++ = 0;
        r = set(&w, part, value, err);
    }
    if (!r)
        *ret_workload = w;
    return r;
}

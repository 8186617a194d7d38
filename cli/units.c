/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum gw_unit unit;
} parameters[] = {
    {"announce-initial", GW_UNIT_MS},
    {"announce-max", GW_UNIT_MS},
    {"announce-step", GW_UNIT_MS},
    {"avail-switchover-bandwidth", GW_UNIT_BYTES_PER_S},
    {"cpu-throttle-increment", GW_UNIT_PERCENT},
    {"cpu-throttle-initial", GW_UNIT_PERCENT},
    {"downtime-limit", GW_UNIT_MS},
    {"max-bandwidth", GW_UNIT_BYTES_PER_S},
    {"max-cpu-throttle", GW_UNIT_PERCENT},
    {"max-postcopy-bandwidth", GW_UNIT_BYTES_PER_S},
    {"throttle-trigger-threshold", GW_UNIT_PERCENT},
    {"vcpu-dirty-limit", GW_UNIT_MB_PER_S},
    {"x-checkpoint-delay", GW_UNIT_MS},
    {"x-godwit-downtime-ceiling", GW_UNIT_MS},
    {"x-vcpu-dirty-limit-period", GW_UNIT_MS},
    {"xbzrle-cache-size", GW_UNIT_BYTES},
};

/* All units that may follow a number. */
static const struct suffix {
    enum gw_unit unit;
    const char *text;
    double factor;
} suffixes[] = {
    {GW_UNIT_MS, "ms", 1},     {GW_UNIT_MS, "s", 1e3},        {GW_UNIT_MS, "min", 60e3},
    {GW_UNIT_PERCENT, "%", 1}, {GW_UNIT_MB_PER_S, "MB/s", 1},
};

enum gw_unit gw_unit_of(const char *parameter)
{
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
        if (!strcmp(parameters[i].name, parameter))
            return parameters[i].unit;
    return GW_UNIT_NONE;
}

/* Units "", "K", "KiB", "K/s", "KiB/s", "B", "B/s"; 0: none of these. */
static double byte_factor(const char *text, bool per_s)
{
    static const char letters[] = "KMGTkmgt";
    const char *letter = *text ? strchr(letters, *text) : NULL;
    double factor = letter ? ldexp(1, 10 * ((int)(letter - letters) % 4 + 1)) : 1;

    text += letter != NULL;
    text += letter && !strncmp(text, "iB", 2) ? 2 : !letter && *text == 'B';
    if (per_s && !strcmp(text, "/s"))
        return factor;
    return *text ? 0 : factor;
}

static double factor_of(enum gw_unit unit, const char *text)
{
    if (unit == GW_UNIT_BYTES || unit == GW_UNIT_BYTES_PER_S)
        return byte_factor(text, unit == GW_UNIT_BYTES_PER_S);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (suffixes[i].unit == unit && !strcmp(suffixes[i].text, text))
            return suffixes[i].factor;
    return *text ? 0 : 1;
}

bool gw_unit_read(enum gw_unit unit, const char *text, uint64_t *ret_value)
{
    size_t digits = strspn(text, "0123456789"), n = digits;
    double factor, value;
    char number[40];

    if (!digits || digits > 20)
        return false;
    if (text[n] == '.')
        n += 1 + strspn(text + n + 1, "0123456789");
    if (n >= sizeof number)
        return false;
    factor = factor_of(unit, text + n + (text[n] == ' '));
    snprintf(number, sizeof number, "%.*s", (int)n, text);
    if (n == digits && factor > 0) { /* exact, unlike a double */
        char *end;
        unsigned long long whole = strtoull(number, &end, 10);

        return (digits < 20 || !strcmp(number, "18446744073709551615") || whole != UINT64_MAX) &&
               !__builtin_mul_overflow((uint64_t)whole, (uint64_t)factor, ret_value);
    }
    value = strtod(number, NULL) * factor;
    if (!(factor > 0) || value != floor(value) || value >= 18446744073709551616.0)
        return false;
    *ret_value = (uint64_t)value;
    return true;
}

const char *gw_unit_expected(enum gw_unit unit)
{
    switch (unit) {
    case GW_UNIT_BYTES:
        return "a size such as 64M (K, M, G, T)";
    case GW_UNIT_BYTES_PER_S:
        return "a rate such as 100M (bytes per second; K, M, G, T)";
    case GW_UNIT_MS:
        return "a time such as 300ms or 2s (ms, s, min)";
    case GW_UNIT_PERCENT:
        return "a percentage such as 20";
    case GW_UNIT_MB_PER_S:
        return "a number of MB/s";
    default:
        return "a value";
    }
}

const char *gw_unit_print(enum gw_unit unit, uint64_t value, char buf[GW_UNIT_TEXT])
{
    static const char *const sizes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    const char *const behind[] = {
        [GW_UNIT_MS] = " ms", [GW_UNIT_PERCENT] = " %", [GW_UNIT_MB_PER_S] = " MB/s", [GW_UNIT_NONE] = ""};
    unsigned i = 0;

    if (unit != GW_UNIT_BYTES && unit != GW_UNIT_BYTES_PER_S) {
        snprintf(buf, GW_UNIT_TEXT, "%" PRIu64 "%s", value, behind[unit]);
        return buf;
    }
    for (; value && value % 1024 == 0 && i < 4; i++)
        value /= 1024;
    snprintf(buf, GW_UNIT_TEXT, "%" PRIu64 " %s%s", value, sizes[i], unit == GW_UNIT_BYTES_PER_S ? "/s" : "");
    return buf;
}

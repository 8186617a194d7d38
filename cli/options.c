/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define SECONDS_MAX 1e9

bool gw_option_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    uint64_t n = 0;

    if (!*text)
        return false;
    for (const char *p = text; *p; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return false;
    if (n < min || n > max)
        return false;
    *ret_value = n;
    return true;
}

bool gw_option_size(const char *text, int64_t *ret_value)
{
    static const char units[] = "KMGTkmgt";
    const char *digits = text + (*text == '-'), *end = digits + strspn(digits, "0123456789"), *unit = NULL;
    unsigned shift = 0;
    long long n;

    if (end == digits)
        return false;
    if (*end) {
        unit = strchr(units, *end);
        if (!unit || end[1])
            return false;
        shift = 10 * ((unsigned)(unit - units) % 4 + 1);
    }
    errno = 0;
    n = strtoll(text, NULL, 10);
    if (errno || __builtin_mul_overflow(n, 1ll << shift, &n))
        return false;
    *ret_value = n;
    return true;
}

bool gw_option_seconds(const char *text, uint64_t *ret_ns)
{
    char *end;
    double s;

    /* strtod would also accept white space, hexadecimal and "inf". */
    if (!*text || text[strspn(text, "0123456789.")])
        return false;
    s = strtod(text, &end);
    if (end == text || *end || !(s >= 1e-9 && s < SECONDS_MAX))
        return false;
    *ret_ns = (uint64_t)(s * 1e9);
    return true;
}

static bool take_name(const char *text, size_t bytes, char *name, size_t size)
{
    if (!bytes || bytes >= size)
        return false;
    memcpy(name, text, bytes);
    name[bytes] = 0;
    return true;
}

bool gw_option_switch(const char *text, char *name, size_t size, bool *ret_on)
{
    size_t n = strcspn(text, "=");
    bool on = !text[n] || !strcmp(text + n, "=on") || !strcmp(text + n, "=true");

    if ((!on && strcmp(text + n, "=off") && strcmp(text + n, "=false")) || !take_name(text, n, name, size))
        return false;
    *ret_on = on;
    return true;
}

bool gw_option_setting(const char *text, char *name, size_t size, const char **ret_value)
{
    size_t n = strcspn(text, "=");

    if (!text[n] || !take_name(text, n, name, size))
        return false;
    *ret_value = text + n + 1;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

bool gw_option_uuid(const char *text, uint8_t ret_uuid[16])
{
    bool dashes = strlen(text) == 36;
    uint8_t uuid[16] = {0};
    unsigned n = 0;

    for (size_t i = 0; text[i]; i++) {
        int digit = hex_digit(text[i]);

        if (dashes && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-')
                return false;
            continue;
        }
        if (digit < 0 || n == 32)
            return false;
        uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | digit);
        n++;
    }
    if (n != 32)
        return false;
    memcpy(ret_uuid, uuid, sizeof uuid);
    return true;
}

bool gw_option_is_local(const char *host)
{
    const uint8_t mapped[13] = {[10] = 0xff, 0xff, 127}; /* ::ffff:127.x.x.x */
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return !strcmp(host, "localhost");
    return IN6_IS_ADDR_LOOPBACK(&v6) || !memcmp(&v6, mapped, sizeof mapped);
}

bool gw_option_log(const char *text, bool *ret_verbose)
{
    bool verbose = !strcmp(text, "info") || !strcmp(text, "debug");

    if (!verbose && strcmp(text, "error") && strcmp(text, "warning"))
        return false;
    *ret_verbose = verbose;
    return true;
}

int gw_option_absent(const char *command, const char *option, const char *part)
{
    fprintf(stderr, "godwit %s: %s: %s: not in this build\n", command, option, part);
    return GW_EXIT_USAGE;
}

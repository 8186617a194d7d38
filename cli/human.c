/* SPDX-License-Identifier: MIT */
#include "human.h"

#include <stdio.h>

const char *gw_human_bytes(char buf[GW_HUMAN], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t i = 0;

    for (; bytes >= 1000 && i < 5; i++)
        bytes /= 1024;
    snprintf(buf, GW_HUMAN, i == 0 || bytes >= 100 ? "%.0f %s" : bytes >= 10 ? "%.1f %s" : "%.2f %s", bytes, units[i]);
    return buf;
}

const char *gw_human_ms(char buf[GW_HUMAN], double ms)
{
    if (ms < 1000)
        snprintf(buf, GW_HUMAN, ms < 10 && ms != (int)ms ? "%.2f ms" : "%.0f ms", ms);
    else if (ms < 59950)
        snprintf(buf, GW_HUMAN, "%.1f s", ms / 1000);
    else if (ms < 7200000)
        snprintf(buf, GW_HUMAN, "%ld min %02ld s", (long)((ms + 50) / 60000), (long)((ms + 50) / 1000) % 60);
    else
        snprintf(buf, GW_HUMAN, "%.1f h", ms / 3600000);
    return buf;
}

const char *gw_human_eta(char buf[GW_HUMAN], double seconds)
{
    unsigned long s = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 1000000000ul;

    if (s >= 60)
        s = (s + 2) / 5 * 5;
    if (seconds < 1)
        snprintf(buf, GW_HUMAN, "< 1 s");
    else if (s < 60)
        snprintf(buf, GW_HUMAN, "%lu s", s);
    else if (s < 600)
        snprintf(buf, GW_HUMAN, "%lu min %02lu s", s / 60, s % 60);
    else if (s < 3600)
        snprintf(buf, GW_HUMAN, "%lu min", s / 60);
    else if (s < 36000)
        snprintf(buf, GW_HUMAN, "%lu h %02lu min", s / 3600, s / 60 % 60);
    else if (s < 172800)
        snprintf(buf, GW_HUMAN, "%lu h", s / 3600);
    else
        snprintf(buf, GW_HUMAN, "%lu d", s / 86400);
    return buf;
}

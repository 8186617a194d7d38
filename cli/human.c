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
    else if (ms < 120000)
        snprintf(buf, GW_HUMAN, "%.1f s", ms / 1000);
    else if (ms < 7200000)
        snprintf(buf, GW_HUMAN, "%.0f min %02d s", (double)(long)(ms / 60000), (int)((long)(ms / 1000) % 60));
    else
        snprintf(buf, GW_HUMAN, "%.1f h", ms / 3600000);
    return buf;
}

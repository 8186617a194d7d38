/* SPDX-License-Identifier: MIT */
#include "shown.h"

#include <godwit/godwit.h>
#include <string.h>

#define COPIES 16u

const char *gw_shown(const char *text)
{
    static char copies[COPIES][4200];
    static unsigned turn;
    char *to = copies[turn % COPIES];

    if (!text || !strcmp(gw_printable(text, to, sizeof copies[0]), text))
        return text;
    turn++;
    return to;
}

/* SPDX-License-Identifier: MIT */
#include "nearest.h"

#include <string.h>

#define WORD_MAX     64u /* longer words match nothing */
#define ABBREVIATION 5u  /* a word of this length may also match the beginning of another one */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned gw_cli_distance(const char *a, const char *b)
{
    unsigned rows[3][WORD_MAX + 1], *two = rows[0], *one = rows[1], *now = rows[2], *swap;
    size_t n = strlen(a), m = strlen(b);

    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX + 1;
    for (unsigned k = 0; k <= m; k++)
        one[k] = two[k] = k;
    for (unsigned i = 1; i <= n; i++) {
        now[0] = i;
        for (unsigned k = 1; k <= m; k++) {
            now[k] = least(least(one[k], now[k - 1]) + 1, one[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                now[k] = least(now[k], two[k - 2] + 1);
        }
        swap = two;
        two = one;
        one = now;
        now = swap;
    }
    return one[m];
}

void gw_cli_nearest_try(struct gw_cli_nearest *n, const char *candidate)
{
    unsigned distance = gw_cli_distance(n->word, candidate), cut_distance;
    size_t length = strlen(n->word), bound = length < 3 ? 0 : length < 5 ? 1 : length < 9 ? 2 : 3;
    char cut[WORD_MAX + 1];

    if (length >= ABBREVIATION && length < strlen(candidate) && length < sizeof cut) {
        memcpy(cut, candidate, length);
        cut[length] = 0;
        cut_distance = gw_cli_distance(n->word, cut);
        distance = cut_distance < distance ? cut_distance : distance;
    }
    if (distance > bound || (n->best && distance >= n->distance))
        return;
    n->best = candidate;
    n->distance = distance;
}

/* SPDX-License-Identifier: MIT
 *
 * print_frames: docs/formats/frames.md, from the lists in src/wire/frames.h. A test compares.
 */
#include <stdio.h>

#include "wire/frames.h"

#define ROW(type, field, text) printf("| " #type " | %s | %s |\n", #field, text);

int main(void)
{
    printf("# Frames\n\n"
           "This page lists the messages of fixed size. Integers are big-endian, without padding. [wire-format.md](../wire-format.md)\n"
           "says where each message may come; [extensions.md](extensions.md) says what godwit's own messages mean.\n"
           "`tools/print_frames` prints this page from `src/wire/frames.h`.\n");
#define X(name, NAME, where)                                                                                           \
    printf("\n## " #name "\n\n%s; %d bytes.\n\n| type | field | what it is |\n|---|---|---|\n", where,                    \
           (int)GW_FRAME_##NAME##_BYTES);                                                                              \
    GW_FRAME_##NAME(ROW)
    GW_FRAMES(X)
#undef X
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a stream in a file. What is opened can be read to its end.
 */
#include "fuzz_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_image(data, size, gw_stream_open);
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a qcow2 image: read, checked, written, with snapshots taken and deleted.
 */
#include "qcow2_abuse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 72)
        abuse(data, size);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a qcow2 image: read, checked, written, with snapshots taken and deleted. Accepted: it opens to be written, the first
 * MiB of the disk can be read, and nothing is wrong with it that matters.
 */
#include "qcow2_abuse.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Before anything is written. */
static bool sound(const uint8_t *data, size_t size)
{
    struct gw_qcow2_report report;
    struct gw_node *n = NULL;
    uint8_t *room;
    bool is;

    if (gw_qcow2_open(abuse_file(data, size), NULL, GW_QCOW2_ALONE, &n, NULL) < 0)
        return false;
    room = malloc(ABUSE_READ);
    is = gw_node_read(n, room, GW_MIN(n->bytes, ABUSE_READ), 0, NULL) >= 0 && gw_qcow2_check(n, &report, NULL) >= 0 &&
         !report.corruptions;
    free(room);
    gw_node_free(n, NULL);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_VERDICT(size && sound(data, size));
    if (size >= 72)
        abuse(data, size);
    return 0;
}

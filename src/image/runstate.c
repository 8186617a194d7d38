/* SPDX-License-Identifier: MIT
 *
 * runstate: whether the guest of an image continues to run by itself on the destination.
 *
 * A stream says so in the device `globalstate` (docs/wire-format.md 13.1). libvirt stops a guest before it saves it, so
 * the stream in its images always says "paused", and the head of the file has the state before that.
 */
#include "base/endian.h"
#include "image/image.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define TEXT_BYTES 32u /* bytes of the name; QEMU 10 stores other data after it */
#define BODY_BYTES 104u

/* Finds the text among the devices' bytes; NULL: the machine does not record it. */
static char *find(const struct gw_image *image)
{
    static const char name[] = "\x0bglobalstate\0\0\0\0\0\0\0\1"; /* instance 0, version 1 */
    const size_t head = sizeof name - 1;
    uint8_t *from = image->devices, *end = from + image->devices_bytes, *p;

    for (; from && (p = memmem(from, (size_t)(end - from), name, head)); from = p + 1) {
        size_t left = (size_t)(end - p) - head;

        if (p - image->devices < 5 || p[-5] != GW_ELEMENT_FULL || left < BODY_BYTES)
            continue;
        if (image->footers && (left < BODY_BYTES + 5 || p[head + BODY_BYTES] != GW_ELEMENT_FOOTER ||
                               memcmp(p + head + BODY_BYTES + 1, p - 4, 4)))
            continue;
        return (char *)p + head;
    }
    return NULL;
}

static bool says_running(const char *body)
{
    return !memcmp(body + 4, "running", 8);
}

void gw_image_take_runs(struct gw_image *image, const struct gw_image *from)
{
    const char *theirs = find(from);
    char *body = find(image);

    if (body && theirs)
        memcpy(body, theirs, BODY_BYTES);
}

bool gw_image_runs(const struct gw_image *image)
{
    const char *body = find(image);

    if (image->libvirt_saved)
        return image->libvirt_was_running;
    return !body || says_running(body); /* a machine without the record is assumed to run */
}

int gw_image_set_runs(struct gw_image *image, bool runs, struct gw_error *err)
{
    const char *text = runs ? "running" : "paused";
    char *body = find(image);

    if (!body && !runs)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "the machine does not carry its run state (device globalstate), so it starts where it arrives");
    if (body && says_running(body) != runs) { /* other states that wait (prelaunch) are kept */
        gw_store_be32(body, (uint32_t)strlen(text) + 1);
        memset(body + 4, 0, TEXT_BYTES);
        memcpy(body + 4, text, strlen(text));
    }
    image->libvirt_was_running = runs;
    return 0;
}

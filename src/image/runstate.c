/* SPDX-License-Identifier: MIT
 *
 * runstate: whether the guest of an image goes on by itself where it arrives.
 *
 * A stream says so in the device `globalstate` (docs/wire-format.md 13.1). libvirt stops a guest before it saves it, so of its
 * images the stream always says "paused", and the head of the file what was before.
 */
#include "base/endian.h"
#include "image/image.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define TEXT_BYTES 32u /* what can be a name; QEMU 10 keeps something else behind it */
#define BODY_BYTES 104u

/* The text in the devices' bytes; NULL: the machine does not tell. */
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
    return !body || says_running(body); /* machines that do not tell are taken to run */
}

int gw_image_set_runs(struct gw_image *image, bool runs, struct gw_error *err)
{
    const char *text = runs ? "running" : "paused";
    char *body = find(image);

    if (!body && !runs)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "the machine does not carry its run state (device globalstate), so it starts where it arrives");
    if (body && says_running(body) != runs) { /* others that wait (prelaunch) stay what they are */
        gw_store_be32(body, (uint32_t)strlen(text) + 1);
        memset(body + 4, 0, TEXT_BYTES);
        memcpy(body + 4, text, strlen(text));
    }
    image->libvirt_was_running = runs;
    return 0;
}

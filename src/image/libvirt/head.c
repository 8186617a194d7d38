/* SPDX-License-Identifier: MIT */
#include "image/libvirt/libvirt.h"

#include <byteswap.h>

static const char magic[] = "LibvirtQemudSave", partial[] = "LibvirtQemudPart";
#define MAGIC_BYTES 16u

enum { VERSION, TEXT_BYTES, WAS_RUNNING, FORMAT, COOKIE_AT, WORDS }; /* 32 bits each, then 14 that are not used */
#define VERSION_MAX 2u

static const char *const formats[] = {"raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"};
enum { RAW = 0, SPARSE = 6 };

bool gw_libvirt_recognise(const uint8_t *head, size_t bytes)
{
    return bytes >= MAGIC_BYTES && (!memcmp(head, magic, MAGIC_BYTES) || !memcmp(head, partial, MAGIC_BYTES));
}

int gw_libvirt_head_get(const uint8_t *head, size_t bytes, struct gw_libvirt_head *ret, struct gw_error *err)
{
    struct gw_libvirt_head h = {0};
    uint32_t word[WORDS];

    if (bytes < GW_LIBVIRT_HEAD_BYTES)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %zu: the head of a libvirt save image ends early", bytes);
    if (!memcmp(head, partial, MAGIC_BYTES))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "byte 0: a libvirt save image that was never finished (its magic is \"%s\")", partial);
    if (memcmp(head, magic, MAGIC_BYTES) != 0)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte 0: not a libvirt save image");
    memcpy(word, head + MAGIC_BYTES, sizeof word);
    h.swapped = word[VERSION] > VERSION_MAX;
    for (unsigned i = 0; i < WORDS && h.swapped; i++)
        word[i] = bswap_32(word[i]);
    if (!word[VERSION] || word[VERSION] > VERSION_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte 16: a libvirt save image of version %u, up to %u are known",
                       h.swapped ? bswap_32(word[VERSION]) : word[VERSION], VERSION_MAX);
    if (!word[TEXT_BYTES] || word[TEXT_BYTES] > GW_LIBVIRT_TEXT_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte 20: the XML has %u bytes, 1 to %u are allowed",
                       word[TEXT_BYTES], GW_LIBVIRT_TEXT_MAX);
    if (!gw_libvirt_format_name(word[FORMAT]))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "byte 28: unknown compression method %u", word[FORMAT]);
    if (word[COOKIE_AT] >= word[TEXT_BYTES])
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte 32: the cookie begins at byte %u of a text of %u bytes",
                       word[COOKIE_AT], word[TEXT_BYTES]);
    h.version = word[VERSION];
    h.text_bytes = word[TEXT_BYTES];
    h.was_running = word[WAS_RUNNING] != 0;
    h.format = word[FORMAT];
    h.cookie_at = word[COOKIE_AT];
    h.stream_at = GW_LIBVIRT_HEAD_BYTES + (uint64_t)h.text_bytes;
    *ret = h;
    return 0;
}

void gw_libvirt_head_put(const struct gw_libvirt_head *h, uint8_t *head)
{
    const uint32_t word[WORDS] = {[VERSION] = VERSION_MAX,
                                  [TEXT_BYTES] = h->text_bytes,
                                  [WAS_RUNNING] = h->was_running,
                                  [FORMAT] = h->format,
                                  [COOKIE_AT] = h->cookie_at};

    memset(head, 0, GW_LIBVIRT_HEAD_BYTES);
    memcpy(head, magic, MAGIC_BYTES);
    memcpy(head + MAGIC_BYTES, word, sizeof word);
}

const char *gw_libvirt_format_name(uint32_t format)
{
    return format < GW_ARRAY_LEN(formats) ? formats[format] : NULL;
}

int gw_libvirt_format_find(const char *name)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(formats); i++)
        if (!strcmp(formats[i], name))
            return (int)i;
    return -1;
}

const char *gw_libvirt_program(uint32_t format)
{
    return format == RAW || format == SPARSE ? NULL : gw_libvirt_format_name(format);
}

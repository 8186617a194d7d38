/* SPDX-License-Identifier: MIT
 *
 * libvirt: the head of a libvirt save image (docs/formats/libvirt.md).
 */
#ifndef GW_IMAGE_LIBVIRT_H
#define GW_IMAGE_LIBVIRT_H

#include "base/base.h"

#define GW_LIBVIRT_HEAD_BYTES 92u
#define GW_LIBVIRT_TEXT_MAX   (64u << 20) /* XML and cookie */

struct gw_libvirt_head {
    bool swapped;        /* written on a host of the other byte order */
    uint32_t version;    /* 1, 2 */
    uint32_t text_bytes; /* XML, its padding, and the cookie */
    bool was_running;    /* the guest is to run once it is restored */
    uint32_t format;     /* compression of the stream */
    uint32_t cookie_at;  /* offset in the text; 0: no cookie */
    uint64_t stream_at;  /* offset in the file */
};

bool gw_libvirt_recognise(const uint8_t *head, size_t bytes);
/* -EPROTO: not a save image, or an unfinished one. */
int gw_libvirt_head_get(const uint8_t *head, size_t bytes, struct gw_libvirt_head *ret, struct gw_error *err);
void gw_libvirt_head_put(const struct gw_libvirt_head *h, uint8_t *head); /* in this host's byte order */

/* "raw", "gzip", ..., "sparse"; NULL: the number is not known. */
const char *gw_libvirt_format_name(uint32_t format);
/* -1: no format has this name. */
int gw_libvirt_format_find(const char *name);
/* The program that decompresses the stream; NULL: none. */
const char *gw_libvirt_program(uint32_t format);

#endif

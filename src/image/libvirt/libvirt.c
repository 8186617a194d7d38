/* SPDX-License-Identifier: MIT
 *
 * libvirt save images: the domain's XML and a migration stream in one file.
 */
#include "image/libvirt/libvirt.h"

#include <sys/stat.h>

#include "image/image.h"
#include "image/unpack.h"

#define EDIT_BYTES  65536u /* libvirt leaves the same room, so that `virsh save-image-edit` can make the XML longer */
#define ALIGN_BYTES 4096u  /* of the stream */

static int read_at(int fd, void *dst, size_t bytes, uint64_t at, size_t *ret_got, struct gw_error *err)
{
    uint8_t *p = dst;
    size_t have = 0;

    while (have < bytes) {
        ssize_t n = pread(fd, p + have, bytes - have, (off_t)(at + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "reading at byte %" PRIu64 ": %s", at + have, strerror(errno));
        if (!n)
            break;
        have += (size_t)n;
    }
    *ret_got = have;
    return 0;
}

/* A string inside the text area; it must end there. */
static int take(const char *texts, size_t from, size_t end, const char *what, char **ret, struct gw_error *err)
{
    size_t n = strnlen(texts + from, end - from);

    if (n == end - from)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %zu: the %s has no end", GW_LIBVIRT_HEAD_BYTES + from, what);
    *ret = malloc(n + 1);
    if (!*ret)
        return gw_nomem(err, what);
    memcpy(*ret, texts + from, n + 1);
    return 0;
}

static int get_texts(int fd, const struct gw_libvirt_head *h, struct gw_image *image, struct gw_error *err)
{
    GW_AUTOFREE char *texts = NULL;
    struct stat st;
    size_t got = 0;
    int r;

    if (fstat(fd, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < h->stream_at)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file ends at byte %jd, inside the XML, which has %u bytes",
                       (intmax_t)st.st_size, h->text_bytes);
    texts = malloc(h->text_bytes);
    if (!texts)
        return gw_nomem(err, "XML");
    r = read_at(fd, texts, h->text_bytes, GW_LIBVIRT_HEAD_BYTES, &got, err);
    if (r >= 0 && got < h->text_bytes)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file ends at byte %zu, inside the XML",
                    GW_LIBVIRT_HEAD_BYTES + got);
    if (r >= 0)
        r = take(texts, 0, h->cookie_at ? h->cookie_at : h->text_bytes, "XML", &image->libvirt_xml, err);
    if (r >= 0 && h->cookie_at)
        r = take(texts, h->cookie_at, h->text_bytes, "cookie", &image->libvirt_cookie, err);
    return r;
}

static int open_head(int fd, struct gw_image *image, struct gw_libvirt_head *ret, struct gw_error *err)
{
    uint8_t head[GW_LIBVIRT_HEAD_BYTES];
    size_t got = 0;
    int r = read_at(fd, head, sizeof head, 0, &got, err);

    if (r >= 0)
        r = gw_libvirt_head_get(head, got, ret, err);
    return r < 0 ? r : get_texts(fd, ret, image, err);
}

int gw_libvirt_open(int fd, const char *name, struct gw_image *image, struct gw_error *err)
{
    struct gw_libvirt_head h;
    const char *program = NULL;
    int r = open_head(fd, image, &h, err);

    if (r >= 0) {
        image->libvirt_saved = true;
        image->libvirt_was_running = h.was_running;
        program = gw_libvirt_program(h.format);
    }
    if (r >= 0 && program) {
        if (lseek(fd, (off_t)h.stream_at, SEEK_SET) < 0)
            r = gw_fail(err, -errno, GW_BLAME_LOCAL, "seeking: %s", strerror(errno));
        else
            r = gw_image_unpack_with(fd, program, image->temporary_folder, &fd, err);
        /* Errors in the stream give offsets within the decompressed stream. */
        h.stream_at = 0;
        image->unpacked = true;
        if (r < 0) {
            gw_context(err, "%s", name);
            return r;
        }
    }
    if (r < 0) {
        gw_close_fd(&fd);
        gw_context(err, "%s", name);
        return r;
    }
    r = gw_stream_open_at(fd, name, h.stream_at, image, err);
    image->format = GW_IMAGE_LIBVIRT;
    return r;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int put_texts(const struct gw_image *image, const char *xml, struct gw_libvirt_head *h, int fd,
                     struct gw_error *err)
{
    const char *cookie = xml == image->libvirt_xml ? image->libvirt_cookie : NULL; /* the cookie is valid only with that XML */
    size_t n = strlen(xml) + 1, cookie_bytes = cookie ? strlen(cookie) + 1 : 0, all;
    GW_AUTOFREE uint8_t *data = NULL;

    all = GW_LIBVIRT_HEAD_BYTES + n + EDIT_BYTES + cookie_bytes;
    all = gw_div_up(all, ALIGN_BYTES) * ALIGN_BYTES;
    if (all > GW_LIBVIRT_TEXT_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the domain's XML has %zu bytes, which is too long for a libvirt save "
                       "image", n - 1);
    data = calloc(1, all);
    if (!data)
        return gw_nomem(err, "XML");
    h->text_bytes = (uint32_t)(all - GW_LIBVIRT_HEAD_BYTES);
    h->cookie_at = cookie ? (uint32_t)n : 0;
    h->stream_at = all;
    gw_libvirt_head_put(h, data);
    memcpy(data + GW_LIBVIRT_HEAD_BYTES, xml, n);
    if (cookie)
        memcpy(data + GW_LIBVIRT_HEAD_BYTES + h->cookie_at, cookie, cookie_bytes);
    return gw_pwrite_all(fd, data, all, 0, err);
}

/* libvirt's number of the compression; 0: raw. */
static int find_format(const struct gw_image_write_options *options, struct gw_error *err)
{
    int format = gw_libvirt_format_find(options->compress ? options->compress : "raw");

    return format >= 0 ? format
                       : gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                                 "libvirt cannot read files compressed with %s: take raw, gzip, bzip2, xz, lzop, zstd or sparse",
                                 options->compress);
}

static int check_xml(const char *xml, struct gw_error *err)
{
    return *xml == '<' ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the text is not the XML of a domain: it does not begin with "
                                     "'<'");
}

int gw_libvirt_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    int format = find_format(options, err), r = format;
    const char *program;

    if (r >= 0 && options->libvirt_xml)
        r = check_xml(options->libvirt_xml, err);
    if (r < 0)
        return r;
    program = gw_libvirt_program((uint32_t)format);
    return program ? gw_filter_try(program, options->level, err) : 0;
}

int gw_libvirt_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err)
{
    const char *xml = options->libvirt_xml ? options->libvirt_xml : image->libvirt_xml;
    int r, format = find_format(options, err);
    struct gw_libvirt_head h = {.was_running = gw_image_runs(image), .format = (uint32_t)format};
    struct gw_image_write_options inner = *options;

    if (format < 0)
        return format;
    r = xml ? check_xml(xml, err)
            : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "libvirt needs the domain's XML, and the image has none");
    if (r < 0)
        return r;
    r = put_texts(image, xml, &h, fd, err);
    if (r < 0)
        return r;
    if (!strcmp(gw_libvirt_format_name(h.format), "sparse")) {
        inner.compress = NULL;
        return gw_mapped_write_at(image, &inner, fd, h.stream_at, err);
    }
    inner.compress = gw_libvirt_program(h.format);
    if (lseek(fd, (off_t)h.stream_at, SEEK_SET) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "seeking: %s", strerror(errno));
    return gw_stream_write(image, &inner, fd, err);
}

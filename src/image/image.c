/* SPDX-License-Identifier: MIT */
#include "image/far.h"
#include "image/image.h"
#include "image/nbd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/bitmap.h"
#include "godwit/channel.h"
#include "image/unpack.h"

#define HEAD_BYTES 64
#define STRIPE     256u /* pages read or mapped at once */
#define BLOCKS_MAX 4096u

static const struct gw_image_format_ops *find(enum gw_image_format format)
{
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].format == format)
            return &gw_image_formats[i];
    return NULL;
}

const char *gw_image_format_name(enum gw_image_format format)
{
    const struct gw_image_format_ops *f = find(format);

    return f ? f->name : "?";
}

int gw_image_format_find(const char *name)
{
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (!strcmp(gw_image_formats[i].name, name))
            return (int)gw_image_formats[i].format;
    return -1;
}

/* ---- opening ------------------------------------------------------------------------------------------------------
 */

static int recognise(int fd, const char *name, uint64_t offset, const struct gw_image_format_ops **ret,
                     struct gw_error *err)
{
    uint8_t head[HEAD_BYTES];
    ssize_t n = pread(fd, head, sizeof head, (off_t)offset);

    if (n < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: reading: %s", name, strerror(errno));
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *f = &gw_image_formats[i];

        if (!f->recognise || !f->recognise(head, (size_t)n) || (offset && f->format != GW_IMAGE_STREAM))
            continue;
        if (!f->open)
            return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%s: files of the format %s cannot be opened", name, f->name);
        *ret = f;
        return 0;
    }
    if (offset)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: no migration stream begins at byte %" PRIu64, name, offset);
    return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                   n >= 4 && !memcmp(head, "QFI\xfb", 4)
                       ? "%s: a disk image; a machine in it is one of its snapshots (godwit snapshot list, --snapshot)"
                   : n ? "%s: neither a parked machine nor a migration stream nor a libvirt save image"
                       : "%s: the file is empty",
                   name);
}

int gw_path_split(const char *text, char *path, uint64_t *ret_offset, struct gw_error *err)
{
    char address[GW_PATH_TEXT + 5];
    struct gw_uri uri;
    struct stat st;

    *ret_offset = 0;
    if (!gw_strcopy(path, GW_PATH_TEXT, text))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a path of %zu bytes, at most %u are taken", strlen(text),
                       GW_PATH_TEXT - 1);
    if (!strstr(text, ",offset=") || !lstat(text, &st))
        return 0;
    snprintf(address, sizeof address, "file:%s", text);
    if (gw_uri_parse(address, &uri, NULL) < 0) /* not a URI: opening it as a file reports the error */
        return 0;
    gw_strcopy(path, GW_PATH_TEXT, uri.path);
    *ret_offset = uri.offset;
    return 0;
}

int gw_image_open(const char *path, struct gw_image **ret_image, struct gw_error *err)
{
    return gw_image_open_in(path, NULL, ret_image, err);
}

int gw_image_open_in(const char *path, const char *temporary_folder, struct gw_image **ret_image, struct gw_error *err)
{
    char file[GW_PATH_TEXT];
    uint64_t offset;
    int r = gw_path_split(path, file, &offset, err);

    return r < 0 ? r : gw_image_open_at(file, offset, temporary_folder, ret_image, err);
}

uint64_t gw_image_block_lacking(const struct gw_image *image, unsigned block)
{
    uint64_t pages = image->received && block < image->block_count ? image->blocks[block].pages : 0;

    if (pages && image->received[block])
        pages -= gw_bitmap_count(image->received[block], pages);
    return pages << image->page_bits;
}

uint64_t gw_image_lacking(const struct gw_image *image)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < image->block_count; i++)
        bytes += gw_image_block_lacking(image, i);
    return bytes;
}

/* A caller that opens an image for use needs a complete machine. */
static int check_whole(const struct gw_image *image, const char *name, struct gw_error *err)
{
    return image->received
               ? gw_fail(err, -EBADMSG, GW_BLAME_PEER,
                         "%s: the machine in it is incomplete: %" PRIu64 " bytes of its memory were not received, "
                             "because its source was lost. `godwit salvage` completes it from the source's half",
                         name, gw_image_lacking(image))
               : 0;
}

/* Takes fd. */
static int open_format(struct gw_image *image, int fd, const char *name, uint64_t offset, struct gw_error *err)
{
    const struct gw_image_format_ops *format = NULL;
    int given = fd, r = offset > INT64_MAX || (offset && lseek(fd, 0, SEEK_SET) < 0)
                ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: cannot seek to byte %" PRIu64, name, offset)
                : 0;

    if (r >= 0 && !offset && (r = gw_image_unpack(fd, name, image->temporary_folder, &fd, err)) < 0)
        return r; /* open_format has taken fd */
    if (r >= 0)
        r = recognise(fd, name, offset, &format, err);
    if (r < 0) {
        gw_close_fd(&fd);
        return r;
    }
    image->unpacked = fd != given;
    image->format = format->format;
    return offset ? gw_stream_open_at(fd, name, offset, image, err) : format->open(fd, name, image, err);
}

/* Opens an image on a server. The image is zeros on entry; on failure the caller frees it. */
static int open_far(struct gw_image *image, const char *uri, uint64_t offset, struct gw_error *err)
{
    const struct gw_image_format_ops *format;
    struct gw_bytes *bytes = NULL;
    int fd = -1, r = gw_far_open(uri, image->temporary_folder, &format, &bytes, &fd, err);

    if (r < 0)
        return r;
    if (!bytes)
        return open_format(image, fd, uri, offset, err);
    if (offset) {
        gw_bytes_free(bytes);
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: no migration stream begins at byte %" PRIu64, uri, offset);
    }
    image->format = format->format;
    return format->open_bytes(bytes, uri, image, err);
}

bool gw_path_is_far(const char *path)
{
    return gw_nbd_meant(path);
}

static int open_far_image(const char *uri, uint64_t offset, const char *temporary_folder, bool whole, struct gw_image **ret_image,
                          struct gw_error *err)
{
    struct gw_image *image = calloc(1, sizeof *image);
    int r;

    if (!image)
        return gw_nomem(err, "image");
    image->temporary_folder = temporary_folder;
    image->far_uri = strdup(uri);
    if (!image->far_uri) {
        gw_image_free(image);
        return gw_nomem(err, "image");
    }
    r = open_far(image, uri, offset, err);
    if (r >= 0 && whole)
        r = check_whole(image, uri, err);
    image->temporary_folder = NULL;
    if (r < 0)
        gw_image_free(image);
    else
        *ret_image = image;
    return r;
}

static int open_any(const char *path, uint64_t offset, const char *temporary_folder, bool whole, struct gw_image **ret_image,
                    struct gw_error *err)
{
    bool input = !strcmp(path, "-");
    const char *name = input ? "standard input" : path;
    struct gw_image *image;
    struct stat st;
    int r, fd;

    if (gw_path_is_far(path))
        return open_far_image(path, offset, temporary_folder, whole, ret_image, err);
    fd = input ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", name, strerror(errno));
        gw_close_fd(&fd);
        return r;
    }
    image = calloc(1, sizeof *image);
    if (!image) {
        gw_close_fd(&fd);
        return gw_nomem(err, "image");
    }
    image->temporary_folder = temporary_folder;
    if (!input)
        gw_image_set_origin(image, fd, path);
    image->origin.part = offset;
    if (S_ISDIR(st.st_mode)) {
        r = gw_fail(err, -EISDIR, GW_BLAME_CALLER, "%s: %s", name, strerror(EISDIR));
        gw_close_fd(&fd);
    } else {
        r = open_format(image, fd, name, offset, err);
    }
    if (r >= 0 && whole)
        r = check_whole(image, name, err);
    if (r < 0) {
        gw_image_free(image);
        return r;
    }
    image->temporary_folder = NULL;
    *ret_image = image;
    return 0;
}

int gw_image_open_at(const char *path, uint64_t offset, const char *temporary_folder, struct gw_image **ret_image,
                     struct gw_error *err)
{
    return open_any(path, offset, temporary_folder, true, ret_image, err);
}

int gw_image_open_half(const char *path, const char *temporary_folder, struct gw_image **ret_image, struct gw_error *err)
{
    char file[GW_PATH_TEXT];
    uint64_t offset;
    int r = gw_path_split(path, file, &offset, err);

    return r < 0 ? r : open_any(file, offset, temporary_folder, false, ret_image, err);
}

int gw_image_keep_head(struct gw_image *image, const struct gw_wire_head *head, struct gw_error *err)
{
    struct gw_wire_head *kept = malloc(sizeof *kept);
    int r = 0;

    if (!kept)
        return gw_nomem(err, "head of the stream");
    /* The stream showed where unknown subsections end; a reader of the file must find the same ends. */
    if (head->unknown[0] && (r = gw_head_get_raw(head->raw, head->raw_bytes, kept, err)) < 0) {
        gw_context(err, "subsection %s, which is not known, cannot be kept", head->unknown);
        free(kept);
        return r;
    }
    *kept = *head;
    free(image->head);
    image->head = kept;
    gw_strcopy(image->machine, sizeof image->machine, head->machine);
    image->has_uuid = head->has_uuid;
    memcpy(image->uuid, head->uuid, sizeof image->uuid);
    return 0;
}

void gw_image_head(const struct gw_image *image, struct gw_wire_head *ret)
{
    if (image->head) {
        *ret = *image->head;
        gw_head_drop_capability(ret, "mapped-ram");
        gw_head_drop_capability(ret, "x-ignore-shared");
        return;
    }
    memset(ret, 0, sizeof *ret);
    ret->configured = *image->machine;
    gw_strcopy(ret->machine, sizeof ret->machine, image->machine);
    ret->page_bits = gw_head_told_page_bits(image->page_bits);
    ret->has_uuid = image->has_uuid;
    memcpy(ret->uuid, image->uuid, sizeof ret->uuid);
}

int gw_image_lacks(struct gw_image *image, unsigned block, uint64_t *take_received, struct gw_error *err)
{
    if (!image->received)
        image->received = calloc(GW_MAX(image->block_count, 1u), sizeof *image->received);
    if (!image->received || block >= image->block_count) {
        free(take_received);
        return gw_nomem(err, "map of received pages");
    }
    free(image->received[block]);
    image->received[block] = take_received;
    return 0;
}

void gw_image_lacks_nothing(struct gw_image *image)
{
    for (unsigned i = 0; image->received && i < image->block_count; i++)
        free(image->received[i]);
    free(image->received);
    image->received = NULL;
}

void gw_image_clear(struct gw_image *image)
{
    gw_image_lacks_nothing(image);
    free(image->blocks);
    free(image->early);
    free(image->devices);
    free(image->description);
    free(image->far_uri);
    free(image->libvirt_xml);
    free(image->libvirt_cookie);
    free(image->head);
    gw_image_clear_others(image);
    image->head = NULL;
    image->blocks = NULL;
    image->early = image->devices = NULL;
    image->far_uri = image->description = image->libvirt_xml = image->libvirt_cookie = NULL;
    image->block_count = 0;
    image->early_bytes = image->early_before = image->devices_bytes = image->description_bytes = 0;
    image->machine[0] = 0;
    image->has_uuid = image->libvirt_saved = false;
}

struct gw_image *gw_image_free(struct gw_image *image)
{
    if (!image)
        return NULL;
    if (image->free_guest)
        image->free_guest(image);
    if (image->stage)
        image->stage_free(image->stage);
    gw_image_let_go(image);
    if (image->ops && image->ops->close)
        image->ops->close(image);
    gw_image_clear(image);
    gw_image_close_origin(image);
    free(image);
    return NULL;
}

int gw_image_add_block(struct gw_image *image, const char *name, uint64_t used_bytes, struct gw_image_block **ret,
                       struct gw_error *err)
{
    struct gw_image_block *grown, *b;
    size_t n = strlen(name);

    if (!n || n > 255)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a RAM block's name has 1 to 255 bytes, not %zu", n);
    for (unsigned i = 0; i < image->block_count; i++)
        if (!strcmp(image->blocks[i].name, name))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s is listed twice", name);
    if (used_bytes % image->page_bytes || used_bytes > INT64_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM block %s has 0x%" PRIx64 " bytes: no multiple of the page (%u)", name, used_bytes,
                       image->page_bytes);
    if (image->block_count >= BLOCKS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u RAM blocks", BLOCKS_MAX);
    grown = realloc(image->blocks, (image->block_count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(err, "RAM blocks");
    image->blocks = grown;
    b = &grown[image->block_count++];
    *b = (struct gw_image_block){.used_bytes = used_bytes, .pages = used_bytes / image->page_bytes};
    gw_strcopy(b->name, sizeof b->name, name);
    if (ret)
        *ret = b;
    return 0;
}

/* ---- looking ------------------------------------------------------------------------------------------------------
 */

enum gw_image_format gw_image_kind(const struct gw_image *image)
{
    return image->format;
}

const char *gw_image_machine(const struct gw_image *image)
{
    return image->machine;
}

uint32_t gw_image_page_bytes(const struct gw_image *image)
{
    return image->page_bytes;
}

unsigned gw_image_blocks(const struct gw_image *image)
{
    return image->block_count;
}

const char *gw_image_block_name(const struct gw_image *image, unsigned block)
{
    return block < image->block_count ? image->blocks[block].name : "";
}

uint64_t gw_image_block_bytes(const struct gw_image *image, unsigned block)
{
    return block < image->block_count ? image->blocks[block].used_bytes : 0;
}

static int check(const struct gw_image *image, unsigned block, uint64_t first, uint64_t count, struct gw_error *err)
{
    if (block >= image->block_count)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %u of %u", block, image->block_count);
    if (first > image->blocks[block].pages || count > image->blocks[block].pages - first)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s has no pages [%" PRIu64 ", +%" PRIu64 ")",
                       image->blocks[block].name, first, count);
    return 0;
}

int gw_image_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                 struct gw_error *err)
{
    int r = check(image, block, first, count, err);

    return r < 0 || !count ? r : image->ops->map(image, block, first, count, kinds, err);
}

int gw_image_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                   struct gw_error *err)
{
    int r = check(image, block, first, count, err);

    return r < 0 || !count ? r : image->ops->read(image, block, first, count, dst, err);
}

int gw_image_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                   struct gw_error *err)
{
    int r = check(image, block, first, count, err);

    if (r < 0 || !count)
        return r;
    if (image->ops->fetch)
        return image->ops->fetch(image, block, first, count, kinds, dst, err);
    r = image->ops->map(image, block, first, count, kinds, err);
    for (uint64_t from = 0, to; r >= 0 && from < count; from = to) {
        for (to = from + 1; to < count && kinds[to] == kinds[from];)
            to++;
        if (kinds[from])
            r = image->ops->read(image, block, first + from, to - from, dst + (from << image->page_bits), err);
    }
    return r;
}

int gw_image_read(struct gw_image *image, unsigned block, uint64_t offset, void *dst, size_t bytes,
                  struct gw_error *err)
{
    GW_AUTOFREE uint8_t *page = NULL;
    uint8_t *to = dst;
    int r = 0;

    if (block >= image->block_count || offset > image->blocks[block].used_bytes ||
        bytes > image->blocks[block].used_bytes - offset)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "[0x%" PRIx64 ", +0x%zx) is not inside RAM block %u", offset, bytes, block);
    while (bytes && r >= 0) {
        uint64_t first = offset >> image->page_bits, in_page = offset & (image->page_bytes - 1);
        size_t n;

        if (!in_page && bytes >= image->page_bytes) {
            uint64_t pages = GW_MIN(bytes >> image->page_bits, STRIPE);

            n = pages << image->page_bits;
            r = gw_image_pages(image, block, first, pages, to, err);
        } else {
            if (!page && !(page = malloc(image->page_bytes)))
                return gw_nomem(err, "page");
            n = GW_MIN(bytes, image->page_bytes - in_page);
            r = gw_image_pages(image, block, first, 1, page, err);
            if (r >= 0)
                memcpy(to, page + in_page, n);
        }
        to += n;
        offset += n;
        bytes -= n;
    }
    return r;
}

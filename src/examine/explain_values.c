/* SPDX-License-Identifier: MIT
 *
 * Values that must be equal on both sides, or features that the destination must offer: the parts of PCI configuration
 * space that the guest cannot write, fields that the loader compares, features of virtio devices.
 */
#include "base/endian.h"
#include "examine/explain.h"

struct pair {
    struct gw_explain *e;
    const char *where; /* the device */
};

/* ---- PCI --------------------------------------------------------------------------------------------------------- */

#define PCI_MSI_X 0x11

#define PCI_EXPRESS 0x10

/* The bytes of a capability that the guest cannot write. certain: observed that QEMU compares them. */
static const struct {
    uint8_t kind, at, bytes;
    bool certain;
    const char *name;
} read_only[] = {
    {0x01, 2, 2, false, "power management"},           {PCI_EXPRESS, 2, 2, false, "PCI Express capabilities"},
    {PCI_EXPRESS, 4, 4, false, "device capabilities"}, {PCI_EXPRESS, 0x0c, 4, true, "link capabilities"},
    {PCI_EXPRESS, 0x14, 4, true, "slot capabilities"}, {PCI_MSI_X, 4, 8, false, "places of the MSI-X tables"}};

static void compare_read_only(const struct pair *w, const char *path, const uint8_t *a, const uint8_t *b, unsigned at)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(read_only); i++) {
        unsigned first = at + read_only[i].at;

        if (a[at] == read_only[i].kind && first + read_only[i].bytes <= 256 &&
            memcmp(a + first, b + first, read_only[i].bytes) != 0)
            gw_explain_say(w->e, read_only[i].certain ? GW_REASON_REFUSED : GW_REASON_UNKNOWN, w->where,
                           "%s: %s (byte 0x%x) are not those of the destination", path, read_only[i].name, first);
    }
}

/* Capabilities: a linked list of (u8 kind, u8 next) within the first 256 bytes. The guest cannot write their positions
 * and the number of vectors. */
static void compare_capabilities(const struct pair *w, const char *path, const uint8_t *a, const uint8_t *b)
{
    unsigned at = a[0x34] & 0xfcu;

    for (unsigned n = 0; at >= 0x40 && n < 48; n++) {
        unsigned x = (a[at + 2] | a[at + 3] << 8) & 0x7ffu, y = (b[at + 2] | b[at + 3] << 8) & 0x7ffu;

        if (a[at] != b[at] || a[at + 1] != b[at + 1]) {
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where,
                           "%s: PCI capability 0x%x at byte 0x%x, the next at 0x%x; in the destination 0x%x, then 0x%x",
                           path, a[at], at, a[at + 1], b[at], b[at + 1]);
            return;
        }
        if (a[at] == PCI_MSI_X && x != y)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s: %u MSI-X vectors (byte 0x%x), %u in the destination",
                           path, x + 1, at + 2, y + 1);
        compare_read_only(w, path, a, b, at);
        at = a[at + 1] & 0xfcu;
    }
}

/* Types of the base address registers, and the subsystem ID, which only some devices compare. */
static void compare_doubtful(const struct pair *w, const char *path, const uint8_t *a, const uint8_t *b)
{
    for (unsigned at = 0x10; at < 0x28 && !(a[0x0e] & 0x7f); at += 4) {
        if ((a[at] ^ b[at]) & ((a[at] | b[at]) & 1 ? 0x3 : 0xf))
            gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where, "%s: the base address at byte 0x%x is of another kind",
                           path, at);
        if ((a[at] & 0x7) == 0x4)
            at += 4; /* the upper half of a 64-bit address */
    }
    if (!(a[0x0e] & 0x7f) && memcmp(a + 0x2c, b + 0x2c, 4) != 0)
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                       "%s: the subsystem (byte 0x2c) is another one: whether the device compares it is not known",
                       path);
}

/* The parts of PCI configuration space that QEMU compares for every device: IDs, header type, and bits that the guest
 * cannot write. */
static void compare_pci(const struct pair *w, const char *path, const uint8_t *a, const uint8_t *b)
{
    static const struct {
        uint8_t at, bytes, mask;
        const char *name;
    } fixed[] = {{0x00, 2, 0xff, "vendor"},          {0x02, 2, 0xff, "device"},
                 {0x08, 1, 0xff, "revision"},        {0x09, 1, 0xff, "programming interface"},
                 {0x0a, 2, 0xff, "class"},           {0x0e, 1, 0xff, "header type"},
                 {0x34, 1, 0xff, "first capability"}};

    for (size_t i = 0; i < GW_ARRAY_LEN(fixed); i++) {
        unsigned x = a[fixed[i].at], y = b[fixed[i].at];

        if (fixed[i].bytes == 2) {
            x |= (unsigned)a[fixed[i].at + 1] << 8;
            y |= (unsigned)b[fixed[i].at + 1] << 8;
        }
        if (x != y)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s: PCI %s (byte 0x%x) is 0x%x, 0x%x in the destination",
                           path, fixed[i].name, fixed[i].at, x, y);
    }
    compare_doubtful(w, path, a, b);
    compare_capabilities(w, path, a, b);
}

/* ---- virtio ------------------------------------------------------------------------------------------------------ */

/* A virtio PCI device begins with its PCI device: u32 version, then configuration space, with a known vendor ID. */
#define VIRTIO_PCI "\0\0\0\2\xf4\x1a"

static bool is_virtio_pci(const struct gw_value *v)
{
    return v->bytes >= 4 + 256 && !memcmp(v->data, VIRTIO_PCI, sizeof VIRTIO_PCI - 1);
}

/* The number of MSI-X vectors in a configuration space; 0: none. */
static unsigned msix_vectors(const uint8_t *config)
{
    unsigned at = config[0x34] & 0xfcu;

    for (unsigned n = 0; at >= 0x40 && n < 48; n++, at = config[at + 1] & 0xfcu)
        if (config[at] == PCI_MSI_X)
            return ((config[at + 2] | config[at + 3] << 8) & 0x7ffu) + 1;
    return 0;
}

/* At this offset: status, interrupts, queue (u8, u8, u16), features (u32), the device's configuration (u32 and as many
 * bytes), the number of queues (u32). */
static bool features_at(const struct gw_value *v, size_t at, uint32_t *ret)
{
    uint32_t config;

    if (v->bytes < at + 16)
        return false;
    config = gw_load_be32(v->data + at + 8);
    if (config > 4096 || v->bytes < at + 16 + config || gw_load_be32(v->data + at + 12 + config) > 1024)
        return false;
    *ret = gw_load_be32(v->data + at + 4);
    return true;
}

/* Features from bit 32 on are in a subsection at the end: mark, length of the name, name, version, u64. */
#define WIDE_FEATURES "\5\25virtio/64bit_features\0\0\0\1"

static uint64_t wide_features(const struct gw_value *v)
{
    const size_t n = sizeof WIDE_FEATURES - 1;

    for (size_t at = (size_t)v->bytes; at >= n + 8; at--)
        if (!memcmp(v->data + at - n - 8, WIDE_FEATURES, n))
            return gw_load_be64(v->data + at - 8);
    return 0;
}

#define VIRTIO_MMIO_BYTES 12u /* three words of the transport, before the device */

/* The features that the guest has negotiated. On PCI they come after configuration space (PCI Express: 4096 bytes),
 * four interrupts (u32), the MSI-X table, a bit for each of its vectors, and the device's vector (u16). */
static bool virtio_features(const struct gw_value *v, uint64_t *ret)
{
    static const size_t spaces[] = {256, 4096};
    uint64_t wide = wide_features(v);
    uint32_t low = 0;
    bool found = !is_virtio_pci(v) && (features_at(v, VIRTIO_MMIO_BYTES, &low) || features_at(v, 0, &low));

    if (is_virtio_pci(v)) {
        unsigned vectors = msix_vectors(v->data + 4);

        for (size_t i = 0; i < GW_ARRAY_LEN(spaces) && !found; i++)
            found = features_at(v, 4 + spaces[i] + 16 + (vectors ? vectors * 16 + (vectors + 7) / 8 + 2 : 0), &low);
    }
    *ret = wide | low;
    return found;
}

#define VIRTIO_F_VERSION_1 (1ull << 32)

static void compare_virtio(const struct pair *w, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    uint64_t used, offered = 0, told = 0;

    if (b && is_virtio_pci(a) && is_virtio_pci(b)) {
        compare_pci(w, path, a->data + 4, b->data + 4);
        told = VIRTIO_F_VERSION_1; /* by the capabilities that were compared */
    }
    if (!virtio_features(a, &used) || (b && !virtio_features(b, &offered)))
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where, "%s: its features were not found", path);
    else if ((used & ~offered & ~told) && (b || !gw_explain_is_versioned(w->e->from->head->machine)))
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                       "the guest uses virtio features 0x%" PRIx64 ": whether the destination offers 0x%" PRIx64
                       " of them is not known",
                       used, used & ~offered & ~told);
}

/* ---- all values -------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

static void on_value(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    struct gw_text ta = {0}, tb = {0};
    const struct pair *w = opaque;

    if (a && b && !strcmp(a->type, "virtio") && !strcmp(b->type, "virtio") && a->count == 1 && b->count == 1) {
        compare_virtio(w, path, a, b);
        return;
    }
    if (!a || !b || a->bytes != b->bytes || a->count != b->count)
        return;
    if ((ends_with(path, "config") || ends_with(path, "config[0]") || ends_with(path, "config[1]")) && a->count == 1 &&
        (a->bytes == 256 || a->bytes == 4096)) {
        compare_pci(w, path, a->data, b->data);
        return;
    }
    if (!ends_with(a->type, " equal") || !memcmp(a->data, b->data, (size_t)(a->bytes * a->count)))
        return; /* the devices may differ only in the type's name */
    gw_value_print(&ta, a, false);
    gw_value_print(&tb, b, false);
    gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "field %s is %s, and must be what it is in the destination: %s",
                   path, ta.data ? ta.data : "?", tb.data ? tb.data : "?");
    gw_text_free(&ta);
    gw_text_free(&tb);
}

static int alone(void *opaque, const struct gw_value *v)
{
    if (!strcmp(v->type, "virtio") && v->count == 1)
        compare_virtio(opaque, v->path, v, NULL);
    return 0;
}

int gw_explain_values(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b)
{
    struct pair w = {.e = e, .where = where};
    int r = b ? gw_values_diff(a->state, a->body, (size_t)a->body_bytes, b->state, b->body, (size_t)b->body_bytes,
                               on_value, &w, e->err)
              : gw_values_walk(a->state, a->body, (size_t)a->body_bytes, alone, &w, e->err);

    return r == -ENOMEM ? r : 0;
}

/* SPDX-License-Identifier: MIT
 *
 * frames: messages of fixed size, each as one list of its fields. The struct, its size on the wire, put and get, and the
 * page docs/formats/frames.md come from the list; the integers are big-endian, without padding.
 *
 *     struct gw_frame_hello h = {.version = 1};
 *     uint8_t wire[GW_FRAME_HELLO_BYTES];
 *     gw_frame_put_hello(wire, &h);
 *
 * put writes, and get reads, exactly GW_FRAME_x_BYTES bytes: the caller of get must have checked that there are so
 * many.
 */
#ifndef GW_WIRE_FRAMES_H
#define GW_WIRE_FRAMES_H

#include "base/endian.h"

/* F(type, field, "description") */
#define GW_FRAME_PING(F) F(u32, value, "returned in the PONG")
#define GW_FRAME_PONG(F) F(u32, value, "that of the PING")
#define GW_FRAME_SHUT(F) F(u32, failed, "0: the machine was loaded; else it was not")
#define GW_FRAME_HELLO(F)                                                                                              \
    F(u32, version, "of the extensions, now 1")                                                                        \
    F(u64, extensions, "bit 0: LOADED and COMMIT, the machine changes hands in two steps")

/* X(name, NAME, "where it is sent") */
#define GW_FRAMES(X)                                                                                                   \
    X(ping, PING, "payload of the command PING")                                                                       \
    X(pong, PONG, "return path message PONG")                                                                          \
    X(shut, SHUT, "return path message SHUT")                                                                          \
    X(hello, HELLO, "return path message GODWIT_HELLO")

typedef uint32_t gw_wire_u32;
typedef uint64_t gw_wire_u64;

static inline void gw_wire_put_u32(uint8_t *p, uint32_t v)
{
    gw_store_be32(p, v);
}

static inline void gw_wire_put_u64(uint8_t *p, uint64_t v)
{
    gw_store_be64(p, v);
}

static inline uint32_t gw_wire_get_u32(const uint8_t *p)
{
    return gw_load_be32(p);
}

static inline uint64_t gw_wire_get_u64(const uint8_t *p)
{
    return gw_load_be64(p);
}

#define GW_FRAME_FIELD(type, field, text) gw_wire_##type field;
#define GW_FRAME_SIZE(type, field, text)  +(int)sizeof(gw_wire_##type)
#define GW_FRAME_PUT(type, field, text)                                                                                \
    gw_wire_put_##type(p, f->field);                                                                                   \
    p += sizeof(gw_wire_##type);
#define GW_FRAME_GET(type, field, text)                                                                                \
    f.field = gw_wire_get_##type(p);                                                                                   \
    p += sizeof(gw_wire_##type);

#define X(name, NAME, where)                                                                                           \
    struct gw_frame_##name {                                                                                           \
        GW_FRAME_##NAME(GW_FRAME_FIELD)                                                                                \
    };                                                                                                                 \
    enum { GW_FRAME_##NAME##_BYTES = 0 GW_FRAME_##NAME(GW_FRAME_SIZE) };                                               \
    static inline void gw_frame_put_##name(uint8_t *p, const struct gw_frame_##name *f)                                \
    {                                                                                                                  \
        GW_FRAME_##NAME(GW_FRAME_PUT)                                                                                  \
        (void)p;                                                                                                       \
    }                                                                                                                  \
    static inline struct gw_frame_##name gw_frame_get_##name(const uint8_t *p)                                         \
    {                                                                                                                  \
        struct gw_frame_##name f;                                                                                      \
        GW_FRAME_##NAME(GW_FRAME_GET)                                                                                  \
        (void)p;                                                                                                       \
        return f;                                                                                                      \
    }
GW_FRAMES(X)
#undef X

#endif

/* SPDX-License-Identifier: MIT
 *
 * state: what a device's state consists of, said once. From the same table the library encodes, decodes, checks,
 * prints, compares and describes (vmdesc, schema) the state; nothing of the table itself is on the wire.
 *
 *     static const struct gw_field uart_fields[] = {
 *         GW_FIELD(struct uart, ier),
 *         GW_FIELD_SINCE(2, struct uart, mcr),      absent in version 1: keeps its reset value
 *         GW_FIELD(struct uart, rx_len),
 *         GW_ARRAY_N(struct uart, rx, rx_len),      load refuses rx_len > number of elements of rx
 *         GW_END
 *     };
 *     const struct gw_state uart_state = { .name = "uart", .version = 2, .oldest = 1, .fields = uart_fields };
 *     gw_registry_add(gw_vm_registry(vm), &uart_state, "uart", 0, &uart, &err);
 *
 * Load is a transaction for each device. It works on a scratch copy of the structure (of all its sizeof bytes, and of
 * everything that described pointers lead to): pre_load, fields, subsections, check. Only then what has changed in the
 * copy is written to the device, lists are exchanged, and `loaded` is called, which cannot fail. A refused stream
 * leaves the device as it was, byte for byte. So pre_load, `when` and check see the copy, never the device: they may
 * read and (pre_load) write members of the structure, but not step outside it by container_of. Old-style callbacks
 * (gw_registry_add_legacy) are the exception: they write where they like.
 *
 * Threads: the registry may be changed from any thread; while a session is in its device phase (saving or loading
 * sections) adding fails with -EBUSY and removing waits for its end. Hooks are called on a session's thread with the
 * machine stopped, and must not call the registry. Tables are borrowed for the life of the program.
 */
#ifndef GODWIT_STATE_H
#define GODWIT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_registry;
struct gw_state;

enum gw_type {
    GW_T_END = 0,
    GW_T_BOOL,    /* one byte; any non-zero reads as true */
    GW_T_U8, GW_T_U16, GW_T_U32, GW_T_U64,
    GW_T_I8, GW_T_I16, GW_T_I32, GW_T_I64,
    GW_T_F64,     /* as two halves, upper first ("CPU_Double_U") */
    GW_T_TIMER,   /* uint64_t or int64_t ns of the guest's clock, all ones: not armed */
    GW_T_BUFFER,  /* bytes as they are */
    GW_T_UNUSED,  /* `size` zero bytes on the wire, ignored on load, no member */
    GW_T_BITMAP,  /* uint64_t words in memory, bit i in word i / 64; size = bits. Bits past the end are cleared */
    GW_T_STRUCT,  /* nested description: state */
    GW_T_LIST,    /* linked list through `list`; state describes an element */
    GW_T_CHECK,   /* no bytes: `when` must be true at save and at load ("must exist") */
};

enum gw_field_flags {
    GW_F_ARRAY = 1 << 0,   /* count elements, fixed */
    GW_F_VARRAY = 1 << 1,  /* count in the member at count_offset, at most `count`. That member is a field earlier in the
                            * table, or of the description whose subsection this is (but see count_known). Of a BUFFER
                            * it is the number of bytes, of a BITMAP the number of bits */
    GW_F_POINTER = 1 << 2, /* the member points at the data, which exists on both sides (NULL is refused) */
    GW_F_EQUAL = 1 << 3,   /* integers: load refuses a value that differs from the one in memory */
    GW_F_AT_MOST = 1 << 4, /* integers: load refuses a value that is negative or above the one in memory ("int32 le") */
    GW_F_POINTER_ARRAY = 1 << 5, /* with ARRAY or VARRAY: array of pointers. NULL ones are one byte 0x30 on the wire;
                                  * which are NULL is decided by the device on either side, and must agree */
};

/* How a linked list is walked and built; the embedder owns its elements. `device` is the structure that the field's
 * table describes (the real one, except in check). Elements are the embedder's structures; `state` describes them. */
struct gw_list_ops {
    void *(*first)(void *device);
    void *(*next)(void *element);
    /* Load: a new element, zeroed or with its defaults, not yet in the list; NULL: out of memory. */
    void *(*alloc)(void *device);
    void (*append)(void *device, void *element); /* takes it */
    void (*clear)(void *device); /* drops and frees all elements, before the loaded ones are appended */
    void (*free_element)(void *device, void *element); /* a loaded element that was not committed */
    /* Optional: judges all loaded elements together, with the scratch copy of the structure, whose own list member is
     * still the old one. */
    int (*check)(const void *device, void *const *elements, uint32_t count, struct gw_error *err);
    uint32_t max;              /* save and load refuse more */
};

/* Made by the macros below; all other members may be set after a macro's last argument, for instance
 * GW_ARRAY(struct uart, rx, .since = 2, .name = "fifo"). */
struct gw_field {
    const char *name;        /* NULL: as the member. Only in descriptions, never on the wire */
    const char *member;      /* the C expression of the member */
    enum gw_type type;
    unsigned flags;          /* enum gw_field_flags */
    uint32_t since;          /* first version of the description that has it; 0: all */
    size_t offset;           /* of the member */
    size_t size;             /* bytes of one element in memory; UNUSED: bytes; BITMAP: bits; BUFFER: bytes */
    size_t within;           /* sizeof the structure that has the member */
    uint32_t count;          /* elements: ARRAY exactly, VARRAY at most */
    size_t count_offset;     /* VARRAY */
    enum gw_type count_type; /* U8 U16 U32 I32 */
    const struct gw_state *state;     /* STRUCT, LIST */
    uint32_t state_version;           /* STRUCT: which version of `state` is on the wire; 0: its newest */
    bool count_known;        /* VARRAY: the count is not in the stream. Both sides know it: it is fixed when the device is
                              * made, or pre_save and pre_load set it */
    const struct gw_list_ops *list;   /* LIST */
    bool (*when)(const void *device, uint32_t version); /* conditional; evaluated on both sides */
    const char *type_name;   /* the vmdesc type where it is not the obvious one */
};

struct gw_state {
    const char *name;          /* of the description (vmsd_name) */
    uint32_t version, oldest;  /* written; oldest that is still read */
    size_t size;               /* sizeof the structure; 0: as the fields' macros say */
    int priority;              /* higher saves first; 0 default; equal: order of registration */
    bool unmigratable;         /* while one is registered, migration is refused with its name */
    bool early;                /* saved during set-up, before RAM */
    const struct gw_field *fields;
    const struct gw_state *const *subsections; /* NULL-terminated; same structure; names begin with ours and "/" */
    bool (*needed)(const void *device);        /* subsection or device: left out when false; NULL: always there */
    /* Hooks, all optional, of nested descriptions too (innermost first, but for pre_load and pre_save). */
    int (*pre_save)(void *device, struct gw_error *err);
    void (*post_save)(void *device);           /* after each pre_save that succeeded, however the save ended */
    int (*pre_load)(void *device, struct gw_error *err); /* on the scratch copy: set what may be absent to defaults */
    int (*check)(const void *device, uint32_t version, struct gw_error *err); /* judges the scratch copy; no effects */
    void (*loaded)(void *device, uint32_t version); /* re-arms timers and lines; cannot fail */
};

/* ---- making fields ------------------------------------------------------------------------------------------------
 *
 * The type is read from the member; a member of a type that cannot be on the wire does not compile, neither does a
 * pointer where an array is meant. m may be any expression that names a member: regs[2], pci.config. */

#define GW_TYPE_OF(x)                                                                                                  \
    _Generic((x), bool: GW_T_BOOL, uint8_t: GW_T_U8, uint16_t: GW_T_U16, uint32_t: GW_T_U32, uint64_t: GW_T_U64,       \
             unsigned long long: GW_T_U64, int8_t: GW_T_I8, int16_t: GW_T_I16, int32_t: GW_T_I32, int64_t: GW_T_I64,   \
             long long: GW_T_I64, double: GW_T_F64)
#define GW_INT_TYPE_OF(x)                                                                                              \
    _Generic((x), uint8_t: GW_T_U8, uint16_t: GW_T_U16, uint32_t: GW_T_U32, uint64_t: GW_T_U64,                        \
             unsigned long long: GW_T_U64, int8_t: GW_T_I8, int16_t: GW_T_I16, int32_t: GW_T_I32, int64_t: GW_T_I64,   \
             long long: GW_T_I64)
#define GW_COUNT_TYPE_OF(x) \
    _Generic((x), uint8_t: GW_T_U8, uint16_t: GW_T_U16, uint32_t: GW_T_U32, int32_t: GW_T_I32)
#define GW_TIMER_TYPE_OF(x) _Generic((x), uint64_t: GW_T_TIMER, int64_t: GW_T_TIMER)
#define GW_BYTE_TYPE_OF(x)  _Generic((x), uint8_t: GW_T_BUFFER, int8_t: GW_T_BUFFER, char: GW_T_BUFFER)
#define GW_WORD_TYPE_OF(x)  _Generic((x), uint64_t: GW_T_BITMAP, unsigned long long: GW_T_BITMAP)

#define GW_MEMBER(s, m)    (((s *)0)->m)
/* 0; does not compile when ok is false. */
#define GW_MUST(ok)        (0 * sizeof(char[(ok) ? 1 : -1]))
#define GW_IS_ARRAY(x)     (!__builtin_types_compatible_p(__typeof__(x), __typeof__(&(x)[0])))
/* Elements of an array member; a pointer does not compile. */
#define GW_MEMBER_LEN(s, m) \
    (sizeof(GW_MEMBER(s, m)) / sizeof(GW_MEMBER(s, m)[0]) + GW_MUST(GW_IS_ARRAY(GW_MEMBER(s, m))))

#define GW_AT_(s, m)       .member = #m, .offset = offsetof(s, m), .within = sizeof(s)
#define GW_COUNTED_(s, n)  .count_offset = offsetof(s, n), .count_type = GW_COUNT_TYPE_OF(GW_MEMBER(s, n))
#define GW_ONE_(s, m)      GW_AT_(s, m), .type = GW_TYPE_OF(GW_MEMBER(s, m)), .size = sizeof(GW_MEMBER(s, m))
#define GW_MANY_(s, m)     GW_AT_(s, m), .type = GW_TYPE_OF(GW_MEMBER(s, m)[0]), .size = sizeof(GW_MEMBER(s, m)[0])

/* One value. */
#define GW_FIELD(s, m, ...)             {GW_ONE_(s, m), __VA_ARGS__}
#define GW_FIELD_SINCE(v, s, m, ...)    {GW_ONE_(s, m), .since = (v), __VA_ARGS__}
#define GW_FIELD_WHEN(test, s, m, ...)  {GW_ONE_(s, m), .when = (test), __VA_ARGS__}
#define GW_FIELD_EQUAL(s, m, ...) \
    {GW_AT_(s, m), .type = GW_INT_TYPE_OF(GW_MEMBER(s, m)), .size = sizeof(GW_MEMBER(s, m)), .flags = GW_F_EQUAL, \
     __VA_ARGS__}
#define GW_FIELD_AT_MOST(s, m, ...) \
    {GW_AT_(s, m), .type = GW_INT_TYPE_OF(GW_MEMBER(s, m)), .size = sizeof(GW_MEMBER(s, m)), .flags = GW_F_AT_MOST, \
     __VA_ARGS__}
/* The member points to one value. */
#define GW_FIELD_POINTER(s, m, ...) \
    {GW_AT_(s, m), .type = GW_TYPE_OF(*GW_MEMBER(s, m)), .size = sizeof(*GW_MEMBER(s, m)), .flags = GW_F_POINTER, \
     __VA_ARGS__}
#define GW_TIMER(s, m, ...) {GW_AT_(s, m), .type = GW_TIMER_TYPE_OF(GW_MEMBER(s, m)), .size = 8, __VA_ARGS__}

/* Arrays of values: whole; the first n; as many as member n says; the same behind a pointer with room for max. */
#define GW_ARRAY(s, m, ...)      {GW_MANY_(s, m), .flags = GW_F_ARRAY, .count = GW_MEMBER_LEN(s, m), __VA_ARGS__}
#define GW_ARRAY_FIRST(s, m, n, ...) \
    {GW_MANY_(s, m), .flags = GW_F_ARRAY, .count = (n) + GW_MUST((n) <= GW_MEMBER_LEN(s, m)), __VA_ARGS__}
#define GW_ARRAY_N(s, m, n, ...) \
    {GW_MANY_(s, m), .flags = GW_F_VARRAY, .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_ARRAY_POINTER_N(s, m, n, max, ...) \
    {GW_MANY_(s, m), .flags = GW_F_VARRAY | GW_F_POINTER, .count = (max), GW_COUNTED_(s, n), __VA_ARGS__}

/* Bytes: a whole array; as many of it as member n says; the same behind a pointer with room for max. */
#define GW_BYTES(s, m, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = GW_MEMBER_LEN(s, m), __VA_ARGS__}
#define GW_BYTES_N(s, m, n, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = 1, .flags = GW_F_VARRAY, \
     .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_BYTES_POINTER_N(s, m, n, max, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = 1, .flags = GW_F_VARRAY | GW_F_POINTER, \
     .count = (max), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_UNUSED_BYTES(n, ...) {.name = "unused", .type = GW_T_UNUSED, .size = (n), __VA_ARGS__}

/* Bits of an array of uint64_t, or behind a pointer to one. */
#define GW_BITMAP(s, m, bits, ...) \
    {GW_AT_(s, m), .type = GW_WORD_TYPE_OF(GW_MEMBER(s, m)[0]), \
     .size = (bits) + GW_MUST(GW_IS_ARRAY(GW_MEMBER(s, m)) && (bits) <= 8 * sizeof(GW_MEMBER(s, m))), __VA_ARGS__}
#define GW_BITMAP_N(s, m, n, ...) \
    {GW_AT_(s, m), .type = GW_WORD_TYPE_OF(GW_MEMBER(s, m)[0]), .size = 1, .flags = GW_F_VARRAY, \
     .count = 64 * GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_BITMAP_POINTER(s, m, bits, ...) \
    {GW_AT_(s, m), .type = GW_WORD_TYPE_OF(GW_MEMBER(s, m)[0]), .size = (bits), .flags = GW_F_POINTER, __VA_ARGS__}

/* Nested descriptions. */
#define GW_STRUCT(s, m, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .size = sizeof(GW_MEMBER(s, m)), .state = (st), __VA_ARGS__}
#define GW_STRUCT_ARRAY(s, m, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_ARRAY, .size = sizeof(GW_MEMBER(s, m)[0]), \
     .count = GW_MEMBER_LEN(s, m), .state = (st), __VA_ARGS__}
#define GW_STRUCT_ARRAY_N(s, m, n, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_VARRAY, .size = sizeof(GW_MEMBER(s, m)[0]), \
     .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), .state = (st), __VA_ARGS__}
#define GW_STRUCT_POINTER_N(s, m, n, max, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_VARRAY | GW_F_POINTER, .size = sizeof(GW_MEMBER(s, m)[0]), \
     .count = (max), GW_COUNTED_(s, n), .state = (st), __VA_ARGS__}
#define GW_POINTER(s, m, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_POINTER, .size = sizeof(*GW_MEMBER(s, m)), .state = (st), \
     __VA_ARGS__}
/* m is an array of pointers to structures, of which some may be NULL. */
#define GW_POINTER_ARRAY(s, m, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_ARRAY | GW_F_POINTER_ARRAY, .size = sizeof(*GW_MEMBER(s, m)[0]), \
     .count = GW_MEMBER_LEN(s, m), .state = (st), __VA_ARGS__}
#define GW_POINTER_ARRAY_N(s, m, n, st, ...) \
    {GW_AT_(s, m), .type = GW_T_STRUCT, .flags = GW_F_VARRAY | GW_F_POINTER_ARRAY, \
     .size = sizeof(*GW_MEMBER(s, m)[0]), \
     .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), .state = (st), __VA_ARGS__}
#define GW_LIST(s, m, st, ops, ...) {GW_AT_(s, m), .type = GW_T_LIST, .state = (st), .list = (ops), __VA_ARGS__}
#define GW_CHECK(text, test) {.name = (text), .type = GW_T_CHECK, .when = (test)}
#define GW_END {.type = GW_T_END}

/* ---- the registry (S2) ------------------------------------------------------------------------------------------- */

#define GW_INSTANCE_AUTO (-1) /* the next free number for this id string */

/* The layout of struct gw_state, gw_field, gw_list_ops and gw_legacy_ops. A program passes the number of the headers that
 * its tables were compiled with, so all tables that one registration leads to must come from the same version. */
#define GW_STATE_ABI 1u

/* id: 1..255 bytes, the section's name on the wire; instance: 0 and up, or GW_INSTANCE_AUTO. A device may be added with
 * several descriptions under several ids. -EINVAL: the table cannot be right, or what it writes could not be read back
 * (the message names description and field): no fields and no subsections at all; a field since a version that its
 * description does not have; an array before its count, or whose count is not in the stream (or only in later versions),
 * without count_known; the same bytes of the structure in two fields of which neither has a condition, only compares,
 * or is newer than the other. -EEXIST: the pair
 * of id and instance exists, or is an alias; -EBUSY: a session is in its device phase; -ENOTSUP: abi is not one that
 * this library reads. */
GW_API int gw_registry_add_abi(struct gw_registry *reg, unsigned abi, const struct gw_state *state, const char *id,
                               int instance, void *device, struct gw_error *err);
static inline int gw_registry_add(struct gw_registry *reg, const struct gw_state *state, const char *id, int instance,
                                  void *device, struct gw_error *err)
{
    return gw_registry_add_abi(reg, GW_STATE_ABI, state, id, instance, device, err);
}
/* The device (its last registration, if there are several) also answers to an older name, in streams written before it
 * was renamed. -ENOENT: not registered. */
GW_API int gw_registry_add_alias(struct gw_registry *reg, void *device, const char *old_id, int old_instance,
                                 struct gw_error *err);
/* Old-style callbacks beside descriptions (S5). Bytes move through the functions below. load must take exactly what
 * save put, and check each value before it uses it: the library does not. */
struct gw_sink;
struct gw_supply;
struct gw_legacy_ops {
    int (*save)(void *device, struct gw_sink *sink, struct gw_error *err);
    int (*load)(void *device, uint32_t version, struct gw_supply *supply, struct gw_error *err);
};
GW_API int gw_registry_add_legacy_abi(struct gw_registry *reg, unsigned abi, const struct gw_legacy_ops *ops,
                                      const char *id, int instance, uint32_t version, void *device,
                                      struct gw_error *err);
static inline int gw_registry_add_legacy(struct gw_registry *reg, const struct gw_legacy_ops *ops, const char *id,
                                         int instance, uint32_t version, void *device, struct gw_error *err)
{
    return gw_registry_add_legacy_abi(reg, GW_STATE_ABI, ops, id, instance, version, device, err);
}
GW_API void gw_sink_put(struct gw_sink *sink, const void *bytes, size_t count);
GW_API int gw_supply_get(struct gw_supply *supply, void *bytes, size_t count, struct gw_error *err);
/* Removes everything that was registered for this device. From a hook it takes effect when the device phase ends. */
GW_API void gw_registry_remove(struct gw_registry *reg, void *device);

/* ---- device state alone (S12), schema (S10) ---------------------------------------------------------------------- */

/* The registered devices' state as a malloc'ed blob (header, FULL sections, EOF), RAM excluded: the same as QEMU's
 * xen-save-devices-state. A machine that runs is stopped for it and started again, also on failure. */
struct gw_vm;
GW_API int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err);
/* Refused with -EBUSY while the machine runs. Loads over RAM that is already in place; starts nothing. A blob may have a
 * configuration, which is compared, and anything after EOF. */
GW_API int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err);

/* The schema of all registered device state as JSON text (malloc'ed): docs/formats/schema.md. */
GW_API int gw_schema_dump(const struct gw_registry *reg, const char *machine, char **ret_json, struct gw_error *err);
/* The same as far as the description (vmdesc) at the end of a stream tells it, of anybody's devices: what one machine
 * wrote at one time. Not in it: which older versions are read, conditions, maxima, subsections that were not needed. */
GW_API int gw_schema_from_description(const char *vmdesc, size_t bytes, const char *machine, char **ret_json,
                                      struct gw_error *err);
/* What QEMU writes with -dump-vmstate: the types of devices that a program has, for gw_inspect_explain. -EPROTO: the text
 * is none; it says where. */
struct gw_dump;
GW_API int gw_dump_parse(const char *text, size_t bytes, struct gw_dump **ret_dump, struct gw_error *err);
GW_API struct gw_dump *gw_dump_free(struct gw_dump *dump);
/* The same as a schema, and the other way round: a device for each type of devices. Not in a dump: types of fields,
 * maxima, instances, what old-style callbacks write. -EPROTO: it is no such text. */
GW_API int gw_schema_from_dump(const char *dump_json, size_t bytes, char **ret_json, struct gw_error *err);
GW_API int gw_schema_to_dump(const char *schema_json, char **ret_json, struct gw_error *err);
/* Would state written by `from` load into `to`? Each may also be a dump. Calls found for each difference. breaking: it would not.
 * Returns the number of breaking differences, or a negative errno when a schema cannot be read. */
typedef void (*gw_schema_found_fn)(void *opaque, bool breaking, const char *where, const char *what);
GW_API int gw_schema_check(const char *from_json, const char *to_json, gw_schema_found_fn found, void *opaque,
                           struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * state: tables that describe device state. The library uses the same table to encode, decode, check, print, compare and
 * describe (vmdesc, schema) the state of a device; the table itself is not on the wire.
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
 * everything that described pointers lead to): pre_load, fields, subsections, check. Only then are the changes in the
 * copy written to the device, lists replaced, and `loaded` called, which cannot fail. If the stream is refused, the device
 * is unchanged, byte for byte. So pre_load, `when` and check see the copy, never the device: they may
 * read and (pre_load) write members of the structure, but not step outside it by container_of. Old-style callbacks
 * (gw_registry_add_legacy) are the exception: they write directly to the device.
 *
 * Threads: the registry may be changed from any thread; while a session is in its device phase (saving or loading
 * sections) adding fails with -EBUSY and removing waits for its end. Hooks are called on a session's thread with the
 * machine stopped, and must not call the registry. Tables must stay valid for the life of the program.
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
    GW_T_F64,     /* as two 32-bit halves, upper half first ("CPU_Double_U") */
    GW_T_TIMER,   /* uint64_t or int64_t ns of the guest's clock, all ones: not armed */
    GW_T_BUFFER,  /* bytes as they are */
    GW_T_UNUSED,  /* `size` zero bytes on the wire, ignored on load, no member */
    GW_T_BITMAP,  /* uint64_t words in memory, bit i in word i / 64; size = bits. Bits past the end are cleared */
    GW_T_STRUCT,  /* nested description: state */
    GW_T_LIST,    /* linked list through `list`; state describes an element */
    GW_T_CHECK,   /* no bytes; save and load fail unless `when` is true ("must exist") */
};

enum gw_field_flags {
    GW_F_ARRAY = 1 << 0,   /* count elements, fixed */
    GW_F_VARRAY = 1 << 1,  /* count in the member at count_offset, at most `count`. That member is a field earlier in the
                            * table, or of the description whose subsection this is (but see count_known). Of a BUFFER
                            * it is the number of bytes, of a BITMAP the number of bits */
    GW_F_POINTER = 1 << 2, /* the member points at the data, which exists on both sides (NULL is refused) */
    GW_F_EQUAL = 1 << 3,   /* integers: load refuses a value that differs from the one in memory */
    GW_F_AT_MOST = 1 << 4, /* integers: load refuses a value that is negative or above the one in memory ("int32 le") */
    GW_F_POINTER_ARRAY = 1 << 5, /* with ARRAY or VARRAY: array of pointers. A NULL pointer is one byte 0x30 on the wire;
                                  * the same elements must be NULL on both sides */
};

/* How a linked list is walked and built; the embedder owns its elements. `device` is the structure that the field's
 * table describes (the real one, except in check). Elements are the embedder's structures; `state` describes them. */
struct gw_list_ops {
    void *(*first)(void *device);
    void *(*next)(void *element);
    /* Load: a new element, zeroed or with its defaults, not yet in the list; NULL: out of memory. */
    void *(*alloc)(void *device);
    void (*append)(void *device, void *element); /* the list takes ownership */
    void (*clear)(void *device); /* drops and frees all elements, before the loaded ones are appended */
    void (*free_element)(void *device, void *element); /* a loaded element that was not committed */
    /* Optional: checks all loaded elements together. `device` is the scratch copy of the structure, whose list member is still
     * the old list. */
    int (*check)(const void *device, void *const *elements, uint32_t count, struct gw_error *err);
    uint32_t max;              /* save and load refuse more */
};

/* Made by the macros below; further members may be set after a macro's last argument, for instance
 * GW_ARRAY(struct uart, rx, .since = 2, .name = "fifo"). */
struct gw_field {
    const char *name;        /* NULL: the member's name. Only used in descriptions */
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
    bool count_known;        /* VARRAY: the count is not in the stream; both sides know it, because it is fixed when the device
                              * is created, or set by pre_save and pre_load */
    const struct gw_list_ops *list;   /* LIST */
    bool (*when)(const void *device, uint32_t version); /* conditional; evaluated on both sides */
    const char *type_name;   /* the type's name in the vmdesc, if not the default; else NULL */
};

struct gw_state {
    const char *name;          /* of the description (vmsd_name) */
    uint32_t version, oldest;  /* version that is written; oldest version that can be loaded */
    size_t size;               /* sizeof the structure; 0: taken from the fields' macros */
    int priority;              /* higher is saved first; default 0; equal: in order of registration */
    bool unmigratable;         /* while such a device is registered, migration is refused; the error has its name */
    bool early;                /* saved during set-up, before RAM */
    const struct gw_field *fields;
    const struct gw_state *const *subsections; /* NULL-terminated; same structure; names begin with ours and "/" */
    bool (*needed)(const void *device);        /* subsection or device: left out when false; NULL: always there */
    /* Hooks, all optional. Nested descriptions have them, too: pre_save and pre_load run outermost first, the others innermost
     * first. */
    int (*pre_save)(void *device, struct gw_error *err);
    void (*post_save)(void *device);           /* after each pre_save that succeeded, even if the save failed */
    int (*pre_load)(void *device, struct gw_error *err); /* on the scratch copy: sets defaults for fields that may be absent */
    int (*check)(const void *device, uint32_t version, struct gw_error *err); /* checks the scratch copy; no side effects */
    void (*loaded)(void *device, uint32_t version); /* re-arms timers and lines; cannot fail */
};

/* ---- making fields ------------------------------------------------------------------------------------------------
 *
 * The type is derived from the member. A member of a type that cannot be on the wire does not compile, nor does a
 * pointer where an array is needed. m may be any expression that names a member: regs[2], pci.config. */

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

/* Arrays of values: all elements; the first n; as many as member n says; the same through a pointer to at most max elements. */
#define GW_ARRAY(s, m, ...)      {GW_MANY_(s, m), .flags = GW_F_ARRAY, .count = GW_MEMBER_LEN(s, m), __VA_ARGS__}
#define GW_ARRAY_FIRST(s, m, n, ...) \
    {GW_MANY_(s, m), .flags = GW_F_ARRAY, .count = (n) + GW_MUST((n) <= GW_MEMBER_LEN(s, m)), __VA_ARGS__}
#define GW_ARRAY_N(s, m, n, ...) \
    {GW_MANY_(s, m), .flags = GW_F_VARRAY, .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_ARRAY_POINTER_N(s, m, n, max, ...) \
    {GW_MANY_(s, m), .flags = GW_F_VARRAY | GW_F_POINTER, .count = (max), GW_COUNTED_(s, n), __VA_ARGS__}

/* Bytes: a whole array; as many as member n says; the same through a pointer to at most max bytes. */
#define GW_BYTES(s, m, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = GW_MEMBER_LEN(s, m), __VA_ARGS__}
#define GW_BYTES_N(s, m, n, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = 1, .flags = GW_F_VARRAY, \
     .count = GW_MEMBER_LEN(s, m), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_BYTES_POINTER_N(s, m, n, max, ...) \
    {GW_AT_(s, m), .type = GW_BYTE_TYPE_OF(GW_MEMBER(s, m)[0]), .size = 1, .flags = GW_F_VARRAY | GW_F_POINTER, \
     .count = (max), GW_COUNTED_(s, n), __VA_ARGS__}
#define GW_UNUSED_BYTES(n, ...) {.name = "unused", .type = GW_T_UNUSED, .size = (n), __VA_ARGS__}

/* Bits of an array of uint64_t, or through a pointer to one. */
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

/* Version of the layout of struct gw_state, gw_field, gw_list_ops and gw_legacy_ops. A program passes the number from the headers
 * that it was compiled with, so all tables reachable from one registration must be compiled with the same headers. */
#define GW_STATE_ABI 1u

/* id: 1..255 bytes, the section's name on the wire; instance: 0 and up, or GW_INSTANCE_AUTO. A device may be added with
 * several descriptions under several ids. -EINVAL: the table is invalid, or what it writes could not be loaded again
 * (the message names description and field): there are neither fields nor subsections; `since` of a field is above the
 * description's version; an array comes before its count, or its count is not in the stream (or only in later versions)
 * and count_known is false; two fields cover the same bytes of the structure, without a condition, a comparison or different
 * `since` that makes it valid. -EEXIST: the pair of id and instance exists, or is an alias; -EBUSY: a session is in its
 * device phase; -ENOTSUP: this library does not know `abi`. */
GW_API int gw_registry_add_abi(struct gw_registry *reg, unsigned abi, const struct gw_state *state, const char *id,
                               int instance, void *device, struct gw_error *err);
static inline int gw_registry_add(struct gw_registry *reg, const struct gw_state *state, const char *id, int instance,
                                  void *device, struct gw_error *err)
{
    return gw_registry_add_abi(reg, GW_STATE_ABI, state, id, instance, device, err);
}
/* The device (its last registration, if there are several) can also be loaded under an older id and instance, from streams
 * written before it was renamed. -ENOENT: not registered. */
GW_API int gw_registry_add_alias(struct gw_registry *reg, void *device, const char *old_id, int old_instance,
                                 struct gw_error *err);
/* A stream without the section of this device (all its registrations) is refused at its end, before the machine runs here. Without this a
 * device whose section does not come keeps the state that it has, as in QEMU: right for one that was added with a default state, wrong for a
 * vCPU. -ENOENT: not registered. -EBUSY: a session is in its device phase. -EINVAL: it has a `needed`, so it may be left out. */
GW_API int gw_registry_require(struct gw_registry *reg, void *device, struct gw_error *err);
/* Old-style callbacks, for devices without a description (S5). They write and read bytes with the functions below. load must
 * read exactly what save wrote, and must check each value before using it: the library does not. */
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
/* Removes all registrations of this device. Called from a hook, it takes effect when the device phase ends. */
GW_API void gw_registry_remove(struct gw_registry *reg, void *device);

/* ---- device state alone (S12), schema (S10) ---------------------------------------------------------------------- */

/* The state of all registered devices, without RAM, as a malloc'ed blob (header, FULL sections, EOF), as QEMU's
 * xen-save-devices-state writes it. A running machine is stopped and then started again, also on failure. */
struct gw_vm;
GW_API int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err);
/* Refused with -EBUSY while the machine runs. RAM must already be in place; the machine is not started. A configuration section
 * in the blob is compared with the machine's; bytes after EOF are ignored. */
GW_API int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err);

/* The schema of all registered device state as JSON text (malloc'ed): docs/formats/schema.md. */
GW_API int gw_schema_dump(const struct gw_registry *reg, const char *machine, char **ret_json, struct gw_error *err);
/* A schema made from the description (vmdesc) at the end of a stream, of any VMM: the fields that one machine wrote at one
 * time. It lacks what a vmdesc does not have: the oldest version that can be loaded, conditions, maxima, and subsections that
 * were not needed. */
GW_API int gw_schema_from_description(const char *vmdesc, size_t bytes, const char *machine, char **ret_json,
                                      struct gw_error *err);
/* Parses the output of QEMU's -dump-vmstate (the device types of a program), for gw_inspect_explain. -EPROTO: the text is not
 * such a dump; the error says where. */
struct gw_dump;
GW_API int gw_dump_parse(const char *text, size_t bytes, struct gw_dump **ret_dump, struct gw_error *err);
GW_API struct gw_dump *gw_dump_free(struct gw_dump *dump);
/* Convert between a dump and a schema, with one device for each device type. A dump has no field types, maxima, instances or
 * data of old-style callbacks. -EPROTO: the text is not of the expected kind. */
GW_API int gw_schema_from_dump(const char *dump_json, size_t bytes, char **ret_json, struct gw_error *err);
GW_API int gw_schema_to_dump(const char *schema_json, char **ret_json, struct gw_error *err);
/* Checks whether state written by `from` would load into `to`. Each is a schema or a dump. Calls found for each difference;
 * breaking: it would make the load fail. Returns the number of breaking differences, or a negative errno when a text cannot be
 * parsed. */
typedef void (*gw_schema_found_fn)(void *opaque, bool breaking, const char *where, const char *what);
GW_API int gw_schema_check(const char *from_json, const char *to_json, gw_schema_found_fn found, void *opaque,
                           struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif

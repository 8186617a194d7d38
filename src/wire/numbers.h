/* SPDX-License-Identifier: MIT
 *
 * numbers: the values on the wire; no other file has them. docs/wire-format.md explains them.
 */
#ifndef GW_WIRE_NUMBERS_H
#define GW_WIRE_NUMBERS_H

#define GW_WIRE_MAGIC   0x5145564du /* "QEVM" */
#define GW_WIRE_VERSION 3u
#define GW_WIRE_MULTIFD_MAGIC 0x11223344u /* the first bytes of a multifd channel */
#define GW_WIRE_PROBE_MAGIC   0x67647770u /* "gdwp": a godwit measures the link, and disconnects (probe.h) */

/* F(NAME, number, payload bytes (none here), "name") */
#define GW_ELEMENTS(F)                                                                                                 \
    F(EOF, 0x00, 0, "EOF")                                                                                             \
    F(START, 0x01, 0, "START")                                                                                         \
    F(PART, 0x02, 0, "PART")                                                                                           \
    F(END, 0x03, 0, "END")                                                                                             \
    F(FULL, 0x04, 0, "FULL")                                                                                           \
    F(SUBSECTION, 0x05, 0, "SUBSECTION")                                                                               \
    F(VMDESC, 0x06, 0, "VMDESCRIPTION")                                                                                \
    F(CONFIGURATION, 0x07, 0, "CONFIGURATION")                                                                         \
    F(COMMAND, 0x08, 0, "COMMAND")                                                                                     \
    F(FOOTER, 0x7e, 0, "FOOTER")

enum gw_wire_element {
#define F(name, number, bytes, text) GW_ELEMENT_##name = number,
    GW_ELEMENTS(F)
#undef F
};

/* F(NAME, number, payload bytes: exact, -1: at least 1, -2: any, "name") */
#define GW_COMMANDS(F)                                                                                                 \
    F(OPEN_RETURN_PATH, 1, 0, "OPEN_RETURN_PATH")                                                                      \
    F(PING, 2, 4, "PING")                                                                                              \
    F(POSTCOPY_ADVISE, 3, -2, "POSTCOPY_ADVISE")                                                                       \
    F(POSTCOPY_LISTEN, 4, 0, "POSTCOPY_LISTEN")                                                                        \
    F(POSTCOPY_RUN, 5, 0, "POSTCOPY_RUN")                                                                              \
    F(POSTCOPY_RAM_DISCARD, 6, -1, "POSTCOPY_RAM_DISCARD")                                                             \
    F(PACKAGED, 7, 4, "PACKAGED")                                                                                      \
    F(ENABLE_COLO, 8, -2, "ENABLE_COLO")                                                                               \
    F(POSTCOPY_RESUME, 9, 0, "POSTCOPY_RESUME")                                                                        \
    F(RECV_BITMAP, 10, -1, "RECV_BITMAP")                                                                              \
    F(SWITCHOVER_START, 11, 0, "SWITCHOVER_START")                                                                     \
    F(GODWIT_COMMIT, 0x6701, 0, "GODWIT_COMMIT")                                                                       \
    F(GODWIT_ABORT, 0x6702, 0, "GODWIT_ABORT")

enum gw_wire_command {
#define F(name, number, bytes, text) GW_COMMAND_##name = number,
    GW_COMMANDS(F)
#undef F
};

/* Messages on the return path. Those of godwit are sent only after a PING with the cookie
 * (docs/formats/extensions.md). */
#define GW_RP_MESSAGES(F)                                                                                              \
    F(SHUT, 1, 4, "SHUT")                                                                                              \
    F(PONG, 2, 4, "PONG")                                                                                              \
    F(REQ_PAGES_ID, 3, -1, "REQ_PAGES_ID")                                                                             \
    F(REQ_PAGES, 4, 12, "REQ_PAGES")                                                                                   \
    F(RECV_BITMAP, 5, -1, "RECV_BITMAP")                                                                               \
    F(RESUME_ACK, 6, 4, "RESUME_ACK")                                                                                  \
    F(SWITCHOVER_ACK, 7, 0, "SWITCHOVER_ACK")                                                                          \
    F(GODWIT_HELLO, 0x6777, 12, "GODWIT_HELLO")                                                                        \
    F(GODWIT_LOADED, 0x6778, 0, "GODWIT_LOADED")                                                                       \
    F(GODWIT_REASON, 0x6779, -1, "GODWIT_REASON")

enum gw_wire_rp {
#define F(name, number, bytes, text) GW_RP_##name = number,
    GW_RP_MESSAGES(F)
#undef F
};
#define GW_RP_MAX_BYTES 512u
#define GW_RECV_BITMAP_END 0x0123456789abcdefull /* after a map of received pages */

#define GW_PING_COOKIE        0x67647774u /* "gdwt": a godwit answers PONG and then GODWIT_HELLO */
#define GW_EXTENSIONS_VERSION 1u
#define GW_EXTENSION_COMMIT   (1ull << 0) /* LOADED and COMMIT: the guest changes hands in two steps */
#define GW_EXTENSION_REASON   (1ull << 1) /* REASON before a SHUT that reports a failure */
/* packets of a compressed multifd channel may be uncompressed, and zstd frames end */
#define GW_EXTENSION_AS_IS    (1ull << 2)
#define GW_EXTENSION_LANES    (1ull << 3) /* in postcopy pages are also sent on multifd channels */
/* supported by this version; also the value of the PING after the cookie */
#define GW_EXTENSIONS         (GW_EXTENSION_COMMIT | GW_EXTENSION_REASON | GW_EXTENSION_AS_IS | GW_EXTENSION_LANES)

#define GW_RAM_SECTION_VERSION 4u
/* Bits of the target page size: the flags of RAM records must be smaller than a page. */
#define GW_PAGE_BITS_MIN 10u
#define GW_PAGE_BITS_MAX 16u

/* Words of RAM records: flags below the page size; the rest is an offset. CONTINUE is combined with another flag. */
#define GW_RAM_FLAGS(F)                                                                                                \
    F(ZERO, 0x002, 0, "ZERO")                                                                                          \
    F(MEM_SIZE, 0x004, 0, "MEM_SIZE")                                                                                  \
    F(PAGE, 0x008, 0, "PAGE")                                                                                          \
    F(EOS, 0x010, 0, "end mark")                                                                                       \
    F(XBZRLE, 0x040, 0, "XBZRLE")                                                                                      \
    F(HOOK, 0x080, 0, "RDMA hook")                                                                                     \
    F(COMPRESS, 0x100, 0, "COMPRESS")                                                                                  \
    F(MULTIFD_FLUSH, 0x200, 0, "MULTIFD_FLUSH")

enum gw_wire_ram {
    GW_RAMF_CONTINUE = 0x020,
#define F(name, number, bytes, text) GW_RAMF_##name = number,
    GW_RAM_FLAGS(F)
#undef F
};

/* Announcements (wire/rarp.h) */
#define GW_WIRE_ETHERTYPE_RARP       0x8035u
#define GW_WIRE_RARP_ETHERNET        1u
#define GW_WIRE_RARP_IPV4            0x0800u
#define GW_WIRE_RARP_REQUEST_REVERSE 3u

#define GW_XBZRLE_ENCODING 1u /* first byte of an XBZRLE record's body */

#endif

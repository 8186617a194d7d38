/* SPDX-License-Identifier: MIT
 *
 * numbers: the values on the wire, and nowhere else. docs/wire-format.md has what they mean.
 */
#ifndef GW_WIRE_NUMBERS_H
#define GW_WIRE_NUMBERS_H

#define GW_WIRE_MAGIC   0x5145564du /* "QEVM" */
#define GW_WIRE_VERSION 3u
#define GW_WIRE_MULTIFD_MAGIC 0x11223344u /* the first bytes of a multifd channel */

enum gw_wire_element {
    GW_ELEMENT_EOF = 0x00,
    GW_ELEMENT_START = 0x01,
    GW_ELEMENT_PART = 0x02,
    GW_ELEMENT_END = 0x03,
    GW_ELEMENT_FULL = 0x04,
    GW_ELEMENT_SUBSECTION = 0x05,
    GW_ELEMENT_VMDESC = 0x06,
    GW_ELEMENT_CONFIGURATION = 0x07,
    GW_ELEMENT_COMMAND = 0x08,
    GW_ELEMENT_FOOTER = 0x7e,
};

/* F(NAME, number, payload bytes: exact, -1 = at least 1, -2 = any, "name") */
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

/* Messages on the return path. The godwit ones follow only on a PING with the cookie (docs/formats/extensions.md). */
#define GW_RP_MESSAGES(F)                                                                                              \
    F(SHUT, 1, 4, "SHUT")                                                                                              \
    F(PONG, 2, 4, "PONG")                                                                                              \
    F(REQ_PAGES_ID, 3, -1, "REQ_PAGES_ID")                                                                             \
    F(REQ_PAGES, 4, 12, "REQ_PAGES")                                                                                   \
    F(RECV_BITMAP, 5, -1, "RECV_BITMAP")                                                                               \
    F(RESUME_ACK, 6, 4, "RESUME_ACK")                                                                                  \
    F(SWITCHOVER_ACK, 7, 0, "SWITCHOVER_ACK")                                                                          \
    F(GODWIT_HELLO, 0x6777, 12, "GODWIT_HELLO")                                                                        \
    F(GODWIT_LOADED, 0x6778, 0, "GODWIT_LOADED")

enum gw_wire_rp {
#define F(name, number, bytes, text) GW_RP_##name = number,
    GW_RP_MESSAGES(F)
#undef F
};
#define GW_RP_MAX_BYTES 512u

#define GW_PING_COOKIE        0x67647774u /* "gdwt": a godwit answers PONG and then GODWIT_HELLO */
#define GW_EXTENSIONS_VERSION 1u
#define GW_EXTENSION_COMMIT   (1ull << 0) /* LOADED and COMMIT: the guest changes hands in two steps */

#define GW_RAM_SECTION_VERSION 4u

/* RAM record words: flags below the page size, the rest a value. */
enum gw_wire_ram {
    GW_RAMF_ZERO = 0x002,
    GW_RAMF_MEM_SIZE = 0x004,
    GW_RAMF_PAGE = 0x008,
    GW_RAMF_EOS = 0x010,
    GW_RAMF_CONTINUE = 0x020,
    GW_RAMF_XBZRLE = 0x040,
    GW_RAMF_HOOK = 0x080,
    GW_RAMF_COMPRESS = 0x100,
    GW_RAMF_MULTIFD_FLUSH = 0x200,
};

#define GW_XBZRLE_ENCODING 1u /* first byte of an XBZRLE record's body */

#endif

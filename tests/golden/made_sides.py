# SPDX-License-Identifier: MIT
"""What one side says to the other: a destination, a source by postcopy, a QMP server."""
from making import accept, reject, str8, u8, u16, u32, u64

# ---- the return path: what a destination says ------------------------------------------------------------------------------

GODWIT, PLAIN, POSTCOPY, PATIENT = 0, 1, 4, 8  # byte 0
AT_ONCE, ENDED, COMMITTED = 0, 254, 255         # when it is said
SHUT, PONG, REQ_PAGES_ID, REQ_PAGES, RECV_BITMAP, RESUME_ACK, ACK, HELLO, LOADED = 1, 2, 3, 4, 5, 6, 7, 0x6777, 0x6778


def message(number, body=b"", length=None):
    return u16(number) + u16(len(body) if length is None else length) + body


def return_path():
    t, pong = "return_path", message(PONG, u32(1))
    shut, failed = message(SHUT, u32(0)), message(SHUT, u32(1))
    hello = message(HELLO, u32(1) + u64(1))
    pongs = 6 * pong  # to each PING at once: the source waits some seconds for them
    knows = message(PONG, b"gdwt") + hello + pongs

    def said(first, *pieces):
        return u8(first | PATIENT) + b"".join(u8(due, len(p)) + p for due, p in pieces)

    def bad(name, text, *pieces, first=PLAIN):
        reject(t, name, said(first, *pieces), text)

    def wrong(name, text, extra, first=PLAIN):
        """All is as it should be but for something more that is said at once."""
        rest = [(ENDED, message(LOADED)), (COMMITTED, shut)] if first == GODWIT else [(ENDED, shut)]
        reject(t, name, said(first, (AT_ONCE, (knows if first == GODWIT else pongs) + extra), *rest), text)

    accept(t, "plain", said(PLAIN, (AT_ONCE, pongs), (ENDED, shut)),
           "A peer that answers, and has the machine behind the last byte.")
    accept(t, "commit", said(GODWIT, (AT_ONCE, knows), (ENDED, message(LOADED)), (COMMITTED, shut)),
           "Another godwit: LOADED, and behind COMMIT that it runs.")
    bad("closed", "It closes, and says nothing.")
    bad("closed-late", "It closes behind the last byte.", (AT_ONCE, pongs), (ENDED, pong))
    bad("failed", "It could not load the machine.", (AT_ONCE, pongs), (ENDED, failed))
    bad("failed-early", "It cannot load the machine, and says so before anything came.", (AT_ONCE, failed))
    wrong("unknown", "A message of a number that nobody knows.", message(0x63))
    wrong("number-0", "Message 0.", message(0))
    wrong("shut-empty", "SHUT without its number.", message(SHUT))
    wrong("pong-long", "PONG of 5 bytes.", message(PONG, bytes(5)))
    bad("length", "A request for pages with a length of 64 KiB - 1.", (AT_ONCE, message(REQ_PAGES_ID, bytes(20), 65535)))
    bad("length-513", "A length of 513, one more than there is.", (AT_ONCE, message(RECV_BITMAP, bytes(200), 513)))
    bad("cut-in-head", "It ends within the head of a message.", (AT_ONCE, pongs), (ENDED, pong[:3]))
    bad("cut-in-body", "It ends within a message.", (AT_ONCE, pongs), (ENDED, shut[:7]))
    wrong("requests", "Pages are asked for, and the machine has not gone.", message(REQ_PAGES_ID, u64(0) + u32(4096) + str8("r")))
    wrong("map", "A map of pages that nobody asked for.", message(RECV_BITMAP, str8("r")) + u64(2 ** 63))
    wrong("resumed", "A resumption that nobody asked for.", message(RESUME_ACK, u32(1)))
    wrong("hello-unasked", "A peer that is no godwit says hello as one.", hello)
    wrong("hello-twice", "Hello twice.", hello, first=GODWIT)
    wrong("loaded-unasked", "LOADED by a peer that is no godwit.", message(LOADED))
    wrong("loaded-early", "LOADED before the machine is offered.", message(LOADED), first=GODWIT)
    bad("loaded-twice", "LOADED twice.", (AT_ONCE, knows),
        (ENDED, message(LOADED) + message(LOADED)), (COMMITTED, shut), first=GODWIT)
    bad("not-given", "It runs the machine, and there was no COMMIT.", (AT_ONCE, knows), (ENDED, shut), first=GODWIT)
    bad("postcopy-closed", "By postcopy: it closes before it has the devices.", (AT_ONCE, pongs), first=PLAIN | POSTCOPY)
    bad("postcopy-failed", "By postcopy: it says at once that it failed.", (AT_ONCE, failed), first=PLAIN | POSTCOPY)


# ---- postcopy: what a source says, to a machine `none` with blocks r, second, local ----------------------------------------

START, PART, SECTION_END, FULL, COMMAND, FOOTER = 1, 2, 3, 4, 8, b"\x7e"
PREEMPT, STANDS, LOOKS = 1, 2, 0x10  # byte 0
ZEROS, EOS, CONTINUE = 2, u64(0x10), 0x20


def command(number, payload=b""):
    return u8(COMMAND) + u16(number) + u16(len(payload)) + payload


def ram(element, *records):
    return u8(element) + u32(2) + b"".join(records) + EOS + FOOTER + u32(2)


def zeros(block, first, count):
    return b"".join(u64((first + i) * 4096 | ZEROS | (CONTINUE if i else 0)) + (b"" if i else str8(block)) + b"\0"
                    for i in range(count))


def discard(block, first, size, version=0):
    return command(6, u8(version) + str8(block) + b"\0" + u64(first, size))


LISTEN, RUN, OPEN, ADVISE, RESUME = command(4), command(5), command(1), command(3, u64(4096, 4096)), command(9)
TIMER = u8(FULL) + u32(7) + str8("timer") + u32(0, 2) + u8(9) + FOOTER + u32(7)
MACHINE_HEAD = b"QEVM" + u32(3) + u8(7) + u32(4) + b"none"
LIST = u64(20 * 4096 | 4) + str8("r") + u64(16 * 4096) + str8("second") + u64(4 * 4096)
WRONG_LIST = u64(20 * 4096 | 4) + str8("r") + u64(17 * 4096) + str8("second") + u64(3 * 4096)


def ram_start(list_of_blocks=LIST):
    return u8(START) + u32(2) + str8("ram") + u32(0, 4) + list_of_blocks + EOS + FOOTER + u32(2)


def package(body, length=None):
    return command(7, u32(len(body) if length is None else length)) + body


def before(advise=ADVISE, blocks=LIST):
    return MACHINE_HEAD + OPEN + command(2, u32(1)) + advise + ram_start(blocks)


def postcopy():
    t = "postcopy"
    second, first, rest = zeros("second", 0, 4), zeros("r", 0, 8), zeros("r", 8, 8)
    machine = LISTEN + TIMER + command(2, u32(3)) + RUN
    come, end = before() + ram(PART, second), ram(SECTION_END) + b"\0"
    switched = come + discard("r", 0, 16 * 4096) + package(machine)
    wants = command(10, str8("r")) + command(10, str8("second")) + RESUME

    def connections(first_byte, *list_of):
        return u8(first_byte) + b"".join(u32(len(c)) + c for c in list_of)

    def bad(name, text, *list_of, first=0):
        reject(t, name, connections(first, *list_of), text)

    accept(t, "whole", connections(0, switched + ram(PART, rest) + ram(PART, first) + end),
           "All pages behind the machine, of zeros.")
    accept(t, "looks", connections(LOOKS, switched + ram(PART, rest) + ram(PART, first) + end),
           "The same for a device that needs a page before the machine runs.")
    bad("nothing", "It closes, and says nothing.", b"")
    bad("lost", "It is lost with half of the pages, and does not come back.", switched + ram(PART, rest))
    bad("lost-again", "It comes back, and is lost with half of the pages.", switched, wants + ram(PART, rest))
    bad("cut-in-package", "It ends within the machine.", come + package(machine[:-3], len(machine)))
    bad("no-run", "The machine is told to stand by, and never to run.", come + package(LISTEN + TIMER) + ram(PART, first) + end)
    bad("listen-twice", "LISTEN twice.", come + package(LISTEN + machine))
    bad("run-first", "RUN without LISTEN.", come + package(TIMER + RUN))
    bad("not-advised", "The machine without ADVISE before it.", before(advise=b"") + package(machine))
    bad("advise-pages", "Pages of 2 MiB there, and of 4 KiB here.", before(advise=command(3, u64(2 << 20, 4096))))
    bad("advise-short", "ADVISE of 8 bytes.", before(advise=command(3, u64(4096))))
    bad("blocks", "The lengths of the blocks are others than here.", before(blocks=WRONG_LIST) + package(machine))
    bad("package-0", "A package of 0 bytes.", come + package(b""))
    bad("package-longest", "A package of 4 GiB - 1.", come + package(machine, 0xFFFFFFFF))
    bad("package-in-package", "A package in a package.", come + package(package(machine)))
    bad("discard-version", "DISCARD of a version that nobody knows.", come + discard("r", 0, 4096, 1))
    bad("discard-unknown", "DISCARD in a block that is not there.", come + discard("x", 0, 4096))
    bad("discard-local", "DISCARD in a block that does not migrate.", come + discard("local", 0, 4096))
    bad("discard-within", "DISCARD that begins within a page.", come + discard("r", 100, 4096))
    bad("discard-behind", "DISCARD up to a page behind the block.", come + discard("r", 15 * 4096, 2 * 4096))
    bad("discard-wraps", "DISCARD of 2^64 - 4096 bytes from the second page on: the end is before the beginning.",
        come + discard("r", 4096, 2 ** 64 - 4096))
    bad("discard-cut", "DISCARD with half a range.", come + command(6, u8(0) + str8("r") + b"\0" + u64(0)))
    bad("discard-late", "DISCARD behind LISTEN.", come + package(LISTEN + discard("r", 0, 4096) + TIMER + RUN))
    bad("page-behind", "A page behind its block, and the source does not come back.", switched + ram(PART, zeros("r", 16, 1)))
    bad("page-local", "A page of what does not migrate.", switched + ram(PART, zeros("local", 0, 1)))
    bad("page-unknown", "A page of a block that is not there.", switched + ram(PART, zeros("x", 0, 1)))
    bad("record", "A page that is of zeros and an XBZRLE.", switched + ram(PART, u64(0x42) + str8("r")))
    bad("not-all", "The end, and half of the pages never came.", switched + ram(PART, rest) + end)
    bad("map-unknown", "The map of a block that is not there is asked for.", switched,
        command(10, str8("x")) + RESUME + ram(PART, first) + end)
    bad("map-long", "The name of a block is longer than the command.", switched, command(10, u8(200) + b"r") + RESUME)
    bad("urgent", "On the channel of urgent pages comes what is no page.", switched + ram(PART, rest), u64(0x12), first=PREEMPT)


# ---- a QMP server ------------------------------------------------------------------------------------------------------------


def monitor():
    t = "monitor"
    greeting = (b'{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}\r\n')
    answers = [b'{"return":{},"id":%d}\r\n' % n for n in (1, 2, 3)]
    event = b'{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}\r\n'

    def bad(name, text, *said):
        reject(t, name, b"".join(said), text)

    accept(t, "plain", greeting + b"".join(answers), "A greeting and three answers.")
    accept(t, "events", event.join([greeting] + answers) + event, "Events in between.")
    accept(t, "many-lines", (greeting + b"".join(answers)).replace(b",", b" ,\n\t"),
           "Each message over several lines, as with pretty=on.")
    accept(t, "late-answer", greeting + answers[0] + answers[0] + answers[1] + answers[2],
           "An answer to a command that was given up.")
    accept(t, "large", greeting + answers[0] + b'{"return":{"n":18446744073709551615},"id":2}' + answers[2],
           "A number beyond 63 bits.")
    bad("nothing", "It closes, and says nothing.")
    bad("no-json", "A greeting that is no JSON.", b"SSH-2.0-OpenSSH_9.2\r\n")
    bad("array", "A greeting that is an array.", b"[" + greeting + b"]")
    bad("other", "A greeting without a version.", b'{"QMP":{"capabilities":[]}}\r\n', *answers)
    bad("cut", "It closes within the greeting.", greeting[:50])
    bad("not-negotiated", "It refuses to negotiate.", greeting, b'{"error":{"class":"GenericError","desc":"no"},"id":1}')
    bad("refused", "It does not know the command.", greeting, answers[0],
        b'{"error":{"class":"CommandNotFound","desc":"no"},"id":2}')
    bad("neither", "An answer that is neither result nor error.", greeting, answers[0], b'{"id":2}')
    bad("bare-error", "An error that is a number.", greeting, answers[0], b'{"error":5,"id":2}')
    bad("no-id", "An answer to nothing in particular.", greeting, b'{"return":{}}')
    bad("far-id", "An answer to a command that was never given.", greeting, answers[0], b'{"return":{},"id":-9223372036854775808}')
    bad("deep", "10000 brackets.", b"[" * 10000 + b"]" * 10000)
    bad("closing", "Brackets that close what was never open.", b"]}" * 100, greeting, *answers)
    bad("endless-string", "A string that does not end.", greeting, answers[0][:-3] + b'"', *answers)
    bad("utf-8", "A text that is no UTF-8.", greeting, b'{"return":"\xff","id":1}')
    bad("huge-number", "A real number beyond all.", greeting, b'{"return":1e999,"id":1}')
    bad("nul", "A NUL within a message.", greeting, b'{"return":{\0},"id":1}')
    bad("twice", "A key that is there twice, the second time for another command.", greeting, answers[0],
        b'{"return":{},"id":2,"id":7}')

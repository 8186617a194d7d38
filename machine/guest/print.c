/* SPDX-License-Identifier: MIT */
#include "guest.h"

static void put_bytes(const char *from, uint64_t count)
{
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"((uint16_t)GW_PORT_SERIAL) : "memory");
}

void guest_put(const char *text)
{
    uint64_t count = 0;

    while (text[count])
        count++;
    put_bytes(text, count);
}

void guest_put_decimal(uint64_t value)
{
    char digits[20];
    unsigned at = sizeof(digits);

    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put_bytes(digits + at, sizeof(digits) - at);
}

void guest_put_hex(uint64_t value)
{
    char digits[18] = "0x";

    for (unsigned i = 0; i < 16; i++)
        digits[2 + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    put_bytes(digits, sizeof(digits));
}

_Noreturn void guest_corrupt(const struct worker *w, const char *what, uint64_t where, uint64_t expected, uint64_t found)
{
    struct gw_guest_mailbox *box = w->box;

    box->sequence |= 1;
    box->errors = 1;
    box->error_address = where;
    box->error_expected = expected;
    box->error_found = found;
    box->sequence++;

    guest_put("corrupt: ");
    guest_put(what);
    guest_put(where >> 63 ? " at disk " : " at ");
    if (where >> 63) {
        guest_put_decimal(where >> 56 & 127);
        guest_put(" byte ");
        guest_put_hex(where & ((1ull << 56) - 1));
    } else {
        guest_put_hex(where);
    }
    guest_put(" expected ");
    guest_put_hex(expected);
    guest_put(" found ");
    guest_put_hex(found);
    guest_put(" vcpu ");
    guest_put_decimal(w->cpu);
    guest_put("\n");
    guest_exit(GW_GUEST_EXIT_CORRUPT);
}

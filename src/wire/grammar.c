/* SPDX-License-Identifier: MIT */
#include "wire/grammar.h"

#include <stddef.h>

#include "base/base.h"
#include "wire/numbers.h"

struct rule {
    uint8_t from, element;
    uint16_t command;
    uint8_t to;
};

#define ELEMENT(from, element, to) {GW_GRAMMAR_##from, GW_ELEMENT_##element, 0, GW_GRAMMAR_##to}
#define COMMAND(from, command, to) {GW_GRAMMAR_##from, GW_ELEMENT_COMMAND, GW_COMMAND_##command, GW_GRAMMAR_##to}

static const struct rule rules[] = {
    ELEMENT(SETUP, START, SETUP),
    ELEMENT(SETUP, FULL, SETUP),
    ELEMENT(SETUP, PART, ITERATE),
    ELEMENT(SETUP, END, COMPLETE),
    ELEMENT(SETUP, EOF, ENDED),
    COMMAND(SETUP, OPEN_RETURN_PATH, SETUP),
    COMMAND(SETUP, PING, SETUP),
    COMMAND(SETUP, POSTCOPY_ADVISE, SETUP),
    COMMAND(SETUP, SWITCHOVER_START, COMPLETE),

    ELEMENT(ITERATE, PART, ITERATE),
    ELEMENT(ITERATE, END, COMPLETE),
    ELEMENT(ITERATE, FULL, COMPLETE),
    ELEMENT(ITERATE, EOF, ENDED),
    COMMAND(ITERATE, PING, ITERATE),
    COMMAND(ITERATE, SWITCHOVER_START, COMPLETE),

    ELEMENT(COMPLETE, END, COMPLETE),
    ELEMENT(COMPLETE, FULL, COMPLETE),
    ELEMENT(COMPLETE, EOF, ENDED),
    COMMAND(COMPLETE, PING, COMPLETE),

    COMMAND(SETUP, POSTCOPY_RAM_DISCARD, COMPLETE),
    COMMAND(SETUP, PACKAGED, PACKAGE),
    COMMAND(ITERATE, POSTCOPY_RAM_DISCARD, COMPLETE),
    COMMAND(ITERATE, PACKAGED, PACKAGE),
    COMMAND(COMPLETE, POSTCOPY_RAM_DISCARD, COMPLETE),
    COMMAND(COMPLETE, PACKAGED, PACKAGE),

    COMMAND(PACKAGE, POSTCOPY_LISTEN, PACKAGE),
    ELEMENT(PACKAGE, FULL, PACKAGE),
    COMMAND(PACKAGE, PING, PACKAGE),
    COMMAND(PACKAGE, POSTCOPY_RUN, POSTCOPY),

    COMMAND(RECOVER, RECV_BITMAP, RECOVER),
    COMMAND(RECOVER, POSTCOPY_RESUME, POSTCOPY),

    ELEMENT(POSTCOPY, PART, POSTCOPY),
    ELEMENT(POSTCOPY, END, POSTCOPY),
    COMMAND(POSTCOPY, PING, POSTCOPY),
    ELEMENT(POSTCOPY, EOF, CLOSED),

    ELEMENT(ENDED, VMDESC, DESCRIBED),
    COMMAND(ENDED, GODWIT_COMMIT, CLOSED),
    COMMAND(ENDED, GODWIT_ABORT, CLOSED),
    COMMAND(DESCRIBED, GODWIT_COMMIT, CLOSED),
    COMMAND(DESCRIBED, GODWIT_ABORT, CLOSED),
};

bool gw_grammar_step(enum gw_grammar *state, uint8_t element, uint16_t command)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rules); i++) {
        const struct rule *r = &rules[i];

        if (r->from == *state && r->element == element && (element != GW_ELEMENT_COMMAND || r->command == command)) {
            *state = (enum gw_grammar)r->to;
            return true;
        }
    }
    return false;
}

const char *gw_grammar_name(enum gw_grammar state)
{
    static const char *const names[] = {"setup", "iterate", "complete", "ended", "described", "closed", "package", "postcopy", "recover"};

    return (unsigned)state < GW_GRAMMAR_COUNT ? names[state] : "?";
}

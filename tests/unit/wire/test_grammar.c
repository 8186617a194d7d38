/* SPDX-License-Identifier: MIT
 *
 * What may follow what: each state, each element, each command, against a table that was written down from the protocol
 * and not from the code; and the orders that peers are known to use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "wire/grammar.h"
#include "wire/names.h"

/* Where each leads; "" : refused. In the order of enum gw_grammar. */
static const struct {
    const char *what;
    uint8_t element;
    uint16_t command;
    const char *to[GW_GRAMMAR_COUNT]; /* from setup, iterate, complete, ended, described, closed, package, postcopy, recover */
} rows[] = {
    {"EOF", 0x00, 0, {"ended", "ended", "ended", "", "", "", "", "closed", ""}},
    {"START", 0x01, 0, {"setup", "", "", "", "", "", "", "", ""}},
    {"PART", 0x02, 0, {"iterate", "iterate", "", "", "", "", "", "postcopy", ""}},
    {"END", 0x03, 0, {"complete", "complete", "complete", "", "", "", "", "postcopy", ""}},
    {"FULL", 0x04, 0, {"setup", "complete", "complete", "", "", "", "package", "", ""}},
    {"VMDESCRIPTION", 0x06, 0, {"", "", "", "described", "", "", "", "", ""}},
    {"OPEN_RETURN_PATH", 0x08, 1, {"setup", "", "", "", "", "", "", "", ""}},
    {"PING", 0x08, 2, {"setup", "iterate", "complete", "", "", "", "package", "postcopy", ""}},
    {"POSTCOPY_ADVISE", 0x08, 3, {"setup", "", "", "", "", "", "", "", ""}},
    {"POSTCOPY_LISTEN", 0x08, 4, {"", "", "", "", "", "", "package", "", ""}},
    {"POSTCOPY_RUN", 0x08, 5, {"", "", "", "", "", "", "postcopy", "", ""}},
    {"POSTCOPY_RAM_DISCARD", 0x08, 6, {"complete", "complete", "complete", "", "", "", "", "", ""}},
    {"PACKAGED", 0x08, 7, {"package", "package", "package", "", "", "", "", "", ""}},
    {"SWITCHOVER_START", 0x08, 11, {"complete", "complete", "", "", "", "", "", "", ""}},
    {"GODWIT_COMMIT", 0x08, 0x6701, {"", "", "", "closed", "closed", "", "", "", ""}},
    {"GODWIT_ABORT", 0x08, 0x6702, {"", "", "", "closed", "closed", "", "", "", ""}},
    {"POSTCOPY_RESUME", 0x08, 9, {"", "", "", "", "", "", "", "", "postcopy"}},
    {"RECV_BITMAP", 0x08, 10, {"", "", "", "", "", "", "", "", "recover"}},
};

static const char *expected(unsigned from, uint8_t element, uint16_t command)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        if (rows[i].element == element && (element != 0x08 || rows[i].command == command))
            return rows[i].to[from];
    return "";
}

static void check(unsigned from, uint8_t element, uint16_t command)
{
    enum gw_grammar state = (enum gw_grammar)from;
    const char *to = expected(from, element, command);
    bool legal = gw_grammar_step(&state, element, command);

    if (legal != (to[0] != 0) || strcmp(gw_grammar_name(state), legal ? to : gw_grammar_name((enum gw_grammar)from)))
        print_error("element 0x%02x command 0x%x in %s: %s, now %s\n", element, command,
                    gw_grammar_name((enum gw_grammar)from), legal ? "taken" : "refused", gw_grammar_name(state));
    assert_int_equal(legal, to[0] != 0);
    assert_string_equal(gw_grammar_name(state), legal ? to : gw_grammar_name((enum gw_grammar)from));
}

static void test_all(void **state)
{
    for (unsigned from = 0; from < GW_GRAMMAR_COUNT; from++) {
        for (unsigned element = 0; element < 256; element++)
            if (element != 0x08)
                check(from, (uint8_t)element, 0);
        for (unsigned command = 0; command <= 0xffff; command++)
            check(from, 0x08, (uint16_t)command);
    }
}

/* A number behind an element that is none is not looked at. */
static void test_command_of_others(void **state)
{
    enum gw_grammar g = GW_GRAMMAR_SETUP;

    assert_true(gw_grammar_step(&g, 0x01, 77));
    assert_int_equal(g, GW_GRAMMAR_SETUP);
}

static void order(const char *elements, bool good)
{
    enum gw_grammar g = GW_GRAMMAR_SETUP;
    bool taken = true;

    for (const char *p = elements; *p && taken; p++) {
        switch (*p) {
        case 'R':
            taken = gw_grammar_step(&g, 0x08, 1);
            break;
        case 'P':
            taken = gw_grammar_step(&g, 0x08, 2);
            break;
        case 'W':
            taken = gw_grammar_step(&g, 0x08, 11);
            break;
        case 'C':
            taken = gw_grammar_step(&g, 0x08, 0x6701);
            break;
        case 'A':
            taken = gw_grammar_step(&g, 0x08, 0x6702);
            break;
        case 'D':
            taken = gw_grammar_step(&g, 0x08, 6);
            break;
        case 'K':
            taken = gw_grammar_step(&g, 0x08, 7);
            break;
        case 'L':
            taken = gw_grammar_step(&g, 0x08, 4);
            break;
        case 'G':
            taken = gw_grammar_step(&g, 0x08, 5);
            break;
        case 'V':
            taken = gw_grammar_step(&g, 0x08, 3);
            break;
        default:
            taken = gw_grammar_step(&g, (uint8_t)(*p - '0'), 0);
        }
    }
    if (taken != good)
        print_error("%s\n", elements);
    assert_int_equal(taken, good);
}

static void test_orders(void **state)
{
    order("1222344406", true);      /* 7.2 */
    order("RP1222W344406", true);   /* 10.0 with a return path */
    order("RPP1222P2P344406C", true);
    order("RPP13406A", true);
    order("14134406", true);        /* a device that comes early, two live sections */
    order("122440", true);          /* taken in the background: no END */
    order("10", true);              /* no pass, no devices */
    order("440", true);             /* devices alone */
    order("RPV122WDDPKL44PGP2230", true);  /* postcopy of 10.0 */
    order("RPV1DPKL44PGP2230", true);      /* at once */
    order("RPV122PKLGP30", true);          /* nothing was due any more, and there are no devices */
    order("RPV122KL44G6", false);          /* no description */
    order("RPV122K44G", true);             /* (its frame says nothing of LISTEN) */
    order("RPV122L", false);
    order("RPV122G", false);
    order("RPV122KL2", false);
    order("RPV122KL44G4", false);
    order("RPV122KL44GD", false);
    order("12341", false);          /* a section begins after the end of another */
    order("1232", false);
    order("122P4P0P", false);       /* nothing but the description behind EOF */
    order("1300", false);
    order("1360", false);
    order("6", false);
    order("13066", false);
    order("130CC", false);
    order("130CA", false);
    order("13C", false);
    order("12R", false);            /* the return path is opened first */
    order("WW", false);
    order("13W", false);
    order("17", false);             /* the configuration is part of the head */
    order("15", false);             /* a subsection is part of a body */
}

static void test_names(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        if (rows[i].element == 0x08)
            assert_string_equal(gw_wire_command(rows[i].command)->name, rows[i].what);
        else
            assert_string_equal(gw_wire_element(rows[i].element), rows[i].what);
    }
    assert_null(gw_wire_command(0));
    assert_null(gw_wire_command(12));
    assert_null(gw_wire_rp(0));
    assert_null(gw_wire_rp(8));
    assert_int_equal(gw_wire_command(2)->bytes, 4);
    assert_int_equal(gw_wire_rp(4)->bytes, 12);
    assert_string_equal(gw_wire_element(0x99), "unknown");
    assert_string_equal(gw_wire_ram_flag(0x060), "XBZRLE");
    assert_string_equal(gw_wire_ram_flag(0x003), "unknown");
    assert_string_equal(gw_grammar_name(GW_GRAMMAR_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_command_of_others),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

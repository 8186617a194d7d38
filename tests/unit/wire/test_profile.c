/* SPDX-License-Identifier: MIT
 *
 * What a peer's version implies: profiles by name, by the peer's machine type, and for multifd.
 */
#include "wire.h"

#include "wire/profile.h"

static void test_by_name(void **state)
{
    static const char *const names[] = {"godwit", "7.2", "8.1", "9.0", "10.0"};
    static const char *const none[] = {"", "7", "7.2 ", "Godwit", "10.00", "11.1", "10", "7.2.1"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        assert_non_null(gw_wire_profile(names[i]));
        assert_string_equal(gw_wire_profile(names[i])->name, names[i]);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(none); i++)
        assert_null(gw_wire_profile(none[i]));
}

/* The newest profile that is not newer than the machine type. */
static void test_by_machine(void **state)
{
    static const struct {
        const char *machine, *want;
    } rows[] = {
        {"pc-i440fx-7.2", "7.2"},
        {"pc-i440fx-2.12", "7.2"},
        {"pc-q35-8.0", "7.2"},
        {"pc-q35-8.1", "8.1"},
        {"pc-q35-8.2", "8.1"},
        {"pc-q35-8.99", "8.1"},
        {"pc-q35-8.100", "8.1"}, /* no minor version makes a major one of it */
        {"pc-q35-9.0", "9.0"},
        {"pc-q35-9.2", "9.0"},
        {"virt-10.0", "10.0"},
        {"virt-11.1", "10.0"},
        {"virt-9999.0", "10.0"},
        /* No version: the oldest. */
        {"", "7.2"},
        {"microvm", "7.2"},
        {"x-remote", "7.2"},
        {"pseries-rhel", "7.2"},
        {"pc-", "7.2"},
        {"-", "7.2"},
        {"virt-10", "7.2"},
        {"virt-10.", "7.2"},
        {"virt-10.x", "7.2"},
        {"virt-10.0x", "7.2"},
        {"virt-10.0.1", "7.2"},
        {"virt-+10.0", "7.2"},
        {"virt- 10.0", "7.2"},
        {"virt-10.-1", "7.2"},
        {"virt-10000.0", "7.2"},
        {"virt-18446744073709551626.0", "7.2"}, /* 10 with 64 bits */
        {"virt-8.18446744073709551617", "8.1"},
        {"10.0", "7.2"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        const char *name = gw_wire_profile_of_machine(rows[i].machine)->name;

        if (strcmp(name, rows[i].want) != 0)
            fail_msg("'%s': %s instead of %s", rows[i].machine, name, rows[i].want);
    }
}

/* By the machine type, but never what the peer does not have. */
static void test_multifd(void **state)
{
    static const struct {
        const char *peer, *machine, *want;
    } rows[] = {
        {"10.0", "pc-q35-7.2", "7.2"},   {"10.0", "pc-q35-8.1", "8.1"}, {"10.0", "pc-q35-9.0", "9.0"},
        {"10.0", "microvm", "10.0"},     {"7.2", "pc-q35-9.0", "7.2"},  {"8.1", "pc-q35-9.0", "8.1"},
        {"7.2", "microvm", "7.2"},       {"9.0", "virt-10.0", "10.0"},  {"godwit", "microvm", "godwit"},
        {"godwit", "pc-q35-7.2", "7.2"}, {"8.1", "pc-q35-7.2", "7.2"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        const struct gw_wire_profile *peer = gw_wire_profile(rows[i].peer),
                                     *p = gw_wire_profile_multifd(peer, rows[i].machine),
                                     *want = gw_wire_profile(rows[i].want);

        if (p->multifd_rounds != want->multifd_rounds || p->multifd_zeros != want->multifd_zeros)
            fail_msg("%s with '%s': as %s instead of %s", rows[i].peer, rows[i].machine, p->name, rows[i].want);
        assert_true(p->multifd_rounds <= peer->multifd_rounds);
        assert_true(p->multifd_zeros <= peer->multifd_zeros);
    }
}

/* What versions differ in (docs/wire-format.md). */
static void test_rules(void **state)
{
    const struct gw_wire_profile *v7 = gw_wire_profile("7.2"), *v8 = gw_wire_profile("8.1"), *v9 = gw_wire_profile("9.0"),
                                 *v10 = gw_wire_profile("10.0"), *own = gw_wire_profile("godwit");

    assert_false(v7->switchover_start || v7->vmdesc_configuration || v7->no_compressed_pages || v7->multifd_rounds ||
                 v7->multifd_zeros);
    assert_true(v8->multifd_rounds && !v8->multifd_zeros);
    assert_true(v9->multifd_rounds && v9->multifd_zeros && !v9->switchover_start);
    assert_true(v10->switchover_start && v10->vmdesc_configuration && v10->no_compressed_pages);
    /* Only another godwit is asked what else it can. */
    assert_true(own->ask_extensions && own->open_return_path);
    assert_false(v7->ask_extensions || v8->ask_extensions || v9->ask_extensions || v10->ask_extensions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_by_machine),
        cmocka_unit_test(test_multifd),
        cmocka_unit_test(test_rules),
    };

    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}

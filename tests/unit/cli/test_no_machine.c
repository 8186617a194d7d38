/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd.h"

static int dump(int argc, char **argv)
{
    return gw_schema_dump_machine(argc, argv);
}

/* One line on standard error, whatever is asked of the machine. */
static void refused(int (*command)(int, char **), const char *name)
{
    char *argv[] = {(char *)name, (char *)"--help", NULL}, said[200] = "", begins[64];
    int before = dup(2), status;
    FILE *f = tmpfile();

    assert_non_null(f);
    dup2(fileno(f), 2);
    status = command(2, argv);
    dup2(before, 2);
    close(before);
    assert_int_equal(status, GW_EXIT_FAILED);
    assert_true(pread(fileno(f), said, sizeof said - 1, 0) > 0);
    fclose(f);
    snprintf(begins, sizeof begins, "%s: ", name);
    assert_memory_equal(said, begins, strlen(begins));
    assert_non_null(strstr(said, "no built-in test machine"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void test_refused(void **state)
{
    refused(gw_cmd_vm, "godwit vm");
    refused(gw_cmd_demo, "godwit demo");
    refused(dump, "godwit schema dump");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

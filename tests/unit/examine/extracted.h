/* SPDX-License-Identifier: MIT
 *
 * extracted: what was taken out of a machine, in a folder of the test's own. For tests in IN_FOLDER().
 */
#ifndef EXAMINE_EXTRACTED_H
#define EXAMINE_EXTRACTED_H

#include "../image/machines.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "godwit/examine.h"
#include "examine/x86_cpu.h"

#define PC "precopy-pc-10.0.bin.gz"

static char folder[64], out[128];

static inline int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/gwXXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(out, sizeof out, "%s/out", folder);
    return 0;
}

static inline int tear_down(void **state)
{
    unlink(out);
    return rmdir(folder); /* and so nothing else is left */
}

static inline struct bytes slurp(void)
{
    struct bytes b = {NULL, 0};
    struct stat st;
    int fd = open(out, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    b.bytes = (size_t)st.st_size;
    b.data = malloc(b.bytes + 1);
    assert_int_equal(read(fd, b.data, b.bytes), st.st_size);
    close(fd);
    return b;
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif

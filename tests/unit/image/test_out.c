/* SPDX-License-Identifier: MIT
 *
 * How a file gets its name and how that is taken back: on file systems with and without exchange, with and without
 * links, with others at work in the same folder, and on disks that fail at the last moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "image/image.h"

static struct {
    bool no_flags, no_links; /* of renameat2; at all */
    int folder_error;        /* of fsync, of a folder */
    void (*meanwhile)(void); /* before the next rename, once */
} fs;

static char folder[64], path[128], aside[160];

int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    void (*meanwhile)(void) = fs.meanwhile;

    fs.meanwhile = NULL;
    if (meanwhile)
        meanwhile();
    if (fs.no_flags && flags) {
        errno = EINVAL;
        return -1;
    }
    return __real_renameat2(a, from, b, to, flags);
}

int __wrap_link(const char *from, const char *to)
{
    if (fs.no_links) {
        errno = EPERM;
        return -1;
    }
    return __real_link(from, to);
}

int __wrap_fsync(int fd)
{
    struct stat st;

    if (fs.folder_error && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
        errno = fs.folder_error;
        return -1;
    }
    return __real_fsync(fd);
}

static void put(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_has(const char *name, const char *text)
{
    char got[64] = "";
    int fd = open(name, O_RDONLY);

    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    assert_string_equal(got, text);
    close(fd);
}

/* Also hidden ones. */
static unsigned names(void)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void begin(bool no_flags, bool no_links)
{
    memset(&fs, 0, sizeof fs);
    fs.no_flags = no_flags;
    fs.no_links = no_links;
    strcpy(folder, "/tmp/godwit-out-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/guest", folder);
    snprintf(aside, sizeof aside, "%s.undecided", path);
}

static void end(unsigned files)
{
    char command[128];

    assert_int_equal(names(), files);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* A new file that says "new", committed. */
static int place(struct gw_image_out *out, bool replace, bool keep)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_image_out_open(out, path, replace, &err);

    out->keep = keep;
    if (r >= 0)
        assert_int_equal(write(out->fd, "new", 3), 3);
    if (r >= 0)
        r = gw_image_out_commit(out, &err);
    return r;
}

/* Each file system: with everything, without flags of renameat2, and without links too. */
static void each(void (*test)(void))
{
    for (unsigned i = 0; i < 3; i++) {
        begin(i > 0, i > 1);
        test();
    }
}

static void replace_for_good(void)
{
    struct gw_image_out out;

    assert_int_equal(place(&out, false, false), 0);
    gw_image_out_close(&out);
    assert_has(path, "new");
    put(path, "old");
    assert_int_equal(place(&out, false, false), -EEXIST);
    gw_image_out_close(&out);
    assert_int_equal(place(&out, true, false), 0);
    assert_int_equal(names(), 1);
    gw_image_out_close(&out);
    assert_has(path, "new");
    put(path, "old");
    assert_int_equal(place(&out, true, true), 0);
    assert_int_equal(names(), 2);
    assert_has(out.before, "old");
    gw_image_out_close(&out);
    assert_has(path, "new");
    end(1);
}

static void take_back(void)
{
    struct gw_image_out out;

    assert_int_equal(place(&out, true, true), 0); /* there was none */
    assert_int_equal(gw_image_out_revert(&out, NULL, NULL), 0);
    gw_image_out_close(&out);
    assert_int_equal(names(), 0);
    put(path, "old");
    assert_int_equal(place(&out, true, true), 0);
    assert_int_equal(gw_image_out_revert(&out, NULL, NULL), 0);
    assert_int_equal(gw_image_out_revert(&out, NULL, NULL), -EINVAL); /* once is enough */
    gw_image_out_close(&out);
    assert_has(path, "old");
    end(1);
}

/* The new one gets another name, which nothing must have. */
static void move_aside(void)
{
    struct gw_image_out out;
    char long_name[500];

    put(path, "old");
    put(aside, "first");
    assert_int_equal(place(&out, true, true), 0);
    assert_int_equal(gw_image_out_revert(&out, aside, NULL), -EEXIST);
    assert_has(path, "new");
    assert_has(aside, "first");
    strcat(aside, ".2");
    assert_int_equal(gw_image_out_revert(&out, aside, NULL), 0);
    gw_image_out_close(&out);
    assert_has(aside, "new");
    assert_has(path, "old");
    assert_int_equal(names(), 3);
    /* It cannot have that name: it stays where it is, and so does what was there before. */
    assert_int_equal(place(&out, true, true), 0);
    snprintf(long_name, sizeof long_name, "%s.%0300d", path, 0);
    assert_int_equal(gw_image_out_revert(&out, long_name, NULL), -ENAMETOOLONG);
    gw_image_out_close(&out);
    assert_has(path, "new");
    end(4);
}

/* Somebody removed it, or put another one there: that stays. */
/* Behind a symbolic link is the file that is replaced. A link to nothing is no file, and none is made there. */
static void behind_a_link(void)
{
    char name[200], dangling[200];
    struct gw_image_out out;
    struct gw_error err = GW_ERROR_INIT;
    struct stat st;

    snprintf(name, sizeof name, "%s/link", folder);
    snprintf(dangling, sizeof dangling, "%s/dangling", folder);
    put(path, "old");
    assert_int_equal(symlink(path, name), 0);
    assert_int_equal(symlink("nowhere", dangling), 0);
    assert_int_equal(gw_image_out_open(&out, dangling, true, &err), -ENOENT);
    assert_non_null(strstr(err.text, "without a target"));
    gw_image_out_close(&out);
    assert_int_equal(gw_image_out_open(&out, name, false, &err), -EEXIST);
    gw_image_out_close(&out);
    assert_int_equal(gw_image_out_open(&out, name, true, &err), 0);
    assert_int_equal(write(out.fd, "new", 3), 3);
    assert_int_equal(gw_image_out_commit(&out, &err), 0);
    gw_image_out_close(&out);
    assert_has(path, "new");
    assert_int_equal(lstat(name, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    unlink(name);
    unlink(dangling);
    end(1);
}

static void others(void)
{
    struct gw_image_out out;
    struct gw_error err = GW_ERROR_INIT;

    put(path, "old");
    assert_int_equal(place(&out, true, true), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(gw_image_out_revert(&out, NULL, &err), -ENOENT);
    gw_image_out_close(&out);
    assert_has(path, "old");
    assert_int_equal(place(&out, true, true), 0);
    put(aside, "another");
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(gw_image_out_revert(&out, NULL, &err), -ESTALE);
    assert_non_null(strstr(err.text, ".before."));
    gw_image_out_close(&out);
    assert_has(path, "another");
    end(2);
}

static void test_replace(void **state)
{
    each(replace_for_good);
}

static void test_take_back(void **state)
{
    each(take_back);
}

static void test_move_aside(void **state)
{
    each(move_aside);
}

static void test_behind_a_link(void **state)
{
    each(behind_a_link);
}

static void test_others(void **state)
{
    each(others);
}

static void appears(void)
{
    put(path, "another");
}

static void goes(void)
{
    unlink(path);
}

static void becomes_a_folder(void)
{
    unlink(path);
    mkdir(path, 0700);
}

/* At the last moment. */
static void test_races(void **state)
{
    struct gw_image_out out;

    begin(false, false);
    fs.meanwhile = appears;
    assert_int_equal(place(&out, false, false), -EEXIST);
    gw_image_out_close(&out);
    assert_has(path, "another");
    fs.meanwhile = goes;
    assert_int_equal(place(&out, true, true), 0);
    assert_string_equal(out.before, "");
    gw_image_out_close(&out);
    fs.meanwhile = becomes_a_folder;
    assert_int_equal(place(&out, true, true), -EEXIST);
    gw_image_out_close(&out);
    assert_int_equal(rmdir(path), 0);
    end(0);
    begin(true, false);
    fs.meanwhile = appears;
    assert_int_equal(place(&out, false, false), -EEXIST);
    gw_image_out_close(&out);
    assert_has(path, "another");
    end(1);
}

/* What is not on disk with its name is not acknowledged; where folders cannot be synced there is nothing more to do. */
static void test_folder_not_synced(void **state)
{
    static const int harmless[] = {EINVAL, EOPNOTSUPP, ENOSYS}, bad[] = {EIO, ENOSPC, EDQUOT};
    struct gw_image_out out;

    for (unsigned i = 0; i < 3; i++) {
        begin(i == 2, false);
        fs.folder_error = harmless[i];
        assert_int_equal(place(&out, false, false), 0);
        gw_image_out_close(&out);
        fs.folder_error = bad[i];
        put(path, "old");
        assert_int_equal(place(&out, true, i == 1), -bad[i]);
        gw_image_out_close(&out);
        assert_has(path, "old");
        assert_int_equal(names(), 1);
        unlink(path);
        assert_int_equal(place(&out, false, false), -bad[i]);
        gw_image_out_close(&out);
        end(0);
    }
}

/* What packs a file that is all there is of a machine: it must be there whatever happens. */
static void test_folder_not_synced_only(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image_out out;
    struct stat st;

    for (unsigned i = 0; i < 2; i++) {
        begin(i, i);
        put(path, "old");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(gw_image_out_open(&out, path, true, &err), 0);
        out.only = (struct gw_image_inode){st.st_dev, st.st_ino};
        fs.folder_error = EIO;
        assert_int_equal(gw_image_out_commit(&out, &err), -EIO);
        gw_image_out_close(&out);
        assert_has(path, i ? "" : "old");
        end(1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_take_back),
        cmocka_unit_test(test_move_aside),
        cmocka_unit_test(test_behind_a_link),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_races),
        cmocka_unit_test(test_folder_not_synced),
        cmocka_unit_test(test_folder_not_synced_only),
    };

    return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}

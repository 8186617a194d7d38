/* SPDX-License-Identifier: MIT
 *
 * A machine that is written to a file while it arrives: whatever the order, however often, whatever the disk does, the
 * file is that of the machine as it is in the end, or there is none.
 */
#include "stage_job.h"

#include "failing_writes.h"

static const uint64_t usual[RIG_BLOCKS] = {3000, 200, 1, NONE};

/* ---- arriving ---------------------------------------------------------------------------------------------------- */

static void any_order(void **state)
{
    for (uint64_t seed = 1; seed <= 16 / RIG_LESS; seed++) {
        uint64_t random = seed * 77, turns = rig_random(&random) % 4 * 4000;
        struct job j;

        job_open(&j, usual, "none", false, seed);
        list(&j);
        atomic_store(&writes.small, seed & 1);
        if (seed % 4)
            land_all(&j);
        for (uint64_t n = 0; n < turns; n++) {
            unsigned block = rig_random(&random) % 8 ? 0 : 1;
            uint64_t page = rig_random(&random) % usual[block];

            rig_change(&j.rig, block, page, &random);
            land(&j, block, page);
            if (n % 1000 == 0)
                usleep(2000);
        }
        if (seed % 4 == 0)
            for (uint64_t page = 3000; page--;)
                for (unsigned i = 0; i < 3; i++)
                    if (page < usual[i])
                        land(&j, i, page);
        devices(&j);
        commit(&j);
        atomic_store(&writes.small, false);
        job_close(&j, 1);
    }
}

/* The same few pages land all the time, while they are written. */
static void hot_pages(void **state)
{
    uint64_t random = 5;
    struct job j;

    job_open(&j, usual, "none", false, 9);
    list(&j);
    land_all(&j);
    for (unsigned n = 0; n < 200000 / RIG_LESS; n++) {
        uint64_t page = rig_random(&random) % 40;

        rig_change(&j.rig, 0, page, &random);
        land(&j, 0, page);
    }
    devices(&j);
    commit(&j);
    job_close(&j, 1);
}

/* What was guessed and did not come, and what never came, is zeros. */
static void guesses(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_store *s;
    struct job j;

    job_open(&j, usual, "none", false, 9);
    list(&j);
    s = j.store;
    memset(j.rig.ram[0], 0, 3000 * 4096);
    memset(j.rig.ram[1], 0, 200 * 4096);
    memset(j.rig.ram[2], 0, 4096);
    memset(j.rig.ram[0] + 64 * 4096, 3, 4096);
    for (uint64_t page = 60; page < 70; page++)
        memset(s->where(s, j.ram.blocks[0], page, GW_STORE_OVERWRITE), 5, 4096);
    usleep(20000);
    land(&j, 0, 64);
    usleep(20000);
    for (uint64_t page = 60; page < 70; page++)
        if (page != 64)
            s->unguess(s, j.ram.blocks[0], page);
    devices(&j);
    commit(&j);
    job_close(&j, 1);
    assert_int_equal(err.code, 0);
}

static void no_memory_at_all(void **state)
{
    static const uint64_t none[RIG_BLOCKS] = {NONE};
    struct job j;

    job_open(&j, none, "none", false, 9);
    list(&j);
    devices(&j);
    commit(&j);
    job_close(&j, 1);
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

/* A source that goes away leaves nothing, and the next one is as the first. */
static void forgotten(void **state)
{
    struct job j;

    job_open(&j, usual, NULL, false, 9);
    for (unsigned i = 0; i < 3; i++) {
        list(&j);
        assert_int_equal(names(j.folder), 1); /* the temporary one */
        if (i)
            land_all(&j);
        usleep(i == 2 ? 50000 : 0); /* it has nothing left to do */
        gw_ram_clear(&j.ram);
        gw_stage_forget(j.image->stage);
        assert_int_equal(names(j.folder), 0);
        gw_memory_forget(j.image);
    }
    list(&j);
    land_all(&j);
    devices(&j);
    commit(&j);
    job_close(&j, 1);
}

/* Told by commit; nothing is left, and the old way is open. */
static void full_disk(void **state)
{
    unsigned failed = 0;

    for (unsigned n = 0; n < 40; n++) {
        struct gw_image_write_options o = {.format = GW_IMAGE_PARKED};
        struct gw_error err = GW_ERROR_INIT;
        struct job j;
        int r;

        job_open(&j, usual, NULL, false, n);
        atomic_store(&writes.calls, 0);
        atomic_store(&writes.fail_from, n);
        atomic_store(&writes.error, n & 1 ? ENOSPC : EIO);
        list(&j);
        land_all(&j);
        devices(&j);
        r = gw_image_stage_commit(j.image, &err);
        atomic_store(&writes.error, 0);
        if (r < 0) {
            failed++;
            assert_int_equal(r, n & 1 ? -ENOSPC : -EIO);
            assert_non_null(strstr(err.text, j.path));
            assert_int_equal(names(j.folder), 0);
            assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), -EINVAL);
            assert_int_equal(gw_image_write(j.image, j.path, &o, &err), 0);
        }
        rig_same(&j.rig, j.path, NULL);
        job_close(&j, 1);
        if (r >= 0)
            break; /* it takes no more writes */
    }
    assert_true(failed > 3);
}

static void a_file_is_there(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct job j;
    int fd;

    job_open(&j, usual, NULL, false, 9);
    list(&j);
    land_all(&j);
    devices(&j);
    fd = open(j.path, O_CREAT | O_WRONLY, 0600); /* just now */
    assert_int_equal(write(fd, "mine", 4), 4);
    assert_int_equal(gw_image_stage_commit(j.image, &err), -EEXIST);
    assert_int_equal(lseek(fd, 0, SEEK_END), 4);
    close(fd);
    job_close(&j, 1);
    job_open(&j, usual, NULL, true, 9);
    close(open(j.path, O_CREAT | O_WRONLY, 0600));
    list(&j);
    land_all(&j);
    devices(&j);
    commit(&j);
    job_close(&j, 1);
}

/* Written by either way. */
static void commit_or_write(struct job *j, bool staged)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .replace = true, .revertible = true};
    struct gw_error err = GW_ERROR_INIT;

    list(j);
    land_all(j);
    devices(j);
    if ((staged ? gw_image_stage_commit(j->image, &err) : gw_image_write(j->image, j->path, &o, &err)) < 0)
        fail_msg("%s", err.text);
    gw_stage_forget(j->image->stage); /* as when a session ends */
}

/* The session failed after all. */
static void taken_back(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char aside[160], old[8];
    struct job j;
    int fd;

    for (unsigned i = 0; i < 8; i++) {
        bool staged = i & 1, there = i & 2, kept = i & 4;

        job_open_with(&j, usual, &(struct gw_image_write_options){.replace = true, .revertible = true}, 9);
        snprintf(aside, sizeof aside, "%s.undecided", j.path);
        fd = there ? open(j.path, O_CREAT | O_RDWR, 0600) : -1;
        assert_int_equal(there ? write(fd, "mine", 4) : 4, 4);
        assert_int_equal(gw_image_revert(j.image, NULL, &err), -EINVAL);
        commit_or_write(&j, staged);
        assert_int_equal(names(j.folder), 1 + there);
        rig_same(&j.rig, j.path, NULL);
        assert_int_equal(gw_image_revert(j.image, kept ? aside : NULL, &err), 0);
        assert_int_equal(names(j.folder), there + kept);
        assert_int_equal(gw_image_revert(j.image, NULL, &err), -EINVAL);
        if (kept)
            rig_same(&j.rig, aside, NULL);
        if (there) {
            close(fd);
            fd = open(j.path, O_RDONLY);
            assert_int_equal(read(fd, old, sizeof old), 4);
            assert_memory_equal(old, "mine", 4);
            close(fd);
        }
        unlink(aside);
        job_close(&j, there);
    }
}

/* It went well: what was there before goes, when it is packed or at the end. */
static void not_taken_back(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct job j;

    for (unsigned i = 0; i < 2; i++) {
        job_open_with(&j, usual, &(struct gw_image_write_options){.replace = true, .revertible = true}, 9);
        close(open(j.path, O_CREAT | O_WRONLY, 0600));
        commit_or_write(&j, true);
        assert_int_equal(names(j.folder), 2);
        if (i) {
            assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), 0);
            assert_int_equal(names(j.folder), 1);
            assert_int_equal(gw_image_revert(j.image, NULL, &err), -EINVAL);
        }
        rig_same(&j.rig, j.path, NULL);
        job_close(&j, 1);
    }
}

static void wrong_use(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image_write_options o = {.format = GW_IMAGE_STREAM};
    struct gw_image *image;

    assert_int_equal(gw_image_new(NULL, &image, &err), 0);
    assert_int_equal(gw_image_stage(image, "/tmp/x", &o, &err), -EINVAL);
    o.format = GW_IMAGE_PARKED;
    assert_int_equal(gw_image_stage(image, "-", &o, &err), -EINVAL);
    o.compress = "lzop";
    assert_int_equal(gw_image_stage(image, "/tmp/x", &o, &err), -EINVAL);
    o.compress = NULL;
    o.level = 99;
    assert_int_equal(gw_image_stage(image, "/tmp/x", &o, &err), -EINVAL);
    o.level = 0;
    assert_int_equal(gw_image_stage_commit(image, &err), -EINVAL);
    assert_int_equal(gw_image_stage(image, "/tmp/x", &o, &err), 0);
    assert_int_equal(gw_image_stage(image, "/tmp/x", &o, &err), -EBUSY);
    assert_int_equal(gw_image_stage_pack(image, NULL, NULL, &err), -EINVAL);
    gw_image_free(image);
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

static void arrived(struct job *j)
{
    job_open(j, usual, NULL, false, 9);
    list(j);
    land_all(j);
    devices(j);
    commit(j);
}

static void packed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct stat before, after;
    struct job j;

    arrived(&j);
    stat(j.path, &before);
    assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), 0);
    stat(j.path, &after);
    if (gw_pack_known())
        assert_true(after.st_ino != before.st_ino && after.st_size < before.st_size / 2);
    rig_same(&j.rig, j.path, NULL);
    job_close(&j, 1);
}

static bool stop(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    return true;
}

/* Whatever ends it: what is there stays as it is. */
static void not_packed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char aside[160];
    struct job j;
    struct stat st;

    if (!gw_pack_known())
        return;
    arrived(&j);
    assert_int_equal(gw_image_stage_pack(j.image, stop, NULL, &err), -ECANCELED);
    assert_int_equal(names(j.folder), 1);
    rig_same(&j.rig, j.path, NULL);
    snprintf(aside, sizeof aside, "%s.moved", j.path);
    assert_int_equal(rename(j.path, aside), 0);
    assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), -ENOENT);
    assert_int_equal(names(j.folder), 1);
    close(open(j.path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), -EEXIST);
    assert_int_equal(names(j.folder), 2);
    assert_int_equal(stat(j.path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(rename(aside, j.path), 0); /* back: it is the same file */
    assert_int_equal(gw_image_stage_pack(j.image, NULL, NULL, &err), 0);
    rig_same(&j.rig, j.path, NULL);
    job_close(&j, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),  cmocka_unit_test(hot_pages),        cmocka_unit_test(guesses),
        cmocka_unit_test(forgotten),  cmocka_unit_test(no_memory_at_all), cmocka_unit_test(full_disk),
        cmocka_unit_test(wrong_use),  cmocka_unit_test(a_file_is_there),  cmocka_unit_test(packed),
        cmocka_unit_test(not_packed), cmocka_unit_test(taken_back),       cmocka_unit_test(not_taken_back),
    };

    return cmocka_run_group_tests_name("stage", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Pages that go to their places in a file, by one lane or two, again and again, come out of it as they were last; a file that
 * is not whole, or not what it says, is an error.
 */
#include "mapped.h"

#include "ram/store/direct.h"

/* ---- the reading side --------------------------------------------------------------------------------------------- */

static int load(struct side *s, int fd, struct gw_error *err)
{
    struct gw_channel *ch = open_file(fd);
    struct gw_layout_in *in;
    struct gw_store *store;
    struct gw_reader r;
    uint64_t word;
    char name[256];
    int e;

    assert_int_equal(gw_store_direct_new(&s->ram, &store, err), 0);
    assert_int_equal(gw_layout_mapped_in_new(&s->ram, 3, false, &in, err), 0);
    assert_int_equal(gw_reader_init(&r, ch, err), 0);
    e = 0;
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++) {
        e = gw_get_str8(&r, name, err);
        if (e >= 0)
            e = in->list(in, s->ram.blocks[i], s->ram.blocks[i]->used_bytes, &r, err);
    }
    if (e >= 0)
        e = gw_get_u64(&r, &word, err);
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++) {
        assert_int_equal(store->add(store, s->ram.blocks[i], err), 0);
        e = in->add(in, s->ram.blocks[i], err);
    }
    if (e >= 0)
        e = in->get(in, &r, store, err);
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++)
        assert_int_equal(store->missing(store, s->ram.blocks[i]), 0);
    gw_reader_close(&r);
    in->free(in);
    store->free(store);
    gw_channel_free(ch);
    return e;
}

static void test_again_and_again(void **state)
{
    for (unsigned turns = 1; turns < 8; turns += 3) {
        struct gw_error err = GW_ERROR_INIT;
        struct side from, to;
        int fd;

        side_init(&from, 0);
        side_init(&to, 0xa5);
        fd = written(&from, turns);
        assert_int_equal(load(&to, fd, &err), 0);
        for (unsigned i = 0; i < BLOCKS; i++)
            assert_memory_equal(from.mem[i], to.mem[i], block_pages[i] * PAGE);
        close(fd);
        side_close(&from);
        side_close(&to);
    }
}

/* A file, and a side that it can be loaded into. */
static int written_for(struct side *from, struct side *to, uint64_t *ret_bytes)
{
    int fd;

    side_init(from, 0);
    side_init(to, 0);
    fd = written(from, 1);
    *ret_bytes = file_bytes(fd);
    return fd;
}

/* A file that ends too early is an error that says where, at every place where something stands. */
static void test_cut(void **state)
{
    struct side from, to;
    uint64_t bytes;
    int fd = written_for(&from, &to, &bytes);

    for (uint64_t at = bytes - 1;; at -= at > 1200 && at < bytes - 200 ? GW_MIN(at - 1200, 400001u) : 1) {
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(ftruncate(fd, (off_t)at), 0);
        if (load(&to, fd, &err) != -ENODATA || !strstr(err.text, "byte"))
            fail_msg("cut at byte %" PRIu64 ": %s", at, err.text);
        if (!at)
            break;
    }
    close(fd);
    side_close(&from);
    side_close(&to);
}

/* What is in a stream's records has no business in such a file. */
static void test_records(void **state)
{
    static const uint64_t words[] = {GW_RAMF_PAGE, GW_RAMF_ZERO, GW_RAMF_XBZRLE, GW_RAMF_MULTIFD_FLUSH, 0x80, 0x5000};
    struct side from, to;
    uint64_t bytes;
    int fd = written_for(&from, &to, &bytes);

    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t word = htobe64(words[i]);

        assert_int_equal(pwrite(fd, &word, 8, (off_t)bytes - 8), 8);
        if (load(&to, fd, &err) != -EPROTO || err.blame != GW_BLAME_PEER)
            fail_msg("word 0x%" PRIx64 ": %s", words[i], err.text);
    }
    close(fd);
    side_close(&from);
    side_close(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

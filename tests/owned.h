/* SPDX-License-Identifier: MIT
 *
 * owned: what a test has made and not ended yet.
 *
 * A failed assertion leaves a test by longjmp, past all its code that ends things. Whatever a thread of the library may
 * still use (machines, sessions, channels, what callbacks are given as `opaque`) therefore lies on the heap and is put
 * on this list when it is made. The teardown of every test (owned_test) ends what is left, last made first: sessions
 * before the machines that they work on. So no test meets threads or memory of the one before.
 *
 * assert_*() and fail_msg() belong to the thread that runs the test: elsewhere longjmp leaves into a foreign stack. A
 * callback that runs on a thread of the library records what it saw, and the test asserts it.
 *
 * Threads: the test's. Nothing here allocates but owned_memory, so allocations may be made to fail meanwhile.
 */
#ifndef OWNED_H
#define OWNED_H

#include <stddef.h>
#include <stdint.h>

struct gw_channel;
struct gw_recv;
struct gw_send;
struct rig;

/* Puts `what` on the list; returns it. end(what) is called once: by owned_end or by the teardown. */
void *owned(void *what, void (*end)(void *what));
/* Zeroed memory on the list; fails the test when there is none. */
void *owned_memory(size_t bytes);
/* These are cancelled (or yanked when it is too late for that) and freed. A session that does not end even so keeps the
 * program from going on: its threads use memory that cannot be freed. check.py ends it then, and says in which test. */
struct gw_send *owned_send(struct gw_send *send);
struct gw_recv *owned_recv(struct gw_recv *recv);
struct gw_channel *owned_channel(struct gw_channel *channel);
/* A new rig (errors/rig.h), as rig_new makes it. Fails the test when it cannot be made. For programs with rigs_lib. */
struct rig *owned_rig(uint64_t seed, unsigned pages);

/* Ends it now and takes it off the list. NULL: nothing. */
void owned_end(void *what);
/* Somebody else ends it: takes it off the list. */
void owned_forget(void *what);

/* Ends all that is left. For cmocka, as a teardown; returns 0. */
int owned_teardown(void **state);

#define owned_test(test) cmocka_unit_test_teardown(test, owned_teardown)

#endif

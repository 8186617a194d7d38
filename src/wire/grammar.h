/* SPDX-License-Identifier: MIT
 *
 * grammar: the permitted order of elements in a stream. One table: the sender asserts it, the receiver refuses elements
 * by it.
 *
 *     SETUP --START,FULL(early)--> SETUP --PART--> ITERATE --END,FULL,SWITCHOVER_START--> COMPLETE --EOF--> ENDED
 *     SETUP, ITERATE, COMPLETE --PACKAGED--> PACKAGE (a stream of its own) --POSTCOPY_RUN--> POSTCOPY --PART,END--> POSTCOPY
 *     POSTCOPY --EOF--> CLOSED
 *     RECOVER (a stream without head) --RECV_BITMAP--> RECOVER --POSTCOPY_RESUME--> POSTCOPY
 *     ENDED --VMDESC--> DESCRIBED;   ENDED or DESCRIBED --COMMIT,ABORT--> CLOSED
 *
 * The head (magic, version, configuration) comes before SETUP and is not an element.
 */
#ifndef GW_WIRE_GRAMMAR_H
#define GW_WIRE_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

enum gw_grammar { GW_GRAMMAR_SETUP, GW_GRAMMAR_ITERATE, GW_GRAMMAR_COMPLETE, GW_GRAMMAR_ENDED, GW_GRAMMAR_DESCRIBED,
                  GW_GRAMMAR_CLOSED, GW_GRAMMAR_PACKAGE, GW_GRAMMAR_POSTCOPY, GW_GRAMMAR_RECOVER, GW_GRAMMAR_COUNT };

/* Takes one element (and the command's number if it is a command). false: it is not allowed here; *state is
 * unchanged. */
bool gw_grammar_step(enum gw_grammar *state, uint8_t element, uint16_t command);
/* "setup", "iterate", ... for messages. */
const char *gw_grammar_name(enum gw_grammar state);

#endif

/* SPDX-License-Identifier: MIT
 *
 * units: the units of migration parameters, so that values can be read and shown with them: 100M, 300ms.
 */
#ifndef GODWIT_CLI_UNITS_H
#define GODWIT_CLI_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define GW_UNIT_TEXT 48

enum gw_unit { GW_UNIT_NONE, GW_UNIT_BYTES, GW_UNIT_BYTES_PER_S, GW_UNIT_MS, GW_UNIT_PERCENT, GW_UNIT_MB_PER_S };

/* The unit of this parameter; NONE: it has none, or is unknown. */
enum gw_unit gw_unit_of(const char *parameter);
/* "100M", "100 MiB/s", "0.3s", "300 ms"; a number without a unit is used unchanged. false: not a number, too large, or
 * finer than the parameter's unit. */
bool gw_unit_read(enum gw_unit unit, const char *text, uint64_t *ret_value);
/* Describes accepted values: "a time such as 300ms or 2s". */
const char *gw_unit_expected(enum gw_unit unit);
/* Formats the exact value, as "100 MiB/s" or "1500 ms". Returns buf. */
const char *gw_unit_print(enum gw_unit unit, uint64_t value, char buf[GW_UNIT_TEXT]);

#endif

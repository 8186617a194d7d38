/* SPDX-License-Identifier: MIT
 *
 * report_rows: copies settings, figures and totals from QMP's answers into a report.
 */
#ifndef GODWIT_CLI_REPORT_ROWS_H
#define GODWIT_CLI_REPORT_ROWS_H

#include <jansson.h>

#include "report.h"

/* From query-migrate-capabilities and query-migrate-parameters; NULL: not known, which is noted. */
void gw_report_settings(struct gw_report *r, const json_t *capabilities, const json_t *parameters);
/* last: the last answer of query-migrate with figures of memory (NULL: there was none); info: the last one of all, may be the same.
 * took_ms: measured by the client, used if neither has the time. */
void gw_report_totals(struct gw_report *r, const json_t *last, const json_t *info, double took_ms);

#endif

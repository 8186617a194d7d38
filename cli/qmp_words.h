/* SPDX-License-Identifier: MIT
 *
 * qmp_words: arguments of a QMP command, written as words of a command line.
 *
 *     id=disk0 size=4096 readonly=true file.driver=host_device list:=[1,2]
 *
 * key=value: numbers, true and false have their JSON type, everything else is a string. key:=JSON: the value is JSON. A
 * dot in the key selects a member of an object.
 *
 * Pure. Any thread.
 */
#ifndef GODWIT_CLI_QMP_WORDS_H
#define GODWIT_CLI_QMP_WORDS_H

#include <jansson.h>

#define GW_QMP_WORDS_WHY 300

/* *ret_args: a new object; NULL for no words. 0, or -1 with the reason in why. */
int gw_qmp_words(int count, char *const *words, json_t **ret_args, char why[GW_QMP_WORDS_WHY]);

#endif

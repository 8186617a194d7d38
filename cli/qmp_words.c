/* SPDX-License-Identifier: MIT */
#include "qmp_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "large.h"

#define KEY_MAX 256u

/* A number in JSON syntax only: no +, no leading zeros, no blanks. */
static bool is_number(const char *s)
{
    size_t n;

    s += *s == '-';
    n = strspn(s, "0123456789");
    if (!n || (n > 1 && *s == '0'))
        return false;
    s += n;
    if (*s == '.') {
        n = strspn(++s, "0123456789");
        s += n;
        if (!n)
            return false;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        n = strspn(s, "0123456789");
        s += n;
        if (!n)
            return false;
    }
    return !*s;
}

static json_t *load(const char *text, json_error_t *ret_wrong)
{
    return gw_large_load(text, strlen(text), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, ret_wrong);
}

static json_t *guess(const char *text)
{
    json_error_t wrong;

    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return json_boolean(*text == 't');
    return is_number(text) ? load(text, &wrong) : json_string(text);
}

/* Stores value at the path `key`. Takes value. */
static int put(json_t *object, const char *key, json_t *take_value, char *why)
{
    char part[KEY_MAX];
    size_t n;

    for (const char *rest = key;; rest += n + 1) {
        json_t *inner;

        n = strcspn(rest, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, rest);
        if (!n) {
            snprintf(why, GW_QMP_WORDS_WHY, "'%.200s': a name is empty", key);
            break;
        }
        inner = json_object_get(object, part);
        if (!rest[n] && !inner)
            return json_object_set_new(object, part, take_value);
        if (!rest[n] || (inner && !json_is_object(inner))) {
            snprintf(why, GW_QMP_WORDS_WHY, "'%.200s' is given twice, or in two ways", key);
            break;
        }
        if (!inner && json_object_set_new(object, part, inner = json_object()) < 0) {
            snprintf(why, GW_QMP_WORDS_WHY, "'%.200s' is no text in UTF-8", key);
            break;
        }
        object = inner;
    }
    json_decref(take_value);
    return -1;
}

static int add(json_t *object, const char *word, char *why)
{
    size_t n = strcspn(word, "=");
    bool json = n && word[n] && word[n - 1] == ':';
    size_t bytes = json ? n - 1 : n;
    json_error_t wrong = {.text = "out of memory"};
    char key[KEY_MAX];
    json_t *value;

    if (!word[n] || !bytes || bytes >= sizeof key) {
        snprintf(why, GW_QMP_WORDS_WHY, "'%.200s' is not KEY=VALUE or KEY:=JSON", word);
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)bytes, word);
    value = json ? load(word + n + 1, &wrong) : guess(word + n + 1);
    if (!value) {
        if (json)
            snprintf(why, GW_QMP_WORDS_WHY, "'%.100s' is not JSON: %.100s", word, wrong.text);
        else
            snprintf(why, GW_QMP_WORDS_WHY, "'%.200s' is no text in UTF-8, or too large a number", word);
        return -1;
    }
    snprintf(why, GW_QMP_WORDS_WHY, "'%.200s' is no text in UTF-8", key);
    return put(object, key, value, why);
}

int gw_qmp_words(int count, char *const *words, json_t **ret_args, char why[GW_QMP_WORDS_WHY])
{
    json_t *object = count > 0 ? json_object() : NULL;
    json_error_t wrong;

    *ret_args = NULL;
    why[0] = 0;
    if (count == 1 && words[0][strspn(words[0], " \t\r\n")] == '{') { /* one word with all arguments as JSON */
        json_decref(object);
        object = gw_large_load(words[0], strlen(words[0]), JSON_REJECT_DUPLICATES, &wrong);
        if (!json_is_object(object))
            snprintf(why, GW_QMP_WORDS_WHY, "the arguments are not a JSON object: %.200s", object ? words[0] : wrong.text);
    } else {
        for (int i = 0; i < count; i++)
            if (add(object, words[i], why) < 0)
                break;
            else
                why[0] = 0;
    }
    if (why[0]) {
        json_decref(object);
        return -1;
    }
    *ret_args = object;
    return 0;
}

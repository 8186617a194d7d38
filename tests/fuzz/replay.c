/* SPDX-License-Identifier: MIT
 *
 * A fuzz target without a fuzzer: replay FILE-OR-FOLDER... runs it on what is there, in a normal build. Of what lies in a folder
 * `accept` or `reject` the target must say just that (verdict.h). A folder in which nothing is fails.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "verdict.h"

#define LONGEST (1u << 22)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOTHING, ACCEPTED, REFUSED, UNTRIED };
static int said;

void fuzz_verdict(bool accepted)
{
    said = accepted ? ACCEPTED : REFUSED;
}

void fuzz_untried(void)
{
    said = UNTRIED;
}

static bool ends(const char *path, const char *with)
{
    size_t n = strlen(path), k = strlen(with);

    return n >= k && !strcmp(path + n - k, with);
}

static int file(const char *path, int expected)
{
    static const char *const words[] = {"nothing", "accepted", "refused", "untried"};
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(LONGEST + 1), *fitted;
    size_t n;

    if (!f || !data) {
        perror(path);
        return 1;
    }
    n = fread(data, 1, LONGEST + 1, f);
    fclose(f);
    if (n > LONGEST) {
        fprintf(stderr, "%s: longer than %u bytes\n", path, LONGEST);
        return 1;
    }
    /* Of the right size, so that a read behind it is seen. */
    fitted = realloc(data, n ? n : 1);
    fprintf(stderr, "%s (%zu bytes)\n", path, n);
    said = NOTHING;
    LLVMFuzzerTestOneInput(fitted, n);
    free(fitted);
    if (!expected || said == expected || said == UNTRIED)
        return 0;
    fprintf(stderr, "%s: %s, and should be %s\n", path, words[said], words[expected]);
    return 1;
}

static int folder(const char *path, unsigned *ret_count)
{
    int r = 0, expected = ends(path, "/accept") ? ACCEPTED : ends(path, "/reject") ? REFUSED : NOTHING;
    DIR *d = opendir(path);
    struct dirent *e;
    char name[4096];

    if (!d) {
        perror(path);
        return 1;
    }
    *ret_count = 0;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || (expected && ends(e->d_name, ".txt")))
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        r |= file(name, expected);
        ++*ret_count;
    }
    closedir(d);
    if (!*ret_count)
        fprintf(stderr, "%s: nothing is in it\n", path);
    return r || !*ret_count;
}

int main(int argc, char **argv)
{
    unsigned done = 0;
    int r = 0;

    for (int i = 1; i < argc; i++) {
        unsigned n = 1;
        struct stat st;

        if (stat(argv[i], &st)) {
            perror(argv[i]);
            r = 1;
            continue;
        }
        r |= S_ISDIR(st.st_mode) ? folder(argv[i], &n) : file(argv[i], NOTHING);
        done += n;
    }
    printf("%u replayed\n", done);
    return r || !done;
}

/* SPDX-License-Identifier: MIT
 *
 * A fuzz target without a fuzzer: replay FILE-OR-FOLDER... runs it on what is there, in a normal build.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned done;

static int file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(1 << 22);
    size_t n;

    if (!f || !data) {
        perror(path);
        return 1;
    }
    n = fread(data, 1, 1 << 22, f);
    fclose(f);
    /* Of the right size, so that a read behind it is seen. */
    data = realloc(data, n ? n : 1);
    fprintf(stderr, "%s (%zu bytes)\n", path, n);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    done++;
    return 0;
}

static int folder(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char name[4096];
    int r = 0;

    if (!d) {
        perror(path);
        return 1;
    }
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        r |= file(name);
    }
    closedir(d);
    return r;
}

int main(int argc, char **argv)
{
    int r = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st)) {
            perror(argv[i]);
            r = 1;
        } else {
            r |= S_ISDIR(st.st_mode) ? folder(argv[i]) : file(argv[i]);
        }
    }
    printf("%u replayed\n", done);
    return r || !done;
}

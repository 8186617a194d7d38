/* SPDX-License-Identifier: MIT
 *
 * The command line of none_vm.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "none_vm.h"

static uint64_t size_of(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 0);
    switch (*end) {
    case 'G':
        v <<= 10; /* fall through */
    case 'M':
        v <<= 10; /* fall through */
    case 'K':
        v <<= 10;
    }
    return v;
}

static void parse_uuid(const char *text, uint8_t uuid[16])
{
    unsigned n = 0;
    for (; *text && n < 32; text++) {
        const char *digits = "0123456789abcdef", *d = strchr(digits, *text | 0x20);
        if (*text != '-' && d) {
            uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | (d - digits));
            n++;
        }
    }
}

static bool parse_block(struct machine *m, char *text) /* SIZE[,name=N][,file=PATH|,private][,behind=BYTES of nothing] */
{
    if (m->blocks == BLOCKS_MAX)
        return false;
    struct block *b = &m->block[m->blocks++];
    snprintf(b->name, sizeof(b->name), "r");
    char *save, *word = strtok_r(text, ",", &save);
    b->bytes = word ? size_of(word) : 0;
    while ((word = strtok_r(NULL, ",", &save))) {
        if (!strncmp(word, "name=", 5))
            snprintf(b->name, sizeof(b->name), "%s", word + 5);
        else if (!strncmp(word, "file=", 5))
            b->file = word + 5;
        else if (!strcmp(word, "private"))
            b->private = true;
        else if (!strncmp(word, "behind=", 7))
            b->gpa = size_of(word + 7);
        else
            return false;
    }
    return b->bytes > 0;
}

int request_usage(void)
{
    fprintf(stderr, "usage: none_vm [--memory SIZE[,name=N][,file=PATH|,private][,behind=SIZE]]... [--image NAME=FILE]... [--load FILE] [--dump FILE] [--machine NAME]\n"
                    "               [--uuid UUID] [--peer 7.2|10.0|godwit] [--capability NAME[=off]]... [--parameter N=V]...\n"
                    "               [--tracker auto|pagemap|explicit] [--rate PAGES_PER_S] [--set SIZE] [--paused] [--stay]\n"
                    "               [--disk D:N:SIZE]... [--bitmap D:NAME:GRANULARITY]... [--wrote D:AT:BYTES]... [--map D:A:B:A]...\n"
                    "               [--without PARTS] [--timeout-ms N] [--hello-ms N] send URI | recv URI | save FILE | load FILE\n");
    return 2;
}

bool request_parse(int argc, char **argv, struct machine *m, struct request *q)
{
    static const struct option options[] = {
        {"memory", 1, 0, 'm'},  {"load", 1, 0, 'l'},      {"dump", 1, 0, 'd'},       {"machine", 1, 0, 'M'},
        {"uuid", 1, 0, 'u'},    {"peer", 1, 0, 'p'},      {"capability", 1, 0, 'c'}, {"parameter", 1, 0, 'P'},
        {"tracker", 1, 0, 't'}, {"rate", 1, 0, 'r'},      {"set", 1, 0, 's'},        {"paused", 0, 0, 'S'},
        {"stay", 0, 0, 'y'},    {"timeout-ms", 1, 0, 'T'}, {"hello-ms", 1, 0, 'H'}, {"without", 1, 0, 'w'},
        {"disk", 1, 0, DISK_OPTION}, {"bitmap", 1, 0, BITMAP_OPTION}, {"wrote", 1, 0, WROTE_OPTION}, {"map", 1, 0, MAP_OPTION}, {"image", 1, 0, 'i'},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (c) {
        case 'm':
            if (!parse_block(m, optarg))
                return false;
            break;
        case 'i':
            if (!image_parse(m, optarg))
                return false;
            break;
        case 'l':
            q->load = optarg;
            break;
        case 'd':
            q->dump = optarg;
            break;
        case 'M':
            q->machine = optarg;
            break;
        case 'u':
            parse_uuid(optarg, q->uuid);
            break;
        case 'p':
            q->peer = optarg;
            break;
        case 'c':
            if (q->cap_count == 32)
                return false;
            q->caps[q->cap_count++] = optarg;
            break;
        case 'P':
            if (q->param_count == 32)
                return false;
            q->params[q->param_count++] = optarg;
            break;
        case 't':
            m->tracker = !strcmp(optarg, "auto")      ? GW_TRACKER_AUTO
                         : !strcmp(optarg, "pagemap") ? GW_TRACKER_PAGEMAP
                                                      : GW_TRACKER_EXPLICIT;
            break;
        case 'r':
            m->rate_pages = size_of(optarg);
            break;
        case 's':
            m->set_pages = size_of(optarg) / PAGE;
            break;
        case 'S':
            q->paused = true;
            break;
        case 'y':
            q->stay = true;
            break;
        case 'w':
            q->without = (unsigned)size_of(optarg);
            break;
        case DISK_OPTION:
        case BITMAP_OPTION:
        case WROTE_OPTION:
        case MAP_OPTION:
            if (q->disk_words == WORDS_MAX)
                return false;
            q->disk_word[q->disk_words].option = c;
            q->disk_word[q->disk_words++].text = optarg;
            break;
        case 'T':
            q->timeout_ns = size_of(optarg) * 1000000;
            break;
        case 'H':
            q->hello_ns = size_of(optarg) * 1000000;
            break;
        default:
            return false;
        }
    }
    if (argc - optind != 2)
        return false;
    q->save = !strcmp(argv[optind], "save");
    q->alone = q->save || !strcmp(argv[optind], "load");
    if (!q->alone && strcmp(argv[optind], "send") && strcmp(argv[optind], "recv"))
        return false;
    q->send = !strcmp(argv[optind], "send");
    q->uri = argv[optind + 1];
    if (!m->blocks)
        m->block[m->blocks++] = (struct block){.name = "r", .bytes = 16u << 20};
    if (!m->set_pages || m->set_pages > m->block[0].bytes / PAGE)
        m->set_pages = m->block[0].bytes / PAGE;
    return true;
}

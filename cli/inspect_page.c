/* SPDX-License-Identifier: MIT
 *
 * The page is made from the result of `inspect --json` and the map of RAM. It has no scripts and loads nothing; it is
 * also well-formed XML.
 */
#include "inspect_page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "report.h"
#include "svg.h"

#define DRAWN 12u /* blocks drawn as pictures */
#define BARS  16u /* devices with a bar */
#define ROWS  2000u /* rows of a table */

static const char *text_of(const json_t *o, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : otherwise;
}

static double number_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* ---- totals ------------------------------------------------------------------------------------------------------ */

struct totals {
    double ram, kind[GW_RAM_KINDS], state; /* bytes */
    size_t blocks, devices;
};

static struct totals add_up(const struct gw_inspect_page *p)
{
    const json_t *blocks = json_object_get(json_object_get(p->told, "ram"), "blocks"), *devices = json_object_get(p->told, "devices");
    struct totals t = {.blocks = json_array_size(blocks), .devices = json_array_size(devices)};

    for (size_t i = 0; i < t.blocks; i++)
        t.ram += number_of(json_array_get(blocks, i), "bytes");
    for (size_t i = 0; i < t.devices; i++)
        t.state += number_of(json_array_get(devices, i), "bytes");
    for (unsigned i = 0; p->ram && i < gw_image_blocks(p->image); i++)
        for (unsigned k = 0; k < GW_RAM_KINDS; k++)
            t.kind[k] += (double)gw_ram_map_bytes(p->ram, i, k);
    return t;
}

static const char *percent(char buf[GW_HUMAN], double part, double of)
{
    snprintf(buf, GW_HUMAN, "%.1f %%", of > 0 ? 100 * part / of : 0);
    return buf;
}

static void put_tiles(FILE *to, const struct gw_inspect_page *p, const struct totals *t)
{
    double filled = t->kind[GW_RAM_IS_DATA] + t->kind[GW_RAM_IS_SHARED];
    char value[GW_HUMAN], more[100], a[GW_HUMAN], b[GW_HUMAN];

    fputs("<dl class=\"tiles\">\n", to);
    snprintf(more, sizeof more, "in %zu block%s", t->blocks, t->blocks == 1 ? "" : "s");
    gw_page_tile(to, "RAM", gw_human_bytes(value, t->ram), more);
    snprintf(more, sizeof more, "%s of RAM, %s shared by pages", percent(a, filled, t->ram), gw_human_bytes(b, t->kind[GW_RAM_IS_SHARED]));
    gw_page_tile(to, "Contents", p->ram ? gw_human_bytes(value, filled) : "not known", p->ram ? more : "");
    snprintf(more, sizeof more, "%s of RAM", percent(a, t->kind[GW_RAM_IS_ZERO], t->ram));
    gw_page_tile(to, "Zeros", p->ram ? gw_human_bytes(value, t->kind[GW_RAM_IS_ZERO]) : "not known", p->ram ? more : "");
    snprintf(value, sizeof value, "%zu", t->devices);
    snprintf(more, sizeof more, "%s of state", gw_human_bytes(a, t->state));
    gw_page_tile(to, "Devices", value, more);
    fputs("</dl>\n", to);
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

static void put_legend(FILE *to, const struct totals *t)
{
    fputs("<ul class=\"legend\"><li><i class=\"z\"></i>zeros</li>"
          "<li><i class=\"e0\"></i>contents, below 1 bit of entropy for a byte</li><li><i class=\"e1\"></i>1 to 3</li>"
          "<li><i class=\"e2\"></i>3 to 5</li><li><i class=\"e3\"></i>5 to 7</li><li><i class=\"e4\"></i>7 to 8: packed or encrypted</li>"
          "<li><i class=\"sh\"></i>mostly contents that several pages have</li>",
          to);
    if (t->kind[GW_RAM_IS_MISSING] > 0)
        fputs("<li><i class=\"mi\"></i>partly missing</li>", to);
    fputs("</ul><p class=\"soft\">Squares of which less than half has contents are paler.</p>\n", to);
}

static void put_picture(FILE *to, const struct gw_inspect_page *p, unsigned block)
{
    double all = (double)gw_image_block_bytes(p->image, block), wide, narrow;
    char a[GW_HUMAN], b[GW_HUMAN];

    gw_page_put(to, "<h3>", gw_image_block_name(p->image, block), "");
    fprintf(to, " <span>%s", gw_human_bytes(a, all));
    if ((double)gw_ram_map_bytes(p->ram, block, GW_RAM_IS_ZERO) >= all) {
        fputs(", all zeros</span></h3>\n", to);
        return;
    }
    fputs("</span></h3>\n<figure>", to);
    wide = gw_inspect_squares(to, p, block, GW_PAGE_WIDE, "wide");
    narrow = gw_inspect_squares(to, p, block, GW_PAGE_NARROW, "narrow");
    fprintf(to, "<figcaption>A square is %s%s%s%s.</figcaption></figure>\n", gw_human_bytes(a, wide), narrow != wide ? ", on a narrow page " : "",
            narrow != wide ? gw_human_bytes(b, narrow) : "", "");
}

/* The next largest block after `than`; blocks of equal size in their order. */
static bool next_block(const struct gw_inspect_page *p, bool first, unsigned than, unsigned *ret)
{
    uint64_t limit = first ? 0 : gw_image_block_bytes(p->image, than), best = 0;
    bool found = false;

    for (unsigned i = 0; i < gw_image_blocks(p->image); i++) {
        uint64_t bytes = gw_image_block_bytes(p->image, i);

        if ((first || bytes < limit || (bytes == limit && i > than)) && (!found || bytes > best)) {
            found = true;
            best = bytes;
            *ret = i;
        }
    }
    return found;
}

static void put_ram_table(FILE *to, const struct gw_inspect_page *p)
{
    unsigned count = gw_image_blocks(p->image);
    char a[GW_HUMAN];

    fputs("<details><summary>Each block in figures</summary><div class=\"scroll\"><table><thead><tr><th>block</th><th class=\"n\">size</th>", to);
    for (unsigned k = 0; k < GW_RAM_KINDS; k++)
        fprintf(to, "<th class=\"n\">%s</th>", gw_ram_kind_name(k));
    fputs("</tr></thead><tbody>\n", to);
    for (unsigned i = 0; i < count && i < ROWS; i++) {
        gw_page_put(to, "<tr><td>", gw_image_block_name(p->image, i), "</td>");
        fprintf(to, "<td class=\"n\">%s</td>", gw_human_bytes(a, (double)gw_image_block_bytes(p->image, i)));
        for (unsigned k = 0; k < GW_RAM_KINDS; k++)
            fprintf(to, "<td class=\"n\">%s</td>", gw_human_bytes(a, (double)gw_ram_map_bytes(p->ram, i, k)));
        fputs("</tr>\n", to);
    }
    fputs("</tbody></table></div></details>\n", to);
}

static void put_ram(FILE *to, const struct gw_inspect_page *p, const struct totals *t)
{
    unsigned block = 0, drawn = 0;

    fputs("<h2>Map of RAM</h2>\n", to);
    if (!p->ram) {
        gw_page_put(to, "<p class=\"soft way\">There is none: ", p->why, ".</p>\n");
        return;
    }
    put_legend(to, t);
    for (; drawn < DRAWN && next_block(p, !drawn, block, &block); drawn++)
        put_picture(to, p, block);
    if (gw_image_blocks(p->image) > drawn)
        fprintf(to, "<p class=\"soft\">And %u smaller blocks, which are in the table.</p>\n", gw_image_blocks(p->image) - drawn);
    put_ram_table(to, p);
    if (t->kind[GW_RAM_IS_DATA] + t->kind[GW_RAM_IS_SHARED] <= 0)
        return;
    fputs("<h2>Entropy of the pages</h2>\n<figure>", to);
    gw_inspect_histogram(to, p->ram, GW_PAGE_WIDE, "wide");
    gw_inspect_histogram(to, p->ram, GW_PAGE_NARROW, "narrow");
    fputs("<figcaption>Pages with contents, by the entropy of their bytes. Text and code have 4 to 6 bits, what is packed or encrypted "
          "nearly 8.</figcaption></figure>\n",
          to);
}

/* ---- devices, bytes ---------------------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    double x = ((const struct gw_inspect_bar *)a)->bytes, y = ((const struct gw_inspect_bar *)b)->bytes;

    return (x < y) - (x > y);
}

/* Largest first. NULL: none, or no memory. */
static struct gw_inspect_bar *sorted_devices(const json_t *devices, size_t count)
{
    struct gw_inspect_bar *bars = count ? calloc(count, sizeof *bars) : NULL;

    for (size_t i = 0; bars && i < count; i++) {
        const json_t *d = json_array_get(devices, i);
        const char *name = text_of(d, "name", ""), *slash = strrchr(name, '/');

        bars[i] = (struct gw_inspect_bar){slash && slash[1] ? slash + 1 : name, number_of(d, "bytes")};
    }
    if (bars)
        qsort(bars, count, sizeof *bars, by_bytes);
    return bars;
}

static void put_device_table(FILE *to, const json_t *devices, size_t count)
{
    fputs("<details><summary>Each device</summary><div class=\"scroll\"><table><thead><tr><th>name</th><th class=\"n\">instance</th>"
          "<th class=\"n\">version</th><th class=\"n\">bytes</th></tr></thead><tbody>\n",
          to);
    for (size_t i = 0; i < count && i < ROWS; i++) {
        const json_t *d = json_array_get(devices, i);

        gw_page_put(to, "<tr><td>", text_of(d, "name", ""), "</td>");
        fprintf(to, "<td class=\"n\">%.0f</td><td class=\"n\">%.0f</td><td class=\"n\">%.0f</td></tr>\n", number_of(d, "instance"),
                number_of(d, "version"), number_of(d, "bytes"));
    }
    fputs("</tbody></table></div></details>\n", to);
    if (count > ROWS)
        fprintf(to, "<p class=\"soft\">And %zu more.</p>\n", count - ROWS);
}

static void put_devices(FILE *to, const struct gw_inspect_page *p)
{
    const json_t *devices = json_object_get(p->told, "devices");
    size_t count = json_array_size(devices), shown = count < BARS ? count : BARS;
    struct gw_inspect_bar *bars = sorted_devices(devices, count);
    double rest = 0;
    char a[GW_HUMAN];

    fputs("<h2>Devices by the size of their state</h2>\n", to);
    if (!bars) {
        fputs("<p class=\"soft\">There are none.</p>\n", to);
        return;
    }
    for (size_t i = shown; i < count; i++)
        rest += bars[i].bytes;
    fputs("<figure>", to);
    gw_inspect_bars(to, bars, shown, "Devices by the size of their state", GW_PAGE_WIDE, "wide");
    gw_inspect_bars(to, bars, shown, "Devices by the size of their state", GW_PAGE_NARROW, "narrow");
    if (count > shown)
        fprintf(to, "<figcaption>The other %zu have %s together.</figcaption>", count - shown, gw_human_bytes(a, rest));
    fputs("</figure>\n", to);
    put_device_table(to, devices, count);
    free(bars);
}

static void put_causes(FILE *to, const struct gw_inspect_page *p)
{
    struct gw_report_split split = {.count = 0};
    struct gw_inspect_bar bars[64];
    char names[64][48];
    size_t count = 0;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)json_object_get(p->told, "bytes_by_cause"), key, value) {
        if (count == 64)
            break;
        snprintf(names[count], sizeof names[0], "%s", key);
        for (char *c = names[count]; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        bars[count] = (struct gw_inspect_bar){names[count], json_number_value(value)};
        count++;
    }
    qsort(bars, count, sizeof bars[0], by_bytes);
    for (size_t i = 0; i < count; i++)
        gw_report_split_add(&split, bars[i].name, bars[i].bytes);
    gw_page_bar(to, &split, "Where the bytes go", gw_report_bytes, GW_PAGE_WIDE);
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

static void add_text(struct gw_report_rows *rows, const json_t *o, const char *key, const char *name)
{
    if (json_object_get(o, key))
        gw_report_add(rows, name, text_of(o, key, ""), NULL);
}

static void add_source(struct gw_report_rows *rows, const json_t *source)
{
    char text[200];
    const char *least = text_of(source, "at_least", NULL), *before = text_of(source, "before", NULL);

    if (!source)
        return;
    snprintf(text, sizeof text, "%s%s%s%s%s", text_of(source, "program", ""), least ? " " : "", least ? least : "", least ? " or later" : "",
             before ? ", before " : "");
    if (before)
        strncat(text, before, sizeof text - strlen(text) - 1);
    gw_report_add(rows, "Written by", text, NULL);
    for (size_t i = 0; i < json_array_size(json_object_get(source, "because")); i++)
        gw_report_add(rows, i ? "" : "Seen by", json_string_value(json_array_get(json_object_get(source, "because"), i)), NULL);
}

static void add_named(struct gw_report_rows *rows, const json_t *list, const char *what)
{
    char name[600], value[200];

    for (size_t i = 0; i < json_array_size(list) && i < 100; i++) {
        const json_t *one = json_array_get(list, i);

        snprintf(name, sizeof name, "%s %s%s%s", what, text_of(one, "node", ""), json_object_get(one, "node") ? "/" : "", text_of(one, "name", ""));
        if (json_object_get(one, "data_chunks"))
            snprintf(value, sizeof value, "%.0f MiB with data, %.0f MiB zero", number_of(one, "data_chunks"), number_of(one, "zero_chunks"));
        else
            snprintf(value, sizeof value, "one bit for %.0f bytes, %s", number_of(one, "granularity_bytes"),
                     json_is_true(json_object_get(one, "enabled")) ? "enabled" : "disabled");
        gw_report_add(rows, name, value, NULL);
    }
}

static bool put_facts(FILE *to, const struct gw_inspect_page *p)
{
    const json_t *capabilities = json_object_get(p->told, "capabilities");
    struct gw_report facts;
    char value[100], a[GW_HUMAN];
    bool good;

    gw_report_init(&facts);
    gw_report_add(&facts.figures, "File", p->title, NULL);
    add_text(&facts.figures, p->told, "file", "Kind of file");
    add_text(&facts.figures, p->told, "compressed", "Compressed with");
    add_text(&facts.figures, p->told, "kind", "Kind of stream");
    snprintf(value, sizeof value, "%.0f bytes", number_of(p->told, "bytes"));
    gw_report_add(&facts.figures, "Size", value, gw_human_bytes(a, number_of(p->told, "bytes")));
    add_text(&facts.figures, p->told, "machine", "Machine");
    add_source(&facts.figures, json_object_get(p->told, "source"));
    add_text(&facts.figures, p->told, "run_state", "Run state");
    add_text(&facts.figures, p->told, "uuid", "UUID");
    snprintf(value, sizeof value, "%.0f bytes", number_of(p->told, "page_bytes"));
    gw_report_add(&facts.figures, "Page", value, NULL);
    for (size_t i = 0; i < json_array_size(capabilities); i++)
        gw_report_add(&facts.figures, i ? "" : "Capabilities", json_string_value(json_array_get(capabilities, i)), NULL);
    add_named(&facts.figures, json_object_get(p->told, "disks"), "Disk");
    add_named(&facts.figures, json_object_get(p->told, "dirty_bitmaps"), "Dirty bitmap");
    fputs("<h2>Facts</h2>\n", to);
    gw_page_rows(to, &facts.figures);
    good = !facts.figures.failed;
    gw_report_fini(&facts);
    return good;
}

bool gw_inspect_page(FILE *to, const struct gw_inspect_page *p)
{
    struct totals t = add_up(p);
    char first[400], second[100], a[GW_HUMAN];
    bool good;

    snprintf(first, sizeof first, "Machine %s with %s of RAM", text_of(p->told, "machine", "of no name"), gw_human_bytes(a, t.ram));
    snprintf(second, sizeof second, p->ram ? "%s of it with contents" : "%s of device state",
             gw_human_bytes(a, p->ram ? t.kind[GW_RAM_IS_DATA] + t.kind[GW_RAM_IS_SHARED] : t.state));
    gw_page_begin(to, gw_inspect_style, first, second);
    gw_page_put(to, "<p class=\"soft way\">", p->title, "</p>\n");
    if (text_of(p->told, "error", NULL))
        gw_page_put(to, "<p class=\"why\">", text_of(p->told, "error", ""), "</p>\n");
    if (number_of(p->told, "lacking_bytes") > 0)
        fprintf(to, "<p class=\"why\">%s of its memory was not received. `godwit salvage` can complete it.</p>\n",
                gw_human_bytes(a, number_of(p->told, "lacking_bytes")));
    put_tiles(to, p, &t);
    put_ram(to, p, &t);
    put_devices(to, p);
    put_causes(to, p);
    good = put_facts(to, p);
    fputs("</main></body></html>\n", to);
    return !ferror(to) && good;
}

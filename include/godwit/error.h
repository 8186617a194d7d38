/* SPDX-License-Identifier: MIT
 *
 * error: what went wrong, where, and whose fault it is.
 *
 * Every function of the library that can fail returns 0 (or a count) or a negative errno, and takes as its last
 * argument a `struct gw_error *` which may be NULL. The error is filled once, where the failure is detected; each layer
 * above adds its context (`gw_context`). The library never prints, never exits and never allocates for an error.
 *
 * Threads: a struct gw_error belongs to the caller; the functions touch nothing else.
 */
#ifndef GODWIT_ERROR_H
#define GODWIT_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GW_API __attribute__((visibility("default")))
#define GW_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define GW_ERROR_TEXT 512

/* The blame decides what happens next: a lost channel can be replaced, a peer that breaks the protocol cannot. */
enum gw_blame {
    GW_BLAME_NONE = 0,
    GW_BLAME_CALLER,   /* an argument or a call in the wrong state */
    GW_BLAME_LOCAL,    /* this host: memory, kernel features, a file */
    GW_BLAME_CHANNEL,  /* the connection: closed, reset, timed out */
    GW_BLAME_PEER,     /* the other side broke the protocol or reported a failure */
    GW_BLAME_EMBEDDER, /* a callback of the program that embeds the library */
};

struct gw_error {
    int code; /* negative errno, 0 when there is no error */
    enum gw_blame blame;
    char text[GW_ERROR_TEXT]; /* one line, no newline at the end, cut if longer */
};

#define GW_ERROR_INIT {0, GW_BLAME_NONE, ""}

/* Fills *err (if any) and returns code, so that `return gw_fail(...)` is the idiom. code is a negative errno. */
GW_API int gw_fail(struct gw_error *err, int code, enum gw_blame blame, const char *fmt, ...) GW_PRINTF(4, 5);
#ifdef __clang_analyzer__ /* tells the analyzer that gw_fail returns code */
#define gw_fail(err, code, ...) (gw_fail((err), (code), __VA_ARGS__), (code))
#endif
GW_API int gw_failv(struct gw_error *err, int code, enum gw_blame blame, const char *fmt, va_list ap);

/* Writes text to buf as one line that is safe to print on a terminal: control characters (also newlines, and U+0080 to
 * U+009F) and bytes that are not UTF-8 become \xNN. Use it to show text that comes from a file, a peer or a monitor. Cut to
 * size; returns buf. Errors, traces and log lines of the library are safe already. */
GW_API char *gw_printable(const char *text, char *buf, size_t size);

/* Puts "<fmt>: " before the text of the error. The usual form is `gw_context(err, ...); return r;`. */
GW_API void gw_context(struct gw_error *err, const char *fmt, ...) GW_PRINTF(2, 3);

/* "caller", "local", "channel", "peer", "embedder" or "none". */
GW_API const char *gw_blame_name(enum gw_blame blame);

#ifdef __cplusplus
}
#endif
#endif

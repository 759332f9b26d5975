#ifndef PARLEY_CZLIB_H
#define PARLEY_CZLIB_H

#include <zlib.h>

/* Swift does not import macros that call functions. */
static inline int parley_deflate_open(z_stream *stream, int level, int window_bits) {
    return deflateInit2(stream, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
}
static inline int parley_inflate_open(z_stream *stream, int window_bits) { return inflateInit2(stream, window_bits); }

#endif

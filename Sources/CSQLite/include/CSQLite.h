#ifndef PARLEY_CSQLITE_H
#define PARLEY_CSQLITE_H

#include <sqlite3.h>

/* Swift does not import macros that cast. */
static inline int parley_bind_blob(sqlite3_stmt *statement, int index, const void *octets, int count) {
    return sqlite3_bind_blob(statement, index, octets, count, SQLITE_TRANSIENT);
}
static inline int parley_bind_text(sqlite3_stmt *statement, int index, const char *text, int count) {
    return sqlite3_bind_text(statement, index, text, count, SQLITE_TRANSIENT);
}

#endif

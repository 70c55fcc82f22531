
/*
 * RFC 8259 once more, by recursion and byte by byte, to compare the module's
 * parser with: it shares no line with it.
 */

#ifndef STRICT_H
#define STRICT_H


#include <stddef.h>


/*
 * 1 if the text is one JSON value in UTF-8, with white space around it, in
 * which at most `depth` arrays and objects are open at a time; escapes of
 * lone surrogates are refused.  Else 0.
 */
int strict_json(const unsigned char *text, size_t len, size_t depth);

/* 1 if the bytes are UTF-8, else 0 */
int strict_utf8(const unsigned char *text, size_t len);


#endif /* STRICT_H */

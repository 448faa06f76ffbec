/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Bytes of heads as tables: what is read next, by what has been read and the byte. The classes of bytes are those of RFC 9110 and 9112, as
 * src/proxy/http1/bytes.ts has them.
 */
#pragma once

#include "base.h"

/* Where in a head the next byte is. */
enum http_place {
	HTTP_AT_FAULT = 0,	/* what no row names leads here */
	HTTP_AT_START,		/* of a message, or of an empty line before it */
	HTTP_AT_EMPTY,		/* behind the CR of an empty line */
	HTTP_IN_METHOD,
	HTTP_AT_TARGET,
	HTTP_IN_PATH,
	HTTP_AT_SLASH,		/* behind a slash of the path */
	HTTP_IN_QUERY,		/* and in targets that are no path */
	HTTP_AT_VERSION,	/* "HTTP/1.1" CR LF */
	HTTP_AT_MINOR = HTTP_AT_VERSION + 7,
	HTTP_AT_VERSION_END,
	HTTP_AT_VERSION_LINE,
	HTTP_AT_FIELD,		/* at the beginning of a line */
	HTTP_AT_LAST,		/* behind the CR of the empty line that ends the head */
	HTTP_IN_NAME,
	HTTP_AT_VALUE,		/* in the blanks before a value */
	HTTP_IN_VALUE,		/* that rules ask for */
	HTTP_IN_BLANK,		/* within it, or behind it */
	HTTP_AT_VALUE_END,	/* behind the CR */
	HTTP_IN_UNASKED,	/* value of a field that nobody asks for */
	HTTP_IN_HOST,		/* value of Host, as long as nothing is odd */
	HTTP_IN_FRAMING,	/* value that says where messages end or what becomes of the connection: looked at byte by byte */
	HTTP_AT_STATUS_VERSION,	/* "HTTP/1.1 200", of an answer */
	HTTP_AT_STATUS_MINOR = HTTP_AT_STATUS_VERSION + 7,
	HTTP_AT_STATUS_BLANK,
	HTTP_AT_STATUS,
	HTTP_AT_STATUS_END = HTTP_AT_STATUS + 3,
	HTTP_IN_REASON,
	HTTP_AT_REASON_END,
	HTTP_IN_ANSWER_NAME,	/* of a field of an answer: looked at byte by byte */
	HTTP_IN_OTHER_NAME,	/* of one that frames nothing */
	HTTP_HEAD_PLACES = 64,

	/* Behind the head. */
	HTTP_IN_BODY = 64,	/* of a known length */
	HTTP_UNTIL_END,		/* the message ends with the connection */
	HTTP_AT_SIZE,		/* of a chunk */
	HTTP_IN_SIZE,
	HTTP_IN_EXTENSION,
	HTTP_AT_EXTENSION_VALUE,
	HTTP_IN_EXTENSION_VALUE,
	HTTP_IN_QUOTED,
	HTTP_AT_ESCAPED,
	HTTP_AT_QUOTED_END,
	HTTP_AT_SIZE_END,
	HTTP_IN_DATA,
	HTTP_AT_DATA_END,
	HTTP_AT_DATA_LINE,
	HTTP_AT_TRAILER,
	HTTP_IN_TRAILER_NAME,
	HTTP_IN_TRAILER_VALUE,
	HTTP_AT_TRAILER_END,
	HTTP_AT_BODY_END,	/* behind the CR of the empty line that ends the trailers */
};

#define HTTP_TURN 0x80		/* there is more to do at this byte than to go on */

/* Ranges are written so that none overlaps. */
#define HTTP_TCHAR(to) \
	['!'] = to, ['#' ... '\''] = to, ['*' ... '+'] = to, ['-' ... '.'] = to, ['0' ... '9'] = to, ['A' ... 'Z'] = to, ['^' ... 'z'] = to, \
	['|'] = to, ['~'] = to
/* Of request targets, but for what is named apart: '%', '/', '?', '\\', '.', '*'. `#` never goes on the wire. */
#define HTTP_TARGET(to) \
	['!' ... '"'] = to, ['$'] = to, ['&' ... ')'] = to, ['+' ... '-'] = to, ['0' ... '>'] = to, ['@' ... '['] = to, [']' ... '~'] = to
#define HTTP_VISIBLE(to) ['!' ... '~'] = to, [0x80 ... 0xff] = to
#define HTTP_IN_LINE(to) ['\t'] = to, [' ' ... '~'] = to, [0x80 ... 0xff] = to

static const __u8 http_places[HTTP_HEAD_PLACES][256] = {
	[HTTP_AT_START] = { HTTP_TCHAR(HTTP_TURN | HTTP_IN_METHOD), ['\r'] = HTTP_AT_EMPTY },
	[HTTP_AT_EMPTY] = { ['\n'] = HTTP_TURN | HTTP_AT_START },
	[HTTP_IN_METHOD] = { HTTP_TCHAR(HTTP_IN_METHOD), [' '] = HTTP_TURN | HTTP_AT_TARGET },
	[HTTP_AT_TARGET] = {
		HTTP_TARGET(HTTP_TURN | HTTP_IN_QUERY), ['%'] = HTTP_TURN | HTTP_IN_QUERY, ['?'] = HTTP_TURN | HTTP_IN_QUERY, ['\\'] = HTTP_TURN | HTTP_IN_QUERY,
		['.'] = HTTP_TURN | HTTP_IN_QUERY, ['*'] = HTTP_TURN | HTTP_IN_QUERY, ['/'] = HTTP_TURN | HTTP_AT_SLASH,
	},
	[HTTP_IN_PATH] = {
		HTTP_TARGET(HTTP_IN_PATH), ['%'] = HTTP_TURN | HTTP_IN_PATH, ['\\'] = HTTP_TURN | HTTP_IN_PATH, ['.'] = HTTP_IN_PATH, ['*'] = HTTP_IN_PATH,
		['/'] = HTTP_AT_SLASH, ['?'] = HTTP_IN_QUERY, [' '] = HTTP_TURN | HTTP_AT_VERSION,
	},
	[HTTP_AT_SLASH] = {
		HTTP_TARGET(HTTP_IN_PATH), ['%'] = HTTP_TURN | HTTP_IN_PATH, ['\\'] = HTTP_TURN | HTTP_IN_PATH, ['.'] = HTTP_TURN | HTTP_IN_PATH, ['*'] = HTTP_IN_PATH,
		['/'] = HTTP_TURN | HTTP_AT_SLASH, ['?'] = HTTP_IN_QUERY, [' '] = HTTP_TURN | HTTP_AT_VERSION,
	},
	[HTTP_IN_QUERY] = {
		HTTP_TARGET(HTTP_IN_QUERY), ['%'] = HTTP_IN_QUERY, ['\\'] = HTTP_IN_QUERY, ['.'] = HTTP_IN_QUERY, ['*'] = HTTP_IN_QUERY, ['/'] = HTTP_IN_QUERY,
		['?'] = HTTP_IN_QUERY, [' '] = HTTP_TURN | HTTP_AT_VERSION,
	},
	[HTTP_AT_VERSION] = { ['H'] = HTTP_AT_VERSION + 1 },
	[HTTP_AT_VERSION + 1] = { ['T'] = HTTP_AT_VERSION + 2 },
	[HTTP_AT_VERSION + 2] = { ['T'] = HTTP_AT_VERSION + 3 },
	[HTTP_AT_VERSION + 3] = { ['P'] = HTTP_AT_VERSION + 4 },
	[HTTP_AT_VERSION + 4] = { ['/'] = HTTP_AT_VERSION + 5 },
	[HTTP_AT_VERSION + 5] = { ['1'] = HTTP_AT_VERSION + 6 },
	[HTTP_AT_VERSION + 6] = { ['.'] = HTTP_AT_MINOR },
	[HTTP_AT_MINOR] = { ['0' ... '1'] = HTTP_TURN | HTTP_AT_VERSION_END },
	[HTTP_AT_VERSION_END] = { ['\r'] = HTTP_AT_VERSION_LINE },
	[HTTP_AT_VERSION_LINE] = { ['\n'] = HTTP_AT_FIELD },
	[HTTP_AT_FIELD] = { HTTP_TCHAR(HTTP_TURN | HTTP_IN_NAME), ['\r'] = HTTP_AT_LAST },
	[HTTP_AT_LAST] = { ['\n'] = HTTP_TURN | HTTP_IN_BODY },
	[HTTP_IN_NAME] = { HTTP_TCHAR(HTTP_IN_NAME), [':'] = HTTP_TURN | HTTP_AT_VALUE },
	[HTTP_AT_VALUE] = { HTTP_VISIBLE(HTTP_TURN | HTTP_IN_VALUE), ['\t'] = HTTP_AT_VALUE, [' '] = HTTP_AT_VALUE, ['\r'] = HTTP_TURN | HTTP_AT_VALUE_END },
	[HTTP_IN_VALUE] = { HTTP_VISIBLE(HTTP_IN_VALUE), ['\t'] = HTTP_TURN | HTTP_IN_BLANK, [' '] = HTTP_TURN | HTTP_IN_BLANK, ['\r'] = HTTP_TURN | HTTP_AT_VALUE_END },
	[HTTP_IN_BLANK] = { HTTP_VISIBLE(HTTP_IN_VALUE), ['\t'] = HTTP_IN_BLANK, [' '] = HTTP_IN_BLANK, ['\r'] = HTTP_TURN | HTTP_AT_VALUE_END },
	[HTTP_AT_VALUE_END] = { ['\n'] = HTTP_TURN | HTTP_AT_FIELD },
	[HTTP_IN_UNASKED] = { HTTP_IN_LINE(HTTP_IN_UNASKED), ['\r'] = HTTP_AT_VALUE_END },
	[HTTP_IN_HOST] = {
		['!'] = HTTP_IN_HOST, ['$' ... '.'] = HTTP_IN_HOST, ['0' ... ';'] = HTTP_IN_HOST, ['='] = HTTP_IN_HOST, ['A' ... '['] = HTTP_IN_HOST, [']'] = HTTP_IN_HOST,
		['_'] = HTTP_IN_HOST, ['a' ... 'z'] = HTTP_IN_HOST, ['~'] = HTTP_IN_HOST, ['\t'] = HTTP_TURN | HTTP_IN_FRAMING, [' '] = HTTP_TURN | HTTP_IN_FRAMING,
		['"' ... '#'] = HTTP_TURN | HTTP_IN_FRAMING, ['/'] = HTTP_TURN | HTTP_IN_FRAMING, ['<'] = HTTP_TURN | HTTP_IN_FRAMING, ['>' ... '@'] = HTTP_TURN | HTTP_IN_FRAMING,
		['\\'] = HTTP_TURN | HTTP_IN_FRAMING, ['^'] = HTTP_TURN | HTTP_IN_FRAMING, ['`'] = HTTP_TURN | HTTP_IN_FRAMING, ['{' ... '}'] = HTTP_TURN | HTTP_IN_FRAMING,
		[0x80 ... 0xff] = HTTP_TURN | HTTP_IN_FRAMING, ['\r'] = HTTP_TURN | HTTP_AT_VALUE_END,
	},
	[HTTP_IN_FRAMING] = { HTTP_IN_LINE(HTTP_TURN | HTTP_IN_FRAMING), ['\r'] = HTTP_TURN | HTTP_AT_VALUE_END },
	[HTTP_AT_STATUS_VERSION] = { ['H'] = HTTP_TURN | (HTTP_AT_STATUS_VERSION + 1) },
	[HTTP_AT_STATUS_VERSION + 1] = { ['T'] = HTTP_AT_STATUS_VERSION + 2 },
	[HTTP_AT_STATUS_VERSION + 2] = { ['T'] = HTTP_AT_STATUS_VERSION + 3 },
	[HTTP_AT_STATUS_VERSION + 3] = { ['P'] = HTTP_AT_STATUS_VERSION + 4 },
	[HTTP_AT_STATUS_VERSION + 4] = { ['/'] = HTTP_AT_STATUS_VERSION + 5 },
	[HTTP_AT_STATUS_VERSION + 5] = { ['1'] = HTTP_AT_STATUS_VERSION + 6 },
	[HTTP_AT_STATUS_VERSION + 6] = { ['.'] = HTTP_AT_STATUS_MINOR },
	[HTTP_AT_STATUS_MINOR] = { ['0' ... '1'] = HTTP_TURN | HTTP_AT_STATUS_BLANK },
	[HTTP_AT_STATUS_BLANK] = { [' '] = HTTP_AT_STATUS },
	[HTTP_AT_STATUS] = { ['1' ... '9'] = HTTP_TURN | (HTTP_AT_STATUS + 1) },
	[HTTP_AT_STATUS + 1] = { ['0' ... '9'] = HTTP_TURN | (HTTP_AT_STATUS + 2) },
	[HTTP_AT_STATUS + 2] = { ['0' ... '9'] = HTTP_TURN | HTTP_AT_STATUS_END },
	[HTTP_AT_STATUS_END] = { [' '] = HTTP_IN_REASON, ['\r'] = HTTP_AT_REASON_END },
	[HTTP_IN_REASON] = { HTTP_IN_LINE(HTTP_IN_REASON), ['\r'] = HTTP_AT_REASON_END },
	[HTTP_AT_REASON_END] = { ['\n'] = HTTP_AT_FIELD },
	[HTTP_IN_ANSWER_NAME] = { HTTP_TCHAR(HTTP_TURN | HTTP_IN_ANSWER_NAME), [':'] = HTTP_TURN | HTTP_AT_VALUE },
	[HTTP_IN_OTHER_NAME] = { HTTP_TCHAR(HTTP_IN_OTHER_NAME), [':'] = HTTP_IN_UNASKED },
};

enum http_class {
	HTTP_TOKEN = 1,		/* tchar */
	HTTP_VALUE = 2,		/* HTAB, SP, VCHAR and obs-text */
	HTTP_AUTHORITY = 4,	/* names, addresses, ports: no user information */
};

/* Classes of what is looked at byte by byte. */
static const __u8 http_classes[256] = {
	['\t'] = HTTP_VALUE, [' '] = HTTP_VALUE, ['!'] = 7, ['"'] = HTTP_VALUE, ['#'] = 3, ['$' ... '\''] = 7, ['(' ... ')'] = 6, ['*' ... '+'] = 7, [','] = 6, ['-' ... '.'] = 7,
	['/'] = HTTP_VALUE, ['0' ... '9'] = 7, [':' ... ';'] = 6, ['<'] = HTTP_VALUE, ['='] = 6, ['>' ... '@'] = HTTP_VALUE, ['A' ... 'Z'] = 7, ['['] = 6, ['\\'] = HTTP_VALUE, [']'] = 6, ['^'] = 3,
	['_'] = 7, ['`'] = 3, ['a' ... 'z'] = 7, ['{'] = HTTP_VALUE, ['|'] = 3, ['}'] = HTTP_VALUE, ['~'] = 7, [0x80 ... 0xff] = HTTP_VALUE,
};

static __always_inline bool http_is(__u32 byte, enum http_class class)
{
	return http_classes[byte & 255] & class;
}

static __always_inline __u32 http_lower(__u32 byte)
{
	return byte - 'A' < 26 ? byte | 32 : byte;
}

static __always_inline bool http_is_blank(__u32 byte)
{
	return byte == ' ' || byte == '\t';
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads the bytes of one direction of an HTTP/1.1 connection, in order, however they are cut; strictly, as src/proxy/http1 does. All that is
 * known of a message lies in its reader, zeroed memory that is filled as bytes pass:
 *
 *     head ──► HTTP_HEAD: may it pass? ──► body: HTTP_OPAQUE of a length or a chunk, HTTP_END behind chunks ──► the next head
 *
 * In this file: what both directions share, and the body. Requests are in http_reader_request.h, answers in http_reader_answer.h.
 */
#pragma once

#include "http.h"
#include "http_reader_bytes.h"

#define HTTP_CHUNK 256		/* bytes that are read in one call at most */
#define HTTP_HEAD_MAX 16384
#define HTTP_FIELDS_MAX 100
#define HTTP_METHOD_MAX 64
#define HTTP_EMPTY_LINES 8
#define HTTP_EXTENSIONS_MAX 4096	/* of a body, all together */
#define HTTP_TRAILERS_MAX 8192

/* Where a reader has stopped. */
enum http_stop {
	HTTP_MORE = 0,		/* all bytes have been read */
	HTTP_OPAQUE = 1,	/* the next `opaque` bytes need no reading: http_skip() */
	HTTP_HEAD = 2,		/* behind a head */
	HTTP_END = 3,		/* behind a chunked body */
	HTTP_FAULT = 4,		/* `fault` says why; nothing may follow */
};

/* Those of src/proxy/http1/faults.ts, and from 64 on what the proxy takes and the kernel does not. */
enum http_fault {
	HTTP_FAULT_NONE = 0,
	HTTP_FAULT_METHOD = 1,
	HTTP_FAULT_TARGET = 2,
	HTTP_FAULT_VERSION = 3,
	HTTP_FAULT_FIELD_NAME = 4,
	HTTP_FAULT_FIELD_VALUE = 5,
	HTTP_FAULT_TOO_MANY_FIELDS = 6,
	HTTP_FAULT_HOST_MISSING = 7,
	HTTP_FAULT_HOST_REPEATED = 8,
	HTTP_FAULT_HOST = 9,
	HTTP_FAULT_CONTENT_LENGTH = 10,
	HTTP_FAULT_CONTENT_LENGTH_REPEATED = 11,
	HTTP_FAULT_TRANSFER_ENCODING = 12,
	HTTP_FAULT_BOTH_LENGTHS = 13,
	HTTP_FAULT_CONNECTION = 14,
	HTTP_FAULT_CHUNK_SIZE = 15,
	HTTP_FAULT_CHUNK_EXTENSION = 16,
	HTTP_FAULT_CHUNK_END = 17,
	HTTP_FAULT_TRAILER = 18,
	HTTP_FAULT_STATUS_LINE = 19,
	HTTP_FAULT_UNASKED = 20,
	HTTP_FAULT_EMPTY_LINES = 21,
	HTTP_FAULT_HEAD_TOO_LARGE = 22,
	HTTP_FAULT_BODY_FORBIDDEN = 23,
	HTTP_FAULT_PATH = 25,
	HTTP_FAULT_ABSOLUTE_FORM = 64,
	HTTP_FAULT_CONNECT = 65,
	HTTP_FAULT_HTTP2 = 66,	/* the preface of HTTP/2 */
};

/* What a head says. */
enum http_flag {
	HTTP_IS_HEAD = 1,		/* the request: its answer has no body */
	HTTP_CLOSES = 1 << 1,		/* the connection ends with this exchange */
	HTTP_EXPECTS = 1 << 2,		/* waits with the body until somebody answers */
	HTTP_UPGRADE = 1 << 3,		/* wants another protocol behind the answer */
	HTTP_UPGRADE_H2C = 1 << 4,	/* wants HTTP/2: an ordinary request, as servers may ignore that */
	HTTP_CHUNKED = 1 << 5,
	HTTP_HAS_LENGTH = 1 << 6,
	HTTP_TWO_READINGS = 1 << 7,	/* servers may read the path in two ways, and it is too long to be read twice: never passes */
	HTTP_INTERIM = 1 << 8,		/* an answer before the answer (1xx) */
	HTTP_OPENED = 1 << 9,		/* 101: from here on the two speak what they like */
	HTTP_BODILESS = 1 << 10,	/* no body, whatever the lengths say: HEAD, 204, 304 */
	HTTP_UNTIL_CLOSE = 1 << 11,	/* the body ends with the connection */

	/* Of use to the reader alone. */
	HTTP_IS_OPTIONS = 1 << 16,
	HTTP_IS_CONNECT = 1 << 17,
	HTTP_SAYS_CLOSE = 1 << 18,
	HTTP_SAYS_KEEP = 1 << 19,
	HTTP_BAD_CONNECTION = 1 << 20,
	HTTP_BAD_LENGTH = 1 << 21,
	HTTP_BAD_ENCODING = 1 << 22,
	HTTP_BAD_HOST = 1 << 23,
	HTTP_BAD_TARGET = 1 << 24,
	HTTP_SAYS_H2C = 1 << 25,
	HTTP_ORIGIN_FORM = 1 << 26,
	HTTP_ASTERISK_FORM = 1 << 27,
	HTTP_BEHIND_BLANK = 1 << 28,	/* in a value that frames: the byte before was a blank */
	HTTP_BAD_PATH = 1 << 29,	/* leads above the root, or ends a string */
};

/* What a caller fills with bytes of the stream before it calls a reader. The last eight are room to read words, and mean nothing. */
struct http_chunk {
	__u8 bytes[HTTP_CHUNK + 8];
};

/* What both directions have. */
struct http_body {
	__u64 opaque;		/* bytes to come that need no reading; within a chunk's size, what has been read of it */
	__u64 content_length;
	__u64 text[4];		/* a name or an option in lower case; what is longer than all that is asked for is cut */
	__u32 flags;		/* enum http_flag */
	__u16 extensions;	/* bytes so far */
	__u16 trailers;
	__u16 row;		/* of the automaton that is at work, in heads and in names of trailers */
	__u16 head_bytes;	/* of the head that is being read */
	__u16 at;		/* bytes of the chunk that have been read */
	__u16 piece;		/* where in it begins what is to be kept of the request line or Host */
	__u8 place;		/* enum http_place; 0 is the beginning of a connection, too */
	__u8 fault;		/* enum http_fault */
	__u8 text_length;
	__u8 digits;		/* of a length */
	__u8 minor;		/* HTTP/1.`minor` */
	__u8 field_count;
	__u8 has;		/* bits by enum http_name: such a field is there */
	__u8 repeated;		/* and there is another one */
	__u8 kind;		/* enum http_name of the field that is being read */
	__u8 field;		/* its place in the set's `fields` and one; 0: nobody asks for it */
	__u8 extension_begins;	/* behind the ';' of a chunk's extension */
	__u8 pad;
	__u16 end;		/* of what may be read of the chunk */
	__u16 begin;		/* of the message, where that is in the chunk; else 0 */
};
_Static_assert(sizeof(struct http_body) == 80, "http_body");

/* Kernel 6.4. Without them the programs that read are refused, and no others. */
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

/* for (i = from; i < to; i++) that the verifier walks until nothing changes, and not `to - from` times. `from` and `to` are constants. */
#define http_each(i, from, to) \
	for (struct bpf_iter_num iterator __attribute__((cleanup(bpf_iter_num_destroy))), *begin = (bpf_iter_num_new(&iterator, from, to), NULL); \
	     ({ int *now = bpf_iter_num_next(&iterator); now && (i = *now, true); }); (void)begin)

/* The same without a number. */
#define http_times(times) \
	for (struct bpf_iter_num iterator __attribute__((cleanup(bpf_iter_num_destroy))), *begin = (bpf_iter_num_new(&iterator, 0, times), NULL); \
	     bpf_iter_num_next(&iterator); (void)begin)

#define http_word(a, b, c, d, e, f, g, h) \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

static __always_inline void http_text_clear(struct http_body *body)
{
	body->text[0] = body->text[1] = body->text[2] = body->text[3] = 0;
	body->text_length = 0;
}

/* The last place takes all that is too long: no text that is asked for reaches it. */
static __always_inline void http_text_add(struct http_body *body, __u32 byte)
{
	__u32 at = body->text_length & 31;

	((__u8 *)body->text)[at] = byte;
	if (at < 31)
		body->text_length = at + 1;
}

static __always_inline bool http_text_is(const struct http_body *body, __u64 first, __u64 second, __u64 third)
{
	return body->text[0] == first && body->text[1] == second && body->text[2] == third && !body->text[3];
}

#define HTTP_TEXT_CLOSE             http_word('c', 'l', 'o', 's', 'e', 0, 0, 0), 0, 0
#define HTTP_TEXT_KEEP_ALIVE        http_word('k', 'e', 'e', 'p', '-', 'a', 'l', 'i'), http_word('v', 'e', 0, 0, 0, 0, 0, 0), 0
#define HTTP_TEXT_CHUNKED           http_word('c', 'h', 'u', 'n', 'k', 'e', 'd', 0), 0, 0
#define HTTP_TEXT_H2                http_word('h', '2', 0, 0, 0, 0, 0, 0), 0, 0
#define HTTP_TEXT_H2C               http_word('h', '2', 'c', 0, 0, 0, 0, 0), 0, 0
#define HTTP_TEXT_HOST              http_word('h', 'o', 's', 't', 0, 0, 0, 0), 0, 0
#define HTTP_TEXT_CONNECTION        http_word('c', 'o', 'n', 'n', 'e', 'c', 't', 'i'), http_word('o', 'n', 0, 0, 0, 0, 0, 0), 0
#define HTTP_TEXT_CONTENT_LENGTH    http_word('c', 'o', 'n', 't', 'e', 'n', 't', '-'), http_word('l', 'e', 'n', 'g', 't', 'h', 0, 0), 0
#define HTTP_TEXT_TRANSFER_ENCODING http_word('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'), http_word('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n'), 'g'
#define HTTP_TEXT_AUTHORIZATION     http_word('a', 'u', 't', 'h', 'o', 'r', 'i', 'z'), http_word('a', 't', 'i', 'o', 'n', 0, 0, 0), 0
#define HTTP_TEXT_CONTENT_ENCODING  http_word('c', 'o', 'n', 't', 'e', 'n', 't', '-'), http_word('e', 'n', 'c', 'o', 'd', 'i', 'n', 'g'), 0
#define HTTP_TEXT_CONTENT_TYPE      http_word('c', 'o', 'n', 't', 'e', 'n', 't', '-'), http_word('t', 'y', 'p', 'e', 0, 0, 0, 0), 0
#define HTTP_TEXT_COOKIE            http_word('c', 'o', 'o', 'k', 'i', 'e', 0, 0), 0, 0
#define HTTP_TEXT_EXPECT            http_word('e', 'x', 'p', 'e', 'c', 't', 0, 0), 0, 0
#define HTTP_TEXT_TE                http_word('t', 'e', 0, 0, 0, 0, 0, 0), 0, 0
#define HTTP_TEXT_TRAILER           http_word('t', 'r', 'a', 'i', 'l', 'e', 'r', 0), 0, 0
#define HTTP_TEXT_UPGRADE           http_word('u', 'p', 'g', 'r', 'a', 'd', 'e', 0), 0, 0

/* No message is under way: whoever ends the connection here cuts nothing, and the next byte begins a message. */
static __always_inline bool http_between(const struct http_body *body)
{
	return body->place <= HTTP_AT_START;
}

/* Nothing that a set has said of the message that is under way is known yet. */
static __always_inline bool http_unread(const struct http_body *body)
{
	return body->place <= HTTP_AT_EMPTY;
}

static __always_inline bool http_is_opaque(const struct http_body *body)
{
	return body->place == HTTP_IN_BODY || body->place == HTTP_IN_DATA || body->place == HTTP_UNTIL_END;
}

/* That many of `opaque` bytes have gone by unread. */
static __always_inline void http_skip(struct http_body *body, __u64 bytes)
{
	if (!http_is_opaque(body) || body->place == HTTP_UNTIL_END)
		return;
	body->opaque = bytes < body->opaque ? body->opaque - bytes : 0;
	if (!body->opaque)
		body->place = body->place == HTTP_IN_DATA ? HTTP_AT_DATA_END : HTTP_AT_START;
}

static __always_inline void http_body_begin(struct http_body *body, __u64 length, bool chunked)
{
	body->opaque = chunked ? 0 : length;
	body->digits = body->extensions = body->trailers = 0;
	body->place = chunked ? HTTP_AT_SIZE : length ? HTTP_IN_BODY : HTTP_AT_START;
}

/* The verifier tells numbers apart by how they came about, and would walk all that follows once for each way: memory forgets. */
static __always_inline __u32 http_unknown(struct http_body *body, __u32 at)
{
	*(volatile __u16 *)&body->at = at;
	return *(volatile __u16 *)&body->at;
}

/* So it is with what a number has been compared with. */
static __always_inline __u32 http_end_of(const struct http_body *body)
{
	return *(const volatile __u16 *)&body->end;
}

#include "http_reader_words.h"
#include "http_reader_body.h"
#include "http_reader_request.h"
#include "http_reader_answer.h"

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Requests: heads are read and matched at once, byte by byte. Each byte is one look into http_places and one step of the automaton that is at
 * work; where a token ends, the rules that hold become fewer. What can be said only of the whole head is decided at its last byte, in the order
 * of src/proxy/http1/request-head.ts, so that both give the same reason. Included by http_reader.h.
 */
#pragma once

#define HTTP_LINE  512
#define HTTP_HOST  128
#define HTTP_DEEPEST 31	/* slashes of a path that has two readings */
#define HTTP_TRACE 55		/* a traceparent of version 00 */

struct http_reader {
	struct http_body body;
	__u64 passes;		/* rules that hold as far as the head has been read */
	__u64 second;		/* those that do with the second reading of the path */
	__u32 set;		/* whose automata the message is read with */
	__u16 asked;		/* fields of the set that the head has, by their places */
	__u16 row_kept;		/* row before the blanks that may end a value */
	__u16 host_row;
	__u16 method_length;	/* true lengths, whatever of the texts is kept */
	__u16 target_length;
	__u16 host_length;
	__u16 rows[HTTP_FIELDS];	/* where the automata of values are: fields may come again */
	__u16 behind[HTTP_DEEPEST + 1];	/* rows behind the slashes of a path that is read a second time */
	__u8 empty_lines;
	__u8 trace_length;
	__u8 depth;		/* of these rows */
	__u8 segment;		/* enum http_segment */
	__u8 pad[4];
	/* For flows. */
	__u8 line[HTTP_LINE + 8];	/* method, a space, target; and room to write words */
	__u8 host[HTTP_HOST + 8];
	__u8 trace[HTTP_TRACE + 1];
};
_Static_assert(sizeof(struct http_reader) == 928, "http_reader");

#include "http_second_reading.h"

/* The set to read with: `wanted` at the beginning of a message, within it the one that it was begun with, as rows mean nothing elsewhere. */
static __always_inline __u32 http_set_of(struct http_reader *reader, __u32 wanted)
{
	if (http_unread(&reader->body))
		reader->set = wanted;
	return reader->set;
}

/* Behind a head: a bit for each rule that lets the request pass; 0: it is denied. */
static __always_inline __u64 http_passes(const struct http_reader *reader)
{
	return reader->body.flags & HTTP_TWO_READINGS ? 0 : reader->passes;
}

static __always_inline bool http_has(const struct http_body *body, enum http_name name)
{
	return body->has & 1 << name;
}

static __always_inline bool http_has_more(const struct http_body *body, enum http_name name)
{
	return body->repeated & 1 << name;
}

/*
 * Words of what the chunk has of the request line up to `to`; the last one may bring bytes from behind it. This and the next are functions of
 * their own as http_request_run() is.
 */
__noinline int http_line_keep(struct http_reader *reader, const struct http_chunk *chunk, __u32 to, __u32 before)
{
	__u32 from, at;

	if (!reader || !chunk)
		return 0;
	from = reader->body.piece;
	at = before + from;
	for (int i = 0; i < HTTP_CHUNK / 8; i++) {
		__u64 source = opaque((__u32)(from + i * 8)), target = opaque((__u32)(at + i * 8)), *kept;

		if (source >= to || source >= HTTP_CHUNK || target >= HTTP_LINE)
			break;
		kept = (__u64 *)&reader->line[target];
		*kept = http_word_at(chunk, source);
	}
	return 0;
}

/* The same of Host; its length grows. */
__noinline int http_host_keep(struct http_reader *reader, const struct http_chunk *chunk, __u32 to)
{
	__u32 from, at;

	if (!reader || !chunk)
		return 0;
	from = reader->body.piece;
	at = reader->host_length;
	for (int i = 0; i < HTTP_HOST / 8; i++) {
		__u64 source = opaque((__u32)(from + i * 8)), target = opaque((__u32)(at + i * 8)), *kept;

		if (source >= to || source >= HTTP_CHUNK || target >= HTTP_HOST)
			break;
		kept = (__u64 *)&reader->host[target];
		*kept = http_word_at(chunk, source);
	}
	reader->host_length = at + to - from;
	return 0;
}

static __always_inline int http_request_begin(struct http_reader *reader, const struct http_set *set)
{
	struct http_body *body = &reader->body;

	if (reader->empty_lines > HTTP_EMPTY_LINES)
		return HTTP_FAULT_EMPTY_LINES;
	reader->empty_lines = 0;
	reader->passes = ~0ULL;
	reader->asked = 0;
	reader->host_length = reader->trace_length = 0;
	body->content_length = 0;
	body->flags = 0;
	body->has = body->repeated = 0;
	body->field_count = 0;
	body->row = set->method;
	return 0;
}

/* The method if it has eight bytes at most, else 0. It is case-sensitive. */
static __always_inline __u64 http_method(const struct http_reader *reader)
{
	__u32 length = reader->method_length;

	return length - 1 < 8 ? *(const __u64 *)reader->line & ~0ULL >> (64 - 8 * length) : 0;
}

static __always_inline void http_method_is(struct http_body *body, __u64 method)
{
	if (method == http_word('H', 'E', 'A', 'D', 0, 0, 0, 0))
		body->flags |= HTTP_IS_HEAD;
	else if (method == http_word('O', 'P', 'T', 'I', 'O', 'N', 'S', 0))
		body->flags |= HTTP_IS_OPTIONS;
	else if (method == http_word('C', 'O', 'N', 'N', 'E', 'C', 'T', 0))
		body->flags |= HTTP_IS_CONNECT;
}

/* The line has been kept up to here. */
static __always_inline void http_method_end(struct http_reader *reader, const struct http_set *set, __u32 at)
{
	reader->method_length = at;
	reader->passes &= http_mask(set, reader->body.row);
	http_method_is(&reader->body, http_method(reader));
}

static __always_inline void http_target_end(struct http_reader *reader, const struct http_set *set, __u32 at)
{
	__u64 method = reader->passes;

	reader->target_length = at - reader->method_length - 1;
	reader->passes &= http_mask(set, reader->body.row);
	reader->second = reader->passes;
	if (reader->body.flags & HTTP_TWO_READINGS) {
		int reading = http_second_reading(reader, set);

		if (reading != HTTP_READING_TOO_LONG)
			reader->body.flags &= ~HTTP_TWO_READINGS;
		if (reading == HTTP_READING_NOWHERE)
			reader->body.flags |= HTTP_BAD_PATH;
		reader->second &= method;
	}
	if (reader->body.flags & HTTP_ASTERISK_FORM && reader->target_length != 1)
		reader->body.flags |= HTTP_BAD_TARGET;
}

static __always_inline bool http_kind_frames(__u32 kind)
{
	return kind != HTTP_NAME_OTHER && kind != HTTP_NAME_EXPECT;
}

/* Of most fields nothing but the end matters. */
static __always_inline void http_name_end(struct http_body *body, __u32 kind, __u32 field)
{
	body->kind = kind;
	body->field = field;
	if (kind) {
		body->repeated |= body->has & 1 << kind;
		body->has |= 1 << kind;
	}
	body->place = field || http_kind_frames(kind) ? HTTP_AT_VALUE : HTTP_IN_UNASKED;
	body->row = 0;
}

static __always_inline __u16 *http_field_row(struct http_reader *reader)
{
	return &reader->rows[(reader->body.field - 1) & (HTTP_FIELDS - 1)];
}

/* Several values of one name are one, joined with ','. */
static __always_inline __u32 http_field_begin(struct http_reader *reader, const struct http_set *set)
{
	__u32 field = (reader->body.field - 1) & (HTTP_FIELDS - 1);

	if (reader->asked & 1 << field)
		return http_step(set, reader->rows[field], ',');
	reader->asked |= 1 << field;
	return set->fields[field].start;
}

static __always_inline void http_option_end(struct http_body *body)
{
	if (http_text_is(body, HTTP_TEXT_CLOSE))
		body->flags |= HTTP_SAYS_CLOSE;
	else if (http_text_is(body, HTTP_TEXT_KEEP_ALIVE))
		body->flags |= HTTP_SAYS_KEEP;
	else if (http_text_is(body, HTTP_TEXT_CONTENT_LENGTH) || http_text_is(body, HTTP_TEXT_TRANSFER_ENCODING) || http_text_is(body, HTTP_TEXT_HOST))
		body->flags |= HTTP_BAD_CONNECTION;
	http_text_clear(body);
}

static __always_inline void http_protocol_end(struct http_body *body)
{
	if (http_text_is(body, HTTP_TEXT_H2) || http_text_is(body, HTTP_TEXT_H2C))
		body->flags |= HTTP_SAYS_H2C;
	http_text_clear(body);
}

static __always_inline void http_framing_begin(struct http_body *body)
{
	body->flags &= ~HTTP_BEHIND_BLANK;
	body->digits = 0;
	http_text_clear(body);
}

/* One byte of Content-Length, Transfer-Encoding, Connection or Upgrade; `behind`: blanks lie before it, within the value. */
static __always_inline void http_framing_byte(struct http_body *body, __u32 byte, bool behind)
{
	bool blank = http_is_blank(byte), separates = blank || byte == ',';

	switch (body->kind) {
	case HTTP_NAME_CONTENT_LENGTH:
		if (blank)
			break;
		if (behind || byte - '0' > 9 || body->digits >= 15) {
			body->flags |= HTTP_BAD_LENGTH;
			break;
		}
		body->digits++;
		body->content_length = body->content_length * 10 + (byte - '0');
		break;
	case HTTP_NAME_TRANSFER_ENCODING:
		if (blank)
			break;
		if (behind || !http_is(byte, HTTP_TOKEN))
			body->flags |= HTTP_BAD_ENCODING;
		http_text_add(body, http_lower(byte));
		break;
	case HTTP_NAME_CONNECTION:
		if (separates)
			http_option_end(body);
		else if (http_is(byte, HTTP_TOKEN))
			http_text_add(body, http_lower(byte));
		else
			body->flags |= HTTP_BAD_CONNECTION;
		break;
	case HTTP_NAME_UPGRADE:
		if (separates)
			http_protocol_end(body);
		else
			http_text_add(body, http_lower(byte));
		break;
	}
}

static __always_inline void http_framing_end(struct http_body *body)
{
	switch (body->kind) {
	case HTTP_NAME_CONTENT_LENGTH:
		if (!body->digits)
			body->flags |= HTTP_BAD_LENGTH;
		break;
	case HTTP_NAME_TRANSFER_ENCODING:
		if (!http_text_is(body, HTTP_TEXT_CHUNKED))
			body->flags |= HTTP_BAD_ENCODING;
		break;
	case HTTP_NAME_CONNECTION:
		http_option_end(body);
		break;
	case HTTP_NAME_UPGRADE:
		http_protocol_end(body);
		break;
	}
}

/* One byte of a value that frames; its blanks at the end are no part of it. Two automata may ask for the Host. */
static __always_inline void http_request_framing(struct http_reader *reader, const struct http_set *set, __u32 byte)
{
	struct http_body *body = &reader->body;
	bool blank = http_is_blank(byte), behind = body->flags & HTTP_BEHIND_BLANK;

	if (blank && !behind) {
		reader->row_kept = body->row;
		body->flags |= HTTP_BEHIND_BLANK;
	} else if (!blank) {
		body->flags &= ~HTTP_BEHIND_BLANK;
	}
	if (body->kind == HTTP_NAME_HOST && !blank) {
		if (behind || !http_is(byte, HTTP_AUTHORITY))
			body->flags |= HTTP_BAD_HOST;
		if (reader->host_length < HTTP_HOST)
			reader->host[reader->host_length] = byte;
		reader->host_length++;
		if (body->field)
			*http_field_row(reader) = http_step(set, *http_field_row(reader), byte);
	} else if (body->kind == HTTP_NAME_TRACEPARENT) {
		if (!http_has_more(body, HTTP_NAME_TRACEPARENT) && reader->trace_length < HTTP_TRACE)
			reader->trace[reader->trace_length++] = byte;
	} else {
		http_framing_byte(body, byte, behind);
	}
}

static __always_inline void http_value_begin(struct http_reader *reader, const struct http_set *set)
{
	struct http_body *body = &reader->body;
	__u32 row = body->field ? http_field_begin(reader, set) : 0;

	http_framing_begin(body);
	if (body->kind == HTTP_NAME_HOST) {
		if (body->field)
			*http_field_row(reader) = row;
		row = set->host;
	}
	body->row = row;
	body->place = !http_kind_frames(body->kind) ? HTTP_IN_VALUE : body->kind == HTTP_NAME_HOST && !body->field ? HTTP_IN_HOST : HTTP_IN_FRAMING;
}

static __always_inline void http_value_end(struct http_reader *reader, __u32 row)
{
	struct http_body *body = &reader->body;

	if (body->kind == HTTP_NAME_HOST)
		reader->host_row = row;
	else if (body->field)
		*http_field_row(reader) = row;
	http_framing_end(body);
	body->row = 0;
	body->place = HTTP_AT_VALUE_END;
}

/* What Connection, Content-Length and Transfer-Encoding say together. */
static __always_inline int http_framing(struct http_body *body)
{
	if (body->flags & HTTP_BAD_CONNECTION)
		return HTTP_FAULT_CONNECTION;
	if (body->flags & HTTP_SAYS_CLOSE || (body->minor == 0 && !(body->flags & HTTP_SAYS_KEEP)))
		body->flags |= HTTP_CLOSES;
	if (http_has_more(body, HTTP_NAME_CONTENT_LENGTH))
		return HTTP_FAULT_CONTENT_LENGTH_REPEATED;
	if (body->flags & HTTP_BAD_LENGTH)
		return HTTP_FAULT_CONTENT_LENGTH;
	if (http_has(body, HTTP_NAME_CONTENT_LENGTH))
		body->flags |= HTTP_HAS_LENGTH;
	if (!http_has(body, HTTP_NAME_TRANSFER_ENCODING))
		return 0;
	if (body->minor == 0 || body->flags & HTTP_BAD_ENCODING || http_has_more(body, HTTP_NAME_TRANSFER_ENCODING))
		return HTTP_FAULT_TRANSFER_ENCODING;
	if (body->flags & HTTP_HAS_LENGTH)
		return HTTP_FAULT_BOTH_LENGTHS;
	body->flags |= HTTP_CHUNKED;
	return 0;
}

static __always_inline int http_host_field(const struct http_body *body)
{
	if (!http_has(body, HTTP_NAME_HOST))
		return body->minor == 1 ? HTTP_FAULT_HOST_MISSING : 0;
	if (http_has_more(body, HTTP_NAME_HOST))
		return HTTP_FAULT_HOST_REPEATED;
	return body->flags & HTTP_BAD_HOST ? HTTP_FAULT_HOST : 0;
}

/* RFC 9112 §3.2. What goes to proxies is nothing that a server is asked for by those who do not know of us. */
static __always_inline int http_target_form(const struct http_reader *reader)
{
	__u32 flags = reader->body.flags, at = (reader->method_length + 1) & 127;
	__u64 scheme;

	if (flags & HTTP_IS_CONNECT)
		return HTTP_FAULT_CONNECT;
	if (flags & HTTP_ASTERISK_FORM)
		return flags & HTTP_BAD_TARGET || !(flags & HTTP_IS_OPTIONS) ? HTTP_FAULT_TARGET : 0;
	if (flags & HTTP_ORIGIN_FORM)
		return flags & HTTP_BAD_TARGET ? HTTP_FAULT_TARGET : 0;
	scheme = *(const __u64 *)&reader->line[at] | 0x2020202020202020ULL;
	if (scheme == http_word('h', 't', 't', 'p', 's', ':', '/', '/') || (scheme & ~0ULL >> 8) == http_word('h', 't', 't', 'p', ':', '/', '/', 0))
		return HTTP_FAULT_ABSOLUTE_FORM;
	return HTTP_FAULT_TARGET;
}

static __always_inline void http_request_match(struct http_reader *reader, const struct http_set *set)
{
	__u64 rest = http_has(&reader->body, HTTP_NAME_HOST) ? http_mask(set, reader->host_row) : set->no_host;
	__u32 i;

	if (set->field_count) {
		http_each(i, 0, HTTP_FIELDS) {
			__u32 field = i & (HTTP_FIELDS - 1);

			if (i >= set->field_count)
				break;
			rest &= reader->asked & 1 << field ? http_mask(set, reader->rows[field]) : set->fields[field].absent;
		}
	}
	reader->passes = reader->second & rest ? reader->passes & rest : 0;
}

static __always_inline int http_request_end(struct http_reader *reader, const struct http_set *set)
{
	struct http_body *body = &reader->body;
	int fault = http_framing(body);

	if (!fault)
		fault = http_host_field(body);
	if (!fault)
		fault = http_target_form(reader);
	if (!fault && body->flags & HTTP_BAD_PATH)
		fault = HTTP_FAULT_PATH;
	if (fault)
		return fault;
	if (http_has(body, HTTP_NAME_EXPECT))
		body->flags |= HTTP_EXPECTS;
	if (http_has(body, HTTP_NAME_UPGRADE))
		body->flags |= body->flags & HTTP_SAYS_H2C ? HTTP_UPGRADE_H2C : HTTP_UPGRADE;
	http_request_match(reader, set);
	http_body_begin(body, body->content_length, body->flags & HTTP_CHUNKED);
	return 0;
}

/* Of a byte that no place leads on with. */
static __always_inline int http_place_fault(__u32 place, bool too_many_lines)
{
	if (place == HTTP_AT_START && too_many_lines)
		return HTTP_FAULT_EMPTY_LINES;
	if (place <= HTTP_IN_METHOD)
		return HTTP_FAULT_METHOD;
	if (place <= HTTP_IN_QUERY)
		return HTTP_FAULT_TARGET;
	if (place <= HTTP_AT_VERSION_LINE)
		return HTTP_FAULT_VERSION;
	if (place >= HTTP_AT_STATUS_VERSION && place <= HTTP_AT_REASON_END)
		return HTTP_FAULT_STATUS_LINE;
	return place <= HTTP_IN_NAME || place >= HTTP_IN_ANSWER_NAME ? HTTP_FAULT_FIELD_NAME : HTTP_FAULT_FIELD_VALUE;
}

/* Who begins with HTTP/2 is told apart from who says nonsense. */
static __always_inline int http_request_fault(const struct http_reader *reader)
{
	const struct http_body *body = &reader->body;
	int fault = http_place_fault(body->place, reader->empty_lines > HTTP_EMPTY_LINES);

	if (fault == HTTP_FAULT_VERSION && body->flags & HTTP_ASTERISK_FORM && http_method(reader) == http_word('P', 'R', 'I', 0, 0, 0, 0, 0))
		return HTTP_FAULT_HTTP2;
	return fault;
}

/* `to`: the next place, as the table has it. `at`: bytes of the head before this one. Returns a fault. */
static __always_inline int http_request_turn(struct http_reader *reader, const struct http_set *set, __u32 to, __u32 byte, __u32 at)
{
	struct http_body *body = &reader->body;
	__u32 from = body->place;
	__u64 mask;

	body->place = to;
	switch (from) {
	case HTTP_AT_EMPTY:
		if (reader->empty_lines < 255)
			reader->empty_lines++;
		break;
	case HTTP_IN_METHOD:
		http_method_end(reader, set, at);
		break;
	case HTTP_AT_TARGET:
		body->row = set->path;
		body->flags |= byte == '/' ? HTTP_ORIGIN_FORM : byte == '*' ? HTTP_ASTERISK_FORM : 0;
		break;
	case HTTP_IN_PATH:
	case HTTP_AT_SLASH:
	case HTTP_IN_QUERY:
		if (to == HTTP_AT_VERSION)
			http_target_end(reader, set, at);
		else
			body->flags |= byte == '\\' ? HTTP_BAD_TARGET : HTTP_TWO_READINGS;
		break;
	case HTTP_AT_MINOR:
		body->minor = byte - '0';
		break;
	case HTTP_AT_FIELD:
		body->row = set->names;
		break;
	case HTTP_IN_NAME:
		mask = http_mask(set, body->row);
		http_name_end(body, mask & 7, mask >> 8 & 31);
		break;
	case HTTP_AT_VALUE:
		http_value_begin(reader, set);
		if (to == HTTP_AT_VALUE_END) {
			http_value_end(reader, body->row);
			break;
		}
		if (body->place == HTTP_IN_HOST && !http_is(byte, HTTP_AUTHORITY))
			body->place = HTTP_IN_FRAMING;
		if (body->place == HTTP_IN_FRAMING)
			http_request_framing(reader, set, byte);
		break;
	case HTTP_IN_VALUE:
		if (to == HTTP_IN_BLANK)
			reader->row_kept = body->row;
		else
			http_value_end(reader, body->row);
		break;
	case HTTP_IN_BLANK:
		http_value_end(reader, reader->row_kept);
		break;
	case HTTP_IN_HOST:
	case HTTP_IN_FRAMING:
		if (to == HTTP_AT_VALUE_END)
			http_value_end(reader, body->flags & HTTP_BEHIND_BLANK ? reader->row_kept : body->row);
		else
			http_request_framing(reader, set, byte);
		break;
	case HTTP_AT_VALUE_END:
		return ++body->field_count > HTTP_FIELDS_MAX ? HTTP_FAULT_TOO_MANY_FIELDS : 0;
	}
	return 0;
}

static __always_inline bool http_in_line(__u32 place)
{
	return place >= HTTP_IN_METHOD && place <= HTTP_IN_QUERY;
}

#include "http_reader_request_words.h"

/*
 * From body->at on, some bytes at which there is nothing to do but to go on. What the table says of the byte where that ends, and the byte above
 * it. A function of its own, so that the verifier does not walk what follows once for each way that leads here.
 */
__noinline int http_request_run(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk)
{
	__u32 at, end, place, row, byte = 0, entry = HTTP_TURN;

	if (!reader || !set || !chunk)
		return 0;
	at = reader->body.at;
	end = reader->body.end;
	place = reader->body.place;
	row = reader->body.row;
	for (int i = 0; i < HTTP_STRIDE; i++) {
		if (at >= end)
			break;
		byte = chunk->bytes[at & (HTTP_CHUNK - 1)];
		entry = http_places[place & (HTTP_HEAD_PLACES - 1)][byte];
		if ((__s8)entry <= 0)
			break;
		place = entry;
		row = http_step(set, row, byte);
		at++;
	}
	reader->body.at = at;
	reader->body.place = place;
	reader->body.row = row;
	return entry | byte << 8;
}

/* Bytes of the head before the chunk, less those of the chunk before the head. */
static __always_inline __u32 http_before(const struct http_body *body)
{
	return body->head_bytes - body->begin;
}

/* At bytes that are odd, or have more to do: enum http_fault, and enum http_stop above it. */
__noinline int http_request_bytes(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk)
{
	struct http_body *body;
	__u32 stop = HTTP_MORE, at;
	int fault = 0;

	if (!reader || !set || !chunk)
		return 0;
	body = &reader->body;
	http_times(HTTP_CHUNK + 1) {
		__u32 found = opaque((__u32)http_request_run(reader, set, chunk)), byte = found >> 8 & 255, to = found & (HTTP_HEAD_PLACES - 1);

		at = body->at;
		if (at >= body->end)
			break;
		if ((__s8)found > 0)
			continue;
		if (body->place == HTTP_IN_METHOD && http_before(body) + at > HTTP_METHOD_MAX)
			break;
		if (!to) {
			/* All of the place that a last byte leads to lies behind heads. */
			if (body->place == HTTP_AT_LAST && byte == '\n')
				fault = http_request_end(reader, set), stop = HTTP_HEAD;
			else
				fault = http_request_fault(reader);
		} else if (body->place == HTTP_AT_START) {
			fault = http_request_begin(reader, set);
			body->begin = body->piece = at;
			body->place = HTTP_IN_METHOD;
		} else {
			if (to == HTTP_AT_TARGET || to == HTTP_AT_VERSION)
				http_line_keep(reader, chunk, at, http_before(body));
			else if (body->place == HTTP_IN_HOST)
				http_host_keep(reader, chunk, at);
			fault = http_request_turn(reader, set, to, byte, http_before(body) + at);
			if (body->place == HTTP_IN_HOST)
				body->piece = at;
		}
		if (fault)
			break;
		body->row = http_step(set, body->row, byte);
		body->at = at + 1;
		if (stop)
			break;
		if (body->place == HTTP_AT_FIELD || body->place == HTTP_IN_UNASKED)
			http_request_lines(reader, set, chunk);
	}
	return fault | stop << 8;
}

static __always_inline __u32 http_request_head(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk, __u32 length)
{
	struct http_body *body = &reader->body;
	__u32 room = HTTP_HEAD_MAX - body->head_bytes, stop = HTTP_HEAD, next, at, fault;

	body->at = body->piece = body->begin = 0;
	body->end = length < room ? length : room;
	if (unlikely(http_request_lines(reader, set, chunk)))
		http_request_lines(reader, set, chunk);
	next = body->place == HTTP_AT_FIELD ? http_line_end(body, chunk, *(volatile __u16 *)&body->at) : 0;
	if (likely(next)) {
		body->place = HTTP_AT_LAST;
		fault = http_request_end(reader, set);
		body->at = next - !!fault;
	} else {
		__u32 result = opaque((__u32)http_request_bytes(reader, set, chunk));

		fault = result & 255;
		stop = result >> 8;
	}
	at = body->at;
	if (body->place == HTTP_IN_METHOD && http_before(body) + at > HTTP_METHOD_MAX) {
		at = HTTP_METHOD_MAX - http_before(body);
		fault = HTTP_FAULT_METHOD;
	} else if (!fault && !stop && at < length) {
		fault = HTTP_FAULT_HEAD_TOO_LARGE;
	}
	if (http_in_line(body->place))
		http_line_keep(reader, chunk, at, http_before(body));
	else if (body->place == HTTP_IN_HOST && !fault)
		http_host_keep(reader, chunk, at);
	body->head_bytes = stop || http_unread(body) ? 0 : http_before(body) + at;
	body->fault = fault;
	return at | (fault ? HTTP_FAULT : stop) << 16;
}

/* Verified once, for all who call it: reader, set and chunk lie in maps. */
__noinline int http_request_read(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk, __u32 length)
{
	if (!reader || !set || !chunk)
		return HTTP_FAULT << 16;
	if (reader->body.fault)
		return HTTP_FAULT << 16;
	if (reader->body.place == HTTP_AT_FAULT)
		reader->body.place = HTTP_AT_START;
	if (reader->body.place >= HTTP_HEAD_PLACES)
		return http_body_read(&reader->body, set, chunk, length);
	return http_request_head(reader, set, chunk, length);
}

/* Reads `length` bytes at most; returns how many have been read, and why no more. */
static __always_inline __u32 http_read_request(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk, __u32 length, enum http_stop *stop)
{
	__u32 result = http_request_read(reader, set, chunk, length);

	*stop = result >> 16;
	return result & (2 * HTTP_CHUNK - 1);
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Answers: their status, and where they end (RFC 9112 §6.3). As src/proxy/http1/answer-head.ts and answer-side.ts. No rule asks for their
 * fields, so of names only those that frame are looked at. Included by http_reader.h.
 */
#pragma once

#define HTTP_INTERIM_MAX 64	/* answers before the answer: more of them is no server's doing */

struct http_answer_reader {
	struct http_body body;
	__u16 status;
	/* Of the request that is answered; the caller says so before the answer's first byte is read. */
	__u8 head_only;
	__u8 upgrade;		/* it wanted another protocol, and may have it: not HTTP/2 */
	__u8 interims;
	__u8 pad[3];
};
_Static_assert(sizeof(struct http_answer_reader) == 88, "http_answer_reader");

static __always_inline void http_answer_begin(struct http_answer_reader *reader)
{
	struct http_body *body = &reader->body;

	reader->status = 0;
	body->content_length = 0;
	body->flags = 0;
	body->has = body->repeated = 0;
	body->field_count = 0;
}

/* What begins in another way than names that frame do is passed over. */
static __always_inline void http_answer_name_byte(struct http_body *body, __u32 byte)
{
	__u64 start;

	http_text_add(body, http_lower(byte));
	start = body->text[0] & 0xffff;
	if (body->text_length == 1 ? start != 'c' && start != 't' : body->text_length == 2 && start != ('c' | 'o' << 8) && start != ('t' | 'r' << 8))
		body->place = HTTP_IN_OTHER_NAME;
}

static __always_inline void http_answer_name_end(struct http_body *body)
{
	__u32 kind = HTTP_NAME_OTHER;

	if (http_text_is(body, HTTP_TEXT_CONTENT_LENGTH))
		kind = HTTP_NAME_CONTENT_LENGTH;
	else if (http_text_is(body, HTTP_TEXT_TRANSFER_ENCODING))
		kind = HTTP_NAME_TRANSFER_ENCODING;
	else if (http_text_is(body, HTTP_TEXT_CONNECTION))
		kind = HTTP_NAME_CONNECTION;
	http_name_end(body, kind, 0);
}

static __always_inline void http_answer_framing(struct http_body *body, __u32 byte)
{
	bool behind = body->flags & HTTP_BEHIND_BLANK;

	if (http_is_blank(byte))
		body->flags |= HTTP_BEHIND_BLANK;
	else
		body->flags &= ~HTTP_BEHIND_BLANK;
	http_framing_byte(body, byte, behind);
}

static __always_inline void http_answer_value_end(struct http_body *body)
{
	http_framing_end(body);
	body->place = HTTP_AT_VALUE_END;
}

static __always_inline void http_answer_for_ever(struct http_body *body)
{
	body->opaque = ~0ULL;
	body->place = HTTP_UNTIL_END;
}

static __always_inline int http_answer_interim(struct http_answer_reader *reader)
{
	struct http_body *body = &reader->body;

	if (body->flags & HTTP_CHUNKED || body->content_length)
		return HTTP_FAULT_BODY_FORBIDDEN;
	if (reader->status == 101) {
		if (!reader->upgrade)
			return HTTP_FAULT_UNASKED;
		body->flags |= HTTP_OPENED;
		http_answer_for_ever(body);
		return 0;
	}
	if (++reader->interims > HTTP_INTERIM_MAX)
		return HTTP_FAULT_UNASKED;
	body->flags |= HTTP_INTERIM;
	body->place = HTTP_AT_START;
	return 0;
}

static __always_inline int http_answer_end(struct http_answer_reader *reader)
{
	struct http_body *body = &reader->body;
	int fault = http_framing(body);

	if (fault)
		return fault;
	if (reader->status < 200)
		return http_answer_interim(reader);
	reader->interims = 0;
	if (reader->status == 204 && (body->flags & HTTP_CHUNKED || body->content_length))
		return HTTP_FAULT_BODY_FORBIDDEN;
	if (reader->head_only || reader->status == 204 || reader->status == 304) {
		body->flags |= HTTP_BODILESS;
		http_body_begin(body, 0, false);
	} else if (body->flags & (HTTP_CHUNKED | HTTP_HAS_LENGTH)) {
		http_body_begin(body, body->content_length, body->flags & HTTP_CHUNKED);
	} else {
		body->flags |= HTTP_UNTIL_CLOSE | HTTP_CLOSES;
		http_answer_for_ever(body);
	}
	return 0;
}

static __always_inline int http_answer_turn(struct http_answer_reader *reader, __u32 to, __u32 byte)
{
	struct http_body *body = &reader->body;
	__u32 from = body->place;

	body->place = to;
	switch (from) {
	case HTTP_AT_STATUS_VERSION:
		http_answer_begin(reader);
		break;
	case HTTP_AT_STATUS_MINOR:
		body->minor = byte - '0';
		break;
	case HTTP_AT_STATUS:
	case HTTP_AT_STATUS + 1:
	case HTTP_AT_STATUS + 2:
		reader->status = reader->status * 10 + (byte - '0');
		break;
	case HTTP_AT_FIELD:
		body->place = HTTP_IN_ANSWER_NAME;
		http_text_clear(body);
		http_answer_name_byte(body, byte);
		break;
	case HTTP_IN_ANSWER_NAME:
		if (to == HTTP_AT_VALUE)
			http_answer_name_end(body);
		else
			http_answer_name_byte(body, byte);
		break;
	case HTTP_AT_VALUE:
		http_framing_begin(body);
		body->place = HTTP_IN_FRAMING;
		if (to == HTTP_AT_VALUE_END)
			http_answer_value_end(body);
		else
			http_answer_framing(body, byte);
		break;
	case HTTP_IN_FRAMING:
		if (to == HTTP_AT_VALUE_END)
			http_answer_value_end(body);
		else
			http_answer_framing(body, byte);
		break;
	case HTTP_AT_VALUE_END:
		return ++body->field_count > HTTP_FIELDS_MAX ? HTTP_FAULT_TOO_MANY_FIELDS : 0;
	}
	return 0;
}

/* "HTTP/1.1 200 ", from the answer's beginning on; 0: it is not of that kind. */
static __always_inline __u32 http_status_words(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 at)
{
	struct http_body *body = &reader->body;
	__u64 version = http_word_at(chunk, at) ^ http_word('H', 'T', 'T', 'P', '/', '1', '.', '0'), rest = http_word_at(chunk, at + 8), code = rest >> 8 ^ HTTP_BYTES('0');

	if (at + 13 > http_end_of(body) || version & ~(1ULL << 56) || http_not_digit(rest >> 8) & 0xffffff || !(code & 255) || (rest & 0xff000000ffULL) != (' ' | (__u64)' ' << 32))
		return 0;
	http_answer_begin(reader);
	body->minor = version >> 56;
	reader->status = (code & 255) * 100 + (code >> 8 & 255) * 10 + (code >> 16 & 255);
	body->place = HTTP_IN_REASON;
	return at + 13;
}

/* Lines from body->at on, as long as they are of the usual kind, and 8 at most: then not 0. Verified once, as the next. */
__noinline int http_answer_lines(struct http_answer_reader *reader, const struct http_chunk *chunk)
{
	struct http_body *body;

	if (!reader || !chunk)
		return 0;
	body = &reader->body;
	for (int i = 0; i < HTTP_LINES; i++) {
		__u32 at = *(volatile __u16 *)&body->at, next;
		__u8 place = body->place;

		if (at >= http_end_of(body) || body->field_count >= HTTP_FIELDS_MAX)
			return 0;
		if (place == HTTP_AT_FIELD || place == HTTP_AT_STATUS_VERSION) {
			next = place == HTTP_AT_FIELD ? http_usual_field(body, chunk, at) : http_status_words(reader, chunk, at);
			if (!next)
				return 0;
			at = http_unknown(body, next);
			place = *(volatile __u8 *)&body->place;
			if (place == HTTP_AT_FIELD)
				continue;
		}
		if (place != HTTP_IN_UNASKED && place != HTTP_IN_REASON)
			return 0;
		at = http_unknown(body, http_pass_over(body, chunk, at));
		next = http_line_end(body, chunk, at);
		if (!next)
			return 0;
		body->field_count += place == HTTP_IN_UNASKED;
		body->place = HTTP_AT_FIELD;
		http_unknown(body, next);
	}
	return 1;
}

/* As http_request_run(): some bytes at which there is nothing to do but to go on. What the table says of the byte where that ends, and the byte above it. */
__noinline int http_answer_run(struct http_answer_reader *reader, const struct http_chunk *chunk)
{
	__u32 at, end, place, byte = 0, entry = HTTP_TURN;

	if (!reader || !chunk)
		return 0;
	at = reader->body.at;
	end = reader->body.end;
	place = reader->body.place;
	for (int i = 0; i < HTTP_STRIDE; i++) {
		if (at >= end)
			break;
		byte = chunk->bytes[at & (HTTP_CHUNK - 1)];
		entry = http_places[place & (HTTP_HEAD_PLACES - 1)][byte];
		if ((__s8)entry <= 0)
			break;
		place = entry;
		at++;
	}
	reader->body.at = at;
	reader->body.place = place;
	return entry | byte << 8;
}

/* At bytes that are odd, as long as there are: enum http_stop above enum http_fault. */
static __always_inline __u32 http_answer_bytes(struct http_answer_reader *reader, const struct http_chunk *chunk)
{
	struct http_body *body = &reader->body;
	__u32 stop = HTTP_MORE;
	int fault = 0;

	http_times(HTTP_CHUNK + 1) {
		__u32 found = opaque((__u32)http_answer_run(reader, chunk)), byte = found >> 8 & 255, to = found & (HTTP_HEAD_PLACES - 1);

		if (body->at >= body->end)
			break;
		if ((__s8)found > 0)
			continue;
		if (to)
			fault = http_answer_turn(reader, to, byte);
		else if (body->place == HTTP_AT_LAST && byte == '\n')
			fault = http_answer_end(reader), stop = HTTP_HEAD;
		else
			fault = http_place_fault(body->place, false);
		if (fault)
			break;
		body->at++;
		if (stop)
			break;
		if (body->place == HTTP_AT_FIELD || body->place == HTTP_IN_UNASKED)
			http_answer_lines(reader, chunk);
	}
	return fault | stop << 8;
}

static __always_inline __u32 http_answer_head(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 length)
{
	struct http_body *body = &reader->body;
	__u32 room = HTTP_HEAD_MAX - body->head_bytes, next, at, stop = HTTP_HEAD, fault;

	body->at = 0;
	body->end = length < room ? length : room;
	if (unlikely(http_answer_lines(reader, chunk)))
		http_answer_lines(reader, chunk);
	next = body->place == HTTP_AT_FIELD ? http_line_end(body, chunk, *(volatile __u16 *)&body->at) : 0;
	if (likely(next)) {
		body->place = HTTP_AT_LAST;
		body->at = next - 1;
		fault = http_answer_end(reader);
		if (likely(!fault))
			body->at = next;
	} else {
		__u32 result = http_answer_bytes(reader, chunk);

		fault = result & 255;
		stop = result >> 8;
	}
	at = body->at;
	if (!fault && !stop && at < length)
		fault = HTTP_FAULT_HEAD_TOO_LARGE;
	body->head_bytes = stop ? 0 : body->head_bytes + at;
	body->fault = fault;
	return at | (fault ? HTTP_FAULT : stop) << 16;
}

/* Verified once, for all who call it: reader and chunk lie in maps. */
__noinline int http_answer_read(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 length)
{
	if (!reader || !chunk)
		return HTTP_FAULT << 16;
	if (reader->body.fault)
		return HTTP_FAULT << 16;
	if (reader->body.place >= HTTP_HEAD_PLACES)
		return http_body_read(&reader->body, NULL, chunk, length);
	if (length && reader->body.place <= HTTP_AT_START)
		reader->body.place = HTTP_AT_STATUS_VERSION;
	return http_answer_head(reader, chunk, length);
}

/* As http_read_request(), of answers. */
static __always_inline __u32 http_read_answer(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 length, enum http_stop *stop)
{
	__u32 result = http_answer_read(reader, chunk, length);

	*stop = result >> 16;
	return result & (2 * HTTP_CHUNK - 1);
}

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

/* Letters in lower case; of other bytes nothing is said. */
#define HTTP_FOLDED(word) ((word) | HTTP_BYTES(0x20))

/*
 * At a name whose first 16 bytes are there: one that frame is known by two words, and so is that it is none. How many bytes have been read
 * by that; 0: it is to be looked at byte by byte.
 */
static __always_inline __u32 http_answer_name_words(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 first = *(const __u64 *)&chunk->bytes[at & (HTTP_CHUNK - 1)], second = *(const __u64 *)&chunk->bytes[(at + 8) & (HTTP_CHUNK - 1)], folded = HTTP_FOLDED(first);

	if (folded == http_word('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
		if ((HTTP_FOLDED(second) & ~0ULL >> 16) != http_word('l', 'e', 'n', 'g', 't', 'h', 0, 0)) {
			body->place = HTTP_IN_OTHER_NAME;
			return 1;
		}
		if (first >> 56 != '-' || (second >> 48 & 255) != ':')
			return 0;
		body->place = HTTP_AT_VALUE;
		http_name_end(body, HTTP_NAME_CONTENT_LENGTH, 0);
		return 15;
	}
	if (folded == http_word('c', 'o', 'n', 'n', 'e', 'c', 't', 'i')) {
		if ((HTTP_FOLDED(second) & 0xffff) != ('o' | 'n' << 8) || (second >> 16 & 255) != ':')
			return 0;
		body->place = HTTP_AT_VALUE;
		http_name_end(body, HTTP_NAME_CONNECTION, 0);
		return 11;
	}
	if (folded == http_word('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'))
		return 0;
	body->place = HTTP_IN_OTHER_NAME;
	return 1;
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

/* As http_request_run(): some bytes at which there is nothing to do but to go on. */
__noinline int http_answer_run(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 end)
{
	__u32 at, place, byte = 0, entry = HTTP_TURN;

	if (!reader || !chunk)
		return 0;
	at = reader->body.at;
	place = reader->body.place;
	if (place == HTTP_IN_UNASKED)
		at = http_unknown(&reader->body, http_pass_over(chunk, at, end));
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

static __always_inline __u32 http_answer_head(struct http_answer_reader *reader, const struct http_chunk *chunk, __u32 length)
{
	struct http_body *body = &reader->body;
	__u32 at, stop = HTTP_MORE, room = HTTP_HEAD_MAX - body->head_bytes, end = length < room ? length : room;
	int fault = 0;

	body->at = 0;
	http_times(HTTP_CHUNK + 1) {
		__u32 found = opaque((__u32)http_answer_run(reader, chunk, end)), byte = found >> 8 & 255, to = found & (HTTP_HEAD_PLACES - 1), read = 1;

		at = body->at;
		if (at >= end)
			break;
		if ((__s8)found > 0)
			continue;
		if (to && body->place == HTTP_AT_FIELD && at + 16 <= end)
			read = http_answer_name_words(body, chunk, at);
		else if (!to && body->place == HTTP_AT_LAST && byte == '\n')
			fault = http_answer_end(reader), stop = HTTP_HEAD;
		else if (!to)
			fault = http_place_fault(body->place, false);
		else
			fault = http_answer_turn(reader, to, byte);
		if (!read) {
			read = 1;
			fault = http_answer_turn(reader, to, byte);
		}
		if (fault)
			break;
		body->at = at + read;
		if (stop)
			break;
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

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Requests by lines, as http_reader_words.h has it: rows of the automata go on with each byte all the same. Included by http_reader_request.h. */
#pragma once

#define HTTP_TARGET_STRIDE 192	/* bytes of a target that are gone through at once */
#define HTTP_SHORT_METHOD  7
#define HTTP_SHORT_HOST    64

/* " HTTP/1.1" and the line's end; 0: that is not here. */
static __always_inline __u32 http_version_words(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 last = http_word_at(chunk, at + 8) & 0xffffff;

	if (at + 11 > http_end_of(body) || http_word_at(chunk, at) != http_word(' ', 'H', 'T', 'T', 'P', '/', '1', '.') || (last | 1) != ('1' | HTTP_LINE_END << 8))
		return 0;
	body->minor = last & 1;
	return at + 11;
}

/* From a request's first byte on: a method of a few letters and the beginning of its path, which is gone on with as far as it is usual. */
static __always_inline bool http_request_line(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk)
{
	struct http_body *body = &reader->body;
	__u32 begin = *(volatile __u16 *)&body->at, at, row = set->method, place = HTTP_AT_SLASH, entry = 0, length;
	__u64 word = http_word_at(chunk, begin), method = word, marks = http_not_name(word);

	/* Memory forgets, as in http_unknown(). */
	*(volatile __u16 *)&reader->method_length = http_bytes_before(marks);
	length = *(volatile __u16 *)&reader->method_length;
	at = begin + length + 1;
	if (!marks || !length || length > HTTP_SHORT_METHOD || at >= http_end_of(body) || (http_word_at(chunk, at - 1) & 0xffff) != (' ' | '/' << 8) || http_request_begin(reader, set))
		return false;
	for (int i = 0; i < HTTP_SHORT_METHOD; i++, word >>= 8) {
		if (i >= *(volatile __u16 *)&reader->method_length)
			break;
		row = http_step(set, row, word);
	}
	length = *(volatile __u16 *)&reader->method_length;
	reader->passes = http_mask(set, row);
	body->flags = HTTP_ORIGIN_FORM;
	http_method_is(body, method & ~0ULL >> ((64 - 8 * length) & 63));
	body->begin = body->piece = begin;
	at = http_unknown(body, begin + length + 2);
	row = http_step(set, set->path, '/');
	for (int i = 0; i < HTTP_TARGET_STRIDE; i++) {
		__u32 byte = chunk->bytes[at & (HTTP_CHUNK - 1)];

		if (at >= http_end_of(body))
			break;
		entry = http_places[place & (HTTP_HEAD_PLACES - 1)][byte];
		if ((__s8)entry <= 0)
			break;
		place = entry;
		row = http_step(set, row, byte);
		at++;
	}
	at = http_unknown(body, at);
	body->row = row;
	body->place = place;
	return entry == (HTTP_TURN | HTTP_AT_VERSION);
}

/* Behind a path, at the blank. */
static __always_inline void http_request_line_end(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk)
{
	struct http_body *body = &reader->body;
	__u32 at = *(volatile __u16 *)&body->at, next = http_version_words(body, chunk, at);

	if (!next)
		return;
	at -= body->begin;
	reader->target_length = at - reader->method_length - 1;
	for (int i = 0; i < (HTTP_SHORT_METHOD + 2 + HTTP_TARGET_STRIDE + 7) / 8; i++) {
		if (i * 8 >= at)
			break;
		((__u64 *)reader->line)[i] = http_word_at(chunk, body->begin + i * 8);
	}
	reader->passes &= http_mask(set, body->row);
	reader->second = reader->passes;
	body->place = HTTP_AT_FIELD;
	http_unknown(body, next);
}

/* Host, as it is nearly always, and for the first time. */
static __always_inline __u32 http_host_line(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk, __u32 at)
{
	struct http_body *body = &reader->body;
	__u32 length = 0, row = set->host, next;

	if (http_has(body, HTTP_NAME_HOST) || chunk->bytes[(at + 4) & (HTTP_CHUNK - 1)] != ':')
		return 0;
	at = http_pass_blank(chunk, at + 5);
	for (int i = 0; i < HTTP_SHORT_HOST / 8; i++) {
		__u64 word = http_word_at(chunk, at + i * 8), marks = http_not_host(word);

		((__u64 *)reader->host)[i] = word;
		length = i * 8 + http_bytes_before(marks);
		if (marks)
			break;
	}
	/* Memory forgets; it is 0 again where this is not taken. */
	*(volatile __u16 *)&reader->host_length = length;
	length = *(volatile __u16 *)&reader->host_length;
	next = http_line_end(body, chunk, at + length);
	if (!next || !length) {
		reader->host_length = 0;
		return 0;
	}
	if (set->asks_host) {
		for (int i = 0; i < HTTP_SHORT_HOST && i < length; i++)
			row = http_step(set, row, chunk->bytes[(at + i) & (HTTP_CHUNK - 1)]);
	}
	reader->host_row = row;
	body->has |= 1 << HTTP_NAME_HOST;
	body->field_count++;
	return next;
}

/* As http_usual_field(), and 0 where a rule may ask for the name, or it is one of those that are not usual. */
static __always_inline __u32 http_request_field(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk, __u32 at)
{
	__u64 first = HTTP_FOLDED(http_word_at(chunk, at));
	__u32 letter = (first & 255) - 'a';

	if (set->initials >> (letter < 26 ? letter : 31) & 1)
		return 0;
	if ((__u32)first == ('h' | 'o' << 8 | 's' << 16 | 't' << 24))
		return http_host_line(reader, set, chunk, at);
	if (first == http_word('u', 'p', 'g', 'r', 'a', 'd', 'e', ':') || (first & ~0ULL >> 8) == http_word('e', 'x', 'p', 'e', 'c', 't', ':', 0) || first == http_word('t', 'r', 'a', 'c', 'e', 'p', 'a', 'r'))
		return 0;
	return http_usual_field(&reader->body, chunk, at);
}

/* Lines from body->at on, as long as they are of the usual kind, and 8 at most: then not 0. Verified once. */
__noinline int http_request_lines(struct http_reader *reader, const struct http_set *set, const struct http_chunk *chunk)
{
	struct http_body *body;

	if (!reader || !set || !chunk)
		return 0;
	body = &reader->body;
	if (body->place == HTTP_AT_START && http_request_line(reader, set, chunk))
		http_request_line_end(reader, set, chunk);
	for (int i = 0; i < HTTP_LINES; i++) {
		__u32 at = *(volatile __u16 *)&body->at, next;

		if (at >= http_end_of(body) || body->field_count >= HTTP_FIELDS_MAX)
			return 0;
		if (body->place == HTTP_AT_FIELD) {
			next = http_request_field(reader, set, chunk, at);
			if (!next)
				return 0;
			at = http_unknown(body, next);
			if (*(volatile __u8 *)&body->place == HTTP_AT_FIELD)
				continue;
		}
		if (*(volatile __u8 *)&body->place != HTTP_IN_UNASKED)
			return 0;
		at = http_unknown(body, http_pass_over(body, chunk, at));
		next = http_line_end(body, chunk, at);
		if (!next)
			return 0;
		body->field_count++;
		body->place = HTTP_AT_FIELD;
		http_unknown(body, next);
	}
	return 1;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where a chunked body ends (RFC 9112 §7.1), byte by byte: sizes, extensions and trailers. As src/proxy/http1/body.ts. Included by http_reader.h. */
#pragma once

#define HTTP_SIZE_DIGITS 13

static __always_inline int http_body_go(struct http_body *body, enum http_place place)
{
	body->place = place;
	return 0;
}

static __always_inline int http_extension_go(struct http_body *body, enum http_place place, bool begins)
{
	body->extension_begins = begins;
	if (++body->extensions > HTTP_EXTENSIONS_MAX)
		return HTTP_FAULT_CHUNK_EXTENSION;
	return http_body_go(body, place);
}

static __always_inline int http_trailer_go(struct http_body *body, enum http_place place)
{
	return ++body->trailers > HTTP_TRAILERS_MAX ? HTTP_FAULT_TRAILER : http_body_go(body, place);
}

static __always_inline int http_size_byte(struct http_body *body, __u32 byte)
{
	__u32 lower = byte | 32, digit = byte - '0' < 10 ? byte - '0' : lower - 'a' < 6 ? lower - 'a' + 10 : 255;

	if (digit != 255) {
		if (++body->digits > HTTP_SIZE_DIGITS)
			return HTTP_FAULT_CHUNK_SIZE;
		body->opaque = body->opaque * 16 + digit;
		return http_body_go(body, HTTP_IN_SIZE);
	}
	if (body->place == HTTP_AT_SIZE)
		return HTTP_FAULT_CHUNK_SIZE;
	if (byte == '\r')
		return http_body_go(body, HTTP_AT_SIZE_END);
	return byte == ';' ? http_extension_go(body, HTTP_IN_EXTENSION, true) : HTTP_FAULT_CHUNK_SIZE;
}

static __always_inline int http_extension_end(struct http_body *body, __u32 byte)
{
	if (byte == '\r')
		return http_body_go(body, HTTP_AT_SIZE_END);
	return byte == ';' ? http_extension_go(body, HTTP_IN_EXTENSION, true) : HTTP_FAULT_CHUNK_EXTENSION;
}

/* *( ";" token [ "=" ( token / quoted-string ) ] ), without blanks, as llhttp has it. */
static __always_inline int http_extension_byte(struct http_body *body, __u32 byte)
{
	switch (body->place) {
	case HTTP_IN_EXTENSION:
		if (http_is(byte, HTTP_TOKEN))
			return http_extension_go(body, HTTP_IN_EXTENSION, false);
		if (body->extension_begins)
			return HTTP_FAULT_CHUNK_EXTENSION;
		return byte == '=' ? http_extension_go(body, HTTP_AT_EXTENSION_VALUE, false) : http_extension_end(body, byte);
	case HTTP_AT_EXTENSION_VALUE:
		if (byte == '"')
			return http_extension_go(body, HTTP_IN_QUOTED, false);
		return http_is(byte, HTTP_TOKEN) ? http_extension_go(body, HTTP_IN_EXTENSION_VALUE, false) : HTTP_FAULT_CHUNK_EXTENSION;
	case HTTP_IN_EXTENSION_VALUE:
		return http_is(byte, HTTP_TOKEN) ? http_extension_go(body, HTTP_IN_EXTENSION_VALUE, false) : http_extension_end(body, byte);
	case HTTP_IN_QUOTED:
		if (byte == '"')
			return http_extension_go(body, HTTP_AT_QUOTED_END, false);
		if (byte == '\\')
			return http_extension_go(body, HTTP_AT_ESCAPED, false);
		return http_is(byte, HTTP_VALUE) ? http_extension_go(body, HTTP_IN_QUOTED, false) : HTTP_FAULT_CHUNK_EXTENSION;
	case HTTP_AT_ESCAPED:
		return http_is(byte, HTTP_VALUE) ? http_extension_go(body, HTTP_IN_QUOTED, false) : HTTP_FAULT_CHUNK_EXTENSION;
	default:
		return http_extension_end(body, byte);
	}
}

/* What a trailer may not be: servers may take trailers for headers. What frames messages, or what rules and flows ask for, the automaton knows too. */
static __always_inline bool http_trailer_is_forbidden(const struct http_body *body, const struct http_set *set)
{
	if (set && http_mask(set, body->row))
		return true;
	return http_text_is(body, HTTP_TEXT_AUTHORIZATION) || http_text_is(body, HTTP_TEXT_CONNECTION) || http_text_is(body, HTTP_TEXT_CONTENT_ENCODING) ||
	       http_text_is(body, HTTP_TEXT_CONTENT_LENGTH) || http_text_is(body, HTTP_TEXT_CONTENT_TYPE) || http_text_is(body, HTTP_TEXT_COOKIE) ||
	       http_text_is(body, HTTP_TEXT_EXPECT) || http_text_is(body, HTTP_TEXT_HOST) || http_text_is(body, HTTP_TEXT_KEEP_ALIVE) ||
	       http_text_is(body, HTTP_TEXT_TE) || http_text_is(body, HTTP_TEXT_TRAILER) || http_text_is(body, HTTP_TEXT_TRANSFER_ENCODING) ||
	       http_text_is(body, HTTP_TEXT_UPGRADE);
}

static __always_inline int http_trailer_name(struct http_body *body, const struct http_set *set, __u32 byte)
{
	if (http_is(byte, HTTP_TOKEN)) {
		http_text_add(body, http_lower(byte));
		if (set)
			body->row = http_step(set, body->row, byte);
		return http_trailer_go(body, HTTP_IN_TRAILER_NAME);
	}
	if (byte != ':' || !body->text_length || http_trailer_is_forbidden(body, set))
		return HTTP_FAULT_TRAILER;
	return http_trailer_go(body, HTTP_IN_TRAILER_VALUE);
}

static __always_inline int http_trailer_byte(struct http_body *body, const struct http_set *set, __u32 byte)
{
	switch (body->place) {
	case HTTP_AT_DATA_END:
		return byte == '\r' ? http_body_go(body, HTTP_AT_DATA_LINE) : HTTP_FAULT_CHUNK_END;
	case HTTP_AT_DATA_LINE:
		return byte == '\n' ? http_body_go(body, HTTP_AT_SIZE) : HTTP_FAULT_CHUNK_END;
	case HTTP_AT_BODY_END:
		return byte == '\n' ? http_body_go(body, HTTP_AT_START) : HTTP_FAULT_TRAILER;
	case HTTP_AT_TRAILER:
		if (byte == '\r')
			return http_body_go(body, HTTP_AT_BODY_END);
		http_text_clear(body);
		body->row = set ? set->names : 0;
		return http_trailer_name(body, set, byte);
	case HTTP_IN_TRAILER_NAME:
		return http_trailer_name(body, set, byte);
	case HTTP_IN_TRAILER_VALUE:
		if (byte == '\r')
			return http_body_go(body, HTTP_AT_TRAILER_END);
		return http_is(byte, HTTP_VALUE) ? http_trailer_go(body, HTTP_IN_TRAILER_VALUE) : HTTP_FAULT_TRAILER;
	default:
		return byte == '\n' ? http_body_go(body, HTTP_AT_TRAILER) : HTTP_FAULT_TRAILER;
	}
}

static __always_inline int http_body_byte(struct http_body *body, const struct http_set *set, __u32 byte)
{
	switch (body->place) {
	case HTTP_AT_SIZE:
	case HTTP_IN_SIZE:
		return http_size_byte(body, byte);
	case HTTP_AT_SIZE_END:
		if (byte != '\n')
			return HTTP_FAULT_CHUNK_SIZE;
		body->digits = 0;
		return http_body_go(body, body->opaque ? HTTP_IN_DATA : HTTP_AT_TRAILER);
	default:
		return body->place < HTTP_IN_DATA ? http_extension_byte(body, byte) : http_trailer_byte(body, set, byte);
	}
}

/* Number of bytes read, and the stop above it. `set`: whose names trailers may not have either; NULL of answers. */
static __always_inline __u32 http_body_read(struct http_body *body, const struct http_set *set, const struct http_chunk *chunk, __u32 length)
{
	__u32 stop = HTTP_MORE, i, done = 0;

	http_each(i, 0, HTTP_CHUNK) {
		int fault;

		if (i >= length)
			break;
		if (http_is_opaque(body)) {
			stop = HTTP_OPAQUE;
			break;
		}
		fault = http_body_byte(body, set, chunk->bytes[i & (HTTP_CHUNK - 1)]);
		if (fault) {
			body->fault = fault;
			stop = HTTP_FAULT;
			break;
		}
		done = i + 1;
		if (body->place == HTTP_AT_START) {
			stop = HTTP_END;
			break;
		}
	}
	return done | stop << 16;
}

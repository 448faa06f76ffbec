/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A path as servers read it that clean paths up (src/policy/l7-path.ts): they decode what needs no escape, merge slashes, and follow `.` and
 * `..`. Rules must let both readings pass, as the bytes go on unchanged. Nearly no path has two; where one may, its bytes are gone through once
 * more, with nothing written down but the rows behind its slashes, to which dots lead back. The same in src/policy/http-second-reading.ts.
 * Included by http_reader_request.h.
 */
#pragma once

/* What a segment is so far. */
enum http_segment {
	HTTP_SEGMENT_EMPTY = 0,
	HTTP_SEGMENT_DOT,
	HTTP_SEGMENT_DOTS,
	HTTP_SEGMENT_OTHER,
	HTTP_SEGMENT_DOT_MORE,	/* `.;x`: for servers that know parameters of segments a dot */
	HTTP_SEGMENT_DOTS_MORE,
	HTTP_SEGMENT_QUERY,	/* all that follows is as it stands */
};

static __always_inline __u32 http_hex(__u32 byte)
{
	__u32 lower = byte | 32;

	return byte - '0' < 10 ? byte - '0' : lower - 'a' < 6 ? lower - 'a' + 10 : 16;
}

/* Letters, digits, `-._~`, and slashes of both kinds. Escapes of others stay what they are. */
static __always_inline bool http_needs_no_escape(__u32 byte)
{
	return (byte | 32) - 'a' < 26 || byte - '-' < 13 || byte == '_' || byte == '~' || byte == '\\';
}

static __always_inline __u32 http_segment_after(__u32 segment, __u32 byte)
{
	if (byte == '?' || segment >= HTTP_SEGMENT_DOT_MORE)
		return byte == '?' ? HTTP_SEGMENT_QUERY : segment;
	if (byte == '.' && segment < HTTP_SEGMENT_DOTS)
		return segment + 1;
	if (byte == ';' && (segment == HTTP_SEGMENT_DOT || segment == HTTP_SEGMENT_DOTS))
		return segment + HTTP_SEGMENT_OTHER;
	return HTTP_SEGMENT_OTHER;
}

#define HTTP_NOWHERE ~0U

/* The row that the segment's end leads back to, HTTP_NOWHERE above the root; `row` where it is a segment like others. */
static __always_inline __u32 http_segment_end(struct http_reader *reader, __u32 row)
{
	switch (reader->segment) {
	case HTTP_SEGMENT_DOTS:
	case HTTP_SEGMENT_DOTS_MORE:
		if (reader->depth <= 1)
			return HTTP_NOWHERE;
		reader->depth--;
		return reader->behind[reader->depth & HTTP_DEEPEST];
	case HTTP_SEGMENT_DOT:
	case HTTP_SEGMENT_DOT_MORE:
		return reader->behind[reader->depth & HTTP_DEEPEST];
	}
	return row;
}

enum http_reading {
	HTTP_READING_DONE = 0,
	HTTP_READING_TOO_LONG,	/* or too deep */
	HTTP_READING_NOWHERE,	/* above the root, or the end of a string (%00) */
};

/* Leaves in `second` which rules hold of the path's second reading, when that is done. Returns enum http_reading. Verified once. */
__noinline int http_second_reading(struct http_reader *reader, const struct http_set *set)
{
	__u32 i, first, end, row, skip = 0;

	if (!reader || !set)
		return HTTP_READING_NOWHERE;
	reader->second = 0;
	reader->depth = 0;
	reader->segment = HTTP_SEGMENT_EMPTY;
	first = reader->method_length + 1;
	end = first + reader->target_length;
	if (end > HTTP_LINE)
		return HTTP_READING_TOO_LONG;
	row = set->path;
	http_each(i, 0, HTTP_LINE) {
		__u32 at = (first + i) & (HTTP_LINE - 1), byte;

		if (first + i >= end)
			break;
		if (skip) {
			skip--;
			continue;
		}
		byte = reader->line[at];
		if (reader->segment == HTTP_SEGMENT_QUERY) {
			row = http_step(set, row, byte);
			continue;
		}
		if (byte == '%' && first + i + 2 < end) {
			__u32 high = http_hex(reader->line[at + 1]), low = http_hex(reader->line[at + 2]), plain = high << 4 | low;

			if (high < 16 && low < 16) {
				if (!plain)
					return HTTP_READING_NOWHERE;
				if (http_needs_no_escape(plain)) {
					byte = plain == '\\' ? '/' : plain;
					skip = 2;
				}
			}
		}
		if (byte != '/') {
			if (byte == '?')
				row = http_segment_end(reader, row);
			if (row == HTTP_NOWHERE)
				return HTTP_READING_NOWHERE;
			reader->segment = http_segment_after(reader->segment, byte);
			row = http_step(set, row, byte);
			continue;
		}
		if (!reader->depth || reader->segment == HTTP_SEGMENT_OTHER) {
			if (reader->depth == HTTP_DEEPEST)
				return HTTP_READING_TOO_LONG;
			row = http_step(set, row, '/');
			reader->depth++;
			reader->behind[reader->depth & HTTP_DEEPEST] = row;
		} else {
			row = http_segment_end(reader, row);
			if (row == HTTP_NOWHERE)
				return HTTP_READING_NOWHERE;
		}
		reader->segment = HTTP_SEGMENT_EMPTY;
	}
	row = http_segment_end(reader, row);
	if (row == HTTP_NOWHERE)
		return HTTP_READING_NOWHERE;
	reader->second = http_mask(set, row);
	return HTTP_READING_DONE;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Heads as they usually are, eight bytes at a time. Nothing is decided here: these are ways through http_places that the same bytes would go one
 * by one, up to the first that is odd, cut off, or longer than is usual; from there on the table says what becomes of it. Bytes from `end` on
 * mean nothing, whatever they look like: what reaches beyond it is not taken. Included by http_reader.h.
 */
#pragma once

#define HTTP_BYTES(byte) (0x0101010101010101ULL * (byte))
#define HTTP_LINE_END ('\r' | '\n' << 8)

/* Letters in lower case; of other bytes nothing is said. */
#define HTTP_FOLDED(word) ((word) | HTTP_BYTES(0x20))

/* Words that are gone through in a turn of a loop: they share its cost. */
#define HTTP_STRIDE 16
#define HTTP_LINES 8
#define HTTP_NAME_WORDS 4

/* `at` is below HTTP_CHUNK, or the word means nothing. Through a variable, as clang 19 would put a word of an array of bytes together byte by byte. */
static __always_inline __u64 http_word_at(const struct http_chunk *chunk, __u32 at)
{
	const __u64 *word = (const __u64 *)&chunk->bytes[at & (HTTP_CHUNK - 1)];

	return *word;
}

/*
 * Of eight bytes, marks in the highest bits: the first one is that of the first byte that is odd, those behind it say nothing. Borrows and carries
 * only come from bytes that are odd. Nobody waits for where a mark is before the next word is looked at.
 */
static __always_inline __u64 http_not_plain(__u64 word)	/* not in a value, or a tab */
{
	__u64 deletes = word ^ HTTP_BYTES(0x7f);

	return (((word - HTTP_BYTES(0x20)) & ~word) | ((deletes - HTTP_BYTES(1)) & ~deletes)) & HTTP_BYTES(0x80);
}

static __always_inline __u64 http_not_name(__u64 word)	/* no letter, digit or '-', of which nearly all names are */
{
	__u64 folded = HTTP_FOLDED(word), letters = (folded + HTTP_BYTES(0x80 - 'a')) & ~(folded + HTTP_BYTES(0x7f - 'z'));
	__u64 digits = (word + HTTP_BYTES(0x80 - '0')) & ~(word + HTTP_BYTES(0x7f - '9')), dashes = ~((word ^ HTTP_BYTES('-')) + HTTP_BYTES(0x7f));

	return (~(letters | digits | dashes) | word) & HTTP_BYTES(0x80);
}

static __always_inline __u64 http_not_host(__u64 word)	/* no letter, digit, '-', '.' or ':' */
{
	__u64 folded = HTTP_FOLDED(word), letters = (folded + HTTP_BYTES(0x80 - 'a')) & ~(folded + HTTP_BYTES(0x7f - 'z'));
	__u64 digits = (word + HTTP_BYTES(0x80 - '0')) & ~(word + HTTP_BYTES(0x7f - ':')), dashes = (word + HTTP_BYTES(0x80 - '-')) & ~(word + HTTP_BYTES(0x7f - '.'));

	return (~(letters | digits | dashes) | word) & HTTP_BYTES(0x80);
}

static __always_inline __u64 http_not_digit(__u64 word)
{
	__u64 values = word ^ HTTP_BYTES('0');

	return ((values + HTTP_BYTES(0x80 - 10)) | values) & HTTP_BYTES(0x80);
}

/* How many bytes lie before the first mark. */
static __always_inline __u32 http_bytes_before(__u64 marks)
{
	/* Below its highest bit all are ones. */
	return marks ? ((((marks & -marks) - 1) & HTTP_BYTES(1)) * HTTP_BYTES(1) >> 56) - 1 : 8;
}

/* The number that the first `count` bytes say, one to eight digits. */
static __always_inline __u64 http_digits_value(__u64 word, __u32 count)
{
	__u64 values = (word ^ HTTP_BYTES('0')) << (64 - 8 * count), pairs = values * 10 + (values >> 8);

	return ((pairs & 0x000000ff000000ffULL) * (100 + (1000000ULL << 32)) + (pairs >> 16 & 0x000000ff000000ffULL) * (1 + (10000ULL << 32))) >> 32;
}

/* Up to what ends a value or a reason, some hundred bytes at most. */
static __always_inline __u32 http_pass_over(const struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u32 end;

	for (int i = 0; i < HTTP_STRIDE; i++) {
		__u64 marks = http_not_plain(http_word_at(chunk, at));

		if (marks) {
			at += http_bytes_before(marks);
			break;
		}
		at += 8;
	}
	end = http_end_of(body);
	return at < end ? at : end;
}

/* Behind the colon of a name of usual bytes that begins here; 0: it is to be looked at byte by byte. */
static __always_inline __u32 http_pass_name(const struct http_body *body, const struct http_chunk *chunk, __u32 begin)
{
	__u32 at = begin;

	for (int i = 0; i < HTTP_NAME_WORDS; i++) {
		__u64 marks = http_not_name(http_word_at(chunk, at));

		if (marks) {
			at += http_bytes_before(marks);
			break;
		}
		at += 8;
	}
	return at > begin && at < http_end_of(body) && chunk->bytes[at & (HTTP_CHUNK - 1)] == ':' ? at + 1 : 0;
}

/* Behind the line's end, if it is here; else 0. */
static __always_inline __u32 http_line_end(const struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	return at + 2 <= http_end_of(body) && (http_word_at(chunk, at) & 0xffff) == HTTP_LINE_END ? at + 2 : 0;
}

/* Behind the one blank that most values have before them. */
static __always_inline __u32 http_pass_blank(const struct http_chunk *chunk, __u32 at)
{
	return at + (chunk->bytes[at & (HTTP_CHUNK - 1)] == ' ');
}

/*
 * Whole fields that frame messages, from the name on: behind the line, or 0 if it is not of the usual kind. What is written is what its bytes
 * would have left.
 */
static __always_inline __u32 http_length_line(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 second = http_word_at(chunk, at + 8), word;
	__u32 count, next;

	if (chunk->bytes[(at + 7) & (HTTP_CHUNK - 1)] != '-' || (second >> 48 & 255) != ':' || body->has & 1 << HTTP_NAME_CONTENT_LENGTH)
		return 0;
	at = http_pass_blank(chunk, at + 15);
	word = http_word_at(chunk, at);
	count = http_bytes_before(http_not_digit(word));
	next = http_line_end(body, chunk, at + count);
	if (!count || !next)
		return 0;
	body->has |= 1 << HTTP_NAME_CONTENT_LENGTH;
	body->content_length = http_digits_value(word, count);
	return next;
}

static __always_inline __u32 http_connection_line(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 first, second;
	__u32 flag;

	if (chunk->bytes[(at + 10) & (HTTP_CHUNK - 1)] != ':')
		return 0;
	at = http_pass_blank(chunk, at + 11);
	first = http_word_at(chunk, at);
	second = http_word_at(chunk, at + 8);
	if (HTTP_FOLDED(first) == http_word('k', 'e', 'e', 'p', '-', 'a', 'l', 'i') && (first >> 32 & 255) == '-' && (HTTP_FOLDED(second) & 0xffff) == ('v' | 'e' << 8)) {
		flag = HTTP_SAYS_KEEP;
		at += 10;
	} else if ((HTTP_FOLDED(first) & ~0ULL >> 24) == http_word('c', 'l', 'o', 's', 'e', 0, 0, 0)) {
		flag = HTTP_SAYS_CLOSE;
		at += 5;
	} else {
		return 0;
	}
	at = http_line_end(body, chunk, at);
	if (!at)
		return 0;
	body->repeated |= body->has & 1 << HTTP_NAME_CONNECTION;
	body->has |= 1 << HTTP_NAME_CONNECTION;
	body->flags |= flag;
	return at;
}

static __always_inline __u32 http_encoding_line(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 second = http_word_at(chunk, at + 8), third = http_word_at(chunk, at + 16);

	if (HTTP_FOLDED(second) != http_word('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') || (second & 255) != '-' || (third & 0xffdf) != ('G' | ':' << 8))
		return 0;
	at = http_pass_blank(chunk, at + 18);
	if ((HTTP_FOLDED(http_word_at(chunk, at)) & ~0ULL >> 8) != http_word('c', 'h', 'u', 'n', 'k', 'e', 'd', 0))
		return 0;
	at = http_line_end(body, chunk, at + 7);
	if (!at)
		return 0;
	body->repeated |= body->has & 1 << HTTP_NAME_TRANSFER_ENCODING;
	body->has |= 1 << HTTP_NAME_TRANSFER_ENCODING;
	return at;
}

/*
 * A field, from its name on, as far as it can be gone through at once; 0: its name is to be looked at byte by byte. Only of names that nobody asks
 * for but the reader of answers.
 */
static __always_inline __u32 http_usual_field(struct http_body *body, const struct http_chunk *chunk, __u32 at)
{
	__u64 first = HTTP_FOLDED(http_word_at(chunk, at)), second = HTTP_FOLDED(http_word_at(chunk, at + 8));

	if (first == http_word('c', 'o', 'n', 't', 'e', 'n', 't', '-') && (second & ~0ULL >> 16) == http_word('l', 'e', 'n', 'g', 't', 'h', 0, 0)) {
		at = http_length_line(body, chunk, at);
	} else if (first == http_word('c', 'o', 'n', 'n', 'e', 'c', 't', 'i') && (second & 0xffff) == ('o' | 'n' << 8)) {
		at = http_connection_line(body, chunk, at);
	} else if (first == http_word('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
		at = http_encoding_line(body, chunk, at);
	} else {
		at = http_pass_name(body, chunk, at);
		if (at)
			body->place = HTTP_IN_UNASKED;
		return at;
	}
	if (at)
		body->field_count++;
	return at;
}

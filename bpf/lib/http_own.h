/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Segments that nobody has sent: answers in the pod's name, acknowledgements, and resets. Each takes the place of a segment that came. */
#pragma once

#include "http_numbers.h"

/* Rows of http_texts. */
enum http_own {
	HTTP_OWN_DENIED = 0,
	HTTP_OWN_DENIED_HEAD = 1,	/* of a HEAD: without the body */
	HTTP_OWN_LAST = 2,		/* with `connection: close` */
	HTTP_OWN_LAST_HEAD = 3,
	HTTP_OWN_FAULTS = 4,		/* and the fault's number */
	HTTP_OWN_OURS = 31,		/* and its number less 64: faults that the proxy does not have */
	HTTP_OWN_TEXTS = 33,
	HTTP_OWN_NONE = 255,
};

struct http_text {
	__u64 length;
	char bytes[192];
};
_Static_assert(sizeof(struct http_text) == 200, "http_text");
_Static_assert(sizeof(((struct http_text *)0)->bytes) <= HTTP_OWN_MAX, "http_own_max");

#define HTTP_TEXT(text) { sizeof(text) - 1, text }
#define HTTP_CHECKED_TEXT(condition, text) { sizeof(text) - sizeof(char[(condition) ? 1 : -1]), text }
#define HTTP_DENIED_TEXT(more) "HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n" more "\r\n"
/* `length` is that of the body. */
#define HTTP_FAULT_TEXT(status, reason, length, text) \
	HTTP_CHECKED_TEXT(sizeof(reason ": " text "\r\n") - 1 == length, "HTTP/1.1 " #status " " reason "\r\ncontent-length: " #length "\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n" reason ": " text "\r\n")
#define HTTP_BAD(length, text) HTTP_FAULT_TEXT(400, "Bad Request", length, text)
#define HTTP_LARGE(length, text) HTTP_FAULT_TEXT(431, "Request Header Fields Too Large", length, text)

/* Byte by byte those of src/proxy/http1/answers.ts, and the reasons those of faults.ts. */
static const struct http_text http_texts[HTTP_OWN_TEXTS] = {
	[HTTP_OWN_DENIED] = HTTP_TEXT(HTTP_DENIED_TEXT("") "Access denied\r\n"),
	[HTTP_OWN_DENIED_HEAD] = HTTP_TEXT(HTTP_DENIED_TEXT("")),
	[HTTP_OWN_LAST] = HTTP_TEXT(HTTP_DENIED_TEXT("connection: close\r\n") "Access denied\r\n"),
	[HTTP_OWN_LAST_HEAD] = HTTP_TEXT(HTTP_DENIED_TEXT("connection: close\r\n")),
	[HTTP_OWN_FAULTS + 0] = HTTP_BAD(24, "malformed"),
	[HTTP_OWN_FAULTS + 1] = HTTP_BAD(37, "the method is no token"),
	[HTTP_OWN_FAULTS + 2] = HTTP_BAD(46, "the request target is malformed"),
	[HTTP_OWN_FAULTS + 3] = HTTP_BAD(59, "the version is neither HTTP/1.1 nor HTTP/1.0"),
	[HTTP_OWN_FAULTS + 4] = HTTP_BAD(50, "a header field has a malformed name"),
	[HTTP_OWN_FAULTS + 5] = HTTP_BAD(51, "a header field has a malformed value"),
	[HTTP_OWN_FAULTS + 6] = HTTP_LARGE(57, "too many header fields"),
	[HTTP_OWN_FAULTS + 7] = HTTP_BAD(31, "there is no Host"),
	[HTTP_OWN_FAULTS + 8] = HTTP_BAD(42, "there is more than one Host"),
	[HTTP_OWN_FAULTS + 9] = HTTP_BAD(36, "the Host is malformed"),
	[HTTP_OWN_FAULTS + 10] = HTTP_BAD(46, "the Content-Length is no length"),
	[HTTP_OWN_FAULTS + 11] = HTTP_BAD(52, "there is more than one Content-Length"),
	[HTTP_OWN_FAULTS + 12] = HTTP_BAD(59, "the Transfer-Encoding is not \"chunked\" alone"),
	[HTTP_OWN_FAULTS + 13] = HTTP_BAD(61, "there are Content-Length and Transfer-Encoding"),
	[HTTP_OWN_FAULTS + 14] = HTTP_BAD(58, "Connection names a field that ends messages"),
	[HTTP_OWN_FAULTS + 15] = HTTP_BAD(43, "a chunk has a malformed size"),
	[HTTP_OWN_FAULTS + 16] = HTTP_BAD(59, "a chunk has malformed or too many extensions"),
	[HTTP_OWN_FAULTS + 17] = HTTP_BAD(51, "a chunk does not end where it should"),
	[HTTP_OWN_FAULTS + 18] = HTTP_BAD(61, "a trailer field is malformed or may not be one"),
	[HTTP_OWN_FAULTS + 19] = HTTP_BAD(43, "the status line is malformed"),
	[HTTP_OWN_FAULTS + 20] = HTTP_BAD(46, "an answer that nobody asked for"),
	[HTTP_OWN_FAULTS + 21] = HTTP_BAD(35, "too many empty lines"),
	[HTTP_OWN_FAULTS + 22] = HTTP_LARGE(56, "the head is too large"),
	[HTTP_OWN_FAULTS + 23] = HTTP_BAD(45, "a body where there can be none"),
	[HTTP_OWN_FAULTS + 24] = HTTP_BAD(43, "the Host is not the target's"),
	[HTTP_OWN_FAULTS + 25] = HTTP_BAD(64, "the path leads above the root, or has a zero byte"),
	[HTTP_OWN_FAULTS + 26] = HTTP_BAD(34, "CONNECT has no body"),
	[HTTP_OWN_OURS] = HTTP_BAD(59, "an absolute request target is not taken here"),
	[HTTP_OWN_OURS + 1] = HTTP_BAD(40, "CONNECT is not taken here"),
};

#define HTTP_OVER_WINDOW 1024

/* What is to be written in place of a segment. */
struct http_out {
	__u32 seq;
	__u32 ack;
	__u32 kind;		/* enum http_own */
	__be16 window;
	__u8 flags;
	__u8 pad;
};

/* To the sender of what `room` has the headers of; with its timestamps turned round, which is what its peer could say at the earliest. */
__noinline int http_write(struct __sk_buff *skb, struct http_room *room, const struct http_out *out)
{
	enum checksum_state state = checksum_state_of(skb);
	struct http_answer_segment *own;
	struct tcphdr *tcp;
	__u64 length = 0, size, kind;

	if (!room || !out)
		return -DROP_WRITE_ERROR;
	own = &room->own;
	tcp = (struct tcphdr *)own->tcp;
	http_times_read(skb, room);
	__builtin_memset(own, 0, member_offset(struct http_answer_segment, payload));
	kind = opaque(out->kind);
	if (kind < HTTP_OWN_TEXTS) {
		__builtin_memcpy(own->payload, http_texts[kind].bytes, sizeof(http_texts[0].bytes));
		length = http_texts[kind].length;
	}
	length = opaque(length);
	if (length > sizeof(http_texts[0].bytes))
		return -DROP_WRITE_ERROR;
	size = sizeof(*tcp) + HTTP_OWN_OPTIONS + length;
	own->pseudo.source = room->headers.destination;
	own->pseudo.destination = room->headers.source;
	own->pseudo.length = bpf_htonl(size);
	own->pseudo.protocol = bpf_htonl(IPPROTO_TCP);
	tcp->source = room->headers.destination_port;
	tcp->dest = room->headers.source_port;
	tcp->seq = bpf_htonl(out->seq);
	tcp->ack_seq = bpf_htonl(out->ack);
	tcp->doff = (sizeof(*tcp) + HTTP_OWN_OPTIONS) / 4;
	((__u8 *)tcp)[13] = out->flags;
	tcp->window = out->window;
	*(__u32 *)own->options = TCP_NOPS;
	*(__u32 *)(own->options + 4) = TCP_NOPS;
	*(__u32 *)(own->options + 8) = TCP_NOPS;
	if (room->segment.has_times) {
		*(__u16 *)(own->options + 2) = bpf_htons(TCP_OPTION_TIMES << 8 | 10);
		*(__u32 *)(own->options + 4) = room->segment.time_echo;
		*(__u32 *)(own->options + 8) = room->segment.time_value;
	}
	if (state == CHECKSUM_HELPERS && !http_resize(skb, room->segment.l4 + size, state))
		return -DROP_WRITE_ERROR;
	if (answer_write_head(skb, &room->headers, size, IPPROTO_TCP) != CONTINUE)
		return -DROP_WRITE_ERROR;
	if (state == CHECKSUM_PSEUDO)
		tcp->check = sum_fold((__u32)bpf_csum_diff(NULL, 0, (__be32 *)own, sizeof(own->pseudo), 0));
	else
		tcp->check = checksum_of(own, opaque((sizeof(own->pseudo) + size + 3) & ~3ULL) & 511);
	if (size > sizeof(*tcp) + HTTP_OWN_OPTIONS + sizeof(http_texts[0].bytes) ||
	    bpf_skb_store_bytes(skb, room->segment.l4, tcp, size, 0))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/* Out of the pod's device, for from_pod to carry home. http_from_pod lets it by. */
static __always_inline int http_send_back(struct __sk_buff *skb, const struct http_room *room)
{
	skb->mark = MARK_OF_READER;
	return bpf_redirect(room->ifindex, BPF_F_INGRESS);
}

/* What the client need not send again: all before the last cut's end, and what the pod has acknowledged behind it. */
static __always_inline __u32 http_arrived(const struct http_connection *row)
{
	__u32 acked = http_acked(row);

	/* The pod takes nothing any more, and we all that comes. */
	if (row->phase == HTTP_OVER)
		return row->request_next;
	return sequence_difference(acked, row->cut_end) > 0 ? acked : row->cut_end;
}

/* In place of the client's segment: the last answer of ours, if it is not acknowledged, else how much has arrived. */
static __always_inline int http_answer_client(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	__u64 answers = row->answers;
	struct http_out out = { .ack = http_arrived(row), .kind = HTTP_OWN_NONE, .window = row->server_window, .flags = TCP_ACK };

	if (row->phase == HTTP_OVER)
		out.window = bpf_htons(HTTP_OVER_WINDOW);
	if (row->own_pending) {
		out.seq = row->own_start;
		out.kind = row->own_kind;
		out.flags |= TCP_PSH | (row->phase == HTTP_OVER ? TCP_FIN : 0);
	} else {
		out.seq = row->phase == HTTP_OVER ? row->own_end : (__u32)answers + http_added(answers);
	}
	if (http_write(skb, room, &out) != CONTINUE)
		return http_drop(skb, row, room, DROP_WRITE_ERROR, true);
	return http_send_back(skb, room);
}

/* What stands in `skb` goes to the client, and a reset to the pod: at `seq`, the very number that it waits for, or it would only ask back. */
static __always_inline int http_reset_pod_too(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 seq)
{
	struct http_out out = {
		.seq = seq, .ack = (__u32)row->answers, .kind = HTTP_OWN_NONE, .flags = TCP_RST | TCP_ACK,
	};
	struct addr client = room->headers.source;
	__be16 port = room->headers.source_port;

	skb->mark = MARK_OF_READER;
	bpf_clone_redirect(skb, room->ifindex, BPF_F_INGRESS);
	skb->mark = 0;
	room->headers.source = room->headers.destination;
	room->headers.destination = client;
	room->headers.source_port = room->headers.destination_port;
	room->headers.destination_port = port;
	return http_write(skb, room, &out) == CONTINUE ? TC_ACT_OK : TC_ACT_SHOT;
}

/* The client is reset in place of its segment. */
static __always_inline bool http_reset_client(struct __sk_buff *skb, struct http_room *room)
{
	struct http_out out = { .seq = room->segment.ack, .kind = HTTP_OWN_NONE, .flags = TCP_RST };

	if (!(room->segment.flags & TCP_ACK)) {
		out.seq = 0;
		out.ack = room->segment.seq + room->segment.length;
		out.flags |= TCP_ACK;
	}
	return http_write(skb, room, &out) == CONTINUE;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a client's segment is, before its bytes are read: new, sent again, or behind the end. */
#pragma once

#include "http_tcp_request.h"

/* Numbers are compared by half their range: places that nothing can lie before any more are moved on. */
#define HTTP_PLACE_OLD  (1U << 29)
#define HTTP_PLACE_MOVE (1U << 28)

static __always_inline void http_places_move(struct http_connection *row)
{
	__u64 answers = *(volatile __u64 *)&row->answers;

	if (row->own_pending)
		return;
	if (unlikely((__u32)answers - row->added_at > HTTP_PLACE_OLD)) {
		*(volatile __u32 *)&row->added_before = http_added(answers);
		*(volatile __u32 *)&row->added_at = (__u32)answers - HTTP_PLACE_MOVE;
	}
	if (unlikely(row->request_next - row->cut_end > HTTP_PLACE_OLD)) {
		/* All ranges have been acknowledged, if the last one has. */
		if (sequence_difference(row->ranges[(row->range_count - 1) & (HTTP_RANGES - 1)].end, http_acked(row)) > 0 && row->range_count)
			return;
		row->range_count = 0;
		if (row->request_next - row->told > HTTP_PLACE_OLD)
			row->told = row->request_next - HTTP_PLACE_MOVE;
		*(volatile __u32 *)&row->cut_before = row->cut;
		*(volatile __u32 *)&row->cut_start = row->request_next - HTTP_PLACE_MOVE;
		row->cut_end = row->request_next - HTTP_PLACE_MOVE;
	}
}

static __always_inline void http_client_ack(struct http_connection *row, const struct tcp_segment *segment)
{
	__u32 acked;

	if (!(segment->flags & TCP_ACK))
		return;
	if (unlikely(!row->heard))
		*(volatile __u8 *)&row->heard = 1;
	if (unlikely(row->own_pending) && sequence_difference(segment->ack, row->own_end) >= 0)
		*(volatile __u32 *)&row->own_pending = 0;
	acked = http_ack_to_pod(row, segment->ack);
	if (sequence_difference(acked, row->client_acked) > 0)
		row->client_acked = acked;
	http_places_move(row);
}

/* A row that nobody needs any more. The caller has one of the busy words, and must not let it go then. */
static __always_inline bool http_end(struct http_connection *row, __u32 *other)
{
	struct proxy_connection_key key = row->key;

	if (!http_claim(other))
		return false;
	bpf_map_delete_elem(&http_connections, &key);
	return true;
}

/*
 * FIN and its acknowledgement both ways: this was the last segment, if it is not lost behind us. What comes again then needs no row where
 * both ends have the same numbers; other rows are the sweep's.
 */
static __always_inline bool http_is_finished(const struct http_connection *row)
{
	return !http_is_moved(row) && row->request_fin && row->answer_fin && row->client_acked == (__u32)row->answers && row->server_acked == row->request_next - row->cut;
}

/* How far comparing bytes that come again has come. Offsets are of the payload. */
struct http_again {
	struct __sk_buff *skb;
	struct http_connection *row;
	struct http_room *room;
	__u32 acked;
	__u32 at;	/* the next range, in the order in which they were read */
	__s32 end;	/* of what has been read before */
	__s32 keep;	/* up to where it can be compared */
	__s32 packet;	/* as much can be left if it is cut ... */
	__s32 fits;	/* ... or so much, as no range is to be cut in two */
	__s32 behind;	/* the last range that was compared */
	int decision;	/* enum http_decision */
};

static long http_again_step(__u32 index, struct http_again *again)
{
	struct http_connection *row = again->row;
	struct http_room *room = again->room;
	const struct http_range *range = &row->ranges[again->at++ & (HTTP_RANGES - 1)];
	__s32 start = sequence_difference(range->start, room->segment.seq), end = sequence_difference(range->end, room->segment.seq);

	if (sequence_difference(range->end, again->acked) <= 0 || end <= 0)
		return 0;
	if (start >= again->end)
		return 1;
	/* Its beginning comes again before it; or never, as the pod has it, and nobody can say what else. */
	if (start < 0) {
		again->decision = sequence_difference(range->start, again->acked) < 0 ? HTTP_CHANGED : HTTP_HOLD;
		return 1;
	}
	if (end > again->end) {
		again->keep = start;
		return 1;
	}
	if (!http_owned(again->skb, room, start, end - start))
		again->decision = HTTP_HOLD;
	else if (http_hash(again->skb, room, row, room->segment.payload + start, end - start) != range->hash)
		again->decision = HTTP_CHANGED;
	if (again->decision != HTTP_PASS)
		return 1;
	if (end <= again->packet)
		again->fits = end;
	else if (again->behind <= again->packet)
		again->fits = start < again->packet ? start : again->packet;
	again->behind = end;
	return 0;
}

/*
 * May these bytes, which have been read before, pass once more? The pod takes none of those that it has acknowledged. Where they end in the
 * middle of a range, only what is before it passes: the client goes on from there, with all of it.
 */
static __noinline int http_again(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 length)
{
	__u32 acked = http_acked(row), end = room->segment.seq + length, known = row->range_count < HTTP_RANGES ? row->range_count : HTTP_RANGES;
	struct http_again again = { .skb = skb, .row = row, .room = room, .acked = acked, .at = row->range_count - known, .end = length, .keep = length };

	if (row->phase == HTTP_BLIND || sequence_difference(end, acked) <= 0)
		return HTTP_PASS;
	/* A byte in the place of the client's FIN. */
	if (row->request_fin && sequence_difference(end, row->request_next) >= 0)
		return HTTP_CHANGED;
	again.packet = skb->gso_size ? skb->gso_size : length;
	bpf_loop(known, http_again_step, &again, 0);
	if (again.decision != HTTP_PASS || again.keep == again.end)
		return again.decision;
	/* As of what is new (http_read_segment). */
	if (again.keep > again.packet)
		again.keep = again.behind <= again.packet ? again.packet : again.fits;
	room->work.keep = again.keep;
	return again.keep ? HTTP_CUT_AGAIN : HTTP_HOLD;
}

static __always_inline bool http_is_before_cut(const struct http_connection *row, const struct tcp_segment *segment)
{
	return row->cut && sequence_difference(segment->seq, row->cut_end) < 0;
}

/* Behind our last answer: what the client still sends is acknowledged, so that it reads that before it hears of a reset. */
static __always_inline int http_client_over(struct http_connection *row, const struct tcp_segment *segment)
{
	bool fin = segment->flags & TCP_FIN;
	__s32 fresh = sequence_difference(segment->seq + segment->length + fin, row->request_next);

	if (segment->flags & (TCP_RST | TCP_SYN) || (!segment->length && !fin) || sequence_difference(segment->seq, row->request_next) > 0)
		return HTTP_IGNORE;
	if (fresh > 0) {
		row->request_next += fresh;
		row->request_fin |= fin;
		row->swallowed += fresh;
	}
	return row->swallowed > HTTP_SWALLOWED_MAX ? HTTP_BREAK : HTTP_AGAIN;
}

/* Opens the connection. A peer that could send over several connections at once is not told that it may. */
static __always_inline int http_client_opens(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	if (room->segment.length || room->segment.flags & (TCP_FIN | TCP_RST | TCP_ACK))
		return HTTP_UNREADABLE;
	http_option_blank(skb, room, TCP_OPTION_MPTCP);
	if (!row->established) {
		row->request_next = row->request_first = row->cut_start = row->cut_end = room->segment.seq + 1;
		row->told = row->request_next;
	}
	return HTTP_PASS;
}

/* A segment with something in it that has not been there before, in order. */
static __always_inline int http_client_new(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 old)
{
	struct tcp_segment *segment = &room->segment;
	int decision = old ? http_again(skb, row, room, old) : HTTP_PASS;

	if (unlikely(decision != HTTP_PASS))
		return decision;
	if (unlikely(row->request_fin))
		return http_hold_new(skb, row, room, old);
	/* The client sends it again when it knows our answer. Its FIN, too: the pod would acknowledge all that is before it. */
	if (unlikely(row->own_pending && (row->phase != HTTP_SWALLOWING || !segment->length)))
		return http_hold_new(skb, row, room, old);
	if (unlikely(row->phase == HTTP_BLIND) || !segment->length) {
		if (segment->flags & TCP_FIN)
			row->request_fin = 1;
		row->request_next = segment->seq + segment->length + row->request_fin;
		return HTTP_PASS;
	}
	/* What it would have to remember of this one takes the place of what the pod has not acknowledged yet. */
	if (unlikely(!http_range_is_free(row)) && !(http_is_opaque(&row->request.body) && row->request.body.opaque >= segment->length - old))
		return http_hold_new(skb, row, room, old);
	room->work.begin = old;
	return HTTP_READ;
}

static __always_inline int http_client_segment(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	struct tcp_segment *segment = &room->segment;
	__u32 size = segment->length + !!(segment->flags & TCP_FIN);
	__s32 old = sequence_difference(row->request_next, segment->seq);

	if (!size)
		return HTTP_PASS;
	if (unlikely(old < 0))
		return HTTP_HOLD;
	/* The pod has not got its beginning: the client goes on behind that, or comes with it for ever. */
	if (unlikely(old && http_is_before_cut(row, segment)) && (old >= size || row->own_pending || row->phase != HTTP_SWALLOWING))
		return HTTP_AGAIN;
	if (likely(old < size))
		return http_client_new(skb, row, room, old);
	/* A FIN in another place than before. */
	if (unlikely(segment->flags & TCP_FIN) && !(row->request_fin && old == size))
		return HTTP_HOLD;
	return http_again(skb, row, room, segment->length);
}

/* An enum http_decision. */
static __always_inline int http_client_step(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	const struct tcp_segment *segment = &room->segment;

	if (unlikely(row->phase == HTTP_RESET))
		return HTTP_ENDED;
	/* Takes a byte out of what the pod reads, which may be one that comes later. */
	if (unlikely(segment->flags & TCP_URG))
		return HTTP_UNREADABLE;
	if (unlikely(segment->flags & TCP_SYN && row->phase != HTTP_OVER))
		return http_client_opens(skb, row, room);
	http_client_ack(row, segment);
	if (unlikely(row->phase == HTTP_OVER))
		return http_client_over(row, segment);
	if (unlikely(segment->flags & TCP_RST))
		return HTTP_PASS;
	if (unlikely(row->refused))
		return HTTP_BREAK;
	if (unlikely(!row->established))
		return HTTP_HOLD;
	if (unlikely(row->phase == HTTP_READING && (!row->set || row->opened)))
		row->phase = HTTP_BLIND;
	return http_client_segment(skb, row, room);
}

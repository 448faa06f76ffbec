/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The pod's segments: answers are read to know when an exchange is over. They pass whatever they are; where they cannot be read, or nobody
 * has asked for them, only one thing follows: a request that would be denied ends the connection, as no place for our answer is known.
 */
#pragma once

#include "http_tcp_client.h"

#define TCX_NEXT -1

static __always_inline long http_pod_lost(struct http_connection *row)
{
	struct http_counts *counts = http_counts_own();

	row->unknown = 1;
	if (counts)
		counts->unknown_answers++;
	return 1;
}

/* A server that speaks first, as those of HTTP/2 do: what its client says will end the connection. */
static __always_inline void http_unasked_tell(const struct http_connection *row)
{
	struct http_opinion opinion = { .time_ns = bpf_ktime_get_ns(), .verdict = VERDICT_DENY, .fault = HTTP_FAULT_UNASKED, .exchange = row->numbers };

	http_request_tell(row, &opinion);
}

/* Behind a head. */
static __always_inline long http_pod_head(struct http_connection *row, const struct http_exchange *exchange)
{
	const struct http_body *body = &row->answer.body;

	if (body->flags & HTTP_INTERIM)
		return 0;
	http_answer_tell(row, exchange, row->answer.status, body->minor);
	if (!(body->flags & HTTP_OPENED))
		return 0;
	row->opened = 1;
	return 1;
}

static long http_pod_read_step(__u32 index, struct http_look *look)
{
	struct http_connection *row = look->row;
	struct http_room *room = look->room;
	struct http_work *work = &room->work;
	__u32 rest = room->segment.length - work->at, length, read;
	const struct http_exchange *exchange = &row->exchanges[row->answered & (HTTP_OUTSTANDING - 1)];
	struct http_body *body = &row->answer.body;
	enum http_stop stop = HTTP_MORE;
	long over = 0;

	if (!rest || work->at > room->segment.length)
		return 1;
	if (!row->answering) {
		if (row->answered == *(volatile __u32 *)&row->asked) {
			http_unasked_tell(row);
			return http_pod_lost(row);
		}
		row->answer.head_only = !!(exchange->flags & HTTP_IS_HEAD);
		row->answer.upgrade = !!(exchange->flags & HTTP_UPGRADE);
		row->answering = 1;
	}
	if (http_is_opaque(body)) {
		read = body->opaque < rest ? body->opaque : rest;
		http_skip(body, read);
		work->at += read;
	} else {
		length = rest < HTTP_CHUNK ? rest : HTTP_CHUNK;
		if (!http_load(look->skb, room, room->segment.payload + work->at, length))
			return http_pod_lost(row);
		read = http_read_answer(&row->answer, &room->chunk, length, &stop);
		work->at += read <= length ? read : length;
		if (stop == HTTP_FAULT) {
			/* Whatever they would speak, nobody reads it: HTTP/2, or what the client has not asked for. */
			row->refused = row->answer.status == 101;
			return http_pod_lost(row);
		}
		if (stop == HTTP_HEAD)
			over = http_pod_head(row, exchange);
		if (stop == HTTP_HEAD && body->flags & HTTP_INTERIM)
			return 0;
	}
	if (http_between(body)) {
		row->answering = 0;
		/* Behind all that was written of this exchange. */
		*(volatile __u32 *)&row->answered = row->answered + 1;
	}
	return over | (work->at == room->segment.length);
}

static __always_inline int http_pod_read(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 begin)
{
	struct http_look look = { .skb = skb, .row = row, .room = room };

	if (row->unknown || row->opened || row->phase == HTTP_BLIND)
		return 0;
	room->work.at = begin;
	bpf_loop(HTTP_STEPS, http_pod_read_step, &look, 0);
	return 0;
}

static __always_inline int http_pod_pass(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u64 answers)
{
	struct tcp_segment *segment = &room->segment;
	__u32 until = row->added_at - segment->seq;

	/* Sent again, and an answer of ours lies in the middle: the rest comes again, too. */
	if (unlikely(segment->length && sequence_difference(segment->seq, row->added_at) < 0 && until < segment->length && row->added_before != http_added(answers)) &&
	    !http_cut(skb, room, until, segment->flags & ~(TCP_FIN | TCP_PSH)))
		return http_drop(skb, row, room, DROP_WRITE_ERROR, false);
	http_translate(skb, room, http_seq_to_client(row, segment->seq, answers), http_ack_to_client(row, segment->ack), http_is_moved(row));
	return TCX_NEXT;
}

/* The pod takes the connection. */
static __always_inline int http_pod_opens(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	const struct tcp_segment *segment = &room->segment;

	if (!(segment->flags & TCP_ACK) || segment->length || segment->ack != row->request_first)
		return http_drop(skb, row, room, DROP_HTTP_UNREADABLE, false);
	if (row->established && segment->seq + 1 == row->answer_first)
		return TCX_NEXT;
	/* A pod may forget whom it has answered (its answer was lost before it had left it), and answer the next SYN with other numbers. */
	if (row->established && *(volatile __u8 *)&row->heard)
		return http_drop(skb, row, room, DROP_HTTP_UNREADABLE, false);
	row->answer_first = row->client_acked = row->added_at = segment->seq + 1;
	row->server_acked = segment->ack;
	row->server_window = bpf_htons(bpf_ntohs(segment->window) >> http_scale_read(skb, room));
	*(volatile __u64 *)&row->answers = segment->seq + 1;
	*(volatile __u8 *)&row->established = 1;
	return TCX_NEXT;
}

/* The pod is told at each of its segments, until it has heard it. */
static __always_inline int http_pod_over(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	if (room->segment.flags & TCP_RST || !http_reset_client(skb, room))
		return TC_ACT_SHOT;
	return bpf_redirect_peer(skb->ifindex, 0);
}

static __always_inline int http_pod_step(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	struct tcp_segment *segment = &room->segment;
	__u32 fin = !!(segment->flags & TCP_FIN), size = segment->length + fin;
	__u64 answers;
	__s32 old;

	if (segment->flags & TCP_SYN)
		return http_pod_opens(skb, row, room);
	if (unlikely(row->phase >= HTTP_OVER || row->refused))
		return http_pod_over(skb, row, room);
	answers = *(volatile __u64 *)&row->answers;
	if (unlikely(segment->flags & TCP_RST || !row->established))
		return http_pod_pass(skb, row, room, answers);
	if (sequence_difference(segment->ack, row->server_acked) >= 0) {
		*(volatile __u32 *)&row->server_acked = segment->ack;
		row->server_window = segment->window;
	}
	old = sequence_difference(answers, segment->seq);
	if (!size || old >= (__s32)size)
		return http_pod_pass(skb, row, room, answers);
	if (unlikely(old < 0))
		return http_drop(skb, row, room, DROP_HTTP_HELD, false);
	/* At this moment an answer of ours may have taken this place: it comes again, behind that. */
	if (__sync_val_compare_and_swap(&row->answers, answers, (answers & ~0xffffffffULL) | (__u32)(segment->seq + size)) != answers)
		return http_drop(skb, row, room, DROP_HTTP_HELD, false);
	if (segment->length > old)
		http_pod_read(skb, row, room, old);
	if (fin)
		row->answer_fin = 1;
	/* The client is reset now, the pod when it says more. */
	if (unlikely(row->refused) && !http_cut(skb, room, 0, TCP_RST | TCP_ACK))
		return TC_ACT_SHOT;
	return http_pod_pass(skb, row, room, answers);
}

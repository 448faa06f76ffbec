/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One end's sequence numbers as the other end has them (http_connection.h has the picture). */
#pragma once

#include "http_tcp.h"

/* RFC 9293 §3.4: numbers are compared by their difference. */
static __always_inline __s32 sequence_difference(__u32 one, __u32 other)
{
	return (__s32)(one - other);
}

/* The client's numbers as the pod has them. */
static __always_inline __u32 http_seq_to_pod(const struct http_connection *row, __u32 seq)
{
	if (likely(sequence_difference(seq, row->cut_end) >= 0))
		return seq - row->cut;
	return sequence_difference(seq, row->cut_start) <= 0 ? seq - row->cut_before : row->cut_start - row->cut_before;
}

/* The pod's last acknowledgement, in the client's numbers. Right behind the last cut: what is before has been acknowledged. */
static __always_inline __u32 http_acked(const struct http_connection *row)
{
	return *(volatile const __u32 *)&row->server_acked + row->cut;
}

static __always_inline __u32 http_added(__u64 answers)
{
	return answers >> 32;
}

static __always_inline __u32 http_ack_to_pod(const struct http_connection *row, __u32 ack)
{
	__u32 added = http_added(*(volatile const __u64 *)&row->answers);

	if (likely(sequence_difference(ack, row->added_at + added) >= 0))
		return ack - added;
	return sequence_difference(ack, row->added_at + row->added_before) <= 0 ? ack - row->added_before : row->added_at;
}

/* The pod's numbers as the client has them. */
static __always_inline __u32 http_seq_to_client(const struct http_connection *row, __u32 seq, __u64 answers)
{
	return sequence_difference(seq, row->added_at) >= 0 ? seq + http_added(answers) : seq + row->added_before;
}

/*
 * The client is not told that a denied request has arrived before it has our answer: it would not send it again, and nobody the answer.
 * `cut` is read first, as http_to_pod writes it last.
 */
static __always_inline __u32 http_ack_to_client(const struct http_connection *row, __u32 ack)
{
	__u32 cut = *(volatile const __u32 *)&row->cut, pending = *(volatile const __u32 *)&row->own_pending, before = *(volatile const __u32 *)&row->cut_before;
	__s32 beyond = sequence_difference(ack, *(volatile const __u32 *)&row->cut_start - before);

	return beyond > 0 || (!beyond && !pending) ? ack + cut : ack + before;
}

static __always_inline bool http_is_moved(const struct http_connection *row)
{
	return row->cut || http_added(*(volatile const __u64 *)&row->answers);
}

static __always_inline void http_word_write(struct __sk_buff *skb, const struct tcp_segment *segment, __u32 offset, __u32 old, __u32 new)
{
	__be32 before = bpf_htonl(old), after = bpf_htonl(new);

	if (old == new)
		return;
	bpf_l4_csum_replace(skb, segment->l4 + member_offset(struct tcphdr, check), before, after, sizeof(after));
	bpf_skb_store_bytes(skb, segment->l4 + offset, &after, sizeof(after), 0);
}

/* Gives a segment the other end's numbers. `moved`: they have ever been different. */
static __always_inline void http_translate(struct __sk_buff *skb, struct http_room *room, __u32 seq, __u32 ack, bool moved)
{
	if (likely(!moved))
		return;
	http_word_write(skb, &room->segment, member_offset(struct tcphdr, seq), room->segment.seq, seq);
	if (room->segment.flags & TCP_ACK)
		http_word_write(skb, &room->segment, member_offset(struct tcphdr, ack_seq), room->segment.ack, ack);
	/* What the other end has got beyond a gap is told in its own numbers. */
	http_option_blank(skb, room, TCP_OPTION_SACK);
}


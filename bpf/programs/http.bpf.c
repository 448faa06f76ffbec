// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* HTTP/1.1 of connections to a pod, read before its device: http.h has the picture. */
#include "http_tcp_pod.h"

/* What passes goes on as all does from where this program is. */
static __always_inline int http_enter_pod(struct __sk_buff *skb, const struct http_room *room)
{
	if (unlikely(!room->is_here))
		return TC_ACT_OK;
	skb->mark = 0;
	return bpf_redirect_peer(room->ifindex, 0);
}

static __always_inline int http_walk_to_pod(struct __sk_buff *skb)
{
	struct http_room *room = http_room();
	struct proxy_connection_key key;
	struct http_connection *row;
	int action, decision;
	bool ends;

	if (!room)
		return TC_ACT_SHOT;
	room->is_here = mark_is_read_here(skb);
	/* Read before it is asked: clang would choose between two places of the context, and the verifier takes none that was computed. */
	room->ifindex = opaque(skb->ifindex);
	if (likely(room->is_here))
		room->ifindex = skb->cb[0];
	if (!http_parse(skb, room))
		return http_drop(skb, NULL, room, DROP_HTTP_UNREADABLE, true);
	proxy_key_of(&room->headers, &key);
	row = bpf_map_lookup_elem(&http_connections, &key);
	/* Programs of two versions may have met, and those at the device know more. */
	if (!row && room->is_here)
		return http_to_device(skb);
	/* What bears nothing may be the last acknowledgement once more, or a reset. */
	if (!row)
		return room->segment.length || room->segment.flags & (TCP_SYN | TCP_FIN | TCP_URG) ? http_drop(skb, NULL, room, DROP_HTTP_NO_ROW, true) : TC_ACT_OK;
	/* Two processors in one direction: the later comes again. */
	if (!http_claim(&row->request_busy))
		return http_drop(skb, NULL, room, DROP_HTTP_HELD, true);
	if (!http_row_is(row, &key)) {
		http_release(&row->request_busy);
		return http_drop(skb, NULL, room, DROP_HTTP_NO_ROW, true);
	}
	room->work.seen = 0;
	ends = room->segment.flags & TCP_RST && room->segment.seq == row->request_next;
	decision = http_client_step(skb, row, room);
	if (likely(decision == HTTP_READ))
		decision = http_read_segment(skb, row, room);
	action = likely(decision == HTTP_TAKE) ? http_take_all(skb, row, room) : http_carry_out(skb, row, room, decision);
	/* Behind a head the clock has been read. */
	if (!room->work.seen)
		row->seen_ns = bpf_ktime_get_coarse_ns();
	ends |= http_is_finished(row);
	if (!ends || !http_end(row, &row->answer_busy))
		http_release(&row->request_busy);
	return likely(action == TC_ACT_OK) ? http_enter_pod(skb, room) : action;
}

/* All that goes to the pod of connections that are read, and nothing else: jumped to (http_read_here), or at the pod's device. */
SEC("tc")
int http_to_pod(struct __sk_buff *skb)
{
	return mark_is_read_here(skb) || mark_is_to_reader(skb) ? http_walk_to_pod(skb) : TCX_NEXT;
}

static __always_inline int http_walk_from_pod(struct __sk_buff *skb)
{
	struct http_room *room = http_room();
	struct proxy_connection_key key;
	struct http_connection *row;
	bool ends;
	int action;

	if (!room || !http_parse(skb, room))
		return TCX_NEXT;
	key.client = room->headers.destination;
	key.server = room->headers.source;
	key.client_port = room->headers.destination_port;
	key.server_port = room->headers.source_port;
	row = bpf_map_lookup_elem(&http_connections, &key);
	/* Nobody has asked yet whether the sender is who it says. */
	if (!row || row->ifindex != skb->ifindex)
		return TCX_NEXT;
	if (!http_claim(&row->answer_busy))
		return http_drop(skb, NULL, room, DROP_HTTP_HELD, false);
	if (!http_row_is(row, &key)) {
		http_release(&row->answer_busy);
		return TCX_NEXT;
	}
	action = http_pod_step(skb, row, room);
	ends = (room->segment.flags & TCP_RST && row->phase < HTTP_OVER) || http_is_finished(row);
	if (!ends || !http_end(row, &row->request_busy))
		http_release(&row->answer_busy);
	return action;
}

/* All that the pod sends, before from_pod. */
SEC("tc")
int http_from_pod(struct __sk_buff *skb)
{
	if (unlikely((skb->mark & MARK_MASK) == MARK_OF_READER)) {
		skb->mark = 0;
		return TCX_NEXT;
	}
	return http_walk_from_pod(skb);
}

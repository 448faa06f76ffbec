/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What connections tell besides verdicts: their first packet where it is handed on, their first answer with the time it took, and their
 * end with all that they carried; and where settings.bpf.monitorAggregation asks for it, every packet.
 *
 * A packet that tells two things, as a reset that answers a SYN does, is one record. An end is told once: by who sets CONNTRACK_ENDED.
 */
#pragma once

#include "conntrack.h"
#include "events.h"

/* Programs write, the agent reads: connections made (END_NONE) and how they ended. What lives no more and ended in no way, LRU has thrown out. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} connection_counts SEC(".maps");

static __always_inline void connection_count(__u32 end)
{
	__u64 *count = bpf_map_lookup_elem(&connection_counts, &end);

	if (count)
		(*count)++;
}

static __always_inline bool every_packet_tells(void)
{
	return config.monitor_aggregation <= AGGREGATION_LOW;
}

/* Is there anything to tell of a packet of a known connection? `fresh`: flags that the entry has by it. */
static __always_inline bool packet_tells(__u32 fresh)
{
	if (every_packet_tells())
		return true;
	return config.monitor_aggregation != AGGREGATION_SILENT && unlikely(fresh & (CONNTRACK_SEEN_REPLY | CONNTRACK_CLOSING));
}

static __always_inline bool connection_ends(struct conntrack_entry *entry, __u32 end)
{
	if (__sync_fetch_and_or(&entry->flags, CONNTRACK_ENDED) & CONNTRACK_ENDED)
		return false;
	connection_count(end);
	return true;
}

/* `last`: the time of the last packet. The coarse clock may be a little behind the other. */
static __always_inline void totals_note(struct connection_event *room, const struct conntrack_entry *entry, __u64 last)
{
	__u64 duration = last - entry->started_ns;

	room->forward_packets = entry->forward_packets;
	room->forward_bytes = entry->forward_bytes;
	room->reply_packets = entry->reply_packets;
	room->reply_bytes = entry->reply_bytes;
	room->duration_ns = (__s64)duration > 0 ? duration : 0;
	room->event.flags |= EVENT_END;
}

static __always_inline __u32 latency_us(__u64 nanoseconds)
{
	__u64 microseconds = nanoseconds / 1000;

	return microseconds < 0xffffffff ? microseconds : 0xffffffff;
}

/* Notes what is special about a packet of a known connection. False: nothing that the settings want to hear. */
static __always_inline bool progress_note(struct connection_event *room, struct conntrack_entry *entry, __u32 fresh)
{
	__u32 end = room->event.tcp_flags & TCP_RST ? END_RESET : END_CLOSED;

	if (fresh & CONNTRACK_SEEN_REPLY)
		room->event.latency_us = latency_us(room->event.time_ns - entry->started_ns);
	if (fresh & CONNTRACK_CLOSING && (entry->flags & CONNTRACK_CLOSING) == CONNTRACK_CLOSING && connection_ends(entry, end)) {
		room->event.end = end;
		totals_note(room, entry, room->event.time_ns);
		return true;
	}
	return every_packet_tells() || fresh & CONNTRACK_SEEN_REPLY || (fresh & CONNTRACK_CLOSING && config.monitor_aggregation == AGGREGATION_MEDIUM);
}

static __always_inline void names_note(struct headers *packet)
{
	if (packet->ct_flags & CONNTRACK_NAMES && !(packet->flags & (PACKET_ICMP_ERROR | PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT)))
		packet->tell |= TELL_NAMES;
}

/* Of a packet of a known connection, before it gets other addresses. Whether it is handed on is not known yet. */
__noinline int tell_known(struct __sk_buff *skb, struct headers *packet, struct conntrack_entry *entry, __u32 fresh)
{
	struct connection_event *room;
	bool reply;

	if (!packet || !entry)
		return 0;
	reply = packet->flags & PACKET_REPLY;
	room = event_room_of(skb, packet, reply ? entry->destination_endpoint : entry->source_endpoint, reply ? entry->source_endpoint : entry->destination_endpoint);
	if (!room)
		return 0;
	if (progress_note(room, entry, fresh))
		packet->tell |= TELL_TRACE;
	names_note(packet);
	return 0;
}

/* Of a packet that has been allowed and opens a connection, or belongs to none. Its time; `flags` are those of the entry to be. */
__noinline __u64 tell_new(struct __sk_buff *skb, struct headers *packet, __u32 flags, __u32 from, __u32 to)
{
	struct connection_event *room;

	if (!packet || config.monitor_aggregation == AGGREGATION_SILENT)
		return bpf_ktime_get_coarse_ns();
	room = event_room_of(skb, packet, from, to);
	if (!room)
		return bpf_ktime_get_coarse_ns();
	packet->tell |= TELL_TRACE;
	names_note(packet);
	/* A reset that belongs to nothing begins a connection and ends it. */
	if (unlikely((flags & CONNTRACK_CLOSING) == CONNTRACK_CLOSING)) {
		room->event.end = END_RESET;
		room->event.flags |= EVENT_END;
		room->forward_packets = 1;
		room->forward_bytes = skb->len;
		room->reply_packets = room->reply_bytes = room->duration_ns = 0;
	}
	return room->event.time_ns;
}

/* What the connection's entry says, as a packet of it would. `now`: CLOCK_MONOTONIC, not the coarse one. */
static __always_inline void event_of_entry(struct flow_event *event, const struct conntrack_key *key, const struct conntrack_entry *entry, bool reply, __u64 now)
{
	bool source_is_low = reply != !!(entry->flags & CONNTRACK_ORIGINATOR_LOW);

	event->time_ns = now;
	event->source = source_is_low ? key->low : key->high;
	event->destination = source_is_low ? key->high : key->low;
	event->source_port = source_is_low ? key->low_port : key->high_port;
	event->destination_port = source_is_low ? key->high_port : key->low_port;
	event->protocol = key->protocol;
	event->tcp_flags = 0;
	event->type = EVENT_TRACE;
	event->reason_or_point = 0;
	event->source_identity = reply ? entry->destination_identity : entry->source_identity;
	event->destination_identity = reply ? entry->source_identity : entry->destination_identity;
	event->source_endpoint = reply ? entry->destination_endpoint : entry->source_endpoint;
	event->destination_endpoint = reply ? entry->source_endpoint : entry->destination_endpoint;
	event->rule = 0;
	event->ifindex = 0;
	event->length = 0;
	event->direction = entry->source_endpoint ? DIRECTION_EGRESS : DIRECTION_INGRESS;
	event->verdict = 0;
	event->match = 0;
	event->flags = (reply ? EVENT_REPLY : 0) | (addr_is_v4(&event->destination) ? 0 : EVENT_V6);
	event_service(event, entry->service);
	event->ct_state = reply ? STATE_REPLY : STATE_ESTABLISHED;
	event->icmp_type = 0;
	event->icmp_code = 0;
	event->end = END_NONE;
	event->pad[0] = event->pad[1] = 0;
	event->latency_us = 0;
	event->pad2 = 0;
}

/* The end of a connection that no packet showed. Not static: the verifier walks it once. */
__noinline int tell_end(struct conntrack_key *key, struct conntrack_entry *entry, __u32 end)
{
	struct connection_event *room = event_room();

	if (config.monitor_aggregation == AGGREGATION_SILENT || !key || !entry || !room || !connection_ends(entry, end))
		return 0;
	event_of_entry(&room->event, key, entry, false, bpf_ktime_get_ns());
	room->event.end = end;
	room->event.flags |= EVENT_PACKETLESS;
	if (end == END_REVOKED) {
		room->event.rule = entry->ingress_rule ? entry->ingress_rule : entry->egress_rule;
		room->event.direction = entry->ingress_rule ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	}
	/* When it lives until tells when its last packet came. */
	totals_note(room, entry, end == END_IDLE ? entry->expires_ns - conntrack_expiry(key->protocol, entry->flags, 0) : room->event.time_ns);
	event_write(&flow_events, LOST_FLOW_EVENTS, room, sizeof(*room));
	return 0;
}

/* Where a packet is. */
enum hook {
	HOOK_FROM_POD,
	HOOK_TO_POD,
	HOOK_FROM_NETWORK,
	HOOK_TO_NETWORK,
	HOOK_FROM_OVERLAY,
	HOOK_TO_OVERLAY,
};

static __always_inline bool hook_is_arrival(__u32 hook)
{
	return hook == HOOK_FROM_POD || hook == HOOK_FROM_NETWORK || hook == HOOK_FROM_OVERLAY;
}

static __always_inline __u8 arrival_point(__u32 hook)
{
	return hook == HOOK_FROM_POD ? POINT_FROM_ENDPOINT : hook == HOOK_FROM_OVERLAY ? POINT_FROM_OVERLAY : POINT_FROM_NETWORK;
}

/* The direction of the connection, as the end sees it where the packet is: answers to what a pod has opened come in by egress. */
static __always_inline __u8 trace_direction(__u32 hook, __u8 point, bool reply)
{
	bool sends = point == POINT_TO_ENDPOINT ? false : hook == HOOK_FROM_POD || hook == HOOK_TO_NETWORK || hook == HOOK_TO_OVERLAY;

	return sends != reply ? DIRECTION_EGRESS : DIRECTION_INGRESS;
}

/* The record of a packet that is handed on to `point`, or two. */
static __always_inline void trace_write(struct connection_event *room, __u32 hook, __u8 point)
{
	struct flow_event *event = &room->event;
	bool reply = event->flags & EVENT_REPLY;

	event->type = EVENT_TRACE;
	event->rule = 0;
	event->verdict = 0;
	event->match = 0;
	event->flags &= EVENT_REPLY | EVENT_V6 | EVENT_END;
	if (config.monitor_aggregation == AGGREGATION_NONE && hook_is_arrival(hook)) {
		__u32 latency = event->latency_us;
		__u8 end = event->end, flags = event->flags;

		event->reason_or_point = arrival_point(hook);
		event->direction = trace_direction(hook, event->reason_or_point, reply);
		event->latency_us = 0;
		event->end = END_NONE;
		event->flags = flags & ~EVENT_END;
		event_write(&flow_events, LOST_FLOW_EVENTS, event, sizeof(*event));
		event->latency_us = latency;
		event->end = end;
		event->flags = flags;
	}
	event->reason_or_point = point;
	event->direction = trace_direction(hook, point, reply);
	if (unlikely(event->flags & EVENT_END))
		event_write(&flow_events, LOST_FLOW_EVENTS, room, sizeof(*room));
	else
		event_write(&flow_events, LOST_FLOW_EVENTS, event, sizeof(*event));
}

struct name_room {
	struct name_event name;
	__u8 payload[NAME_PAYLOAD_MAX];
};

/* Where DNS messages are put together; each processor's own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct name_room);
} name_rooms SEC(".maps");

static __always_inline int names_write(struct __sk_buff *skb, const struct headers *packet, const struct connection_event *told)
{
	__u32 zero = 0, at = packet->l4_offset + sizeof(struct udphdr);
	struct name_room *room = bpf_map_lookup_elem(&name_rooms, &zero);
	__u64 captured = packet->l4_length;

	if (!room || captured <= sizeof(struct udphdr))
		return 0;
	captured -= sizeof(struct udphdr);
	room->name.event = told->event;
	room->name.event.type = EVENT_L7;
	room->name.length = captured;
	if (captured > NAME_PAYLOAD_MAX)
		captured = NAME_PAYLOAD_MAX;
	captured = opaque(captured);
	if (!captured || captured > NAME_PAYLOAD_MAX || bpf_skb_load_bytes(skb, at, room->payload, captured))
		return 0;
	room->name.captured = captured;
	room->name.pad = 0;
	event_write(&name_events, LOST_NAME_EVENTS, room, sizeof(room->name) + captured);
	return 0;
}

/* Where a packet goes on to: 0 up the stack, else out of the device that it was redirected to. */
static __always_inline __u8 point_of(const struct packet *packet, __u32 hook, int action)
{
	if (unlikely(packet->flags & PACKET_TO_PROXY))
		return POINT_TO_PROXY;
	if (action == TC_ACT_OK) {
		if (hook == HOOK_TO_POD)
			return POINT_TO_ENDPOINT;
		if (hook == HOOK_TO_NETWORK)
			return POINT_TO_NETWORK;
		return hook == HOOK_TO_OVERLAY ? POINT_TO_OVERLAY : POINT_TO_HOST;
	}
	if (packet->to)
		return POINT_TO_ENDPOINT;
	return config.overlay_ifindex && packet->remote && packet->remote->flags & IPCACHE_HAS_TUNNEL ? POINT_TO_OVERLAY : POINT_TO_NETWORK;
}

/* Not static: the verifier walks it once. */
__noinline int tell(struct __sk_buff *skb, struct headers *packet, __u32 hook, __u32 point)
{
	struct connection_event *room = event_room();

	if (!room || !packet)
		return 0;
	if (unlikely(packet->tell & TELL_NAMES)) {
		room->event.reason_or_point = point;
		room->event.direction = trace_direction(hook, point, room->event.flags & EVENT_REPLY);
		names_write(skb, packet, room);
	}
	if (packet->tell & TELL_TRACE)
		trace_write(room, hook, point);
	return 0;
}

/* Hubble tells what a rule denies from what nobody allows; only the latter has no match. */
static __always_inline int drop_reason_of(const struct packet *packet, int verdict)
{
	return verdict == -DROP_POLICY_DENIED && packet->match ? DROP_POLICY_DENY : -verdict;
}

/* The one exit of every packet program: counts all, tells of drops, and of what is to be told when it is handed on. */
static __always_inline int finish(struct __sk_buff *skb, struct packet *packet, int verdict, const __u32 hook)
{
	metrics_count(verdict < 0 ? drop_reason_of(packet, verdict) : 0, packet->direction, skb->len);
	if (likely(verdict >= 0)) {
		if (packet->tell & (TELL_TRACE | TELL_NAMES))
			tell(skb, &packet->headers, hook, point_of(packet, hook, verdict));
		return verdict;
	}
	if (!(packet->flags & PACKET_SILENT))
		event_drop(skb, packet, drop_reason_of(packet, verdict));
	return TC_ACT_SHOT;
}

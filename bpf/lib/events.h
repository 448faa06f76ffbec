/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells: records of verdicts, of packets that are handed on, of ends of connections, of drops, and DNS messages. */
#pragma once

#include "config.h"
#include "metrics.h"
#include "packet.h"
#include "service.h"

enum policy_verdict_kind {
	VERDICT_ALLOW = 1,
	VERDICT_DENY = 2,
	VERDICT_REDIRECT = 3,
	VERDICT_AUDIT = 4,
};

enum event_type {
	EVENT_DROP = 1,
	EVENT_TRACE = 4,
	EVENT_POLICY_VERDICT = 5,
	EVENT_L7 = 129,
};

enum direction {
	DIRECTION_UNKNOWN = 0,
	DIRECTION_INGRESS = 1,
	DIRECTION_EGRESS = 2,
};

enum event_flag {
	EVENT_REPLY = 1,
	EVENT_V6 = 2,
	EVENT_ENCRYPTED = 4,
	EVENT_AUDIT = 8,
	EVENT_SHADOW = 16,	/* rule and verdict are what they would be with the shadow policies; nothing was done to the packet */
	EVENT_END = 32,		/* a struct connection_event: the connection is over */
	EVENT_PACKETLESS = 64,	/* no packet was seen: it ended by its age, or somebody took it away */
};

/* Where a packet was seen; Hubble's monitor has these numbers. */
enum observation_point {
	POINT_TO_ENDPOINT = 0,
	POINT_TO_PROXY = 1,
	POINT_TO_HOST = 2,
	POINT_TO_STACK = 3,
	POINT_TO_OVERLAY = 4,
	POINT_FROM_ENDPOINT = 5,
	POINT_FROM_OVERLAY = 9,
	POINT_FROM_NETWORK = 10,
	POINT_TO_NETWORK = 11,
};

/* How a connection ended. */
enum connection_end {
	END_NONE = 0,
	END_CLOSED = 1,		/* a FIN each way */
	END_RESET = 2,
	END_IDLE = 3,		/* nothing was sent for its lifetime, or its place was taken */
	END_REVOKED = 4,	/* policy has denied it since */
};

enum conntrack_state {
	STATE_NEW = 0,
	STATE_ESTABLISHED = 1,
	STATE_REPLY = 2,
	STATE_RELATED = 3,
};

struct flow_event {
	__u64 time_ns;			/* CLOCK_MONOTONIC */
	struct addr source;		/* as policy saw them: after service translation, before masquerade */
	struct addr destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 type;			/* enum event_type */
	__u8 reason_or_point;		/* enum drop_reason of drops, enum observation_point of traces */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint;
	__u32 destination_endpoint;
	__u32 rule;
	__u32 ifindex;
	__u32 length;
	__u8 direction;			/* enum direction */
	__u8 verdict;			/* enum policy_verdict_kind; 0 = policy was not asked */
	__u8 match;			/* enum policy_match */
	__u8 flags;			/* enum event_flag */
	struct addr service;		/* what the client asked for, if it was translated here; else zero */
	__be16 service_port;
	__u8 ct_state;			/* enum conntrack_state */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 end;			/* enum connection_end */
	__u8 pad[2];
	__u32 latency_us;		/* of a connection's first answer: since its first packet; saturates; else 0 */
	__u32 pad2;
};
_Static_assert(sizeof(struct flow_event) == 112, "flow_event");

/* What a connection carried in all; "forward" is what its opener sent. */
struct connection_event {
	struct flow_event event;	/* EVENT_TRACE with EVENT_END */
	__u64 forward_packets;
	__u64 forward_bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
	__u64 duration_ns;		/* from its first packet to its last */
};
_Static_assert(sizeof(struct connection_event) == 152, "connection_event");

#define DNS_PORT 53

/* The longest DNS message that is copied: the room in a packet of 1,500 bytes. */
#define NAME_PAYLOAD_MAX 1472

/* A DNS message of a pod. What was captured of it follows. */
struct name_event {
	struct flow_event event;	/* EVENT_L7 */
	__u16 length;			/* of the message */
	__u16 captured;			/* of it, after this struct */
	__u32 pad;
};
_Static_assert(sizeof(struct name_event) == 120, "name_event");

/* Verdicts, packets that are handed on and ends of connections write, the agent reads: 34,000 records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} flow_events SEC(".maps");

/* Drops write, nothing else may: a flood of allowed connections must not hide a denial. 70,000 records: a third of a second at 200,000 drops a second. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} drop_events SEC(".maps");

/* DNS messages of pods; apart from the others, as each is as long as ten of them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} name_events SEC(".maps");

enum lost_ring {
	LOST_FLOW_EVENTS = 0,
	LOST_DROP_EVENTS = 1,
	LOST_NAME_EVENTS = 2,
};

/* Programs write when a ring is full, the agent reads; one row for each ring. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} lost_events SEC(".maps");

static __always_inline void event_lost(__u32 ring)
{
	__u64 *count = bpf_map_lookup_elem(&lost_events, &ring);

	if (count)
		(*count)++;
}

/* Nobody is woken: the agent looks by itself. A wake-up costs more than all that a packet does here. */
static __always_inline void event_write(void *ring, __u32 lost, void *record, __u64 size)
{
	if (unlikely(bpf_ringbuf_output(ring, record, size, BPF_RB_NO_WAKEUP)))
		event_lost(lost);
}

static __always_inline void event_service(struct flow_event *event, __u32 service)
{
	const struct service_address *address = service ? service_address_find(service) : NULL;

	if (likely(!address)) {
		event->service = (struct addr){};
		event->service_port = 0;
		return;
	}
	event->service = address->addr;
	event->service_port = address->port;
}

static __always_inline __u8 event_flags(const struct headers *packet)
{
	return (packet->ct_state == STATE_REPLY ? EVENT_REPLY : 0) | (ends_are_v6(packet) ? EVENT_V6 : 0) |
	       (packet->verdict == VERDICT_AUDIT ? EVENT_AUDIT : 0);
}

/*
 * Functions below are not static and get the ids of the local ends instead of pointers to them: the verifier walks them once. `from`, `to`:
 * 0 where an end is not local.
 */

/* Every byte of the record, which holds an older one. */
__noinline int event_fill(struct __sk_buff *skb, struct headers *packet, struct flow_event *event, __u32 from, __u32 to)
{
	if (!packet || !event)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->source = packet->source;
	event->destination = packet->destination;
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->protocol = packet->protocol;
	event->tcp_flags = packet->tcp_flags;
	event->type = 0;
	event->reason_or_point = 0;
	event->source_identity = packet->source_identity;
	event->destination_identity = packet->destination_identity;
	event->source_endpoint = from;
	event->destination_endpoint = to;
	event->rule = packet->rule;
	event->ifindex = skb->ifindex;
	event->length = skb->len;
	event->direction = packet->direction;
	event->verdict = packet->verdict;
	event->match = packet->match;
	event->flags = event_flags(packet);
	event_service(event, packet->service);
	event->ct_state = packet->ct_state;
	event->icmp_type = packet->icmp_type;
	event->icmp_code = packet->icmp_code;
	event->end = END_NONE;
	event->pad[0] = event->pad[1] = 0;
	event->latency_us = 0;
	event->pad2 = 0;
	return 0;
}

/*
 * Where records are put together that are written more than once, or that end longer than they began. Each processor's own: programs at
 * devices are not interrupted by others of their kind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connection_event);
} event_rooms SEC(".maps");

static __always_inline struct connection_event *event_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&event_rooms, &zero);
}

/* The packet's record, put together once: its events are this with a few words changed. Its ends are the connection's as they are now. */
static __always_inline struct connection_event *event_room_of(struct __sk_buff *skb, struct headers *packet, __u32 from, __u32 to)
{
	struct connection_event *room = event_room();

	if (!room || packet->tell & TELL_ROOM)
		return room;
	packet->tell |= TELL_ROOM;
	event_fill(skb, packet, &room->event, from, to);
	return room;
}

__noinline int event_verdict(struct __sk_buff *skb, struct headers *packet, __u32 from, __u32 to)
{
	struct connection_event *room;

	if (!packet || config.monitor_aggregation == AGGREGATION_SILENT)
		return 0;
	room = event_room_of(skb, packet, from, to);
	if (!room)
		return 0;
	room->event.type = EVENT_POLICY_VERDICT;
	room->event.rule = packet->rule;
	room->event.direction = packet->direction;
	room->event.verdict = packet->verdict;
	room->event.match = packet->match;
	room->event.flags = event_flags(packet);
	event_write(&flow_events, LOST_FLOW_EVENTS, &room->event, sizeof(room->event));
	return 0;
}

/* Beside the verdict's own event: what the shadow policies would have said. */
__noinline int event_shadow(struct __sk_buff *skb, struct headers *packet, __u32 from, __u32 to)
{
	struct connection_event *room;

	if (!packet)
		return 0;
	room = event_room_of(skb, packet, from, to);
	if (!room)
		return 0;
	room->event.type = EVENT_POLICY_VERDICT;
	room->event.rule = packet->shadow_rule;
	room->event.direction = packet->direction;
	room->event.verdict = packet->shadow_verdict;
	room->event.match = 0;
	room->event.flags = (event_flags(packet) & ~EVENT_AUDIT) | EVENT_SHADOW;
	event_write(&flow_events, LOST_FLOW_EVENTS, &room->event, sizeof(room->event));
	return 0;
}

static __always_inline __u32 drop_identity(const struct addr *addr)
{
	const struct endpoint *endpoint = endpoint_find(addr);
	const struct ipcache_entry *remote;

	if (endpoint)
		return endpoint->identity;
	remote = ipcache_find(addr);
	return remote ? remote->identity : 0;
}

/* Who a lie is about had no part in it. */
static __always_inline bool drop_is_forgery(__u32 reason)
{
	return reason == DROP_INVALID_SOURCE_IP || reason == DROP_INVALID_SOURCE_MAC || reason == DROP_SPOOFED_TUNNEL_SOURCE || reason == DROP_INVALID_IDENTITY;
}

__noinline int drop_write(struct __sk_buff *skb, struct headers *packet, __u32 reason, __u32 from, __u32 to)
{
	struct flow_event *event;

	if (!packet)
		return 0;
	event = bpf_ringbuf_reserve(&drop_events, sizeof(*event), 0);
	if (!event) {
		event_lost(LOST_DROP_EVENTS);
		return 0;
	}
	event_fill(skb, packet, event, from, to);
	event->type = EVENT_DROP;
	event->reason_or_point = reason;
	/* What was dropped early has not been asked about. */
	if (!event->source_identity && !drop_is_forgery(reason) && !addr_is_zero(&packet->source))
		event->source_identity = drop_identity(&packet->source);
	if (!event->destination_identity && !addr_is_zero(&packet->destination))
		event->destination_identity = drop_identity(&packet->destination);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void event_drop(struct __sk_buff *skb, struct packet *packet, __u32 reason)
{
	drop_write(skb, &packet->headers, reason, packet->from ? packet->from->id : 0, packet->to ? packet->to->id : 0);
}

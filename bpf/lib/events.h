/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells: a record for each new connection at each end, and for each drop. */
#pragma once

#include "packet.h"
#include "metrics.h"

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

/* Verdicts on new connections write, the agent reads: 37,000 records, nearly a second of a busy node's new connections. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} flow_events SEC(".maps");

/* Drops write, nothing else may: a flood of allowed connections must not hide a denial. Half the size, as drops come in bursts of the same. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
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

static __always_inline void event_service(struct flow_event *event, __u32 service);

static __always_inline void event_fill(struct flow_event *event, struct __sk_buff *skb, const struct packet *packet)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->source = packet->source;
	event->destination = packet->destination;
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->protocol = packet->protocol;
	event->tcp_flags = packet->tcp_flags;
	event->source_identity = packet->source_identity;
	event->destination_identity = packet->destination_identity;
	event->source_endpoint = packet->from ? packet->from->id : 0;
	event->destination_endpoint = packet->to ? packet->to->id : 0;
	event->rule = packet->rule;
	event->ifindex = skb->ifindex;
	event->length = skb->len;
	event->direction = packet->direction;
	event->verdict = packet->verdict;
	event->match = packet->match;
	event->flags = (packet->ct_state == STATE_REPLY ? EVENT_REPLY : 0) | (ends_are_v6(&packet->headers) ? EVENT_V6 : 0) |
		       (packet->verdict == VERDICT_AUDIT ? EVENT_AUDIT : 0);
	event->ct_state = packet->ct_state;
	event->icmp_type = packet->icmp_type;
	event->icmp_code = packet->icmp_code;
	if (packet->service)
		event_service(event, packet->service);
}

static __always_inline void event_lost(__u32 ring)
{
	__u64 *count = bpf_map_lookup_elem(&lost_events, &ring);

	if (count)
		(*count)++;
}

/* A record in a ring, filled with what the packet says; NULL, and counted, when the ring is full. */
static __always_inline struct flow_event *event_begin(void *ring, __u32 lost, __u8 type, struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_event *event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);

	if (!event) {
		event_lost(lost);
		return NULL;
	}
	event_fill(event, skb, packet);
	event->type = type;
	return event;
}

static __noinline int event_verdict(struct __sk_buff *skb, struct packet *packet)
{
	struct flow_event *event = event_begin(&flow_events, LOST_FLOW_EVENTS, EVENT_POLICY_VERDICT, skb, packet);

	if (event)
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Beside the verdict's own event: what the shadow policies would have said. */
static __noinline int event_shadow(struct __sk_buff *skb, struct packet *packet)
{
	struct flow_event *event = event_begin(&flow_events, LOST_FLOW_EVENTS, EVENT_POLICY_VERDICT, skb, packet);

	if (!event)
		return 0;
	event->rule = packet->shadow_rule;
	event->verdict = packet->shadow_verdict;
	event->match = 0;
	event->flags = (event->flags & ~EVENT_AUDIT) | EVENT_SHADOW;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __noinline int event_drop(struct __sk_buff *skb, struct packet *packet, int reason)
{
	struct flow_event *event = event_begin(&drop_events, LOST_DROP_EVENTS, EVENT_DROP, skb, packet);

	if (!event)
		return 0;
	event->reason_or_point = reason;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

/* The one exit of every packet program: counts all, tells of drops. */
static __always_inline int finish(struct __sk_buff *skb, struct packet *packet, int verdict)
{
	metrics_count(verdict < 0 ? -verdict : 0, packet->direction, skb->len);
	if (likely(verdict >= 0))
		return verdict;
	if (!(packet->flags & PACKET_SILENT))
		event_drop(skb, packet, -verdict);
	return TC_ACT_SHOT;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells: a record for each new connection at each end, and for each drop. */
#pragma once

#include "packet.h"
#include "metrics.h"

enum event_type {
	EVENT_DROP = 1,
	EVENT_TRACE = 4,
	EVENT_POLICY_VERDICT = 5,
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
	__u8 reason_or_point;		/* enum drop_reason */
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
	__u8 pad[3];
};
_Static_assert(sizeof(struct flow_event) == 104, "flow_event");

/* Verdicts on new connections write, the agent reads: 80,000 records, over half a second of a busy node's new connections. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} flow_events SEC(".maps");

/* Drops write, nothing else may: a flood of allowed connections must not hide a denial. Half the size, as drops come in bursts of the same. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} drop_events SEC(".maps");

enum lost_ring {
	LOST_FLOW_EVENTS = 0,
	LOST_DROP_EVENTS = 1,
};

/* Programs write when a ring is full, the agent reads; one row for each ring. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} lost_events SEC(".maps");

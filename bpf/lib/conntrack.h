/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One entry a connection, one lookup a packet. */
#pragma once

#include "packet.h"

enum conntrack_kind {
	CONNTRACK_FLOW = 0,
	CONNTRACK_SERVICE = 1,	/* client ↔ service address, before translation: remembers the backend */
};

enum conntrack_flag {
	CONNTRACK_ORIGINATOR_LOW = 1,	/* the low end of the key sent the first packet */
	CONNTRACK_SEEN_REPLY = 2,
	CONNTRACK_SEEN_NON_SYN = 4,
	CONNTRACK_FORWARD_CLOSING = 8,
	CONNTRACK_REPLY_CLOSING = 16,
	CONNTRACK_MASQUERADED = 32,
	CONNTRACK_HOST = 64,		/* opened by the node's own stack: no policy */
	CONNTRACK_OVERLAY = 128,	/* opened from the tunnel: the source identity is the tunnel's word */
	CONNTRACK_AUDITED = 256,	/* would have been denied */
};

/* The two ends in memcmp order of (address, port), so that both directions have the same key. */
struct conntrack_key {
	struct addr low;
	struct addr high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 kind;
	__u16 pad;
};
_Static_assert(sizeof(struct conntrack_key) == 40, "conntrack_key");

struct conntrack_entry {
	__u64 expires_ns;		/* CLOCK_MONOTONIC, coarse */
	__u64 forward_packets;		/* counters race between processors: they may lose a packet, nothing is decided by them */
	__u64 forward_bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
	__u32 flags;
	__u32 generation;		/* of the policy that allowed it */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint;		/* local ids; 0 = not local */
	__u32 destination_endpoint;
	__u32 service;			/* key of service_addresses; 0 = not translated */
	__u32 backend;
};
_Static_assert(sizeof(struct conntrack_entry) == 72, "conntrack_entry");

/* Packets write and read, the agent lists and deletes; as many as Cilium's default for TCP. LRU: under pressure the idle go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_entry);
} conntrack SEC(".maps");

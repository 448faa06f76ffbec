/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One entry a connection, one lookup a packet. */
#pragma once

#include "packet.h"
#include "rules.h"

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
	CONNTRACK_HOST = 64,		/* opened by the node's own stack */
	CONNTRACK_OVERLAY = 128,	/* opened from the tunnel: the source identity is the tunnel's word */
	CONNTRACK_AUDITED = 256,	/* would have been denied */
	CONNTRACK_HAIRPIN = 512,	/* a pod with itself by way of a service: no policy, and the service's address at the client's end */
	CONNTRACK_REVOKED = 1024,	/* denied since it was opened: nothing passes either way until its next packet forward is allowed */
	CONNTRACK_KEPT = 2048,		/* goes on under a denial that keeps what was established */
	CONNTRACK_SHADOW_EGRESS = 4096,	/* shadow policies differ, which has been told */
	CONNTRACK_SHADOW_INGRESS = 8192,
	CONNTRACK_TRANSIT = 16384,	/* from outside to a backend on another node, by way of this one */
	CONNTRACK_DSR = 32768,		/* came by way of another node, which keeps out of the answers: nat has the service's address */
	CONNTRACK_OTHER_FAMILY = 65536,	/* its client talks the other family: nat64.h */
	CONNTRACK_ENDED = 131072,	/* its end has been told */
	CONNTRACK_RULE_DENIES = 524288,	/* what has revoked it is a rule that denies */
	CONNTRACK_NAMES = 262144,	/* DNS messages of a pod, which are told: the long way */
	CONNTRACK_PROXIED = 1048576,	/* its server's end is the node's layer 7 proxy: proxy.h */
	CONNTRACK_PROXY_LEG = 2097152,	/* the proxy's own connection to the server, under the client's address */
	CONNTRACK_HTTP = 1 << 22,	/* its HTTP is read before its server's device: http_connection.h */
	CONNTRACK_ASKS = 1 << 23,	/* DNS under rules: `l7` says which names may be asked */
	CONNTRACK_LEARNS = 1 << 24,	/* DNS that policy lets pass: what is told of names that have an identity is remembered */
	CONNTRACK_BY_NAME = 1 << 25,	/* allowed to where a name's addresses are: the destination's identity is the name's */
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

enum conntrack_end_kind {
	END_UNKNOWN = 0,	/* the long way */
	END_POD = 1,		/* of this node: target = the host side's interface index, mac = the pod's */
	END_TUNNEL = 2,		/* behind another node: target = its IPv4 address, network order */
	END_UPLINK = 3,		/* on the bare network, under its own address */
};

/* Where an end was found when the entry's way was learned (way.h). */
struct conntrack_end {
	__u32 target;
	__u8 mac[6];
	__u8 kind;		/* enum conntrack_end_kind */
	__u8 pad;
};
_Static_assert(sizeof(struct conntrack_end) == 12, "conntrack_end");

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
	__u32 egress_rule;		/* what decided at either end; 0 = policy was not asked there */
	__u32 ingress_rule;
	__u32 credited_packets;		/* low bits of the totals that the two rules have been credited with */
	__u32 credited_bytes;
	struct conntrack_end source_end;
	struct conntrack_end destination_end;
	__u32 way_generation;		/* of policy, identities and addresses when the two ends were learned */
	__u32 l7;			/* of CONNTRACK_ASKS: the layer 7 set */
	__u64 started_ns;		/* CLOCK_MONOTONIC: the first packet */
};
_Static_assert(sizeof(struct conntrack_entry) == 128, "conntrack_entry");

#define CONNTRACK_CLOSING (CONNTRACK_FORWARD_CLOSING | CONNTRACK_REPLY_CLOSING)

#define CONNTRACK_OF_PROXY (CONNTRACK_PROXIED | CONNTRACK_PROXY_LEG)

/* Somebody looks into it: no way may lead past him. */
#define CONNTRACK_LAYER_7 (CONNTRACK_OF_PROXY | CONNTRACK_HTTP)

/* What judging an established connection again decides anew. */
#define CONNTRACK_JUDGED (CONNTRACK_AUDITED | CONNTRACK_REVOKED | CONNTRACK_KEPT | CONNTRACK_SHADOW_EGRESS | CONNTRACK_SHADOW_INGRESS | \
			  CONNTRACK_RULE_DENIES | CONNTRACK_ASKS | CONNTRACK_LEARNS | CONNTRACK_BY_NAME)

#define CONNTRACK_READS_NAMES (CONNTRACK_ASKS | CONNTRACK_LEARNS)

/* Packets write and read, the agent lists and deletes; as many as Cilium's default for TCP. LRU: under pressure the idle go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_entry);
} conntrack SEC(".maps");

/* Lifetimes in seconds. */
#define LIFETIME_TCP_SYN         60
#define LIFETIME_TCP_ESTABLISHED 8000
#define LIFETIME_TCP_CLOSING     10
#define LIFETIME_OTHER           60

/* Fills the key; true when the sender of this packet is the low end. */
static __always_inline bool conntrack_key_of(const struct headers *packet, __u8 kind, struct conntrack_key *key)
{
	int order = addr_compare(&packet->source, &packet->destination);
	bool source_is_low = order ? order < 0 : bpf_ntohs(packet->source_port) <= bpf_ntohs(packet->destination_port);

	key->low = source_is_low ? packet->source : packet->destination;
	key->high = source_is_low ? packet->destination : packet->source;
	key->low_port = source_is_low ? packet->source_port : packet->destination_port;
	key->high_port = source_is_low ? packet->destination_port : packet->source_port;
	key->protocol = packet->protocol;
	key->kind = kind;
	key->pad = 0;
	return source_is_low;
}

/* Puts the ends of a key in order; for keys that do not come from a packet. */
static __always_inline void conntrack_key_sort(struct conntrack_key *key)
{
	int order = addr_compare(&key->low, &key->high);
	struct addr addr = key->low;
	__be16 port = key->low_port;

	if (order < 0 || (!order && bpf_ntohs(key->low_port) <= bpf_ntohs(key->high_port)))
		return;
	key->low = key->high;
	key->high = addr;
	key->low_port = key->high_port;
	key->high_port = port;
}

static __always_inline bool conntrack_is_reply(const struct conntrack_entry *entry, bool source_is_low)
{
	return source_is_low != !!(entry->flags & CONNTRACK_ORIGINATOR_LOW);
}

static __always_inline bool packet_opens_tcp(const struct headers *packet)
{
	return packet->protocol == IPPROTO_TCP && !(packet->flags & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT)) &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* SYN with FIN or RST, or none of the flags that say what a segment is for: scans and broken stacks send them, connections do not begin so. */
static __always_inline bool packet_opens_nothing(const struct headers *packet)
{
	__u8 flags = packet->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);

	if (packet->protocol != IPPROTO_TCP || packet->flags & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT))
		return false;
	return !flags || (flags & TCP_SYN && flags & (TCP_FIN | TCP_RST));
}

/*
 * No room is one thing; a bucket's lock that another processor (or we ourselves, interrupted) holds is another: it is tried once more in
 * place, by when it is mostly free.
 */
static __always_inline int conntrack_insert(const struct conntrack_key *key, const struct conntrack_entry *entry)
{
	long error = bpf_map_update_elem(&conntrack, key, entry, BPF_ANY);

	if (likely(!error))
		return CONTINUE;
	if (error != -ENOMEM && error != -E2BIG)
		error = bpf_map_update_elem(&conntrack, key, entry, BPF_ANY);
	if (!error)
		return CONTINUE;
	return error == -ENOMEM || error == -E2BIG ? -DROP_CONNTRACK_FULL : -DROP_CONNTRACK_CONTENDED;
}

static __always_inline __u32 endpoint_id(const struct endpoint *endpoint)
{
	return endpoint ? endpoint->id : 0;
}

/*
 * Adds to a connection's rules what they have not been credited with. Totals are exchanged, so whoever comes second adds the difference
 * only. Between two credits lie far fewer than 2^31 bytes.
 */
static __noinline int conntrack_credit(struct conntrack_entry *entry)
{
	__u32 packets, bytes;

	if (!entry)
		return 0;
	packets = entry->forward_packets + entry->reply_packets;
	bytes = entry->forward_bytes + entry->reply_bytes;
	packets -= __sync_lock_test_and_set(&entry->credited_packets, packets);
	bytes -= __sync_lock_test_and_set(&entry->credited_bytes, bytes);
	if (!packets)
		return 0;
	rule_count(entry->egress_rule, packets, bytes, 0);
	return rule_count(entry->ingress_rule, packets, bytes, 0);
}

/*
 * An entry is dead when its time is over, when a SYN comes after FIN or RST (the port is used again) or to a connection that policy would
 * not open again, and when an address of it has another owner now: an address that changes hands never inherits.
 */
static __always_inline bool conntrack_lives(const struct packet *packet, const struct conntrack_entry *entry, bool source_is_low, __u64 now)
{
	const __u32 ended = CONNTRACK_CLOSING | CONNTRACK_REVOKED | CONNTRACK_KEPT;
	bool reply = conntrack_is_reply(entry, source_is_low);

	if (entry->expires_ns < now)
		return false;
	if (entry->source_endpoint != endpoint_id(reply ? packet->to : packet->from) ||
	    entry->destination_endpoint != endpoint_id(reply ? packet->from : packet->to))
		return false;
	return likely(!packet_opens_tcp(&packet->headers) || !(entry->flags & ended));
}

static __always_inline __u32 conntrack_flags_after(const struct headers *packet, __u32 flags, bool reply)
{
	if (reply)
		flags |= CONNTRACK_SEEN_REPLY;
	if (packet->protocol != IPPROTO_TCP || packet->flags & PACKET_LATER_FRAGMENT)
		return flags;
	if (!(packet->tcp_flags & TCP_SYN))
		flags |= CONNTRACK_SEEN_NON_SYN;
	if (unlikely(packet->tcp_flags & TCP_FIN))
		flags |= reply ? CONNTRACK_REPLY_CLOSING : CONNTRACK_FORWARD_CLOSING;
	if (unlikely(packet->tcp_flags & TCP_RST))
		flags |= CONNTRACK_REPLY_CLOSING | CONNTRACK_FORWARD_CLOSING;
	return flags;
}

static __always_inline __u64 conntrack_expiry(__u8 protocol, __u32 flags, __u64 now)
{
	__u64 seconds = LIFETIME_OTHER;

	if (protocol == IPPROTO_TCP)
		seconds = (flags & CONNTRACK_CLOSING) == CONNTRACK_CLOSING ? LIFETIME_TCP_CLOSING :
			  flags & CONNTRACK_SEEN_NON_SYN ? LIFETIME_TCP_ESTABLISHED : LIFETIME_TCP_SYN;
	return now + seconds * NANOSECONDS;
}

/* Most packets that an LRU eviction can take from a rule's count, for one connection. */
#define CREDIT_MAX 1024

/*
 * A connection's rules are credited when its packets have doubled since, at the latest every CREDIT_MAX packets, and at each packet after
 * a FIN or RST: short connections are exact, and long ones pay for two look-ups a thousand packets. What is not credited yet, at most as
 * much again, the agent adds from the entries when it is asked. LRU takes an entry without a word: then that is lost.
 */
static __always_inline void conntrack_credit_step(struct conntrack_entry *entry, __u32 flags)
{
	__u32 credited = entry->credited_packets;
	__u32 open = (__u32)(entry->forward_packets + entry->reply_packets) - credited;

	if (unlikely(open >= CREDIT_MAX || open >= credited || flags & CONNTRACK_CLOSING))
		conntrack_credit(entry);
}

/* Notes a packet: `flags` are the entry's after it. Returns those of them that are new by it: of two processors one has each. */
static __always_inline __u32 conntrack_count(struct conntrack_entry *entry, __u8 protocol, __u32 flags, bool reply, __u32 bytes, __u64 now)
{
	__u32 fresh = flags & ~entry->flags;

	/* Flags are only added here, and not as a whole: another processor may add one at the same time. */
	if (unlikely(fresh))
		fresh &= ~__sync_fetch_and_or(&entry->flags, fresh);
	entry->expires_ns = conntrack_expiry(protocol, flags, now);
	if (reply) {
		entry->reply_packets++;
		entry->reply_bytes += bytes;
	} else {
		entry->forward_packets++;
		entry->forward_bytes += bytes;
	}
	conntrack_credit_step(entry, flags);
	return fresh;
}

static __always_inline __u32 conntrack_touch(struct conntrack_entry *entry, const struct headers *packet, bool reply, __u32 bytes, __u64 now)
{
	/* What somebody reports about a connection does not keep it alive. */
	if (packet->flags & PACKET_ICMP_ERROR)
		return 0;
	return conntrack_count(entry, packet->protocol, conntrack_flags_after(packet, entry->flags, reply), reply, bytes, now);
}

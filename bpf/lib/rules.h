/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What each rule has decided, and what shadow policies would have. */
#pragma once

#include "packet.h"

/*
 * Packets and bytes: of every packet that the rule denied, and of both directions of every connection that it let through.
 * Connections: that were opened (or tried) under it, or that a change of policy has passed on to it.
 */
struct rule_stat {
	__u64 packets;
	__u64 bytes;
	__u64 connections;
	__u64 last_hit_ns;
};
_Static_assert(sizeof(struct rule_stat) == 32, "rule_stat");

/* Verdicts and conntrack write (each processor its own), the agent reads; LRU because deleted rules are never asked for again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct rule_stat);
} rule_stats SEC(".maps");

/* Rows that let tools group by rule or by peer: the port is that of the connection's destination. */
struct shadow_key {
	__u32 rule;		/* of the shadow policy */
	__u32 endpoint;		/* local id of the end that was judged */
	__u32 identity;		/* of its peer */
	__be16 port;
	__u8 protocol;
	__u8 direction;
	__u8 verdict;		/* what it would be with the shadow policies */
	__u8 pad[3];
};
_Static_assert(sizeof(struct shadow_key) == 20, "shadow_key");

/* Verdicts write where shadow policies differ, the agent reads. Smaller than conntrack: a shadow policy is looked at for days, not kept. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct shadow_key);
	__type(value, struct rule_stat);
} shadow_stats SEC(".maps");

/* Packets and bytes may be negative: two processors that credit one connection at once correct each other. */
static __noinline int rule_count(__u32 rule, __s32 packets, __s32 bytes, __u32 connections)
{
	struct rule_stat first = {};
	struct rule_stat *stat;

	if (!rule)
		return 0;
	stat = bpf_map_lookup_elem(&rule_stats, &rule);
	if (stat) {
		stat->packets += (__s64)packets;
		stat->bytes += (__s64)bytes;
		stat->connections += connections;
		stat->last_hit_ns = bpf_ktime_get_coarse_ns();
		return 0;
	}
	first.packets = (__s64)packets;
	first.bytes = (__s64)bytes;
	first.connections = connections;
	first.last_hit_ns = bpf_ktime_get_coarse_ns();
	bpf_map_update_elem(&rule_stats, &rule, &first, BPF_NOEXIST);
	return 0;
}

static __noinline int shadow_count(const struct shadow_key *key, __u32 bytes, bool connection)
{
	struct rule_stat *stat = bpf_map_lookup_elem(&shadow_stats, key);
	struct rule_stat first = { .packets = 1, .bytes = bytes, .connections = connection, .last_hit_ns = bpf_ktime_get_coarse_ns() };

	if (!stat) {
		bpf_map_update_elem(&shadow_stats, key, &first, BPF_NOEXIST);
		return 0;
	}
	stat->packets++;
	stat->bytes += bytes;
	stat->connections += connection;
	stat->last_hit_ns = first.last_hit_ns;
	return 0;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Policy sets: peer identity → class, then class × protocol × port → verdict. A set belongs to one direction. */
#pragma once

#include "packet.h"

enum policy_verdict_kind {
	VERDICT_ALLOW = 1,
	VERDICT_DENY = 2,
	VERDICT_REDIRECT = 3,
	VERDICT_AUDIT = 4,
};

enum policy_match {	/* Hubble's numbers */
	MATCH_NONE = 0,
	MATCH_L3_ONLY = 1,
	MATCH_L3_L4 = 2,
	MATCH_L4_ONLY = 3,
	MATCH_ALL = 4,
	MATCH_L3_PROTO = 5,
	MATCH_PROTO_ONLY = 6,
};

struct policy_class_key {
	__u32 set;
	__u32 identity;
};
_Static_assert(sizeof(struct policy_class_key) == 8, "policy_class_key");

struct policy_class {
	__u32 class;
};
_Static_assert(sizeof(struct policy_class) == 4, "policy_class");

/* The agent writes, verdicts read. One entry per set and identity that a selector names; no prealloc because few clusters need the room. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct policy_class_key);
	__type(value, struct policy_class);
} policy_classes SEC(".maps");

/* From the general to the particular, so that a shorter prefix is a wider rule: 64 bits any protocol, 80 any port, 81..96 ports. */
struct policy_verdict_key {
	__u32 prefix_bits;
	__u32 set;
	__u32 class;
	__u8 protocol;
	__u8 pad;
	__be16 port;
};
_Static_assert(sizeof(struct policy_verdict_key) == 16, "policy_verdict_key");

struct policy_verdict {
	__u32 rule;
	__u16 proxy_port;
	__u8 verdict;
	__u8 match;
};
_Static_assert(sizeof(struct policy_verdict) == 8, "policy_verdict");

/* The agent writes, verdicts read; a million rows is a thousand sets of a thousand rows. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct policy_verdict_key);
	__type(value, struct policy_verdict);
} policy_verdicts SEC(".maps");

struct rule_stat {
	__u64 packets;
	__u64 bytes;
	__u64 last_hit_ns;
};
_Static_assert(sizeof(struct rule_stat) == 24, "rule_stat");

/* Verdicts write (each processor its own), the agent reads; LRU because deleted rules are never asked for again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct rule_stat);
} rule_stats SEC(".maps");

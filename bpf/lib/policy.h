/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Policy sets: peer identity → class, then class × protocol × port → verdict. A set belongs to one direction. */
#pragma once

#include "conntrack.h"
#include "events.h"
#include "names.h"
#include "packet.h"
#include "proxy.h"
#include "rules.h"

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

enum policy_verdict_flag {
	POLICY_KEEP_ESTABLISHED = 1,	/* a denial that lets connections go on that were allowed before */
	POLICY_ASK_NAMES = 2,		/* a denial by a rule after which names are asked all the same (name_policy.h): one before it allows some */
};

struct policy_verdict {
	__u32 rule;
	__u32 shadow_rule;
	__u32 l7;		/* of VERDICT_REDIRECT: the number of the layer 7 set that says what passes (proxy.h, names.h) */
	__u8 verdict;
	__u8 match;
	__u8 shadow_verdict;	/* what it would be with the shadow policies; 0 = the same */
	__u8 flags;		/* enum policy_verdict_flag */
};
_Static_assert(sizeof(struct policy_verdict) == 16, "policy_verdict");

/* The agent writes, verdicts read; a million rows is a thousand sets of a thousand rows. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct policy_verdict_key);
	__type(value, struct policy_verdict);
} policy_verdicts SEC(".maps");

/* What policy is asked: always from the end that opened the connection to the other, whichever way this packet goes. */
struct policy_question {
	__u32 set;
	__u32 identity;		/* of the peer */
	__be16 port;		/* of the destination; ICMP: the type */
	__u8 protocol;
	__u8 direction;
	__u8 audit;
	__u8 pad[3];
};

/*
 * Who carries out the layer 7 part of a verdict: the node's proxy for TCP, and these programs for what pods ask of DNS by UDP (dns.h). What has
 * been through the proxy has been asked there. Whatever nobody here understands does not pass.
 */
static __always_inline int policy_redirect(struct headers *packet, const struct policy_question *question, __u32 l7)
{
	/* An end in audit is restricted by nothing: who would deny there, would deny. */
	if (question->audit) {
		packet->verdict = VERDICT_ALLOW;
		return CONTINUE;
	}
	if (packet->protocol == IPPROTO_UDP && question->direction == DIRECTION_EGRESS && l7) {
		/* An end in audit restricts nothing. */
		if (question->audit) {
			packet->verdict = VERDICT_ALLOW;
			return CONTINUE;
		}
		packet->egress_l7 = l7;
		packet->ct_flags |= CONNTRACK_ASKS;
		return CONTINUE;
	}
	if (packet->protocol != IPPROTO_TCP || !l7)
		return -DROP_PROXY_NOT_SUPPORTED;
	if (packet->flags & PACKET_FROM_PROXY)
		return CONTINUE;
	if (question->direction == DIRECTION_EGRESS)
		packet->egress_l7 = l7;
	else
		packet->ingress_l7 = l7;
	return CONTINUE;
}

/*
 * The answer is left in the packet (rule, verdict, match, direction, and what the shadow policies would say) for its events; audit turns
 * a denial into a remark. Two look-ups, whatever the policies are.
 */
__noinline int policy_ask(struct headers *packet, const struct policy_question *question)
{
	struct policy_verdict_key key = { .prefix_bits = 96 };
	struct policy_class_key class_key;
	const struct policy_verdict *row;
	const struct policy_class *class;

	if (!packet || !question)
		return -DROP_POLICY_NOT_READY;
	class_key.set = key.set = question->set;
	class_key.identity = question->identity;
	packet->direction = question->direction;
	packet->rule = 0;
	packet->verdict = 0;
	packet->match = 0;
	packet->shadow_rule = 0;
	packet->shadow_verdict = 0;
	packet->verdict_flags = 0;
	if (!question->set)
		return -DROP_POLICY_NOT_READY;
	class = bpf_map_lookup_elem(&policy_classes, &class_key);
	if (class)
		key.class = class->class;
	key.protocol = question->protocol;
	key.port = question->port;
	row = bpf_map_lookup_elem(&policy_verdicts, &key);
	if (!row)
		return -DROP_POLICY_NOT_READY;

	packet->rule = row->rule;
	packet->match = row->match;
	packet->verdict = row->verdict;
	packet->shadow_rule = row->shadow_rule;
	packet->shadow_verdict = row->shadow_verdict;
	packet->verdict_flags = row->flags;
	switch (row->verdict) {
	case VERDICT_ALLOW:
	case VERDICT_AUDIT:
		return CONTINUE;
	case VERDICT_REDIRECT:
		return policy_redirect(packet, question, row->l7);
	default:
		if (!question->audit)
			return -DROP_POLICY_DENIED;
		packet->verdict = VERDICT_AUDIT;
		return CONTINUE;
	}
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Egress policy by names: who a destination outside the cluster is besides what its address says. */
#pragma once

#include "policy.h"
#include "runtime.h"

/* Policy under one more identity. True where it allows, by itself or with its layer 7 part; then that is who the destination is. */
static __always_inline bool name_allows(struct headers *packet, struct policy_question *question, __u32 identity)
{
	question->identity = identity;
	if (policy_ask(packet, question) != CONTINUE)
		return false;
	/* What audit has made of a denial: the address's own identity answers for it. */
	if (question->audit && packet->verdict == VERDICT_AUDIT)
		return false;
	packet->destination_identity = identity;
	packet->ct_flags |= CONNTRACK_BY_NAME;
	return true;
}

/*
 * Asks again, after a denial, under the identities of the names that this pod has been told the address for. `held`: the name's identity that a
 * running connection was allowed by, which needs no living name any more; 0 = none. Not static: the verifier walks it once.
 */
__noinline int name_judge(struct headers *packet, struct policy_question *question, __u32 endpoint, __u32 held)
{
	struct name_address_key key = { .endpoint = endpoint };
	const struct name_address *row;

	if (!packet || !question)
		return -DROP_POLICY_NOT_READY;
	if (held && name_allows(packet, question, held))
		return CONTINUE;
	key.addr = packet->destination;
	row = bpf_map_lookup_elem(&name_addresses, &key);
	if (row) {
		for (int i = 0; i < NAME_SLOTS; i++) {
			__u64 slot = name_slot_word(&row->slots[i]);

			if ((__u32)slot && slot >> 32 >= name_now_s() && name_allows(packet, question, slot))
				return CONTINUE;
		}
	}
	question->identity = packet->destination_policy_identity;
	return policy_ask(packet, question);
}

/* Is it a denial, of something outside the cluster, that a name may still turn? One that no rule asked for, or that says so. */
static __always_inline bool name_may_decide(const struct packet *packet)
{
	if (likely(packet->verdict != VERDICT_DENY && packet->verdict != VERDICT_AUDIT))
		return false;
	if (packet->match != MATCH_NONE && !(packet->verdict_flags & POLICY_ASK_NAMES))
		return false;
	return endpoint_is_pod(packet->from) && !packet->to && packet->remote && !(packet->remote->flags & IPCACHE_CLUSTER) && runtime_has(RUNTIME_NAMES);
}

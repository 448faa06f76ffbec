/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DNS names. A pod's question is read on its way out: an automaton made of all names and patterns that policies use says which of them
 * the name matches; then it may be asked, or is refused in place. The answer is read on its way in: its addresses belong to the name's
 * identity before the pod has them. Nobody in user space is asked.
 */
#pragma once

#include "addr.h"

#define NAME_COLUMNS 40		/* a–z 0–25, 0–9 26–35, '-' 36, '_' 37, the end of a label 38, any other byte 39 */

/* State 0 refuses for ever, state 1 is the beginning. Read from the first label on; each label is followed by column 38. */
struct name_state {
	__u16 next[NAME_COLUMNS];
	__u32 class;		/* of a name that ends here: which patterns match it; 0 = none */
	__u32 identity;		/* of the addresses of such a name: which toFQDNs match it; 0 = none */
};
_Static_assert(sizeof(struct name_state) == 88, "name_state");

struct name_states {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct name_state);
};

/* The agent writes: a new automaton takes the place of the old one as a whole. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct name_states);
} name_automaton SEC(".maps");

/* Of the name that has been read. */
__noinline int name_class(const struct name_state *state)
{
	return state ? (int)state->class : 0;
}

#define NAME_CLASS_ANY 0xffffffff	/* every name may be asked */

struct name_rule_key {
	__u32 l7;		/* the layer 7 set of the verdict's row */
	__u32 class;		/* of the name, or NAME_CLASS_ANY */
};
_Static_assert(sizeof(struct name_rule_key) == 8, "name_rule_key");

struct name_rule {
	__u32 rule;
};
_Static_assert(sizeof(struct name_rule) == 4, "name_rule");

/* The agent writes: which names may be asked under which set. Rows stand before a verdict's row names the set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct name_rule_key);
	__type(value, struct name_rule);
} name_rules SEC(".maps");

#define NAME_SLOTS 8		/* identities of one address at a time; the agent joins them before there are more */

struct name_address_key {
	__u32 endpoint;		/* local id of the pod that was told: what one pod was told is nothing to another */
	struct addr addr;
};
_Static_assert(sizeof(struct name_address_key) == 20, "name_address_key");

struct name_slot {
	__u32 identity;		/* 0 = free */
	__u32 expires_s;	/* CLOCK_MONOTONIC */
};

struct name_address {
	struct name_slot slots[NAME_SLOTS];
};
_Static_assert(sizeof(struct name_address) == 64, "name_address");

/* Packets and the proxy (DNS over TCP) write, packets and the agent read. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct name_address_key);
	__type(value, struct name_address);
} name_addresses SEC(".maps");

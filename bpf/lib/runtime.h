/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What changes while the programs run. */
#pragma once

#include "base.h"

enum runtime_flag {
	RUNTIME_HOST_POLICY = 1,	/* some of the node's own addresses have policy sets: set before they get them, cleared after */
	RUNTIME_MASQUERADE_EXCLUSIONS = 2,	/* masquerade_exclusions has rows: set after the first, cleared before the last goes */
	RUNTIME_NAMES = 4,	/* some names have identities: set once the automaton has them, cleared before it loses the last */
};

struct runtime {
	__u32 policy_generation;	/* bumped after every commit of policy, identities or addresses */
	__u32 flags;			/* enum runtime_flag */
};
_Static_assert(sizeof(struct runtime) == 8, "runtime");

/* The agent writes, every packet reads; one row because it is a set of global variables. The layer 7 proxy maps it, to see changes without a call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runtime);
} runtime SEC(".maps");

static __always_inline __u32 policy_generation(void)
{
	__u32 zero = 0;
	const struct runtime *row = bpf_map_lookup_elem(&runtime, &zero);

	return row ? row->policy_generation : 0;
}

static __always_inline bool runtime_has(__u32 flag)
{
	__u32 zero = 0;
	const struct runtime *row = bpf_map_lookup_elem(&runtime, &zero);

	return row && row->flags & flag;
}

/* Is the node itself under policy? */
static __always_inline bool host_policy_exists(void)
{
	return runtime_has(RUNTIME_HOST_POLICY);
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the agent and the proxy know of names, by BPF_PROG_TEST_RUN: the "packet" is a struct name_put, and its answer. The kernel changes an
 * address's slots in place, so nothing that a packet writes at the same moment is lost.
 */
#include "names.h"

static __always_inline void name_free(struct name_address *row, __u32 identity)
{
	for (int i = 0; i < NAME_SLOTS; i++) {
		__u64 before = name_slot_word(&row->slots[i]);

		if ((__u32)before == identity)
			name_slot_exchange(&row->slots[i], before, 0);
	}
}

SEC("tc")
int name_put(struct __sk_buff *skb)
{
	struct name_put *put = (void *)(long)skb->data, asked;
	struct name_address *row;
	__u32 done = 1;

	if ((void *)(put + 1) > (void *)(long)skb->data_end)
		return -1;
	asked = *put;
	if (asked.identity)
		done = name_learn(&asked.key, asked.identity, asked.expires_s, name_now_s());
	row = bpf_map_lookup_elem(&name_addresses, &asked.key);
	for (int i = 0; i < NAME_SLOTS; i++)
		if (row && done && asked.replaces[i] && asked.replaces[i] != asked.identity)
			name_free(row, asked.replaces[i]);
	put->done = done;
	return 0;
}

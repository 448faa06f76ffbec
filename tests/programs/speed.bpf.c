// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Makes the packet anew before each of many test runs, so that a program that rewrites it meets the same one again:
 *
 *     speed_restore ── tail call ──► the program that is measured, or speed_nothing, whose time is what this costs
 */
#include "base.h"

#define TEMPLATE_WORDS 16

struct template {
	__u32 port_offset;	/* of a port that counts up with each run; 0 = none */
	__u32 count;
	union {
		__u64 words[TEMPLATE_WORDS];
		__u8 bytes[TEMPLATE_WORDS * 8];
	};
};

/* speed.ts writes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct template);
} speed_template SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} speed_target SEC(".maps");

SEC("tc")
int speed_restore(struct __sk_buff *skb)
{
	__u64 *data = (void *)(long)skb->data;
	__u32 zero = 0, offset;
	struct template *from = bpf_map_lookup_elem(&speed_template, &zero);

	if (!from || (void *)(data + TEMPLATE_WORDS) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	offset = from->port_offset;
	if (offset && offset < sizeof(from->bytes) - 1)
		*(__be16 *)&from->bytes[offset] = bpf_htons(from->count++);
	for (int i = 0; i < TEMPLATE_WORDS; i++)
		data[i] = from->words[i];
	bpf_tail_call(skb, &speed_target, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int speed_nothing(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

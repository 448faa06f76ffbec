// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
SEC("tc")
int from_pod(struct __sk_buff *context)
{
	return 0;
}

SEC("tc")
int to_pod(struct __sk_buff *context)
{
	return 0;
}


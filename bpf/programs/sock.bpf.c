// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/getpeername4")
int sock_getpeername4(struct bpf_sock_addr *context)
{
	return 1;
}

SEC("cgroup/getpeername6")
int sock_getpeername6(struct bpf_sock_addr *context)
{
	return 1;
}


// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ends sockets that are connected to a backend in `gone_backends` and came there by way of a service, so that their owners hear of it at
 * once (ECONNABORTED) and connect anew, to a backend that lives. Whoever asked for the backend itself is left alone.
 *
 * Iterators: run when the agent reads them, over the sockets of the network namespace in which it opened them. They need Linux 6.5
 * (bpf_sock_destroy); where the kernel has it not, they are left out.
 */
#include "socket_end.h"

extern int bpf_sock_destroy(struct sock_common *socket) __ksym __weak;

/* Connected, and not on its way out already. */
static __always_inline bool tcp_is_connected(__u8 state)
{
	return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_SYN_SENT || state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_FIN_WAIT1 ||
	       state == BPF_TCP_FIN_WAIT2;
}

/* An AF_INET6 socket that talks to an IPv4 peer has it as ::ffff:a.b.c.d, as the maps do. */
static __always_inline struct addr socket_peer_of(const struct sock_common *socket)
{
	struct addr addr;

	if (socket->skc_family == AF_INET)
		return addr_from_v4(socket->skc_daddr);
	addr.words[0] = socket->skc_v6_daddr.in6_u.u6_addr32[0];
	addr.words[1] = socket->skc_v6_daddr.in6_u.u6_addr32[1];
	addr.words[2] = socket->skc_v6_daddr.in6_u.u6_addr32[2];
	addr.words[3] = socket->skc_v6_daddr.in6_u.u6_addr32[3];
	return addr;
}

static __always_inline bool socket_is_to_end(struct sock_common *socket, __u8 protocol)
{
	struct gone_backend_key gone = { .addr = socket_peer_of(socket), .port = socket->skc_dport, .protocol = protocol };
	struct socket_service_key key = { .addr = gone.addr, .port = gone.port, .protocol = protocol, .kind = SOCKET_PEER };

	if (likely(!bpf_map_lookup_elem(&gone_backends, &gone)))
		return false;
	key.cookie = bpf_get_socket_cookie(socket);
	return bpf_map_lookup_elem(&socket_services, &key);
}

SEC("iter/tcp")
int sock_end_tcp(struct bpf_iter__tcp *context)
{
	struct sock_common *socket = context->sk_common;

	if (socket && tcp_is_connected(socket->skc_state) && socket_is_to_end(socket, IPPROTO_TCP))
		bpf_sock_destroy(socket);
	return 0;
}

SEC("iter/udp")
int sock_end_udp(struct bpf_iter__udp *context)
{
	struct sock_common *socket = (struct sock_common *)context->udp_sk;

	if (socket && socket_is_to_end(socket, IPPROTO_UDP))
		bpf_sock_destroy(socket);
	return 0;
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Sockets of the node's cgroup: a service address becomes a backend's before the first packet is made.
 *
 * - The backend is a random one, or the one that this network namespace had (affinity). Maglev is for packets: a socket has no port of its
 *   own here, and its flow meets no second node that would have to choose alike.
 * - A service without backends is ECONNREFUSED at once, as kube-proxy's REJECT is. Where silence is meant (SERVICE_SILENT,
 *   config.no_backend_drop) it is EHOSTUNREACH: silence is towards the network, and a packet left alone would go out of the node for an
 *   address that nobody has.
 * - An AF_INET6 socket that connects may get an IPv4 backend (::ffff:a.b.c.d) where the service says so. The kernel has no such way for
 *   sockets for IPv6 alone, for datagrams without connect() and for AF_INET: what pods send so is translated packet by packet (nat64.h),
 *   and the node's own sockets hear EHOSTUNREACH.
 */
#include "events.h"
#include "rewrite.h"
#include "service_choice.h"

#define SOCK_REFUSE 0
#define SOCK_GO_ON  1

/* The two ends of a socket call; written back only when something has changed. */
struct socket_peer {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

static __always_inline void peer_read4(struct bpf_sock_addr *context, struct socket_peer *peer)
{
	peer->addr = addr_from_v4(context->user_ip4);
	peer->port = context->user_port;
	peer->protocol = context->protocol;
}

static __always_inline void peer_write4(struct bpf_sock_addr *context, const struct socket_peer *peer)
{
	context->user_ip4 = peer->addr.words[3];
	context->user_port = peer->port;
}

/* An IPv4 peer of an AF_INET6 socket is ::ffff:a.b.c.d here: the same 16 bytes as in the maps. */
static __always_inline void peer_read6(struct bpf_sock_addr *context, struct socket_peer *peer)
{
	peer->addr.words[0] = context->user_ip6[0];
	peer->addr.words[1] = context->user_ip6[1];
	peer->addr.words[2] = context->user_ip6[2];
	peer->addr.words[3] = context->user_ip6[3];
	peer->port = context->user_port;
	peer->protocol = context->protocol;
}

static __always_inline void peer_write6(struct bpf_sock_addr *context, const struct socket_peer *peer)
{
	context->user_ip6[0] = peer->addr.words[0];
	context->user_ip6[1] = peer->addr.words[1];
	context->user_ip6[2] = peer->addr.words[2];
	context->user_ip6[3] = peer->addr.words[3];
	context->user_port = peer->port;
}

/* The socket's owner is not known here: the event says what was asked for, not by whom. */
static __noinline int socket_refused(const struct socket_peer *peer, __u8 reason)
{
	struct flow_event *event;

	metrics_count(reason, DIRECTION_EGRESS, 0);
	event = bpf_ringbuf_reserve(&drop_events, sizeof(*event), 0);
	if (!event) {
		event_lost(LOST_DROP_EVENTS);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->destination = peer->addr;
	event->destination_port = peer->port;
	event->service = peer->addr;
	event->service_port = peer->port;
	event->protocol = peer->protocol;
	event->type = EVENT_DROP;
	event->reason_or_point = reason;
	event->direction = DIRECTION_EGRESS;
	event->flags = addr_is_v4(&peer->addr) ? 0 : EVENT_V6;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

enum socket_outcome {
	SOCKET_UNTOUCHED,
	SOCKET_TRANSLATED,
	SOCKET_REFUSED,		/* ECONNREFUSED */
	SOCKET_SILENCED,	/* EHOSTUNREACH */
};

/* How the peer was named. */
enum socket_call {
	CALL_CONNECT,
	CALL_SENDMSG,		/* for this datagram alone */
};

static __always_inline bool socket_is_of_host(struct bpf_sock_addr *context)
{
	return bpf_get_netns_cookie(context) == config.host_cookie;
}

/* connect() to the unspecified address means loopback (BSD; net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c). */
static __always_inline void peer_unspecified(struct socket_peer *peer)
{
	if (peer->addr.words[3] || peer->addr.words[1] || peer->addr.words[0])
		return;
	if (peer->addr.words[2] == ADDR_V4_MARK)
		peer->addr.words[3] = bpf_htonl(0x7f000001);
	else if (!peer->addr.words[2])
		peer->addr.words[3] = bpf_htonl(1);
}

/* Rows that are not for everybody. */
static __noinline const struct service *service_of_special(struct bpf_sock_addr *context, const struct socket_peer *peer, const struct service *service)
{
	struct service_key at = { .addr = peer->addr, .port = peer->port, .protocol = peer->protocol };

	if (service->flags & SERVICE_HOST_ONLY && !socket_is_of_host(context))
		return NULL;
	if (service->flags & SERVICE_REDIRECT_EXEMPT)
		return service_original(service, &at, bpf_get_netns_cookie(context), EXEMPT_NETNS);
	return service;
}

static __always_inline const struct service *service_of_socket(struct bpf_sock_addr *context, const struct socket_peer *peer)
{
	const struct service *service;

	if (config.socket_host_only && !socket_is_of_host(context))
		return NULL;
	service = service_find_inside(&peer->addr, peer->port, peer->protocol);
	if (service && unlikely(service->flags & (SERVICE_HOST_ONLY | SERVICE_REDIRECT_EXEMPT)))
		return service_of_special(context, peer, service);
	return service;
}

/* A note that this socket's `peer` is `backend`. Not noted means that recvmsg and getpeername show the backend: it works all the same. */
static __always_inline void socket_note(__u64 cookie, const struct socket_peer *peer, const struct backend *backend, const struct socket_service *value)
{
	struct socket_service_key key = { .cookie = cookie, .addr = backend->addr, .port = backend->port, .protocol = peer->protocol, .kind = SOCKET_PEER };

	bpf_map_update_elem(&socket_services, &key, value, BPF_ANY);
}

/* Seconds without a datagram after which an unconnected socket finds a new backend: as long as a packet's flow is remembered. */
#define CHOICE_IDLE_SECONDS 60

/*
 * The backend of an unconnected socket's datagrams: one for each service, so that a conversation (QUIC, TFTP, retries) does not wander.
 * The notes are renewed once a second, together, so that LRU cannot take one of a pair that is in use.
 */
static __noinline __u32 socket_choice(__u64 cookie, const struct socket_peer *peer, const struct service *service, __u64 netns_cookie)
{
	struct socket_service_key key = { .cookie = cookie, .addr = peer->addr, .port = peer->port, .protocol = peer->protocol, .kind = SOCKET_CHOICE };
	struct socket_service *known = bpf_map_lookup_elem(&socket_services, &key);
	struct socket_service value = { .addr = peer->addr, .port = peer->port, .service = service->id };
	__u32 now = bpf_ktime_get_coarse_ns() / NANOSECONDS;
	const struct backend *had = NULL, *backend;

	/* As affinity_holds(): it may have been used by a later clock than the one read here. */
	if (known && known->service == service->id && known->used_seconds + CHOICE_IDLE_SECONDS >= now)
		had = backend_find(known->backend);
	if (known && had && likely(had->state == BACKEND_ACTIVE)) {
		value.backend = known->backend;
		if (known->used_seconds == now)
			return value.backend;
	} else {
		value.backend = service_choose_at_socket(service, netns_cookie);
		/* Who is on the way out keeps its conversations when whoever takes its place is no better. */
		if (known && had && !backend_is_active(value.backend))
			value.backend = known->backend;
	}
	backend = backend_find(value.backend);
	if (!backend)
		return 0;
	value.used_seconds = now;
	bpf_map_update_elem(&socket_services, &key, &value, BPF_ANY);
	socket_note(cookie, peer, backend, &value);
	return value.backend;
}

/* Why a service has nobody, for the one who asked: the drop is told either way. */
static __always_inline int socket_no_backend(const struct socket_peer *peer, const struct service *service)
{
	socket_refused(peer, DROP_NO_SERVICE_BACKEND);
	return config.no_backend_drop || service->flags & SERVICE_SILENT ? SOCKET_SILENCED : SOCKET_REFUSED;
}

/* IPV6_V6ONLY, of an AF_INET6 socket. */
static __always_inline bool socket_is_v6_only(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;
	struct sock *kernel;

	if (!socket)
		return false;
	kernel = context->protocol == IPPROTO_TCP ? (struct sock *)bpf_skc_to_tcp6_sock(socket) : (struct sock *)bpf_skc_to_udp6_sock(socket);
	return kernel && BPF_CORE_READ_BITFIELD(kernel, __sk_common.skc_ipv6only);
}

/* Can a socket that asked for `peer` be given an address of the other family? */
static __noinline int socket_other_family(struct bpf_sock_addr *context, const struct socket_peer *peer, const struct service *service, int call)
{
	if (!(service->flags & SERVICE_NAT46X64))
		return socket_no_backend(peer, service);
	if (call == CALL_CONNECT && !addr_is_v4(&peer->addr) && !socket_is_v6_only(context))
		return SOCKET_TRANSLATED;
	if (!socket_is_of_host(context))
		return SOCKET_UNTOUCHED;
	socket_refused(peer, DROP_NAT_UNSUPPORTED_PROTOCOL);
	return SOCKET_SILENCED;
}

/* Service → backend, and a note of what the socket believes it talks to. The peer becomes the backend. */
static __noinline int socket_translate(struct bpf_sock_addr *context, struct socket_peer *peer, int call)
{
	const struct service *service;
	struct socket_service value = {};
	const struct backend *backend;
	__u64 cookie, netns_cookie;
	int outcome;

	peer_unspecified(peer);
	service = service_of_socket(context, peer);
	if (!service)
		return SOCKET_UNTOUCHED;
	cookie = bpf_get_socket_cookie(context);
	netns_cookie = unlikely(service->affinity_timeout) ? bpf_get_netns_cookie(context) : 0;
	value.backend = call == CALL_SENDMSG ? socket_choice(cookie, peer, service, netns_cookie) : service_choose_at_socket(service, netns_cookie);
	backend = backend_find(value.backend);
	if (!backend)
		return socket_no_backend(peer, service);
	if (unlikely(addr_is_v4(&backend->addr) != addr_is_v4(&peer->addr))) {
		outcome = socket_other_family(context, peer, service, call);
		if (outcome != SOCKET_TRANSLATED)
			return outcome;
	}
	if (call == CALL_CONNECT) {
		value.addr = peer->addr;
		value.port = peer->port;
		value.service = service->id;
		socket_note(cookie, peer, backend, &value);
	}
	peer->addr = backend->addr;
	peer->port = backend->port;
	return SOCKET_TRANSLATED;
}

/* Backend → service, if this socket has talked to the backend by way of one. */
static __noinline int socket_reverse(struct bpf_sock_addr *context, struct socket_peer *peer)
{
	struct socket_service_key key = { .addr = peer->addr, .port = peer->port, .protocol = peer->protocol, .kind = SOCKET_PEER };
	const struct socket_service *service;

	key.cookie = bpf_get_socket_cookie(context);
	service = bpf_map_lookup_elem(&socket_services, &key);
	if (!service)
		return SOCKET_UNTOUCHED;
	peer->addr = service->addr;
	peer->port = service->port;
	return SOCKET_TRANSLATED;
}

static __always_inline int socket_verdict(int outcome)
{
	if (likely(outcome != SOCKET_REFUSED && outcome != SOCKET_SILENCED))
		return SOCK_GO_ON;
	bpf_set_retval(outcome == SOCKET_REFUSED ? -ECONNREFUSED : -EHOSTUNREACH);
	return SOCK_REFUSE;
}

static __always_inline int forward4(struct bpf_sock_addr *context, int call)
{
	struct socket_peer peer = {};
	int outcome;

	peer_read4(context, &peer);
	outcome = socket_translate(context, &peer, call);
	if (outcome == SOCKET_TRANSLATED)
		peer_write4(context, &peer);
	return socket_verdict(outcome);
}

static __always_inline int forward6(struct bpf_sock_addr *context, int call)
{
	struct socket_peer peer = {};
	int outcome;

	peer_read6(context, &peer);
	outcome = socket_translate(context, &peer, call);
	if (outcome == SOCKET_TRANSLATED)
		peer_write6(context, &peer);
	return socket_verdict(outcome);
}

static __always_inline int reverse4(struct bpf_sock_addr *context)
{
	struct socket_peer peer = {};

	peer_read4(context, &peer);
	if (socket_reverse(context, &peer) == SOCKET_TRANSLATED)
		peer_write4(context, &peer);
	return SOCK_GO_ON;
}

static __always_inline int reverse6(struct bpf_sock_addr *context)
{
	struct socket_peer peer = {};

	peer_read6(context, &peer);
	if (socket_reverse(context, &peer) == SOCKET_TRANSLATED)
		peer_write6(context, &peer);
	return SOCK_GO_ON;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *context)
{
	return forward4(context, CALL_CONNECT);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *context)
{
	return forward6(context, CALL_CONNECT);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *context)
{
	return forward4(context, CALL_SENDMSG);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *context)
{
	return forward6(context, CALL_SENDMSG);
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr *context)
{
	return reverse4(context);
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr *context)
{
	return reverse6(context);
}

SEC("cgroup/getpeername4")
int sock_getpeername4(struct bpf_sock_addr *context)
{
	return reverse4(context);
}

SEC("cgroup/getpeername6")
int sock_getpeername6(struct bpf_sock_addr *context)
{
	return reverse6(context);
}

/*
 * Whoever binds a port here that is a node port of this node would never hear of it: refused, as if another socket had it. So is an
 * address of the node that a service has as its external one, there. Only in the node's own namespace; pods' ports are their own. A
 * wildcard stands for the node's address and loopback, [::] for both families, as most sockets are (whether this one is for IPv6 alone is
 * not told here).
 */
static __always_inline const struct service *service_at(const struct addr *addr, __be16 port, __u8 protocol)
{
	const struct service *service = service_find(addr, port, protocol);

	return service && (service->type == SERVICE_NODE_PORT || service->type == SERVICE_EXTERNAL_IP || service->type == SERVICE_LOAD_BALANCER) ?
	       service : NULL;
}

static __always_inline bool node_port_at(const struct addr *addr, __be16 port, __u8 protocol)
{
	const struct service *service = service_find(addr, port, protocol);

	return service && service->type == SERVICE_NODE_PORT;
}

static __always_inline bool wildcard4_is_used(__be16 port, __u8 protocol)
{
	struct addr node = config_addr(&config.node_ip4), loopback = addr_from_v4(bpf_htonl(0x7f000001));

	return node_port_at(&node, port, protocol) || node_port_at(&loopback, port, protocol);
}

static __always_inline bool wildcard6_is_used(__be16 port, __u8 protocol)
{
	struct addr node = config_addr(&config.node_ip6);

	return node_port_at(&node, port, protocol) || wildcard4_is_used(port, protocol);
}

static __always_inline int bind_verdict(bool used)
{
	if (likely(!used))
		return SOCK_GO_ON;
	bpf_set_retval(-EADDRINUSE);
	return SOCK_REFUSE;
}

static __always_inline bool bind_is_checked(struct bpf_sock *socket, __be16 port)
{
	return port && bpf_get_netns_cookie(socket) == config.host_cookie;
}

/* The context's members are read first: clang would join the reads of branches into one at a computed offset, which the verifier refuses. */
SEC("cgroup/post_bind4")
int sock_post_bind4(struct bpf_sock *socket)
{
	__be16 port = opaque(bpf_htons(socket->src_port));
	__u8 protocol = opaque(socket->protocol);
	struct addr addr = addr_from_v4(opaque(socket->src_ip4));

	if (!bind_is_checked(socket, port))
		return SOCK_GO_ON;
	return bind_verdict(addr.words[3] ? !!service_at(&addr, port, protocol) : wildcard4_is_used(port, protocol));
}

SEC("cgroup/post_bind6")
int sock_post_bind6(struct bpf_sock *socket)
{
	__be16 port = opaque(bpf_htons(socket->src_port));
	__u8 protocol = opaque(socket->protocol);
	struct addr addr;

	if (!bind_is_checked(socket, port))
		return SOCK_GO_ON;
	addr.words[0] = socket->src_ip6[0];
	addr.words[1] = socket->src_ip6[1];
	addr.words[2] = socket->src_ip6[2];
	addr.words[3] = socket->src_ip6[3];
	if (addr_is_zero(&addr))
		return bind_verdict(wildcard6_is_used(port, protocol));
	if (addr_is_v4(&addr) && !addr.words[3])
		return bind_verdict(wildcard4_is_used(port, protocol));
	return bind_verdict(service_at(&addr, port, protocol));
}

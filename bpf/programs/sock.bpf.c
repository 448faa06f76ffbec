// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Sockets of the node's cgroup: a service address becomes a backend's before the first packet is made. */
#include "events.h"
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
static __noinline int socket_refused(const struct socket_peer *peer)
{
	struct flow_event *event;

	metrics_count(DROP_NO_SERVICE_BACKEND, DIRECTION_EGRESS, 0);
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
	event->reason_or_point = DROP_NO_SERVICE_BACKEND;
	event->direction = DIRECTION_EGRESS;
	event->flags = addr_is_v4(&peer->addr) ? 0 : EVENT_V6;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

enum socket_outcome {
	SOCKET_UNTOUCHED,
	SOCKET_TRANSLATED,
	SOCKET_REFUSED,
};

/* Service → backend, and a note of what the socket believes it talks to. The peer becomes the backend. */
static __noinline int socket_translate(struct bpf_sock_addr *context, struct socket_peer *peer)
{
	const struct service *service = service_find(&peer->addr, peer->port, peer->protocol);
	struct socket_service_key key = {};
	struct socket_service value = {};
	const struct backend *backend;

	if (!service)
		return SOCKET_UNTOUCHED;
	backend = backend_find(service_pick(service));
	if (!backend || addr_is_v4(&backend->addr) != addr_is_v4(&peer->addr)) {
		socket_refused(peer);
		return SOCKET_REFUSED;
	}
	key.cookie = bpf_get_socket_cookie(context);
	key.backend = backend->addr;
	key.port = backend->port;
	value.addr = peer->addr;
	value.port = peer->port;
	value.service = service->id;
	/* Not noted means that getpeername and recvmsg show the backend: the connection works all the same. */
	bpf_map_update_elem(&socket_services, &key, &value, BPF_ANY);
	peer->addr = backend->addr;
	peer->port = backend->port;
	return SOCKET_TRANSLATED;
}

/* Backend → service, if this socket has talked to the backend by way of one. */
static __noinline int socket_reverse(struct bpf_sock_addr *context, struct socket_peer *peer)
{
	struct socket_service_key key = { .backend = peer->addr, .port = peer->port };
	const struct socket_service *service;

	key.cookie = bpf_get_socket_cookie(context);
	service = bpf_map_lookup_elem(&socket_services, &key);
	if (!service)
		return SOCKET_UNTOUCHED;
	peer->addr = service->addr;
	peer->port = service->port;
	return SOCKET_TRANSLATED;
}

static __always_inline int forward4(struct bpf_sock_addr *context)
{
	struct socket_peer peer = {};
	int outcome;

	peer_read4(context, &peer);
	outcome = socket_translate(context, &peer);
	if (outcome == SOCKET_TRANSLATED)
		peer_write4(context, &peer);
	if (outcome != SOCKET_REFUSED)
		return SOCK_GO_ON;
	bpf_set_retval(-ECONNREFUSED);
	return SOCK_REFUSE;
}

static __always_inline int forward6(struct bpf_sock_addr *context)
{
	struct socket_peer peer = {};
	int outcome;

	peer_read6(context, &peer);
	outcome = socket_translate(context, &peer);
	if (outcome == SOCKET_TRANSLATED)
		peer_write6(context, &peer);
	if (outcome != SOCKET_REFUSED)
		return SOCK_GO_ON;
	bpf_set_retval(-ECONNREFUSED);
	return SOCK_REFUSE;
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
	return forward4(context);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *context)
{
	return forward6(context);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *context)
{
	return forward4(context);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *context)
{
	return forward6(context);
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

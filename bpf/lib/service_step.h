/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Service translation packet by packet, for what the socket hooks did not see (raw packets, sockets older than the hooks, other kernels). */
#pragma once

#include "conntrack.h"
#include "nat64.h"
#include "service_choice.h"
#include "translate.h"

/* The backend that this client's connection has, or 0. A connection attempt does not stick to a backend that takes no new ones. */
static __always_inline __u32 service_remembered(const struct packet *packet, const struct service *service, struct conntrack_entry *entry)
{
	const struct backend *backend;

	if (!entry || entry->expires_ns < bpf_ktime_get_coarse_ns() || entry->service != service->id ||
	    entry->source_endpoint != endpoint_id(packet->from))
		return 0;
	if (packet_opens_tcp(&packet->headers) && entry->flags & CONNTRACK_FORWARD_CLOSING)
		return 0;
	backend = backend_find(entry->backend);
	if (!backend || (backend->state != BACKEND_ACTIVE && packet_opens_tcp(&packet->headers)))
		return 0;
	return entry->backend;
}

/*
 * Only the client's direction is seen under this key, so a FIN does not shorten the life to that of a closed connection: the client
 * may go on acknowledging for long.
 */
static __always_inline __u64 service_expiry(__u8 protocol, __u32 flags, __u64 now)
{
	__u64 seconds = LIFETIME_OTHER;

	if (protocol == IPPROTO_TCP && flags & CONNTRACK_SEEN_NON_SYN && !(flags & CONNTRACK_FORWARD_CLOSING))
		seconds = LIFETIME_TCP_ESTABLISHED;
	return now + seconds * NANOSECONDS;
}

static __noinline int service_remember(const struct packet *packet, const struct conntrack_key *key, bool source_is_low, __u32 service, __u32 backend)
{
	struct conntrack_entry entry = {
		.flags = conntrack_flags_after(&packet->headers, source_is_low ? CONNTRACK_ORIGINATOR_LOW : 0, false),
		.source_endpoint = endpoint_id(packet->from),
		.service = service,
		.backend = backend,
		.forward_packets = 1,
	};

	entry.expires_ns = service_expiry(packet->protocol, entry.flags, bpf_ktime_get_coarse_ns());
	return conntrack_insert(key, &entry);
}

/*
 * A pod would refuse a packet from its own address. So the client's end becomes the service's address, under the client's port, and the
 * pod's answers come back here. A service's address of the other family cannot stand there: then it is the router's.
 */
static __noinline int hairpin(struct __sk_buff *skb, struct packet *packet)
{
	struct addr addr = packet->destination;

	if (unlikely(packet->flags & PACKET_OTHER_FAMILY)) {
		addr = packet_is_v6(&packet->headers) ? config_addr(&config.router_ip4) : config_addr(&config.router_ip6);
		if (addr_is_zero(&addr))
			return -DROP_UNROUTABLE_IP;
	}
	packet->flags |= PACKET_HAIRPIN;
	/* The node, where the service's address is one of its own; else nobody. */
	packet->from = endpoint_find(&addr);
	return translate(skb, &packet->headers, END_SOURCE, &addr, packet->source_port);
}

/* An answer to a hairpin goes to its own sender. */
static __noinline int hairpin_reverse(struct __sk_buff *skb, struct packet *packet)
{
	struct addr addr = packet->source;

	packet->to = packet->from;
	return translate(skb, &packet->headers, END_DESTINATION, &addr, packet->destination_port);
}

static __always_inline int service_has_nobody(struct packet *packet, const struct service *service)
{
	if (!config.no_backend_drop && !(service->flags & SERVICE_SILENT))
		packet->flags |= PACKET_REJECT;
	return -DROP_NO_SERVICE_BACKEND;
}

/*
 * The backend of this packet's connection: packet->service and packet->backend are set, the packet is as it was. A connection keeps what
 * it has; a new one gets what service_choose() says, which is noted.
 */
static __noinline int service_select(struct packet *packet, const struct service *service)
{
	struct conntrack_key key;
	bool source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_SERVICE, &key);
	struct conntrack_entry *entry = bpf_map_lookup_elem(&conntrack, &key);

	packet->service = service->id;
	packet->backend = service_remembered(packet, service, entry);
	if (packet->backend && entry) {
		if (!(packet->flags & PACKET_ICMP_ERROR)) {
			entry->flags = conntrack_flags_after(&packet->headers, entry->flags, false);
			entry->expires_ns = service_expiry(packet->protocol, entry->flags, bpf_ktime_get_coarse_ns());
			entry->forward_packets++;
		}
		return CONTINUE;
	}
	if (packet->flags & PACKET_ICMP_ERROR)
		return -DROP_NO_SERVICE_BACKEND;
	packet->backend = service_choose(service, &packet->headers);
	if (!packet->backend)
		return service_has_nobody(packet, service);
	if (unlikely(packet_opens_nothing(&packet->headers)))
		return -DROP_CONNTRACK_INVALID;
	return service_remember(packet, &key, source_is_low, service->id, packet->backend);
}

static __always_inline bool protocol_has_services(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The service that a pod's packet is for, if any. */
static __noinline const struct service *service_of_pod(const struct packet *packet)
{
	struct service_key at = { .addr = packet->destination, .port = packet->destination_port, .protocol = packet->protocol };
	const struct service *service = service_find_for(&at.addr, at.port, at.protocol, true);

	if (service && unlikely(service->flags & SERVICE_REDIRECT_EXEMPT))
		return service_original(service, &at, endpoint_id(packet->from), EXEMPT_ENDPOINT);
	return service;
}

/* Sets packet->service when the packet was for a service and now is for a backend. */
static __noinline int service_step(struct __sk_buff *skb, struct packet *packet)
{
	const struct service *service;
	const struct backend *backend;
	struct addr addr;
	int verdict;

	if (!protocol_has_services(packet->protocol))
		return CONTINUE;
	service = service_of_pod(packet);
	if (!service)
		return CONTINUE;
	verdict = service_select(packet, service);
	if (verdict != CONTINUE)
		return verdict;
	backend = backend_find(packet->backend);
	if (!backend)
		return -DROP_NO_SERVICE_BACKEND;
	addr = backend->addr;
	if (unlikely(addr_is_v4(&addr) == packet_is_v6(&packet->headers)))
		verdict = family_enter(packet, service);
	if (verdict == CONTINUE && addr_equal(&addr, &packet->source))
		verdict = hairpin(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	return translate(skb, &packet->headers, END_DESTINATION, &addr, backend->port);
}

/* A reply of a translated connection gets back the address that the client asked for. */
static __noinline int service_reverse(struct __sk_buff *skb, struct packet *packet)
{
	const struct service_address *address = service_address_find(packet->service);
	struct addr addr;
	int verdict;

	/* The service is gone; the client would not know the backend's address. */
	if (!address)
		return -DROP_NO_SERVICE_BACKEND;
	addr = address->addr;
	if (unlikely(addr_is_v4(&addr) == packet_is_v6(&packet->headers) && !(packet->flags & PACKET_OTHER_FAMILY))) {
		verdict = family_return(packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	return translate(skb, &packet->headers, END_SOURCE, &addr, address->port);
}

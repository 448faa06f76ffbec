/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* "There is nobody behind this service", said to the client as kube-proxy's REJECT says it: reset for TCP, port unreachable for the others. */
#pragma once

#include "answer.h"
#include "events.h"

static __always_inline int answer_port_unreachable(struct __sk_buff *skb, const struct headers *packet)
{
	return packet_is_v6(packet) ? answer_with_report(skb, packet, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE, 0) :
				      answer_with_report(skb, packet, ICMP4_UNREACHABLE, ICMP4_PORT_UNREACHABLE, 0);
}

/*
 * CONTINUE where an answer stands in `skb`, to be sent back the way it came: then the drop that it is about has been counted and told, and
 * the answer counts as what goes on. Else the drop.
 */
static __noinline int reject(struct __sk_buff *skb, struct packet *packet)
{
	__u32 length = skb->len;
	int verdict;

	if (!(packet->flags & PACKET_REJECT) || !answer_is_allowed(skb, &packet->headers))
		return -DROP_NO_SERVICE_BACKEND;
	if (packet->protocol == IPPROTO_TCP)
		verdict = answer_with_reset(skb, &packet->headers);
	else
		verdict = answer_port_unreachable(skb, &packet->headers);
	if (verdict != CONTINUE)
		return -DROP_NO_SERVICE_BACKEND;
	metrics_count(DROP_NO_SERVICE_BACKEND, packet->direction, length);
	event_drop(skb, packet, DROP_NO_SERVICE_BACKEND);
	packet->tell = 0;
	return CONTINUE;
}

/*
 * A connection that policy has ended: its client, who has sent this packet, is reset in the name of whom it has asked. CONTINUE where the
 * reset stands in `skb`, to be sent back the way it came: the drop has been counted and told. Else the drop.
 */
static __noinline int reset_client(struct __sk_buff *skb, struct packet *packet, int verdict)
{
	const struct service_address *asked = packet->service ? service_address_find(packet->service) : NULL;
	__u32 length = skb->len;
	struct addr addr;

	if (!answer_is_allowed(skb, &packet->headers) || (packet->service && !asked))
		return verdict;
	event_drop(skb, packet, -verdict);
	if (asked) {
		addr = asked->addr;
		translate(skb, &packet->headers, END_DESTINATION, &addr, asked->port);
	}
	if (answer_with_reset(skb, &packet->headers) != CONTINUE)
		return verdict;
	metrics_count(-verdict, packet->direction, length);
	packet->tell = 0;
	return CONTINUE;
}

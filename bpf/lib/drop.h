/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every reason to drop. Numbers below 220 mean what they mean in the Hubble API; ours start at 220. 0 is "forwarded" in metrics. */
#pragma once

enum drop_reason {
	DROP_INVALID_SOURCE_MAC = 130,
	DROP_INVALID_SOURCE_IP = 132,
	DROP_POLICY_DENIED = 133,
	DROP_INVALID_PACKET = 134,
	DROP_UNSUPPORTED_L3 = 139,
	DROP_WRITE_ERROR = 141,
	DROP_NO_TUNNEL_KEY = 147,
	DROP_UNROUTABLE_IP = 151,
	DROP_INVALID_EXTENSION_HEADER = 156,
	DROP_NO_SERVICE_BACKEND = 158,
	DROP_NO_TUNNEL_ENDPOINT = 160,
	DROP_NO_MAPPING_FOR_NAT = 167,
	DROP_NAT_UNSUPPORTED_PROTOCOL = 168,
	DROP_INVALID_IDENTITY = 171,
	DROP_FRAGMENT_NOT_FOUND = 175,
	DROP_FORBIDDEN_ICMP6 = 176,
	DROP_NOT_IN_SOURCE_RANGE = 177,
	DROP_PROXY_NOT_SUPPORTED = 180,
	DROP_POLICY_DENY = 181,			/* by a rule that denies; 133 is what nobody allows */
	DROP_VLAN = 182,
	DROP_TTL_EXCEEDED = 196,
	DROP_POLICY_NOT_READY = 220,		/* the policy set has no rows: fails closed until the agent has loaded it */
	DROP_UNKNOWN_CLUSTER_ADDRESS = 221,	/* in the cluster's address range, but nobody's address */
	DROP_ENDPOINT_NOT_READY = 222,
	DROP_CONNTRACK_FULL = 223,
	DROP_SPOOFED_TUNNEL_SOURCE = 224,
	DROP_NAT_FULL = 225,			/* the map took no mapping */
	DROP_NAT_CONTENDED = 226,		/* every port tried was in use towards that destination */
	DROP_MULTICAST = 227,
	DROP_NOISE = 228,			/* what every stack says by itself (MLD, router solicitation): counted, no event */
	DROP_FRAGMENT_TABLE_FULL = 230,
	DROP_CONNTRACK_CONTENDED = 231,		/* the kernel's bucket lock was taken: not full, the next packet tries again */
	DROP_CONNTRACK_INVALID = 232,		/* no connection begins like this: flags that exclude each other, or none */
	DROP_PACKET_TOO_BIG = 233,		/* what has to be added does not fit into the path's MTU; the sender is told */
	DROP_NO_PROXY = 234,			/* layer 7 rules ask for the proxy, and nobody listens */
	DROP_PROXY_PORT = 235,			/* two connections of the same ends and ports, one of them the proxy's: the later gives way */
	DROP_PROXY_TOO_LATE = 236,		/* opened before layer 7 rules asked for the proxy: its client is reset, and comes again */
	DROP_PROXYMAP_FULL = 237,		/* the proxy cannot be told of the connection: proxy_connections took no row */
	DROP_NAME_REFUSED = 240,		/* no rule lets this name be asked; the pod is told by REFUSED */
	DROP_NAME_MALFORMED = 241,		/* under DNS rules: no question that can be read whole */
	DROP_NAME_UNASKED = 242,		/* under DNS rules: an answer to nobody's question */
	DROP_NAME_UNREADABLE = 243,		/* an answer whose addresses cannot be read */
	DROP_NAMES_FULL = 244,			/* an answer whose addresses cannot be remembered, or a question */
	DROP_HTTP_HELD = 245,			/* read in the kernel: not in order, or something must come first; the client sends it again */
	DROP_HTTP_NO_ROW = 246,			/* of a connection that is to be read, and nothing is known of it */
	DROP_HTTP_UNREADABLE = 247,		/* segments that are not read: urgent data, options in the IP header, fragments */
	DROP_HTTP_CHANGED = 248,		/* sent again with other bytes, or where it cannot be compared */
	DROP_HTTP_NO_SET = 249,			/* the set of rules is not there */
	DROP_HTTP_OVER = 250,			/* behind the end of a connection that the kernel has ended */
};

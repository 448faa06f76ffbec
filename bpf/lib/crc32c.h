/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * SCTP's checksum (RFC 9260 appendix A) after a change of its ports, without reading the packet.
 *
 * A CRC is linear: the checksum of a changed packet differs from the old one by the CRC of the difference, which here is the changed bits
 * of the first word D and zeros after it. As polynomials over GF(2) that is D·x^(8L) mod P for L bytes: at most sixteen multiplications,
 * one for each bit of L.
 */
#pragma once

#include "packet.h"

#define CRC32C_POLYNOMIAL 0x82f63b78	/* bit-reversed, as are all numbers here: the highest bit is x^0 */
#define CRC32C_ONE        0x80000000
#define LENGTH_BITS       16

#define SCTP_CHECKSUM_OFFSET 8

/* x^(8·2^k) mod P: each the square of the one before. */
static const __u32 crc32c_powers[LENGTH_BITS] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
	0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* Without branches, which the verifier would walk both ways 32 times. */
__noinline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = b >> 1 ^ (CRC32C_POLYNOMIAL & -(b & 1));
	}
	return product;
}

/* The difference that `change`, the changed bits of the first word as they lie in memory, makes in the checksum of `length` bytes. */
static __always_inline __u32 crc32c_difference(__u32 change, __u32 length)
{
	for (__u32 k = 0; k < LENGTH_BITS; k++)
		change = crc32c_multiply(change, length >> k & 1 ? crc32c_powers[k] : CRC32C_ONE);
	return change;
}

/*
 * Corrects the checksum for ports that differ by `change`, both in the order of the wire. A checksum of zero is left for the device or the
 * receiver to fill in (offloaded, RFC 9653). A fragment does not say how long the whole is.
 */
__noinline int sctp_checksum_change(struct __sk_buff *skb, const struct headers *packet, __u32 change)
{
	__u32 at, checksum;

	if (!packet)
		return -DROP_INVALID_PACKET;
	at = packet->l4_offset + SCTP_CHECKSUM_OFFSET;
	if (packet->flags & PACKET_FIRST_FRAGMENT)
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	if (bpf_skb_load_bytes(skb, at, &checksum, sizeof(checksum)))
		return -DROP_INVALID_PACKET;
	if (!checksum)
		return CONTINUE;
	checksum ^= crc32c_difference(change, packet->l4_length);
	return bpf_skb_store_bytes(skb, at, &checksum, sizeof(checksum), 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

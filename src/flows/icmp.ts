/** Names of ICMP messages as Hubble's summaries spell them (gopacket's): "EchoRequest", "DestinationUnreachable(Port)". */
export function icmpName(protocol: string, type: number, code: number): string {
  const [types, codes] = protocol === 'ICMPv6' ? [types6, codes6] : [types4, codes4];
  const name = types[type];
  if (name === undefined) return `${type}(${code})`;
  const detail = codes[type]?.[code];
  return detail === undefined ? name : `${name}(${detail})`;
}

const types4: Readonly<Record<number, string>> = {
  0: 'EchoReply', 3: 'DestinationUnreachable', 4: 'SourceQuench', 5: 'Redirect', 8: 'EchoRequest', 9: 'RouterAdvertisement',
  10: 'RouterSolicitation', 11: 'TimeExceeded', 12: 'ParameterProblem', 13: 'TimestampRequest', 14: 'TimestampReply',
};

const codes4: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  3: { 0: 'Net', 1: 'Host', 2: 'Protocol', 3: 'Port', 4: 'FragmentationNeeded', 5: 'SourceRoutingFailed', 9: 'NetAdminProhibited', 10: 'HostAdminProhibited', 13: 'CommAdminProhibited' },
  11: { 0: 'TTLExceeded', 1: 'FragmentReassemblyTimeExceeded' },
};

const types6: Readonly<Record<number, string>> = {
  1: 'DestinationUnreachable', 2: 'PacketTooBig', 3: 'TimeExceeded', 4: 'ParameterProblem', 128: 'EchoRequest', 129: 'EchoReply',
  133: 'RouterSolicitation', 134: 'RouterAdvertisement', 135: 'NeighborSolicitation', 136: 'NeighborAdvertisement', 137: 'Redirect',
};

const codes6: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: { 0: 'NoRouteToDst', 1: 'AdminProhibited', 2: 'BeyondScopeOfSrc', 3: 'Address', 4: 'Port', 5: 'SrcAddressFailedPolicy', 6: 'RejectRouteToDst' },
  3: { 0: 'HopLimitExceeded', 1: 'FragmentReassemblyTimeExceeded' },
};
